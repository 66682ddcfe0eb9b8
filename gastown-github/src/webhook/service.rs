//! A ready service for webhooks: verified, interpreted, handed on, answered.
//!
//! It is a [`tower_service::Service`], so axum, hyper and others can mount it as it is:
//!
//! ```
//! use std::sync::Arc;
//!
//! use async_trait::async_trait;
//! use gastown_github::GitHub;
//! use gastown_github::webhook::Hint;
//! use gastown_github::webhook::service::{HintSink, NotTaken, WebhookService};
//!
//! struct Queue(GitHub);
//!
//! #[async_trait]
//! impl HintSink for Queue {
//!     async fn take(&self, hints: Vec<Hint>) -> Result<(), NotTaken> {
//!         for hint in hints {
//!             self.0.heed(&hint);
//!             println!("look at {:?}", hint.subject);
//!         }
//!         Ok(())
//!     }
//! }
//!
//! # fn serve(github: GitHub) {
//! let service = WebhookService::new("the hook's secret", Arc::new(Queue(github)));
//! // axum: Router::new().route_service("/webhooks/github", service)
//! # let _ = service;
//! # }
//! ```

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use async_trait::async_trait;
use bytes::Bytes;
use http::header::{ALLOW, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use secrecy::{ExposeSecret, SecretString};
use tower_service::Service;

use super::verify::{BODY_BYTES_MAX, signature};
use super::{Hint, WebhookFault, interpret, verify};
use crate::error::Error;

/// The hints could not be taken; GitHub shows the delivery as failed and can send it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the hints could not be taken")]
pub struct NotTaken;

/// Whoever takes hints.
///
/// # To ensure correctness
/// - `take` returns within a few seconds: GitHub waits for ten.
/// - Hints that are lost cost time and nothing else, because polling goes on.
#[async_trait]
pub trait HintSink: Send + Sync {
    /// Takes the hints of one delivery. They may come twice, late, and in any order.
    ///
    /// # Errors
    /// [`NotTaken`] if they should be delivered again.
    async fn take(&self, hints: Vec<Hint>) -> Result<(), NotTaken>;
}

/// Receives the webhooks of one hook.
///
/// # Guarantees
/// - Nothing that was not signed with the secret is even read, let alone handed on.
/// - Answers: 202 taken; 400 unreadable; 401 not signed, or not by us; 405 no POST; 413 longer than
///   GitHub sends; 415 no JSON; 503 not taken. No body, no detail for whoever forges.
#[derive(Clone)]
pub struct WebhookService {
    secret: Arc<SecretString>,
    sink: Arc<dyn HintSink>,
}

impl fmt::Debug for WebhookService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhookService").finish_non_exhaustive()
    }
}

impl WebhookService {
    /// A service for the hook with this secret. An empty secret lets nothing in.
    pub fn new(secret: impl Into<String>, sink: Arc<dyn HintSink>) -> Self {
        Self {
            secret: Arc::new(SecretString::from(secret.into())),
            sink,
        }
    }

    async fn receive<B>(self, request: Request<B>) -> StatusCode
    where
        B: Body,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        if request.method() != Method::POST {
            return StatusCode::METHOD_NOT_ALLOWED;
        }
        let (head, body) = request.into_parts();
        // Whoever can't sign shall not make us hold megabytes, either.
        if let Err(why) = signature(&head.headers) {
            tracing::warn!(%why, "a webhook was refused");
            return refusal(&Error::VerifyWebhook { why });
        }
        let body = match Limited::new(body, BODY_BYTES_MAX).collect().await {
            Ok(body) => body.to_bytes(),
            Err(error) if error.is::<LengthLimitError>() => return StatusCode::PAYLOAD_TOO_LARGE,
            Err(_) => return StatusCode::BAD_REQUEST,
        };
        let secret = self.secret.expose_secret().as_bytes();
        let read =
            verify(secret, &head.headers, &body).and_then(|()| interpret(&head.headers, &body));
        let hints = match read {
            Ok(hints) => hints,
            Err(error) => {
                tracing::warn!(%error, "a webhook was refused");
                return refusal(&error);
            }
        };
        // Not everything that is sent is about something to look at.
        if hints.is_empty() {
            return StatusCode::ACCEPTED;
        }
        match self.sink.take(hints).await {
            Ok(()) => StatusCode::ACCEPTED,
            Err(NotTaken) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

fn refusal(error: &Error) -> StatusCode {
    let (Error::VerifyWebhook { why } | Error::InterpretWebhook { why }) = error else {
        return StatusCode::BAD_REQUEST;
    };
    match why {
        WebhookFault::NotSigned
        | WebhookFault::SignatureMalformed
        | WebhookFault::SignatureWrong
        | WebhookFault::NoSecret => StatusCode::UNAUTHORIZED,
        WebhookFault::TooLong => StatusCode::PAYLOAD_TOO_LARGE,
        WebhookFault::NotJson => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        WebhookFault::NoEvent | WebhookFault::Malformed => StatusCode::BAD_REQUEST,
    }
}

impl<B> Service<Request<B>> for WebhookService
where
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let service = self.clone();
        Box::pin(async move {
            let status = service.receive(request).await;
            let mut response = Response::new(Full::default());
            *response.status_mut() = status;
            if status == StatusCode::METHOD_NOT_ALLOWED {
                let post = HeaderValue::from_static("POST");
                response.headers_mut().insert(ALLOW, post);
            }
            Ok(response)
        })
    }
}
