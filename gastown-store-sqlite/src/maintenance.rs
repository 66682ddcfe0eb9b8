//! For operators: is the file sound, and a copy of it while it is in use.

use std::error::Error;
use std::io::{self, ErrorKind};
use std::path::Path;

use gastown_core::{BackendFailure, StoreError};
use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};

use crate::failure::{Failure, backend};
use crate::forms::bad_rows;
use crate::part::{self, Directory, Mode, Part};
use crate::town::refused;

const OPERATION: &str = "backup";

/// What SQLite finds wrong with the file, and which rows no engine wrote; nothing in a sound one.
pub(crate) fn integrity_check(connection: &Connection) -> Result<Vec<String>, Failure> {
    let mut statement = connection.prepare("PRAGMA integrity_check")?;
    let lines = statement.query_map([], |row| row.get::<_, String>(0))?;
    let mut problems: Vec<String> = lines.collect::<Result<_, _>>()?;
    problems.retain(|line| line != "ok");
    let mut statement = connection.prepare("PRAGMA foreign_key_check")?;
    let mut orphans = statement.query([])?;
    while let Some(row) = orphans.next()? {
        let (table, parent): (String, String) = (row.get(0)?, row.get(2)?);
        problems.push(format!("a row of {table} has no row in {parent}"));
    }
    // What is in a broken file says nothing about who wrote it.
    if problems.is_empty() {
        problems = bad_rows(connection)?;
    }
    Ok(problems)
}

/// Copies all that is committed in the file `source` to a new one at `path`, which gets that name once it is whole
/// and on the disk.
pub(crate) fn backup(
    connection: &Connection,
    source: &Path,
    path: &Path,
    place: &str,
) -> Result<(), Failure> {
    let unavailable = |error| io_failure(place, BackendFailure::Unavailable, error);
    if let Some(side) = part::side(path) {
        let reason = format!(
            "{place} ends in `{side}`: SQLite gives such names to files beside a database, and deletes them; another \
             name is expected"
        );
        return Err(refused(OPERATION, reason));
    }
    // What another database left beside it SQLite would write into the copy.
    if let Some(there) = part::taken(path).map_err(unavailable)? {
        let reason = format!("{} exists already", there.display());
        return Err(refused(OPERATION, reason));
    }
    let mode = Mode::of(source).map_err(unavailable)?;
    // One that can't be synced later is found out before anything is there.
    let directory = Directory::of(path).map_err(unavailable)?;
    let part = Part::create(path).map_err(unavailable)?;
    let filled = fill(connection, &part, mode, path, place);
    ended(filled, part.remove(), part.path(), place)?;
    directory.sync().map_err(|error| {
        let class = BackendFailure::Other;
        Failure::Said(backend(OPERATION, place, class, true, error))
    })
}

/// Copies to `part` and puts that in its place.
fn fill(
    connection: &Connection,
    part: &Part,
    mode: Mode,
    path: &Path,
    place: &str,
) -> Result<(), StoreError> {
    copy(connection, part.path(), place).map_err(|failure| failure.at(OPERATION, place))?;
    let failed = |error| io_failure(place, BackendFailure::Other, error);
    part.finish(mode).map_err(failed)?;
    part.put(path).map_err(|error| {
        if error.kind() != ErrorKind::AlreadyExists {
            return failed(error);
        }
        // Somebody put it there while the copy was made.
        StoreError::Refused {
            operation: OPERATION,
            reason: format!("{place} exists already"),
        }
    })
}

fn copy(connection: &Connection, part: &Path, place: &str) -> Result<(), Failure> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut target = Connection::open_with_flags(part, flags)?;
    // Half a copy is thrown away, so nothing need be undone, and all of it is synced at its end.
    target.execute_batch("PRAGMA journal_mode = MEMORY; PRAGMA synchronous = OFF;")?;
    // All pages in one step: it reads one snapshot, and with a write-ahead log that blocks no writer.
    let step = Backup::new(connection, &mut target)?.step(-1)?;
    if step != StepResult::Done {
        let problem = io::Error::other(format!("the copy ended as {step:?}"));
        let class = BackendFailure::Busy;
        return Err(Failure::Said(backend(
            OPERATION, place, class, false, problem,
        )));
    }
    target.close().map_err(|(_, error)| error.into())
}

/// What is still there although it should not be.
#[derive(Debug, thiserror::Error)]
#[error("{part} is left and can't be removed: {problem}")]
struct Left {
    part: String,
    problem: io::Error,
    source: Option<Box<dyn Error + Send + Sync>>,
}

/// What is said of a copy: how it went, and whether its first name is gone.
fn ended(
    filled: Result<(), StoreError>,
    removed: io::Result<()>,
    part: &Path,
    place: &str,
) -> Result<(), StoreError> {
    let Err(problem) = removed else {
        return filled;
    };
    let part = part.display().to_string();
    let Err(mut error) = filled else {
        // The copy is there and whole. Under two names it must not be used: SQLite names the log of a
        // database after the name by which it was opened.
        let source = None;
        let left = Left {
            part,
            problem,
            source,
        };
        let class = BackendFailure::Other;
        return Err(backend(OPERATION, place, class, true, left));
    };
    // Half a copy takes room, which may be what is missing.
    if let StoreError::Backend { source, .. } = &mut error {
        let cause = source.take();
        *source = Some(Box::new(Left {
            part,
            problem,
            source: cause,
        }));
    } else if let StoreError::Refused { reason, .. } = &mut error {
        reason.push_str(&format!("; {part} is left and can't be removed: {problem}"));
    }
    Err(error)
}

/// An error of the file system; `otherwise` unless there is no room.
fn io_failure(place: &str, otherwise: BackendFailure, error: io::Error) -> StoreError {
    let is_full = matches!(
        error.kind(),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded
    );
    let class = if is_full {
        BackendFailure::Full
    } else {
        otherwise
    };
    backend(OPERATION, place, class, false, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn causes(error: &StoreError) -> String {
        let mut text = error.to_string();
        let mut next = error.source();
        while let Some(cause) = next {
            text.push_str(": ");
            text.push_str(&cause.to_string());
            next = cause.source();
        }
        text
    }

    /// What is left is named beside what went wrong, and does not hide it.
    #[test]
    fn what_is_left_is_said() {
        let place = "copy.db";
        let said = |filled| {
            let removed = Err(io::Error::other("it is held"));
            ended(filled, removed, Path::new("copy.db.part-1-0"), place).unwrap_err()
        };
        let full = io_failure(place, BackendFailure::Other, ErrorKind::StorageFull.into());
        let error = said(Err(full));
        assert!(error.is_retryable(), "{error:?}");
        assert_eq!(
            causes(&error),
            "backup failed on copy.db: there is no room left: copy.db.part-1-0 is left and can't be \
             removed: it is held: no storage space"
        );

        let error = said(Err(StoreError::Refused {
            operation: OPERATION,
            reason: "copy.db exists already".into(),
        }));
        assert_eq!(
            causes(&error),
            "backup: refused: copy.db exists already; copy.db.part-1-0 is left and can't be removed: it \
             is held"
        );

        let error = said(Ok(()));
        let StoreError::Backend {
            outcome_unknown, ..
        } = &error
        else {
            panic!("{error:?}");
        };
        assert!(outcome_unknown, "the copy is there");
        assert_eq!(
            causes(&error),
            "backup failed on copy.db: it reported an error: copy.db.part-1-0 is left and can't be \
             removed: it is held"
        );
    }
}
