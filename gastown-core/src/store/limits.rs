//! What every store refuses, so that no adapter decides it for itself.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::{String, ToString};

use serde_json::Value;

use super::body::Body;
use super::{ChangeSet, Commit, HistoryEntry, Lease, Row, RowKey, StoreError};
use crate::effect::EffectKey;
use crate::event::Event;
use crate::ids::{RigId, shown};
use crate::town::is_named_by_its_id;

const OPERATION: &str = "commit";
const SHOWN_CHARACTERS_MAX: usize = 80;

impl RowKey {
    /// Longest kind, id, history subject, holder, and part of an effect key, in bytes.
    pub const PART_BYTES_MAX: usize = 1024;
}

impl Row {
    /// Longest body of a row, in bytes. A snapshot holds rows as JSON within JSON, where each is up to
    /// twice as long, and has to stay below [`HistoryEntry::BODY_BYTES_MAX`].
    pub const BODY_BYTES_MAX: usize = 7 * 1024 * 1024;

    /// What keeps a store from taking the row, for a check of what it has: another program may have put
    /// it there.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        key_problem(&self.key).or_else(|| row_body_problem(self))
    }
}

impl HistoryEntry {
    /// Longest body of a history entry, in bytes.
    pub const BODY_BYTES_MAX: usize = 16 * 1024 * 1024;

    /// What keeps a store from taking the entry; as [`Row::problem`].
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        subject_problem(self).or_else(|| entry_body_problem(self))
    }
}

impl Event {
    /// Longest event that a store takes, in bytes of JSON. The record of the tick that observes it
    /// repeats it, so it has to stay well below [`HistoryEntry::BODY_BYTES_MAX`]: an event that is in the
    /// inbox and can't be recorded would keep its town from ever committing again.
    pub const BYTES_MAX: usize = 1024 * 1024;

    /// The text in which a store keeps the event; every adapter asks for it before `operation`
    /// changes anything.
    ///
    /// # Errors
    /// [`StoreError::Refused`] for an event that is longer than [`Event::BYTES_MAX`], and as
    /// [`Event::problem`] says.
    pub fn to_stored(&self, operation: &'static str) -> Result<String, StoreError> {
        let id = &self.id;
        let text = serde_json::to_string(self)
            .map_err(|error| refused(operation, format!("event {id} can't be written: {error}")))?;
        if text.len() > Self::BYTES_MAX {
            let (bytes, most) = (text.len(), Self::BYTES_MAX);
            let reason = format!("event {id} has {bytes} bytes, {most} at most are taken");
            return Err(refused(operation, reason));
        }
        if let Some(problem) = self.problem() {
            return Err(refused(operation, format!("event {id}: {problem}")));
        }
        Ok(text)
    }
}

impl Lease {
    /// Says whether `holder` may hold a lease; every adapter asks before it looks at its data.
    ///
    /// # Errors
    /// [`StoreError::Refused`] says what is wrong with it.
    pub fn validate_holder(holder: &str) -> Result<(), StoreError> {
        name_problem("holder", holder).map_or(Ok(()), |reason| Err(refused("lease", reason)))
    }
}

impl Commit {
    /// Says whether a store takes this commit; every adapter asks before it looks at its data.
    ///
    /// # Errors
    /// [`StoreError::Refused`] names the first row, entry or effect that the contract forbids.
    pub fn validate(&self) -> Result<(), StoreError> {
        self.first_problem()
            .map_or(Ok(()), |reason| Err(refused(OPERATION, reason)))
    }

    fn first_problem(&self) -> Option<String> {
        let ChangeSet {
            put,
            delete,
            history,
        } = &self.changes;
        let mut named = BTreeSet::new();
        put.iter()
            .find_map(row_problem)
            .or_else(|| delete.iter().find_map(key_problem))
            .or_else(|| {
                put.iter()
                    .map(|row| &row.key)
                    .chain(delete)
                    .find(|key| !named.insert(*key))
                    .map(|key| format!("row {} is named twice", shown_key(key)))
            })
            .or_else(|| history.iter().find_map(entry_problem))
            .or_else(|| {
                self.effects
                    .iter()
                    .find_map(|effect| effect_problem(&effect.key))
            })
    }
}

fn refused(operation: &'static str, reason: String) -> StoreError {
    StoreError::Refused { operation, reason }
}

fn shown_key(key: &RowKey) -> String {
    format!(
        "{}/{}",
        shown(&key.kind, SHOWN_CHARACTERS_MAX),
        shown(&key.id, SHOWN_CHARACTERS_MAX)
    )
}

