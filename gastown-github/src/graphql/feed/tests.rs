use super::*;
use serde_json::{Value, json};

fn run(name: &str) -> Value {
    json!({"__typename": "CheckRun", "name": name, "status": "COMPLETED",
               "conclusion": "SUCCESS", "startedAt": "2026-01-01T00:00:00Z", "isRequired": false,
               "checkSuite": {"app": {"databaseId": 5}, "workflowRun": null}})
}

fn connection(nodes: Value) -> Value {
    json!({"nodes": nodes, "pageInfo": {"hasNextPage": false, "endCursor": null}})
}

fn answer() -> Value {
    json!({"data": {"repository": {"pullRequest": {
        "id": "PR_1", "headRefOid": "abc", "baseRefName": "main", "reviewDecision": null,
        "isInMergeQueue": false, "isMergeQueueEnabled": true, "timelineItems": {"nodes": []},
        "baseRef": {"refUpdateRule": null},
        "reviewThreads": connection(json!([{"isResolved": true}])),
        "latestOpinionatedReviews": connection(json!([])),
        "statusCheckRollup": {"commit": {"oid": "abc"}, "contexts": connection(json!([run("ci")]))},
        "potentialMergeCommit": null,
    }}}})
}

fn read(value: &Value) -> Feed {
    let envelope = Envelope::read(value.to_string().as_bytes()).unwrap();
    feed(&envelope, MergeQueueSupport::Present).unwrap()
}

/// The answer with one place changed and one error added.
fn with(path: &str, value: Value, errors: Value) -> Feed {
    let mut answer = answer();
    *answer
        .pointer_mut(&format!("/data/repository/pullRequest{path}"))
        .unwrap() = value;
    answer["errors"] = errors;
    read(&answer)
}

fn forbidden(path: &[&str]) -> Value {
    let mut full = vec!["repository", "pullRequest"];
    full.extend(path);
    json!([{"type": "FORBIDDEN", "path": full, "message": "Resource not accessible"}])
}

#[test]
fn a_whole_answer_is_whole() {
    let found = read(&answer());
    assert!(found.threads.whole && found.reviews.whole && found.contexts.whole);
    assert_eq!(
        (found.decision, found.queue_enabled),
        (Some(None), Some(true))
    );
    assert_eq!(
        (found.contexts.items.len(), found.threads.items.len()),
        (1, 1)
    );
    assert_eq!(found.branch_rule, Some(BranchRule::default()));
}

#[test]
fn trap_10_a_gate_that_may_not_be_read_is_unknown_and_not_absent() {
    let unreadable = with(
        "/statusCheckRollup",
        json!(null),
        forbidden(&["statusCheckRollup"]),
    );
    assert!(!unreadable.contexts.whole);
    assert!(unreadable.threads.whole);
    let absent = with("/statusCheckRollup", json!(null), json!([]));
    assert!(absent.contexts.whole && absent.contexts.items.is_empty());
    let decision = with(
        "/reviewDecision",
        json!(null),
        forbidden(&["reviewDecision"]),
    );
    assert_eq!(decision.decision, None);
    let queue = with(
        "/isInMergeQueue",
        json!(null),
        forbidden(&["isInMergeQueue"]),
    );
    assert_eq!((queue.in_queue, queue.queue_enabled), (None, Some(true)));
    let rule = with(
        "/baseRef/refUpdateRule",
        json!(null),
        forbidden(&["baseRef", "refUpdateRule"]),
    );
    assert_eq!(rule.branch_rule, None);
}

#[test]
fn trap_10_a_timeline_that_may_not_be_read_does_not_say_that_nobody_took_it_out() {
    let event = |at: Value| {
        json!({"__typename": "RemovedFromMergeQueueEvent", "createdAt": at, "reason": "manual",
               "actor": {"__typename": "User"}})
    };
    let place = "/timelineItems";
    let refused = with(place, json!(null), forbidden(&["timelineItems"]));
    let item = forbidden(&["timelineItems", "nodes", "0"]);
    let spoilt = with("/timelineItems/nodes", json!([null]), item);
    assert_eq!((refused.dequeued, spoilt.dequeued), (None, None));
    for nodes in [
        json!(null),
        json!([null]),
        json!([{}]),
        json!([event(json!(null))]),
    ] {
        let found = with("/timelineItems/nodes", nodes.clone(), json!([]));
        assert_eq!(found.dequeued, None, "{nodes}");
    }
    let nobody = with("/timelineItems/nodes", json!([]), json!([]));
    assert_eq!(nobody.dequeued, Some(None));
    let at = json!("2026-01-01T00:00:00Z");
    let by_hand = with("/timelineItems/nodes", json!([event(at)]), json!([]));
    let cause = by_hand.dequeued.flatten().map(|it| it.cause);
    assert_eq!(cause, Some(DequeueCause::Person));
}

