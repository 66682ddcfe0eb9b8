//! Drain and eviction (spec 6.4).

use std::time::Duration;

use gastown_core::events::{ContainerEviction, ContainerReady, Heartbeat};
use gastown_core::{AgentStatus, BeadStatus, BreakerState, SessionId};
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::bench::Bench;

impl Bench {
    pub(super) async fn evict(&self, nonce: &str) {
        let nonce = nonce.into();
        self.handle
            .report(ContainerEviction { nonce }.into())
            .await
            .unwrap();
        self.until("draining", |town| town.is_draining()).await;
    }

    pub(super) async fn ready(&self, nonce: &str) {
        let nonce = nonce.into();
        self.handle
            .report(ContainerReady { nonce }.into())
            .await
            .unwrap();
        self.settled().await;
    }

    pub(super) async fn at_work(&self) -> SessionId {
        let session = self.next_start().await;
        self.beats(&session, "tool_use").await;
        self.settled().await;
        session
    }

    pub(super) async fn all_have_left(&self) {
        let is_empty = |town: &gastown_core::Town| {
            town.agents().all(|agent| agent.status == AgentStatus::Idle)
        };
        self.until("everybody has left", is_empty).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_eviction_costs_nothing_but_time() {
    let bench = Bench::new().await;
    let bead = bench.sling("Fix it").await;
    let session = bench.at_work().await;
    assert_eq!(bench.bead(&bead).await.dispatch_attempts, 1);
    let begin = Instant::now();
    bench.evict("n1").await;
    let waiting = bench.sling("Later").await;
    bench.all_have_left().await;
    // It was asked, and given its five minutes; then it was stopped and its work saved.
    assert_eq!(
        bench.agents.asked_to_leave(),
        std::slice::from_ref(&session)
    );
    let waited = begin.elapsed().as_secs();
    assert!((300..310).contains(&waited), "{waited} s");
    assert_eq!(bench.agents.saved(), std::slice::from_ref(&session));
    assert_eq!(bench.agents.running(), []);
    let left = bench.bead(&bead).await;
    assert_eq!((left.status, left.assignee), (BeadStatus::Open, None));
    assert_eq!(left.dispatch_attempts, 0, "the attempt is given back");
    let note = left.body.unwrap();
    assert!(note.contains("`git merge origin/kept`"), "{note}");
    // Nothing was dispatched meanwhile, and nothing is until the replacement is up.
    sleep(Duration::from_secs(60)).await;
    assert_eq!(bench.agents.starts(), 1);
    bench.ready("another").await;
    assert!(bench.stored().await.is_draining());
    bench.ready("n1").await;
    let (first, second) = (bench.next_start().await, bench.next_start().await);
    assert_ne!(first, second);
    for id in [&bead, &waiting] {
        assert_eq!(bench.bead(id).await.status, BeadStatus::InProgress);
    }
    assert_eq!(
        bench.stored().await.state().breaker.state,
        BreakerState::Closed
    );
}

#[tokio::test(start_paused = true)]
async fn who_leaves_when_asked_is_not_waited_for_and_what_it_said_counts() {
    let bench = Bench::new().await;
    let (done, half) = (bench.sling("One").await, bench.sling("Other").await);
    let sessions = [bench.at_work().await, bench.at_work().await];
    let begin = Instant::now();
    bench.evict("n1").await;
    let town = bench.stored().await;
    let on = |bead| {
        let holder = town.holders(bead).next().unwrap();
        let mut sessions = sessions.iter();
        sessions
            .find(|session| session.agent_id == holder.id)
            .unwrap()
    };
    // One finishes in time, the other only saves.
    let answer = bench
        .send_tool(on(&done), "gt_done", json!({"branch": "work"}))
        .await;
    bench.leaves(on(&done)).await;
    bench.leaves(on(&half)).await;
    assert!(answer.await.unwrap().is_ok());
    bench.all_have_left().await;
    assert!(begin.elapsed() < Duration::from_secs(10));
    assert_eq!(bench.bead(&done).await.status, BeadStatus::InReview);
    assert_eq!(bench.bead(&half).await.status, BeadStatus::Open);
}

#[tokio::test(start_paused = true)]
async fn an_idle_agent_is_not_waited_for() {
    let bench = Bench::of(
        "rig r1
        agent a1 polecat working rig_id=r1 hook=b1 session=2 last_activity_at=0s last_event_at=-31s
        bead b1 issue in_progress rig_id=r1 assignee=a1 dispatch_attempts=2",
    )
    .await;
    let begin = Instant::now();
    bench.evict("n1").await;
    bench.all_have_left().await;
    assert!(begin.elapsed() < Duration::from_secs(10));
    assert_eq!(bench.agents.asked_to_leave(), []);
    let bead = bench.bead(&"b1".parse().unwrap()).await;
    assert_eq!((bead.status, bead.dispatch_attempts), (BeadStatus::Open, 1));
}

#[tokio::test(start_paused = true)]
async fn a_start_under_way_is_undone_and_counts_as_nothing() {
    let bench = Bench::new().await;
    bench.agents.refuse_to_answer(true);
    let bead = bench.sling("Fix it").await;
    bench.agents.asked().await;
    let begin = Instant::now();
    bench.evict("n1").await;
    bench.all_have_left().await;
    assert!(begin.elapsed() < Duration::from_secs(310));
    let town = bench.stored().await;
    let left = town.bead(&bead).unwrap();
    assert_eq!((left.status, left.dispatch_attempts), (BeadStatus::Open, 0));
    assert_eq!(town.state().breaker.failures, []);
    bench.agents.refuse_to_answer(false);
    bench.ready("n1").await;
    assert_eq!(bench.next_start().await.session, 2);
}

#[tokio::test(start_paused = true)]
async fn a_host_that_restarts_in_a_drain_still_saves_what_was_left() {
    let bench = Bench::new().await;
    let bead = bench.sling("Fix it").await;
    let session = bench.at_work().await;
    bench.evict("n1").await;
    // Its agents end with it.
    bench.agents.end(&session);
    let bench = bench.crash().await;
    bench.all_have_left().await;
    assert_eq!(bench.agents.saved(), [session]);
    let left = bench.bead(&bead).await;
    assert_eq!((left.status, left.dispatch_attempts), (BeadStatus::Open, 0));
}

#[tokio::test(start_paused = true)]
async fn a_host_that_restarts_in_a_drain_still_waits_for_agents_that_outlived_it() {
    let bench = Bench::new().await;
    bench.sling("Fix it").await;
    let session = bench.at_work().await;
    bench.evict("n1").await;
    let bench = bench.crash().await;
    let begin = Instant::now();
    sleep(Duration::from_secs(100)).await;
    assert_eq!(bench.agents.running(), std::slice::from_ref(&session));
    bench.leaves(&session).await;
    bench.all_have_left().await;
    assert!(begin.elapsed() < Duration::from_secs(110));
    assert_eq!(bench.agents.saved(), [session]);
}

#[tokio::test(start_paused = true)]
async fn a_host_that_ends_in_a_drain_saves_work_before_it_does() {
    let mut bench = Bench::new().await;
    let bead = bench.sling("Fix it").await;
    let session = bench.at_work().await;
    bench.evict("n1").await;
    let begin = Instant::now();
    bench.close().await;
    let waited = begin.elapsed().as_secs();
    assert!((10..20).contains(&waited), "{waited} s");
    assert_eq!(bench.agents.running(), []);
    assert_eq!(bench.agents.saved(), std::slice::from_ref(&session));
    bench.reopen().await;
    bench.all_have_left().await;
    assert_eq!(bench.agents.saved(), [session], "saved once");
    let left = bench.bead(&bead).await;
    assert_eq!((left.status, left.dispatch_attempts), (BeadStatus::Open, 0));
    let note = left.body.unwrap();
    assert!(note.contains("`git merge origin/kept`"), "{note}");
}

#[tokio::test(start_paused = true)]
async fn a_second_eviction_replaces_the_nonce() {
    let bench = Bench::new().await;
    bench.sling("Fix it").await;
    let session = bench.at_work().await;
    bench.evict("n1").await;
    bench.evict("n2").await;
    bench.leaves(&session).await;
    bench.all_have_left().await;
    assert_eq!(bench.agents.saved().len(), 1, "seen out once");
    bench.ready("n1").await;
    assert!(bench.stored().await.is_draining());
    bench.ready("n2").await;
    assert!(!bench.stored().await.is_draining());
    bench.next_start().await;
}

#[tokio::test(start_paused = true)]
async fn heartbeats_of_an_old_container_never_end_a_drain() {
    let bench = Bench::new().await;
    bench.sling("Fix it").await;
    let session = bench.at_work().await;
    bench.evict("n1").await;
    let taken = Duration::from_secs(10);
    // Its agent goes on beating while it wraps up, and a last heartbeat is late.
    bench.beats(&session, "saving").await;
    sleep(taken).await;
    assert!(bench.stored().await.is_draining());
    bench.leaves(&session).await;
    bench.all_have_left().await;
    bench.beats(&session, "late").await;
    sleep(taken).await;
    assert!(bench.stored().await.is_draining());
    // The replacement comes up, works, and is evicted itself.
    let bench = bench.crash_into("c2").await;
    bench.ready("n1").await;
    let session = bench.at_work().await;
    let container = bench.stored().await.state().container.clone();
    assert_eq!(container.instance.as_deref(), Some("c2"));
    bench.evict("n2").await;
    let heartbeat = |instance: &str| Heartbeat {
        agent_id: session.agent_id.clone(),
        session: Some(session.session),
        container_instance: Some(instance.into()),
        last_event_type: None,
        last_event_at: None,
        active_tools: Vec::new(),
    };
    for old in ["c1", "c2"] {
        bench.handle.report(heartbeat(old).into()).await.unwrap();
        sleep(taken).await;
        assert!(bench.stored().await.is_draining(), "ended by {old}");
    }
    bench.handle.report(heartbeat("c3").into()).await.unwrap();
    bench.settled().await;
    assert!(!bench.stored().await.is_draining());
}
