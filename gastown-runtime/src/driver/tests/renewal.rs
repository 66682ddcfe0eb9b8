//! Billing context across changes of the configuration (spec 6.5).

use std::time::Duration;

use gastown_core::{AgentRuntimeError, AgentStatus, StartRequest};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::bench::Bench;

impl Bench {
    pub(super) async fn configure(&self, config: Value) {
        self.command("update_config", json!({"config": config}))
            .await;
    }

    /// The next session that starts, with all that it was given.
    async fn next_request(&self) -> StartRequest {
        let session = self.next_start().await;
        self.settled().await;
        let request = self.agents.requests().pop().unwrap();
        assert_eq!(request.session, session);
        request
    }
}

#[tokio::test(start_paused = true)]
async fn a_model_change_renews_the_session_and_keeps_organization_and_hook() {
    let bench = Bench::new().await;
    bench
        .configure(json!({"organization_id": "org-7", "role_models": {"polecat": "small"}}))
        .await;
    let bead = bench.sling("Fix it").await;
    let first = bench.next_request().await;
    let context = |request: &StartRequest| (request.model.clone(), request.organization_id.clone());
    assert_eq!(
        context(&first),
        (Some("small".into()), Some("org-7".into()))
    );
    bench
        .configure(json!({"role_models": {"polecat": "large"}}))
        .await;
    let second = bench.next_request().await;
    assert_eq!(
        context(&second),
        (Some("large".into()), Some("org-7".into()))
    );
    assert_eq!(
        second.session, first.session,
        "the same session, begun anew"
    );
    assert_eq!(second.bead_id, bead);
    assert_eq!(bench.agents.running(), std::slice::from_ref(&first.session));
    // The town noticed nothing of it: no attempt, no exit.
    let town = bench.stored().await;
    let agent = town.agent(&first.session.agent_id).unwrap();
    assert_eq!(
        (agent.status, &agent.hook),
        (AgentStatus::Working, &Some(bead.clone()))
    );
    assert_eq!(town.bead(&bead).unwrap().dispatch_attempts, 1);
}

#[tokio::test(start_paused = true)]
async fn a_town_that_leaves_its_organization_no_longer_bills_it() {
    let bench = Bench::new().await;
    bench
        .configure(json!({"organization_id": "org-7", "default_model": "m"}))
        .await;
    bench.sling("Fix it").await;
    let first = bench.next_request().await;
    assert_eq!(first.organization_id.as_deref(), Some("org-7"));
    bench.configure(json!({"organization_id": null})).await;
    let second = bench.next_request().await;
    assert_eq!(second.session, first.session);
    assert_eq!(
        (second.organization_id, second.model),
        (None, Some("m".into()))
    );
}

#[tokio::test(start_paused = true)]
async fn other_changes_leave_running_sessions_alone() {
    let bench = Bench::new().await;
    bench.configure(json!({"default_model": "m"})).await;
    bench.sling("Fix it").await;
    bench.next_request().await;
    bench.configure(json!({"max_polecats_per_rig": 3})).await;
    bench
        .configure(json!({"role_models": {"refinery": "other"}}))
        .await;
    bench.settled().await;
    assert_eq!(bench.agents.requests().len(), 1);
}

/// A town whose only session was started with the model `small`.
async fn small() -> (Bench, StartRequest) {
    let bench = Bench::new().await;
    bench.configure(json!({"default_model": "small"})).await;
    sleep(Duration::from_secs(1)).await;
    bench.sling("Fix it").await;
    let first = bench.next_request().await;
    (bench, first)
}

/// The model of the session that runs at last, which is the same one.
async fn renewed(bench: &Bench, first: &StartRequest) -> Option<String> {
    let second = bench.next_request().await;
    assert_eq!(second.session, first.session);
    assert_eq!(bench.agents.running(), std::slice::from_ref(&first.session));
    second.model
}

#[tokio::test(start_paused = true)]
async fn a_town_that_was_opened_again_still_knows_what_its_sessions_were_started_with() {
    let (mut bench, first) = small().await;
    bench.close().await;
    bench.reopen().await;
    bench.settled().await;
    assert_eq!(bench.agents.requests().len(), 1, "nothing has changed");
    bench.configure(json!({"default_model": "large"})).await;
    assert_eq!(renewed(&bench, &first).await.as_deref(), Some("large"));
}

#[tokio::test(start_paused = true)]
async fn a_host_that_was_started_again_renews_sessions_that_outlived_it_when_something_changes() {
    let (bench, first) = small().await;
    let bench = bench.crash().await;
    sleep(Duration::from_secs(60)).await;
    assert_eq!(bench.agents.requests().len(), 1, "nothing has changed");
    bench.configure(json!({"organization_id": "org-7"})).await;
    assert_eq!(renewed(&bench, &first).await.as_deref(), Some("small"));
    let last = bench.agents.requests().pop().unwrap();
    assert_eq!(last.organization_id.as_deref(), Some("org-7"));
}

#[tokio::test(start_paused = true)]
async fn what_changed_before_a_host_was_started_again_is_caught_up() {
    let (bench, first) = small().await;
    // The host goes down before the session is renewed.
    bench.agents.let_stops_hang(true);
    bench.configure(json!({"default_model": "large"})).await;
    bench.settled().await;
    let bench = bench.crash().await;
    bench.agents.let_stops_hang(false);
    assert_eq!(renewed(&bench, &first).await.as_deref(), Some("large"));
    sleep(Duration::from_secs(60)).await;
    assert_eq!(bench.agents.requests().len(), 2, "once");
}

#[tokio::test(start_paused = true)]
async fn a_renewal_that_failed_is_tried_again() {
    let (bench, first) = small().await;
    bench.agents.let_stops_hang(true);
    bench.configure(json!({"default_model": "large"})).await;
    for _ in 0..20 {
        sleep(Duration::from_secs(30)).await;
        bench.beats(&first.session, "at work").await;
    }
    assert_eq!(bench.agents.requests().len(), 1, "it could not be stopped");
    bench.agents.let_stops_hang(false);
    assert_eq!(renewed(&bench, &first).await.as_deref(), Some("large"));
}

#[tokio::test(start_paused = true)]
async fn a_change_while_a_start_is_under_way_is_not_lost() {
    let bench = Bench::new().await;
    bench.agents.let_starts_take(Duration::from_secs(5));
    bench.sling("Fix it").await;
    // In one tick, after the start was asked for and before its end.
    bench.agents.asked().await;
    bench.configure(json!({"default_model": "large"})).await;
    let session = bench.next_start().await;
    bench.settled().await;
    sleep(Duration::from_secs(60)).await;
    let last = bench.agents.requests().pop().unwrap();
    assert_eq!(
        (last.session, last.model.as_deref()),
        (session, Some("large"))
    );
}

#[tokio::test(start_paused = true)]
async fn a_renewal_that_is_refused_ends_the_session_and_its_bead_is_taken_up_again() {
    let (bench, first) = small().await;
    let reason = "no room".into();
    let refusal = AgentRuntimeError::Rejected { reason };
    bench.agents.refuse_next_start(refusal);
    bench.configure(json!({"default_model": "large"})).await;
    let second = bench.next_request().await;
    assert_eq!(second.bead_id, first.bead_id);
    assert!(second.session.session > first.session.session);
    assert_eq!(second.model.as_deref(), Some("large"));
}
