//! Billing context across changes of the configuration (spec 6.5).

use gastown_core::{AgentStatus, StartRequest};
use serde_json::{Value, json};

use super::bench::Bench;

impl Bench {
    async fn configure(&self, config: Value) {
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
