//! Stores that fail for a while (spec 6.2).

use std::time::Duration;

use gastown_core::events::ObservationGap;
use gastown_core::{AgentStatus, wire};
use serde_json::json;
use tokio::time::sleep;

use super::bench::{Bench, World};
use crate::error::RuntimeError;
use crate::town_handle::TownStatus;

const BEAT: Duration = Duration::from_secs(30);

#[tokio::test(start_paused = true)]
async fn agents_that_beat_while_the_store_failed_were_not_silent() {
    let mut world = World::new();
    world.settings.lease_ttl = Duration::from_secs(600);
    let bench = Bench::in_world(world).await;
    bench.sling("Fix it").await;
    let session = bench.at_work().await;
    bench.store.refuse_commits(true);
    for _ in 0..5 {
        bench.beats(&session, "tool_use").await;
        sleep(BEAT).await;
    }
    bench.beats(&session, "tool_use").await;
    sleep(Duration::from_secs(1)).await;
    bench.store.refuse_commits(false);
    for _ in 0..4 {
        sleep(BEAT).await;
        bench.beats(&session, "tool_use").await;
    }
    bench.settled().await;
    let town = bench.stored().await;
    let agent = town.agent(&session.agent_id).unwrap();
    assert_eq!((agent.status, agent.session), (AgentStatus::Working, 1));
    assert_eq!(bench.agents.running(), [session]);
}

#[tokio::test(start_paused = true)]
async fn agents_that_beat_while_a_round_took_long_were_not_silent() {
    let mut world = World::new();
    world.settings.lease_ttl = Duration::from_secs(600);
    world.settings.store_deadline = Duration::from_secs(600);
    let bench = Bench::in_world(world).await;
    bench.sling("Fix it").await;
    let session = bench.at_work().await;
    // What it said first is taken.
    sleep(Duration::from_secs(10)).await;
    bench.beats(&session, "tool_use").await;
    sleep(Duration::from_secs(10)).await;
    bench.store.delay_commits(Duration::from_secs(110));
    let handle = bench.handle.clone();
    let slow = tokio::spawn(async move { Bench::sling_through(&handle, "Slow").await });
    sleep(Duration::from_secs(1)).await;
    bench.store.delay_commits(Duration::ZERO);
    for _ in 0..3 {
        bench.beats(&session, "tool_use").await;
        sleep(BEAT).await;
    }
    assert!(!slow.is_finished());
    bench.beats(&session, "tool_use").await;
    slow.await.unwrap().unwrap();
    bench.settled().await;
    let town = bench.stored().await;
    let agent = town.agent(&session.agent_id).unwrap();
    assert_eq!((agent.status, agent.session), (AgentStatus::Working, 1));
}

#[tokio::test(start_paused = true)]
async fn a_frozen_town_is_shown_as_frozen_once_its_store_works_again() {
    let bench = Bench::with_settle_limit(World::new(), 1).await;
    let bead = bench.sling("First").await;
    bench.at_work().await;
    // Both in one tick are more than this policy allows.
    let (closed, _) = tokio::join!(bench.close_bead(&bead), bench.try_sling("Fix it", "r1"));
    assert!(matches!(closed, Err(RuntimeError::TownFrozen(_))));
    bench.store.refuse_leases(true);
    sleep(Duration::from_secs(120)).await;
    let status = bench.handle.status();
    assert!(matches!(status, TownStatus::Failing { .. }), "{status:?}");
    bench.store.refuse_leases(false);
    sleep(Duration::from_secs(120)).await;
    let status = bench.handle.status();
    assert!(matches!(status, TownStatus::Frozen { .. }), "{status:?}");
}

/// Nobody tells of what was read and then left.
#[tokio::test(start_paused = true)]
async fn events_that_were_read_before_something_failed_are_read_again_at_once() {
    let bench = Bench::new().await;
    bench.settled().await;
    bench.store.fail_rows(1);
    let now = bench.now();
    let gap = ObservationGap { from: now, to: now };
    bench.handle.report(gap.into()).await.unwrap();
    // What it names is looked for in the store, after the event was read.
    let hold = json!({"type": "hold", "caller": {"kind": "mayor"}, "bead_id": "b-gone"});
    let hold = wire::command_from_value(hold).unwrap();
    let error = bench.handle.execute(hold).await.unwrap_err();
    assert!(matches!(error, RuntimeError::UseStore { .. }), "{error}");
    sleep(Duration::from_secs(10)).await;
    assert_eq!(bench.pending_events().await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_town_that_another_one_may_have_driven_is_loaded_before_a_sleep() {
    let bench = Bench::new().await;
    bench.settled().await;
    sleep(Duration::from_secs(60)).await;
    let loads = bench.store.loads();
    bench.store.lend_next_long_lease();
    let now = bench.now();
    let gap = ObservationGap { from: now, to: now };
    bench.handle.report(gap.into()).await.unwrap();
    sleep(Duration::from_secs(10)).await;
    assert_eq!(bench.store.loads() - loads, 1);
}
