use super::*;

fn hosts() -> AllowedHosts {
    AllowedHosts::new([
        ForgeHost::github_com(),
        ForgeHost::named("ghe.example.com").unwrap(),
        ForgeHost::named("ghe.example.com:8443").unwrap(),
    ])
}

fn fault(text: &str) -> UrlFault {
    match hosts().pull_request(text) {
        Err(Error::ParsePullRequestUrl { why }) => why,
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn a_pull_request_is_read() {
    for text in [
        "https://github.com/Octo/Hello/pull/12",
        "HTTPS://GitHub.com/octo/hello/pull/12/",
    ] {
        let url = hosts().pull_request(text).unwrap();
        assert_eq!(url.repository, RepositoryName::parse("octo/hello").unwrap());
        assert_eq!((url.number, url.host.web()), (12, "github.com"));
    }
}

#[test]
fn a_configured_port_is_allowed_and_no_other() {
    assert!(
        hosts()
            .pull_request("https://ghe.example.com:8443/o/r/pull/1")
            .is_ok()
    );
    assert_eq!(
        fault("https://ghe.example.com:9443/o/r/pull/1"),
        UrlFault::Port
    );
    assert_eq!(fault("https://github.com:443/o/r/pull/1"), UrlFault::Port);
}

#[test]
fn what_is_not_a_pull_request_is_refused() {
    use UrlFault as F;
    let foreign = |host: &str| F::HostNotAllowed {
        host: host.to_owned(),
    };
    for (text, why) in [
        ("http://github.com/o/r/pull/1", F::Scheme),
        ("github.com/o/r/pull/1", F::Scheme),
        ("", F::Scheme),
        (
            "https://github.com.evil.example/o/r/pull/1",
            foreign("github.com.evil.example"),
        ),
        ("https://github.com./o/r/pull/1", foreign("github.com.")),
        // Look-alikes: a Cyrillic letter, and the same as the wire has it.
        ("https://g\u{456}thub.com/o/r/pull/1", F::Malformed),
        (
            "https://xn--gthub-n4a.com/o/r/pull/1",
            foreign("xn--gthub-n4a.com"),
        ),
        ("https://github%2ecom/o/r/pull/1", F::Malformed),
        ("https://github.com:/o/r/pull/1", F::Port),
        (
            "https://evil.example/github.com/o/r/pull/1",
            foreign("evil.example"),
        ),
        ("https://me@github.com/o/r/pull/1", F::UserInfo),
        ("https://github.com@evil.example/o/r/pull/1", F::UserInfo),
        ("https://me:p%20w@github.com/o/r/pull/1", F::UserInfo),
        ("https://github.com/o/r/pull/1?x=1", F::Malformed),
        ("https://github.com/o/r/pull/1#x", F::Malformed),
        ("https://github.com\\@evil.example/o/r/pull/1", F::UserInfo),
        ("https://github.com/o/r%2f..%2fx/pull/1", F::Malformed),
        (" https://github.com/o/r/pull/1", F::Malformed),
        ("https://github.com/o/r/pull/1/files", F::Path),
        ("https://github.com/o/r/pulls/1", F::Path),
        ("https://github.com/o/r/issues/1", F::Path),
        ("https://github.com/o/r", F::Path),
        ("https://github.com", F::Path),
        ("https://github.com//r/pull/1", F::Owner),
        ("https://github.com/-o/r/pull/1", F::Owner),
        ("https://github.com/o.o/r/pull/1", F::Owner),
        ("https://github.com/o/../pull/1", F::Repository),
        ("https://github.com/o/r/pull/0", F::Number),
        ("https://github.com/o/r/pull/01", F::Number),
        ("https://github.com/o/r/pull/-1", F::Number),
        ("https://github.com/o/r/pull/", F::Path),
        (
            "https://github.com/o/r/pull/99999999999999999999999",
            F::Number,
        ),
    ] {
        assert_eq!(fault(text), why, "{text}");
    }
    let long = format!("https://github.com/o/{}/pull/1", "r".repeat(URL_BYTES_MAX));
    assert_eq!(fault(&long), F::Malformed);
}

#[test]
fn a_fault_does_not_repeat_a_password() {
    let error = hosts()
        .pull_request("https://me:hunter2@github.com/o/r/pull/1")
        .unwrap_err();
    assert!(!format!("{error} {error:?}").contains("hunter2"));
}

#[test]
fn repositories_are_read_in_the_forms_that_git_has() {
    let expected = RepositoryName::parse("o/r.x").unwrap();
    for text in [
        "https://github.com/o/r.x",
        "https://github.com/o/r.x.git",
        "https://github.com/O/R.x/",
        "git@github.com:o/r.x.git",
        "ssh://git@github.com/o/r.x.git",
    ] {
        assert_eq!(
            hosts().repository(text).unwrap().repository,
            expected,
            "{text}"
        );
    }
    for text in [
        "https://token@github.com/o/r",
        "ssh://root@github.com/o/r",
        "git@evil.example:o/r",
        "git://github.com/o/r",
        "https://github.com/o",
        "https://github.com/o/r/pull/1",
        "file:///o/r",
    ] {
        assert!(hosts().repository(text).is_err(), "{text}");
    }
}

#[test]
fn trap_21_each_product_has_its_two_bases() {
    for (host, product, rest, graphql) in [
        (
            "github.com",
            Product::Dotcom,
            "https://api.github.com",
            "https://api.github.com/graphql",
        ),
        (
            "Octo.GHE.com",
            Product::DataResidency,
            "https://api.octo.ghe.com",
            "https://api.octo.ghe.com/graphql",
        ),
        (
            "git.example.org",
            Product::EnterpriseServer,
            "https://git.example.org/api/v3",
            "https://git.example.org/api/graphql",
        ),
    ] {
        let it = ForgeHost::named(host).unwrap();
        assert_eq!(
            (it.product(), it.rest(), it.graphql()),
            (product, rest, graphql)
        );
    }
}

#[test]
fn an_api_elsewhere_is_encrypted_or_on_loopback_and_of_one_origin() {
    let with = |rest: &str, graphql: &str| {
        ForgeHost::with_api("git.test", Product::Dotcom, rest, graphql).is_ok()
    };
    assert!(with(
        "http://127.0.0.1:4242",
        "http://127.0.0.1:4242/graphql"
    ));
    assert!(with("https://proxy.test/gh", "https://proxy.test/graphql"));
    assert!(!with("http://proxy.test/gh", "http://proxy.test/graphql"));
    assert!(!with("https://a.test", "https://b.test/graphql"));
    assert!(!with("https://me@a.test", "https://me@a.test/graphql"));
}

#[test]
fn a_token_belongs_to_one_origin() {
    let host = ForgeHost::github_com();
    let owns = |text: &'static str| host.owns(&Uri::from_static(text));
    assert!(owns("https://api.github.com/repositories/1"));
    assert!(owns("https://API.github.com:443/x"));
    assert!(!owns("http://api.github.com/x"));
    assert!(!owns("https://api.github.com:8443/x"));
    assert!(!owns("https://github.com/x"));
    assert!(!owns("/x"));
}

#[test]
fn segments_are_escaped() {
    assert_eq!(encode_segment("feature/a b#ü"), "feature%2Fa%20b%23%C3%BC");
    assert_eq!(encode_path("feature/a b"), "feature/a%20b");
}
