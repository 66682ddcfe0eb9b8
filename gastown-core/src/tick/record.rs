//! The entries of a town's history from which a replay is made.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{TickInput, Ticked};
use crate::action::Action;
use crate::command::{Command, CommandError, Receipt, is_deeper, limits};
use crate::event::Event;
use crate::ids::EventId;
use crate::mask::Masker;
use crate::store::{HistoryEntry, HistoryKind, Row};
use crate::time::Timestamp;
use crate::town::is_secret_row;

/// The longest list of actions that a tick's record holds whole, in bytes of JSON.
const ACTIONS_BYTES_MAX: usize = 1024 * 1024;
/// The longest command that was refused, in bytes of JSON, whose fields are recorded: it may have
/// been refused for its size.
const REFUSED_BYTES_MAX: usize = 64 * 1024;
/// How many bytes of rows one entry of a snapshot holds; a longer row has an entry of its own.
const SNAPSHOT_ENTRY_BYTES: usize = 1024 * 1024;

/// A tick as its record has it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TickRecord {
    pub(crate) number: u64,
    pub(crate) now: Timestamp,
    #[serde(default, skip_serializing_if = "crate::wire::is_default")]
    pub(crate) loaded: bool,
    /// The stored events; each has an entry of its own.
    pub(crate) events: Vec<EventId>,
    pub(crate) local: Vec<Event>,
    /// How many rows were recalled; they have entries of their own.
    #[serde(default, skip_serializing_if = "crate::wire::is_default")]
    pub(crate) recalled: usize,
    /// How many commands were accepted; each has an entry of its own.
    pub(crate) commands: usize,
    pub(crate) actions: Value,
    pub(crate) effects: Vec<String>,
    pub(crate) passes: u32,
    /// How long the tick took to decide; for people only. Records of older versions lack it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) took_micros: Option<u64>,
}

/// A command with what came of it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CommandRecord {
    pub(crate) number: u64,
    pub(crate) command: Value,
    /// Of a command that was accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) receipt: Option<Value>,
    /// Why it was refused. A replay leaves it out: it changed nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) refused: Option<String>,
}

/// An event that was observed.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EventRecord {
    pub(crate) number: u64,
    pub(crate) event: Event,
}

/// The beginning of a snapshot.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SnapshotRecord {
    /// The version of the town that it shows.
    pub(crate) number: u64,
    /// How many rows follow.
    pub(crate) rows: usize,
    /// The town came from a report: what it shows is this version of the history before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) imported_from: Option<u64>,
    /// The version of the engine that decided what follows.
    #[serde(default = "engine")]
    pub(crate) engine: String,
}

/// The version of this engine. Another one may decide otherwise, so a replay by it proves nothing.
pub(crate) fn engine() -> String {
    env!("CARGO_PKG_VERSION").into()
}

/// Whether a base in the history was left by this version of the engine: what follows it can be
/// replayed by this version alone. A host leaves a new base when it loads a town whose newest one
/// is another version's.
///
/// ```
/// use gastown_core::{Timestamp, is_base_of_this_engine, snapshot_entries};
/// let entries = snapshot_entries(1, Timestamp::from_millis(0), []);
/// assert!(is_base_of_this_engine(&entries[0]));
/// ```
#[must_use]
pub fn is_base_of_this_engine(entry: &HistoryEntry) -> bool {
    let record = serde_json::from_str::<SnapshotRecord>(&entry.body);
    entry.kind == HistoryKind::Snapshot && record.is_ok_and(|record| record.engine == engine())
}

/// Some rows of a snapshot, or that a tick recalled.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SnapshotRowsRecord {
    pub(crate) number: u64,
    /// They are of no snapshot: the tick of this number recalled them.
    #[serde(default, skip_serializing_if = "crate::wire::is_default")]
    pub(crate) recalled: bool,
    pub(crate) rows: Vec<Row>,
}

/// The actions of a tick as its record has them; of very many only the rules that made them.
pub(crate) fn recorded_actions(actions: &[Action]) -> Value {
    let whole = to_json(&actions);
    if whole.to_string().len() <= ACTIONS_BYTES_MAX {
        return whole;
    }
    // What was done can still be told from the rows; that it was decided must not be lost.
    actions.iter().map(|action| &*action.rule).collect()
}

/// What the history keeps of a tick.
pub(super) fn entries(ticked: &Ticked, input: &TickInput<'_>, took: Duration) -> Vec<HistoryEntry> {
    let number = input.number;
    let (recalled, chunks) = chunks(input.recalled.iter().cloned());
    let mut entries = row_entries(number, input.now, true, chunks);
    let recorded = |event: &Event| ticked.unquoted.get(&event.id).unwrap_or(event).clone();
    for event in input.stored.iter().map(recorded) {
        let body = json!({"number": number, "event": to_json(&event)});
        entries.push(entry(HistoryKind::Event, input.now, &body));
    }
    let mut accepted: usize = 0;
    for (command, answer) in ticked.commands.iter().zip(&ticked.answers) {
        accepted = accepted.saturating_add(usize::from(answer.is_ok()));
        let record = command_record(command, answer, input.number);
        entries.push(entry(HistoryKind::Command, input.now, &to_json(&record)));
    }
    let record = TickRecord {
        number,
        now: input.now,
        loaded: input.loaded,
        events: input.stored.iter().map(|event| event.id.clone()).collect(),
        local: input.local.iter().map(recorded).collect(),
        recalled,
        commands: accepted,
        actions: recorded_actions(&ticked.settled.actions),
        effects: effect_names(ticked),
        passes: ticked.settled.passes,
        took_micros: u64::try_from(took.as_micros()).ok(),
    };
    entries.push(entry(HistoryKind::Tick, input.now, &to_json(&record)));
    entries
}

