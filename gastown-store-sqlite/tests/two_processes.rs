//! Several processes on one file: no lost update, no swallowed conflict, no damage.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

mod common;

use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::Barrier;
use std::thread::{self, sleep};
use std::time::Duration;

use common::{child, commit, event, file_of_child, is_long, open, row, tick, town};
use futures_executor::block_on;
use gastown_core::{EventId, HistoryFilter, Store, StoreError};
use gastown_store_sqlite::SqliteStore;

const PROCESSES: u64 = 3;

/// How long the processes get in each other's way.
fn time() -> Duration {
    Duration::from_secs(if is_long() { 30 } else { 2 })
}

/// How often two handles of one process do.
fn rounds() -> u64 {
    if is_long() { 2_000 } else { 25 }
}

/// What a process did; it writes it down beside the file.
#[derive(Debug, Default, PartialEq)]
struct Done {
    rounds: u64,
    conflicts: u64,
}

/// Is there when the processes are to end.
fn stop_path(database: &Path) -> PathBuf {
    database.with_extension("stop")
}

/// Is there when a process has loaded the town for the first time.
fn loaded_path(database: &Path, process: u32) -> PathBuf {
    database.with_extension(format!("{process}.loaded"))
}

/// Is there when all of them have.
fn go_path(database: &Path) -> PathBuf {
    database.with_extension("go")
}

/// Waits until every process has loaded the town: whichever commits first, the others conflict.
fn meet(database: &Path, process: u32) {
    if go_path(database).exists() {
        return;
    }
    std::fs::write(loaded_path(database, process), "").unwrap();
    while !go_path(database).exists() {
        assert!(database.exists(), "nobody is left who would let it go");
        sleep(Duration::from_millis(1));
    }
}

fn done_path(database: &Path, process: u32) -> PathBuf {
    database.with_extension(format!("{process}.done"))
}

fn count(store: &SqliteStore) -> (u64, u64) {
    let loaded = block_on(store.load(&town())).unwrap();
    let body: serde_json::Value = serde_json::from_str(&loaded.rows[0].body).unwrap();
    (
        loaded.version,
        body["text"].as_str().unwrap().parse().unwrap(),
    )
}

/// Adds one to the counter, however often somebody else is first; returns how often that was. Does
/// `between` whenever it has loaded and is to commit.
fn add_one(store: &SqliteStore, mut between: impl FnMut()) -> u64 {
    let mut conflicts = 0;
    loop {
        let (version, count) = count(store);
        between();
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
                assert_eq!(expected, version);
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
    let (path, process) = (file_of_child(), std::process::id());
    let store = open(&path);
    let mut done = Done::default();
    while !stop_path(&path).exists() {
        assert!(path.exists(), "nobody is left who would stop it");
        done.conflicts += add_one(&store, || meet(&path, process));
        let own = event(&format!("{process}-{}", done.rounds));
        let shared = event(&format!("all-{}", done.rounds));
        block_on(store.append_events(&town(), vec![own, shared])).unwrap();
        done.rounds += 1;
    }
    let text = format!("{} {}", done.rounds, done.conflicts);
    std::fs::write(done_path(&path, process), text).unwrap();
}

/// What a process says that it did.
fn done_by(database: &Path, process: u32) -> Done {
    let text = std::fs::read_to_string(done_path(database, process)).unwrap();
    let (rounds, conflicts) = text.split_once(' ').unwrap();
    Done {
        rounds: rounds.parse().unwrap(),
        conflicts: conflicts.parse().unwrap(),
    }
}

fn is_pending(store: &SqliteStore, id: &EventId) -> bool {
    let events = block_on(store.pending_events(&town(), usize::MAX)).unwrap();
    events.iter().any(|event| event.id == *id)
}

/// Waits for what `process` is to do, as long as it runs.
fn wait_for(process: &mut Child, mut is_done: impl FnMut() -> bool) {
    while !is_done() {
        assert_eq!(process.try_wait().unwrap(), None, "a child ended early");
        sleep(Duration::from_millis(10));
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

    let mut processes: Vec<_> = (0..PROCESSES)
        .map(|_| child("one_of_several_processes", &path).spawn().unwrap())
        .collect();
    for process in &mut processes {
        let loaded = loaded_path(&path, process.id());
        wait_for(process, || loaded.exists());
    }
    assert_eq!(
        count(&store),
        (1, 0),
        "nobody commits before all have loaded"
    );
    std::fs::write(go_path(&path), "").unwrap();
    for process in &mut processes {
        let first = EventId::new(format!("{}-0", process.id())).unwrap();
        wait_for(process, || is_pending(&store, &first));
    }
    sleep(time());
    std::fs::write(stop_path(&path), "").unwrap();
    let mut done = Vec::new();
    for mut process in processes {
        assert!(process.wait().unwrap().success(), "a child failed");
        done.push(done_by(&path, process.id()));
    }
    println!("{done:?}");
    let all: u64 = done.iter().map(|done| done.rounds).sum();
    let met = done.iter().filter(|done| done.conflicts > 0).count() as u64;
    assert!(
        met >= PROCESSES - 1,
        "of those that loaded the same version all but one conflict"
    );
    assert_eq!(count(&store), (1 + all, all), "an update is lost");
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
    let most = done.iter().map(|done| done.rounds).max().unwrap();
    assert_eq!(events.len() as u64, all + most);
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
    let all_loaded = &Barrier::new(stores.len());
    let conflicts: Vec<u64> = thread::scope(|scope| {
        let adds = stores.each_ref().map(|store| {
            scope.spawn(move || {
                let mut not_met = Some(all_loaded);
                let mut meet = || {
                    if let Some(barrier) = not_met.take() {
                        barrier.wait();
                    }
                };
                (0..rounds()).map(|_| add_one(store, &mut meet)).sum()
            })
        });
        adds.map(|add| add.join().unwrap()).into()
    });
    let met = conflicts.iter().filter(|conflicts| **conflicts > 0).count();
    assert!(
        met >= 2,
        "of those that loaded the same version all but one conflict: {conflicts:?}"
    );
    assert_eq!(count(&stores[1]), (1 + 3 * rounds(), 3 * rounds()));
}
