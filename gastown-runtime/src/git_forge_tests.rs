//! Real repositories.

use std::time::Duration;

use gastown_core::{RigId, TownId};
use tokio::time::timeout;

use super::*;
use crate::credentials::NoCredentials;
use crate::testing::{Origin, SlowOrigin, git};

struct Bench {
    dir: tempfile::TempDir,
    origin: Origin,
    forge: GitForge,
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let forge_dir = dir.path().join("forge");
        Self {
            origin: Origin::new(&dir.path().join("origin")),
            forge: GitForge::new(Git::default(), forge_dir, Arc::new(NoCredentials)),
            dir,
        }
    }

    fn repository(&self) -> RepositoryRef {
        RepositoryRef {
            town_id: TownId::new("t1").unwrap(),
            rig_id: Some(RigId::new("r1").unwrap()),
            git_url: self.origin.url(),
            default_branch: "main".into(),
        }
    }

    async fn verify(&self, merge_commit: Option<&str>) -> VerifyOutcome {
        let request = VerifyRequest {
            repository: self.repository(),
            branch: "work".into(),
            target_branch: "main".into(),
            merge_commit: merge_commit.map(String::from),
        };
        self.forge.verify_merge(request).await
    }

    /// Runs git on the clone and pushes `main`.
    fn on_main(&self, commands: &[&[&str]]) -> String {
        let clone = self.origin.clone();
        git(clone, &["checkout", "-q", "main"]);
        for command in commands {
            git(clone, command);
        }
        git(clone, &["push", "-q", "origin", "main"]);
        git(clone, &["rev-parse", "HEAD"])
    }
}

fn landed(commit: &str) -> VerifyOutcome {
    VerifyOutcome::Landed {
        commit: commit.into(),
    }
}

#[tokio::test]
async fn a_merge_lands_whether_its_commit_is_named_or_not() {
    let bench = Bench::new();
    let head = bench.origin.commit("work", "a.txt", "one");
    assert_eq!(bench.verify(None).await, VerifyOutcome::Absent);
    bench.origin.commit("main", "b.txt", "other");
    let merge = bench.on_main(&[&["merge", "-q", "--no-ff", "work"]]);
    assert_eq!(bench.verify(None).await, landed(&head));
    assert_eq!(bench.verify(Some(&merge)).await, landed(&merge));
    let short = merge.get(..10).unwrap();
    assert_eq!(bench.verify(Some(short)).await, landed(&merge));
}

/// As with effects: each try has its deadline, and none is as long as a first fetch.
#[tokio::test]
async fn a_first_fetch_that_takes_longer_than_any_question_answers_a_later_one() {
    let bench = Bench::new();
    let head = bench.origin.commit("work", "a.txt", "one");
    bench.on_main(&[&["merge", "-q", "work"]]);
    let mirror = bench.dir.path().join("forge/t1/r1.git");
    let slow = SlowOrigin::of(&mirror, bench.dir.path());
    let question = Duration::from_millis(50);
    for _ in 0..5 {
        assert!(timeout(question, bench.verify(None)).await.is_err());
    }
    slow.until(1).await;
    slow.answer();
    assert_eq!(bench.verify(None).await, landed(&head));
    let calls = ["begun", "answered", "begun", "answered"];
    assert_eq!(slow.calls(), calls, "no fetch was given up");
}

#[tokio::test]
async fn a_squash_and_a_rebase_land_too() {
    let bench = Bench::new();
    bench.origin.commit("work", "a.txt", "one");
    bench.origin.commit("work", "a.txt", "two");
    bench.origin.commit("main", "b.txt", "other");
    let squash = bench.on_main(&[
        &["merge", "-q", "--squash", "work"],
        &["commit", "-qm", "squash"],
    ]);
    assert_eq!(bench.verify(Some(&squash)).await, landed(&squash));
    assert_eq!(bench.verify(None).await, landed(&squash));
    // What comes later on the same lines does not undo that it landed.
    bench.origin.commit("main", "a.txt", "three");
    assert_eq!(bench.verify(Some(&squash)).await, landed(&squash));
    let rebased = Bench::new();
    rebased.origin.commit("work", "a.txt", "one");
    rebased.origin.commit("main", "b.txt", "other");
    let picked = rebased.on_main(&[&["cherry-pick", "work"]]);
    assert_eq!(rebased.verify(Some(&picked)).await, landed(&picked));
}