/// The keys of the effects that a tick asked for.
pub(crate) fn effect_names(ticked: &Ticked) -> Vec<String> {
    let effects = ticked.settled.effects.iter();
    effects.map(|effect| effect.key.to_string()).collect()
}

fn command_record(
    command: &Command,
    answer: &Result<Receipt, CommandError>,
    number: u64,
) -> CommandRecord {
    let mut shown = to_json(command);
    if answer.is_err() {
        only_names_of_settings(&mut shown);
    }
    if answer.is_err() && is_too_much(&shown) {
        let caller = Some(to_json(&command.caller)).filter(|caller| !is_too_much(caller));
        shown = json!({"type": command.kind.type_name(), "caller": caller});
    }
    CommandRecord {
        number,
        command: shown,
        receipt: answer.as_ref().ok().map(to_json),
        refused: answer
            .as_ref()
            .err()
            .map(|error| Masker::default().mask(&error.to_string())),
    }
}

/// Whether it may have been refused for its size or depth, for which the record would be too.
fn is_too_much(shown: &Value) -> bool {
    is_deeper(shown, limits::JSON_DEPTH_MAX) || shown.to_string().len() > REFUSED_BYTES_MAX
}

/// Settings that were refused may hold a secret under a name or in a form in which nobody looks for
/// one (I17).
fn only_names_of_settings(command: &mut Value) {
    if let Some(config) = command.get_mut("config")
        && let Value::Object(fields) = config
    {
        *config = fields.keys().cloned().collect();
    }
}

/// The entries of a snapshot: a base from which a replay can begin, and before which
/// [`crate::Store::prune`] may take what was only for replay.
///
/// `rows` are those of [`crate::Store::load`] at the version `number`; secrets are left out. The
/// entries go before those of the first tick on that version.
///
/// ```
/// use gastown_core::{HistoryKind, Policy, Timestamp, Town, TownConfig, TownId, snapshot_entries};
/// let mut town = Town::new(TownId::new("t1")?, TownConfig::seed(), Policy::default());
/// let rows = town.take_changes().put;
/// let entries = snapshot_entries(1, Timestamp::from_millis(0), rows);
/// assert_eq!(entries[0].kind, HistoryKind::Snapshot);
/// assert_eq!(entries[1].kind, HistoryKind::SnapshotRows);
/// # Ok::<(), gastown_core::IdError>(())
/// ```
#[must_use]
pub fn snapshot_entries(
    number: u64,
    at: Timestamp,
    rows: impl IntoIterator<Item = Row>,
) -> Vec<HistoryEntry> {
    base_entries(number, None, at, rows)
}

/// The snapshot of a town that begins anew at version 1 with the history that led to `version`.
pub(crate) fn import_entries(
    version: u64,
    at: Timestamp,
    rows: impl IntoIterator<Item = Row>,
) -> Vec<HistoryEntry> {
    base_entries(1, Some(version), at, rows)
}

fn base_entries(
    number: u64,
    imported_from: Option<u64>,
    at: Timestamp,
    rows: impl IntoIterator<Item = Row>,
) -> Vec<HistoryEntry> {
    let (count, chunks) = chunks(rows);
    let first = SnapshotRecord {
        number,
        rows: count,
        imported_from,
        engine: engine(),
    };
    let mut entries = alloc::vec![entry(HistoryKind::Snapshot, at, &to_json(&first))];
    entries.extend(row_entries(number, at, false, chunks));
    entries
}

/// Rows without secrets in lists that are no longer than an entry should be; and how many they are.
fn chunks(rows: impl IntoIterator<Item = Row>) -> (usize, Vec<Vec<Row>>) {
    let mut chunks: Vec<Vec<Row>> = Vec::new();
    let mut room: usize = 0;
    let mut count: usize = 0;
    for row in rows.into_iter().filter(|row| !is_secret_row(&row.key)) {
        count = count.saturating_add(1);
        match chunks.last_mut() {
            Some(chunk) if row.body.len() <= room => {
                room = room.saturating_sub(row.body.len());
                chunk.push(row);
            }
            Some(_) | None => {
                room = SNAPSHOT_ENTRY_BYTES.saturating_sub(row.body.len());
                chunks.push(alloc::vec![row]);
            }
        }
    }
    (count, chunks)
}

