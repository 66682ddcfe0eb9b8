//! The engine's port, in the core's words.

use gastown_core::forges::{
    CommentRequest, CreateBranchRequest, MergeRequest, Mergeable, ObserveRequest, PrState,
    RepositoryRef, VerifyRequest,
};
use gastown_core::reviews::{Certificate, CertifiedCondition};
use gastown_core::{Forge, ForgeError, MergeMethod, MergeOutcome, Timestamp, VerifyOutcome};
use serde_json::{Value, json};

use crate::script::*;

const SEVEN: &str = "https://github.com/o/r/pull/7";

pub(crate) fn rig(git_url: &str) -> RepositoryRef {
    RepositoryRef {
        town_id: "t1".parse().unwrap(),
        rig_id: Some("r1".parse().unwrap()),
        git_url: git_url.to_owned(),
        default_branch: "main".to_owned(),
    }
}

fn look(rig: Option<RepositoryRef>, url: &str, with_feedback: bool) -> ObserveRequest {
    ObserveRequest {
        repository: rig,
        town_id: "t1".parse().unwrap(),
        pr_url: url.to_owned(),
        with_feedback,
    }
}

/// A certificate of this head with these values of the two conditions that a merge reads.
pub(crate) fn certificate(
    repository: &str,
    head: &str,
    checks: &str,
    decision: &str,
) -> Certificate {
    let condition = |name: &str, value: &str| CertifiedCondition {
        name: name.to_owned(),
        value: value.to_owned(),
        head_sha: head.to_owned(),
        observed_at: Timestamp::from(at(0)),
    };
    Certificate {
        head_sha: head.to_owned(),
        base_branch: "main".to_owned(),
        rig_id: "r1".parse().unwrap(),
        repository: repository.to_owned(),
        method: MergeMethod::Auto,
        delay: 300,
        ready_since: Timestamp::from(at(0)),
        reviewed: None,
        conditions: vec![condition("checks", checks), condition("decision", decision)],
        config_hash: "0".to_owned(),
    }
}

fn merge(checks: &str, decision: &str) -> MergeRequest {
    MergeRequest {
        repository: rig("https://github.com/o/r.git"),
        pr_url: SEVEN.to_owned(),
        head_sha: "abc".to_owned(),
        method: MergeMethod::Auto,
        certificate: certificate("o/r", "abc", checks, decision),
    }
}

#[tokio::test]
async fn a_look_is_told_in_the_cores_words() {
    let world = world();
    let forge: &dyn Forge = &world.github;
    let rig = rig("git@github.com:O/R.git");
    let seen = forge.observe(look(Some(rig), SEVEN, true)).await.unwrap();
    assert_eq!(
        serde_json::to_value(&seen).unwrap(),
        json!({"state": "open", "merge_commit": null, "head_sha": "abc", "head_branch": "work",
            "head_repository": "o/r", "base_branch": "main", "is_draft": false, "stacked": false,
            "mergeable": "clean", "merge_queue": "none", "api_budget": null,
            "feedback": {"unresolved_threads": 0, "threads_complete": true,
                "checks": {"state": "passing", "failing": [], "pending": [],
                           "required_missing": []},
                "checks_complete": true, "decision": null, "decision_head": null}})
    );
    // Without a rig the address alone says where to look, and less is looked at.
    let bare = forge.observe(look(None, SEVEN, false)).await.unwrap();
    assert_eq!(bare.feedback, None);
}

#[tokio::test]
async fn what_was_not_read_is_not_fine_in_the_cores_words() {
    let world = world();
    let forbidden = json!([{"type": "FORBIDDEN", "message": "no",
                            "path": ["repository", "pullRequest", "statusCheckRollup"]}]);
    let feed = with(
        feed_with("/statusCheckRollup", Value::Null),
        "/errors",
        forbidden,
    );
    world.script.on(FEED, [answer(200, feed)]);
    world
        .script
        .on(PULL, [answer(200, with(pull(), "/mergeable", Value::Null))]);
    let request = look(None, SEVEN, true);
    let seen = Forge::observe(&world.github, request).await.unwrap();
    assert_eq!(seen.mergeable, Mergeable::Unknown);
    assert!(!seen.feedback.unwrap().checks_complete);
}

