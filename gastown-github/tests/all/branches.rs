//! Branches: creating them, and whether their work has landed.

use gastown_github::branch::{BranchStart, LandingQuestion};
use gastown_github::observation::{BranchOutcome, ForgeError, Landing};
use gastown_github::url::{ForgeHost, RepositoryUrl};
use serde_json::{Value, json};

use crate::script::*;

const CREATE: &str = "POST /repos/o/r/git/refs";
const MAIN: &str = "GET /repos/o/r/git/ref/heads/main";
const WORK: &str = "GET /repos/o/r/git/ref/heads/gt/work";

fn repository() -> RepositoryUrl {
    RepositoryUrl {
        host: ForgeHost::github_com(),
        repository: name(),
    }
}

fn branch(name: &str, sha: &str) -> Reply {
    answer(
        200,
        json!({"ref": format!("refs/heads/{name}"), "object": {"sha": sha}}),
    )
}

fn missing() -> Reply {
    answer(404, json!({"message": "Not Found"}))
}

fn compared(world: &World, from: &str, to: &str, status: &str) {
    let route = format!("GET /repos/o/r/compare/{from}...{to}");
    let body = json!({"status": status, "merge_base_commit": {"sha": "fork"}});
    world.script.on(&route, [answer(200, body)]);
}

async fn create(world: &World) -> BranchOutcome {
    world.script.on(MAIN, [branch("main", "tip")]);
    let start = BranchStart::Branch("main".to_owned());
    world
        .github
        .create_branch(&repository(), "gt/work", &start)
        .await
}

fn created(sha: &str) -> BranchOutcome {
    BranchOutcome::Created {
        sha: sha.to_owned(),
    }
}

#[tokio::test]
async fn a_branch_is_created_where_the_start_is_now() {
    let world = world();
    world.script.on(CREATE, [answer(201, json!({}))]);
    assert_eq!(create(&world).await, created("tip"));
    let body = world.script.only(CREATE).body;
    assert_eq!(body, json!({"ref": "refs/heads/gt/work", "sha": "tip"}));
}

#[tokio::test]
async fn a_branch_that_exists_is_read_and_compared() {
    let exists = answer(422, json!({"message": "Reference already exists"}));
    let world = world();
    world.script.on(CREATE, [exists]);
    world.script.on(WORK, [branch("gt/work", "tip")]);
    assert_eq!(create(&world).await, created("tip"));

    // Made by an earlier request, before the start moved on.
    world.script.on(WORK, [branch("gt/work", "earlier")]);
    compared(&world, "tip", "earlier", "behind");
    assert_eq!(create(&world).await, created("earlier"));

    world.script.on(WORK, [branch("gt/work", "other")]);
    compared(&world, "tip", "other", "diverged");
    assert_eq!(
        create(&world).await,
        BranchOutcome::Conflict {
            sha: "other".to_owned()
        }
    );

    world.script.on(WORK, [missing()]);
    let message = "Reference already exists".to_owned();
    assert_eq!(
        create(&world).await,
        BranchOutcome::Refused {
            status: 422,
            message
        }
    );
}

#[tokio::test]
async fn a_lost_answer_is_looked_up_and_not_sent_again() {
    for reply in [Reply::Lost, answer(502, Value::Null)] {
        let world = world();
        world.script.on(CREATE, [reply]);
        world.script.on(WORK, [branch("gt/work", "tip")]);
        assert_eq!(create(&world).await, created("tip"));
        world.script.on(WORK, [missing()]);
        assert!(matches!(create(&world).await, BranchOutcome::Error { .. }));
        assert_eq!(world.script.count(CREATE), 2);
    }
}

const PULLS: &str = "GET /repos/o/r/pulls";

fn asked(merge_commit: Option<&str>) -> LandingQuestion {
    LandingQuestion {
        repository: repository(),
        branch: "gt/work".to_owned(),
        target: "main".to_owned(),
        merge_commit: merge_commit.map(str::to_owned),
    }
}

/// A world where the branch has work, at `tip`, that the target lacks.
fn landing_world() -> World {
    let world = world();
    world.script.on(WORK, [branch("gt/work", "tip")]);
    world.script.on(PULLS, [answer(200, json!([]))]);
    compared(&world, "main", "gt%2Fwork", "diverged");
    world
}

