//! A file system that really is full, and one that really is read-only: typed errors, and a file that
//! goes on as soon as it can.
//!
//! Each runs in a child with mounts of its own (`unshare`, a small tmpfs), so that nothing is left
//! behind and no privilege is needed where people may have namespaces of their own. Where they may
//! not, the test says so and is skipped; with `GASTOWN_LONG=1` it fails.

#![allow(clippy::unwrap_used, clippy::panic, clippy::arithmetic_side_effects)]

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use common::{
    FILE_VARIABLE, assert_passed, child, commit, effect, event, file_of_child, is_long, key, open,
    row, town,
};
use futures_executor::block_on;
use gastown_core::{BackendFailure, Commit, EventId, Store, StoreError};
use gastown_sqlite_faults::{Fault, Operation, arm, disarm, install};
use gastown_store_sqlite::{Options, SqliteStore};

/// Room for some hundred kilobytes.
const SIZE: &str = "size=1536k";

/// `sh -c script` with mounts of its own.
fn apart(script: &str) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "sh", "-c", script]);
    command
}

/// Runs the ignored test `name` of this file with a small file system at the directory of its file;
/// says why if that can't be. Whoever asks for the long run wants all of it.
fn on_its_own_file_system(name: &str) {
    let directory = tempfile::tempdir().unwrap();
    let mount = format!(r#"mount -t tmpfs -o {SIZE} tmpfs "$0""#);
    let probe = apart(&mount).arg(directory.path()).output();
    let reason = match probe {
        Ok(output) if output.status.success() => None,
        Ok(output) => Some(String::from_utf8_lossy(&output.stderr).into_owned()),
        Err(error) => Some(format!("unshare: {error}")),
    };
    if let Some(reason) = reason {
        let reason = format!("no file system of its own: {}", reason.trim());
        assert!(!is_long(), "nothing was put to the test: {reason}");
        println!("skipped: {reason}");
        return;
    }
    let path = directory.path().join("town.db");
    let child = child(name, &path);
    let output = apart(&format!(r#"{mount} && exec "$@""#))
        .arg(directory.path())
        .arg(child.get_program())
        .args(child.get_args())
        .env(FILE_VARIABLE, &path)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert_passed(&output);
}

#[track_caller]
fn assert_backend(error: &StoreError, expected: &[BackendFailure], operation: &str) -> bool {
    let StoreError::Backend {
        class,
        outcome_unknown,
        ..
    } = error
    else {
        panic!("{error:?}");
    };
    assert!(expected.contains(class), "{error:?}");
    let said = error.to_string();
    assert!(said.starts_with(operation), "{said}");
    *outcome_unknown
}

/// The commit that makes `version + 1`, of about forty kilobytes.
fn next(version: u64) -> Commit {
    let made = version + 1;
    let mut next = commit(version);
    next.changes.put = (0..10)
        .map(|n| row("bead", &format!("{made}-{n}"), &"x".repeat(4_000)))
        .collect();
    next.effects = vec![effect(made)];
    next
}

/// All of each commit is there, and nothing else; returns the version.
fn check_whole(store: &SqliteStore) -> u64 {
    let town = town();
    let loaded = block_on(store.load(&town)).unwrap();
    let rows = usize::try_from(loaded.version * 10).unwrap();
    assert_eq!(loaded.rows.len(), rows, "version {}", loaded.version);
    let effects = block_on(store.pending_effects(&town)).unwrap();
    let expected: Vec<_> = (1..=loaded.version).map(effect).collect();
    assert_eq!(effects, expected);
    assert_eq!(block_on(store.integrity_check()).unwrap(), [""; 0]);
    loaded.version
}

#[test]
#[ignore = "the child of `a_full_file_system`"]
fn fills_its_file_system() {
    let path = file_of_child();
    let ballast = path.with_file_name("ballast");
    fs::write(&ballast, vec![0; 600_000]).unwrap();
    let store = open(&path);
    let mut version = 0;
    let (failed, is_unknown) = loop {
        match block_on(store.commit(&town(), next(version))) {
            Ok(committed) => version = committed.version(),
            Err(error) => {
                let is_unknown = assert_backend(&error, &[BackendFailure::Full], "commit failed");
                assert!(error.is_retryable());
                break (version, is_unknown);
            }
        }
        assert!(version < 1_000, "it is never full");
    };
    assert!(failed > 2, "it was full at once");

    // Reading goes on, and says the same. So does trying.
    assert_eq!(check_whole(&store), failed);
    let large: Vec<_> = (0..4_000)
        .map(|n| event(&format!("{}{n}", "e".repeat(100))))
        .collect();
    let said = block_on(store.append_events(&town(), large.clone())).unwrap_err();
    assert_backend(&said, &[BackendFailure::Full], "append_events failed");
    assert_eq!(block_on(store.pending_events(&town(), 9)).unwrap(), []);
    let copy = path.with_file_name("copy.db");
    let said = block_on(store.backup(&copy)).unwrap_err();
    assert_backend(&said, &[BackendFailure::Full], "backup failed");
    // Names only: the store is open, and none of its files may be opened beside it.
    let left: Vec<_> = fs::read_dir(path.parent().unwrap())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .filter(|name| name.to_string_lossy().contains("copy.db"))
        .collect();
    assert_eq!(left, [""; 0], "half a backup is left");
    // The last bytes, too: opening needs few.
    let last = path.with_file_name("last");
    assert!(fs::write(&last, vec![0; 2_000_000]).is_err());
    let other = path.with_file_name("other.db");
    let said = block_on(SqliteStore::open(&other, Options::safe())).unwrap_err();
    assert_backend(&said, &[BackendFailure::Full], "open failed");
    fs::remove_file(&last).unwrap();

    // There is room again: the same store goes on, and so does whoever opens the file anew.
    fs::remove_file(&ballast).unwrap();
    let again = block_on(store.commit(&town(), next(failed)));
    match again {
        Ok(committed) => assert_eq!(committed.version(), failed + 1),
        Err(StoreError::Conflict { .. }) => assert!(is_unknown, "it said that nothing was written"),
        Err(error) => panic!("{error:?}"),
    }
    assert_eq!(check_whole(&store), failed + 1);
    drop(store);
    let store = open(&path);
    assert_eq!(check_whole(&store), failed + 1);
    let few = large.into_iter().take(3).collect();
    assert_eq!(block_on(store.append_events(&town(), few)).unwrap(), 3);
}

#[test]
fn a_full_file_system() {
    on_its_own_file_system("fills_its_file_system");
}

fn remount(path: &Path, how: &str) {
    let mount = Command::new("mount")
        .args(["-o", &format!("remount,{how}")])
        .arg(path.parent().unwrap())
        .status();
    assert!(mount.unwrap().success(), "remount {how}");
}

/// All files beside `path`, with what they hold.
fn files(path: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files: Vec<_> = fs::read_dir(path.parent().unwrap())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .collect();
    files.sort();
    files
}

#[test]
#[ignore = "the child of `a_read_only_file_system`"]
fn meets_a_read_only_file_system() {
    let path = file_of_child();
    // One that was closed, and one as a crash leaves it, its last commits in the log alone.
    let crashed = path.with_file_name("crashed.db");
    let store = open(&path);
    for version in 0..3 {
        let _committed = block_on(store.commit(&town(), next(version))).unwrap();
    }
    for suffix in ["", "-wal"] {
        let with = |path: &Path| format!("{}{suffix}", path.display());
        fs::copy(with(&path), with(&crashed)).unwrap();
    }
    drop(store);
    remount(&path, "ro");
    let before = files(&path);

    let new = path.with_file_name("new.db");
    for (path, class) in [
        (&path, BackendFailure::ReadOnly),
        (&crashed, BackendFailure::ReadOnly),
        (&new, BackendFailure::Unavailable),
    ] {
        let said = block_on(SqliteStore::open(path, Options::safe())).unwrap_err();
        assert_backend(&said, &[class], "open failed");
        assert!(said.to_string().contains(&path.display().to_string()));
        assert!(!said.is_retryable());
    }
    // SQLite keeps an index of the log beside it. Without one nothing is guessed.
    for path in [&path, &crashed] {
        let said = block_on(SqliteStore::open_read_only(path)).unwrap_err();
        assert_backend(&said, &[BackendFailure::ReadOnly], "open_read_only failed");
        let cause = std::error::Error::source(&said).unwrap().to_string();
        assert!(cause.contains("a copy of the file can be read"), "{cause}");
    }
    assert_eq!(files(&path), before, "something was written");

    remount(&path, "rw");
    for path in [&path, &crashed] {
        let store = open(path);
        assert_eq!(check_whole(&store), 3);
        let goes_on = block_on(store.commit(&town(), next(3))).unwrap();
        assert_eq!(goes_on.version(), 4);
        let last = block_on(store.rows(&town(), &[key("bead", "4-9")])).unwrap();
        assert_eq!(last.len(), 1);
        block_on(store.append_events(&town(), vec![event("e1")])).unwrap();
        let id = EventId::new("e1").unwrap();
        let pending = block_on(store.pending_events(&town(), 9)).unwrap();
        assert_eq!(
            pending.iter().map(|event| &event.id).collect::<Vec<_>>(),
            [&id]
        );
    }
}

/// Puts another file system over the directory of `path`. What is open stays what it was.
fn cover(path: &Path, options: &str) {
    let mount = Command::new("mount")
        .args(["-t", "tmpfs", "-o", options, "tmpfs"])
        .arg(path.parent().unwrap())
        .status();
    assert!(mount.unwrap().success(), "mount -o {options}");
}

/// The system lets nobody remount what is open for writing; it does so itself, after errors, and so can't be made to
/// here. So the file layer reports the error, and what is asked for the reason is another file system in its place.
#[test]
#[ignore = "the child of `an_open_store_whose_file_system_changes`"]
fn is_told_why_writes_fail() {
    install();
    let path = file_of_child();
    let store = open(&path);
    let _first = block_on(store.commit(&town(), next(0))).unwrap();
    let commit = |fault| {
        arm(Operation::Write, 1, fault);
        let said = block_on(store.commit(&town(), next(1))).unwrap_err();
        disarm();
        said
    };
    let assert_said = |classes: &[BackendFailure]| {
        let said = commit(Fault::Error);
        assert!(!assert_backend(&said, classes, "commit failed"));
        let said = commit(Fault::Dead);
        assert!(assert_backend(&said, classes, "commit failed"));
    };

    // Nothing is wrong with it but what SQLite says.
    assert_said(&[BackendFailure::Other]);
    let left: Vec<_> = fs::read_dir(path.parent().unwrap())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .filter(|name| !name.to_string_lossy().starts_with("town.db"))
        .collect();
    assert_eq!(left, [""; 0], "what was tried is left");
    cover(&path, "ro");
    assert_said(&[BackendFailure::ReadOnly]);
    cover(&path, "size=4k");
    fs::write(path.with_file_name("ballast"), [0; 4096]).unwrap();
    assert_said(&[BackendFailure::Full]);

    // Here SQLite's file is another one than that of its name; its own it can still write.
    assert_eq!(block_on(store.load(&town())).unwrap().version, 1);
    let _second = block_on(store.commit(&town(), next(1))).unwrap();
}

#[test]
fn an_open_store_whose_file_system_changes() {
    on_its_own_file_system("is_told_why_writes_fail");
}

#[test]
fn a_read_only_file_system() {
    on_its_own_file_system("meets_a_read_only_file_system");
}
