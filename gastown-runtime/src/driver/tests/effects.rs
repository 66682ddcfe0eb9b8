//! Effects that hang, and stores that do not take their results (spec 6.2).

use std::sync::atomic::Ordering;
use std::time::Duration;

use gastown_core::{HistoryKind, Store};
use serde_json::json;
use tokio::time::sleep;

use super::bench::{Bench, town_id};

impl Bench {
    /// A convoy that needs a branch.
    async fn sling_convoy(&self) {
        let convoy = json!({
            "rig_id": "r1", "title": "Parser", "tasks": [{"title": "lexer"}],
            "merge_mode": "review-then-land", "staged": false,
        });
        self.command("sling_convoy", convoy).await;
    }

    async fn outbox(&self) -> usize {
        let outbox = self.store.pending_effects(&town_id()).await.unwrap();
        outbox.len()
    }

    /// The outcomes of branches that were asked for, oldest first.
    async fn branch_outcomes(&self) -> Vec<String> {
        let events = self.history(HistoryKind::Event).await;
        let created = events
            .iter()
            .map(|record| record.get("event").unwrap_or(record))
            .filter(|event| event["type"] == "branch_created");
        created
            .map(|event| event["outcome"].as_str().unwrap().to_owned())
            .collect()
    }
}

#[tokio::test(start_paused = true)]
async fn past_its_deadline_an_effect_is_unknown_and_asked_for_again() {
    let bench = Bench::new().await;
    bench.forge.refuse_to_answer(true);
    bench.sling_convoy().await;
    let deadline = bench.settings.effects.deadline;
    sleep(deadline - Duration::from_secs(1)).await;
    assert_eq!(
        (bench.branch_outcomes().await.len(), bench.outbox().await),
        (0, 1)
    );
    sleep(Duration::from_secs(2)).await;
    assert_eq!(bench.branch_outcomes().await, ["unknown"]);
    bench.forge.refuse_to_answer(false);
    sleep(Duration::from_secs(3_600)).await;
    assert_eq!(bench.branch_outcomes().await.pop().as_deref(), Some("done"));
    assert!(bench.forge.branches.load(Ordering::Relaxed) > 1);
}

#[tokio::test(start_paused = true)]
async fn a_result_that_the_store_does_not_take_is_written_again() {
    let bench = Bench::new().await;
    bench.store.fail_finishes(4);
    bench.sling("Fix it").await;
    let session = bench.next_start().await;
    sleep(Duration::from_secs(10)).await;
    assert_eq!(bench.outbox().await, 0);
    assert!(
        bench
            .stored()
            .await
            .agent(&session.agent_id)
            .unwrap()
            .reported
    );
    assert_eq!(
        bench.agents.asked_starts(),
        1,
        "the effect itself was not repeated"
    );
}

#[tokio::test(start_paused = true)]
async fn an_effect_whose_result_can_not_be_written_stays_and_runs_again_later() {
    let bench = Bench::new().await;
    bench.store.fail_finishes(5);
    bench.sling("Fix it").await;
    let session = bench.next_start().await;
    sleep(Duration::from_secs(20)).await;
    assert_eq!(bench.outbox().await, 1);
    sleep(Duration::from_secs(20)).await;
    assert_eq!(bench.outbox().await, 0);
    let agent = bench
        .stored()
        .await
        .agent(&session.agent_id)
        .unwrap()
        .clone();
    assert_eq!((agent.session, agent.reported), (1, true));
    assert_eq!(bench.agents.running(), [session], "it ran already");
}

#[tokio::test(start_paused = true)]
async fn an_effect_whose_adapter_panics_runs_again_while_others_still_run() {
    let bench = Bench::new().await;
    bench.agents.refuse_to_answer(true);
    bench.sling("Fix it").await;
    bench.agents.asked().await;
    bench.forge.panic_once();
    bench.sling_convoy().await;
    sleep(Duration::from_secs(120)).await;
    assert_eq!(bench.branch_outcomes().await, ["done"]);
    assert_eq!(bench.forge.branches.load(Ordering::Relaxed), 2);
}
