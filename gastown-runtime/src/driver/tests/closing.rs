//! Towns that are closed and opened again (spec 6.2, 6.4).

use std::time::Duration;

use gastown_core::Store;
use gastown_core::events::{ContainerReady, ExitStatus};
use tokio::time::{sleep, timeout};

use super::bench::{Bench, World, town_id};
use crate::error::RuntimeError;

#[tokio::test(start_paused = true)]
async fn a_town_that_was_closed_in_a_drain_starts_agents_again_when_the_drain_is_over() {
    for ends_before_it_opens in [true, false] {
        let mut bench = Bench::new().await;
        bench.sling("Fix it").await;
        bench.at_work().await;
        bench.evict("n1").await;
        bench.close().await;
        let ready = ContainerReady { nonce: "n1".into() };
        if ends_before_it_opens {
            bench.handle.report(ready.into()).await.unwrap();
            bench.reopen().await;
        } else {
            bench.reopen().await;
            bench.settled().await;
            bench.handle.report(ready.into()).await.unwrap();
        }
        bench.until("drained", |town| !town.is_draining()).await;
        bench.sling("Later").await;
        bench.next_start().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_start_that_outlasts_the_closing_leaves_no_agent() {
    let mut bench = Bench::new().await;
    bench.agents.let_starts_take(Duration::from_secs(60));
    bench.sling("Fix it").await;
    bench.agents.asked().await;
    bench.close().await;
    let left = bench.store.pending_effects(&town_id()).await.unwrap();
    assert_eq!(left.len(), 1, "it is handed back: {left:?}");
    sleep(Duration::from_secs(600)).await;
    assert_eq!(bench.agents.running(), [], "an agent of which nobody knows");
    // Whoever has the town next starts the same session.
    bench.agents.let_starts_take(Duration::ZERO);
    bench.reopen().await;
    assert_eq!(bench.next_start().await.session, 1);
    // The whole runner ends the same way.
    bench.agents.let_starts_take(Duration::from_secs(60));
    bench.sling("Fix that").await;
    bench.agents.asked().await;
    let (agents, running) = (bench.agents.clone(), bench.agents.running());
    bench.shutdown().await;
    sleep(Duration::from_secs(600)).await;
    assert_eq!(agents.running(), running);
}

#[tokio::test(start_paused = true)]
async fn a_renewal_that_outlasts_the_closing_leaves_no_agent() {
    let bench = Bench::new().await;
    bench.sling("Fix it").await;
    bench.at_work().await;
    bench.agents.let_starts_take(Duration::from_secs(60));
    bench
        .configure(serde_json::json!({"default_model": "large"}))
        .await;
    bench.agents.asked().await;
    bench.close().await;
    sleep(Duration::from_secs(600)).await;
    assert_eq!(bench.agents.running(), []);
}

#[tokio::test(start_paused = true)]
async fn nobody_else_drives_a_town_before_what_it_had_begun_is_undone() {
    let bench = Bench::new().await;
    bench.settled().await;
    let second = bench.another_runner().await;
    bench.agents.let_starts_take(Duration::from_secs(3_600));
    bench.agents.let_stops_hang(true);
    bench.sling("Fix it").await;
    bench.agents.asked().await;
    let closed = bench.close();
    tokio::pin!(closed);
    let within = Duration::from_secs(100);
    assert!(tokio::time::timeout(within, &mut closed).await.is_err());
    assert_eq!(bench.agents.asked_starts(), 1, "its lease was not kept");
    bench.agents.let_stops_hang(false);
    bench.agents.let_starts_take(Duration::ZERO);
    closed.await;
    second.next_start().await;
    assert_eq!(bench.agents.asked_starts(), 2);
}

/// At no moment two sessions of one agent exist (spec 6.3), on no two hosts.
#[tokio::test(start_paused = true)]
async fn a_host_that_ends_stops_its_agents_before_another_one_has_their_town() {
    let mut world = World::new();
    world.owns_agents = true;
    let first = Bench::in_world(world).await;
    first.sling("Fix it").await;
    let session = first.at_work().await;
    // Another town takes minutes to end.
    let slow = first.another_town("t2").await;
    first.agents.hang_in("t2".parse().unwrap());
    slow.sling("Slow").await;
    first.agents.asked().await;
    first.agents.let_stops_take(Duration::from_secs(100));
    let second = first.another_host().await;
    let agents = first.agents.clone();
    drop(slow);
    let ending = tokio::spawn(first.shutdown());
    while second.agents.asked_starts() == 0 {
        sleep(Duration::from_secs(1)).await;
        let twins = second.agents.asked_starts() > 0 && !agents.running().is_empty();
        assert!(!twins, "its agent still runs: {:?}", agents.running());
    }
    let anew = second.next_start().await;
    assert_eq!(anew.agent_id, session.agent_id);
    ending.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn agents_go_on_when_only_their_town_is_closed() {
    let mut world = World::new();
    world.owns_agents = true;
    let bench = Bench::in_world(world).await;
    bench.sling("Fix it").await;
    let session = bench.at_work().await;
    bench.close().await;
    sleep(Duration::from_secs(60)).await;
    assert_eq!(bench.agents.running(), [session]);
}

#[tokio::test(start_paused = true)]
async fn a_town_is_not_opened_again_before_its_loop_has_ended() {
    let mut bench = Bench::new().await;
    bench.agents.refuse_to_answer(true);
    bench.sling("Fix it").await;
    bench.agents.asked().await;
    // Whoever closes it does not wait for the end.
    let second = Duration::from_secs(1);
    assert!(timeout(second, bench.close()).await.is_err());
    let error = bench.try_reopen().await.unwrap_err();
    assert!(matches!(error, RuntimeError::TownOpen { .. }), "{error}");
    // Nor is it open for anything else.
    let error = bench.try_sling("Fix that", "r1").await.unwrap_err();
    assert!(matches!(error, RuntimeError::TownClosed), "{error}");
    sleep(bench.settings.close_wait).await;
    bench.reopen().await;
    bench.sling("Fix that").await;
    bench.close().await;
    bench.reopen().await;
}

#[tokio::test(start_paused = true)]
async fn sessions_that_end_while_their_town_closes_are_on_record() {
    let bench = Bench::new().await;
    bench.sling("Fix it").await;
    let session = bench.at_work().await;
    bench.agents.refuse_to_answer(true);
    bench.sling("Fix that").await;
    bench.agents.asked().await;
    assert_eq!(bench.pending_events().await, 0);
    tokio::join!(bench.close(), async {
        sleep(Duration::from_secs(1)).await;
        bench.agents.end(&session);
        bench.exits(&session, ExitStatus::Failed).await;
    });
    assert_eq!(bench.pending_events().await, 1, "its end was dropped");
}

#[tokio::test(start_paused = true)]
async fn a_runner_ends_in_time_whatever_its_store_does() {
    let mut world = World::new();
    world.settings.shutdown_deadline = Duration::from_secs(20);
    let bench = Bench::in_world(world).await;
    bench.settled().await;
    bench.store.hang_in(town_id());
    let handle = bench.handle.clone();
    let stuck = tokio::spawn(async move { Bench::sling_through(&handle, "Stuck").await });
    sleep(Duration::from_secs(1)).await;
    let begin = tokio::time::Instant::now();
    bench.shutdown().await;
    assert_eq!(begin.elapsed().as_secs(), 20);
    let error = stuck.await.unwrap().unwrap_err();
    assert!(matches!(error, RuntimeError::TownClosed), "{error}");
}

/// What an eviction found out about an agent is told once, and nobody else knows where its work is.
#[tokio::test(start_paused = true)]
async fn ends_are_on_record_also_where_the_town_is_not_loaded_at_the_end() {
    let mut bench = Bench::new().await;
    let bead = bench.sling("Fix it").await;
    let session = bench.at_work().await;
    bench.evict("n1").await;
    bench.store.refuse_commits(true);
    assert!(bench.try_sling("Fix that", "r1").await.is_err());
    bench.close().await;
    assert_eq!(bench.agents.saved(), [session]);
    assert_eq!(bench.pending_events().await, 1, "the note was dropped");
    bench.store.refuse_commits(false);
    bench.reopen().await;
    bench.all_have_left().await;
    let note = bench.bead(&bead).await.body.unwrap();
    assert!(note.contains("`git merge origin/kept`"), "{note}");
}
