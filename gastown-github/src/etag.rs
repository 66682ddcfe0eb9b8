//! Answers that need not be sent twice: revalidation by `ETag` (facts 0.6 to 0.8, 2).
//!
//! An entry serves only the token, representation, API version and address that it was made for;
//! the forge ties each tag to the token. It is never used without asking the forge first.

use std::collections::HashMap;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};

use crate::credentials::Fingerprint;

/// What an answer was made for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EtagKey {
    /// The token.
    pub token: Fingerprint,
    /// The `Accept` header.
    pub accept: String,
    /// The API version.
    pub version: String,
    /// The whole address.
    pub url: String,
}

/// How much is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EtagLimits {
    /// Answers.
    pub entries: usize,
    /// Bytes of all bodies together.
    pub body_bytes: usize,
}

impl Default for EtagLimits {
    /// 1,024 answers, 32 MiB.
    fn default() -> Self {
        Self {
            entries: 1024,
            body_bytes: 32 * 1024 * 1024,
        }
    }
}

#[derive(Debug)]
struct Entry {
    tag: HeaderValue,
    link: Option<HeaderValue>,
    body: Bytes,
    used: u64,
}

/// The kept answers, least recently used ones leaving first.
#[derive(Debug)]
pub struct EtagCache {
    limits: EtagLimits,
    entries: HashMap<EtagKey, Entry>,
    body_bytes: usize,
    uses: u64,
}

impl EtagCache {
    /// An empty one.
    #[must_use]
    pub fn new(limits: EtagLimits) -> Self {
        Self {
            limits,
            entries: HashMap::new(),
            body_bytes: 0,
            uses: 0,
        }
    }

    /// The tag to send as `If-None-Match`, verbatim.
    #[must_use]
    pub fn tag(&self, key: &EtagKey) -> Option<HeaderValue> {
        self.entries.get(key).map(|it| it.tag.clone())
    }

    /// Learns from an answer to a request of this method, and gives the answer that the caller
    /// sees: for a 304 the kept one with the new headers. A 304 to something that left meanwhile
    /// stays a 304, and the caller asks again without a tag.
    #[must_use]
    pub fn settle(
        &mut self,
        key: &EtagKey,
        method: &Method,
        answer: Response<Bytes>,
    ) -> Response<Bytes> {
        if method != Method::GET {
            return answer;
        }
        self.uses = self.uses.saturating_add(1);
        if answer.status() == StatusCode::NOT_MODIFIED {
            return self.kept(key, answer);
        }
        self.remove(key);
        if answer.status() == StatusCode::OK && is_complete(&answer) {
            self.keep(key, &answer);
        }
        answer
    }

    /// Forgets every answer under an address that begins like this, for example because a
    /// webhook told that it changed.
    pub fn forget(&mut self, url_prefix: &str) {
        let gone = |key: &&EtagKey| key.url.starts_with(url_prefix);
        let keys: Vec<EtagKey> = self.entries.keys().filter(gone).cloned().collect();
        keys.iter().for_each(|it| self.remove(it));
    }

    fn kept(&mut self, key: &EtagKey, mut answer: Response<Bytes>) -> Response<Bytes> {
        let Some(entry) = self.entries.get_mut(key) else {
            return answer;
        };
        entry.used = self.uses;
        *answer.status_mut() = StatusCode::OK;
        *answer.body_mut() = entry.body.clone();
        if let Some(link) = &entry.link {
            answer.headers_mut().insert(header::LINK, link.clone());
        }
        answer
    }

    fn keep(&mut self, key: &EtagKey, answer: &Response<Bytes>) {
        let Some(tag) = answer.headers().get(header::ETAG).cloned() else {
            return;
        };
        let body = answer.body().clone();
        if self.limits.entries == 0 || body.len() > self.limits.body_bytes {
            return;
        }
        self.body_bytes = self.body_bytes.saturating_add(body.len());
        let link = answer.headers().get(header::LINK).cloned();
        self.entries.insert(
            key.clone(),
            Entry {
                tag,
                link,
                body,
                used: self.uses,
            },
        );
        while self.entries.len() > self.limits.entries || self.body_bytes > self.limits.body_bytes {
            let oldest = self.entries.iter().min_by_key(|(_, it)| it.used);
            let Some(oldest) = oldest.map(|(key, _)| key.clone()) else {
                return;
            };
            self.remove(&oldest);
        }
    }

    fn remove(&mut self, key: &EtagKey) {
        if let Some(entry) = self.entries.remove(key) {
            self.body_bytes = self.body_bytes.saturating_sub(entry.body.len());
        }
    }
}

/// Whether the body is all that was sent. A cut one would be confirmed by every later 304.
fn is_complete(answer: &Response<Bytes>) -> bool {
    let announced = length(answer.headers());
    let encoded = answer.headers().contains_key(header::CONTENT_ENCODING);
    (encoded || announced.is_none_or(|it| it == answer.body().len()))
        && serde_json::from_slice::<serde::de::IgnoredAny>(answer.body()).is_ok()
}