#[tokio::test]
async fn a_merged_pull_request_is_told_with_its_commit() {
    let world = world();
    let merged = with(
        with(pull(), "/merged", json!(true)),
        "/state",
        json!("closed"),
    );
    world.script.on(PULL, [answer(200, merged)]);
    let seen = Forge::observe(&world.github, look(None, SEVEN, true)).await;
    let seen = seen.unwrap();
    assert_eq!(
        (seen.state, seen.merge_commit.as_deref()),
        (PrState::Merged, Some("test"))
    );
}

#[tokio::test]
async fn another_repository_host_or_address_is_never_asked() {
    let world = world();
    let ours = "https://github.com/o/r.git";
    for (git_url, url, expected) in [
        (
            ours,
            "https://github.com/o/other/pull/7",
            ForgeError::RepositoryMismatch,
        ),
        (
            ours,
            "https://evil.example/o/r/pull/7",
            ForgeError::HostNotAllowed,
        ),
        (
            ours,
            "https://github.com/o/r/issues/7",
            ForgeError::UnrecognizedUrl,
        ),
        ("/srv/git/r.git", SEVEN, ForgeError::RepositoryMismatch),
        (
            "https://git.example/o/r.git",
            SEVEN,
            ForgeError::HostNotAllowed,
        ),
    ] {
        let request = look(Some(rig(git_url)), url, true);
        let error = Forge::observe(&world.github, request).await.unwrap_err();
        assert_eq!(error, expected, "{git_url} {url}");
        let request = MergeRequest {
            repository: rig(git_url),
            pr_url: url.to_owned(),
            ..merge("passing", "approved")
        };
        let outcome = Forge::merge(&world.github, request).await;
        assert_eq!(outcome, MergeOutcome::Error { error }, "{git_url} {url}");
    }
    assert!(world.script.seen().is_empty());
}

#[tokio::test]
async fn a_repository_of_the_same_name_on_another_host_is_another_one() {
    use gastown_github::GitHubConfig;
    use gastown_github::url::{AllowedHosts, ForgeHost};
    let server = ForgeHost::named("git.example").unwrap();
    let config = GitHubConfig {
        hosts: AllowedHosts::new([ForgeHost::github_com(), server]),
        ..GitHubConfig::default()
    };
    let world = world_with(&["ghp_first"], config);
    let request = look(Some(rig("https://git.example/o/r.git")), SEVEN, true);
    let error = Forge::observe(&world.github, request).await.unwrap_err();
    assert_eq!(error, ForgeError::RepositoryMismatch);
    assert!(world.script.seen().is_empty());
}

#[tokio::test]
async fn a_certified_merge_is_made_and_told_with_its_commit() {
    let world = world();
    let done = json!({"merged": true, "sha": "m1", "message": "done"});
    world.script.on(MERGE, [answer(200, done)]);
    let outcome = Forge::merge(&world.github, merge("passing", "approved")).await;
    let commit = "m1".to_owned();
    assert_eq!(outcome, MergeOutcome::Merged { commit });
    let body = world.script.only(MERGE).body;
    assert_eq!(body, json!({"sha": "abc", "merge_method": "squash"}));
}

