//! Bodies of the targets that fuzz the GitHub adapter; its tests replay their corpora.

use gastown_github::url::{AllowedHosts, ForgeHost};
use gastown_github::webhook;
use http::{HeaderMap, HeaderValue};

/// A webhook: the first line is the event's name, the rest the body. Whatever it is, it is refused
/// or becomes hints, and nobody's signature is taken for another's.
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
    headers.insert("x-hub-signature-256", HeaderValue::from_static("sha256=00"));
    assert!(webhook::verify(b"a secret of the host", &headers, body).is_err());
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
