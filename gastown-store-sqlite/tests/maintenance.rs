//! For operators: is the file sound, and a copy of it while it is in use.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

mod common;

use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use common::{child, commit, effect, event, file_of_child, is_long, open, row, tick, town};
use futures_executor::block_on;
use gastown_core::{BackendFailure, Store, StoreError};
use gastown_store_sqlite::{Options, SqliteStore};
use rusqlite::Connection;

fn filled(path: &Path) -> SqliteStore {
    let store = open(path);
    let mut first = commit(0);
    first.changes.put = (0..200)
        .map(|n| row("bead", &format!("b{n:03}"), "x"))
        .collect();
    first.changes.history = vec![tick("first")];
    first.effects = vec![effect(1)];
    let _committed = block_on(store.commit(&town(), first)).unwrap();
    block_on(store.append_events(&town(), vec![event("e1")])).unwrap();
    store
}

#[test]
fn a_sound_file_has_no_problem() {
    let directory = tempfile::tempdir().unwrap();
    let store = filled(&directory.path().join("town.db"));
    assert_eq!(block_on(store.integrity_check()).unwrap(), [""; 0]);
}

/// Flips bits in the pages at which the tables and indexes begin whose names are given.
fn scramble(path: &Path, names: &str) {
    let connection = Connection::open(path).unwrap();
    let sql = format!("SELECT rootpage FROM sqlite_schema WHERE name IN ({names})");
    let mut statement = connection.prepare(&sql).unwrap();
    let pages = statement.query_map([], |row| row.get::<_, i64>(0)).unwrap();
    let pages: Vec<usize> = pages
        .map(|page| usize::try_from(page.unwrap()).unwrap())
        .collect();
    drop(statement);
    drop(connection);
    let mut bytes = fs::read(path).unwrap();
    for page in pages {
        for byte in &mut bytes[(page - 1) * 4096..page * 4096] {
            *byte ^= 0x5a;
        }
    }
    fs::write(path, &bytes).unwrap();
}

#[track_caller]
fn assert_corrupt(error: &StoreError) {
    assert!(
        matches!(
            error,
            StoreError::Backend {
                class: BackendFailure::Corrupt,
                ..
            }
        ),
        "{error:?}"
    );
    assert!(error.to_string().contains("town.db"), "{error}");
    assert!(!error.is_retryable());
}

/// Damage on the disk is found, and said, and no operation panics on it.
#[test]
fn damage_is_found() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("town.db");
    drop(filled(&path));
    scramble(
        &path,
        "'rows_working', 'events_pending', 'effects_pending', 'history'",
    );
    let store = open(&path);
    match block_on(store.integrity_check()) {
        Ok(problems) => assert_ne!(problems, [""; 0]),
        Err(error) => assert_corrupt(&error),
    }
    let town = town();
    assert_corrupt(&block_on(store.load(&town)).unwrap_err());
    assert_corrupt(&block_on(store.pending_events(&town, 9)).unwrap_err());
    assert_corrupt(&block_on(store.pending_effects(&town)).unwrap_err());
    let mut next = commit(1);
    next.changes.history = vec![tick("more")];
    assert_corrupt(&block_on(store.commit(&town, next)).unwrap_err());
    assert_eq!(
        block_on(store.towns()).unwrap(),
        [town],
        "what is sound can be read"
    );
}

/// A store of which only the beginning is left is not taken for a new one.
#[test]
fn a_truncated_store_is_not_made_anew() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("town.db");
    drop(filled(&path));
    let whole = fs::read(&path).unwrap();
    for length in [1, 100, 511, 512, 4095, 4096, 8192, whole.len() - 4096] {
        fs::write(&path, &whole[..length]).unwrap();
        match block_on(SqliteStore::open(&path, Options::safe())) {
            Err(error) => assert_corrupt(&error),
            Ok(store) => {
                assert_ne!(
                    block_on(store.integrity_check()).unwrap(),
                    [""; 0],
                    "{length} bytes"
                );
            }
        }
    }
}

/// A row that belongs to no town is found, though every page is sound.
#[test]
fn an_orphan_is_found() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("town.db");
    let store = filled(&path);
    let connection = Connection::open(&path).unwrap();
    connection
        .execute_batch("PRAGMA foreign_keys = OFF; DROP TRIGGER towns_delete; DELETE FROM towns")
        .unwrap();
    let problems = block_on(store.integrity_check()).unwrap();
    assert!(
        problems.contains(&"a row of rows has no row in towns".to_string()),
        "{problems:?}"
    );
}

