//! Whether an address leads to the pull request that is meant.

use gastown_github::observation::ForgeError;
use serde_json::{Value, json};

use crate::observing::{look, page, seen};
use crate::script::*;

#[tokio::test]
async fn a_missing_pull_request_is_told_from_an_invisible_repository() {
    let world = world();
    let gone = json!({"message": "Not Found"});
    world.script.on(PULL, [answer(404, gone.clone())]);
    let readable = Err(ForgeError::NotFound {
        repository_readable: true,
    });
    assert_eq!(look(&world).await, readable);
    world.script.on(REPOSITORY, [answer(404, gone)]);
    let unreadable = Err(ForgeError::NotFound {
        repository_readable: false,
    });
    assert_eq!(look(&world).await, unreadable);
}

#[tokio::test]
async fn one_that_only_graphql_misses_is_no_trouble_of_its_repository() {
    let world = world();
    let gone = json!({"data": {"repository": {"pullRequest": null}}, "errors": [{"type": "NOT_FOUND",
        "path": ["repository", "pullRequest"], "message": "Could not resolve to a PullRequest"}]});
    let readable = Err(ForgeError::NotFound {
        repository_readable: true,
    });
    world.script.on(FEED, [answer(200, gone.clone())]);
    assert_eq!(look(&world).await, readable);
    // Nor is one that goes away between two pages.
    let first = feed_with("/reviewThreads", page(100, Some("c1")));
    world.script.on(FEED, [answer(200, first)]);
    world.script.on("graphql MoreThreads", [answer(200, gone)]);
    assert_eq!(look(&world).await, readable);
}

#[tokio::test]
async fn trap_16_a_renamed_repository_is_found() {
    let world = world();
    let to = [("location", "https://api.github.com/repositories/1/pulls/7")];
    world.script.on(
        PULL,
        [answer_with(
            301,
            &to,
            json!({"message": "Moved Permanently"}),
        )],
    );
    world
        .script
        .on("GET /repositories/1/pulls/7", [answer(200, pull())]);
    assert_eq!(seen(&world).await.head_sha, "abc");
    let followed = world.script.only("GET /repositories/1/pulls/7");
    assert_eq!(followed.headers["authorization"], "Bearer ghp_first");
}

#[tokio::test]
async fn trap_17_a_redirect_to_another_origin_is_not_followed() {
    let world = world();
    let to = [("location", "https://evil.example/repos/o/r/pulls/7")];
    world.script.on(PULL, [answer_with(301, &to, json!({}))]);
    assert!(matches!(
        look(&world).await,
        Err(ForgeError::InvalidResponse { .. })
    ));
    assert!(
        world
            .script
            .seen()
            .iter()
            .all(|it| it.url.starts_with("https://api.github.com/"))
    );
    // Nor is one that goes in circles.
    let to = [("location", "https://api.github.com/repos/o/r/pulls/7")];
    world.script.on(PULL, [answer_with(301, &to, json!({}))]);
    assert!(matches!(
        look(&world).await,
        Err(ForgeError::InvalidResponse { .. })
    ));
}

#[tokio::test]
async fn what_is_no_pull_request_is_an_invalid_response() {
    let world = world();
    for body in [
        json!({}),
        json!([]),
        Value::Null,
        json!({"number": 7, "state": "open"}),
    ] {
        world.script.on(PULL, [answer(200, body)]);
        assert!(matches!(
            look(&world).await,
            Err(ForgeError::InvalidResponse { .. })
        ));
    }
}

#[tokio::test]
async fn an_address_of_another_repository_or_host_is_told_apart() {
    let world = world();
    let found = |url: &str| world.github.pull_request(url, &name());
    assert_eq!(found("https://github.com/O/R/pull/7").unwrap().number, 7);
    let other = found("https://github.com/o/other/pull/7");
    assert!(matches!(other, Err(ForgeError::RepositoryMismatch { .. })));
    let host = "evil.example".to_owned();
    assert_eq!(
        found("https://evil.example/o/r/pull/7"),
        Err(ForgeError::HostNotAllowed { host })
    );
    assert!(matches!(
        found("https://github.com/o/r"),
        Err(ForgeError::UnrecognizedUrl { .. })
    ));
}
