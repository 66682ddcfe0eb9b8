//! One tick of a town, without any I/O: events, commands, decisions, invariants (spec 6.2).

use std::any::Any;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use gastown_core::report::hide_secrets;
use gastown_core::{
    Action, ChangeSet, CommandError, Effect, EffectKey, EventId, Observed, Receipt, SettleFault,
    TickInput, Timestamp, Town, TownId, Violation, check,
};
use serde_json::{Value, json};

use crate::clock::Clock;
use crate::telemetry;

/// What is to be committed, and what is answered then.
pub(crate) struct Ticked {
    pub(crate) changes: ChangeSet,
    pub(crate) effects: Vec<Effect>,
    pub(crate) consumed: Vec<EventId>,
    /// One for each command, in order.
    pub(crate) answers: Vec<Result<Receipt, CommandError>>,
    pub(crate) report: TickReport,
}

impl Ticked {
    /// Whether there is anything to commit. What was refused is on record, too.
    pub(crate) fn is_empty(&self) -> bool {
        self.changes.is_empty()
            && self.effects.is_empty()
            && self.consumed.is_empty()
            && self.answers.iter().all(Result::is_ok)
    }
}

/// What one tick did; for people who watch.
#[derive(Debug, Clone)]
pub struct TickReport {
    /// The town.
    pub town_id: TownId,
    /// The version of the town that the tick made.
    pub number: u64,
    /// The time that it was given.
    pub now: Timestamp,
    /// What came of each event, in order.
    pub observed: Vec<Observed>,
    /// The type of each event, in the same order.
    pub event_types: Vec<&'static str>,
    /// How many commands were accepted.
    pub commands: usize,
    /// What was decided, in order.
    pub actions: Vec<Action>,
    /// The effects that were asked for.
    pub effects: Vec<EffectKey>,
    /// Invariants that do not hold; the rules are about to heal them.
    pub violations: Vec<Violation>,
}

/// The engine broke one of its own invariants, or did not come to rest: nothing of the tick may be
/// committed (design 11).
#[derive(Debug, Clone, thiserror::Error)]
#[error("the engine broke its own rules: {}", self.show())]
pub struct Broken {
    /// Invariants that held before the tick and do not hold after it.
    pub violations: Vec<Violation>,
    /// Why the town did not come to rest.
    pub fault: Option<SettleFault>,
    /// What the engine said when it gave up in the middle.
    pub panic: Option<String>,
    /// The tick: its events, commands and actions, without secrets, as a report has them.
    pub evidence: String,
}

impl Broken {
    fn show(&self) -> String {
        let violations = self
            .violations
            .iter()
            .map(|found| format!("{} {}", found.invariant, found.message));
        let fault = self.fault.iter().map(ToString::to_string);
        let all: Vec<String> = violations.chain(fault).chain(self.panic.clone()).collect();
        all.join("; ")
    }
}

/// Runs one tick. On an error the town is not to be used any more.
pub(crate) fn run(
    town: &mut Town,
    input: &TickInput<'_>,
    clock: &dyn Clock,
) -> Result<Ticked, Box<Broken>> {
    // A tick may replace secrets; what it says of the old ones is hidden, too.
    let settings = town.state().config.clone();
    // A host is never brought down by a town (design 11).
    let ticked = catch_unwind(AssertUnwindSafe(|| run_inner(town, input, clock)));
    let ticked = ticked.unwrap_or_else(|panic| {
        Err(Box::new(Broken {
            violations: Vec::new(),
            fault: None,
            panic: Some(panic_text(&*panic)),
            evidence: evidence(input, &[]),
        }))
    });
    ticked.map_err(|mut broken| {
        let settings = [&settings, &town.state().config];
        broken.evidence = hide_secrets(settings, &broken.evidence);
        broken.panic = broken.panic.map(|text| hide_secrets(settings, &text));
        broken
    })
}

/// What a panic said.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .map(ToString::to_string)
        .or_else(|| panic.downcast_ref::<String>().cloned());
    text.unwrap_or_else(|| "it panicked".into())
}