/// What keeps `text` from naming something in a store. Unlike identifiers, names may hold spaces,
/// because topics are sentences.
fn name_problem(what: &str, text: &str) -> Option<String> {
    let problem = if text.is_empty() {
        "is empty".to_string()
    } else if text.len() > RowKey::PART_BYTES_MAX {
        format!("is longer than {} bytes", RowKey::PART_BYTES_MAX)
    } else if text.chars().any(char::is_control) {
        "holds a control character".to_string()
    } else if text.len() >= 2 && text.starts_with("__") && text.ends_with("__") {
        "is a reserved word".to_string()
    } else {
        return None;
    };
    let text = shown(text, SHOWN_CHARACTERS_MAX);
    Some(format!("{what} \"{text}\" {problem}"))
}

fn key_problem(key: &RowKey) -> Option<String> {
    name_problem("row kind", &key.kind).or_else(|| name_problem("row id", &key.id))
}

fn row_problem(row: &Row) -> Option<String> {
    key_problem(&row.key).or_else(|| {
        row_body_problem(row).map(|problem| format!("row {}: {problem}", shown_key(&row.key)))
    })
}

fn row_body_problem(row: &Row) -> Option<String> {
    body_problem(&row.body, Row::BODY_BYTES_MAX, |body| {
        let id = body.id.problem("id", |id| id_problem(&row.key, id));
        id.or_else(|| rig_problem(body))
    })
}

fn entry_problem(entry: &HistoryEntry) -> Option<String> {
    subject_problem(entry).or_else(|| {
        entry_body_problem(entry)
            .map(|problem| format!("history entry of kind {}: {problem}", entry.kind.as_str()))
    })
}

fn subject_problem(entry: &HistoryEntry) -> Option<String> {
    let subject = entry.subject.as_deref();
    subject.and_then(|subject| name_problem("history subject", subject))
}

fn entry_body_problem(entry: &HistoryEntry) -> Option<String> {
    body_problem(&entry.body, HistoryEntry::BODY_BYTES_MAX, rig_problem)
}

fn effect_problem(key: &EffectKey) -> Option<String> {
    name_problem("effect subject", &key.subject).or_else(|| name_problem("effect kind", &key.kind))
}

fn rig_problem(body: &Body) -> Option<String> {
    body.rig_id.problem("rig_id", rig_id_problem)
}

fn body_problem(
    body: &str,
    bytes_max: usize,
    problem: impl Fn(&Body) -> Option<String>,
) -> Option<String> {
    if body.len() > bytes_max {
        let bytes = body.len();
        return Some(format!(
            "a body of {bytes} bytes is longer than {bytes_max}"
        ));
    }
    match serde_json::from_str::<Body>(body) {
        Ok(body) => problem(&body),
        Err(error) => Some(format!("the body is not a JSON object: {error}")),
    }
}

/// A row whose record is about something else is loaded as that, and never found again by its key.
fn id_problem(key: &RowKey, id: &Value) -> Option<String> {
    let is_own = id.is_null() || id.as_str() == Some(key.id.as_str());
    (is_named_by_its_id(key) && !is_own).then(|| {
        let id = id.as_str().map_or_else(|| id.to_string(), Into::into);
        let id = shown(&id, SHOWN_CHARACTERS_MAX);
        format!("`id` is {id}, not that of the row")
    })
}

