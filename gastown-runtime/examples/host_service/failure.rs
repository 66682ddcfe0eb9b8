//! How requests are refused. Nothing here shows a secret, or what another town has.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use gastown_core::wire::WireError;
use gastown_runtime::RuntimeError;
use serde_json::json;

/// Why a request is refused.
#[derive(Debug)]
pub(crate) enum Failure {
    /// No token, or one that is not good.
    Unauthorized,
    /// The caller may not see or do this.
    Forbidden,
    /// There is no such thing, or it is none of the caller's business.
    NotFound,
    /// The body or a command is wrong: the field and what is wrong with it.
    Refused { field: String, message: String },
    /// The town can't do it now.
    Unavailable(RuntimeError),
}

impl From<WireError> for Failure {
    fn from(error: WireError) -> Self {
        Self::Refused {
            field: error.path,
            message: error.message,
        }
    }
}

impl From<RuntimeError> for Failure {
    fn from(error: RuntimeError) -> Self {
        if let RuntimeError::RefuseCommand(error) = error {
            return Self::Refused {
                field: error.field,
                message: error.message,
            };
        }
        Self::Unavailable(error)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let (status, field, message) = match self {
            Self::Unauthorized => (StatusCode::UNAUTHORIZED, None, "expected a token".into()),
            Self::Forbidden => (
                StatusCode::FORBIDDEN,
                None,
                "this token is not for that".into(),
            ),
            Self::NotFound => (StatusCode::NOT_FOUND, None, "not found".into()),
            Self::Refused { field, message } => {
                (StatusCode::UNPROCESSABLE_ENTITY, Some(field), message)
            }
            Self::Unavailable(error) => {
                // What the store says may name paths: it is for the service's own log.
                tracing::warn!(%error, "a request could not be served");
                let message = "the town can't do that now".into();
                (StatusCode::SERVICE_UNAVAILABLE, None, message)
            }
        };
        (status, Json(json!({"field": field, "message": message}))).into_response()
    }
}
