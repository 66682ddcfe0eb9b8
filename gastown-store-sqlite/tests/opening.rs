//! What opening does with files of every sort, and what it says.

#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use common::{assert_passed, child, commit, event, open, row, town};
use futures_executor::block_on;
use gastown_core::{BackendFailure, Finish, Store, StoreError};
use gastown_store_sqlite::{Options, SqliteStore};
use rusqlite::Connection;
use tempfile::TempDir;

fn directory() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("town.db");
    (directory, path)
}

fn refusal(path: &Path) -> StoreError {
    match block_on(SqliteStore::open(path, Options::safe())) {
        Ok(_) => panic!("{} was opened", path.display()),
        Err(error) => error,
    }
}

/// The class of a failure, and that the error names operation and path.
#[track_caller]
fn assert_backend(error: &StoreError, expected: BackendFailure, operation: &str, path: &Path) {
    let StoreError::Backend { class, .. } = error else {
        panic!("expected a failure of the medium, got {error:?}");
    };
    assert_eq!(*class, expected, "{error}");
    let said = error.to_string();
    let begins = format!("{operation} failed on {}", path.display());
    assert!(said.starts_with(&begins), "{said}");
}

/// What the medium said, below the error.
fn cause(error: &StoreError) -> String {
    std::error::Error::source(error).unwrap().to_string()
}

/// To a SQLite that is compiled so the first two are addresses; to the store they are names like the third.
const NAMES: [&str; 3] = ["file:town.db?mode=memory", "file:sub/town.db", "town.db"];

#[test]
#[ignore = "the child of `a_relative_path_is_a_name`"]
fn opens_relative_paths() {
    for name in NAMES {
        let path = Path::new(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).unwrap();
        }
        let store = open(path);
        let _created = block_on(store.commit(&town(), commit(0))).unwrap();
        let copy = path.with_extension("copy");
        block_on(store.backup(&copy)).unwrap();
        drop(store);
        for path in [path, &copy] {
            assert!(path.metadata().unwrap().len() > 0, "{}", path.display());
            let tool = block_on(SqliteStore::open_read_only(path)).unwrap();
            assert_eq!(block_on(tool.load(&town())).unwrap().version, 1);
        }
    }
    let error = block_on(SqliteStore::open_read_only("file:none.db")).unwrap_err();
    let path = Path::new("file:none.db");
    assert_backend(&error, BackendFailure::Unavailable, "open_read_only", path);
}

#[test]
fn a_relative_path_is_a_name() {
    let directory = tempfile::tempdir().unwrap();
    let output = child("opens_relative_paths", Path::new("unused"))
        .current_dir(directory.path())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .output()
        .unwrap();
    assert_passed(&output);
}

#[test]
fn a_newer_schema_is_refused_and_left_as_it_is() {
    let (_directory, path) = directory();
    drop(open(&path));
    let connection = Connection::open(&path).unwrap();
    connection.execute_batch("PRAGMA user_version = 7").unwrap();
    drop(connection);
    let before = fs::read(&path).unwrap();

    let error = refusal(&path);
    assert!(
        matches!(error, StoreError::TooNew { found: 7, .. }),
        "{error:?}"
    );
    assert!(
        error.to_string().contains(path.to_str().unwrap()),
        "{error}"
    );
    let error = block_on(SqliteStore::open_read_only(&path)).unwrap_err();
    assert!(matches!(error, StoreError::TooNew { .. }), "{error:?}");
    assert_eq!(fs::read(&path).unwrap(), before);
}

/// A newer program may come while this one has the file open.
#[test]
fn a_schema_that_becomes_too_new_is_no_longer_written_or_read() {
    let (_directory, path) = directory();
    let store = open(&path);
    let _made = block_on(store.commit(&town(), commit(0))).unwrap();
    let newer = Connection::open(&path).unwrap();
    newer.execute_batch("PRAGMA user_version = 7").unwrap();

    let said = [
        block_on(store.towns()).map(drop),
        block_on(store.load(&town())).map(drop),
        block_on(store.commit(&town(), commit(1))).map(drop),
        block_on(store.append_events(&town(), vec![event("e1")])).map(drop),
        block_on(store.integrity_check()).map(drop),
    ];
    for said in said {
        assert!(
            matches!(said, Err(StoreError::TooNew { found: 7, .. })),
            "{said:?}"
        );
    }
    let version = newer.query_row("SELECT version FROM towns", [], |row| row.get::<_, i64>(0));
    assert_eq!(version.unwrap(), 1);
}

#[test]
fn a_file_that_is_no_database_is_refused_and_left_as_it_is() {
    for text in ["x", "not a database", &"long text\n".repeat(1000)] {
        let (_directory, path) = directory();
        fs::write(&path, text).unwrap();
        assert_backend(&refusal(&path), BackendFailure::Corrupt, "open", &path);
        let error = block_on(SqliteStore::open_read_only(&path)).unwrap_err();
        assert_backend(&error, BackendFailure::Corrupt, "open_read_only", &path);
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }
}

#[test]
fn another_programs_database_is_refused_and_left_as_it_is() {
    for sql in [
        "PRAGMA application_id = 77; PRAGMA user_version = 1",
        "CREATE TABLE theirs (x); INSERT INTO theirs VALUES (1)",
        "PRAGMA user_version = 1",
        "PRAGMA application_id = 1197568852",
    ] {
        let (_directory, path) = directory();
        Connection::open(&path).unwrap().execute_batch(sql).unwrap();
        let before = fs::read(&path).unwrap();
        let error = refusal(&path);
        assert_backend(&error, BackendFailure::Corrupt, "open", &path);
        assert!(!cause(&error).is_empty());
        assert_eq!(fs::read(&path).unwrap(), before, "{sql}");
    }
}

