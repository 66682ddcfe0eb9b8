//! HTTP to the fake: for the adapter, and for agents, who would use `gh` elsewhere.

use async_trait::async_trait;
use bytes::Bytes;
use gastown_github::transport::{Transport, TransportError};
use http::{Request, Response, Uri};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

/// Sends each request over a connection of its own.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Loopback;

#[async_trait]
impl Transport for Loopback {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, TransportError> {
        let not_sent =
            |source: Box<dyn std::error::Error + Send + Sync>| TransportError::NotSent { source };
        let lost = |source: hyper::Error| TransportError::AnswerLost {
            source: Box::new(source),
        };
        let authority = request.uri().authority().map(|it| it.as_str().to_owned());
        let authority = authority.ok_or_else(|| not_sent("an address without a host".into()))?;
        let stream = TcpStream::connect(authority.as_str());
        let stream = stream.await.map_err(|it| not_sent(it.into()))?;
        let handshake = http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = handshake.map_err(|it| not_sent(it.into()))?;
        let connection = tokio::spawn(connection);
        let mut request = request.map(Full::new);
        let path = request.uri().path_and_query().map_or("/", |it| it.as_str());
        let path: Uri = path.parse().map_err(|_| not_sent("a bad path".into()))?;
        let host = authority
            .parse()
            .map_err(|_| not_sent("a bad host".into()))?;
        *request.uri_mut() = path;
        request.headers_mut().insert(http::header::HOST, host);
        let answer = sender.send_request(request).await.map_err(lost)?;
        let (head, body) = answer.into_parts();
        let body = body.collect().await.map_err(lost)?.to_bytes();
        connection.abort();
        Ok(Response::from_parts(head, body))
    }
}

/// What the forge did not do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiError {
    #[error("the forge could not be asked: {0}")]
    Unreachable(String),
    #[error("the forge answered {method} {path} with {status}: {message}")]
    Refused {
        method: String,
        path: String,
        status: u16,
        message: String,
    },
}

/// The API for somebody who waits for each answer.
pub(crate) struct Api {
    runtime: tokio::runtime::Runtime,
    base: String,
    token: String,
}

impl Api {
    pub(crate) fn new(base: String, token: String) -> Result<Self, ApiError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| ApiError::Unreachable(error.to_string()))?;
        Ok(Self {
            runtime,
            base,
            token,
        })
    }

    /// Sends a request and gives the body of its answer.
    pub(crate) fn call(&self, method: &str, path: &str, body: &Value) -> Result<Value, ApiError> {
        let unreachable = |why: String| ApiError::Unreachable(why);
        let body = if body.is_null() {
            Bytes::new()
        } else {
            Bytes::from(body.to_string())
        };
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base))
            .header("user-agent", "gastown-example")
            .header("authorization", format!("Bearer {}", self.token))
            .body(body)
            .map_err(|error| unreachable(error.to_string()))?;
        let answer = self.runtime.block_on(Loopback.send(request));
        let answer = answer.map_err(|error| unreachable(error.describe()))?;
        let value: Value = serde_json::from_slice(answer.body()).unwrap_or_default();
        let status = answer.status();
        if status.is_success() {
            return Ok(value);
        }
        Err(ApiError::Refused {
            method: method.to_owned(),
            path: path.to_owned(),
            status: status.as_u16(),
            message: value.to_string(),
        })
    }

    /// Sends a document of GraphQL and gives its data.
    pub(crate) fn graphql(&self, query: &str, variables: Value) -> Result<Value, ApiError> {
        let body = serde_json::json!({"query": query, "variables": variables});
        let mut answer = self.call("POST", "/graphql", &body)?;
        match answer.get("errors") {
            None => Ok(answer.get_mut("data").map(Value::take).unwrap_or_default()),
            Some(errors) => Err(ApiError::Refused {
                method: "POST".into(),
                path: "/graphql".into(),
                status: 200,
                message: errors.to_string(),
            }),
        }
    }
}
