//! Requests as data: one pure function per endpoint (facts 1).
//!
//! None carries a credential; that is added where it is known to belong (the client). Path
//! parameters are escaped here and nowhere else.

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderValue, USER_AGENT};
use http::{Method, Request, Uri};
use serde::Serialize;
use serde_json::{Value, json};

use crate::classify::MergeMethod;
use crate::error::Error;
use crate::url::{ForgeHost, RepositoryName, encode_path, encode_segment};

/// The representation that every REST request asks for.
pub const ACCEPT_JSON: &str = "application/vnd.github+json";
/// The header that names the API version; without it the default may move under our feet.
pub const VERSION_HEADER: &str = "x-github-api-version";
/// The API version that this crate is written for; served until March 2028.
pub const API_VERSION: &str = "2022-11-28";
/// GitHub refuses requests without one.
const AGENT: &str = concat!("gastown-github/", env!("CARGO_PKG_VERSION"));

/// `GET …/pulls/{n}`. Reading it also starts the computation of mergeability.
///
/// # Errors
/// [`Error::BuildRequest`], as every function here, if the parts make no address.
pub fn pull_request(
    host: &ForgeHost,
    repository: &RepositoryName,
    number: u64,
) -> Result<Request<Bytes>, Error> {
    get(host, &format!("{}/pulls/{number}", base(repository)))
}

/// `GET …/pulls` of a branch into another, closed ones, newest first.
///
/// # Errors
/// As [`pull_request`].
pub fn closed_pull_requests(
    host: &ForgeHost,
    repository: &RepositoryName,
    head_branch: &str,
    base_branch: &str,
) -> Result<Request<Bytes>, Error> {
    let head = format!("{}:{head_branch}", repository.owner());
    let query = format!(
        "state=closed&sort=updated&direction=desc&per_page=100&head={}&base={}",
        encode_segment(&head),
        encode_segment(base_branch)
    );
    get(host, &format!("{}/pulls?{query}", base(repository)))
}

/// `GET /repos/{o}/{r}`: whether it can be read, and its merge flags.
///
/// # Errors
/// As [`pull_request`].
pub fn repository(host: &ForgeHost, repository: &RepositoryName) -> Result<Request<Bytes>, Error> {
    get(host, &base(repository))
}

/// `GET …/branches/{b}`: classic protection as everyone may see it.
///
/// # Errors
/// As [`pull_request`].
pub fn branch(
    host: &ForgeHost,
    repository: &RepositoryName,
    branch: &str,
) -> Result<Request<Bytes>, Error> {
    get(
        host,
        &format!("{}/branches/{}", base(repository), encode_segment(branch)),
    )
}

/// `GET …/rules/branches/{b}`: the rules of all rulesets together.
///
/// # Errors
/// As [`pull_request`].
pub fn branch_rules(
    host: &ForgeHost,
    repository: &RepositoryName,
    branch: &str,
) -> Result<Request<Bytes>, Error> {
    let branch = encode_segment(branch);
    get(
        host,
        &format!("{}/rules/branches/{branch}?per_page=100", base(repository)),
    )
}

/// `GET …/git/ref/heads/{b}`, the singular form: the plural one answers 200 with prefix matches.
///
/// # Errors
/// As [`pull_request`].
pub fn branch_ref(
    host: &ForgeHost,
    repository: &RepositoryName,
    branch: &str,
) -> Result<Request<Bytes>, Error> {
    // The one endpoint that takes the slashes of a branch as they are.
    get(
        host,
        &format!("{}/git/ref/heads/{}", base(repository), encode_path(branch)),
    )
}

/// `POST …/git/refs`: creates a branch at a commit.
///
/// # Errors
/// As [`pull_request`].
pub fn create_branch(
    host: &ForgeHost,
    repository: &RepositoryName,
    branch: &str,
    sha: &str,
) -> Result<Request<Bytes>, Error> {
    let body = json!({"ref": format!("refs/heads/{branch}"), "sha": sha});
    write(
        host,
        Method::POST,
        &format!("{}/git/refs", base(repository)),
        &body,
    )
}

/// `GET …/compare/{base}...{head}`.
///
/// # Errors
/// As [`pull_request`].
pub fn compare(
    host: &ForgeHost,
    repository: &RepositoryName,
    from: &str,
    to: &str,
) -> Result<Request<Bytes>, Error> {
    let (from, to) = (encode_segment(from), encode_segment(to));
    get(
        host,
        &format!("{}/compare/{from}...{to}?per_page=1", base(repository)),
    )
}

