//! Webhooks: hints that something changed (facts 3).
//!
//! GitHub delivers late, out of order, twice or not at all, so a hint never says what is true; it
//! says what to look at. Handling one twice costs one look.

mod interpret;
#[cfg(feature = "webhook-service")]
pub mod service;
mod verify;

#[cfg(feature = "forge")]
pub use crate::forge::hints::events;

pub use self::interpret::{DequeueReason, Hint, HintKind, Subject, interpret};
pub use self::verify::verify;

/// Why a webhook cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WebhookFault {
    /// It has no `X-Hub-Signature-256`.
    #[error("it is not signed")]
    NotSigned,
    /// Its signature is not `sha256=` and 64 hexadecimal digits.
    #[error("its signature is malformed")]
    SignatureMalformed,
    /// Its signature was not made with this secret over these bytes.
    #[error("its signature is wrong")]
    SignatureWrong,
    /// There is no secret to verify with; everyone could have signed.
    #[error("no secret is configured")]
    NoSecret,
    /// It is longer than GitHub's own limit.
    #[error("it is longer than GitHub sends")]
    TooLong,
    /// It has no `X-GitHub-Event`.
    #[error("it does not say what happened")]
    NoEvent,
    /// Its body is a form; set the content type of the hook to `application/json`.
    #[error("its content type is not application/json")]
    NotJson,
    /// Its body is no JSON object.
    #[error("its body cannot be read")]
    Malformed,
}
