//! Writes fail in turn: every outcome is all or nothing, and the error says which, or that it does not know:
//! the limit stays, so what should settle the outcome may be refused, too.
//!
//! No shim is needed for it: a child runs with a limit on the size of files (`ulimit -f`), and
//! with the limit's signal ignored the kernel refuses each write that would grow one beyond it.
//! One run per limit lets each write of opening, migrating and committing fail once.

#![allow(clippy::unwrap_used, clippy::panic, clippy::arithmetic_side_effects)]

mod common;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use common::{
    FILE_VARIABLE, child, commit, effect, file_of_child, is_long, key, open, row, tick, town,
};
use futures_executor::block_on;
use gastown_core::{Commit, HistoryFilter, Store, StoreError};
use gastown_store_sqlite::{Options, SqliteStore};

const COMMITS: u64 = 6;
const ROWS: u64 = 12;

/// Large enough to touch several pages.
fn large(version: u64) -> Commit {
    let mut next = commit(version);
    let text = "x".repeat(700);
    next.changes.put = (0..ROWS)
        .map(|n| row("bead", &format!("{}-{n}", version + 1), &text))
        .collect();
    next.changes.history = vec![tick(&(version + 1).to_string())];
    next.effects = vec![effect(version + 1)];
    next
}

/// Whether a failed write may have been written all the same; any other error is a bug.
fn is_unknown(error: &StoreError) -> bool {
    let StoreError::Backend {
        outcome_unknown, ..
    } = error
    else {
        panic!("{error:?}");
    };
    *outcome_unknown
}

#[test]
#[ignore = "the child of the tests here"]
fn write_until_refused() {
    let store = match block_on(SqliteStore::open(file_of_child(), Options::safe())) {
        Ok(store) => store,
        Err(error) => {
            assert!(matches!(error, StoreError::Backend { .. }), "{error:?}");
            println!("\nsaid: closed");
            return;
        }
    };
    for version in 0..COMMITS {
        match block_on(store.commit(&town(), large(version))) {
            Ok(_) => println!("\nsaid: committed"),
            // It was there before.
            Err(StoreError::Conflict { .. }) => {}
            Err(error) if is_unknown(&error) => {
                println!("\nsaid: unknown");
                return;
            }
            Err(_) => {
                println!("\nsaid: refused");
                // Reading goes on, and says the same.
                match block_on(store.load(&town())) {
                    Ok(loaded) => assert_eq!(loaded.version, version),
                    Err(StoreError::UnknownTown { .. }) => assert_eq!(version, 0),
                    Err(error) => assert!(!is_unknown(&error)),
                }
                return;
            }
        }
    }
    println!("\nsaid: done");
}

/// What a child says that may write files of up to `limit` units.
fn run(path: &Path, limit: u32) -> Vec<String> {
    let child = child("write_until_refused", path);
    let output = Command::new("sh")
        .args(["-c", r#"trap "" XFSZ; ulimit -f "$0"; exec "$@""#])
        .arg(limit.to_string())
        .arg(child.get_program())
        .args(child.get_args())
        .env(FILE_VARIABLE, path)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "limit {limit}: {text}");
    text.lines()
        .filter_map(|line| line.strip_prefix("said: "))
        .map(Into::into)
        .collect()
}

/// Everything up to some version is whole, and nothing else is there; returns the version.
fn check_whole(path: &Path) -> u64 {
    let store = open(path);
    assert_eq!(block_on(store.integrity_check()).unwrap(), [""; 0]);
    let version = match block_on(store.load(&town())) {
        Ok(loaded) => loaded.version,
        Err(StoreError::UnknownTown { .. }) => return 0,
        Err(other) => panic!("{other}"),
    };
    let all = |range: std::ops::RangeInclusive<u64>| -> Vec<_> {
        range
            .flat_map(|v| (0..ROWS).map(move |n| key("bead", &format!("{v}-{n}"))))
            .collect()
    };
    let stored = block_on(store.rows(&town(), &all(1..=COMMITS + 1)))
        .unwrap()
        .len() as u64;
    assert_eq!(stored, ROWS * version);
    let filter = HistoryFilter {
        limit: usize::MAX,
        ..HistoryFilter::default()
    };
    assert_eq!(
        block_on(store.history(&town(), filter)).unwrap().len() as u64,
        version
    );
    assert_eq!(
        block_on(store.pending_effects(&town())).unwrap().len() as u64,
        version
    );
    version
}

fn sweep(prepare: impl Fn(&Path) -> u64) {
    let (mut closed, mut failed, mut committed_before, mut done) = (0, 0, 0, 0);
    let step = if is_long() { 1 } else { 24 };
    let mut limit = 0;
    while done == 0 {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("town.db");
        let before = prepare(&path);
        let said = run(&path, limit);
        let committed = said.iter().filter(|word| *word == "committed").count() as u64;
        let version = check_whole(&path);
        let told = before + committed;
        match said.last().unwrap().as_str() {
            "closed" => closed += 1,
            "refused" | "unknown" => {
                failed += 1;
                committed_before += committed;
            }
            "done" => done += 1,
            other => panic!("{other}"),
        }
        if said.last().unwrap() == "unknown" {
            assert!(
                version == told || version == told + 1,
                "limit {limit}: {told}, {version}"
            );
        } else {
            assert_eq!(version, told, "limit {limit}: {said:?}");
        }
        // The file is as good as new.
        let store = open(&path);
        let next = block_on(store.commit(&town(), large(version))).unwrap();
        assert_eq!(next.version(), version + 1);
        limit += step;
        assert!(limit < 4_000, "the child never has enough room");
    }
    assert!(
        closed > 0 && failed > 0 && committed_before > 0,
        "{closed} {failed} {committed_before}: nothing was put to the test"
    );
}

#[test]
fn writes_of_a_new_file_fail_in_turn() {
    sweep(|_| 0);
}

#[test]
fn writes_of_a_file_in_use_fail_in_turn() {
    let directory = tempfile::tempdir().unwrap();
    let base = directory.path().join("base.db");
    let _first = block_on(open(&base).commit(&town(), large(0))).unwrap();
    sweep(|path| {
        fs::copy(&base, path).unwrap();
        1
    });
}
