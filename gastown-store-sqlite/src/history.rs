//! History: written with commits, read in pages.

use gastown_core::{HistoryEntry, HistoryFilter, HistoryKind, StoredHistory, TownId};
use rusqlite::{Connection, Rows, params};

use crate::commit::place;
use crate::failure::Failure;
use crate::sql;
use crate::town::{clamped, damaged, known, read, time, unsigned};

/// Appends entries within a transaction.
pub(crate) fn tell(
    connection: &Connection,
    town: &TownId,
    entries: &[HistoryEntry],
) -> Result<(), Failure> {
    if entries.is_empty() {
        return Ok(());
    }
    let mut statement = connection.prepare_cached(sql::HISTORY_END)?;
    let end: i64 = statement.query_row([town.as_str()], |row| row.get(0))?;
    let mut statement = connection.prepare_cached(sql::TELL)?;
    for (n, entry) in entries.iter().enumerate() {
        let sequence = end.saturating_add(place(n)).saturating_add(1);
        let HistoryEntry {
            kind,
            subject,
            at,
            body,
        } = entry;
        let (kind, at) = (kind.as_str(), at.as_millis());
        statement.execute(params![town.as_str(), sequence, kind, subject, at, body])?;
    }
    Ok(())
}

/// A page of history.
pub(crate) fn page(
    connection: &mut Connection,
    town: &TownId,
    filter: &HistoryFilter,
) -> Result<Vec<StoredHistory>, Failure> {
    let after = filter.after.map_or(0, clamped);
    let limit = clamped(filter.limit);
    let id = town.as_str();
    read(connection, |transaction| {
        known(transaction, town)?;
        let prepare = |sql| transaction.prepare_cached(sql);
        match (filter.kind.map(HistoryKind::as_str), &filter.subject) {
            (None, None) => collect(
                town,
                prepare(sql::HISTORY)?.query(params![id, after, limit])?,
            ),
            (Some(kind), None) => {
                let mut statement = prepare(sql::HISTORY_BY_KIND)?;
                collect(town, statement.query(params![id, after, limit, kind])?)
            }
            (None, Some(subject)) => {
                let mut statement = prepare(sql::HISTORY_BY_SUBJECT)?;
                collect(town, statement.query(params![id, after, limit, subject])?)
            }
            (Some(kind), Some(subject)) => {
                let mut statement = prepare(sql::HISTORY_BY_BOTH)?;
                collect(
                    town,
                    statement.query(params![id, after, limit, subject, kind])?,
                )
            }
        }
    })
}

fn collect(town: &TownId, mut rows: Rows<'_>) -> Result<Vec<StoredHistory>, Failure> {
    let mut page = Vec::new();
    while let Some(row) = rows.next()? {
        let kind: String = row.get(1)?;
        page.push(StoredHistory {
            sequence: unsigned(row.get(0)?),
            entry: HistoryEntry {
                kind: serde_json::from_value(kind.into())
                    .map_err(|error| damaged(town, "history kind", error))?,
                subject: row.get(2)?,
                at: time(row.get(3)?),
                body: row.get(4)?,
            },
        });
    }
    Ok(page)
}