#[test]
fn an_empty_file_becomes_a_store() {
    let (_directory, path) = directory();
    fs::write(&path, "").unwrap();
    assert_eq!(block_on(open(&path).towns()).unwrap(), []);
}

#[test]
fn a_place_where_no_file_can_be_is_named() {
    let (directory, path) = directory();
    let missing = directory.path().join("missing/town.db");
    assert_backend(
        &refusal(&missing),
        BackendFailure::Unavailable,
        "open",
        &missing,
    );
    let error = refusal(directory.path());
    assert_backend(
        &error,
        BackendFailure::Unavailable,
        "open",
        directory.path(),
    );
    let error = block_on(SqliteStore::open_read_only(&path)).unwrap_err();
    assert_backend(&error, BackendFailure::Unavailable, "open_read_only", &path);
    assert!(!path.exists(), "looking makes nothing");
}

/// A directory in which nobody can make a file; permissions do not bind root, the kernel does.
fn unwritable(directory: &TempDir) -> PathBuf {
    let closed = directory.path().join("closed");
    fs::create_dir(&closed).unwrap();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o555)).unwrap();
    match fs::write(closed.join("probe"), "") {
        Ok(()) => "/proc".into(),
        Err(_) => closed,
    }
}

#[test]
fn an_unwritable_directory_is_named() {
    let (directory, _) = directory();
    let path = unwritable(&directory).join("town.db");
    assert_backend(&refusal(&path), BackendFailure::Unavailable, "open", &path);
}

/// SQLite would open these in memory or in a file of its own choice, and forget.
#[test]
fn a_path_that_sqlite_takes_for_something_else_is_refused() {
    for path in [":memory:", ""] {
        let error = refusal(Path::new(path));
        assert_backend(&error, BackendFailure::Unavailable, "open", Path::new(path));
        assert!(
            cause(&error).contains("write-ahead log"),
            "{}",
            cause(&error)
        );
    }
}

#[test]
fn a_store_for_reading_reads_and_never_writes() {
    let (_directory, path) = directory();
    let writer = open(&path);
    let town = town();
    let mut first = commit(0);
    first.changes.put = vec![row("bead", "b1", "x")];
    let _committed = block_on(writer.commit(&town, first)).unwrap();

    let tool = block_on(SqliteStore::open_read_only(&path)).unwrap();
    assert_eq!(
        block_on(tool.load(&town)).unwrap().rows,
        [row("bead", "b1", "x")]
    );
    let _committed = block_on(writer.commit(&town, commit(1))).unwrap();
    assert_eq!(
        block_on(tool.load(&town)).unwrap().version,
        2,
        "it sees what is new"
    );

    let key = common::effect(1).key;
    let now = common::at(0);
    let refusals = [
        (block_on(tool.commit(&town, commit(2))).err(), "commit"),
        (
            block_on(tool.append_events(&town, vec![event("e1")])).err(),
            "append_events",
        ),
        (
            block_on(tool.finish_effect(&town, &key, Finish::Done, vec![], now)).err(),
            "finish_effect",
        ),
        (block_on(tool.prune(&town, now)).err(), "prune"),
        (
            block_on(tool.lease(&town, "h1", Duration::ZERO, now)).err(),
            "lease",
        ),
        (block_on(tool.release(&town, "h1")).err(), "release"),
    ];
    for (error, operation) in refusals {
        assert_backend(&error.unwrap(), BackendFailure::ReadOnly, operation, &path);
    }
}

/// Two hosts that start at once on a new file both get it.
#[test]
fn many_may_open_a_new_file_at_once() {
    for _ in 0..5 {
        let (_directory, path) = directory();
        let path = &path;
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(move || drop(open(path)));
            }
        });
        let store = open(path);
        assert_eq!(block_on(store.integrity_check()).unwrap(), [""; 0]);
    }
}

/// A writer of another process that stays is not waited for for ever, and nothing is written.
#[test]
fn a_busy_file_is_named_and_may_be_tried_again() {
    let (_directory, path) = directory();
    let options = Options::safe().busy_timeout(Duration::from_millis(10));
    let store = block_on(SqliteStore::open(&path, options)).unwrap();
    let town = town();
    let _created = block_on(store.commit(&town, commit(0))).unwrap();
    let other = Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let error = block_on(store.append_events(&town, vec![event("e1")])).unwrap_err();
    assert_backend(&error, BackendFailure::Busy, "append_events", &path);
    assert!(error.is_retryable());
    assert_eq!(
        block_on(store.load(&town)).unwrap().version,
        1,
        "readers go on"
    );
    other.execute_batch("ROLLBACK").unwrap();
    assert_eq!(
        block_on(store.append_events(&town, vec![event("e1")])).unwrap(),
        1
    );
}

/// A wait longer than SQLite can be told is cut, not a panic.
#[test]
fn the_longest_wait_is_taken() {
    let (_directory, path) = directory();
    let options = Options::safe().busy_timeout(Duration::MAX);
    assert!(block_on(SqliteStore::open(&path, options)).is_ok());
}