/// A text that is not UTF-8 is named like any other, and does not end the check.
#[test]
fn a_row_whose_name_is_no_text_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("town.db");
    let store = filled(&path);
    let connection = Connection::open(&path).unwrap();
    connection
        .execute_batch(
            "INSERT INTO rows (town, kind, id, working, body) VALUES ('t1', 'bead', CAST(x'62ff' AS TEXT), 1, '{}')",
        )
        .unwrap();
    let problems = block_on(store.integrity_check()).unwrap();
    let [problem] = problems.as_slice() else {
        panic!("{problems:?}");
    };
    let name = "town 't1': row 'bead'/'b\u{fffd}': ";
    assert!(problem.starts_with(name), "{problem}");
}

/// What would keep a town from going on, or show an event at another time than its own.
#[test]
fn rows_that_contradict_others_are_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("town.db");
    let store = filled(&path);
    let connection = Connection::open(&path).unwrap();
    connection
        .execute_batch(
            "DROP TRIGGER history_insert; DROP TRIGGER events_update;
            INSERT INTO history (town, sequence, kind, at, body) VALUES ('t1', 9, 'tick', 0, '{}');
            UPDATE events SET at = 7",
        )
        .unwrap();
    let problems = block_on(store.integrity_check()).unwrap();
    assert_eq!(
        problems,
        [
            "town 't1': its history goes to 9, and is to end at 1 (history_sequence): no entry can follow",
            "town 't1': event 'e1': its record says 2026-04-04T12:00:00.000Z, the row 7 ms",
        ]
    );
}

/// Something stored that this program can't read is named, not skipped.
#[test]
fn an_unreadable_record_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("town.db");
    let store = filled(&path);
    let connection = Connection::open(&path).unwrap();
    connection
        .execute_batch(
            "DROP TRIGGER events_update; DROP TRIGGER effects_update;
            UPDATE events SET body = '{}'; UPDATE effects SET body = '{}'",
        )
        .unwrap();
    let failures = [
        block_on(store.pending_events(&town(), 9)).err(),
        block_on(store.pending_effects(&town())).err(),
    ];
    for error in failures.map(Option::unwrap) {
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(cause.contains("town t1: stored e"), "{cause}");
    }
}

#[test]
fn a_backup_is_a_store_of_all_that_was_committed() {
    let directory = tempfile::tempdir().unwrap();
    let store = filled(&directory.path().join("town.db"));
    let copy_path = directory.path().join("copy.db");
    block_on(store.backup(&copy_path)).unwrap();
    let copy = open(&copy_path);
    let town = town();
    assert_eq!(
        block_on(copy.load(&town)).unwrap(),
        block_on(store.load(&town)).unwrap()
    );
    assert_eq!(block_on(copy.pending_effects(&town)).unwrap(), [effect(1)]);
    assert_eq!(
        block_on(copy.pending_events(&town, 9)).unwrap(),
        [event("e1")]
    );
    assert_eq!(block_on(copy.integrity_check()).unwrap(), [""; 0]);
    let _goes_on = block_on(copy.commit(&town, commit(1))).unwrap();
    assert_eq!(
        block_on(store.load(&town)).unwrap().version,
        1,
        "they are two files"
    );
}

/// A backup is of one moment, while the town goes on.
#[test]
fn a_backup_under_writes_is_of_one_moment() {
    let directory = tempfile::tempdir().unwrap();
    let store = filled(&directory.path().join("town.db"));
    let store = &store;
    thread::scope(|scope| {
        let writer = scope.spawn(move || {
            for version in 1..=60 {
                let mut next = commit(version);
                next.changes.history = vec![tick("more")];
                let _committed = block_on(store.commit(&town(), next)).unwrap();
            }
        });
        for n in 0..5 {
            let path = directory.path().join(format!("copy-{n}.db"));
            block_on(store.backup(&path)).unwrap();
            let copy = open(&path);
            let version = block_on(copy.load(&town())).unwrap().version;
            let filter = gastown_core::HistoryFilter {
                limit: 999,
                ..Default::default()
            };
            let history = block_on(copy.history(&town(), filter)).unwrap();
            assert_eq!(history.len() as u64, version, "one entry per commit");
            assert_eq!(block_on(copy.integrity_check()).unwrap(), [""; 0]);
        }
        writer.join().unwrap();
    });
}

