//! What goes wrong inside, and what the port says about it.

use std::error::Error;

use gastown_core::{BackendFailure, StoreError};
use rusqlite::ErrorCode;

/// Why a job on a connection did not succeed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The port's own answer.
    Said(StoreError),
    /// SQLite refused; the transaction was rolled back.
    Sqlite(rusqlite::Error),
    /// SQLite failed while it made a transaction durable.
    Commit(rusqlite::Error),
    /// What is stored can't be read.
    Damaged(Damaged),
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
    /// The port's error, with the operation and the file.
    pub(crate) fn at(self, operation: &'static str, place: &str) -> StoreError {
        match self {
            Failure::Said(error) => error,
            Failure::Sqlite(error) => backend(operation, place, class_of(&error), false, error),
            Failure::Commit(error) => {
                let class = class_of(&error);
                // A busy or full database is found out before the commit mark is written. After
                // any other failure the mark may be on the disk and count at the next start.
                let outcome_unknown = !matches!(class, BackendFailure::Busy | BackendFailure::Full);
                backend(operation, place, class, outcome_unknown, error)
            }
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
