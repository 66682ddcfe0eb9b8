//! Real repositories, and an origin that answers when it is told to.

use std::fs;
use std::future::Future;
use std::time::{Duration, SystemTime};

use tokio::time::timeout;

use super::*;
use crate::process::group::wait_until_gone_for_tests;
use crate::testing::{Origin, SlowOrigin, git};

/// Only a test that fails waits this long.
const PATIENCE: Duration = Duration::from_secs(60);

struct Bench {
    origin: Origin,
    slow: SlowOrigin,
    mirror: Mirror,
    _dir: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mirror.git");
        Self {
            origin: Origin::new(&dir.path().join("origin")),
            slow: SlowOrigin::of(&path, dir.path()),
            mirror: Mirror::new(Git::default(), path, None),
            _dir: dir,
        }
    }

    async fn fetch(&self) -> Result<Turn, GitError> {
        let url = self.origin.url();
        let none = GitAccess::none();
        let fetch = self.mirror.fetch(&url, &none);
        timeout(PATIENCE, fetch).await.unwrap()
    }

    /// Begins a fetch that nobody waits for from the moment on at which the origin has it.
    async fn abandon(&self, calls: usize) {
        tokio::select! {
            _ = self.fetch() => panic!("the origin does not answer"),
            () = self.slow.until(calls) => {}
        }
    }

    async fn main(&self) -> Option<String> {
        self.mirror.origin_head("main").await.unwrap()
    }

    /// A file of the mirror that was last written long ago.
    fn old_file(&self, name: &str) -> PathBuf {
        let path = self.file(name);
        let file = File::options().write(true).open(&path).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
        path
    }

    fn file(&self, name: &str) -> PathBuf {
        let path = self.mirror.bare.path.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "").unwrap();
        path
    }
}

/// Whether it is done by now.
async fn is_done(future: impl Future) -> bool {
    timeout(Duration::ZERO, future).await.is_ok()
}

#[tokio::test]
async fn a_fetch_outlives_its_caller_and_the_next_one_sees_what_came_since() {
    let bench = Bench::new();
    bench.abandon(1).await;
    assert!(
        !is_done(bench.mirror.turn()).await,
        "the fetch has the turn"
    );
    // Pushed before the second caller asks, and after the first fetch has begun.
    let later = bench.origin.commit("main", "a.txt", "later");
    bench.slow.answer();
    drop(bench.fetch().await.unwrap());
    assert_eq!(bench.main().await, Some(later));
    let calls = ["begun", "answered", "begun", "answered"];
    assert_eq!(bench.slow.calls(), calls, "the first was not killed");
    assert!(is_done(bench.mirror.turn()).await);
}

#[tokio::test]
async fn callers_that_give_up_waiting_begin_nothing() {
    let bench = Bench::new();
    bench.abandon(1).await;
    for _ in 0..3 {
        assert!(!is_done(bench.fetch()).await);
    }
    bench.slow.answer();
    // Nobody waits: it ends by itself, and gives the turn back.
    drop(timeout(PATIENCE, bench.mirror.turn()).await.unwrap());
    assert_eq!(bench.slow.calls(), ["begun", "answered"]);
    assert_eq!(bench.main().await, Some(bench.origin.head("main")));
}

#[tokio::test]
async fn a_fetch_ends_with_its_mirror() {
    let bench = Bench::new();
    bench.abandon(1).await;
    let process = bench.slow.process();
    drop(bench.mirror);
    timeout(PATIENCE, wait_until_gone_for_tests(process))
        .await
        .unwrap();
    assert_eq!(bench.slow.calls(), ["begun"]);
}

#[tokio::test]
async fn whoever_waits_for_a_fetch_that_is_ended_is_told() {
    let bench = Bench::new();
    let end = async {
        bench.slow.until(1).await;
        bench.mirror.end_fetch().await;
    };
    let (fetched, ()) = tokio::join!(bench.fetch(), end);
    assert!(
        matches!(fetched, Err(GitError::Closed { .. })),
        "{fetched:?}"
    );
    wait_until_gone_for_tests(bench.slow.process()).await;
    assert!(is_done(bench.mirror.turn()).await);
}

#[tokio::test]
async fn who_can_not_wait_ends_a_fetch_only_if_nobody_else_waits_for_it() {
    let bench = Bench::new();
    bench.abandon(1).await;
    let urgent = bench.mirror.place_to_save();
    drop(timeout(PATIENCE, urgent).await.unwrap());
    assert_eq!(bench.slow.calls(), ["begun"], "it was cut off");
    let answer = async {
        bench.slow.until(2).await;
        assert!(!is_done(bench.mirror.place_to_save()).await);
        bench.slow.answer();
    };
    let (fetched, ()) = tokio::join!(bench.fetch(), answer);
    drop(fetched.unwrap());
    assert_eq!(bench.slow.calls(), ["begun", "begun", "answered"]);
}

#[tokio::test]
async fn old_locks_are_removed_and_young_ones_respected() {
    let bench = Bench::new();
    bench.slow.answer();
    drop(bench.fetch().await.unwrap());
    let later = bench.origin.commit("main", "a.txt", "later");
    let main = "refs/remotes/origin/main.lock";
    let of_worktree = bench.old_file("worktrees/a1.tree/index.lock");
    let old = [bench.old_file("config.lock"), bench.old_file(main)];
    drop(bench.fetch().await.unwrap());
    assert_eq!(bench.main().await, Some(later));
    assert!(old.iter().all(|lock| !lock.exists()));
    assert!(
        of_worktree.exists(),
        "an agent may have it as long as it likes"
    );
    bench.origin.commit("main", "a.txt", "later still");
    let young = bench.file(main);
    let error = bench.fetch().await.unwrap_err().to_string();
    assert!(error.contains("cannot lock ref"), "{error}");
    assert!(young.exists());
}

#[tokio::test]
async fn packs_of_fetches_that_were_killed_are_removed_once_nobody_writes_to_them() {
    let bench = Bench::new();
    bench.slow.answer();
    let old = bench.old_file("objects/pack/tmp_pack_0ld0ne");
    let young = bench.file("objects/pack/tmp_pack_youn9r");
    drop(bench.fetch().await.unwrap());
    assert!(!old.exists());
    assert!(young.exists(), "an agent may be fetching");
}

#[tokio::test]
async fn while_no_git_runs_everything_that_one_left_is_removed() {
    let bench = Bench::new();
    bench.slow.answer();
    drop(bench.fetch().await.unwrap());
    let left = [
        "packed-refs.lock",
        "shallow.lock",
        "refs/heads/gt/a1/b1.lock",
        "worktrees/a1.tree/HEAD.lock",
        "objects/info/commit-graph.lock",
        "objects/pack/tmp_pack_youn9r",
    ]
    .map(|name| bench.file(name));
    let kept = ["worktrees/a1.tree/locked", "objects/pack/other"].map(|name| bench.file(name));
    crate::git::leftovers::remove_all(&bench.mirror.bare.path).await;
    assert!(left.iter().all(|path| !path.exists()));
    assert!(kept.iter().all(|path| path.exists()));
    git(&bench.mirror.bare.path, &["rev-parse", "origin/main"]);
}
