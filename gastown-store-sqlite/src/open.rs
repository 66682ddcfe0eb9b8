//! Connections, set up in the only order that is safe.

use std::path::Path;
use std::thread;
use std::time::Duration;

use gastown_core::{BackendFailure, StoreError};
use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::failure::{Failure, backend};
use crate::migrate::{SCHEMA, migrate, schema_of};
use crate::options::{Options, Synchronous};

/// Prepared statements kept per connection; there are fewer.
const STATEMENT_CACHE: usize = 64;
/// JSON functions are always there since 3.38, STRICT tables since 3.37.
const SQLITE_VERSION_MIN: i32 = 3_038_000;
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
        // Whose file it is comes first: nothing may be changed in another program's database.
        schema_of(&connection, place)?;
        if connection.is_readonly("main")? {
            return Err(unusable(
                place,
                BackendFailure::ReadOnly,
                "the file can't be written",
            ));
        }
        write_ahead_log(&connection, place)?;
        let synchronous = match options.synchronous {
            Synchronous::Full => "FULL",
            Synchronous::Normal => "NORMAL",
        };
        connection.execute_batch(&format!(
            "PRAGMA synchronous = {synchronous}; PRAGMA foreign_keys = ON;"
        ))?;
        migrate(&mut connection, place)?;
        Ok(connection)
    };
    set_up().map_err(|failure| failure.at("open", place))
}

/// Opens for reading; changes nothing, and needs a file of the newest schema.
pub(crate) fn reader(
    path: &Path,
    place: &str,
    busy_timeout: Duration,
) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let set_up = || -> Result<Connection, Failure> {
        let connection = connect(path, place, flags, busy_timeout)?;
        let schema = schema_of(&connection, place)?;
        if schema < SCHEMA {
            return Err(Failure::Said(StoreError::Refused {
                operation: "open_read_only",
                reason: format!(
                    "{place} has schema {schema}, {SCHEMA} is needed; opening it for writing migrates it"
                ),
            }));
        }
        Ok(connection)
    };
    set_up().map_err(|failure| failure.at("open_read_only", place))
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
        return Err(unusable(place, BackendFailure::Unavailable, &problem));
    }
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(busy_timeout)?;
    connection.set_prepared_statement_cache_capacity(STATEMENT_CACHE);
    Ok(connection)
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
    Err(unusable(place, BackendFailure::Unavailable, &problem))
}

fn unusable(place: &str, class: BackendFailure, problem: &str) -> Failure {
    let source = std::io::Error::other(problem.to_string());
    Failure::Said(backend("open", place, class, false, source))
}