#[test]
fn a_backup_overwrites_nothing_and_leaves_no_half() {
    let directory = tempfile::tempdir().unwrap();
    let store = filled(&directory.path().join("town.db"));
    let there = directory.path().join("there.db");
    fs::write(&there, "precious").unwrap();
    let error = block_on(store.backup(&there)).unwrap_err();
    assert!(
        matches!(
            error,
            StoreError::Refused {
                operation: "backup",
                ..
            }
        ),
        "{error:?}"
    );
    assert_eq!(fs::read_to_string(&there).unwrap(), "precious");
    let missing = directory.path().join("missing/copy.db");
    let error = block_on(store.backup(&missing)).unwrap_err();
    assert!(error.to_string().contains("missing/copy.db"), "{error}");
    assert_eq!(copies(directory.path()), [""; 0]);
}

/// The names of all copies and of what was made for them.
fn copies(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("copy"))
        .collect();
    names.sort();
    names
}

/// SQLite would write what another database left into the copy: nothing is copied beside it.
#[test]
fn a_backup_takes_over_no_log_and_no_journal() {
    let directory = tempfile::tempdir().unwrap();
    let store = filled(&directory.path().join("town.db"));
    let copy_path = directory.path().join("copy.db");
    for name in ["copy.db-journal", "copy.db-wal"] {
        let other = directory.path().join(name);
        fs::write(&other, "another's").unwrap();
        let error = block_on(store.backup(&copy_path)).unwrap_err();
        assert!(matches!(error, StoreError::Refused { .. }), "{error:?}");
        assert!(error.to_string().contains(name), "{error}");
        assert_eq!(copies(directory.path()), [name]);
        fs::remove_file(&other).unwrap();
    }
    block_on(store.backup(&copy_path)).unwrap();
    assert_eq!(copies(directory.path()), ["copy.db"]);
}

/// SQLite would take such a copy for a file of its own, and delete it.
#[test]
fn a_backup_has_no_name_that_sqlite_gives() {
    let directory = tempfile::tempdir().unwrap();
    let store = filled(&directory.path().join("town.db"));
    for name in ["copy-journal", "copy.db-wal", "copy.db-shm"] {
        let error = block_on(store.backup(directory.path().join(name))).unwrap_err();
        assert!(matches!(error, StoreError::Refused { .. }), "{error:?}");
        let side = name.rsplit_once('-').unwrap().1;
        let expected = format!("{name} ends in `-{side}`: SQLite gives such names");
        assert!(error.to_string().contains(&expected), "{error}");
        assert_eq!(copies(directory.path()), [""; 0]);
    }
}

/// Whoever may not read a town may not read its copy.
#[cfg(unix)]
#[test]
fn a_backup_has_the_permissions_of_its_source() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("town.db");
    let store = filled(&path);
    for mode in [0o600, 0o640, 0o666, 0o400] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let copy_path = directory.path().join(format!("copy-{mode:o}.db"));
        block_on(store.backup(&copy_path)).unwrap();
        let given = fs::metadata(&copy_path).unwrap().mode() & 0o7777;
        assert_eq!(given, mode, "{given:o} instead of {mode:o}");
    }
}

/// Of several backups to one place one is made, and the others are refused.
#[test]
fn a_place_is_given_to_one_backup() {
    let directory = tempfile::tempdir().unwrap();
    let store = filled(&directory.path().join("town.db"));
    let copy_path = directory.path().join("copy.db");
    let answers = thread::scope(|scope| {
        let backups = [(); 4].map(|()| scope.spawn(|| block_on(store.backup(&copy_path))));
        backups.map(|backup| backup.join().unwrap())
    });
    let made = answers.iter().filter(|answer| answer.is_ok()).count();
    assert_eq!(made, 1, "{answers:?}");
    for error in answers.into_iter().filter_map(Result::err) {
        assert!(matches!(error, StoreError::Refused { .. }), "{error:?}");
    }
    assert_eq!(copies(directory.path()), ["copy.db"]);
    assert_eq!(
        block_on(open(&copy_path).integrity_check()).unwrap(),
        [""; 0]
    );
}

