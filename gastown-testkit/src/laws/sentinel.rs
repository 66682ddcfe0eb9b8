//! I9: no reserved or empty identifier, and no stand-in for "no rig", in anything that is written.

use gastown_core::actions::VerifyMerge;
use gastown_core::{ChangeSet, Town};
use serde::Serialize;
use serde_json::Value;

/// Words that somebody might write where there is no rig.
const STAND_INS: &[&str] = &[
    "", "none", "null", "nil", "unknown", "default", "-", "0", "n/a",
];

/// Looks for a sentinel in anything that is serialized.
///
/// # Errors
/// Where it is.
pub fn no_sentinel(written: &impl Serialize) -> Result<(), String> {
    match serde_json::to_value(written) {
        Ok(value) => in_value("$", &value),
        Err(error) => Err(format!("I9: can't be written: {error}")),
    }
}

/// Looks for a sentinel in stored rows: in their names, and in what they hold.
///
/// # Errors
/// Where it is.
pub fn no_sentinel_in_changes(changes: &ChangeSet) -> Result<(), String> {
    let keys = changes.put.iter().map(|row| &row.key);
    for key in keys.chain(&changes.delete) {
        for part in [&key.kind, &key.id] {
            identifier("a row's key", part)?;
        }
    }
    for row in &changes.put {
        in_text(&format!("row {}/{}", row.key.kind, row.key.id), &row.body)?;
    }
    for entry in &changes.history {
        if let Some(subject) = &entry.subject {
            identifier("a history's subject", subject)?;
        }
        in_text("history", &entry.body)?;
    }
    Ok(())
}

/// I9: where no rig is known and none can be inferred, none is named.
pub(crate) fn has_no_stand_in(town: &Town, verify: &VerifyMerge) -> Result<(), String> {
    let Some(mr) = town.bead(&verify.bead_id) else {
        return Ok(());
    };
    let source = town.source_of(mr).and_then(|id| town.bead(id));
    let agent = mr.review().and_then(|review| review.source_agent.as_ref());
    let agent = agent.and_then(|id| town.agent(id));
    let known = town.rig_of(mr).is_some()
        || source.is_some_and(|source| town.rig_of(source).is_some())
        || agent.is_some_and(|agent| agent.rig_id.is_some())
        || mr
            .review()
            .is_some_and(|review| review.landing_rig.is_some())
        || town.rigs().count() == 1;
    match &verify.rig_id {
        Some(rig) if !known => Err(format!("I9: {rig} stands in for no rig of {}", mr.id)),
        _ => Ok(()),
    }
}

fn in_text(path: &str, text: &str) -> Result<(), String> {
    match serde_json::from_str(text) {
        Ok(value) => in_value(path, &value),
        Err(error) => Err(format!("I9: {path} is no JSON: {error}")),
    }
}

fn in_value(path: &str, value: &Value) -> Result<(), String> {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => Ok(()),
        Value::String(text) => not_reserved(path, text),
        Value::Array(list) => list.iter().try_for_each(|entry| in_value(path, entry)),
        Value::Object(object) => object.iter().try_for_each(|(key, entry)| {
            let path = format!("{path}.{key}");
            not_reserved(&path, key)?;
            if let (true, Value::String(text)) = (names_an_entity(key), entry) {
                identifier(&path, text)?;
            }
            if let (true, Value::String(text)) = (key.ends_with("rig_id"), entry)
                && STAND_INS.contains(&text.to_ascii_lowercase().as_str())
            {
                return Err(format!("I9: {path} stands in for no rig: {text:?}"));
            }
            in_value(&path, entry)
        }),
    }
}

/// Fields that hold an identifier.
fn names_an_entity(key: &str) -> bool {
    key == "id"
        || key.ends_with("_id")
        || [
            "assignee",
            "convoy",
            "depends_on",
            "hook",
            "identity",
            "landing_rig",
            "last_bead",
            "root",
            "source",
            "source_agent",
            "subject",
            "to_agent",
        ]
        .contains(&key)
}

fn identifier(path: &str, text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Err(format!("I9: {path} is empty"));
    }
    not_reserved(path, text)
}

fn not_reserved(path: &str, text: &str) -> Result<(), String> {
    if text.len() >= 4 && text.starts_with("__") && text.ends_with("__") {
        return Err(format!("I9: {path} is reserved: {text}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::no_sentinel;

    #[test]
    fn i9_sentinels_are_found_wherever_they_hide() {
        for bad in [
            json!({"rig_id": ""}),
            json!({"rig_id": "none"}),
            json!([{"a": [{"rig_id": "__null_rig__"}]}]),
            json!({"landings": {"__null_rig__": {}}}),
            json!({"hook": ""}),
            json!({"bead": {"root": ""}}),
        ] {
            assert!(no_sentinel(&bad).is_err(), "{bad}");
        }
        let good = json!({"rig_id": null, "title": "", "id": "b1", "landings": {"r1": {}}});
        assert_eq!(no_sentinel(&good), Ok(()));
    }
}