fn row_entries(
    number: u64,
    at: Timestamp,
    recalled: bool,
    chunks: Vec<Vec<Row>>,
) -> Vec<HistoryEntry> {
    let entry = |rows| {
        let record = SnapshotRowsRecord {
            number,
            recalled,
            rows,
        };
        entry(HistoryKind::SnapshotRows, at, &to_json(&record))
    };
    chunks.into_iter().map(entry).collect()
}

fn entry(kind: HistoryKind, at: Timestamp, body: &Value) -> HistoryEntry {
    HistoryEntry {
        kind,
        subject: None,
        at,
        body: body.to_string(),
    }
}

/// Everything that goes through here has text keys and plain values, so writing it can't fail.
pub(crate) fn to_json(value: &impl Serialize) -> Value {
    serde_json::to_value(value).unwrap_or(Value::Null)
}

#[cfg(test)]
mod tests {
    use alloc::format;

    use super::*;
    use crate::config::TownConfig;
    use crate::policy::Policy;
    use crate::tick::tick;
    use crate::town::Town;
    use crate::wire::command_from_value;

    /// The records of updates with these settings, one after the other, in one tick.
    fn recorded(configs: &[Value]) -> Vec<Value> {
        let command = |config| {
            let caller = json!({"kind": "host"});
            json!({"type": "update_config", "caller": caller, "config": config})
        };
        records_of(configs.iter().map(command))
    }

    /// The records of these commands, one after the other, in one tick.
    fn records_of(commands: impl Iterator<Item = Value>) -> Vec<Value> {
        let id = "t1".parse().unwrap();
        let mut town = Town::new(id, TownConfig::seed(), Policy::default());
        let commands: Vec<Command> = commands
            .map(|command| command_from_value(command).unwrap())
            .collect();
        let input = TickInput {
            number: 2,
            now: Timestamp::from_millis(0),
            loaded: false,
            recalled: &[],
            stored: &[],
            local: &[],
            commands: &commands,
        };
        let ticked = tick(&mut town, &input);
        let entries = entries(&ticked, &input, Duration::ZERO);
        entries
            .iter()
            .filter(|entry| entry.kind == HistoryKind::Command)
            .map(|entry| serde_json::from_str(&entry.body).unwrap())
            .collect()
    }

    #[test]
    fn a_secret_that_is_known_already_is_not_recorded_again() {
        let secret = |text: &str| json!({"llm_token": text, "git_auth": {"github_token": text}});
        let settings = ["tok-one", "tok-one", "****-one", "tok-two"].map(secret);
        let configs: Vec<Value> = recorded(&settings)
            .iter()
            .map(|record| record["command"]["config"].clone())
            .collect();
        let shown = secret("[redacted]");
        let same = json!({"git_auth": {}});
        assert_eq!(configs, [shown.clone(), same.clone(), same, shown]);
    }

    /// I17: what was refused may hold a secret where nobody looks for one.
    #[test]
    fn of_settings_that_were_refused_only_the_names_are_recorded() {
        let secret = "hunter2-hunter2";
        let settings = [
            json!({"github_token": secret, "llm_token": "x"}),
            json!({"env_vars": format!("API_KEY={secret}")}),
            json!({"env_vars": {"API_KEY": {"is": secret}}}),
        ];
        let records = recorded(&settings);
        for record in &records {
            assert!(record["refused"].is_string(), "{record}");
            assert!(!record.to_string().contains(secret), "{record}");
        }
        assert_eq!(
            records[0]["command"]["config"],
            json!(["github_token", "llm_token"])
        );
    }

    /// A record that no store takes would keep the town from ever committing again.
    #[test]
    fn commands_that_are_too_deep_or_too_long_are_refused_and_recorded_without_it() {
        let host = json!({"kind": "host"});
        let rig = json!({"type": "add_rig", "caller": host, "rig_id": "r1", "name": "api",
            "git_url": "https://github.com/acme/api.git", "default_branch": "main"});
        let deep = |levels: usize| (1..levels).fold(json!({}), |inner, _| json!({"a": inner}));
        let sling = |levels: usize| {
            json!({"type": "sling", "caller": host, "rig_id": "r1", "title": "Fix",
                "metadata": deep(levels)})
        };
        let tasks: Vec<Value> = (0..200)
            .map(|_| json!({"title": "Fix", "body": "x".repeat(65_536)}))
            .collect();
        let long = json!({"type": "sling_convoy", "caller": host, "rig_id": "r1",
            "title": "All", "tasks": tasks});
        let stranger = json!({"type": "sling", "rig_id": "r1", "title": "Fix",
            "caller": {"kind": "user", "id": "x".repeat(5_000_000)}});
        let commands = [rig, sling(32), sling(33), sling(100), long, stranger];
        let records = records_of(commands.into_iter());
        let refused: Vec<&str> = records
            .iter()
            .map(|record| record["refused"].as_str().unwrap_or("-"))
            .collect();
        let of_depth = "metadata: expected 32 levels at most";
        let of_size = ".: expected 4194304 bytes at most";
        assert_eq!(refused, ["-", "-", of_depth, of_depth, of_size, of_size]);
        let lengths = records.iter().map(|record| record.to_string().len());
        assert!(lengths.max() < Some(1_000));
        assert!(!is_deeper(&records[3], 4), "{}", records[3]);
    }
}
