//! What comes of a transaction whose COMMIT failed: nothing, as soon as that can be made sure of.
//!
//! SQLite has undone it by its own account. But its frames lie behind the end of the log, perhaps all of them,
//! and whoever reads the log after a crash would take them for a commit. So another transaction is made
//! at once, which changes nothing. Its frame lies where the first of the failed ones lay; the checksum of a frame
//! goes over all before it, so what lies behind counts no more, whatever of it reached the disk.
//!
//! After a failed sync the system may have dropped what it did not write. That takes away nothing: this
//! frame is written anew and synced by itself, and only if both succeed is anything concluded from it.

use rusqlite::{Connection, TransactionBehavior};

use crate::failure::Failure;

/// How the file looks to a transaction that is about to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct View(i64);

impl View {
    /// Changes when somebody else commits, and not by what this connection does.
    pub(crate) fn of(connection: &Connection) -> Result<Self, rusqlite::Error> {
        let mut statement = connection.prepare_cached("PRAGMA data_version")?;
        statement.query_row([], |row| row.get(0)).map(Self)
    }
}

/// What is said of the transaction that saw `view` and failed with `error` at its COMMIT.
pub(crate) fn settle(connection: &mut Connection, view: View, error: rusqlite::Error) -> Failure {
    match synced(connection, |connection| overwrite(connection, view)) {
        Ok(true) => Failure::Sqlite(error),
        Ok(false) | Err(_) => Failure::Commit(error),
    }
}

/// Whether the failed frames are overwritten.
///
/// A writer of another process that came in between has overwritten them as well. But one that was
/// killed at it may have left the log to be read anew, with the failed frames still in it. The version
/// of the town does not tell the two apart, since two writers may ask for the same one; so nothing is concluded.
fn overwrite(connection: &mut Connection, view: View) -> Result<bool, rusqlite::Error> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    if View::of(&transaction)? != view {
        return Ok(false);
    }
    // SQLite leaves out a page whose row is updated to what it was, but writes the header whatever is set in it.
    // The number is the one that is there: a newer program may have migrated the file.
    let schema: i64 = transaction.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    transaction.execute_batch(&format!("PRAGMA user_version = {schema}"))?;
    transaction.commit()?;
    Ok(true)
}

/// Runs `job` with every commit synced. Where they are not (`NORMAL`), a power failure might keep the failed frames
/// and lose the one over them.
fn synced<T>(
    connection: &mut Connection,
    job: impl FnOnce(&mut Connection) -> Result<T, rusqlite::Error>,
) -> Result<T, rusqlite::Error> {
    let usual: i64 = connection.query_row("PRAGMA synchronous", [], |row| row.get(0))?;
    connection.execute_batch("PRAGMA synchronous = FULL")?;
    let done = job(connection);
    connection.execute_batch(&format!("PRAGMA synchronous = {usual}"))?;
    done
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::open;
    use crate::options::{Options, Synchronous};

    fn failed(connection: &mut Connection, view: View) -> Failure {
        let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_IOERR_FSYNC);
        settle(connection, view, rusqlite::Error::SqliteFailure(code, None))
    }

    fn log_bytes(path: &std::path::Path) -> u64 {
        let log = path.with_file_name("town.db-wal");
        std::fs::metadata(log).unwrap().len()
    }

    #[test]
    fn one_frame_is_written_and_the_file_stays_as_it_was() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("town.db");
        let options = Options::safe().synchronous(Synchronous::Normal);
        let mut connection = open::writer(&path, "town.db", options).unwrap();
        let ask = |connection: &Connection, pragma: &str| -> i64 {
            let sql = format!("PRAGMA {pragma}");
            connection.query_row(&sql, [], |row| row.get(0)).unwrap()
        };
        let (view, bytes) = (View::of(&connection).unwrap(), log_bytes(&path));
        let schema = ask(&connection, "user_version");
        let said = failed(&mut connection, view);
        assert!(matches!(said, Failure::Sqlite(_)), "{said:?}");
        assert_eq!(log_bytes(&path), bytes + 24 + 4096);
        assert_eq!(ask(&connection, "user_version"), schema);
        assert_eq!(ask(&connection, "synchronous"), 1, "it is as it was opened");
        assert_eq!(View::of(&connection).unwrap(), view);
    }

    #[test]
    fn where_somebody_else_wrote_or_nothing_can_be_written_it_stays_unknown() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("town.db");
        let mut connection = open::writer(&path, "town.db", Options::safe()).unwrap();
        let view = View::of(&connection).unwrap();
        connection.execute_batch("PRAGMA query_only = ON").unwrap();
        let said = failed(&mut connection, view);
        assert!(matches!(said, Failure::Commit(_)), "{said:?}");
        connection.execute_batch("PRAGMA query_only = OFF").unwrap();

        let other = open::writer(&path, "town.db", Options::safe()).unwrap();
        other
            .execute("INSERT INTO towns (id, version) VALUES ('t1', 1)", [])
            .unwrap();
        let said = failed(&mut connection, view);
        assert!(matches!(said, Failure::Commit(_)), "{said:?}");
    }
}
