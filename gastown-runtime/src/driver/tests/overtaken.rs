//! A host that did not see that another one took a town over (spec 6.1, 6.3).

use std::time::Duration;

use tokio::time::sleep;

use super::bench::{Bench, World};

/// So long a lease lasts at most.
const LEASE: Duration = Duration::from_secs(60);

async fn host_of_its_own_agents() -> Bench {
    let mut world = World::new();
    world.owns_agents = true;
    Bench::in_world(world).await
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
