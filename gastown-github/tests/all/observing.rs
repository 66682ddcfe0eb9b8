//! Looking at a pull request.

use gastown_github::observation::{
    ChecksState, Decision, ForgeError, MergeQueue, Mergeable, Observation, PullRequestState,
};
use gastown_github::observe::Detail;
use gastown_github::url::{PullRequestUrl, RepositoryUrl};
use gastown_github::webhook::{Hint, HintKind, Subject};
use serde_json::{Value, json};

use crate::script::*;

pub(crate) async fn look(world: &World) -> Result<Observation, ForgeError> {
    world.github.observe(&seven(), Detail::Feedback).await
}

pub(crate) async fn seen(world: &World) -> Observation {
    look(world).await.unwrap()
}

#[tokio::test]
async fn a_quiet_pull_request_costs_one_revalidation_and_one_point() {
    let world = world();
    world
        .script
        .on(PULL, [answer_with(200, &[("etag", "W/\"1\"")], pull())]);
    let first = seen(&world).await;
    assert_eq!(
        (first.mergeable, first.merge_queue),
        (Mergeable::Clean, MergeQueue::None)
    );
    assert_eq!(
        first.feedback.as_ref().unwrap().checks.state,
        ChecksState::Passing
    );
    assert_eq!(world.script.routes(), [PULL, FEED, RULES, BRANCH]);
    world.clock.advance(60);
    let second = seen(&world).await;
    assert_eq!(first, second);
    assert_eq!(world.script.seen()[0].headers["if-none-match"], "W/\"1\"");
    assert_eq!(world.script.routes(), [PULL, FEED]);
}

#[tokio::test]
async fn twenty_quiet_pull_requests_are_watched_for_an_hour_within_the_budget() {
    let world = world();
    for number in 1..=20 {
        let route = format!("GET /repos/o/r/pulls/{number}");
        let tag = format!("W/\"{number}\"");
        let body = with(pull(), "/number", json!(number));
        world
            .script
            .on(&route, [answer_with(200, &[("etag", &tag)], body)]);
    }
    for _ in 0..60 {
        for number in 1..=20 {
            let at = PullRequestUrl { number, ..seven() };
            world.github.observe(&at, Detail::Feedback).await.unwrap();
        }
        world.clock.advance(60);
    }
    // What did not change is answered without a body and costs no point.
    let free = |it: &&Seen| it.headers.contains_key("if-none-match");
    let seen = world.script.seen();
    let points = seen.len() - seen.iter().filter(free).count();
    assert!(points < 1500, "{points}");
    assert_eq!(world.script.count(FEED), 20 * 60);
    assert_eq!(world.script.count(RULES), 12);
}

#[tokio::test]
async fn rules_are_asked_again_when_they_are_old_or_forgotten() {
    let world = world();
    seen(&world).await;
    world.clock.advance(300);
    seen(&world).await;
    assert_eq!(world.script.count(RULES), 2);
    let host = seven().host;
    world.github.forget_repository(&RepositoryUrl {
        host,
        repository: name(),
    });
    seen(&world).await;
    assert_eq!(world.script.count(RULES), 3);
    // A ruleset of an organisation names no repository.
    for (repository, asked) in [(Some(name()), 4), (None, 5)] {
        world.github.heed(&Hint {
            delivery: String::new(),
            repository,
            subject: Subject::Settings,
            kind: HintKind::Settings,
        });
        seen(&world).await;
        assert_eq!(world.script.count(RULES), asked);
    }
}

#[tokio::test]
async fn trap_08_a_merge_that_is_still_computed_is_unknown_until_it_is_not() {
    let world = world();
    let computing = with(pull(), "/mergeable", Value::Null);
    let unknown = answer_with(200, &[("etag", "1")], computing);
    world.script.on(
        PULL,
        [
            unknown.clone(),
            unknown,
            answer_with(200, &[("etag", "2")], pull()),
        ],
    );
    let mut all = Vec::new();
    for _ in 0..3 {
        all.push(seen(&world).await.mergeable);
    }
    assert_eq!(
        all,
        [Mergeable::Unknown, Mergeable::Unknown, Mergeable::Clean]
    );
}

pub(crate) fn page(count: usize, next: Option<&str>) -> Value {
    json!({"nodes": vec![json!({"isResolved": false}); count],
           "pageInfo": {"hasNextPage": next.is_some(), "endCursor": next}})
}

fn more(head: &str, page: Value) -> Reply {
    let found = json!({"headRefOid": head, "reviewThreads": page});
    answer(200, json!({"data": {"repository": {"pullRequest": found}}}))
}

#[tokio::test]
async fn trap_14_threads_are_read_to_the_end() {
    let world = world();
    world.script.on(
        FEED,
        [answer(
            200,
            feed_with("/reviewThreads", page(100, Some("c1"))),
        )],
    );
    let pages = [
        more("abc", page(100, Some("c2"))),
        more("abc", page(3, None)),
    ];
    world.script.on("graphql MoreThreads", pages);
    let feedback = seen(&world).await.feedback.unwrap();
    assert_eq!(
        (feedback.unresolved_threads, feedback.threads_complete),
        (203, true)
    );
    let after: Vec<_> = world
        .script
        .seen()
        .iter()
        .map(|it| it.body["variables"]["after"].clone())
        .collect();
    assert!(after.contains(&json!("c1")) && after.contains(&json!("c2")));
}

