//! Merging a pull request.

use gastown_github::classify::MergeMethod;
use gastown_github::merge::{MergeRequest, MethodChoice};
use gastown_github::observation::{ForgeError, MergeOutcome};
use gastown_github::readiness::{MergeConditions, Stack};
use gastown_github::url::RepositoryName;
use serde_json::{Value, json};

use crate::script::*;

const ENQUEUE: &str = "graphql Enqueue";

/// Asks for seven at its head.
pub(crate) fn request() -> MergeRequest {
    MergeRequest {
        pull_request: seven(),
        repository: name(),
        method: MethodChoice::Auto,
        conditions: MergeConditions::for_head("abc"),
    }
}

async fn merge(world: &World) -> MergeOutcome {
    world.github.merge(&request()).await
}

fn merged(commit: &str) -> MergeOutcome {
    MergeOutcome::Merged {
        commit: Some(commit.to_owned()),
    }
}

fn says(status: u16, message: &str) -> Reply {
    answer(
        status,
        json!({"message": message, "status": status.to_string()}),
    )
}

fn refused(status: u16, message: &str) -> MergeOutcome {
    MergeOutcome::Refused {
        status,
        message: message.to_owned(),
    }
}

fn done() -> Reply {
    let message = "Pull Request successfully merged";
    answer(200, json!({"sha": "m", "merged": true, "message": message}))
}

#[tokio::test]
async fn trap_12_a_green_pull_request_is_merged_at_its_head() {
    let world = world();
    world.script.on(MERGE, [done()]);
    assert_eq!(merge(&world).await, merged("m"));
    let body = world.script.only(MERGE).body;
    assert_eq!(body, json!({"sha": "abc", "merge_method": "squash"}));
    assert_eq!(
        world.script.routes(),
        [PULL, FEED, RULES, BRANCH, REPOSITORY, MERGE]
    );
}

#[tokio::test]
async fn another_repository_is_not_even_asked() {
    let world = world();
    let repository = RepositoryName::parse("o/other").unwrap();
    let outcome = world
        .github
        .merge(&MergeRequest {
            repository,
            ..request()
        })
        .await;
    let MergeOutcome::Error { error } = outcome else {
        panic!("{outcome:?}")
    };
    assert!(matches!(error, ForgeError::RepositoryMismatch { .. }));
    assert!(world.script.seen().is_empty());
}

#[tokio::test]
async fn trap_09_and_25_a_fresh_look_decides() {
    for (pointer, value) in [
        ("/head/sha", json!("new")),
        ("/mergeable", Value::Null),
        ("/mergeable_state", json!("behind")),
        ("/draft", json!(true)),
        ("/state", json!("closed")),
        ("/stack", json!({"base": {"ref": "main", "sha": "base"}})),
    ] {
        let world = world();
        world
            .script
            .on(PULL, [answer(200, with(pull(), pointer, value))]);
        let outcome = merge(&world).await;
        assert!(
            matches!(outcome, MergeOutcome::NotReady { .. }),
            "{pointer}: {outcome:?}"
        );
        assert_eq!(world.script.count(MERGE), 0);
    }
}

#[tokio::test]
async fn trap_18_what_somebody_else_merged_is_merged() {
    let world = world();
    let over = with(
        with(pull(), "/merged", json!(true)),
        "/merge_commit_sha",
        json!("m"),
    );
    world.script.on(PULL, [answer(200, over)]);
    assert_eq!(merge(&world).await, merged("m"));
    assert_eq!(world.script.routes(), [PULL]);
}

#[tokio::test]
async fn trap_29_rules_are_judged_by_us_whatever_the_token_may_bypass() {
    // GitHub would let an administrator merge this one.
    let world = world();
    let rule = json!([{"type": "required_status_checks", "parameters":
        {"required_status_checks": [{"context": "deploy"}]}}]);
    world.script.on(RULES, [answer(200, rule)]);
    assert!(matches!(merge(&world).await, MergeOutcome::NotReady { .. }));
    assert_eq!(world.script.count(MERGE), 0);
}

#[tokio::test]
async fn rules_that_were_read_for_watching_are_asked_anew() {
    let world = world();
    world
        .github
        .observe(&seven(), gastown_github::observe::Detail::Feedback)
        .await
        .unwrap();
    world.script.on(MERGE, [done()]);
    merge(&world).await;
    assert_eq!(world.script.count(RULES), 2);
}

