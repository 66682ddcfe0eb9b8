//! What GitHub says: verified, interpreted, and appended as facts. A webhook only makes pull
//! requests due for a look, so one that is lost costs time and nothing else.

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use gastown_core::{EventId, TownId};
use gastown_github::error::Error;
use gastown_github::webhook::{interpret, verify};

use crate::failure::Failure;
use crate::host::Host;

/// GitHub sends no more, in bytes.
const BODY_BYTES_MAX: usize = 25 * 1024 * 1024;

pub(crate) fn router() -> Router<Host> {
    Router::new()
        .route("/towns/{town}/webhooks/github", post(receive))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
}

async fn receive(
    State(host): State<Host>,
    Path(town): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<StatusCode, Failure> {
    // A town that is not here and a signature that is wrong look the same from outside.
    let refused = || Failure::Webhook(StatusCode::UNAUTHORIZED);
    let town_id = TownId::new(town).map_err(|_| refused())?;
    let town = host.town(&town_id).map_err(|_| refused())?;
    let secret = town.webhook_secret.as_deref().ok_or_else(refused)?;
    verify(secret.as_bytes(), &headers, &body).map_err(|_| refused())?;
    let hints = interpret(&headers, &body).map_err(|error: Error| {
        tracing::warn!(%error, "a webhook could not be read");
        Failure::Webhook(StatusCode::BAD_REQUEST)
    })?;
    for (number, hint) in hints.iter().enumerate() {
        // What only polling can find has no event.
        let Some(webhook) = hint.event() else {
            continue;
        };
        let reported = match EventId::new(format!("github-{}-{number}", hint.delivery)) {
            // A delivery that comes again is ignored.
            Ok(id) => town.handle.report_as(id, webhook.into()).await,
            Err(_) => town.handle.report(webhook.into()).await,
        };
        reported?;
    }
    Ok(StatusCode::ACCEPTED)
}
