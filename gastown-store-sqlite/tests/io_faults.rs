//! Each write, sync and truncation of a commit fails in turn, inside SQLite: every outcome is all or
//! nothing, and both this process and the next one go on. If the disk fails once and is well again, the error
//! says which; only of one that is dead from then on it may say that it does not know.
//!
//! A file layer in front of the system's own makes them fail (`gastown-sqlite-faults`). Its state is
//! that of the process, so this file is one test.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use common::{at, commit, effect, event, is_long, key, open, row, tick, town};
use futures_executor::block_on;
use gastown_core::{BackendFailure, Commit, EventId, HistoryFilter, Store, StoreError};
use gastown_sqlite_faults::{Fault, Operation, arm, count, counted, disarm, install, synced};
use gastown_store_sqlite::{Options, SqliteStore, Synchronous};
use tempfile::TempDir;

const FAULTS: [Fault; 4] = [Fault::Error, Fault::Torn, Fault::Full, Fault::Dead];
const OPERATIONS: [Operation; 3] = [Operation::Write, Operation::Sync, Operation::Truncate];

/// Rows per commit, each of about a page: of a few everything stays in the log; so many that
/// SQLite's cache overflows in the middle of the commit, and the commit moves the log into the file.
#[derive(Debug, Clone, Copy)]
struct Size {
    rows: u64,
    bytes: usize,
}

const SMALL: Size = Size {
    rows: 3,
    bytes: 100,
};
const LARGE: Size = Size {
    rows: 600,
    bytes: 4_000,
};
/// Commits of leases before the large one: at about 1,000 pages of log SQLite moves it into the file.
const LOG: u64 = 400;

/// The commit that makes `version + 1`; all of its parts say so.
fn next(version: u64, size: Size) -> Commit {
    let made = version + 1;
    let mut next = commit(version);
    let text = "x".repeat(size.bytes);
    next.changes.put = (0..size.rows)
        .map(|n| row("bead", &format!("{made}-{n}"), &text))
        .collect();
    next.changes.put.push(row("last", "one", &made.to_string()));
    next.changes.history = vec![tick(&made.to_string())];
    next.effects = vec![effect(made)];
    if version > 0 {
        next.consumed = vec![EventId::new(format!("event-{version}")).unwrap()];
    }
    next
}

/// A file of one commit and a pending event: closed, and so without a log, or as a crash leaves it, with `log`
/// more transactions in the log beside it.
fn base(directory: &Path, log: Option<u64>) -> PathBuf {
    let path = directory.join("base.db");
    // Only whole operations are looked at here, so none of these need be synced.
    let options = Options::safe().synchronous(Synchronous::Normal);
    let store = block_on(SqliteStore::open(&path, options)).unwrap();
    let _first = block_on(store.commit(&town(), next(0, SMALL))).unwrap();
    block_on(store.append_events(&town(), vec![event("event-1")])).unwrap();
    let Some(log) = log else {
        return path;
    };
    for n in 0..log {
        // Another one each time: a row that stays as it was SQLite leaves out.
        block_on(store.lease(&town(), "host", Duration::from_secs(1), at(n))).unwrap();
    }
    let crashed = path.with_extension("crashed.db");
    copy(&path, &crashed);
    crashed
}

fn copy(from: &Path, to: &Path) {
    for suffix in ["", "-wal"] {
        let with = |path: &Path| PathBuf::from(format!("{}{suffix}", path.display()));
        if with(from).exists() {
            fs::copy(with(from), with(to)).unwrap();
        }
    }
}

/// Everything that the store shows is of one version, which is returned.
fn version_of(store: &SqliteStore, size: Size) -> u64 {
    let town = town();
    let loaded = block_on(store.load(&town)).unwrap();
    let version = loaded.version;
    let last = block_on(store.rows(&town, &[key("last", "one")])).unwrap();
    assert_eq!(last, [row("last", "one", &version.to_string())]);
    let of_size = |made: u64| if made == 1 { SMALL.rows } else { size.rows };
    let rows: u64 = (1..=version).map(of_size).sum();
    assert_eq!(loaded.rows.len() as u64, rows + 1, "version {version}");
    let all = HistoryFilter {
        limit: 99,
        ..HistoryFilter::default()
    };
    let history = block_on(store.history(&town, all)).unwrap();
    assert_eq!(history.len() as u64, version);
    let effects = block_on(store.pending_effects(&town)).unwrap();
    assert_eq!(effects, (1..=version).map(effect).collect::<Vec<_>>());
    let pending = block_on(store.pending_events(&town, 9)).unwrap();
    let expected = if version == 1 {
        vec![event("event-1")]
    } else {
        vec![]
    };
    assert_eq!(pending, expected, "version {version}");
    version
}

