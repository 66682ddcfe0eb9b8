//! A host that did not see that another one took a town over (spec 6.1, 6.3).

use std::time::Duration;

use tokio::time::sleep;

use super::bench::{Bench, World};
use crate::error::RuntimeError;
use crate::town_handle::TownStatus;

/// So long a lease lasts at most.
const LEASE: Duration = Duration::from_secs(60);

fn world_of_its_own_agents() -> World {
    let mut world = World::new();
    world.owns_agents = true;
    world
}

async fn host_of_its_own_agents() -> Bench {
    Bench::in_world(world_of_its_own_agents()).await
}

#[tokio::test(start_paused = true)]
async fn agents_end_when_another_host_has_taken_their_town_over() {
    let first = host_of_its_own_agents().await;
    first.sling("Fix it").await;
    let session = first.at_work().await;
    // It hangs as far as its lease is concerned, and its agents go on.
    first.store.refuse_leases(true);
    sleep(LEASE).await;
    let second = first.another_host().await;
    let anew = second.at_work().await;
    assert_eq!(anew.agent_id, session.agent_id);
    assert!(anew.session > session.session);
    assert_eq!(first.agents.running(), [session]);
    // It sees that the town is somebody else's.
    first.store.refuse_leases(false);
    sleep(LEASE).await;
    assert_eq!(first.agents.running(), [], "a twin of the other one's");
    assert_eq!(second.agents.running(), [anew]);
}

#[tokio::test(start_paused = true)]
async fn a_start_under_way_is_undone_and_left_to_the_other_host() {
    let first = host_of_its_own_agents().await;
    first.agents.let_starts_take(Duration::from_secs(500));
    first.sling("Fix it").await;
    first.agents.asked().await;
    first.store.refuse_leases(true);
    sleep(LEASE).await;
    let second = first.another_host().await;
    let session = second.next_start().await;
    assert_eq!(session.session, 1, "the same session, from the outbox");
    first.store.refuse_leases(false);
    sleep(Duration::from_secs(1_000)).await;
    assert_eq!(first.agents.running(), []);
}

#[tokio::test(start_paused = true)]
async fn agents_that_runners_share_are_left_to_the_other_one() {
    let first = Bench::new().await;
    first.sling("Fix it").await;
    let session = first.at_work().await;
    first.store.refuse_leases(true);
    sleep(LEASE).await;
    let second = first.another_runner().await;
    first.store.refuse_leases(false);
    second.settled().await;
    sleep(LEASE).await;
    assert_eq!(second.agents.running(), [session]);
}

#[tokio::test(start_paused = true)]
async fn a_host_that_has_its_town_back_ends_sessions_that_are_over_and_keeps_the_others() {
    let first = host_of_its_own_agents().await;
    let bead = first.sling("Fix it").await;
    let session = first.at_work().await;
    first.store.refuse_leases(true);
    sleep(LEASE).await;
    // Its lease had ended, but nobody took the town.
    first.store.refuse_leases(false);
    sleep(LEASE / 4).await;
    first.settled().await;
    assert_eq!(first.agents.running(), std::slice::from_ref(&session));
    assert_eq!(first.bead(&bead).await.dispatch_attempts, 1);
    // Now somebody takes it, sends the agent anew, and ends.
    first.store.refuse_leases(true);
    sleep(LEASE).await;
    let second = first.another_host().await;
    let anew = second.at_work().await;
    assert_eq!((&anew.agent_id, anew.session), (&session.agent_id, 2));
    let done = serde_json::json!({"branch": "work"});
    assert!(second.tool(&anew, "gt_done", done).await.is_ok());
    second.shutdown().await;
    assert_eq!(first.agents.running(), std::slice::from_ref(&session));
    first.store.refuse_leases(false);
    sleep(LEASE).await;
    let running = first.agents.running();
    assert!(
        !running.contains(&session),
        "it speaks for nobody: {running:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn agents_end_when_a_commit_finds_that_another_host_has_their_town() {
    let mut world = world_of_its_own_agents();
    world.settings.store_deadline = LEASE * 10;
    let first = Bench::in_world(world).await;
    first.sling("Fix it").await;
    let session = first.at_work().await;
    // It hangs in a commit while its lease ends.
    first.store.delay_commits(LEASE * 3);
    let late = first.try_sling("Too late", "r1");
    let (late, second) = tokio::join!(late, async {
        let second = first.another_host().await;
        let anew = second.at_work().await;
        assert_eq!(anew.agent_id, session.agent_id);
        assert_eq!(first.agents.running(), std::slice::from_ref(&session));
        second
    });
    let error = late.unwrap_err();
    assert!(matches!(&error, RuntimeError::UseStore { .. }), "{error}");
    assert!(error.to_string().contains("token"), "it is fenced: {error}");
    sleep(LEASE).await;
    assert_eq!(first.agents.running(), [], "a twin of the other one's");
    assert_eq!(second.agents.running().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn agents_of_a_frozen_town_end_when_another_host_has_taken_it_over() {
    let first = Bench::with_settle_limit(world_of_its_own_agents(), 1).await;
    let bead = first.sling("First").await;
    let session = first.at_work().await;
    // Both in one tick are more than this policy allows.
    let (closed, _) = tokio::join!(first.close_bead(&bead), first.try_sling("Fix it", "r1"));
    assert!(matches!(closed, Err(RuntimeError::TownFrozen(_))));
    assert_eq!(first.agents.running(), [session]);
    first.store.refuse_leases(true);
    sleep(LEASE).await;
    let second = first.another_host().await;
    sleep(LEASE).await;
    assert!(matches!(second.handle.status(), TownStatus::Running { .. }));
    first.store.refuse_leases(false);
    sleep(LEASE).await;
    assert_eq!(first.agents.running(), []);
}
