//! What GitHub says: verified, interpreted, and appended as facts. A webhook only makes pull
//! requests due for a look, so one that is lost costs time and nothing else.

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use gastown_core::TownId;
use gastown_github::webhook::{events, verify};

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
    let events = events(&headers, &body, town.handle.now());
    let events = events.map_err(|error| {
        tracing::warn!(%error, "a webhook could not be read");
        Failure::Webhook(StatusCode::BAD_REQUEST)
    })?;
    // A delivery that comes again is ignored.
    town.handle.append(events).await?;
    Ok(StatusCode::ACCEPTED)
}
