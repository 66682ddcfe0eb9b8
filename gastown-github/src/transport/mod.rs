//! How requests reach the forge: one trait, so that a host can use its own HTTP stack.

#[cfg(feature = "reqwest")]
mod reqwest;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};

#[cfg(feature = "reqwest")]
pub use self::reqwest::{ReqwestTransport, TransportLimits};

/// Sends one request and returns its whole answer.
///
/// # To ensure correctness
/// - One call sends the request at most once. No retries: whether one is safe is not known here.
/// - No redirect is followed and no cache is asked: both are decided above, where it is known
///   whom the token belongs to.
/// - The body is whole, or the call fails. A cut body that passed as whole could be cached.
/// - The call ends in bounded time and with bounded memory.
/// - An error says truthfully whether the request may have been sent.
/// - Neither headers nor bodies are logged; they hold credentials.
#[async_trait]
pub trait Transport: Send + Sync {
    /// Sends the request.
    ///
    /// # Errors
    /// [`TransportError`] if no whole answer arrived. Any status is an answer.
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, TransportError>;
}

/// The cause of a failure below HTTP.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Why no whole answer arrived.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransportError {
    /// The request did not leave: no connection, or a malformed request.
    #[error("the request could not be sent")]
    NotSent {
        /// What failed.
        #[source]
        source: Cause,
    },
    /// The request may have left and be in effect; its answer is lost, or was cut.
    #[error("the answer was lost")]
    AnswerLost {
        /// What failed.
        #[source]
        source: Cause,
    },
    /// The answer has more bytes than the limit; the request is in effect.
    #[error("the answer is longer than {limit_bytes} bytes")]
    AnswerTooLong {
        /// The limit.
        limit_bytes: usize,
    },
}

impl TransportError {
    /// Whether the forge may have received the request and acted on it. If so, a write must not
    /// be repeated before its effect was looked for (spec 4.5).
    #[must_use]
    pub fn may_have_been_sent(&self) -> bool {
        match self {
            Self::NotSent { .. } => false,
            Self::AnswerLost { .. } | Self::AnswerTooLong { .. } => true,
        }
    }

    /// The error and its causes in one line.
    #[must_use]
    pub fn describe(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(it) = cause {
            text.push_str(": ");
            text.push_str(&it.to_string());
            cause = it.source();
        }
        text
    }
}
