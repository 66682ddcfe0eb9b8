//! Towns that hang take no places from others (spec 6.2).

use std::time::Duration;

use gastown_core::{HistoryKind, TownId};
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::bench::{Bench, World, town_id};
use crate::effects::EffectLimits;

/// A bench with limits other than the usual ones.
async fn with_limits(change: impl FnOnce(&mut EffectLimits)) -> Bench {
    let mut world = World::new();
    change(&mut world.settings.effects);
    Bench::in_world(world).await
}

#[tokio::test(start_paused = true)]
async fn each_limit_is_kept_by_effects() {
    type Change = fn(&mut EffectLimits);
    let cases: [(&str, usize, Change); 5] = [
        ("usual", 2, |_| {}),
        ("in all", 1, |limits| limits.in_all = 1),
        ("per town", 1, |limits| limits.per_town = 1),
        ("per rig", 1, |limits| limits.per_rig = 1),
        ("per kind", 1, |limits| limits.per_kind = 1),
    ];
    for (what, expected, change) in cases {
        let bench = with_limits(change).await;
        bench.agents.refuse_to_answer(true);
        bench.sling("One").await;
        bench.sling("Other").await;
        sleep(Duration::from_secs(10)).await;
        assert_eq!(bench.agents.asked_starts(), expected, "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn towns_that_hang_keep_others_waiting_for_a_while_at_most() {
    let bench = Bench::new().await;
    let hold = bench.settings.effects.hold;
    let mut hanging = Vec::new();
    for number in 0..10 {
        let town = bench.another_town(&format!("hangs-{number}")).await;
        bench
            .agents
            .hang_in(TownId::new(format!("hangs-{number}")).unwrap());
        for issue in 0..16 {
            town.sling(&format!("Issue {issue}")).await;
        }
        hanging.push(town);
    }
    sleep(Duration::from_secs(1)).await;
    assert!(bench.agents.asked_starts() >= 30, "the places are taken");
    let begin = Instant::now();
    bench.sling("Quick").await;
    assert_eq!(bench.next_start().await.town_id, town_id());
    assert!(begin.elapsed() <= hold, "{:?}", begin.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_town_whose_loop_does_not_answer_keeps_no_place() {
    let bench = with_limits(|limits| limits.in_all = 1).await;
    bench.agents.let_starts_take(Duration::from_secs(5));
    bench.sling("One").await;
    bench.agents.asked().await;
    bench.sling("Other").await;
    let other_town = bench.another_town("t2").await;
    // The second start of this town waits for the place; when its turn comes, the town's loop is
    // at a commit that never returns.
    bench.store.hang_in(town_id());
    let stuck = tokio::spawn({
        let handle = bench.handle.clone();
        async move { Bench::sling_through(&handle, "Stuck").await }
    });
    sleep(Duration::from_secs(1)).await;
    let begin = Instant::now();
    other_town.sling("Quick").await;
    let first = bench.next_start().await;
    let second = bench.next_start().await;
    assert_eq!(
        (first.town_id.as_str(), second.town_id.as_str()),
        ("t1", "t2")
    );
    assert!(
        begin.elapsed() < Duration::from_secs(15),
        "{:?}",
        begin.elapsed()
    );
    assert!(!stuck.is_finished());
}

/// What ends a start that hangs, and what tells people of it, can't wait for its place.
#[tokio::test(start_paused = true)]
async fn stops_and_notices_overtake_starts_that_hang() {
    let bench = Bench::new().await;
    let rig = json!({
        "rig_id": "r2", "name": "web", "git_url": "/srv/git/web.git", "default_branch": "main",
    });
    bench.command("add_rig", rig).await;
    bench.agents.refuse_to_answer(true);
    let mut beads = Vec::new();
    for issue in 0..8 {
        for rig in ["r1", "r2"] {
            let bead = bench.try_sling(&format!("Issue {issue}"), rig).await;
            beads.push(bead.unwrap());
        }
    }
    sleep(Duration::from_secs(10)).await;
    assert_eq!(bench.agents.asked_starts(), 16, "all places are taken");
    let begin = Instant::now();
    bench.close_bead(&beads[0]).await.unwrap();
    let escalation = json!({"severity": "high", "message": "nothing starts"});
    bench.command("escalate", escalation).await;
    let over = |kind: &'static str| {
        let told = bench.history(HistoryKind::Event);
        async move {
            told.await
                .iter()
                .any(|event| event["event"]["type"] == kind)
        }
    };
    while !(over("agent_stopped").await && over("notified").await) {
        sleep(Duration::from_secs(1)).await;
        assert!(begin.elapsed() < Duration::from_secs(100), "they wait");
    }
}
