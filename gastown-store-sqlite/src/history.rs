//! History: written with commits, read in pages.

use gastown_core::{HistoryEntry, HistoryFilter, HistoryKind, HistoryOrder, StoredHistory, TownId};
use rusqlite::{Connection, Rows, params};

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
    // The end first: the file takes no entry beyond it.
    let mut statement = connection.prepare_cached(sql::SET_HISTORY_END)?;
    statement.execute(params![
        town.as_str(),
        end.saturating_add(clamped(entries.len()))
    ])?;
    let mut statement = connection.prepare_cached(sql::TELL)?;
    let mut sequence = end;
    for entry in entries {
        sequence = sequence.saturating_add(1);
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
    let after = match (filter.order, filter.after) {
        (_, Some(sequence)) => clamped(sequence),
        (HistoryOrder::OldestFirst, None) => 0,
        (HistoryOrder::NewestFirst, None) => i64::MAX,
    };
    let limit = clamped(filter.limit);
    let id = town.as_str();
    let [all, by_kind, by_subject, by_both] = statements(filter.order);
    read(connection, |transaction| {
        known(transaction, town)?;
        let prepare = |sql| transaction.prepare_cached(sql);
        match (filter.kind.map(HistoryKind::as_str), &filter.subject) {
            (None, None) => collect(town, prepare(all)?.query(params![id, after, limit])?),
            (Some(kind), None) => {
                let mut statement = prepare(by_kind)?;
                collect(town, statement.query(params![id, after, limit, kind])?)
            }
            (None, Some(subject)) => {
                let mut statement = prepare(by_subject)?;
                collect(town, statement.query(params![id, after, limit, subject])?)
            }
            (Some(kind), Some(subject)) => {
                let mut statement = prepare(by_both)?;
                let rows = statement.query(params![id, after, limit, subject, kind])?;
                collect(town, rows)
            }
        }
    })
}

/// The statements that read everything, one kind, one subject, and both.
fn statements(order: HistoryOrder) -> [&'static str; 4] {
    match order {
        HistoryOrder::OldestFirst => [
            sql::HISTORY,
            sql::HISTORY_BY_KIND,
            sql::HISTORY_BY_SUBJECT,
            sql::HISTORY_BY_BOTH,
        ],
        HistoryOrder::NewestFirst => [
            sql::NEWEST,
            sql::NEWEST_BY_KIND,
            sql::NEWEST_BY_SUBJECT,
            sql::NEWEST_BY_BOTH,
        ],
    }
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
