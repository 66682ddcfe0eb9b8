//! Names without secrets: keys of rows, subjects of the history, the town's own.
//!
//! A record says the identifiers of its row again, so a name is masked as its record is, or the two would
//! contradict each other and no store would take the row.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::{String, ToString};

use serde_json::Value;

use super::Report;
use super::hide::Hider;
use crate::edge::Edge;
use crate::ids::TownId;
use crate::store::Row;
use crate::town::{EDGE_ROW, edge_key};
use crate::wire::{self, WireError};

/// A name as the same text within a record would be hidden.
pub(super) fn hide_name(name: &str, hider: &Hider) -> Result<String, WireError> {
    wire::read_value(wire::parse(&hider.hide(&Value::from(name).to_string()))?)
}

pub(super) fn hide_town(town: &TownId, hider: &Hider) -> Result<TownId, WireError> {
    wire::read_value(Value::String(hide_name(town.as_str(), hider)?))
}

/// Hides what a row holds, then its name.
pub(super) fn hide_row(row: &mut Row, hider: &Hider) -> Result<(), WireError> {
    row.body = hider.hide(&row.body);
    let id = hide_name(&row.key.id, hider)?;
    if id == row.key.id {
        return Ok(());
    }
    row.key.id = id;
    if row.key.kind == EDGE_ROW {
        // Its name has the lengths of its identifiers, and they are others now.
        let edge: Edge = wire::read_value(wire::parse(&row.body)?)?;
        row.key = edge_key(&edge);
        if hide_name(&row.key.id, hider)? != row.key.id {
            return Err(WireError::new(EDGE_ROW, "its two ends make up a secret"));
        }
    }
    match row.problem() {
        None => Ok(()),
        Some(problem) => Err(WireError::new(shown(row), problem)),
    }
}

/// Two that differed only in their secrets would be one: what one of them was would be lost.
pub(super) fn still_differ(report: &Report) -> Result<(), WireError> {
    let row = twice(&report.rows, |row| &row.key).map(shown);
    let event = twice(&report.events, |event| &event.id);
    let event = event.map(|event| format!("event {}", event.id));
    let effect = twice(&report.effects, |effect| &effect.key);
    let effect = effect.map(|effect| format!("effect {}", effect.key));
    match row.or(event).or(effect) {
        None => Ok(()),
        Some(name) => {
            let problem = "without its secret it has the name of another";
            Err(WireError::new(name, problem))
        }
    }
}

/// The first that has the name of one before it.
fn twice<T, K: Ord>(list: &[T], name: impl Fn(&T) -> &K) -> Option<&T> {
    let mut names = BTreeSet::new();
    list.iter().find(|item| !names.insert(name(item)))
}

fn shown(row: &Row) -> String {
    format!("row {}/{}", row.key.kind, row.key.id)
}
