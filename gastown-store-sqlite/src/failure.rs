//! What goes wrong inside, and what the port says about it.

use std::error::Error;
use std::path::Path;

use gastown_core::{BackendFailure, StoreError};
use rusqlite::ErrorCode;

use crate::medium;
use crate::migrate::SCHEMA;

/// Why a job on a connection did not succeed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The port's own answer.
    Said(StoreError),
    /// SQLite refused; the transaction was rolled back.
    Sqlite(rusqlite::Error),
    /// SQLite failed while it made a transaction durable, and that could not be settled (`settle.rs`).
    Commit(rusqlite::Error),
    /// Either of these, after the file system was asked for the reason.
    Medium {
        class: BackendFailure,
        outcome_unknown: bool,
        error: rusqlite::Error,
    },
    /// What is stored can't be read.
    Damaged(Damaged),
    /// A newer program migrated the file to this schema.
    TooNew(i64),
}

/// A stored value that no version of this program wrote.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Damaged {
    #[error("town {town}: stored {what}: {problem}")]
    Value {
        town: String,
        what: &'static str,
        problem: String,
    },
    #[error("{0}")]
    File(String),
}

/// A file that is not what it should be.
pub(crate) fn damaged_file(problem: String) -> Failure {
    Failure::Damaged(Damaged::File(problem))
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Failure::Sqlite(error)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Failure::Said(error)
    }
}

impl Failure {
    /// SQLite could not open the file, or one that it needs beside it.
    pub(crate) fn cannot_open(&self) -> bool {
        matches!(self, Failure::Sqlite(error)
            if error.sqlite_error_code() == Some(ErrorCode::CannotOpen))
    }

    /// The same, with the reason of the file system at `path` where SQLite knows of none. Blocks on it.
    pub(crate) fn explained(self, path: Option<&Path>) -> Self {
        let says_nothing =
            |error: &rusqlite::Error| error.sqlite_error_code() == Some(ErrorCode::SystemIoFailure);
        let (error, outcome_unknown) = match self {
            Failure::Sqlite(error) if says_nothing(&error) => (error, false),
            Failure::Commit(error) if says_nothing(&error) => (error, true),
            Failure::Said(_)
            | Failure::Sqlite(_)
            | Failure::Commit(_)
            | Failure::Medium { .. }
            | Failure::Damaged(_)
            | Failure::TooNew(_) => return self,
        };
        let class = path.and_then(medium::problem);
        Failure::Medium {
            class: class.unwrap_or(class_of(&error)),
            outcome_unknown,
            error,
        }
    }

    /// The port's error, with the operation and the file.
    pub(crate) fn at(self, operation: &'static str, place: &str) -> StoreError {
        match self {
            Failure::Said(error) => error,
            Failure::Sqlite(error) if is_constraint(&error) => StoreError::Refused {
                operation,
                reason: error.to_string(),
            },
            Failure::Sqlite(error) => backend(operation, place, class_of(&error), false, error),
            Failure::Commit(error) => {
                let class = class_of(&error);
                // A busy database is found out before anything is written. After any other
                // failure the commit mark may be on the disk and count after a crash.
                let outcome_unknown = class != BackendFailure::Busy;
                backend(operation, place, class, outcome_unknown, error)
            }
            Failure::Medium {
                class,
                outcome_unknown,
                error,
            } => backend(operation, place, class, outcome_unknown, error),
            Failure::TooNew(found) => StoreError::TooNew {
                place: place.to_string(),
                found,
                supported: SCHEMA,
            },
            Failure::Damaged(error) => {
                backend(operation, place, BackendFailure::Corrupt, false, error)
            }
        }
    }
}

/// An error of the medium.
pub(crate) fn backend(
    operation: &'static str,
    place: &str,
    class: BackendFailure,
    outcome_unknown: bool,
    source: impl Error + Send + Sync + 'static,
) -> StoreError {
    StoreError::Backend {
        operation,
        place: place.to_string(),
        class,
        outcome_unknown,
        source: Some(Box::new(source)),
    }
}

/// The file itself refuses what was to be written: the same would be refused again, and nothing is wrong with
/// the medium.
fn is_constraint(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation)
}

