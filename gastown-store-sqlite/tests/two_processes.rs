//! Several processes on one file: no lost update, no swallowed conflict, no damage.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

mod common;

use common::{child, commit, event, file_of_child, is_long, open, row, tick, town};
use futures_executor::block_on;
use gastown_core::{HistoryFilter, Store, StoreError};
use gastown_store_sqlite::SqliteStore;

const PROCESSES: u64 = 3;

fn rounds() -> u64 {
    if is_long() { 2_000 } else { 25 }
}

fn count(store: &SqliteStore) -> (u64, u64) {
    let loaded = block_on(store.load(&town())).unwrap();
    let body: serde_json::Value = serde_json::from_str(&loaded.rows[0].body).unwrap();
    (
        loaded.version,
        body["text"].as_str().unwrap().parse().unwrap(),
    )
}

/// Adds one to the counter, however often somebody else is first; returns how often that was.
fn add_one(store: &SqliteStore) -> u64 {
    let mut conflicts = 0;
    loop {
        let (version, count) = count(store);
        let mut next = commit(version);
        next.changes.put = vec![row("counter", "one", &(count + 1).to_string())];
        next.changes.history = vec![tick(&(count + 1).to_string())];
        match block_on(store.commit(&town(), next)) {
            Ok(committed) => {
                assert_eq!(committed.version(), version + 1);
                return conflicts;
            }
            Err(StoreError::Conflict {
                expected, actual, ..
            }) => {
                assert!(actual > expected, "{actual} after {expected}");
                conflicts += 1;
            }
            Err(other) => panic!("{other}"),
        }
    }
}

#[test]
#[ignore = "a child of `processes_share_a_file`"]
fn one_of_several_processes() {
    let store = open(&file_of_child());
    for round in 0..rounds() {
        add_one(&store);
        let own = event(&format!("{}-{round}", std::process::id()));
        let shared = event(&format!("all-{round}"));
        block_on(store.append_events(&town(), vec![own, shared])).unwrap();
    }
}

#[test]
fn processes_share_a_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("town.db");
    let store = open(&path);
    let mut first = commit(0);
    first.changes.put = vec![row("counter", "one", "0")];
    let _created = block_on(store.commit(&town(), first)).unwrap();

    let processes: Vec<_> = (0..PROCESSES)
        .map(|_| child("one_of_several_processes", &path).spawn().unwrap())
        .collect();
    for mut process in processes {
        assert!(process.wait().unwrap().success(), "a child failed");
    }
    let all = PROCESSES * rounds();
    assert_eq!(count(&store), (1 + all, all));
    let filter = HistoryFilter {
        limit: usize::MAX,
        ..HistoryFilter::default()
    };
    let history = block_on(store.history(&town(), filter)).unwrap();
    let expected: Vec<_> = (1..=all).map(|n| tick(&n.to_string())).collect();
    assert_eq!(
        history
            .into_iter()
            .map(|stored| stored.entry)
            .collect::<Vec<_>>(),
        expected
    );
    let events = block_on(store.pending_events(&town(), usize::MAX)).unwrap();
    assert_eq!(events.len() as u64, all + rounds());
    assert_eq!(block_on(store.integrity_check()).unwrap(), [""; 0]);
}

/// Two handles in one process are as apart as two processes.
#[test]
fn handles_share_a_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("town.db");
    let stores = [open(&path), open(&path), open(&path)];
    let mut first = commit(0);
    first.changes.put = vec![row("counter", "one", "0")];
    let _created = block_on(stores[0].commit(&town(), first)).unwrap();
    std::thread::scope(|scope| {
        for store in &stores {
            scope.spawn(move || (0..rounds()).map(|_| add_one(store)).sum::<u64>());
        }
    });
    assert_eq!(count(&stores[1]), (1 + 3 * rounds(), 3 * rounds()));
}
