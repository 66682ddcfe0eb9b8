//! Where an answer sends the caller next: redirects and pages, within the origin only
//! (facts 2 "a good client", traps 16 and 17).
//!
//! An address of another origin is never asked, so a token cannot follow one.

use bytes::Bytes;
use http::uri::{Parts, PathAndQuery, Uri};
use http::{HeaderMap, Method, Request, Response, header};

use crate::rate_limit::header as text_of;
use crate::url::ForgeHost;

/// How many redirects in a row are followed. GitHub needs one.
pub const REDIRECTS_MAX: usize = 3;

/// What a redirecting answer asks for.
#[derive(Debug)]
pub enum Redirect {
    /// It does not redirect.
    None,
    /// The same request at its new address.
    Follow(Box<Request<Bytes>>),
    /// It must not be followed.
    Refused(RefusedRedirect),
}

/// Why a redirect is not followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RefusedRedirect {
    /// It leads to another origin.
    #[error("a redirect leads to another origin")]
    OtherOrigin,
    /// It would turn a write into a read, or into a write of other effect.
    #[error("a redirect would change what a write does")]
    ChangesWrite,
    /// It says not where to.
    #[error("a redirect without an address")]
    NoAddress,
}

/// Decides about an answer: 301, 302, 307 and 308 for reads, 307 and 308 for writes, with
/// method, body and headers kept.
#[must_use]
pub fn redirect(host: &ForgeHost, request: &Request<Bytes>, answer: &Response<Bytes>) -> Redirect {
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    match (answer.status().as_u16(), reads) {
        (301 | 302 | 307 | 308, true) | (307 | 308, false) => {}
        (301..=303, false) => return Redirect::Refused(RefusedRedirect::ChangesWrite),
        _ => return Redirect::None,
    }
    let Some(location) = text_of(answer.headers(), header::LOCATION.as_str()) else {
        return Redirect::Refused(RefusedRedirect::NoAddress);
    };
    let Some(target) = within(host, request.uri(), location) else {
        return Redirect::Refused(RefusedRedirect::OtherOrigin);
    };
    let mut next = request.clone();
    *next.uri_mut() = target;
    Redirect::Follow(Box::new(next))
}

/// Whether there is another page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NextPage {
    /// This was the last one.
    Last,
    /// It is there.
    At(Uri),
    /// There is one at an address that must not be asked; the list stays incomplete.
    Unreachable,
}

/// Reads `rel="next"` of the `Link` header.
#[must_use]
pub fn next_page(host: &ForgeHost, asked: &Uri, headers: &HeaderMap) -> NextPage {
    let Some(links) = text_of(headers, header::LINK.as_str()) else {
        return NextPage::Last;
    };
    for link in links.split(',') {
        let mut parts = link.split(';');
        let address = parts.next().unwrap_or_default().trim();
        let is_next = parts.any(|it| matches!(it.trim(), "rel=\"next\"" | "rel=next"));
        if !is_next {
            continue;
        }
        let bare = address
            .strip_prefix('<')
            .and_then(|it| it.strip_suffix('>'));
        return bare
            .and_then(|it| within(host, asked, it))
            .map_or(NextPage::Unreachable, NextPage::At);
    }
    NextPage::Last
}