#[tokio::test]
async fn trap_14_a_list_that_is_too_long_spoilt_or_of_another_head_is_incomplete() {
    let spoilt = json!({"data": {"repository": {"pullRequest": {"headRefOid": "abc", "reviewThreads": null}}},
                        "errors": [{"type": "RESOURCE_LIMITS_EXCEEDED", "message": "too much"}]});
    for reply in [
        more("abc", page(100, Some("again"))),
        more("moved", page(1, None)),
        answer(200, spoilt),
    ] {
        let world = world();
        world.script.on(
            FEED,
            [answer(
                200,
                feed_with("/reviewThreads", page(100, Some("c1"))),
            )],
        );
        world.script.on("graphql MoreThreads", [reply]);
        assert!(!seen(&world).await.feedback.unwrap().threads_complete);
        assert!(world.script.count("graphql MoreThreads") < 20);
    }
}

#[tokio::test]
async fn contexts_are_read_to_the_end() {
    let world = world();
    let first = json!({"nodes": [check("a")], "pageInfo": {"hasNextPage": true, "endCursor": "c"}});
    world.script.on(
        FEED,
        [answer(200, feed_with("/statusCheckRollup/contexts", first))],
    );
    let bad = with(check("b"), "/conclusion", json!("FAILURE"));
    let rollup = json!({"commit": {"oid": "abc"}, "contexts": nodes(json!([bad]))});
    let found = json!({"headRefOid": "abc", "statusCheckRollup": rollup});
    let reply = json!({"data": {"repository": {"pullRequest": found}}});
    world
        .script
        .on("graphql MoreContexts", [answer(200, reply)]);
    let feedback = seen(&world).await.feedback.unwrap();
    assert_eq!(feedback.checks.failing, ["b"]);
    assert!(feedback.checks_complete);
}

#[tokio::test]
async fn a_push_between_the_two_reads_is_read_again_once() {
    let world = world();
    let moved = feed_with("/headRefOid", json!("new"));
    let moved = with(
        moved,
        "/data/repository/pullRequest/statusCheckRollup/commit/oid",
        json!("new"),
    );
    let newer = with(pull(), "/head/sha", json!("new"));
    world
        .script
        .on(PULL, [answer(200, pull()), answer(200, newer)]);
    world.script.on(FEED, [answer(200, moved.clone())]);
    let found = seen(&world).await;
    assert_eq!(found.head_sha, "new");
    assert!(found.feedback.unwrap().checks_complete);

    let world = self::world();
    world.script.on(FEED, [answer(200, moved)]);
    let feedback = seen(&world).await.feedback.unwrap();
    assert!(!feedback.checks_complete && !feedback.threads_complete);
    assert_eq!(feedback.decision, Some(Decision::ReviewRequired));
    assert_eq!(world.script.count(FEED), 2);
}

#[tokio::test]
async fn another_base_between_the_two_reads_is_read_again_once() {
    let world = world();
    let retargeted = feed_with("/baseRefName", json!("release"));
    world.script.on(FEED, [answer(200, retargeted.clone())]);
    let feedback = seen(&world).await.feedback.unwrap();
    assert!(!feedback.checks_complete && !feedback.threads_complete);
    assert_eq!(feedback.decision, Some(Decision::ReviewRequired));
    assert_eq!(world.script.count(FEED), 2);

    let released = with(pull(), "/base/ref", json!("release"));
    world
        .script
        .on(PULL, [answer(200, pull()), answer(200, released)]);
    world.script.on(FEED, [answer(200, retargeted)]);
    for route in [RULES, BRANCH] {
        let route = route.replace("/main", "/release");
        let body = if route.contains("rules") {
            json!([])
        } else {
            json!({"name": "release", "protected": false})
        };
        world.script.on(&route, [answer(200, body)]);
    }
    let found = seen(&world).await;
    assert_eq!(found.base_branch, "release");
    assert!(found.feedback.unwrap().checks_complete);
}

#[tokio::test]
async fn trap_10_checks_that_may_not_be_read_are_incomplete_and_all_else_is_kept() {
    let world = world();
    let mut partial = feed_with("/statusCheckRollup", Value::Null);
    partial["errors"] = json!([{"type": "FORBIDDEN", "message": "Resource not accessible",
        "path": ["repository", "pullRequest", "statusCheckRollup"]}]);
    world.script.on(FEED, [answer(200, partial)]);
    let feedback = seen(&world).await.feedback.unwrap();
    assert!(!feedback.checks_complete && feedback.threads_complete);
}

#[tokio::test]
async fn trap_11_checks_of_a_fork_are_asked_of_the_base_repository() {
    let world = world();
    world
        .script
        .on(PULL, [answer(200, with(pull(), "/head/repo", Value::Null))]);
    let found = seen(&world).await;
    assert_eq!(found.head_repository, None);
    assert!(found.feedback.unwrap().checks_complete);
    let variables = world.script.only(FEED).body["variables"].clone();
    assert_eq!(
        (&variables["owner"], &variables["name"]),
        (&json!("o"), &json!("r"))
    );
}

