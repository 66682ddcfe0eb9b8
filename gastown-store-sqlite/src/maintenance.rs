//! For operators: is the file sound, and a copy of it while it is in use.

use std::fs::{self, OpenOptions};
use std::path::Path;

use gastown_core::BackendFailure;
use rusqlite::Connection;
use rusqlite::backup::{Backup, StepResult};

use crate::failure::{Failure, backend};
use crate::forms::bad_rows;
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

/// Copies all that is committed to a new file at `path`.
pub(crate) fn backup(connection: &Connection, path: &Path) -> Result<(), Failure> {
    let place = path.display().to_string();
    // Made here and not by SQLite, so that no existing file is ever overwritten.
    if let Err(error) = OpenOptions::new().write(true).create_new(true).open(path) {
        if error.kind() == std::io::ErrorKind::AlreadyExists {
            return Err(refused(OPERATION, format!("{place} exists already")));
        }
        let class = BackendFailure::Unavailable;
        return Err(Failure::Said(backend(
            OPERATION, &place, class, false, error,
        )));
    }
    let copied = copy(connection, path);
    if copied.is_err() {
        // Half a backup looks like a whole one to whoever needs it.
        let _ = fs::remove_file(path);
    }
    copied.map_err(|failure| Failure::Said(failure.at(OPERATION, &place)))
}

fn copy(connection: &Connection, path: &Path) -> Result<(), Failure> {
    let mut target = Connection::open(path)?;
    // All pages in one step: it reads one snapshot, and with a write-ahead log that blocks no writer.
    let step = Backup::new(connection, &mut target)?.step(-1)?;
    if step == StepResult::Done {
        return Ok(());
    }
    let problem = std::io::Error::other(format!("the copy ended as {step:?}"));
    let place = path.display().to_string();
    Err(Failure::Said(backend(
        OPERATION,
        &place,
        BackendFailure::Busy,
        false,
        problem,
    )))
}
