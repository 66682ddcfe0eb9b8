//! What masking may have broken.
//!
//! A secret may be a word that records are written with, two keys may become one, and a mask may be longer
//! than what it hides. So all that could be read before is read again; what could not is passed over: a
//! town that is damaged is what a report is wanted for.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::{Report, form, names};
use crate::effect::Effect;
use crate::event::Event;
use crate::policy::Policy;
use crate::store::{ChangeSet, Commit, HistoryEntry, HistoryKind, Row, StoreError, StoredHistory};
use crate::tick::{
    CommandRecord, EventRecord, SnapshotRecord, SnapshotRowsRecord, TickRecord, to_json,
};
use crate::time::Timestamp;
use crate::town::Town;
use crate::wire::{self, WireError};

/// The operation that a store would refuse.
const OPERATION: &str = "import";

/// The names of the fields of a town's records and of its policy; none if it can't be read. Where it can,
/// none of them is anybody's data: no reader takes a field that it does not know.
pub(super) fn field_names(rows: &[Row]) -> BTreeSet<String> {
    let working = working(rows);
    if town(&working).is_err() {
        return BTreeSet::new();
    }
    let policy = to_json(&Policy::default()).to_string();
    let records = working.iter().map(|row| &row.body).chain([&policy]);
    records
        .map(|record| serde_json::from_str::<Map<String, Value>>(record))
        .flat_map(Result::unwrap_or_default)
        .map(|(name, _)| name)
        .collect()
}

/// A row, of the town or of a snapshot.
pub(super) fn row(before: &Row, hidden: &Row) -> Result<(), WireError> {
    still(before, hidden, |row| no_problem(row.problem()))?;
    members(&before.body, &hidden.body)
}

/// All of a report but the rows one by one. Both are in the same order.
pub(super) fn still_reads(before: &Report, hidden: &Report) -> Result<(), WireError> {
    for (before, hidden) in before.events.iter().zip(&hidden.events) {
        still(before, hidden, event)?;
    }
    for (before, hidden) in before.effects.iter().zip(&hidden.effects) {
        still(before, hidden, effect)?;
    }
    for (before, hidden) in before.history.iter().zip(&hidden.history) {
        entry(&before.entry, &hidden.entry).map_err(|error| error.under(&shown(hidden)))?;
    }
    snapshots(&before.history, &hidden.history)?;
    // With its past rows it may have been no town that can be read.
    still(&*before.rows, &*hidden.rows, |rows| town(&working(rows)))?;
    still(&*before.rows, &*hidden.rows, town)
}

/// Two objects that differ in their texts only have as many members, unless two keys became one: whoever
/// reads such an object takes one of them and says nothing.
pub(super) fn members(before: &str, hidden: &str) -> Result<(), WireError> {
    let count = |text| wire::parse(text).map(|value| count(&value));
    match (count(before), count(hidden)) {
        (Ok(before), Ok(hidden)) if before != hidden => {
            let problem = "without their secrets two of its keys are one";
            Err(WireError::new(".", problem))
        }
        (Ok(_), Err(error)) => Err(error),
        (Ok(_), Ok(_)) | (Err(_), _) => Ok(()),
    }
}

/// An entry of the history as an error names it.
pub(super) fn shown(kept: &StoredHistory) -> String {
    let kind = kept.entry.kind.as_str();
    format!("history {} ({kind})", kept.sequence)
}