#[tokio::test]
async fn a_commit_that_does_not_carry_the_work_is_absent() {
    let bench = Bench::new();
    let before = bench.origin.head("main");
    let head = bench.origin.commit("work", "a.txt", "one");
    // On the target, but without the work.
    assert_eq!(bench.verify(Some(&before)).await, VerifyOutcome::Absent);
    // The work, but not on the target.
    assert_eq!(bench.verify(Some(&head)).await, VerifyOutcome::Absent);
    for nothing in [
        "0123456789012345678901234567890123456789",
        "main",
        "--all",
        "",
    ] {
        assert_eq!(
            bench.verify(Some(nothing)).await,
            VerifyOutcome::Absent,
            "{nothing}"
        );
    }
    // Merged, then more was pushed to the branch.
    let merge = bench.on_main(&[&["merge", "-q", "--no-ff", "work"]]);
    bench.origin.commit("work", "a.txt", "two");
    assert_eq!(bench.verify(Some(&merge)).await, VerifyOutcome::Absent);
}

#[tokio::test]
async fn a_branch_that_is_gone_can_only_be_told_by_its_commit() {
    let bench = Bench::new();
    bench.origin.commit("work", "a.txt", "one");
    let merge = bench.on_main(&[&["merge", "-q", "--no-ff", "work"]]);
    git(
        bench.origin.clone(),
        &["push", "-q", "origin", "--delete", "work"],
    );
    assert_eq!(bench.verify(None).await, VerifyOutcome::Unknown);
    assert_eq!(bench.verify(Some(&merge)).await, landed(&merge));
}

#[tokio::test]
async fn an_origin_that_can_not_be_read_tells_nothing() {
    let bench = Bench::new();
    let head = bench.origin.commit("work", "a.txt", "one");
    bench.on_main(&[&["merge", "-q", "work"]]);
    assert_eq!(bench.verify(None).await, landed(&head));
    let bare = bench.origin.url();
    std::fs::rename(&bare, bench.dir.path().join("away")).unwrap();
    assert_eq!(bench.verify(None).await, VerifyOutcome::Unknown);
    let request = CreateBranchRequest {
        repository: bench.repository(),
        branch: "feature".into(),
    };
    let error = bench.forge.create_branch(request).await.unwrap_err();
    let gone = ForgeError::NotFound {
        repository_readable: false,
    };
    assert_eq!(error, gone);
}

#[tokio::test]
async fn a_branch_is_made_once_and_never_moved() {
    let bench = Bench::new();
    let begin = bench.origin.head("main");
    let create = |branch: &str| {
        bench.forge.create_branch(CreateBranchRequest {
            repository: bench.repository(),
            branch: branch.into(),
        })
    };
    create("convoy/x/12345678/head").await.unwrap();
    assert_eq!(bench.origin.head("convoy/x/12345678/head"), begin);
    bench.origin.commit("main", "a.txt", "later");
    create("convoy/x/12345678/head").await.unwrap();
    assert_eq!(bench.origin.head("convoy/x/12345678/head"), begin);
    let error = create("-d").await.unwrap_err();
    assert!(
        matches!(error, ForgeError::InvalidResponse { .. }),
        "{error}"
    );
}

#[tokio::test]
async fn a_default_branch_that_is_missing_is_named_by_its_class() {
    let bench = Bench::new();
    let mut repository = bench.repository();
    repository.default_branch = "trunk".into();
    let request = CreateBranchRequest {
        repository,
        branch: "feature".into(),
    };
    let readable = ForgeError::NotFound {
        repository_readable: true,
    };
    assert_eq!(
        bench.forge.create_branch(request).await.unwrap_err(),
        readable
    );
}
