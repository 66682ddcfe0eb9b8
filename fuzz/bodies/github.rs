//! Bodies of the targets that fuzz the GitHub adapter; its tests replay their corpora.

use gastown_github::url::{AllowedHosts, ForgeHost};
use gastown_github::webhook;
use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, HeaderValue};
use sha2::Sha256;

const SECRET: &[u8] = b"a secret of the host";

/// A webhook: the first line is the event's name, the rest the body. Whatever it is, it is refused
/// or becomes hints, and what is signed for one secret and one body is taken for no other.
pub(crate) fn webhook_body(data: &[u8]) {
    let mut parts = data.splitn(2, |byte| *byte == b'\n');
    let name = parts.next().unwrap_or_default();
    let body = parts.next().unwrap_or_default();
    let mut headers = HeaderMap::new();
    if let Ok(name) = HeaderValue::from_bytes(name) {
        headers.insert("x-github-event", name);
    }
    headers.insert("content-type", HeaderValue::from_static("application/json"));
    if let Ok(hints) = webhook::interpret(&headers, body) {
        let again = webhook::interpret(&headers, body);
        assert!(
            again.is_ok_and(|again| again == hints),
            "two readings differ"
        );
    }
    let Some(signature) = signature(body) else {
        return;
    };
    headers.insert("x-hub-signature-256", signature);
    assert!(webhook::verify(SECRET, &headers, body).is_ok());
    assert!(webhook::verify(b"another secret", &headers, body).is_err());
    let mut other = body.to_vec();
    match other.last_mut() {
        Some(byte) => *byte ^= 1,
        None => other.push(0),
    }
    assert!(webhook::verify(SECRET, &headers, &other).is_err());
}

/// As GitHub signs a body.
fn signature(body: &[u8]) -> Option<HeaderValue> {
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET).ok()?;
    mac.update(body);
    let digits = mac.finalize().into_bytes();
    let digits: String = digits.iter().map(|byte| format!("{byte:02x}")).collect();
    HeaderValue::from_str(&format!("sha256={digits}")).ok()
}

/// The URL of a pull request, as the adapter reads it: only of hosts that are allowed.
pub(crate) fn forge_url(data: &[u8]) {
    let Ok(text) = core::str::from_utf8(data) else {
        return;
    };
    let hosts = AllowedHosts::new([ForgeHost::github_com()]);
    if let Ok(url) = hosts.pull_request(text) {
        let shown = format!(
            "https://{}/{}/{}/pull/{}",
            url.host.web(),
            url.repository.owner(),
            url.repository.name(),
            url.number
        );
        let again = hosts.pull_request(&shown);
        assert!(
            again.is_ok_and(|again| again == url),
            "{text:?} is shown as {shown:?}"
        );
    }
    let _ = hosts.repository(text);
}
