//! Whole lives of a town on a file: its records replay to the same bytes (P13), and commands give the
//! same whether or not the town forgot what they name.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

mod common;

use common::{commit, open};
use futures_executor::block_on;
use gastown_core::commands::Retry;
use gastown_core::{Caller, Command, Store, TickInput, Town, check, recall, tick, wire};
use gastown_store_memory::MemoryStore;
use gastown_store_sqlite::{Options, SqliteStore, Synchronous};
use gastown_testkit::lives::{live, lives, recalls, replays};
use proptest::prelude::*;
use serde_json::json;

/// Sequences take long: fewer by default than proptest's 256, as many as `PROPTEST_CASES` says.
fn config() -> ProptestConfig {
    let mut config = ProptestConfig::default();
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = 12;
    }
    config.failure_persistence = None;
    config
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn p13_what_is_recorded_on_a_file_gives_the_same_bytes((setup, steps) in lives(50)) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("town.db");
        // What a power failure would take does not matter here.
        let options = Options::safe().synchronous(Synchronous::Normal);
        let store = block_on(SqliteStore::open(&path, options)).unwrap();
        let town = block_on(live(&store, setup, &steps)).unwrap();
        drop(store);

        // What is replayed was read from the file by somebody who was not there.
        let store = open(&path);
        let other = MemoryStore::new();
        let replayed = block_on(replays(&store, &town, &other));
        prop_assert!(replayed.is_ok(), "{}", replayed.unwrap_err());
        let recalled = block_on(recalls(&store, &town));
        prop_assert!(recalled.is_ok(), "{}", recalled.unwrap_err());
        prop_assert_eq!(block_on(store.integrity_check()).unwrap(), [""; 0]);

        // A file can be told from a report, too.
        let copy = open(&directory.path().join("copy.db"));
        let replayed = block_on(replays(&other, &town, &copy));
        prop_assert!(replayed.is_ok(), "{}", replayed.unwrap_err());
    }
}

/// Of more than a town can take in at once the rest stays behind, and no edge leads there.
#[test]
fn what_is_recalled_ends_at_its_limit() {
    const LIMIT: usize = 10_000;
    let bead = |n: usize| {
        json!({"id": format!("b{n:05}"), "type": "issue", "status": "closed", "title": "Done",
               "created_at": "2026-04-04T12:00:00Z", "closed_at": "2026-04-04T12:00:00Z"})
    };
    let edge = |n: usize| json!({"bead_id": format!("b{n:05}"), "depends_on": "b00000", "type": "parent-child"});
    let snapshot = json!({"format": wire::SNAPSHOT_FORMAT, "town": {"id": "t1"},
        "beads": (0..LIMIT + 50).map(bead).collect::<Vec<_>>(),
        "dependencies": (1..LIMIT + 50).map(edge).collect::<Vec<_>>()});
    let mut town = wire::snapshot_from_value(snapshot).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory.path().join("town.db"));
    let mut first = commit(0);
    // A snapshot is all news: whatever ended leaves the working set with the first commit.
    first.changes = town.take_changes();
    let _made = block_on(store.commit(town.id(), first)).unwrap();
    let loaded = block_on(store.load(town.id())).unwrap();
    let mut forgetful = Town::from_rows(loaded.rows).unwrap();
    assert_eq!(forgetful.beads().count(), 0);

    let retry = Retry {
        bead_id: "b00000".parse().unwrap(),
    };
    let commands = [Command::new(Caller::user("ann"), retry)];
    let recalled = block_on(recall(&store, &forgetful, &commands)).unwrap();
    let of_kind = |kind: &str| recalled.iter().filter(|row| row.key.kind == kind).count();
    assert_eq!((of_kind("bead"), of_kind("edge")), (LIMIT, LIMIT - 1));
    let input = TickInput {
        number: 2,
        now: common::at(0),
        loaded: true,
        recalled: &recalled,
        stored: &[],
        local: &[],
        commands: &commands,
    };
    let ticked = tick(&mut forgetful, &input);
    assert!(ticked.answers[0].is_ok(), "{:?}", ticked.answers);
    assert_eq!(check(&forgetful, common::at(0)), []);
}
