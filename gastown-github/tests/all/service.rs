//! The webhook service behind a real server, asked by a real client.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use async_trait::async_trait;
use bytes::Bytes;
use gastown_github::transport::{ReqwestTransport, Transport, TransportLimits};
use gastown_github::webhook::service::{HintSink, NotTaken, WebhookService};
use gastown_github::webhook::{Hint, Subject};
use gastown_testkit::fake_github::Webhook;
use http::{Request, StatusCode};
use hyper::body::{Body, Frame};
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tower_service::Service;

use crate::double::double;

const SECRET: &str = "It's a Secret to Everybody";

#[derive(Default)]
struct Kept {
    hints: Mutex<Vec<Hint>>,
    full: Mutex<bool>,
}

#[async_trait]
impl HintSink for Kept {
    async fn take(&self, hints: Vec<Hint>) -> Result<(), NotTaken> {
        if *self.full.lock().unwrap() {
            return Err(NotTaken);
        }
        self.hints.lock().unwrap().extend(hints);
        Ok(())
    }
}

/// Serves on a free port.
async fn served(kept: Arc<Kept>) -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = TowerToHyperService::new(WebhookService::new(SECRET, kept));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = service.clone();
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    format!("http://{address}/hooks")
}

async fn send(url: &str, method: &str, headers: &[(&str, String)], body: String) -> StatusCode {
    let mut request = Request::builder().method(method).uri(url);
    for (name, value) in headers {
        request = request.header(*name, value);
    }
    let transport = ReqwestTransport::new(TransportLimits::default()).unwrap();
    let request = request.body(Bytes::from(body)).unwrap();
    transport.send(request).await.unwrap().status()
}

/// The webhooks of an ordinary day.
fn webhooks() -> Vec<Webhook> {
    let double = double();
    let head = double.head(1);
    double.edit(|it| {
        it.report_check(&head, "ci", 15368, None);
        it.push("work", &[("more.txt", "more\n")]).unwrap();
    });
    double.fake.edit(|world| world.take_webhooks())
}

/// A body that must not be touched.
struct Untouchable;

impl Body for Untouchable {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        panic!("the body of an unsigned webhook is read")
    }
}

#[tokio::test]
async fn what_is_not_signed_is_refused_before_its_body_is_read() {
    let mut service = WebhookService::new(SECRET, Arc::new(Kept::default()));
    for signature in [None, Some("sha256=00"), Some("sha1=00")] {
        let mut request = Request::builder().method("POST");
        if let Some(signature) = signature {
            request = request.header("x-hub-signature-256", signature);
        }
        let answer = service.call(request.body(Untouchable).unwrap()).await;
        assert_eq!(answer.unwrap().status(), StatusCode::UNAUTHORIZED);
    }
}

#[tokio::test]
async fn signed_webhooks_are_taken_and_all_else_is_refused() {
    let kept = Arc::new(Kept::default());
    let url = served(Arc::clone(&kept)).await;
    let all = webhooks();
    assert!(all.len() >= 5, "{all:?}");
    for webhook in &all {
        let status = send(&url, "POST", &webhook.headers(SECRET), webhook.body()).await;
        assert_eq!(status, StatusCode::ACCEPTED, "{webhook:?}");
    }
    let taken = kept.hints.lock().unwrap().len();
    let subjects: Vec<_> = {
        let hints = kept.hints.lock().unwrap();
        hints.iter().map(|it| it.subject.clone()).collect()
    };
    assert!(subjects.contains(&Subject::PullRequest { number: 1 }));
    let (good, body) = (all[0].headers(SECRET), all[0].body());
    let without =
        |name: &str| -> Vec<_> { good.iter().filter(|it| it.0 != name).cloned().collect() };
    let with = |name: &'static str, value: &str| {
        let mut headers = without(name);
        headers.push((name, value.to_owned()));
        headers
    };
    let other = all[0].headers("another secret");
    for (method, headers, body, expected) in [
        (
            "GET",
            good.clone(),
            body.clone(),
            StatusCode::METHOD_NOT_ALLOWED,
        ),
        ("POST", other, body.clone(), StatusCode::UNAUTHORIZED),
        (
            "POST",
            without("x-hub-signature-256"),
            body.clone(),
            StatusCode::UNAUTHORIZED,
        ),
        (
            "POST",
            good.clone(),
            format!("{body} "),
            StatusCode::UNAUTHORIZED,
        ),
        (
            "POST",
            without("x-github-event"),
            body.clone(),
            StatusCode::BAD_REQUEST,
        ),
        (
            "POST",
            with("content-type", "application/x-www-form-urlencoded"),
            body.clone(),
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
        ),
    ] {
        let status = send(&url, method, &headers, body).await;
        assert_eq!(status, expected, "{headers:?}");
    }
    assert_eq!(kept.hints.lock().unwrap().len(), taken);
    *kept.full.lock().unwrap() = true;
    let opened = all.iter().find(|it| it.event == "pull_request").unwrap();
    let status = send(&url, "POST", &opened.headers(SECRET), opened.body()).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
}
