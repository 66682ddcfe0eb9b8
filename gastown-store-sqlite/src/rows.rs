//! Rows: the working set, and reading by key.

use std::collections::BTreeSet;

use gastown_core::{Loaded, Row, RowKey, TownId};
use rusqlite::{Connection, OptionalExtension, params};

use crate::failure::Failure;
use crate::sql;
use crate::town::{known, read, unsigned};

/// The town's working set and its version, of one moment.
pub(crate) fn load(connection: &mut Connection, town: &TownId) -> Result<Loaded, Failure> {
    read(connection, |transaction| {
        let version = unsigned(known(transaction, town)?.version);
        let mut statement = transaction.prepare_cached(sql::LOAD)?;
        let rows = statement.query_map([town.as_str()], |row| {
            Ok(Row {
                key: RowKey {
                    kind: row.get(0)?,
                    id: row.get(1)?,
                },
                working: true,
                body: row.get(2)?,
            })
        })?;
        let rows = rows.collect::<Result<_, _>>()?;
        Ok(Loaded { rows, version })
    })
}

/// Rows by key, in order, each once.
pub(crate) fn by_key(
    connection: &mut Connection,
    town: &TownId,
    keys: BTreeSet<RowKey>,
) -> Result<Vec<Row>, Failure> {
    read(connection, |transaction| {
        known(transaction, town)?;
        let mut statement = transaction.prepare_cached(sql::ROW)?;
        let mut found = Vec::new();
        for key in keys {
            let stored = statement.query_row(params![town.as_str(), key.kind, key.id], |row| {
                Ok((row.get(0)?, row.get(1)?))
            });
            if let Some((working, body)) = stored.optional()? {
                found.push(Row { key, working, body });
            }
        }
        Ok(found)
    })
}

/// Puts and deletes.
pub(crate) fn change(
    connection: &Connection,
    town: &TownId,
    put: &[Row],
    delete: &[RowKey],
) -> Result<(), Failure> {
    let mut statement = connection.prepare_cached(sql::PUT)?;
    for Row { key, working, body } in put {
        statement.execute(params![town.as_str(), key.kind, key.id, working, body])?;
    }
    let mut statement = connection.prepare_cached(sql::DELETE)?;
    for key in delete {
        statement.execute(params![town.as_str(), key.kind, key.id])?;
    }
    Ok(())
}