#[tokio::test]
async fn trap_28_a_lost_or_failed_answer_is_looked_up_and_never_sent_again() {
    let over = with(
        with(pull(), "/merged", json!(true)),
        "/merge_commit_sha",
        json!("m"),
    );
    let unclear = answer(200, json!({"message": "hm"}));
    for reply in [
        Reply::Lost,
        says(502, ""),
        says(504, ""),
        unclear,
        says(408, ""),
    ] {
        let world = world();
        world.script.on(MERGE, [reply.clone()]);
        world
            .script
            .on(PULL, [answer(200, pull()), answer(200, over.clone())]);
        assert_eq!(merge(&world).await, merged("m"), "{reply:?}");
        assert_eq!(world.script.count(MERGE), 1);

        let world = self::world();
        world.script.on(MERGE, [reply.clone()]);
        let outcome = merge(&world).await;
        assert!(
            matches!(outcome, MergeOutcome::Error { .. }),
            "{reply:?}: {outcome:?}"
        );
        assert_eq!(
            (world.script.count(MERGE), world.script.count(PULL)),
            (1, 2)
        );
    }
}

#[tokio::test]
async fn a_request_that_never_left_needs_no_second_look() {
    let world = world();
    world.script.on(MERGE, [Reply::NotSent]);
    assert!(matches!(merge(&world).await, MergeOutcome::Error { .. }));
    assert_eq!(
        (world.script.count(MERGE), world.script.count(PULL)),
        (1, 1)
    );
}

#[tokio::test]
async fn refusals_are_told_in_the_forges_own_words() {
    for (status, message) in [
        (
            405,
            "Base branch was modified. Review and try the merge again.",
        ),
        (405, "Pull Request is not mergeable"),
        (405, "Pull Request is still a draft"),
        (405, "Required status check \"ci\" is expected."),
        (
            405,
            "At least 1 approving review is required by reviewers with write access.",
        ),
        (405, "Something new"),
        (
            409,
            "Head branch was modified. Review and try the merge again.",
        ),
        (422, "Validation Failed"),
        (403, "Resource not accessible by integration"),
        (
            403,
            "Merging stacked PRs via this endpoint is not supported. Use the asynchronous merge endpoint instead.",
        ),
    ] {
        let world = world();
        world.script.on(MERGE, [says(status, message)]);
        assert_eq!(merge(&world).await, refused(status, message));
        assert_eq!(world.script.count(MERGE), 1);
    }
}

#[tokio::test]
async fn a_permission_that_is_missing_is_named() {
    let needs = [("x-accepted-github-permissions", "contents=write")];
    let forbidden = "Resource not accessible by integration";
    let stacked = "Merging stacked PRs via this endpoint is not supported.";
    for (message, told) in [
        (
            forbidden,
            "Resource not accessible by integration; it needs contents=write",
        ),
        (stacked, stacked),
    ] {
        let world = world();
        let refusal = answer_with(403, &needs, json!({"message": message}));
        world.script.on(MERGE, [refusal]);
        assert_eq!(merge(&world).await, refused(403, told));
    }
}

#[tokio::test]
async fn a_limit_is_an_error_and_no_refusal() {
    let world = world();
    let limited = says(403, "You have exceeded a secondary rate limit.");
    world.script.on(MERGE, [limited]);
    let error = ForgeError::RateLimited { until: at(60) };
    assert_eq!(merge(&world).await, MergeOutcome::Error { error });
    assert_eq!(world.script.count(MERGE), 1);
}

#[tokio::test]
async fn trap_26_a_method_that_a_rule_forbids_is_not_tried() {
    let world = world();
    let rule =
        json!([{"type": "pull_request", "parameters": {"allowed_merge_methods": ["rebase"]}}]);
    world.script.on(RULES, [answer(200, rule)]);
    world.script.on(MERGE, [done()]);
    assert_eq!(merge(&world).await, merged("m"));
    assert_eq!(world.script.only(MERGE).body["merge_method"], "rebase");

    let only = MethodChoice::Only(MergeMethod::Squash);
    let outcome = world
        .github
        .merge(&MergeRequest {
            method: only,
            ..request()
        })
        .await;
    assert!(matches!(outcome, MergeOutcome::Refused { status: 405, .. }));
    assert_eq!(world.script.count(MERGE), 1);
}