fn run_inner(
    town: &mut Town,
    input: &TickInput<'_>,
    clock: &dyn Clock,
) -> Result<Ticked, Box<Broken>> {
    let now = input.now;
    let begin = clock.monotonic();
    let held_before = check(town, now);
    let ticked = gastown_core::tick(town, input);
    let violations = check(town, now);
    let mut made = violations.clone();
    // A town from outside may hold some, which change with it. A secret in a text is told of and no
    // more: the text came from outside, and stopping the town would not take it back.
    made.retain(|found| found.invariant != "I17" && !found.was_among(&held_before));
    if ticked.settled.fault.is_some() || !made.is_empty() {
        return Err(Box::new(Broken {
            violations: made,
            fault: ticked.settled.fault,
            panic: None,
            evidence: evidence(input, &ticked.settled.actions),
        }));
    }
    let took = clock.monotonic().saturating_sub(begin);
    telemetry::seconds(telemetry::TICK_SECONDS, took);
    let record = ticked.record(input, took);
    let gastown_core::Ticked {
        observed,
        answers,
        settled,
        changes,
        ..
    } = ticked;
    let accepted = answers.iter().filter(|answer| answer.is_ok()).count();
    let mut ticked = Ticked {
        consumed: input.stored.iter().map(|event| event.id.clone()).collect(),
        changes,
        answers,
        report: TickReport {
            town_id: town.id().clone(),
            number: input.number,
            now,
            event_types: event_types(input, &observed),
            observed,
            commands: accepted,
            actions: settled.actions,
            effects: settled
                .effects
                .iter()
                .map(|effect| effect.key.clone())
                .collect(),
            violations,
        },
        effects: settled.effects,
    };
    if !ticked.is_empty() {
        ticked.changes.history.extend(record);
    }
    Ok(ticked)
}

fn event_types(input: &TickInput<'_>, observed: &[Observed]) -> Vec<&'static str> {
    let events = input.stored.iter().chain(input.local);
    let types: BTreeMap<&EventId, &'static str> = events
        .map(|event| (&event.id, event.kind.type_name()))
        .collect();
    let type_of = |seen: &Observed| types.get(&seen.id).copied().unwrap_or("unknown");
    observed.iter().map(type_of).collect()
}

fn evidence(input: &TickInput<'_>, actions: &[Action]) -> String {
    json!({
        "number": input.number,
        "now": input.now,
        "events": to_json(&input.stored),
        "local": to_json(&input.local),
        "commands": to_json(&input.commands),
        "actions": to_json(&actions),
    })
    .to_string()
}

/// Everything that goes through here has text keys and plain values, so writing it can't fail.
fn to_json(value: &impl serde::Serialize) -> Value {
    serde_json::to_value(value).unwrap_or(Value::Null)
}

#[cfg(test)]
mod tests {
    use gastown_core::testing::{at, town};
    use gastown_core::wire::command_from_value;

    use super::*;
    use crate::clock::SystemClock;

    /// One tick with one command of a person; says why it is frozen, if it is.
    fn frozen(text: &str, command: Value) -> Option<String> {
        let input = TickInput {
            number: 1,
            now: at("0s"),
            loaded: false,
            recalled: &[],
            stored: &[],
            local: &[],
            commands: &[command_from_value(command).unwrap()],
        };
        let ticked = run(&mut town(text), &input, &SystemClock::default());
        ticked.err().map(|broken| broken.to_string())
    }

    fn user() -> Value {
        json!({"kind": "user", "id": "ann"})
    }

    /// No input may stop a town, whatever it quotes (spec 2.2).
    #[test]
    fn a_quoted_secret_freezes_nothing() {
        let town = "town config.llm_token=sk-0123456789\nrig r1\nbead b1 issue failed rig_id=r1 body=\"old sk-0123456789\"";
        for command in [
            json!({"type": "sling", "caller": user(), "rig_id": "r1", "title": "sk-0123456789"}),
            // The text is there already.
            json!({"type": "retry", "caller": user(), "bead_id": "b1"}),
            json!({"type": "update_config", "caller": user(), "config": {"llm_token": "old sk-0"}}),
        ] {
            assert_eq!(frozen(town, command.clone()), None, "{command}");
        }
    }

    /// A town from outside may hold violations, of which a person mends one after the other.
    #[test]
    fn a_violation_that_is_mended_in_part_freezes_nothing() {
        let circles = "
            rig r1
            bead b1 issue open rig_id=r1
            bead b2 issue open rig_id=r1
            bead b3 issue open rig_id=r1
            bead b4 issue open rig_id=r1
            edge b1 blocks b2
            edge b2 blocks b1
            edge b3 blocks b4
            edge b4 blocks b3
        ";
        let shared = "
            rig r1
            bead b1 issue in_review rig_id=r1
            bead m1 merge_request in_progress rig_id=r1 review.source=b1 review.pr_url=https://github.com/acme/r1/pull/1
            bead m2 merge_request in_progress rig_id=r1 review.source=b1 review.pr_url=https://github.com/acme/r1/pull/1
            bead m3 merge_request in_progress rig_id=r1 review.source=b1 review.pr_url=https://github.com/acme/r1/pull/1
            edge m1 tracks b1
            edge m2 tracks b1
            edge m3 tracks b1
        ";
        for (town, command) in [
            (
                circles,
                json!({"type": "set_dependencies", "caller": user(), "bead_id": "b1", "depends_on": []}),
            ),
            (
                circles,
                json!({"type": "sling", "caller": user(), "rig_id": "r1", "title": "x", "depends_on": ["b2"]}),
            ),
            (
                shared,
                json!({"type": "close_bead", "caller": user(), "bead_id": "m3"}),
            ),
        ] {
            assert_eq!(frozen(town, command.clone()), None, "{command}");
        }
    }
}
