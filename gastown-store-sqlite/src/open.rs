//! Connections, set up in the only order that is safe.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use gastown_core::{BackendFailure, StoreError};
use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::failure::{Failure, backend, damaged_file};
use crate::migrate::{SCHEMA, look, migrate};
use crate::options::{Options, Synchronous};

/// Prepared statements kept per connection; there are fewer.
const STATEMENT_CACHE: usize = 64;
/// JSON functions are always there since 3.38, STRICT tables since 3.37.
const SQLITE_VERSION_MIN: i32 = 3_038_000;
/// SQLite's smallest page.
const PAGE_BYTES_MIN: u64 = 512;
/// How often the change to a write-ahead log is tried while another process makes it.
const WAL_TRIES: u32 = 50;
const WAL_PAUSE: Duration = Duration::from_millis(20);

/// Opens for writing; creates and migrates what is not there or old.
pub(crate) fn writer(path: &Path, place: &str, options: Options) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let set_up = || -> Result<Connection, Failure> {
        let mut connection = connect(path, place, flags, options.busy_timeout)?;
        // Whose file it is comes first: nothing may be changed in another program's database. One
        // that SQLite can't even read, because it can write nothing beside it, is as good as any.
        let looked = look(&mut connection);
        let is_unreadable = matches!(&looked, Err(failure) if failure.cannot_open());
        if connection.is_readonly("main")? && (looked.is_ok() || is_unreadable) {
            let problem = "the file can't be written";
            return Err(unusable("open", place, BackendFailure::ReadOnly, problem));
        }
        looked?;
        write_ahead_log(&connection, place)?;
        let synchronous = match options.synchronous {
            Synchronous::Full => "FULL",
            Synchronous::Normal => "NORMAL",
        };
        connection.execute_batch(&format!(
            "PRAGMA synchronous = {synchronous}; PRAGMA foreign_keys = ON;"
        ))?;
        migrate(&mut connection)?;
        Ok(connection)
    };
    set_up().map_err(|failure| failure.explained(Some(path)).at("open", place))
}

/// Opens for reading; changes nothing, and needs a file of the newest schema.
///
/// `operation` is what it is opened for.
pub(crate) fn reader(
    operation: &'static str,
    path: &Path,
    place: &str,
    busy_timeout: Duration,
) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let set_up = || -> Result<Connection, Failure> {
        let mut connection = connect(path, place, flags, busy_timeout)?;
        let schema = match look(&mut connection) {
            Err(failure) if failure.cannot_open() => {
                let problem = "SQLite keeps an index of the write-ahead log beside it, where nothing \
                    can be written; a copy of the file can be read";
                let class = BackendFailure::ReadOnly;
                return Err(unusable(operation, place, class, problem));
            }
            looked => looked?,
        };
        if schema < SCHEMA {
            return Err(Failure::Said(StoreError::Refused {
                operation,
                reason: format!(
                    "{place} has schema {schema}, {SCHEMA} is needed; opening it for writing migrates it"
                ),
            }));
        }
        Ok(connection)
    };
    set_up().map_err(|failure| failure.at(operation, place))
}

fn connect(
    path: &Path,
    place: &str,
    flags: OpenFlags,
    busy_timeout: Duration,
) -> Result<Connection, Failure> {
    let version = rusqlite::version_number();
    if version < SQLITE_VERSION_MIN {
        let problem = format!("SQLite {} is linked, 3.38 is needed", rusqlite::version());
        return Err(unusable(
            "open",
            place,
            BackendFailure::Unavailable,
            &problem,
        ));
    }
    not_something_else(path)?;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(busy_timeout)?;
    connection.set_prepared_statement_cache_capacity(STATEMENT_CACHE);
    Ok(connection)
}

/// SQLite takes a file that is shorter than its smallest page for an empty database and writes over
/// it: a note that someone keeps, or what is left of a truncated store.
///
/// Only its length is asked for: were the file opened here, closing it would drop the locks that
/// another connection of this process has on it.
fn not_something_else(path: &Path) -> Result<(), Failure> {
    // What can't be looked at here, SQLite names better.
    let bytes = fs::metadata(path).map_or(0, |file| file.len());
    if bytes == 0 || bytes >= PAGE_BYTES_MIN {
        return Ok(());
    }
    // With its journal beside it, it is a database whose making was cut short; SQLite undoes that.
    let mut journal = path.as_os_str().to_owned();
    journal.push("-journal");
    if PathBuf::from(journal).exists() {
        return Ok(());
    }
    let problem = format!("a file of {bytes} bytes is no SQLite database, or what is left of one");
    Err(damaged_file(problem))
}

/// Some file systems refuse it, and SQLite then answers with the mode that stays.
fn write_ahead_log(connection: &Connection, place: &str) -> Result<(), Failure> {
    let mut tries = WAL_TRIES;
    let mode: String = loop {
        let answer = connection.query_row("PRAGMA journal_mode = WAL", [], |row| {
            row.get::<_, String>(0)
        });
        match answer {
            // The busy timeout does not cover this change of mode.
            Err(error)
                if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) && tries > 0 =>
            {
                tries = tries.saturating_sub(1);
                thread::sleep(WAL_PAUSE);
            }
            Err(error) => return Err(error.into()),
            Ok(mode) => break mode,
        }
    };
    if mode == "wal" {
        return Ok(());
    }
    let problem = format!("a write-ahead log is needed, the journal mode stays `{mode}`");
    Err(unusable(
        "open",
        place,
        BackendFailure::Unavailable,
        &problem,
    ))
}

fn unusable(operation: &'static str, place: &str, class: BackendFailure, problem: &str) -> Failure {
    let source = std::io::Error::other(problem.to_string());
    Failure::Said(backend(operation, place, class, false, source))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(connection: &Connection, pragma: &str) -> String {
        let sql = format!("SELECT CAST({pragma} AS TEXT) FROM pragma_{pragma}");
        connection.query_row(&sql, [], |row| row.get(0)).unwrap()
    }

    #[test]
    fn a_writer_is_set_up_as_it_should_be() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("town.db");
        for (synchronous, number) in [(Synchronous::Full, "2"), (Synchronous::Normal, "1")] {
            let options = Options::safe().synchronous(synchronous);
            let connection = writer(&path, "town.db", options).unwrap();
            assert_eq!(ask(&connection, "journal_mode"), "wal");
            assert_eq!(ask(&connection, "synchronous"), number);
            assert_eq!(ask(&connection, "foreign_keys"), "1");
            let timeout: i64 = connection
                .query_row("PRAGMA busy_timeout", [], |row| row.get(0))
                .unwrap();
            assert_eq!(timeout, 5000);
        }
    }

    #[test]
    fn a_reader_cannot_write() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("town.db");
        let _writer = writer(&path, "town.db", Options::safe()).unwrap();
        let reader = reader("open", &path, "town.db", Options::BUSY_TIMEOUT).unwrap();
        assert!(reader.is_readonly("main").unwrap());
    }
}
