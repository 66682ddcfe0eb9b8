//! What a host shows of a town and of one bead (spec 6.7).

use std::time::Duration;

use gastown_core::commands::CloseBead;
use gastown_core::{BeadId, Caller, Command};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::bench::Bench;
use crate::view::BeadView;

const TOWN: &str = "town config.merge_strategy=pr
    rig r1 git_url=https://github.com/acme/r1.git
    agent a1 polecat working rig_id=r1 hook=b2 session=1 last_activity_at=0s
    bead b1 issue in_review rig_id=r1 title=Lexer
    bead b2 issue in_progress rig_id=r1 assignee=a1 dispatch_attempts=1 updated_at=0s
    bead b3 issue open rig_id=r1
    bead m1 merge_request in_progress rig_id=r1 review.source=b1 review.pr_url=https://github.com/acme/r1/pull/7
    edge m1 tracks b1
    edge b3 blocks b1";

async fn view(bench: &Bench, bead: &str) -> BeadView {
    let id: BeadId = bead.parse().unwrap();
    bench.handle.bead_view(&id).await.unwrap().unwrap()
}

fn events(view: &BeadView) -> Vec<&Value> {
    view.events.iter().map(|event| &event["event"]).collect()
}

#[tokio::test(start_paused = true)]
async fn a_bead_is_shown_with_its_review_edges_agents_events_and_explanation() {
    let bench = Bench::of(TOWN).await;
    bench.settled().await;
    let review = view(&bench, "m1").await;
    assert_eq!(review.record["id"], "m1");
    let conditions = review.review.unwrap();
    assert!(
        conditions.iter().any(|condition| !condition.holds),
        "nothing is known of its pull request: {conditions:?}"
    );
    assert_eq!(review.explanation.unwrap().bead_id.as_str(), "m1");
    // Edges both ways: its review tracks it, and another issue waits for it.
    let source = view(&bench, "b1").await;
    assert_eq!(source.review, None);
    assert_eq!(source.depends_on, []);
    let mut dependents: Vec<_> = source.dependents.iter().collect();
    dependents.sort_by_key(|edge| edge.bead_id.clone());
    let dependents: Vec<_> = dependents
        .iter()
        .map(|edge| (edge.bead_id.as_str(), edge.kind.as_str()))
        .collect();
    assert_eq!(dependents, [("b3", "blocks"), ("m1", "tracks")]);
    let waiting = view(&bench, "b3").await;
    assert_eq!(waiting.depends_on.len(), 1);
    assert_eq!(waiting.depends_on[0].depends_on.as_str(), "b1");
    let worked_on = view(&bench, "b2").await;
    assert_eq!(worked_on.agents.len(), 1);
    assert_eq!(worked_on.agents[0].agent_id.as_str(), "a1");
    let none: BeadId = "no-such".parse().unwrap();
    assert_eq!(bench.handle.bead_view(&none).await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn a_bead_keeps_its_record_and_events_when_it_has_left_the_working_set() {
    let bench = Bench::new().await;
    let id = bench.sling("Fix it").await;
    bench.next_start().await;
    bench.settled().await;
    let live = view(&bench, id.as_str()).await;
    assert_eq!(live.record["title"], "Fix it");
    assert!(live.explanation.is_some());
    let before = events(&live).len();
    assert!(before > 0);
    let close = CloseBead {
        bead_id: id.clone(),
        reason: Some("no longer needed".into()),
    };
    let command = Command::new(Caller::user("ann"), close);
    bench.handle.execute(command).await.unwrap();
    bench.settled().await;
    // Until its agent has other work, it may still be said done.
    assert!(bench.stored().await.bead(&id).is_some());
    bench.sling("Fix that, too").await;
    bench.next_start().await;
    // A town that is loaded anew has forgotten it.
    let bench = bench.crash().await;
    bench.settled().await;
    assert!(bench.stored().await.bead(&id).is_none());
    let past = view(&bench, id.as_str()).await;
    assert_eq!(past.record["status"], json!("closed"));
    assert_eq!(past.explanation, None);
    let said = events(&past);
    assert!(said.len() > before, "{said:?}");
    let why = said.iter().map(ToString::to_string);
    assert!(
        why.into_iter()
            .any(|event| event.contains("no longer needed"))
    );
    let times = past
        .events
        .iter()
        .map(|event| event["at"].as_str().unwrap());
    assert!(times.is_sorted(), "oldest first");
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_shows_what_would_happen_and_changes_nothing() {
    let bench = Bench::new().await;
    bench.sling("Fix it").await;
    bench.at_work().await;
    // Its loop can't act, and its agent is silent for too long.
    bench.store.refuse_leases(true);
    sleep(Duration::from_secs(3_600)).await;
    let version = bench.version().await;
    let before = bench.handle.inspect(Clone::clone).await.unwrap();
    let would = bench.handle.dry_run().await.unwrap();
    assert!(!would.actions.is_empty());
    assert_eq!(would.fault, None);
    assert_eq!(bench.handle.dry_run().await.unwrap().actions, would.actions);
    let after = bench.handle.inspect(Clone::clone).await.unwrap();
    assert_eq!(after, before);
    assert_eq!(bench.version().await, version);
    assert_eq!(bench.agents.starts(), 1);
    let page = serde_json::to_value(bench.handle.town_status().await).unwrap();
    assert_eq!(page["status"]["state"], "failing");
    assert_eq!(page["town_id"], "t1");
}
