//! What would happen, and nothing changed: one request, one answer, both JSON (spec 8.3).

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::action::Action;
use crate::effect::Effect;
use crate::event::Observed;
use crate::explain::{Explanation, explain};
use crate::ids::BeadId;
use crate::invariants::{Violation, check};
use crate::reconcile::{reconcile, settle};
use crate::time::Timestamp;
use crate::town::Town;
use crate::wakeup::next_wakeup;
use crate::wire::{self, WireError};

/// Passes that one request may ask for.
const PASSES_MAX: u32 = 1_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    now: Timestamp,
    snapshot: Value,
    #[serde(default)]
    commands: Vec<Value>,
    #[serde(default)]
    events: Vec<Value>,
    #[serde(default)]
    explain: Vec<BeadId>,
    #[serde(default)]
    passes: Option<u32>,
}

#[derive(Serialize, Default)]
struct Answer {
    receipts: Vec<Accepted>,
    refused: Vec<Refused>,
    observed: Vec<Observed>,
    actions: Vec<Action>,
    effects: Vec<Effect>,
    violations: Vec<Violation>,
    next_wakeup: Option<Timestamp>,
    explanations: BTreeMap<String, Explanation>,
    snapshot: Value,
}

#[derive(Serialize)]
struct Accepted {
    index: usize,
    #[serde(rename = "type")]
    command: &'static str,
    made: Vec<String>,
}

#[derive(Serialize)]
struct Refused {
    index: usize,
    field: String,
    message: String,
}

/// Answers one request of the dry-run tool (spec 8.3).
///
/// In order: loads the snapshot, executes the commands, observes the events, then settles (or makes
/// exactly `passes` passes) at `now`.
///
/// ```
/// let answer = gastown_core::dry_run(
///     r#"{"now": "2026-04-04T12:00:00Z",
///         "snapshot": {"format": "gastown.town/1", "town": {"id": "t1"}}}"#,
/// )?;
/// assert!(answer.starts_with(r#"{"receipts":[],"refused":[]"#));
/// # Ok::<(), gastown_core::wire::WireError>(())
/// ```
///
/// # Errors
/// [`WireError`] for a request that can't be read; a command that is refused or an event that is
/// ignored is part of the answer.
pub fn dry_run(request: &str) -> Result<String, WireError> {
    let request: Request = wire::read_value(wire::parse(request)?)?;
    if request.passes.is_some_and(|passes| passes > PASSES_MAX) {
        return Err(WireError::new(
            "passes",
            format!("expected {PASSES_MAX} at most"),
        ));
    }
    let now = request.now;
    let mut town =
        wire::snapshot_from_value(request.snapshot).map_err(|error| error.under("snapshot"))?;
    let mut answer = Answer::default();
    for (index, command) in request.commands.into_iter().enumerate() {
        let command = wire::command_from_value(command)
            .map_err(|error| error.under(&format!("commands[{index}]")))?;
        match town.execute(command, now) {
            Ok(receipt) => answer.receipts.push(Accepted {
                index,
                command: receipt.command,
                made: receipt.made,
            }),
            Err(error) => answer.refused.push(Refused {
                index,
                field: error.field,
                message: error.message,
            }),
        }
    }
    let mut events = Vec::new();
    for (index, event) in request.events.into_iter().enumerate() {
        let event = wire::event_from_value(event)
            .map_err(|error| error.under(&format!("events[{index}]")))?;
        events.push(event);
    }
    // Events of one tick apply in order of (at, id), however they are delivered.
    events.sort_by(|one, other| (one.at, &one.id).cmp(&(other.at, &other.id)));
    for event in &events {
        answer.observed.push(town.observe(event, now));
    }
    decide(&mut town, now, request.passes, &mut answer);
    answer.violations.extend(check(&town, now));
    answer.next_wakeup = next_wakeup(&town, now);
    for id in request.explain {
        if let Some(explanation) = explain(&town, now, &id) {
            answer.explanations.insert(id.to_string(), explanation);
        }
    }
    let written = wire::snapshot_to_value(&town).and_then(|snapshot| {
        answer.snapshot = snapshot;
        serde_json::to_string(&answer)
    });
    written.map_err(|error| WireError::new(".", error.to_string()))
}

fn decide(town: &mut Town, now: Timestamp, passes: Option<u32>, answer: &mut Answer) {
    let Some(passes) = passes else {
        let settled = settle(town, now);
        answer.actions = settled.actions;
        answer.effects = settled.effects;
        if let Some(fault) = settled.fault {
            answer.violations.push(Violation {
                invariant: "P3",
                subjects: [town.id().to_string()].into(),
                message: fault.to_string(),
            });
        }
        return;
    };
    for _ in 0..passes {
        for action in reconcile(town, now) {
            match town.apply(&action, now) {
                Ok(effects) => answer.effects.extend(effects),
                Err(error) => answer.violations.push(Violation {
                    invariant: "P2",
                    subjects: [town.id().to_string()].into(),
                    message: format!("{}: {error}", action.rule),
                }),
            }
            answer.actions.push(action);
        }
    }
}
