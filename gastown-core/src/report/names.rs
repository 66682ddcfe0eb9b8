//! Names without secrets: keys of rows, subjects of the history, the town's own.
//!
//! A record says the identifiers of its row again, so a name is masked as its record is, or the two would
//! contradict each other and no store would take the row.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;

use serde_json::Value;

use super::hide::Hider;
use super::{Report, check};
use crate::edge::Edge;
use crate::ids::TownId;
use crate::store::Row;
use crate::town::{EDGE_ROW, edge_key};
use crate::wire::{self, WireError};

pub(super) fn hide_town(town: &TownId, hider: &Hider) -> Result<TownId, WireError> {
    wire::read_value(Value::String(hider.hide_text(town.as_str())))
}

/// Hides what a row holds, then its name.
pub(super) fn hide_row(row: &mut Row, hider: &Hider) -> Result<(), WireError> {
    let before = row.clone();
    row.body = hider.hide(&row.body);
    row.key.id = hider.hide_text(&row.key.id);
    let is_renamed = row.key.id != before.key.id;
    if is_renamed && row.key.kind == EDGE_ROW {
        // Its name has the lengths of its identifiers, and they are others now.
        let edge = wire::parse(&row.body).and_then(wire::read_value::<Edge>);
        row.key = edge_key(&edge.map_err(|error| error.under(&shown(row)))?);
        if hider.hide_text(&row.key.id) != row.key.id {
            return Err(WireError::new(EDGE_ROW, "its two ends make up a secret"));
        }
    }
    check::row(&before, row).map_err(|error| error.under(&shown(row)))
}

/// Two that differed only in their secrets would be one: what one of them was would be lost.
pub(super) fn still_differ(report: &Report) -> Result<(), WireError> {
    rows_differ(&report.rows)?;
    twice_pending(report).map_or(Ok(()), |name| Err(same_name(name)))
}

/// The first event or effect that has the name of one before it.
pub(super) fn twice_pending(report: &Report) -> Option<String> {
    let event = twice(&report.events, |event| &event.id);
    let event = event.map(|event| format!("event {}", event.id));
    let effect = twice(&report.effects, |effect| &effect.key);
    event.or_else(|| effect.map(|effect| format!("effect {}", effect.key)))
}

/// The same of the rows of one town, as it is or as a snapshot has it.
pub(super) fn rows_differ(rows: &[Row]) -> Result<(), WireError> {
    let row = twice(rows, |row| &row.key);
    row.map_or(Ok(()), |row| Err(same_name(shown(row))))
}

fn same_name(name: String) -> WireError {
    WireError::new(name, "without its secret it has the name of another")
}

/// The first that has the name of one before it.
fn twice<T, K: Ord>(list: &[T], name: impl Fn(&T) -> &K) -> Option<&T> {
    let mut names = BTreeSet::new();
    list.iter().find(|item| !names.insert(name(item)))
}

fn shown(row: &Row) -> String {
    format!("row {}/{}", row.key.kind, row.key.id)
}