#[tokio::test]
async fn trap_18_merged_is_final_whoever_did_it() {
    let world = world();
    let merged = with(
        with(pull(), "/merged", json!(true)),
        "/state",
        json!("closed"),
    );
    world.script.on(PULL, [answer(200, merged.clone())]);
    let found = seen(&world).await;
    assert_eq!(
        found.state,
        PullRequestState::Merged {
            commit: Some("test".to_owned())
        }
    );
    assert_eq!(found.feedback, None);
    assert_eq!(world.script.routes(), [PULL]);

    // API versions from 2026-03-10 on no longer tell the commit.
    world.script.on(
        PULL,
        [answer(200, with(merged, "/merge_commit_sha", Value::Null))],
    );
    let commit = json!({"data": {"repository": {"pullRequest": {"mergeCommit": {"oid": "m"}}}}});
    world
        .script
        .on("graphql MergeCommit", [answer(200, commit)]);
    let found = seen(&world).await;
    assert_eq!(
        found.state,
        PullRequestState::Merged {
            commit: Some("m".to_owned())
        }
    );
}

#[tokio::test]
async fn trap_24_a_draft_is_a_draft_although_it_is_mergeable() {
    let world = world();
    let draft = with(
        with(pull(), "/draft", json!(true)),
        "/mergeable_state",
        json!("draft"),
    );
    world.script.on(PULL, [answer(200, draft)]);
    let found = seen(&world).await;
    assert_eq!(
        (found.is_draft, found.mergeable),
        (true, Mergeable::Blocked)
    );
}

#[tokio::test]
async fn trap_31_a_writer_who_asks_for_changes_is_heard_without_a_rule_about_reviews() {
    let world = world();
    let review =
        json!({"state": "CHANGES_REQUESTED", "submittedAt": null, "commit": {"oid": "old"}});
    let feed = feed_with("/latestOpinionatedReviews", nodes(json!([review])));
    world.script.on(FEED, [answer(200, feed)]);
    assert_eq!(
        seen(&world).await.feedback.unwrap().decision,
        Some(Decision::ChangesRequested)
    );
}

#[tokio::test]
async fn trap_05_a_required_check_that_has_not_reported_is_pending() {
    let world = world();
    let rule = json!([{"type": "required_status_checks", "parameters":
        {"required_status_checks": [{"context": "deploy", "integration_id": 5}]}}]);
    world.script.on(RULES, [answer(200, rule)]);
    let checks = seen(&world).await.feedback.unwrap().checks;
    assert_eq!(
        (checks.state, checks.required_missing),
        (ChecksState::Pending, vec!["deploy".to_owned()])
    );
}

#[tokio::test]
async fn rules_are_paged_and_an_unreachable_page_leaves_them_unknown() {
    let rule = |name: &str| {
        json!([{"type": "required_status_checks", "parameters":
            {"required_status_checks": [{"context": name}]}}])
    };
    let world = world();
    let next = "<https://api.github.com/repositories/1/rules?page=2>; rel=\"next\"";
    world
        .script
        .on(RULES, [answer_with(200, &[("link", next)], rule("a"))]);
    world
        .script
        .on("GET /repositories/1/rules", [answer(200, rule("b"))]);
    let feedback = seen(&world).await.feedback.unwrap();
    assert_eq!(feedback.checks.required_missing, ["a", "b"]);
    assert!(feedback.checks_complete);

    let world = self::world();
    let elsewhere = "<https://evil.example/rules?page=2>; rel=\"next\"";
    world
        .script
        .on(RULES, [answer_with(200, &[("link", elsewhere)], rule("a"))]);
    assert!(!seen(&world).await.feedback.unwrap().checks_complete);
}

#[tokio::test]
async fn rules_that_may_not_be_read_leave_the_checks_incomplete() {
    let refused = json!({"message": "Resource not accessible by integration"});
    let world = world();
    world.script.on(RULES, [answer(403, refused)]);
    assert!(!seen(&world).await.feedback.unwrap().checks_complete);

    let world = self::world();
    let plan = json!({"message": "Upgrade to GitHub Pro or make this repository public to enable this feature."});
    world.script.on(RULES, [answer(403, plan)]);
    assert!(seen(&world).await.feedback.unwrap().checks_complete);

    // A fault of the server passes and must not look like a defect of this pull request.
    let world = self::world();
    world.script.on(RULES, [answer(502, Value::Null)]);
    assert_eq!(look(&world).await, Err(ForgeError::Server { status: 502 }));
}

#[tokio::test]
async fn unchanged_since_something_that_is_not_kept_is_asked_again() {
    let world = world();
    world
        .script
        .on(PULL, [answer(304, Value::Null), answer(200, pull())]);
    assert_eq!(seen(&world).await.head_sha, "abc");
    assert_eq!(world.script.count(PULL), 2);
}