/// The absolute form of an address, if it is of the host's API.
fn within(host: &ForgeHost, asked: &Uri, location: &str) -> Option<Uri> {
    // "//host/path" would name another host although it begins with a slash.
    let target: Uri = if location.starts_with('/') && !location.starts_with("//") {
        let mut parts = Parts::default();
        parts.scheme = asked.scheme().cloned();
        parts.authority = asked.authority().cloned();
        parts.path_and_query = Some(location.parse::<PathAndQuery>().ok()?);
        Uri::from_parts(parts).ok()?
    } else {
        location.parse().ok()?
    };
    let user_info = target
        .authority()
        .is_some_and(|it| it.as_str().contains('@'));
    (host.owns(&target) && !user_info).then_some(target)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request;
    use crate::url::RepositoryName;

    fn host() -> ForgeHost {
        ForgeHost::github_com()
    }

    fn to(status: u16, location: &str) -> Response<Bytes> {
        Response::builder()
            .status(status)
            .header("location", location)
            .body(Bytes::new())
            .unwrap()
    }

    fn read() -> Request<Bytes> {
        request::pull_request(&host(), &RepositoryName::parse("o/r").unwrap(), 1).unwrap()
    }

    fn merge() -> Request<Bytes> {
        let name = RepositoryName::parse("o/r").unwrap();
        request::merge(
            &host(),
            &name,
            1,
            "abc",
            crate::classify::MergeMethod::Squash,
        )
        .unwrap()
    }

    fn followed(request: &Request<Bytes>, answer: &Response<Bytes>) -> Option<Request<Bytes>> {
        match redirect(&host(), request, answer) {
            Redirect::Follow(next) => Some(*next),
            Redirect::None | Redirect::Refused(_) => None,
        }
    }

    #[test]
    fn trap_16_a_renamed_repository_is_followed_with_method_and_body() {
        let target = "https://api.github.com/repositories/1000/pulls/1";
        assert_eq!(followed(&read(), &to(301, target)).unwrap().uri(), target);
        let write = followed(&merge(), &to(307, &format!("{target}/merge"))).unwrap();
        assert_eq!(write.uri().to_string(), format!("{target}/merge"));
        assert_eq!(
            (write.method(), write.body()),
            (merge().method(), merge().body())
        );
        assert_eq!(write.headers(), merge().headers());
        let relative = followed(&read(), &to(301, "/repositories/1000/pulls/1")).unwrap();
        assert_eq!(relative.uri(), target);
    }

    #[test]
    fn trap_16_a_write_never_becomes_a_read() {
        for status in [301, 302, 303] {
            let decision = redirect(&host(), &merge(), &to(status, "https://api.github.com/x"));
            assert!(matches!(
                decision,
                Redirect::Refused(RefusedRedirect::ChangesWrite)
            ));
        }
    }

    #[test]
    fn trap_17_no_other_origin_is_asked() {
        for location in [
            "https://evil.example/x",
            "http://api.github.com/x",
            "https://api.github.com:8443/x",
            "https://api.github.com@evil.example/x",
            "https://me@api.github.com/x",
            "//evil.example/x",
            "javascript:x",
        ] {
            let decision = redirect(&host(), &read(), &to(301, location));
            assert!(
                matches!(decision, Redirect::Refused(RefusedRedirect::OtherOrigin)),
                "{location}"
            );
        }
    }

    #[test]
    fn other_answers_do_not_redirect() {
        for status in [200, 304, 404, 500] {
            let decision = redirect(&host(), &read(), &to(status, "https://api.github.com/x"));
            assert!(matches!(decision, Redirect::None));
        }
    }

    #[test]
    fn pages_are_at_the_address_that_is_given_and_within_the_origin() {
        let page = |link: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("link", link.parse().unwrap());
            next_page(&host(), read().uri(), &headers)
        };
        let next = "https://api.github.com/repositories/617210/x?per_page=2&page=2";
        let both =
            format!("<{next}>; rel=\"next\", <https://api.github.com/x?page=4>; rel=\"last\"");
        assert_eq!(page(&both), NextPage::At(next.parse().unwrap()));
        assert_eq!(
            page("<https://api.github.com/x>; rel=\"prev\""),
            NextPage::Last
        );
        assert_eq!(
            page("<https://evil.example/x>; rel=\"next\""),
            NextPage::Unreachable
        );
        assert_eq!(
            page("https://api.github.com/x; rel=\"next\""),
            NextPage::Unreachable
        );
        assert_eq!(
            next_page(&host(), read().uri(), &HeaderMap::new()),
            NextPage::Last
        );
    }
}
