//! The fake on a port.

use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::{Delivery, FakeGitHub};

/// The server of a fake; it ends when this is dropped.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    pub(super) async fn open(fake: FakeGitHub) -> std::io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let task = tokio::spawn(accept(listener, fake));
        Ok(Self { address, task })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

async fn accept(listener: TcpListener, fake: FakeGitHub) {
    // Connections end with the server: dropping the set aborts them.
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let fake = fake.clone();
        let service = service_fn(move |request| answer(fake.clone(), request));
        connections.spawn(async move {
            let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            // A client that goes away, or an answer that is cut, ends the connection.
            drop(connection.await);
        });
        while connections.try_join_next().is_some() {}
    }
}

/// Nothing is answered: the connection ends.
#[derive(Debug, thiserror::Error)]
#[error("the answer is kept back by script")]
struct KeptBack;

async fn answer(fake: FakeGitHub, request: Request<Incoming>) -> Result<Response<Part>, KeptBack> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(|_| KeptBack)?.to_bytes();
    let request = Request::from_parts(head, body);
    // Git is a process; other requests go on meanwhile.
    let work = tokio::task::spawn_blocking(move || fake.respond(&request));
    let (response, delivery) = work.await.map_err(|_| KeptBack)?;
    let Delivery {
        lost,
        cut_at,
        delay,
    } = delivery;
    if let Some(delay) = delay {
        tokio::time::sleep(delay).await;
    }
    if lost {
        return Err(KeptBack);
    }
    let (mut head, body) = response.into_parts();
    let whole = body.len();
    // The length is announced in full, so that a cut is seen as one.
    head.headers.insert("content-length", whole.into());
    let shown = cut_at.map_or(whole, |it| it.min(whole));
    let part = Part {
        bytes: Some(body.slice(..shown)),
        cut: shown < whole,
        left: whole,
    };
    Ok(Response::from_parts(head, part))
}

/// A body of which a part may be missing.
struct Part {
    bytes: Option<Bytes>,
    cut: bool,
    left: usize,
}

impl Body for Part {
    type Data = Bytes;
    type Error = KeptBack;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, KeptBack>>> {
        Poll::Ready(match self.bytes.take() {
            Some(bytes) if !bytes.is_empty() => Some(Ok(Frame::data(bytes))),
            Some(_) | None if self.cut => Some(Err(KeptBack)),
            Some(_) | None => None,
        })
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }
}