/// `PUT …/pulls/{n}/merge`, always with the head that was evaluated: without it GitHub merges
/// whatever is there.
///
/// # Errors
/// As [`pull_request`].
pub fn merge(
    host: &ForgeHost,
    repository: &RepositoryName,
    number: u64,
    head_sha: &str,
    method: MergeMethod,
) -> Result<Request<Bytes>, Error> {
    let body = json!({"sha": head_sha, "merge_method": method.word()});
    write(
        host,
        Method::PUT,
        &format!("{}/pulls/{number}/merge", base(repository)),
        &body,
    )
}

/// `PUT …/pulls/{n}/merge-async`: merges a pull request and all below it in its stack. On a
/// branch with a queue a method must not be given: it is accepted and fails later.
///
/// # Errors
/// As [`pull_request`].
pub fn merge_stack(
    host: &ForgeHost,
    repository: &RepositoryName,
    number: u64,
    head_sha: &str,
    method: Option<MergeMethod>,
) -> Result<Request<Bytes>, Error> {
    let mut body = json!({"sha": head_sha});
    if let (Some(method), Some(fields)) = (method, body.as_object_mut()) {
        fields.insert("merge_method".to_owned(), Value::from(method.word()));
    }
    write(
        host,
        Method::PUT,
        &format!("{}/pulls/{number}/merge-async", base(repository)),
        &body,
    )
}

/// `POST …/issues/{n}/comments`.
///
/// # Errors
/// As [`pull_request`].
pub fn comment(
    host: &ForgeHost,
    repository: &RepositoryName,
    number: u64,
    text: &str,
) -> Result<Request<Bytes>, Error> {
    let path = format!("{}/issues/{number}/comments", base(repository));
    write(host, Method::POST, &path, &json!({"body": text}))
}

/// `GET …/installation`: which installation of the App serves a repository.
///
/// # Errors
/// As [`pull_request`].
pub fn repository_installation(
    host: &ForgeHost,
    repository: &RepositoryName,
) -> Result<Request<Bytes>, Error> {
    get(host, &format!("{}/installation", base(repository)))
}

/// `POST /app/installations/{id}/access_tokens`, for all that the installation may do.
///
/// # Errors
/// As [`pull_request`].
pub fn installation_token(host: &ForgeHost, installation: u64) -> Result<Request<Bytes>, Error> {
    let path = format!("/app/installations/{installation}/access_tokens");
    write(host, Method::POST, &path, &json!({}))
}

/// The next page, at the address that a `Link` header gave. GitHub's pages are at other paths
/// than was asked for, so they are never built.
///
/// # Errors
/// As [`pull_request`].
pub fn page(address: Uri) -> Result<Request<Bytes>, Error> {
    build(Method::GET, address, Bytes::new())
}

/// A GraphQL request.
///
/// # Errors
/// As [`pull_request`].
pub fn graphql(
    host: &ForgeHost,
    document: &str,
    variables: &Value,
) -> Result<Request<Bytes>, Error> {
    let body = json!({"query": document, "variables": variables});
    build(Method::POST, address(host.graphql())?, encoded(&body)?)
}

fn base(repository: &RepositoryName) -> String {
    format!(
        "/repos/{}/{}",
        encode_segment(repository.owner()),
        encode_segment(repository.name())
    )
}

fn get(host: &ForgeHost, path: &str) -> Result<Request<Bytes>, Error> {
    build(
        Method::GET,
        address(&format!("{}{path}", host.rest()))?,
        Bytes::new(),
    )
}

fn write(
    host: &ForgeHost,
    method: Method,
    path: &str,
    body: &Value,
) -> Result<Request<Bytes>, Error> {
    build(
        method,
        address(&format!("{}{path}", host.rest()))?,
        encoded(body)?,
    )
}

fn address(text: &str) -> Result<Uri, Error> {
    text.parse()
        .map_err(|source: http::uri::InvalidUri| Error::BuildRequest {
            source: Box::new(source),
        })
}

fn encoded(body: &impl Serialize) -> Result<Bytes, Error> {
    let text = serde_json::to_vec(body).map_err(|source| Error::BuildRequest {
        source: Box::new(source),
    })?;
    Ok(Bytes::from(text))
}