/// What is wrong with what is hidden, if nothing was before.
fn still<T: ?Sized>(
    before: &T,
    hidden: &T,
    read: impl Fn(&T) -> Result<(), WireError>,
) -> Result<(), WireError> {
    match read(hidden) {
        Err(problem) if read(before).is_ok() => Err(problem),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn no_problem(problem: Option<String>) -> Result<(), WireError> {
    problem.map_or(Ok(()), |problem| Err(WireError::new(".", problem)))
}

fn not_refused<T>(answer: Result<T, StoreError>, name: String) -> Result<(), WireError> {
    let refused = |error: StoreError| WireError::new(name, error.to_string());
    answer.map(drop).map_err(refused)
}

fn event(event: &Event) -> Result<(), WireError> {
    not_refused(event.to_stored(OPERATION), format!("event {}", event.id))
}

fn effect(effect: &Effect) -> Result<(), WireError> {
    let commit = Commit {
        expected_version: 0,
        lease_token: None,
        changes: ChangeSet::default(),
        consumed: Vec::new(),
        effects: alloc::vec![effect.clone()],
        at: Timestamp::MIN,
    };
    not_refused(commit.validate(), format!("effect {}", effect.key))
}

fn entry(before: &HistoryEntry, hidden: &HistoryEntry) -> Result<(), WireError> {
    still(before, hidden, |entry| no_problem(entry.problem()))?;
    still(before, hidden, record)?;
    match hidden.kind {
        // Its rows were looked at one by one.
        HistoryKind::SnapshotRows => Ok(()),
        HistoryKind::BeadEvent
        | HistoryKind::Tick
        | HistoryKind::Command
        | HistoryKind::Event
        | HistoryKind::Snapshot => members(&before.body, &hidden.body),
    }
}

/// Reads an entry as a replay does.
fn record(entry: &HistoryEntry) -> Result<(), WireError> {
    fn read<T: DeserializeOwned>(entry: &HistoryEntry) -> Result<T, WireError> {
        wire::read_value(wire::parse(&entry.body)?)
    }
    match entry.kind {
        HistoryKind::BeadEvent => wire::parse(&entry.body).map(drop),
        HistoryKind::Tick => read::<TickRecord>(entry).map(drop),
        HistoryKind::Event => read::<EventRecord>(entry).map(drop),
        HistoryKind::Snapshot => read::<SnapshotRecord>(entry).map(drop),
        HistoryKind::SnapshotRows => read::<SnapshotRowsRecord>(entry).map(drop),
        HistoryKind::Command => {
            let record: CommandRecord = read(entry)?;
            let accepted = record.receipt.map(|_| record.command);
            let command = accepted.map(wire::command_from_value).transpose();
            command.map(drop).map_err(|error| error.under("command"))
        }
    }
}

/// The rows of each snapshot together: they are a town, whose names differ. So do those of the rows that
/// a tick recalled.
fn snapshots(before: &[StoredHistory], hidden: &[StoredHistory]) -> Result<(), WireError> {
    let is_one = |a: &StoredHistory, b: &StoredHistory| {
        let kind = HistoryKind::SnapshotRows;
        a.entry.kind == kind && b.entry.kind == kind
    };
    for (before, hidden) in before.chunk_by(is_one).zip(hidden.chunk_by(is_one)) {
        let Some(first) = hidden.first() else {
            continue;
        };
        let [before, hidden] = [rows(before)?, rows(hidden)?];
        let checked = still(&*before.base, &*hidden.base, names::rows_differ)
            .and_then(|()| still(&*before.base, &*hidden.base, town))
            .and_then(|()| still(&*before.recalled, &*hidden.recalled, names::rows_differ));
        checked.map_err(|error| error.under(&shown(first)))?;
    }
    Ok(())
}

/// The rows in entries that follow each other.
#[derive(Default)]
struct Rows {
    /// Those of a snapshot.
    base: Vec<Row>,
    /// Those that a tick recalled.
    recalled: Vec<Row>,
}

fn rows(entries: &[StoredHistory]) -> Result<Rows, WireError> {
    let mut rows = Rows::default();
    for kept in entries {
        if kept.entry.kind == HistoryKind::SnapshotRows {
            let record = form::rows_of(kept)?;
            if record.recalled {
                rows.recalled.extend(record.rows);
            } else {
                rows.base.extend(record.rows);
            }
        }
    }
    Ok(rows)
}

fn working(rows: &[Row]) -> Vec<Row> {
    rows.iter().filter(|row| row.working).cloned().collect()
}

fn town(rows: &[Row]) -> Result<(), WireError> {
    Town::from_rows(rows.to_vec()).map(drop)
}

/// How many members all objects and lists of a value have together.
fn count(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
        Value::Array(list) => list.len().saturating_add(list.iter().map(count).sum()),
        Value::Object(object) => object
            .len()
            .saturating_add(object.values().map(count).sum()),
    }
}
