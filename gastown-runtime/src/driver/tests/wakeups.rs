//! A quiet town sleeps (spec 6.2).

use std::time::Duration;

use gastown_core::next_wakeup;
use serde_json::json;
use tokio::time::sleep;

use super::bench::Bench;

const DAY: Duration = Duration::from_secs(24 * 3_600);

#[tokio::test(start_paused = true)]
async fn a_quiet_town_wakes_at_its_idle_interval_and_for_nothing_else() {
    let bench = Bench::new().await;
    bench.settled().await;
    let (woken, commits) = (bench.handle.wakeups(), bench.store.commits());
    sleep(3 * DAY).await;
    let woken = bench.handle.wakeups() - woken;
    // Every five minutes it looks for events of other writers; its lease wakes it for nothing.
    assert!((860..=866).contains(&woken), "{woken} wake-ups");
    assert_eq!(bench.store.commits(), commits);
}

#[tokio::test(start_paused = true)]
async fn with_a_long_interval_a_town_wakes_only_at_its_next_wakeup() {
    // An escalation is repeated after 4, 8 and 12 hours; each repetition is a tick, a notice and
    // its result.
    let bench = Bench::of(
        "town config.tick_interval_idle=P30D
        bead e1 escalation open escalation.severity=high escalation.notified_at=0s created_at=0s",
    )
    .await;
    bench.settled().await;
    let mut expected = 0;
    let begin = bench.now();
    while bench.now().since(begin) < 3 * DAY {
        let (woken, town) = (bench.handle.wakeups(), bench.stored().await);
        let Some(at) = next_wakeup(&town, bench.now()) else {
            sleep(DAY).await;
            assert_eq!(bench.handle.wakeups(), woken, "nothing was to be done");
            continue;
        };
        let pause = at.since(bench.now()).saturating_sub(Duration::from_secs(1));
        sleep(pause).await;
        assert_eq!(bench.handle.wakeups(), woken, "it slept until {at}");
        sleep(Duration::from_secs(2)).await;
        expected += 1;
        let woken = bench.handle.wakeups() - woken;
        assert!((1..=4).contains(&woken), "{woken} wake-ups at {at}");
    }
    assert!((3..=12).contains(&expected), "{expected}");
    // An event wakes it at once.
    let woken = bench.handle.wakeups();
    bench
        .command("acknowledge", json!({"escalation_id": "e1"}))
        .await;
    assert!(bench.handle.wakeups() > woken);
}