#[tokio::test]
async fn what_was_not_certified_is_not_merged() {
    let without = || feed_with("/statusCheckRollup", Value::Null);
    let approved_earlier = || {
        let reviews = nodes(
            json!([{"state": "APPROVED", "submittedAt": "2026-01-01T00:00:00Z",
                                    "commit": {"oid": "older"}}]),
        );
        let feed = feed_with("/latestOpinionatedReviews", reviews);
        with(
            feed,
            "/data/repository/pullRequest/reviewDecision",
            json!("APPROVED"),
        )
    };
    let done = || answer(200, json!({"merged": true, "sha": "m1", "message": "done"}));
    for (feed, checks, decision, merges) in [
        (without(), "passing", "approved", false),
        (without(), "none", "approved", true),
        (approved_earlier(), "passing", "approved", false),
        (
            approved_earlier(),
            "passing",
            "approved, for an older head",
            true,
        ),
    ] {
        let world = world();
        world.script.on(FEED, [answer(200, feed)]);
        world.script.on(MERGE, [done()]);
        let outcome = Forge::merge(&world.github, merge(checks, decision)).await;
        let merged = matches!(outcome, MergeOutcome::Merged { .. });
        assert_eq!(merged, merges, "{checks} {decision}: {outcome:?}");
        let refused = matches!(outcome, MergeOutcome::NotReady { .. });
        assert_eq!(refused, !merges, "{outcome:?}");
    }
}

#[tokio::test]
async fn a_certificate_of_another_head_repository_or_base_merges_nothing() {
    let world = world();
    let mut other_head = merge("passing", "approved");
    other_head.certificate.head_sha = "older".to_owned();
    let outcome = Forge::merge(&world.github, other_head).await;
    assert!(
        matches!(outcome, MergeOutcome::Refused { status: 409, .. }),
        "{outcome:?}"
    );
    let mut other_repository = merge("passing", "approved");
    other_repository.certificate.repository = "o/other".to_owned();
    let outcome = Forge::merge(&world.github, other_repository).await;
    let error = ForgeError::RepositoryMismatch;
    assert_eq!(outcome, MergeOutcome::Error { error });
    assert!(world.script.seen().is_empty());
    let mut other_base = merge("passing", "approved");
    other_base.certificate.base_branch = "release".to_owned();
    let outcome = Forge::merge(&world.github, other_base).await;
    assert!(
        matches!(outcome, MergeOutcome::NotReady { .. }),
        "{outcome:?}"
    );
}

#[tokio::test]
async fn the_other_operations_go_through_the_port() {
    let world = world();
    let forge: &dyn Forge = &world.github;
    let rig = rig("https://github.com/o/r.git");
    let on = |branch: &str, sha: &str| json!({"ref": format!("refs/heads/{branch}"), "object": {"sha": sha, "type": "commit"}});
    world.script.on(
        "GET /repos/o/r/git/ref/heads/main",
        [answer(200, on("main", "m0"))],
    );
    let made = answer(201, on("convoy/x/1/head", "m0"));
    world.script.on("POST /repos/o/r/git/refs", [made]);
    let branch = "convoy/x/1/head".to_owned();
    let request = CreateBranchRequest {
        repository: rig.clone(),
        branch,
    };
    assert_eq!(forge.create_branch(request).await, Ok(()));
    world.script.on(
        "POST /repos/o/r/issues/7/comments",
        [
            answer(201, json!({})),
            answer(403, json!({"message": "locked"})),
        ],
    );
    let comment = CommentRequest {
        repository: rig.clone(),
        pr_url: SEVEN.to_owned(),
        text: "hello".to_owned(),
    };
    assert_eq!(forge.comment(comment.clone()).await, Ok(()));
    assert_eq!(forge.comment(comment).await, Err(ForgeError::Forbidden));
    // A world that can't be asked leaves it open whether the work has landed.
    world.script.on(
        "GET /repos/o/r/compare/main...work",
        [answer(500, json!({"message": "no"}))],
    );
    let verify = VerifyRequest {
        repository: rig,
        branch: "work".to_owned(),
        target_branch: "main".to_owned(),
        merge_commit: None,
    };
    assert_eq!(forge.verify_merge(verify).await, VerifyOutcome::Unknown);
}