#[test]
fn a_workflow_that_may_not_be_read_costs_only_the_identity_of_the_run() {
    let path = [
        "statusCheckRollup",
        "contexts",
        "nodes",
        "0",
        "checkSuite",
        "workflowRun",
    ];
    let found = with("/isInMergeQueue", json!(false), forbidden(&path));
    assert!(found.contexts.whole);
    let Context::Run(run) = &found.contexts.items[0] else {
        panic!("a status")
    };
    assert_eq!(run.identity, RunIdentity::Unknown);
    let app = [
        "statusCheckRollup",
        "contexts",
        "nodes",
        "0",
        "checkSuite",
        "app",
    ];
    assert!(
        !with("/isInMergeQueue", json!(false), forbidden(&app))
            .contexts
            .whole
    );
}

#[test]
fn reports_on_another_commit_are_incomplete() {
    let found = with("/statusCheckRollup/commit/oid", json!("older"), json!([]));
    assert!(!found.contexts.whole);
}

#[test]
fn nodes_that_cannot_be_understood_make_a_list_incomplete() {
    for nodes in [
        json!([null]),
        json!([{"__typename": "Invented"}]),
        json!([{"__typename": "CheckRun", "status": "COMPLETED"}]),
        json!(null),
    ] {
        let found = with(
            "/statusCheckRollup/contexts/nodes",
            nodes.clone(),
            json!([]),
        );
        assert!(!found.contexts.whole, "{nodes}");
    }
    assert!(
        !with("/reviewThreads/nodes", json!([{}]), json!([]))
            .threads
            .whole
    );
    assert!(
        !with("/reviewThreads/pageInfo", json!(null), json!([]))
            .threads
            .whole
    );
    let lost = json!({"hasNextPage": true, "endCursor": null});
    assert!(
        !with("/reviewThreads/pageInfo", lost, json!([]))
            .threads
            .whole
    );
}

#[test]
fn trap_30_reports_on_the_test_merge_count_if_it_is_of_this_head() {
    let merge = |parent: &str| {
        json!({"oid": "m", "parents": {"nodes": [{"oid": "base"}, {"oid": parent}]},
                   "statusCheckRollup": {"contexts": connection(json!([run("ci")]))}})
    };
    let of_head = with("/potentialMergeCommit", merge("abc"), json!([]));
    assert_eq!(of_head.merge_contexts.items.len(), 1);
    let of_older = with("/potentialMergeCommit", merge("older"), json!([]));
    assert!(of_older.merge_contexts.whole && of_older.merge_contexts.items.is_empty());
}

#[test]
fn trap_01_every_word_of_a_check_has_its_meaning() {
    for word in ["SUCCESS", "NEUTRAL"] {
        assert_eq!(
            conclusion("COMPLETED", Some(word)),
            Conclusion::Passed,
            "{word}"
        );
    }
    assert_eq!(
        conclusion("COMPLETED", Some("SKIPPED")),
        Conclusion::Skipped
    );
    for word in [
        "FAILURE",
        "CANCELLED",
        "TIMED_OUT",
        "ACTION_REQUIRED",
        "STALE",
        "STARTUP_FAILURE",
        "NEW",
    ] {
        assert_eq!(
            conclusion("COMPLETED", Some(word)),
            Conclusion::Failed,
            "{word}"
        );
    }
    assert_eq!(conclusion("COMPLETED", None), Conclusion::Failed);
    for word in [
        "QUEUED",
        "IN_PROGRESS",
        "WAITING",
        "PENDING",
        "REQUESTED",
        "NEW",
    ] {
        assert_eq!(
            conclusion(word, Some("SUCCESS")),
            Conclusion::Unfinished,
            "{word}"
        );
    }
}

#[test]
fn a_pull_request_that_is_not_there_is_told_from_a_repository_that_is_not() {
    for (repository, path, repository_readable) in [
        (
            json!({"pullRequest": null}),
            vec!["repository", "pullRequest"],
            true,
        ),
        (json!(null), vec!["repository"], false),
    ] {
        let answer = json!({"data": {"repository": repository},
                            "errors": [{"type": "NOT_FOUND", "path": path}]});
        let envelope = Envelope::read(answer.to_string().as_bytes()).unwrap();
        let missing = ForgeError::NotFound {
            repository_readable,
        };
        assert_eq!(merge_commit(&envelope), Err(missing.clone()));
        assert_eq!(feed(&envelope, MergeQueueSupport::Present), Err(missing));
    }
}
