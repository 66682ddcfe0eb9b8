//! What GitHub says, taken by the ready service: verified, interpreted, and appended as facts. A
//! webhook only makes pull requests due for a look, so one that is lost costs time and nothing else.

use std::sync::Arc;

use async_trait::async_trait;
use axum::Router;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use gastown_core::TownId;
use gastown_github::webhook::service::{HintSink, NotTaken, WebhookService};
use gastown_github::webhook::{Hint, events};
use gastown_runtime::TownHandle;
use tower_service::Service;

use crate::host::Host;

pub(crate) fn router() -> Router<Host> {
    Router::new().route("/towns/{town}/webhooks/github", post(receive))
}

async fn receive(State(host): State<Host>, Path(town): Path<String>, request: Request) -> Response {
    let town = TownId::new(town).ok();
    let hook = town
        .and_then(|id| host.town(&id).ok())
        .and_then(|town| Some((town.webhook_secret.clone()?, town.handle.clone())));
    // A town that is not here and a signature that is wrong look the same from outside.
    let Some((secret, handle)) = hook else {
        return StatusCode::UNAUTHORIZED.into_response();
    };
    let answer = WebhookService::new(secret, Arc::new(Events(handle))).call(request);
    match answer.await {
        Ok(response) => response.map(axum::body::Body::new).into_response(),
        Err(never) => match never {},
    }
}

/// Appends what hints stand for to a town.
struct Events(TownHandle);

#[async_trait]
impl HintSink for Events {
    async fn take(&self, hints: Vec<Hint>) -> Result<(), NotTaken> {
        let appended = self.0.append(events(&hints, self.0.now()));
        appended.await.map_err(|error| {
            tracing::warn!(%error, "a webhook could not be taken");
            NotTaken
        })
    }
}
