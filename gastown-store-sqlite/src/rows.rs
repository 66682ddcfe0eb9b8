//! Rows: the working set, and reading by key.

use std::collections::BTreeSet;

use gastown_core::{Loaded, PastFilter, Row, RowKey, TownId};
use rusqlite::{Connection, OptionalExtension, params};

use crate::failure::Failure;
use crate::sql;
use crate::town::{clamped, known, read, unsigned};

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

/// A page of the rows behind the working set.
pub(crate) fn past(
    connection: &mut Connection,
    town: &TownId,
    filter: &PastFilter,
) -> Result<Vec<Row>, Failure> {
    // No key is empty: the first page comes after nothing.
    let (kind, id) = filter
        .after
        .as_ref()
        .map_or(("", ""), |key| (key.kind.as_str(), key.id.as_str()));
    let (town_id, limit) = (town.as_str(), clamped(filter.limit));
    read(connection, |transaction| {
        known(transaction, town)?;
        let row = |row: &rusqlite::Row<'_>| {
            Ok(Row {
                key: RowKey {
                    kind: row.get(0)?,
                    id: row.get(1)?,
                },
                working: false,
                body: row.get(2)?,
            })
        };
        // Those of one kind come after an id of that kind, if the key before was of it at all.
        let (kind, id) = match &filter.kind {
            Some(wanted) if wanted.as_str() < kind => return Ok(Vec::new()),
            Some(wanted) if wanted != kind => (wanted.as_str(), ""),
            Some(_) | None => (kind, id),
        };
        let sql = match (&filter.kind, &filter.depends_on) {
            (None, None) => sql::PAST,
            (None, Some(_)) => sql::PAST_TO,
            (Some(_), None) => sql::PAST_OF_KIND,
            (Some(_), Some(_)) => sql::PAST_OF_KIND_TO,
        };
        let mut statement = transaction.prepare_cached(sql)?;
        let rows = match &filter.depends_on {
            None => statement.query_map(params![town_id, kind, id, limit], row)?,
            Some(to) => statement.query_map(params![town_id, kind, id, limit, to], row)?,
        };
        let rows = rows.collect::<Result<_, _>>()?;
        Ok(rows)
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
