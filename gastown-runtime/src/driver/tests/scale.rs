//! Many agents, many towns (spec 6.2, 6.3).

use std::sync::Arc;
use std::time::Duration;

use gastown_core::{TownConfig, TownId};
use tokio::time::{Instant, sleep};

use super::bench::{Bench, World, town_id};
use crate::town_handle::{TownHandle, TownStatus};

const AGENTS: usize = 1_000;
const TOWNS: usize = 1_000;

/// A town with this many agents at work.
pub(super) fn crowd(agents: usize) -> String {
    let mut text = String::from("rig r1\n");
    for number in 0..agents {
        text.push_str(&format!(
            "agent a{number} polecat working rig_id=r1 hook=b{number} session=1 last_activity_at=0s\n\
             bead b{number} issue in_progress rig_id=r1 assignee=a{number} dispatch_attempts=1 updated_at=0s\n"
        ));
    }
    text
}

#[tokio::test(start_paused = true)]
async fn heartbeats_of_a_thousand_agents_cost_one_commit_per_tick() {
    let bench = Bench::of(&crowd(AGENTS)).await;
    bench.settled().await;
    let sessions: Vec<_> = (0..AGENTS)
        .map(|number| crate::testing::session_id("t1", &format!("a{number}"), 1))
        .collect();
    let commits = bench.store.commits();
    // Each beats every 30 s, and never two at the same moment.
    const ROUNDS: usize = 1;
    let pause = Duration::from_secs(30) / 1_000;
    for round in 0..ROUNDS {
        for session in &sessions {
            bench.beats(session, &format!("event {round}")).await;
            sleep(pause).await;
        }
    }
    sleep(Duration::from_secs(6)).await;
    let commits = bench.store.commits() - commits;
    // A tick every five seconds: 36 s hold seven of them.
    assert!(
        (6..=8).contains(&commits),
        "{commits} commits for {} heartbeats",
        ROUNDS * AGENTS
    );
    let town = bench.stored().await;
    let newest = town
        .agents()
        .filter(|agent| agent.last_event_type.as_deref() == Some("event 0"));
    assert_eq!(newest.count(), AGENTS, "none was lost");
}

#[tokio::test(start_paused = true)]
async fn of_a_thousand_towns_one_that_hangs_delays_none() {
    let bench = Bench::new().await;
    let mut others = Vec::new();
    for number in 1..TOWNS {
        others.push(bench.another_town(&format!("other-{number}")).await);
    }
    // The starts of one town never return, and neither does one of its commits.
    bench.agents.hang_in(town_id());
    for number in 0..40 {
        bench.sling(&format!("Issue {number}")).await;
    }
    bench.agents.asked().await;
    bench.store.hang_in(TownId::new("t1").unwrap());
    let stuck = tokio::spawn({
        let handle = bench.handle.clone();
        async move { Bench::sling_through(&handle, "Stuck").await }
    });
    sleep(Duration::from_millis(1)).await;
    let begin = Instant::now();
    for other in &others {
        other.sling("Quick").await;
    }
    // The clock is simulated: it moves only when everybody waits.
    assert!(
        begin.elapsed() < Duration::from_secs(1),
        "{:?}",
        begin.elapsed()
    );
    while bench.agents.starts() < others.len() {
        assert!(
            begin.elapsed() < Duration::from_secs(5),
            "{:?}",
            begin.elapsed()
        );
        sleep(Duration::from_millis(10)).await;
    }
    assert!(!stuck.is_finished());
    for other in &others {
        assert!(matches!(other.handle.status(), TownStatus::Running { .. }));
    }
}

/// The twenty lines of [`crate::Runner`]'s documentation; with `GASTOWN_LONG=1` ten thousand towns.
#[tokio::test(start_paused = true)]
async fn thousands_of_towns_run_and_sleep() {
    let is_long = std::env::var_os("GASTOWN_LONG").is_some_and(|value| value == "1");
    let many = if is_long { 10_000 } else { 2_500 };
    let world = World::new();
    let (runner, _outputs) = world.runner(Arc::default());
    for number in 0..many {
        let town_id = TownId::new(format!("town-{number}")).unwrap();
        let config = TownConfig::seed();
        runner.found_town(&town_id, config).await.unwrap();
    }
    let towns = runner.open_all_towns().await.unwrap();
    assert_eq!(towns.len(), many);
    sleep(Duration::from_secs(1)).await;
    for town in &towns {
        let TownStatus::Running { version, .. } = town.status() else {
            panic!("{:?}", town.status());
        };
        assert_eq!(version, 2, "each has ticked");
    }
    // Each wakes at its idle interval, every five minutes, and for nothing else.
    let wakeups = || towns.iter().map(TownHandle::wakeups).sum::<u64>();
    let (woken, commits) = (wakeups(), world.store.commits());
    sleep(Duration::from_secs(10 * 60)).await;
    assert_eq!(wakeups() - woken, 2 * many as u64);
    assert_eq!(world.store.commits(), commits);
    runner.shutdown().await;
    let are_closed = |town: &TownHandle| matches!(town.status(), TownStatus::Closed);
    assert!(towns.iter().all(are_closed));
}