/// "No rig" is null, never a stand-in (spec 5.1, I9).
fn rig_id_problem(rig_id: &Value) -> Option<String> {
    match rig_id {
        Value::Null => None,
        Value::String(text) => RigId::new(text).err().map(|error| error.to_string()),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            Some("`rig_id` is neither a text nor null".to_string())
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;
    use alloc::vec::Vec;

    use super::*;
    use crate::effect::Effect;
    use crate::effect::RefreshContainerToken;
    use crate::store::HistoryKind;
    use crate::time::Timestamp;

    fn commit() -> Commit {
        Commit {
            expected_version: 0,
            lease_token: None,
            changes: ChangeSet::default(),
            consumed: Vec::new(),
            effects: Vec::new(),
            at: Timestamp::MIN,
        }
    }

    fn row(kind: &str, id: &str, body: &str) -> Row {
        Row {
            key: RowKey {
                kind: kind.into(),
                id: id.into(),
            },
            working: true,
            body: body.into(),
        }
    }

    fn put(rows: Vec<Row>) -> String {
        let mut commit = commit();
        commit.changes.put = rows;
        match commit.validate() {
            Ok(()) => "taken".into(),
            Err(error) => error.to_string(),
        }
    }

    fn deep(levels: usize) -> String {
        format!(r#"{{"a":{}{}}}"#, "[".repeat(levels), "]".repeat(levels))
    }

    #[test]
    fn rows_are_named_and_are_json_objects() {
        let long = "x".repeat(RowKey::PART_BYTES_MAX + 1);
        let cases = [
            (row("bead", "b 1", "{}"), "taken"),
            (row("bead", "b1", r#"{"rig_id":"r1"}"#), "taken"),
            (row("bead", "b1", r#"{"rig_id":null}"#), "taken"),
            (row("", "b1", "{}"), r#"row kind "" is empty"#),
            (row("bead", "", "{}"), r#"row id "" is empty"#),
            (row("bead", "__x__", "{}"), "is a reserved word"),
            (
                row("bead", "a\nb", "{}"),
                r#"row id "a\nb" holds a control"#,
            ),
            (row("bead", &long, "{}"), "is longer than 1024 bytes"),
            (
                row("bead", "b1", "[]"),
                "row bead/b1: the body is not a JSON object",
            ),
            (row("bead", "b1", "{"), "the body is not a JSON object: EOF"),
            (
                row("bead", "b1", r#"{"rig_id":""}"#),
                "not a valid rig id: \"\" is empty",
            ),
            (
                row("bead", "b1", r#"{"rig_id":"__none__"}"#),
                "is a reserved word",
            ),
            (row("bead", "b1", r#"{"id":"b1"}"#), "taken"),
            (row("town", "town", r#"{"id":"t1"}"#), "taken"),
            (
                row("bead", "b1", r#"{"id":"b2"}"#),
                "row bead/b1: `id` is b2, not that of the row",
            ),
            (
                row("bead", "b1", r#"{"rig_id":"r1","rig_id":"r1"}"#),
                "row bead/b1: `rig_id` is there twice",
            ),
            (
                row("bead", "b1", r#"{"id":"b1","\u0069d":"b1"}"#),
                "row bead/b1: `id` is there twice",
            ),
            (
                row("bead", "b1", r#"{"rig_id":7}"#),
                "`rig_id` is neither a text nor null",
            ),
            // What serde would pass over, and no reader could take.
            (
                row("bead", "b1", &deep(200)),
                "the body is not a JSON object: recursion limit",
            ),
            (row("bead", "b1", &deep(100)), "taken"),
            (
                row("bead", "b1", r#"{"n":1e999}"#),
                "not a JSON object: number out of range",
            ),
            (
                row("bead", "b1", r#"{"t":"\ud800"}"#),
                "not a JSON object: unexpected end of hex escape",
            ),
        ];
        for (row, expected) in cases {
            let name = row.key.id.clone();
            let said = put(vec![row]);
            assert!(said.contains(expected), "{name:?}: {said}");
        }
    }

    #[test]
    fn bodies_end_at_their_limit() {
        let body = |bytes: usize| {
            let frame = r#"{"t":""}"#.len();
            format!(r#"{{"t":"{}"}}"#, "x".repeat(bytes - frame))
        };
        assert_eq!(
            put(vec![row("bead", "b1", &body(Row::BODY_BYTES_MAX))]),
            "taken"
        );
        let said = put(vec![row("bead", "b1", &body(Row::BODY_BYTES_MAX + 1))]);
        assert!(
            said.contains("a body of 7340033 bytes is longer than 7340032"),
            "{said}"
        );
    }

    /// Else a town with such a row could never be loaded anew: its snapshot would be refused for ever.
    #[test]
    fn the_longest_row_fits_a_snapshot() {
        let most = "\\\"".repeat((Row::BODY_BYTES_MAX - r#"{"t":""}"#.len()) / 2);
        let name = "\"".repeat(RowKey::PART_BYTES_MAX);
        let longest = row(&name, &name, &format!(r#"{{"t":"{most}"}}"#));
        assert_eq!(longest.body.len(), Row::BODY_BYTES_MAX);
        assert_eq!(put(vec![longest.clone()]), "taken");
        let entries = crate::tick::snapshot_entries(1, Timestamp::MIN, [longest]);
        let lengths: Vec<usize> = entries.iter().map(|entry| entry.body.len()).collect();
        assert!(
            lengths.iter().any(|bytes| *bytes > 14_000_000),
            "{lengths:?}"
        );
        let problems: Vec<_> = entries.iter().filter_map(HistoryEntry::problem).collect();
        assert_eq!(problems, Vec::<String>::new());
    }

    #[test]
    fn a_row_is_named_once() {
        let said = put(vec![row("bead", "b1", "{}"), row("bead", "b1", "{}")]);
        assert_eq!(said, "commit: refused: row bead/b1 is named twice");
        let mut both = commit();
        both.changes.put = vec![row("bead", "b1", "{}")];
        both.changes.delete = vec![row("bead", "b1", "{}").key];
        assert!(both.validate().is_err());
    }

    #[test]
    fn history_effects_and_holders_are_named() {
        let mut bad = commit();
        bad.changes.history = vec![HistoryEntry {
            kind: HistoryKind::BeadEvent,
            subject: Some(String::new()),
            at: Timestamp::MIN,
            body: "{}".into(),
        }];
        assert!(
            bad.validate()
                .unwrap_err()
                .to_string()
                .contains("history subject")
        );
        let mut bad = commit();
        bad.effects = vec![Effect::new("__none__", 1, RefreshContainerToken {})];
        assert!(
            bad.validate()
                .unwrap_err()
                .to_string()
                .contains("effect subject")
        );
        assert!(Lease::validate_holder("host 1").is_ok());
        assert!(Lease::validate_holder("").is_err());
    }
}
