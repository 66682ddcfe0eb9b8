//! What a runner writes can be replayed (P13).

use gastown_core::events::ExitStatus;
use gastown_core::report::Report;
use serde_json::json;

use super::bench::{Bench, town_id};

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