/// What came of one commit under one fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    /// The fault was never met: there are not so many such operations.
    NotMet,
    /// It was met and did no harm: what failed is made up for later.
    Committed,
    Nothing,
    Unknown,
}

fn outcome_of(answer: Result<u64, StoreError>, fault: Fault, fired: u64) -> Outcome {
    match answer {
        Ok(2) if fired == 0 => Outcome::NotMet,
        Ok(2) => Outcome::Committed,
        Ok(other) => panic!("version {other}"),
        Err(StoreError::Backend {
            class,
            outcome_unknown,
            ..
        }) => {
            let expected = match fault {
                Fault::Full => BackendFailure::Full,
                Fault::Error | Fault::Torn | Fault::Dead => BackendFailure::Other,
            };
            assert_eq!(class, expected);
            if outcome_unknown {
                Outcome::Unknown
            } else {
                Outcome::Nothing
            }
        }
        Err(other) => panic!("{other:?}"),
    }
}

/// How often the failure of an operation led to what.
type Outcomes = BTreeMap<(String, Outcome), u64>;

fn is_possible(outcome: Outcome, version: u64) -> bool {
    match outcome {
        Outcome::NotMet | Outcome::Committed => version == 2,
        Outcome::Nothing => version == 1,
        Outcome::Unknown => version == 1 || version == 2,
    }
}

/// Which commit, to which file.
#[derive(Debug)]
struct Case {
    _directory: TempDir,
    base: PathBuf,
    size: Size,
    synchronous: Synchronous,
}

impl Case {
    fn new(log: Option<u64>, size: Size, synchronous: Synchronous) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let base = base(directory.path(), log);
        Self {
            _directory: directory,
            base,
            size,
            synchronous,
        }
    }

    /// A new copy of the file.
    fn open(&self) -> (TempDir, PathBuf, SqliteStore) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("town.db");
        copy(&self.base, &path);
        let options = Options::safe().synchronous(self.synchronous);
        let store = block_on(SqliteStore::open(&path, options)).unwrap();
        (directory, path, store)
    }
}

/// One commit under one fault; looked at by this process, by one that comes after a crash at this
/// point, and by one that comes after this process went on.
fn commit_under(case: &Case, operation: Operation, nth: u64, fault: Fault) -> Outcome {
    let size = case.size;
    let (directory, path, store) = case.open();
    assert_eq!(version_of(&store, size), 1);

    arm(operation, nth, fault);
    let answer = block_on(store.commit(&town(), next(1, size)));
    // As a crash at this very moment would leave it.
    let crashed = directory.path().join("crashed.db");
    copy(&path, &crashed);
    let syncs = synced();
    let fired = disarm();
    let outcome = outcome_of(answer.map(|committed| committed.version()), fault, fired);
    let said = format!("{case:?} {operation:?} {nth} {fault:?}: {outcome:?}");
    if fault != Fault::Dead {
        assert_ne!(outcome, Outcome::Unknown, "{said}");
    }
    // Whatever the mode: a power failure must not bring it back. (Of a large commit some writes fail before
    // its COMMIT.)
    if outcome == Outcome::Nothing && size.rows == SMALL.rows {
        assert!(syncs > 0, "{said}, and nothing was synced");
    }

    let version = version_of(&store, size);
    assert!(is_possible(outcome, version), "{said}, {version} here");
    let after = open(&crashed);
    let recovered = version_of(&after, size);
    assert!(
        is_possible(outcome, recovered),
        "{said}, {recovered} after a crash"
    );
    assert_eq!(
        block_on(after.integrity_check()).unwrap(),
        [""; 0],
        "{said}"
    );

    // The disk is well again: this process goes on, and what it now commits stays.
    if version == 1 {
        let again = block_on(store.commit(&town(), next(1, size))).unwrap();
        assert_eq!(again.version(), 2, "{said}");
    }
    drop(store);
    let reopened = open(&path);
    assert_eq!(version_of(&reopened, size), 2, "{said}");
    assert_eq!(
        block_on(reopened.integrity_check()).unwrap(),
        [""; 0],
        "{said}"
    );
    outcome
}

/// Which of `count` operations to let fail: each, or some at the beginning, in the middle, at the end.
fn places(count: u64, all: bool) -> BTreeSet<u64> {
    if all {
        return (1..=count).collect();
    }
    let end = (0..3).map(|n| count.saturating_sub(n));
    let places = [1]
        .into_iter()
        .chain((1..4).map(|n| count * n / 4))
        .chain(end);
    places.filter(|place| (1..=count).contains(place)).collect()
}

/// How many operations of a kind one commit has.
fn operations(case: &Case, operation: Operation) -> u64 {
    let (_directory, _path, store) = case.open();
    count(operation);
    let _committed = block_on(store.commit(&town(), next(1, case.size))).unwrap();
    let operations = counted();
    disarm();
    operations
}

