//! What a runner writes can be replayed (P13), and is kept small.

use std::time::Duration;

use gastown_core::events::ExitStatus;
use gastown_core::report::Report;
use gastown_core::{HistoryKind, Policy};
use serde_json::json;
use tokio::time::sleep;

use super::bench::{Bench, town_id};

const DAY: Duration = Duration::from_secs(24 * 3_600);

/// Replays all that the town's store has; returns how many ticks that were.
async fn replay(bench: &Bench) -> u64 {
    let report = Report::export(&bench.store, &town_id()).await.unwrap();
    let replayed = report.replay().unwrap();
    assert_eq!(replayed.version, report.version);
    assert_eq!(report.first_difference(&replayed), None);
    replayed.ticks
}

#[tokio::test(start_paused = true)]
async fn p13_what_a_runner_wrote_replays_to_the_same_bytes() {
    let bench = Bench::new().await;
    bench.sling("Fix it").await;
    let first = bench.next_start().await;
    bench.beats(&first, "reading").await;
    let done = bench.tool(&first, "gt_done", json!({"branch": "work"}));
    done.await.unwrap();
    bench.settled().await;
    assert!(replay(&bench).await > 2);

    // A runner that comes after a crash loads, and so does the replay.
    let bench = bench.crash().await;
    bench.sling("More").await;
    let second = bench.next_start().await;
    bench.exits(&second, ExitStatus::Failed).await;
    bench.settled().await;
    assert!(replay(&bench).await > 4);

    // A store that failed, too.
    bench.store.fail_next_commit();
    assert!(bench.try_sling("Lost", "r1").await.is_err());
    bench.sling("Not lost").await;
    bench.settled().await;
    replay(&bench).await;
}

/// Each day leaves a base for replays; what lies before the base of the retention ago goes.
#[tokio::test(start_paused = true)]
async fn history_for_replay_is_pruned_up_to_a_base() {
    let bench = Bench::new().await;
    let retention = Policy::default().event_retention;
    let days = retention.as_secs() / DAY.as_secs() + 3;
    for day in 0..days {
        bench.sling(&format!("Work of day {day}")).await;
        sleep(DAY + Duration::from_secs(60)).await;
    }
    bench.settled().await;
    let bases = bench.history(HistoryKind::Snapshot).await.len() as u64;
    assert!(
        (days - 2..=days).contains(&(bases + 1)),
        "{bases} bases in {days} days"
    );
    let ticks = bench.history(HistoryKind::Tick).await;
    let oldest = ticks.first().unwrap()["now"].as_str().unwrap();
    let oldest: gastown_core::Timestamp = oldest.parse().unwrap();
    let kept = bench.now().since(oldest);
    assert!(
        kept >= retention && kept < retention + 2 * DAY,
        "{kept:?} of ticks are kept"
    );
    let created = bench.history(HistoryKind::BeadEvent).await;
    let created = created.iter().filter(|event| event["what"] == "created");
    assert!(created.count() as u64 >= days, "the audit log is whole");
    replay(&bench).await;
}