/// What an earlier process of the same number left under the names that this one would give.
#[test]
fn what_was_left_hinders_no_backup() {
    let directory = tempfile::tempdir().unwrap();
    let store = filled(&directory.path().join("town.db"));
    // More than all tests of this file take, also in a long run.
    for n in 0..1_000 {
        let part = format!("copy.db.part-{}-{n}", std::process::id());
        let name = if n % 2 == 0 { part } else { part + "-journal" };
        fs::write(directory.path().join(name), "half").unwrap();
    }
    let mut before = copies(directory.path());
    let copy_path = directory.path().join("copy.db");
    block_on(store.backup(&copy_path)).unwrap();
    before.insert(0, "copy.db".into());
    assert_eq!(copies(directory.path()), before);
    for name in &before[1..] {
        let text = fs::read_to_string(directory.path().join(name)).unwrap();
        assert_eq!(text, "half", "{name}");
    }
    assert_eq!(
        block_on(open(&copy_path).integrity_check()).unwrap(),
        [""; 0]
    );
}

/// A store of some twenty megabytes: to copy it takes a while.
fn large(path: &Path) -> SqliteStore {
    let store = open(path);
    let text = "x".repeat(100_000);
    let mut first = commit(0);
    first.changes.put = (0..200)
        .map(|n| row("bead", &format!("b{n:03}"), &text))
        .collect();
    let _committed = block_on(store.commit(&town(), first)).unwrap();
    store
}

#[test]
#[ignore = "the child of `a_killed_backup_leaves_its_place_alone`"]
fn makes_backups_until_it_is_killed() {
    let path = file_of_child();
    let store = open(&path);
    let mut n = 0;
    // If the test is gone, nobody kills it.
    while path.exists() {
        let copy_path = path.with_file_name(format!("copy-{n}.db"));
        block_on(store.backup(&copy_path)).unwrap();
        fs::remove_file(copy_path).unwrap();
        n += 1;
    }
}

/// Starts a child, lets it begin a copy, and kills it later.
fn copy_and_die(path: &Path, delay: Duration) {
    let directory = path.parent().unwrap();
    let mut process = child("makes_backups_until_it_is_killed", path)
        .spawn()
        .unwrap();
    while copies(directory).is_empty() {
        let ended = process.try_wait().unwrap();
        assert_eq!(ended, None, "the child ended by itself");
        thread::sleep(Duration::from_millis(1));
    }
    thread::sleep(delay);
    process.kill().unwrap();
    process.wait().unwrap();
}

/// Whoever finds a copy where it should be has all of it, and whoever finds none can make one.
#[test]
fn a_killed_backup_leaves_its_place_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("town.db");
    let store = large(&path);
    let expected = block_on(store.load(&town())).unwrap();
    let assert_whole = |name: &str| {
        let copy = open(&directory.path().join(name));
        assert_eq!(block_on(copy.integrity_check()).unwrap(), [""; 0], "{name}");
        let is_same = block_on(copy.load(&town())).unwrap() == expected;
        assert!(is_same, "{name} is another town");
    };
    let lives: u64 = if is_long() { 100 } else { 5 };
    let mut cut = 0;
    for life in 0..lives {
        // At once in the first, then all over a copy and its way to the disk.
        copy_and_die(&path, Duration::from_micros(life * 7_919 % 64_000));
        for name in copies(directory.path()) {
            let Some((place, _)) = name.split_once(".part-") else {
                assert_whole(&name);
                continue;
            };
            let place_path = directory.path().join(place);
            // It may be between its two names.
            if !place_path.exists() {
                let bytes = fs::metadata(directory.path().join(&name)).unwrap().len();
                cut += u64::from(bytes > 0);
                block_on(store.backup(&place_path)).unwrap();
                assert_whole(place);
            }
        }
        for name in copies(directory.path()) {
            fs::remove_file(directory.path().join(name)).unwrap();
        }
    }
    println!("{cut} of {lives} in the middle of a copy");
    assert!(
        cut > 0,
        "no backup was cut short: nothing was put to the test"
    );
}

/// A tool that only reads can make a backup too.
#[test]
fn a_store_for_reading_can_be_backed_up() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("town.db");
    drop(filled(&path));
    let tool = block_on(SqliteStore::open_read_only(&path)).unwrap();
    let copy_path = directory.path().join("copy.db");
    block_on(tool.backup(&copy_path)).unwrap();
    let copy = block_on(SqliteStore::open(&copy_path, Options::safe())).unwrap();
    assert_eq!(block_on(copy.load(&town())).unwrap().rows.len(), 200);
}