/// Cases that were looked at. Every operation of a large commit takes long: whoever waits sees how far it is.
static DONE: AtomicU64 = AtomicU64::new(0);

fn sweep(case: &Case, faults: &[Fault], all: bool) -> Outcomes {
    let mut outcomes = Outcomes::new();
    for operation in OPERATIONS {
        let places = places(operations(case, operation), all);
        for fault in faults {
            if *fault == Fault::Torn && operation != Operation::Write {
                continue;
            }
            for nth in &places {
                let outcome = commit_under(case, operation, *nth, *fault);
                assert_ne!(outcome, Outcome::NotMet, "{operation:?} {nth}");
                let done = DONE.fetch_add(1, Ordering::Relaxed) + 1;
                if done.is_multiple_of(500) {
                    println!("{done}: {operation:?} {nth} of {}, {fault:?}", places.len());
                }
                *outcomes
                    .entry((format!("{operation:?}"), outcome))
                    .or_insert(0) += 1;
            }
        }
    }
    outcomes
}

/// Opening a file, with all that it writes, fails in turn: afterwards the file is none, or as it was,
/// or of the newest schema, and it goes on.
fn sweep_opening(all: bool, prepare: impl Fn(&Path), version: u64) -> u64 {
    let mut failed = 0;
    for operation in OPERATIONS {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("town.db");
        prepare(&path);
        count(operation);
        drop(open(&path));
        let places = places(counted(), all);
        disarm();
        for (nth, fault) in places.iter().flat_map(|n| FAULTS.map(|fault| (*n, fault))) {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("town.db");
            prepare(&path);
            arm(operation, nth, fault);
            let opened = block_on(SqliteStore::open(&path, Options::safe()));
            match opened {
                Ok(store) => drop(store),
                Err(StoreError::Backend { .. }) => failed += 1,
                Err(other) => panic!("{other:?}"),
            }
            // Each was counted before, and nothing comes before it that could go another way.
            let fired = disarm();
            assert!(fired > 0, "{operation:?} {nth} {fault:?} was never met");
            let store = open(&path);
            if version > 0 {
                let loaded = block_on(store.load(&town())).unwrap();
                assert_eq!((loaded.version, loaded.rows.len()), (version, 2));
            }
            let next = block_on(store.commit(&town(), commit(version))).unwrap();
            assert_eq!(next.version(), version + 1);
            assert_eq!(block_on(store.integrity_check()).unwrap(), [""; 0]);
        }
    }
    failed
}

/// A file of the first schema, as its sample has it: every migration is made of it.
fn oldest(path: &Path) {
    let connection = rusqlite::Connection::open(path).unwrap();
    connection
        .execute_batch(include_str!("samples/0001.sql"))
        .unwrap();
}

#[test]
fn writes_syncs_and_truncations_fail_in_turn() {
    install();
    let mut small = Outcomes::new();
    let (new, crashed) = (None, Some(3));
    let (full, normal) = (Synchronous::Full, Synchronous::Normal);
    let mut files = vec![(new, full), (crashed, normal)];
    if is_long() {
        files.extend([(new, normal), (crashed, full)]);
    }
    for (log, synchronous) in files {
        let case = Case::new(log, SMALL, synchronous);
        for (what, times) in sweep(&case, &FAULTS, true) {
            *small.entry(what).or_insert(0) += times;
        }
    }
    // A large commit takes its time; the small one has met every fault.
    let some = [Fault::Error, Fault::Dead];
    let large = Case::new(Some(LOG), LARGE, Synchronous::Full);
    let large = sweep(&large, if is_long() { &FAULTS } else { &some }, is_long());
    let opening = sweep_opening(is_long(), |_| {}, 0);
    let migrating = sweep_opening(is_long(), oldest, 7);
    println!("small {small:#?}\nlarge {large:#?}\nopening {opening}, migrating {migrating}");

    let of = |outcomes: &Outcomes, operation: &str, outcome| {
        outcomes
            .get(&(operation.to_string(), outcome))
            .copied()
            .unwrap_or(0)
    };
    for outcomes in [&small, &large] {
        for outcome in [Outcome::Nothing, Outcome::Unknown] {
            assert!(of(outcomes, "Sync", outcome) > 0, "no sync failed");
            assert!(of(outcomes, "Write", outcome) > 0, "no last write failed");
        }
    }
    // In the middle of a large commit the log is written already; at its end the log is moved.
    assert!(
        of(&large, "Write", Outcome::Nothing) > 0,
        "no write before the end failed"
    );
    assert!(
        of(&large, "Write", Outcome::Committed) > 0,
        "no write after the end failed"
    );
    assert!(
        of(&large, "Truncate", Outcome::Committed) > 0,
        "no truncation failed"
    );
    assert!(opening > 0, "nothing of opening failed");
    assert!(migrating > 0, "nothing of migrating failed");
}
