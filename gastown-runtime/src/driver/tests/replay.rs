//! What a runner writes can be replayed (P13).

use std::time::Duration;

use gastown_core::events::ExitStatus;
use gastown_core::report::Report;
use gastown_core::{
    Bead, BeadId, BeadStatus, Commit, HistoryEntry, HistoryFilter, HistoryKind, Store, Town,
    snapshot_entries, wire,
};
use serde_json::json;
use tokio::time::sleep;

use super::bench::{Bench, town_id};

/// Replays all that the town's store has; returns how many ticks that were, and how many versions
/// none recorded.
async fn replay_all(bench: &Bench) -> (u64, u64) {
    let report = Report::export(&bench.store, &town_id()).await.unwrap();
    let replayed = report.replay().unwrap();
    assert_eq!(replayed.version, report.version);
    assert_eq!(report.first_difference(&replayed), None);
    (replayed.ticks, replayed.unrecorded)
}

async fn replay(bench: &Bench) -> u64 {
    replay_all(bench).await.0
}

/// Slings an issue that nobody works on, and closes it; it leaves the working set.
async fn sling_and_close(bench: &Bench, title: &str) -> BeadId {
    let held = json!({"rig_id": "r1", "title": title, "labels": ["gt:held"]});
    bench.command("sling", held).await;
    let town = bench.stored().await;
    let slung = town.live_beads().find(|bead| bead.title == title);
    let id = slung.unwrap().id.clone();
    bench.close_bead(&id).await.unwrap();
    assert_eq!(bench.stored().await.bead(&id), None, "it is still loaded");
    id
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

/// A host that loaded its town knows no bead that ended; whoever names one is answered all the same.
#[tokio::test(start_paused = true)]
async fn a_bead_that_left_the_working_set_is_retried_and_built_on() {
    let bench = Bench::new().await;
    let old = sling_and_close(&bench, "Done long ago").await;
    let bench = bench.crash().await;
    bench.settled().await;
    let town = bench.stored().await;
    let refused = bench.close_bead(&old).await.unwrap_err().to_string();
    assert!(refused.contains("is closed, which is final"), "{refused}");
    assert_eq!(bench.stored().await, town);

    bench.command("retry", json!({"bead_id": old})).await;
    let built = json!({"rig_id": "r1", "title": "Next", "depends_on": [old]});
    bench.command("sling", built).await;
    let town = bench.stored().await;
    let again = |bead: &&Bead| bead.metadata.get("retry_of") == Some(&json!(old));
    assert_eq!(town.live_beads().filter(again).count(), 1);
    let old = town.bead(&old).expect("what is built on is loaded");
    assert_eq!(old.status, BeadStatus::Closed);
    replay(&bench).await;
    let bench = bench.crash().await;
    bench.settled().await;
    replay(&bench).await;
}

/// Somebody commits beside the runner and records nothing: the replay goes on at the snapshot that
/// the runner leaves, and says how much it could not repeat.
#[tokio::test(start_paused = true)]
async fn what_nobody_recorded_breaks_no_replay() {
    let bench = Bench::new().await;
    bench.sling("Fix it").await;
    bench.settled().await;
    let loaded = bench.store.load(&town_id()).await.unwrap();
    let mut town = Town::from_rows(loaded.rows).unwrap();
    let aside =
        json!({"type": "sling", "caller": {"kind": "host"}, "rig_id": "r1", "title": "Aside"});
    let aside = wire::command_from_value(aside).unwrap();
    town.execute(aside, bench.now()).unwrap();
    let commit = Commit {
        expected_version: loaded.version,
        lease_token: None,
        changes: town.take_changes(),
        consumed: Vec::new(),
        effects: Vec::new(),
        at: bench.now(),
    };
    let _ = bench.store.commit(&town_id(), commit).await.unwrap();
    bench.sling("After it").await;
    bench.settled().await;
    let (ticks, unrecorded) = replay_all(&bench).await;
    // The first version is the town's making, which the first snapshot shows.
    assert!(ticks > 2, "{ticks}");
    assert_eq!(unrecorded, 1);
}

/// Each day leaves a base; what is older than the retention goes, down to a base that is old enough.
#[tokio::test(start_paused = true)]
async fn after_pruning_a_replay_begins_at_the_oldest_base_that_is_kept() {
    const DAYS: u32 = 12;
    let bench = Bench::new().await;
    let begin = bench.now();
    for day in 0..DAYS {
        sling_and_close(&bench, &format!("Day {day}")).await;
        sleep(Duration::from_secs(24 * 3_600 + 60)).await;
    }
    bench.sling("The last").await;
    bench.settled().await;

    let all = HistoryFilter {
        limit: usize::MAX,
        ..HistoryFilter::default()
    };
    let history = bench.store.history(&town_id(), all).await.unwrap();
    let mut for_replay = history
        .iter()
        .filter(|kept| kept.entry.kind.is_for_replay());
    let oldest = &for_replay.next().unwrap().entry;
    assert_eq!(
        oldest.kind,
        HistoryKind::Snapshot,
        "no base at the beginning"
    );
    let retention = bench.stored().await.policy().event_retention;
    let age = bench.now().since(oldest.at);
    let day = Duration::from_secs(24 * 3_600 + 600);
    assert!(age >= retention && age <= retention + day, "{age:?}");
    // What happened to beads is kept from the beginning.
    let first = history.first().unwrap();
    assert_eq!(first.entry.kind, HistoryKind::BeadEvent);
    assert!(first.entry.at.since(begin) < Duration::from_secs(60));
    let closed = |kept: &&gastown_core::StoredHistory| {
        kept.entry.kind == HistoryKind::BeadEvent && kept.entry.body.contains(r#""to":"closed""#)
    };
    assert_eq!(history.iter().filter(closed).count(), DAYS as usize);

    let ticks = replay(&bench).await;
    let version = bench.version().await;
    assert!(ticks > 14 && ticks < version - 6, "{ticks} of {version}");

    // A town that is loaded now goes on from there.
    let bench = bench.crash().await;
    bench.sling("More").await;
    bench.settled().await;
    assert!(replay(&bench).await > ticks);
}

/// While a clock is a year ahead a base is left. When it is right again the bases go on, and nothing
/// that a late event may still be compared with is gone.
#[tokio::test(start_paused = true)]
async fn a_clock_that_was_far_ahead_stops_no_bases_and_prunes_nothing() {
    let bench = Bench::new().await;
    sling_and_close(&bench, "Before").await;
    sleep(Duration::from_secs(24 * 3_600 + 60)).await;
    bench.clock.jump(Duration::from_secs(365 * 24 * 3_600));
    sling_and_close(&bench, "Ahead").await;
    assert_eq!(bench.history(HistoryKind::Snapshot).await.len(), 2);
    bench.clock.jump_back();
    sleep(Duration::from_secs(24 * 3_600 + 60)).await;
    bench.sling("After").await;
    bench.settled().await;
    assert_eq!(bench.history(HistoryKind::Snapshot).await.len(), 3);
    let ticks = bench.history(HistoryKind::Tick).await;
    assert_eq!(ticks.first().unwrap()["number"], 2, "something was pruned");
    replay(&bench).await;
}

/// After an upgrade the engine may decide otherwise, so a town leaves a base when it is loaded by
/// another version than the one that left the newest.
#[tokio::test(start_paused = true)]
async fn another_version_of_the_engine_leaves_a_base_of_its_own() {
    let bench = Bench::new().await;
    bench.sling("By the old one").await;
    bench.settled().await;
    let loaded = bench.store.load(&town_id()).await.unwrap();
    let older = |mut entry: HistoryEntry| {
        let ours = format!("\"engine\":\"{}\"", env!("CARGO_PKG_VERSION"));
        entry.body = entry.body.replace(&ours, "\"engine\":\"0.0.1\"");
        entry
    };
    let mut next = Commit {
        expected_version: loaded.version,
        lease_token: None,
        changes: Default::default(),
        consumed: Vec::new(),
        effects: Vec::new(),
        at: bench.now(),
    };
    let entries = snapshot_entries(loaded.version + 1, bench.now(), loaded.rows);
    next.changes.history = entries.into_iter().map(older).collect();
    let _ = bench.store.commit(&town_id(), next).await.unwrap();
    let report = Report::export(&bench.store, &town_id()).await.unwrap();
    let error = report.replay().unwrap_err().to_string();
    assert!(error.contains("version 0.0.1 decided"), "{error}");

    let bench = bench.crash().await;
    bench.sling("By this one").await;
    bench.settled().await;
    assert!(replay(&bench).await >= 1);
}