#[tokio::test]
async fn trap_26_a_method_that_turns_out_to_be_forbidden_is_followed_by_the_next() {
    let world = world();
    let no_squash = "Squash merges are not allowed on this repository.";
    world.script.on(MERGE, [says(405, no_squash), done()]);
    assert_eq!(merge(&world).await, merged("m"));
    let tried: Vec<_> = world
        .script
        .seen()
        .into_iter()
        .filter(|it| it.route == MERGE)
        .collect();
    let methods: Vec<_> = tried
        .iter()
        .map(|it| it.body["merge_method"].clone())
        .collect();
    assert_eq!(methods, [json!("squash"), json!("merge")]);

    let world = self::world();
    world.script.on(MERGE, [says(405, no_squash)]);
    let only = MethodChoice::Only(MergeMethod::Squash);
    let outcome = world
        .github
        .merge(&MergeRequest {
            method: only,
            ..request()
        })
        .await;
    assert_eq!(outcome, refused(405, no_squash));
    assert_eq!(world.script.count(MERGE), 1);
}

#[tokio::test]
async fn trap_09_each_further_try_has_a_look_of_its_own() {
    let drafted = answer(200, with(pull(), "/draft", json!(true)));
    for refusal in [
        "Squash merges are not allowed on this repository.",
        "Changes must be made through the merge queue",
    ] {
        let world = world();
        world.script.on(MERGE, [says(405, refusal), done()]);
        world.script.on(ENQUEUE, [queued()]);
        world
            .script
            .on(PULL, [answer(200, pull()), drafted.clone()]);
        let outcome = merge(&world).await;
        assert!(
            matches!(outcome, MergeOutcome::NotReady { .. }),
            "{outcome:?}"
        );
        assert_eq!(world.script.count(MERGE), 1);
        assert_eq!(world.script.count(ENQUEUE), 0);
    }
    // So has one with another token, whose owner has a turn of its own.
    let world = world_with(
        &["ghp_first", "ghp_second"],
        gastown_github::GitHubConfig::default(),
    );
    world
        .script
        .on(MERGE, [says(401, "Bad credentials"), done()]);
    world.script.on(PULL, [answer(200, pull()), drafted]);
    assert!(matches!(merge(&world).await, MergeOutcome::NotReady { .. }));
    assert_eq!(world.script.count(MERGE), 1);
}

fn queued() -> Reply {
    answer(
        200,
        json!({"data": {"enqueuePullRequest": {"clientMutationId": null}}}),
    )
}

#[tokio::test]
async fn trap_27_where_a_queue_is_required_it_gets_the_pull_request_and_the_head() {
    let world = world();
    world.script.on(
        FEED,
        [answer(200, feed_with("/isMergeQueueEnabled", json!(true)))],
    );
    world.script.on(ENQUEUE, [queued()]);
    assert_eq!(merge(&world).await, MergeOutcome::Queued);
    let variables = world.script.only(ENQUEUE).body["variables"].clone();
    assert_eq!(variables, json!({"id": "PR_7", "head": "abc"}));
    assert_eq!(world.script.count(MERGE), 0);
}

#[tokio::test]
async fn trap_27_a_queue_that_shows_only_in_the_refusal_is_used_too() {
    for message in [
        "Changes must be made through the merge queue",
        "Repository rule violations found\n\nChanges must be made through the merge queue",
    ] {
        let world = world();
        world.script.on(MERGE, [says(405, message)]);
        world.script.on(ENQUEUE, [queued()]);
        assert_eq!(merge(&world).await, MergeOutcome::Queued);
        assert_eq!(world.script.count(MERGE), 1);
    }
    let world = world();
    world
        .script
        .on(MERGE, [says(405, "Pull Request is in the merge queue")]);
    assert_eq!(merge(&world).await, MergeOutcome::Queued);
}

#[tokio::test]
async fn trap_19_what_is_queued_is_not_queued_again() {
    let world = world();
    world.script.on(
        FEED,
        [answer(200, feed_with("/isInMergeQueue", json!(true)))],
    );
    assert!(matches!(merge(&world).await, MergeOutcome::NotReady { .. }));
}