async fn landing(world: &World, merge_commit: Option<&str>) -> Landing {
    world
        .github
        .verify_landing(&asked(merge_commit))
        .await
        .unwrap()
}

fn landed(commit: &str) -> Landing {
    Landing::Landed {
        commit: commit.to_owned(),
    }
}

#[tokio::test]
async fn work_that_the_target_contains_has_landed() {
    let world = landing_world();
    compared(&world, "main", "gt%2Fwork", "behind");
    assert_eq!(landing(&world, None).await, landed("tip"));
    compared(&world, "main", "m", "behind");
    assert_eq!(landing(&world, Some("m")).await, landed("m"));
    compared(&world, "main", "invented", "diverged");
    assert_eq!(landing(&world, Some("invented")).await, landed("tip"));
}

#[tokio::test]
async fn a_named_commit_must_be_on_the_target_and_younger_than_the_branch() {
    let world = landing_world();
    compared(&world, "main", "m", "behind");
    compared(&world, "fork", "m", "ahead");
    assert_eq!(landing(&world, Some("m")).await, landed("m"));
    // A commit from before the branch began cannot hold its work.
    compared(&world, "fork", "m", "behind");
    assert_eq!(landing(&world, Some("m")).await, Landing::Absent);
    compared(&world, "main", "m", "ahead");
    assert_eq!(landing(&world, Some("m")).await, Landing::Absent);
}

#[tokio::test]
async fn a_merged_pull_request_shows_a_squash() {
    let world = landing_world();
    assert_eq!(landing(&world, None).await, Landing::Absent);
    let merged = |sha: &str| {
        json!([{"number": 3, "state": "closed", "merged_at": "2026-01-01T00:00:00Z",
                "merge_commit_sha": "squashed", "head": {"sha": sha, "ref": "gt/work"},
                "base": {"ref": "main"}}])
    };
    world.script.on(PULLS, [answer(200, merged("tip"))]);
    assert_eq!(landing(&world, None).await, landed("squashed"));
    // Work that came after the merge has not landed with it.
    world.script.on(PULLS, [answer(200, merged("earlier"))]);
    assert_eq!(landing(&world, None).await, Landing::Absent);
}

#[tokio::test]
async fn a_branch_that_is_gone_leaves_it_open_unless_something_shows_it() {
    let world = landing_world();
    world
        .script
        .on("GET /repos/o/r/compare/main...gt%2Fwork", [missing()]);
    world.script.on(WORK, [missing()]);
    assert_eq!(landing(&world, None).await, Landing::Unknown);
}

#[tokio::test]
async fn a_world_in_trouble_is_an_error_and_no_answer() {
    let world = landing_world();
    world.script.on(
        "GET /repos/o/r/compare/main...gt%2Fwork",
        [answer(502, Value::Null)],
    );
    let outcome = world.github.verify_landing(&asked(None)).await;
    assert_eq!(outcome, Err(ForgeError::Server { status: 502 }));
}

#[tokio::test]
async fn a_merged_pull_request_whose_commit_is_not_told_is_not_absent() {
    let world = landing_world();
    // API versions from 2026-03-10 on no longer tell it.
    let merged = json!([{"number": 3, "state": "closed", "merged_at": "2026-01-01T00:00:00Z",
                         "head": {"sha": "tip", "ref": "gt/work"}, "base": {"ref": "main"}}]);
    world.script.on(PULLS, [answer(200, merged)]);
    let told = |commit: Value| {
        let found = json!({"mergeCommit": commit});
        answer(200, json!({"data": {"repository": {"pullRequest": found}}}))
    };
    let route = "graphql MergeCommit";
    world.script.on(route, [told(json!({"oid": "squashed"}))]);
    assert_eq!(landing(&world, None).await, landed("squashed"));
    let asked = world.script.only(route).body;
    assert_eq!(asked["variables"]["number"], 3);
    world.script.on(route, [told(Value::Null)]);
    assert_eq!(landing(&world, None).await, Landing::Unknown);
}
