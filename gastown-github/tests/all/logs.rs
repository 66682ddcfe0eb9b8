//! What is logged: everything at every level, and never a credential.

use std::fmt::Write;
use std::sync::{Arc, Mutex};

use gastown_github::GitHubConfig;
use gastown_github::observe::Detail;
use gastown_github::webhook::verify;
use http::{HeaderMap, HeaderValue};
use serde_json::json;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use crate::script::*;

/// Keeps the text of every field of every event and span.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<String>>);

impl Visit for Log {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        writeln!(self.0.lock().unwrap(), "{}={value:?}", field.name()).unwrap();
    }
}

impl Subscriber for Log {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        span.record(&mut self.clone());
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, values: &Record<'_>) {
        values.record(&mut self.clone());
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        event.record(&mut self.clone());
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

#[tokio::test]
async fn no_credential_is_ever_logged() {
    let (bad, good) = ("ghp_refused0123456789", "ghp_secret0123456789");
    let world = world_with(&[bad, good], GitHubConfig::default());
    let log = Log::default();
    let _guard = tracing::subscriber::set_default(log.clone());
    // A forge that repeats what it was given.
    let echo = json!({"message": format!("Bad credentials: {bad} {good}")});
    let refused = || answer(401, echo.clone());
    world.script.on(
        PULL,
        [
            refused(),
            answer(200, pull()),
            Reply::Lost,
            answer(403, echo.clone()),
        ],
    );
    world.script.on(MERGE, [answer(405, echo.clone())]);
    for _ in 0..3 {
        let looked = world.github.observe(&seven(), Detail::Feedback).await;
        tracing::info!(?looked);
        let merged = world.github.merge(&crate::merging::request()).await;
        tracing::info!(?merged, github = ?world.github);
    }
    let mut headers = HeaderMap::new();
    headers.insert("x-hub-signature-256", HeaderValue::from_static("sha256=0"));
    let verified = verify(b"the secret of the hook", &headers, b"{}");
    tracing::info!(?verified);
    let log = log.0.lock().unwrap().clone();
    assert!(log.contains("does not accept the token"), "{log}");
    assert!(log.contains("[redacted]"), "{log}");
    for secret in ["refused0123", "secret0123", "secret of the hook"] {
        assert!(!log.contains(secret), "{secret} in {log}");
    }
}
