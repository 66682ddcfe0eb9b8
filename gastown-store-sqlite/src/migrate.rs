//! Whose file it is, of which schema, and the way to the newest one.

use rusqlite::{Connection, TransactionBehavior};

use crate::failure::{Failure, damaged_file};
use crate::settle::{View, settle};

/// Marks a file as ours: "GasT" in ASCII. It is in the file's header, where `file` shows it.
pub(crate) const APPLICATION_ID: i64 = 0x4761_7354;

/// One file each, in order; the schema is how many were applied. None is ever edited.
pub(crate) const MIGRATIONS: [&str; 4] = [
    include_str!("../migrations/0001_first.sql"),
    include_str!("../migrations/0002_replay.sql"),
    include_str!("../migrations/0003_recall.sql"),
    include_str!("../migrations/0004_forms.sql"),
];

/// The newest schema that this program knows.
pub(crate) const SCHEMA: i64 = MIGRATIONS.len() as i64;

/// Brings a file to the newest schema, and a blank one to life.
pub(crate) fn migrate(connection: &mut Connection) -> Result<(), Failure> {
    while look(connection)? < SCHEMA {
        step(connection)?;
    }
    Ok(())
}

/// The schema of a file of ours; 0 is a blank file. Changes nothing.
pub(crate) fn look(connection: &mut Connection) -> Result<i64, Failure> {
    // One view, or another process that is just making the file looks like another program.
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Deferred)?;
    schema_of(&transaction)
}

/// One step, in one transaction.
fn step(connection: &mut Connection) -> Result<(), Failure> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Another process may have made this step since it was last looked at.
    let schema = schema_of(&transaction)?;
    let next = usize::try_from(schema)
        .ok()
        .and_then(|done| MIGRATIONS.get(done));
    let Some(sql) = next else {
        return Ok(());
    };
    transaction.execute_batch(sql)?;
    let reached = schema.saturating_add(1);
    transaction.execute_batch(&format!(
        "PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {reached};"
    ))?;
    let view = View::of(&transaction)?;
    match transaction.commit() {
        Ok(()) => Ok(()),
        Err(error) => Err(settle(connection, view, error)),
    }
}

fn schema_of(connection: &Connection) -> Result<i64, Failure> {
    let application_id = pragma(connection, "application_id")?;
    let schema = pragma(connection, "user_version")?;
    let objects: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    match (application_id, schema, objects) {
        (0, 0, 0) => Ok(0),
        (APPLICATION_ID, schema, _) if schema > SCHEMA => Err(Failure::TooNew(schema)),
        (APPLICATION_ID, schema, _) if schema > 0 => Ok(schema),
        (APPLICATION_ID, schema, _) => Err(damaged_file(format!("schema {schema} never was"))),
        (other, _, _) => Err(damaged_file(format!(
            "the database has application id {other:#010x}, a gastown store {APPLICATION_ID:#010x}"
        ))),
    }
}

/// A newer program may migrate the file while this one has it open; each transaction asks anew.
pub(crate) fn not_too_new(connection: &Connection) -> Result<(), Failure> {
    let mut statement = connection.prepare_cached("PRAGMA user_version")?;
    let schema: i64 = statement.query_row([], |row| row.get(0))?;
    if schema > SCHEMA {
        return Err(Failure::TooNew(schema));
    }
    Ok(())
}

fn pragma(connection: &Connection, name: &str) -> Result<i64, rusqlite::Error> {
    connection.query_row(&format!("PRAGMA {name}"), [], |row| row.get(0))
}