#[tokio::test]
async fn trap_20_who_took_it_out_and_cannot_be_read_keeps_it_out() {
    let world = world();
    let enabled = feed_with("/isMergeQueueEnabled", json!(true));
    let mut spoilt = with(
        enabled,
        "/data/repository/pullRequest/timelineItems",
        Value::Null,
    );
    spoilt["errors"] = json!([{"type": "FORBIDDEN", "message": "Resource not accessible",
        "path": ["repository", "pullRequest", "timelineItems"]}]);
    world.script.on(FEED, [answer(200, spoilt)]);
    assert!(matches!(merge(&world).await, MergeOutcome::NotReady { .. }));
    assert_eq!(world.script.count(ENQUEUE), 0);
}

#[tokio::test]
async fn a_queue_that_refuses_is_told_from_one_that_fails() {
    let enabled = answer(200, feed_with("/isMergeQueueEnabled", json!(true)));
    let error = |kind: &str| {
        let error = json!({"type": kind, "message": "no", "path": ["enqueuePullRequest"]});
        answer(
            200,
            json!({"data": {"enqueuePullRequest": null}, "errors": [error]}),
        )
    };
    let untyped = answer(
        200,
        json!({"data": null, "errors": [{"message": "Something went wrong"}]}),
    );
    for (reply, status) in [
        (error("UNPROCESSABLE"), Some(422)),
        (error("FORBIDDEN"), Some(403)),
        (untyped, None),
        (Reply::Lost, None),
    ] {
        let world = world();
        world.script.on(FEED, [enabled.clone()]);
        world.script.on(ENQUEUE, [reply]);
        let outcome = merge(&world).await;
        match status {
            Some(status) => assert_eq!(outcome, refused(status, "no")),
            None => assert!(matches!(outcome, MergeOutcome::Error { .. }), "{outcome:?}"),
        }
        assert_eq!(world.script.count(ENQUEUE), 1);
    }
}

#[tokio::test]
async fn trap_32_a_stack_is_merged_only_when_told() {
    let route = "PUT /repos/o/r/pulls/7/merge-async";
    let world = world();
    let stacked = with(
        pull(),
        "/stack",
        json!({"base": {"ref": "main", "sha": "base"}}),
    );
    world.script.on(PULL, [answer(200, stacked)]);
    world.script.on(
        route,
        [answer(
            202,
            json!({"status": "pending", "details": {"uuid": "u"}}),
        )],
    );
    let mut told = request();
    told.conditions.stack = Stack::MergedWithAllBelow;
    assert_eq!(world.github.merge(&told).await, MergeOutcome::Queued);
    assert_eq!(world.script.only(route).body["sha"], "abc");
    world.script.on(
        route,
        [answer(
            200,
            json!({"status": "merged", "details": {"sha": "m"}}),
        )],
    );
    assert_eq!(world.github.merge(&told).await, merged("m"));
    world
        .script
        .on(route, [says(409, "A merge request already exists")]);
    assert_eq!(
        world.github.merge(&told).await,
        refused(409, "A merge request already exists")
    );
    assert_eq!(world.script.count(MERGE), 0);
}

#[tokio::test]
async fn trap_16_a_redirected_merge_keeps_method_body_and_token() {
    let world = world();
    let to = [(
        "location",
        "https://api.github.com/repositories/1/pulls/7/merge",
    )];
    world.script.on(
        MERGE,
        [answer_with(
            307,
            &to,
            json!({"message": "Temporary Redirect"}),
        )],
    );
    let moved = "PUT /repositories/1/pulls/7/merge";
    world.script.on(moved, [done()]);
    assert_eq!(merge(&world).await, merged("m"));
    let followed = world.script.only(moved);
    assert_eq!(followed.body["sha"], "abc");
    assert_eq!(followed.headers["authorization"], "Bearer ghp_first");
}

#[tokio::test]
async fn trap_17_a_merge_is_never_redirected_to_another_origin() {
    let world = world();
    let to = [("location", "https://evil.example/repos/o/r/pulls/7/merge")];
    world.script.on(MERGE, [answer_with(307, &to, json!({}))]);
    assert!(matches!(merge(&world).await, MergeOutcome::Error { .. }));
    assert!(
        world
            .script
            .seen()
            .iter()
            .all(|it| it.url.starts_with("https://api.github.com/"))
    );
}

#[tokio::test]
async fn a_refused_token_on_the_merge_moves_on_to_the_next() {
    let world = world_with(
        &["ghp_first", "ghp_second"],
        gastown_github::GitHubConfig::default(),
    );
    world
        .script
        .on(MERGE, [says(401, "Bad credentials"), done()]);
    assert_eq!(merge(&world).await, merged("m"));
}
