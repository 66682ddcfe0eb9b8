//! What all operations on a town share: transactions, its record, numbers and texts.

use std::path::Path;

use gastown_core::{StoreError, Timestamp, TownId};
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior};

use crate::failure::{Damaged, Failure};
use crate::migrate::not_too_new;
use crate::settle::{View, settle};
use crate::sql;

/// The record of a town.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TownRecord {
    pub(crate) version: i64,
    pub(crate) lease_token: i64,
}

/// Runs `job` in one transaction that takes the write lock first: one that reads, then writes would
/// be refused at once, without waiting, when another process has written in between.
pub(crate) fn write<T>(
    connection: &mut Connection,
    job: impl FnOnce(&Transaction<'_>) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let done = write_once(connection, job);
    done.map_err(|failure| failure.explained(connection.path().map(Path::new)))
}

fn write_once<T>(
    connection: &mut Connection,
    job: impl FnOnce(&Transaction<'_>) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    not_too_new(&transaction)?;
    let answer = job(&transaction)?;
    let view = View::of(&transaction)?;
    match transaction.commit() {
        Ok(()) => Ok(answer),
        Err(error) => Err(settle(connection, view, error)),
    }
}

/// Runs `job` on one unchanging view of the data.
pub(crate) fn read<T>(
    connection: &mut Connection,
    job: impl FnOnce(&Transaction<'_>) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Deferred)?;
    not_too_new(&transaction)?;
    job(&transaction)
}

/// The record of a town, if it is there.
pub(crate) fn find(connection: &Connection, town: &TownId) -> Result<Option<TownRecord>, Failure> {
    let mut statement = connection.prepare_cached(sql::TOWN)?;
    let record = statement.query_row([town.as_str()], |row| {
        Ok(TownRecord {
            version: row.get(0)?,
            lease_token: row.get(1)?,
        })
    });
    Ok(record.optional()?)
}

/// The record of a town that must be there.
pub(crate) fn known(connection: &Connection, town: &TownId) -> Result<TownRecord, Failure> {
    find(connection, town)?.ok_or_else(|| StoreError::UnknownTown { town: town.clone() }.into())
}

/// The towns that are there.
pub(crate) fn towns(connection: &mut Connection) -> Result<Vec<TownId>, Failure> {
    read(connection, |transaction| {
        let mut statement = transaction.prepare_cached(sql::TOWNS)?;
        let mut rows = statement.query([])?;
        let mut towns = Vec::new();
        while let Some(row) = rows.next()? {
            let id: String = row.get(0)?;
            let town = TownId::new(&id).map_err(|error| {
                Failure::Damaged(Damaged::Value {
                    town: id.clone(),
                    what: "id",
                    problem: error.to_string(),
                })
            })?;
            towns.push(town);
        }
        Ok(towns)
    })
}

/// A stored number that is never negative.
pub(crate) fn unsigned(number: i64) -> u64 {
    // The schema has CHECKs against it; 0 is where every such number starts.
    u64::try_from(number).unwrap_or(0)
}

/// A limit or a place that SQLite can take; it has fewer rows than that.
pub(crate) fn clamped(number: impl TryInto<i64>) -> i64 {
    number.try_into().unwrap_or(i64::MAX)
}

/// A stored time.
pub(crate) fn time(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

/// A stored value that can't be read.
pub(crate) fn damaged(town: &TownId, what: &'static str, problem: impl ToString) -> Failure {
    Failure::Damaged(Damaged::Value {
        town: town.to_string(),
        what,
        problem: problem.to_string(),
    })
}

/// Something that the contract forbids.
pub(crate) fn refused(operation: &'static str, reason: String) -> Failure {
    Failure::Said(StoreError::Refused { operation, reason })
}