fn build(method: Method, address: Uri, body: Bytes) -> Result<Request<Bytes>, Error> {
    let mut request = Request::new(body);
    let has_body = method != Method::GET;
    *request.method_mut() = method;
    *request.uri_mut() = address;
    let headers = request.headers_mut();
    headers.insert(ACCEPT, HeaderValue::from_static(ACCEPT_JSON));
    headers.insert(VERSION_HEADER, HeaderValue::from_static(API_VERSION));
    headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
    if has_body {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    Ok(request)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name() -> RepositoryName {
        RepositoryName::parse("o/r.x").unwrap()
    }

    /// Method, address and body in one line.
    fn shown(request: Result<Request<Bytes>, Error>) -> String {
        let request = request.unwrap();
        assert_eq!(request.headers()[ACCEPT], ACCEPT_JSON);
        assert_eq!(request.headers()[VERSION_HEADER], API_VERSION);
        assert!(request.headers().contains_key(USER_AGENT));
        assert!(!request.headers().contains_key("authorization"));
        assert_eq!(request.method() == Method::GET, request.body().is_empty());
        let body = String::from_utf8(request.body().to_vec()).unwrap();
        format!("{} {} {body}", request.method(), request.uri())
            .trim()
            .to_owned()
    }

    #[test]
    fn reads_are_addressed_as_documented() {
        let host = ForgeHost::github_com();
        let api = "GET https://api.github.com/repos/o/r.x";
        for (request, path) in [
            (pull_request(&host, &name(), 7), "/pulls/7"),
            (repository(&host, &name()), ""),
            (branch(&host, &name(), "a/b"), "/branches/a%2Fb"),
            (
                branch_rules(&host, &name(), "a/b"),
                "/rules/branches/a%2Fb?per_page=100",
            ),
            (
                branch_ref(&host, &name(), "a/b#c"),
                "/git/ref/heads/a/b%23c",
            ),
            (
                compare(&host, &name(), "main", "a/b"),
                "/compare/main...a%2Fb?per_page=1",
            ),
            (
                closed_pull_requests(&host, &name(), "a/b&c", "main"),
                "/pulls?state=closed&sort=updated&direction=desc&per_page=100\
                 &head=o%3Aa%2Fb%26c&base=main",
            ),
            (repository_installation(&host, &name()), "/installation"),
        ] {
            assert_eq!(shown(request), format!("{api}{path}"));
        }
    }

    #[test]
    fn trap_12_a_merge_always_names_the_head() {
        let host = ForgeHost::named("ghe.example.com").unwrap();
        assert_eq!(
            shown(merge(&host, &name(), 7, "abc", MergeMethod::Squash)),
            "PUT https://ghe.example.com/api/v3/repos/o/r.x/pulls/7/merge \
             {\"merge_method\":\"squash\",\"sha\":\"abc\"}"
        );
        assert_eq!(
            shown(merge_stack(
                &ForgeHost::github_com(),
                &name(),
                7,
                "abc",
                None
            )),
            "PUT https://api.github.com/repos/o/r.x/pulls/7/merge-async {\"sha\":\"abc\"}"
        );
    }

    #[test]
    fn writes_carry_what_they_should() {
        let host = ForgeHost::github_com();
        let api = "POST https://api.github.com";
        for (request, rest) in [
            (
                create_branch(&host, &name(), "a/b", "abc"),
                "/repos/o/r.x/git/refs {\"ref\":\"refs/heads/a/b\",\"sha\":\"abc\"}",
            ),
            (
                comment(&host, &name(), 7, "a \"b\""),
                "/repos/o/r.x/issues/7/comments {\"body\":\"a \\\"b\\\"\"}",
            ),
            (
                installation_token(&host, 5),
                "/app/installations/5/access_tokens {}",
            ),
            (
                graphql(&host, "query { x }", &json!({"n": 1})),
                "/graphql {\"query\":\"query { x }\",\"variables\":{\"n\":1}}",
            ),
        ] {
            assert_eq!(shown(request), format!("{api}{rest}"));
        }
    }

    #[test]
    fn graphql_of_an_enterprise_server_is_not_below_its_rest_base() {
        let host = ForgeHost::named("ghe.example.com").unwrap();
        let text = shown(graphql(&host, "{ x }", &json!({})));
        assert!(
            text.starts_with("POST https://ghe.example.com/api/graphql "),
            "{text}"
        );
    }
}
