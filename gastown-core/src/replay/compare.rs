//! What was recorded next to what the replay came to, and how the difference is shown.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde_json::Value;

use super::ReplayError;
use crate::ids::shown;
use crate::store::{HistoryEntry, Row};
use crate::tick::{TickRecord, Ticked, effect_names, recorded_actions, to_json};

/// How much of two texts that differ an error shows.
const SHOWN_CHARACTERS_MAX: usize = 400;

/// What came of a tick then and now.
pub(super) fn compare(
    record: &TickRecord,
    ticked: &Ticked,
    receipts: &[Value],
    bead_events: &[HistoryEntry],
) -> Result<(), ReplayError> {
    let answers: Vec<Value> = ticked
        .answers
        .iter()
        .map(|answer| match answer {
            Ok(receipt) => to_json(receipt),
            Err(error) => Value::String(error.to_string()),
        })
        .collect();
    let actions = recorded_actions(&ticked.settled.actions);
    let pairs = [
        ("receipts", to_json(&receipts), to_json(&answers)),
        (
            "bead events",
            to_json(&bead_events),
            to_json(&ticked.changes.history),
        ),
        ("actions", record.actions.clone(), actions),
        (
            "effects",
            to_json(&record.effects),
            to_json(&effect_names(ticked)),
        ),
        ("passes", record.passes.into(), ticked.settled.passes.into()),
    ];
    for (what, recorded, replayed) in pairs {
        if recorded != replayed {
            let (recorded, replayed) = differing_items(&recorded, &replayed);
            return Err(ReplayError::Differs {
                number: record.number,
                what,
                recorded,
                replayed,
            });
        }
    }
    Ok(())
}

/// Of two lists that differ the first items that do.
fn differing_items(recorded: &Value, replayed: &Value) -> (String, String) {
    let show = |value: Option<&Value>| match value {
        Some(value) => shown(&value.to_string(), SHOWN_CHARACTERS_MAX),
        None => "nothing".to_owned(),
    };
    let (Value::Array(one), Value::Array(other)) = (recorded, replayed) else {
        return (show(Some(recorded)), show(Some(replayed)));
    };
    let at = one.iter().zip(other).take_while(|(a, b)| a == b).count();
    (show(one.get(at)), show(other.get(at)))
}

/// The first rows in which two sorted lists differ.
pub(super) fn first_difference(recorded: &[&Row], replayed: &[&Row]) -> Option<(String, String)> {
    let same = recorded.iter().zip(replayed).take_while(|(a, b)| a == b);
    let at = same.count();
    let (one, other) = (recorded.get(at).copied(), replayed.get(at).copied());
    (one != other).then(|| (shown_row(one), shown_row(other)))
}

pub(super) fn shown_row(row: Option<&Row>) -> String {
    let Some(row) = row else {
        return "nothing".to_owned();
    };
    let place = if row.working { "working" } else { "past" };
    let text = format!("{}/{} ({place}): {}", row.key.kind, row.key.id, row.body);
    shown(&text, SHOWN_CHARACTERS_MAX)
}
