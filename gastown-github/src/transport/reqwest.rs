//! [`Transport`] over reqwest.

use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use http::{Request, Response};

use super::{Transport, TransportError};
use crate::error::Error;

/// What one call may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransportLimits {
    /// From the first byte sent to the last byte received. GitHub itself gives up after 10 s.
    pub total: Duration,
    /// For the connection alone.
    pub connect: Duration,
    /// The longest answer.
    pub body_bytes: usize,
}

impl Default for TransportLimits {
    /// 30 s, 10 s and 16 MiB.
    fn default() -> Self {
        Self {
            total: Duration::from_secs(30),
            connect: Duration::from_secs(10),
            body_bytes: 16 * 1024 * 1024,
        }
    }
}

/// Sends through a reqwest client of its own: no redirects, no retries, no cookies.
#[derive(Clone, Debug)]
pub struct ReqwestTransport {
    client: ::reqwest::Client,
    body_bytes_max: usize,
}

impl ReqwestTransport {
    /// Makes the client.
    ///
    /// # Errors
    /// [`Error::BuildTransport`] if the platform's certificates cannot be used.
    pub fn new(limits: TransportLimits) -> Result<Self, Error> {
        let client = ::reqwest::Client::builder()
            .redirect(::reqwest::redirect::Policy::none())
            .retry(::reqwest::retry::never())
            .referer(false)
            .timeout(limits.total)
            .connect_timeout(limits.connect)
            .build()
            .map_err(|source| Error::BuildTransport {
                source: Box::new(source),
            })?;
        Ok(Self {
            client,
            body_bytes_max: limits.body_bytes,
        })
    }
}

#[async_trait]
impl Transport for ReqwestTransport {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, TransportError> {
        let request = ::reqwest::Request::try_from(request).map_err(failure)?;
        let mut response = self.client.execute(request).await.map_err(failure)?;
        let too_long = TransportError::AnswerTooLong {
            limit_bytes: self.body_bytes_max,
        };
        let announced = response.content_length().unwrap_or(0);
        if usize::try_from(announced).map_or(true, |it| it > self.body_bytes_max) {
            return Err(too_long);
        }
        let mut body = BytesMut::new();
        while let Some(chunk) = response.chunk().await.map_err(lost)? {
            if body.len().saturating_add(chunk.len()) > self.body_bytes_max {
                return Err(too_long);
            }
            body.extend_from_slice(&chunk);
        }
        let mut answer = Response::new(body.freeze());
        *answer.status_mut() = response.status();
        *answer.headers_mut() = std::mem::take(response.headers_mut());
        Ok(answer)
    }
}

fn failure(error: ::reqwest::Error) -> TransportError {
    // Only these two are known to happen before the first byte of the request leaves.
    if error.is_builder() || error.is_connect() {
        TransportError::NotSent {
            source: Box::new(error.without_url()),
        }
    } else {
        lost(error)
    }
}

fn lost(error: ::reqwest::Error) -> TransportError {
    TransportError::AnswerLost {
        source: Box::new(error.without_url()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    /// A server that gives this one answer to every connection, then closes it.
    async fn answering(answer: &'static str) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut head = [0; 1024];
                let _ = stream.read(&mut head).await;
                if answer.is_empty() {
                    // Hold the connection open and say nothing.
                    tokio::time::sleep(Duration::from_secs(60)).await;
                }
                let _ = stream.write_all(answer.as_bytes()).await;
                let _ = stream.shutdown().await;
            }
        });
        format!("http://{address}/x")
    }

    async fn send(url: &str) -> Result<Response<Bytes>, TransportError> {
        let limits = TransportLimits {
            total: Duration::from_millis(400),
            connect: Duration::from_millis(400),
            body_bytes: 16,
        };
        let request = Request::put(url).body(Bytes::from_static(b"{}")).unwrap();
        ReqwestTransport::new(limits).unwrap().send(request).await
    }

    #[tokio::test]
    async fn an_answer_arrives_with_status_headers_and_body() {
        let url = answering("HTTP/1.1 405 No\r\nx-a: b\r\ncontent-length: 2\r\n\r\nhi").await;
        let answer = send(&url).await.unwrap();
        assert_eq!(
            (answer.status().as_u16(), answer.body().as_ref()),
            (405, b"hi".as_ref())
        );
        assert_eq!(answer.headers()["x-a"], "b");
    }

    #[tokio::test]
    async fn redirects_are_not_followed() {
        let url = answering(
            "HTTP/1.1 307 Go\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n",
        )
        .await;
        assert_eq!(send(&url).await.unwrap().status().as_u16(), 307);
    }

    #[tokio::test]
    async fn a_refused_connection_sent_nothing() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/x", listener.local_addr().unwrap());
        drop(listener);
        let error = send(&url).await.unwrap_err();
        assert!(!error.may_have_been_sent(), "{}", error.describe());
    }

    #[tokio::test]
    async fn silence_and_a_cut_body_may_have_had_an_effect() {
        let cut = "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\ncut";
        for answer in [
            "",
            cut,
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\ncut\r\n",
        ] {
            let error = send(&answering(answer).await).await.unwrap_err();
            assert!(error.may_have_been_sent(), "{}", error.describe());
        }
    }

    #[tokio::test]
    async fn a_long_body_is_not_collected() {
        for answer in [
            "HTTP/1.1 200 OK\r\ncontent-length: 17\r\n\r\n12345678901234567",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n\
             11\r\n12345678901234567\r\n0\r\n\r\n",
        ] {
            let error = send(&answering(answer).await).await.unwrap_err();
            assert!(matches!(
                error,
                TransportError::AnswerTooLong { limit_bytes: 16 }
            ));
        }
        let fits = "HTTP/1.1 200 OK\r\ncontent-length: 16\r\n\r\n1234567890123456";
        assert_eq!(send(&answering(fits).await).await.unwrap().body().len(), 16);
    }
}
