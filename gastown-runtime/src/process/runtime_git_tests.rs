//! What git does for agents, and what of it is left where somebody is killed.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use super::tests::{BEATS, Bench, PATIENCE, settings};
use super::*;
use crate::credentials::NoCredentials;
use crate::output::AgentOutputKind;
use crate::testing::{Origin, SlowOrigin, session_id};

#[tokio::test]
async fn a_start_that_is_cancelled_leaves_a_fetch_that_the_next_one_profits_from() {
    let mut bench = Bench::new(&format!("{BEATS} read -r stop")).await;
    let mirror = bench.dir.path().join("run/towns/t1/rigs/r1.git");
    let slow = SlowOrigin::of(&mirror, bench.dir.path());
    tokio::select! {
        _ = bench.runtime.start(bench.request(1)) => panic!("the origin does not answer yet"),
        () = slow.until(1) => {}
    }
    let session = session_id("t1", "a1", 1);
    let stopped = bench.runtime.stop(&session, "it takes too long");
    timeout(PATIENCE, stopped).await.unwrap().unwrap();
    slow.answer();
    bench.runtime.start(bench.request(2)).await.unwrap();
    assert!(matches!(bench.next().await, AgentOutputKind::Heartbeat(_)));
    assert_eq!(slow.calls(), ["begun", "answered", "begun", "answered"]);
    assert_eq!(bench.runtime.stop_all("the end").await, []);
}

#[tokio::test]
async fn the_end_of_the_host_ends_a_fetch() {
    let bench = Bench::new("exit 0").await;
    let mirror = bench.dir.path().join("run/towns/t1/rigs/r1.git");
    let slow = SlowOrigin::of(&mirror, bench.dir.path());
    tokio::select! {
        _ = bench.runtime.start(bench.request(1)) => panic!("the origin does not answer"),
        () = slow.until(1) => {}
    }
    assert_eq!(bench.runtime.stop_all("the host ends").await, []);
    crate::process::group::wait_until_gone_for_tests(slow.process()).await;
    assert_eq!(slow.calls(), ["begun"]);
}

#[tokio::test]
async fn locks_that_a_killed_git_left_keep_nobody_from_starting_once_the_host_is_back() {
    let mut bench = Bench::new(BEATS).await;
    bench.runtime.start(bench.request(1)).await.unwrap();
    while !matches!(bench.next().await, AgentOutputKind::Exited(_)) {}
    drop(bench.runtime);
    let mirror = bench.dir.path().join("run/towns/t1/rigs/r1.git");
    let locks = [
        "config.lock",
        "refs/remotes/origin/main.lock",
        "refs/heads/other.lock",
    ];
    for lock in locks {
        std::fs::write(mirror.join(lock), "").unwrap();
    }
    bench.origin.commit("main", "a.txt", "later");
    let settings = settings(bench.dir.path(), BEATS);
    let opened = ProcessRuntime::open(settings, Arc::new(NoCredentials)).await;
    (bench.runtime, bench.outputs) = opened.unwrap();
    let mut request = bench.request(2);
    request.branch = "other".into();
    bench.runtime.start(request).await.unwrap();
    assert!(locks.iter().all(|lock| !mirror.join(lock).exists()));
}

/// Runs a script in the origin at each push, before it is taken.
fn at_each_push(origin: &Origin, script: &str) -> PathBuf {
    let bare = PathBuf::from(origin.url());
    let hook = bare.join("hooks/pre-receive");
    std::fs::create_dir_all(hook.parent().unwrap()).unwrap();
    std::fs::write(&hook, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&hook, std::fs::Permissions::from_mode(0o755)).unwrap();
    bare
}

#[tokio::test]
async fn whoever_waits_to_be_saved_loses_no_time_by_it() {
    let mut bench = Bench::new(&format!("{BEATS} echo half > half.txt")).await;
    let bare = at_each_push(&bench.origin, "sleep 1; cat >> took");
    let sessions: Vec<SessionId> = (1..=5)
        .map(|n| session_id("t1", &format!("a{n}"), 1))
        .collect();
    for session in &sessions {
        let request = StartRequest {
            session: session.clone(),
            branch: format!("gt/{}/b1", session.agent_id),
            ..bench.request(1)
        };
        bench.runtime.start(request).await.unwrap();
        while !matches!(bench.next().await, AgentOutputKind::Exited(_)) {}
    }
    let runtime = Arc::new(bench.runtime);
    let rig = "r1".parse().unwrap();
    let mirror = runtime.worktrees.mirror(&sessions[0].town_id, &rig);
    let turn = mirror.unwrap().turn().await;
    let deadline = Duration::from_secs(10);
    let mut saves = tokio::task::JoinSet::new();
    for session in sessions {
        let runtime = Arc::clone(&runtime);
        saves.spawn(async move { runtime.save_work(&session, deadline).await });
    }
    // Longer than they may take themselves.
    tokio::time::sleep(deadline + Duration::from_secs(1)).await;
    drop(turn);
    let saved = timeout(PATIENCE, saves.join_all()).await.unwrap();
    for saved in saved {
        let branch = saved.unwrap().unwrap().branch.unwrap();
        let file = crate::testing::git(&bare, &["show", &format!("{branch}:half.txt")]);
        assert_eq!(file, "half");
    }
    let took = std::fs::read_to_string(bare.join("took")).unwrap();
    assert_eq!(took.lines().count(), 5, "{took}");
}

#[tokio::test]
async fn others_have_the_mirror_while_work_is_pushed() {
    let mut bench = Bench::new(&format!("{BEATS} echo half > half.txt")).await;
    bench.runtime.start(bench.request(1)).await.unwrap();
    while !matches!(bench.next().await, AgentOutputKind::Exited(_)) {}
    // The push waits until the mirror was somebody else's.
    let script = "echo here > here; while [ ! -e go ]; do sleep 0.05; done";
    let bare = at_each_push(&bench.origin, script);
    let session = session_id("t1", "a1", 1);
    let other = async {
        while !bare.join("here").exists() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let request = StartRequest {
            session: session_id("t1", "a2", 1),
            branch: "other".into(),
            ..bench.request(1)
        };
        bench.runtime.start(request).await.unwrap();
        std::fs::write(bare.join("go"), "").unwrap();
    };
    let save = bench.runtime.save_work(&session, PATIENCE);
    let (saved, ()) = timeout(PATIENCE, async { tokio::join!(save, other) })
        .await
        .unwrap();
    assert_eq!(saved.unwrap().unwrap().branch.as_deref(), Some("work"));
}