fn length(headers: &HeaderMap) -> Option<usize> {
    headers
        .get(header::CONTENT_LENGTH)?
        .to_str()
        .ok()?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::credentials::Token;

    fn key(url: &str) -> EtagKey {
        EtagKey {
            token: Token::new("t").unwrap().fingerprint(),
            accept: "application/json".to_owned(),
            version: "2022-11-28".to_owned(),
            url: url.to_owned(),
        }
    }

    fn answer(status: u16, tag: &str, body: &'static str) -> Response<Bytes> {
        let builder = Response::builder().status(status).header("etag", tag);
        builder
            .header("link", "<x>; rel=\"next\"")
            .body(Bytes::from_static(body.as_bytes()))
            .unwrap()
    }

    fn not_modified() -> Response<Bytes> {
        Response::builder()
            .status(304)
            .header("x-new", "1")
            .body(Bytes::new())
            .unwrap()
    }

    fn cache(entries: usize, body_bytes: usize) -> EtagCache {
        EtagCache::new(EtagLimits {
            entries,
            body_bytes,
        })
    }

    #[test]
    fn a_304_is_the_kept_answer_with_new_headers() {
        let mut cache = cache(9, 99);
        let _ = cache.settle(&key("a"), &Method::GET, answer(200, "W/\"1\"", "{}"));
        assert_eq!(cache.tag(&key("a")).unwrap(), "W/\"1\"");
        let again = cache.settle(&key("a"), &Method::GET, not_modified());
        assert_eq!(
            (again.status().as_u16(), again.body().as_ref()),
            (200, b"{}".as_ref())
        );
        assert!(again.headers().contains_key("x-new") && again.headers().contains_key("link"));
    }

    #[test]
    fn another_token_representation_version_or_address_is_another_answer() {
        let mut cache = cache(9, 99);
        let _ = cache.settle(&key("a"), &Method::GET, answer(200, "1", "{}"));
        let other = |change: fn(&mut EtagKey)| {
            let mut key = key("a");
            change(&mut key);
            key
        };
        for key in [
            other(|it| it.token = Token::new("u").unwrap().fingerprint()),
            other(|it| it.accept = "*/*".to_owned()),
            other(|it| it.version = "2026-03-10".to_owned()),
            other(|it| it.url = "b".to_owned()),
        ] {
            assert!(cache.tag(&key).is_none());
            assert_eq!(
                cache.settle(&key, &Method::GET, not_modified()).status(),
                304
            );
        }
    }

    #[test]
    fn only_complete_good_answers_to_gets_are_kept() {
        let mut cut = answer(200, "1", "{}");
        cut.headers_mut()
            .insert("content-length", HeaderValue::from_static("9"));
        for (method, answer) in [
            (Method::PUT, answer(200, "1", "{}")),
            (Method::POST, answer(200, "1", "{}")),
            (Method::GET, answer(403, "1", "{}")),
            (Method::GET, answer(301, "1", "{}")),
            (Method::GET, answer(200, "1", "{\"cut\":")),
            (Method::GET, cut),
        ] {
            let mut cache = cache(9, 99);
            let _ = cache.settle(&key("a"), &method, answer);
            assert!(cache.tag(&key("a")).is_none());
        }
    }

    #[test]
    fn a_later_answer_without_a_tag_replaces_the_kept_one() {
        let mut cache = cache(9, 99);
        let _ = cache.settle(&key("a"), &Method::GET, answer(200, "1", "{}"));
        let _ = cache.settle(&key("a"), &Method::GET, answer(404, "2", "{}"));
        assert!(cache.tag(&key("a")).is_none());
        assert_eq!(cache.body_bytes, 0);
    }

    #[test]
    fn both_limits_hold_and_the_least_used_leaves() {
        let mut cache = cache(2, 99);
        for url in ["a", "b"] {
            let _ = cache.settle(&key(url), &Method::GET, answer(200, "1", "{}"));
        }
        let _ = cache.settle(&key("a"), &Method::GET, not_modified());
        let _ = cache.settle(&key("c"), &Method::GET, answer(200, "1", "{}"));
        let kept = ["a", "b", "c"].map(|url| cache.tag(&key(url)).is_some());
        assert_eq!(kept, [true, false, true]);

        let mut cache = self::cache(9, 5);
        for url in ["a", "b", "c"] {
            let _ = cache.settle(&key(url), &Method::GET, answer(200, "1", "{}"));
        }
        assert_eq!((cache.entries.len(), cache.body_bytes), (2, 4));
        let _ = cache.settle(&key("d"), &Method::GET, answer(200, "1", "[1,2,3]"));
        assert!(cache.tag(&key("d")).is_none());
    }

    #[test]
    fn what_changed_is_forgotten() {
        let mut cache = cache(9, 99);
        for url in ["https://x/repos/o/r/rules", "https://x/repos/o/q/rules"] {
            let _ = cache.settle(&key(url), &Method::GET, answer(200, "1", "{}"));
        }
        cache.forget("https://x/repos/o/r/");
        assert_eq!((cache.entries.len(), cache.body_bytes), (1, 2));
    }
}