fn class_of(error: &rusqlite::Error) -> BackendFailure {
    const CLASSES: [(ErrorCode, BackendFailure); 8] = [
        (ErrorCode::DatabaseBusy, BackendFailure::Busy),
        (ErrorCode::DatabaseLocked, BackendFailure::Busy),
        (ErrorCode::DiskFull, BackendFailure::Full),
        (ErrorCode::ReadOnly, BackendFailure::ReadOnly),
        (ErrorCode::PermissionDenied, BackendFailure::ReadOnly),
        (ErrorCode::DatabaseCorrupt, BackendFailure::Corrupt),
        (ErrorCode::NotADatabase, BackendFailure::Corrupt),
        (ErrorCode::CannotOpen, BackendFailure::Unavailable),
    ];
    match error.sqlite_error_code() {
        Some(code) => CLASSES
            .iter()
            .find(|(known, _)| *known == code)
            .map_or(BackendFailure::Other, |(_, class)| *class),
        // Not said by SQLite but by the reading of its answer: a column is not what it should be.
        None => BackendFailure::Corrupt,
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;
    use crate::open;
    use crate::options::Options;
    use crate::town::write;

    /// A statement that fails as `sql` makes it, on a file of its own.
    fn failing(sql: &str) -> (tempfile::TempDir, Connection, StoreError) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("town.db");
        let mut connection = open::writer(&path, "town.db", Options::safe()).unwrap();
        connection.execute_batch(sql).unwrap();
        let error = write(&mut connection, |transaction| {
            let fill = "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n LIMIT 5000)
                INSERT INTO towns (id, version) SELECT 't' || n, 1 FROM n";
            Ok(transaction.execute_batch(fill)?)
        });
        let error = error.unwrap_err().at("commit", "town.db");
        (directory, connection, error)
    }

    fn towns(connection: &Connection) -> i64 {
        connection
            .query_row("SELECT count(*) FROM towns", [], |row| row.get(0))
            .unwrap()
    }

    #[test]
    fn a_full_disk_is_named_and_nothing_is_written() {
        let (_directory, connection, error) = failing("PRAGMA max_page_count = 1");
        assert_eq!(
            error.to_string(),
            "commit failed on town.db: there is no room left"
        );
        assert!(error.is_retryable());
        assert_eq!(towns(&connection), 0);
        let integrity: String = connection
            .query_row("PRAGMA integrity_check", [], |row| row.get(0))
            .unwrap();
        assert_eq!(integrity, "ok");
    }

    /// What a trigger or a CHECK says is what the caller is told.
    #[test]
    fn what_the_file_refuses_is_refused_and_nothing_is_written() {
        let trigger = "CREATE TRIGGER t5000 AFTER INSERT ON towns WHEN NEW.id = 't5000' BEGIN
            SELECT RAISE(ABORT, 'towns has enough'); END";
        let check = "CREATE TRIGGER t5000 AFTER INSERT ON towns WHEN NEW.id = 't5000' BEGIN
            UPDATE towns SET lease_expires_at = 0 WHERE id = 't5000'; END";
        for (sql, expected) in [
            (trigger, "commit: refused: towns has enough"),
            (
                check,
                "commit: refused: CHECK constraint failed: (lease_holder IS NULL) = (lease_expires_at IS NULL)",
            ),
        ] {
            let (_directory, connection, error) = failing(sql);
            assert!(matches!(error, StoreError::Refused { .. }), "{error:?}");
            assert_eq!(error.to_string(), expected);
            assert!(!error.is_retryable());
            assert_eq!(towns(&connection), 0);
        }
    }

    #[test]
    fn a_disk_that_became_read_only_is_named_and_nothing_is_written() {
        let (_directory, connection, error) = failing("PRAGMA query_only = ON");
        assert_eq!(
            error.to_string(),
            "commit failed on town.db: it can't be written"
        );
        assert!(!error.is_retryable());
        assert_eq!(towns(&connection), 0);
    }

    #[test]
    fn a_failed_commit_says_whether_it_may_have_been_written() {
        let of = |code| {
            let inner = rusqlite::ffi::Error::new(code);
            let failure = Failure::Commit(rusqlite::Error::SqliteFailure(inner, None));
            let error = failure.at("commit", "town.db");
            let StoreError::Backend {
                class,
                outcome_unknown,
                ..
            } = error
            else {
                panic!("{error:?}");
            };
            (class, outcome_unknown)
        };
        assert_eq!(
            of(rusqlite::ffi::SQLITE_BUSY),
            (BackendFailure::Busy, false)
        );
        assert_eq!(of(rusqlite::ffi::SQLITE_FULL), (BackendFailure::Full, true));
        assert_eq!(
            of(rusqlite::ffi::SQLITE_IOERR_FSYNC),
            (BackendFailure::Other, true)
        );
    }
}
