//! Events: pending, or consumed and remembered until they are pruned.

use std::collections::BTreeSet;

use gastown_core::{Event, EventId, Timestamp, TownId};
use rusqlite::{Connection, params};

use crate::failure::Failure;
use crate::sql;
use crate::town::{clamped, damaged, known, read, refused, write};

/// An event as it is stored.
#[derive(Debug)]
pub(crate) struct EventRecord {
    id: EventId,
    at: Timestamp,
    body: String,
}

/// Written out by the caller, off the thread that everybody waits for.
pub(crate) fn records(
    operation: &'static str,
    events: Vec<Event>,
) -> Result<Vec<EventRecord>, gastown_core::StoreError> {
    let record = |event: Event| {
        let body = event.to_stored(operation)?;
        Ok(EventRecord {
            id: event.id,
            at: event.at,
            body,
        })
    };
    events.into_iter().map(record).collect()
}

/// Returns how many were new.
pub(crate) fn append(
    connection: &mut Connection,
    town: &TownId,
    events: &[EventRecord],
) -> Result<usize, Failure> {
    write(connection, |transaction| {
        known(transaction, town)?;
        insert(transaction, town, events)
    })
}

/// Adds events within a transaction; returns how many were new.
pub(crate) fn insert(
    connection: &Connection,
    town: &TownId,
    events: &[EventRecord],
) -> Result<usize, Failure> {
    let mut statement = connection.prepare_cached(sql::APPEND)?;
    let mut new: usize = 0;
    for EventRecord { id, at, body } in events {
        let added = statement.execute(params![town.as_str(), id.as_str(), at.as_millis(), body])?;
        new = new.saturating_add(added);
    }
    Ok(new)
}

/// Up to `limit` pending events, by (at, id).
pub(crate) fn pending(
    connection: &mut Connection,
    town: &TownId,
    limit: usize,
) -> Result<Vec<Event>, Failure> {
    read(connection, |transaction| {
        known(transaction, town)?;
        let mut statement = transaction.prepare_cached(sql::PENDING_EVENTS)?;
        let mut rows = statement.query(params![town.as_str(), clamped(limit)])?;
        let mut events = Vec::new();
        while let Some(row) = rows.next()? {
            let body = row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?;
            let event = gastown_core::wire::event_from_str(body);
            events.push(event.map_err(|error| damaged(town, "event", error))?);
        }
        Ok(events)
    })
}

/// Takes events out of the pending ones; each must be there.
pub(crate) fn consume(
    connection: &Connection,
    town: &TownId,
    ids: &BTreeSet<EventId>,
    at: Timestamp,
) -> Result<(), Failure> {
    let mut statement = connection.prepare_cached(sql::CONSUME)?;
    for id in ids {
        if statement.execute(params![town.as_str(), id.as_str(), at.as_millis()])? == 0 {
            let reason = format!("event {id} is consumed but is not pending");
            return Err(refused("commit", reason));
        }
    }
    Ok(())
}
