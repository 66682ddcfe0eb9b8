//! One request as it is looked at, and its answer.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::merging::Refusal;
use super::world::{Grant, Permission};

/// A request whose token is known.
pub(super) struct Call<'a> {
    pub(super) method: &'a str,
    /// The parts of the path, unescaped.
    pub(super) path: Vec<String>,
    pub(super) query: BTreeMap<String, String>,
    pub(super) body: Value,
    pub(super) grant: &'a Grant,
    /// The address of the server, for links and redirects.
    pub(super) base: &'a str,
    /// Whether this is an Enterprise Server, which lacks some endpoints and fields.
    pub(super) enterprise: bool,
}

impl<'a> Call<'a> {
    /// Splits an address after the host into its parts.
    pub(super) fn parts(target: &str) -> (Vec<String>, BTreeMap<String, String>) {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let path = path.trim_start_matches('/').split('/').map(unescaped);
        let pairs = query.split('&').filter(|it| !it.is_empty());
        let query = pairs.map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (unescaped(name), unescaped(value))
        });
        (path.collect(), query.collect())
    }

    /// A text of the body.
    pub(super) fn text(&self, key: &str) -> Option<&str> {
        self.body.get(key).and_then(Value::as_str)
    }

    /// A text of the body, or the answer that it is missing.
    pub(super) fn need(&self, key: &'static str) -> Result<&str, Reply> {
        self.text(key).ok_or_else(|| {
            let errors = json!([{"resource": "Request", "field": key, "code": "missing_field"}]);
            Reply::validation("Validation Failed", errors)
        })
    }

    /// The refusal of a token that lacks a permission.
    pub(super) fn needs(&self, permission: Permission) -> Result<(), Reply> {
        if self.grant.may(permission) {
            return Ok(());
        }
        let mut reply = Reply::error(403, "Resource not accessible by integration");
        reply.headers.push((
            "x-accepted-github-permissions",
            permission.header().to_owned(),
        ));
        Err(reply)
    }

    /// One page of a list below a repository, with the address of the next one. GitHub's pages are
    /// at other addresses than what was asked for.
    pub(super) fn page(
        &self,
        repository: u64,
        below: &str,
        items: Vec<Value>,
    ) -> (Vec<Value>, Option<String>) {
        let number = |key: &str, default: usize| {
            let given = self.query.get(key).and_then(|it| it.parse().ok());
            given.unwrap_or(default).max(1)
        };
        let (size, page) = (number("per_page", 30).min(100), number("page", 1));
        let start = size.saturating_mul(page.saturating_sub(1));
        let end = start.saturating_add(size);
        let next = (items.len() > end).then(|| {
            let mut query = self.query.clone();
            query.insert("page".to_owned(), page.saturating_add(1).to_string());
            let query: Vec<String> = query.iter().map(|(a, b)| format!("{a}={b}")).collect();
            let base = self.base;
            let query = query.join("&");
            format!("<{base}/repositories/{repository}/{below}?{query}>; rel=\"next\"")
        });
        (items.into_iter().skip(start).take(size).collect(), next)
    }
}

fn unescaped(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, others @ ..] = rest {
        let code = match others {
            [a, b, ..] if *first == b'%' => std::str::from_utf8(&[*a, *b])
                .ok()
                .and_then(|it| u8::from_str_radix(it, 16).ok()),
            _ => None,
        };
        bytes.push(code.unwrap_or(*first));
        let taken = if code.is_some() { 2 } else { 0 };
        rest = others.get(taken..).unwrap_or_default();
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// An answer.
#[derive(Clone, Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: Vec<(&'static str, String)>,
    /// Null: no body.
    pub(super) body: Value,
}

impl Reply {
    pub(super) fn new(status: u16, body: Value) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body,
        }
    }

    pub(super) fn ok(body: Value) -> Self {
        Self::new(200, body)
    }

    /// A failure, as GitHub describes one.
    pub(super) fn error(status: u16, message: &str) -> Self {
        let body = json!({"message": message, "status": status.to_string(),
                          "documentation_url": "https://docs.github.com/rest"});
        Self::new(status, body)
    }

    pub(super) fn not_found() -> Self {
        Self::error(404, "Not Found")
    }

    pub(super) fn validation(message: &str, errors: Value) -> Self {
        let mut reply = Self::error(422, message);
        if let Some(members) = reply.body.as_object_mut() {
            members.insert("errors".to_owned(), errors);
        }
        reply
    }

    pub(super) fn refused(refusal: &Refusal) -> Self {
        Self::error(refusal.status, &refusal.message)
    }

    pub(super) fn with_link(mut self, link: Option<String>) -> Self {
        self.headers.extend(link.map(|it| ("link", it)));
        self
    }

    pub(super) fn with(mut self, header: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((header, value.into()));
        self
    }
}
