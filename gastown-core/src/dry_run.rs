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
use crate::tagged::or_default;
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
    #[serde(default, deserialize_with = "or_default")]
    commands: Vec<Value>,
    #[serde(default, deserialize_with = "or_default")]
    events: Vec<Value>,
    #[serde(default, deserialize_with = "or_default")]
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
    // Read as an object first: serde takes a list of the fields for it as well.
    let object = wire::object_of(wire::parse(request)?)?;
    let request: Request = wire::read_value(Value::Object(object))?;
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
        execute(&mut town, index, command, now, &mut answer)?;
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

/// Executes one command. A value that can't be taken refuses the command (spec 2.1); a field or a
/// tag that the format does not have makes the line a bad one (spec 8).
fn execute(
    town: &mut Town,
    index: usize,
    command: Value,
    now: Timestamp,
    answer: &mut Answer,
) -> Result<(), WireError> {
    let refused = match wire::command_from_value(command) {
        Ok(command) => match town.execute(command, now) {
            Ok(receipt) => {
                answer.receipts.push(Accepted {
                    index,
                    command: receipt.command,
                    made: receipt.made,
                });
                return Ok(());
            }
            Err(error) => (error.field, error.message),
        },
        Err(error) if error.is_of_another_format() => {
            return Err(error.under(&format!("commands[{index}]")));
        }
        Err(error) => (error.path, error.message),
    };
    let (field, message) = refused;
    answer.refused.push(Refused {
        index,
        field,
        message,
    });
    Ok(())
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

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::string::String;

    use serde_json::{Value, json};

    use super::*;

    const NOW: &str = "2026-04-04T12:00:00.000Z";

    fn bead(id: &str, status: &str) -> Value {
        json!({"id": id, "type": "issue", "status": status, "title": id, "rig_id": "r1", "created_at": NOW})
    }

    fn ask(town: Value, commands: Value, events: Value) -> Result<Value, WireError> {
        let mut snapshot = json!({"format": "gastown.town/1", "town": {"id": "t1"},
            "rigs": [{"id": "r1", "name": "api", "git_url": "https://github.com/acme/api.git",
                      "default_branch": "main", "created_at": NOW}]});
        for (name, value) in town.as_object().into_iter().flatten() {
            snapshot[name] = value.clone();
        }
        let request = json!({"now": NOW, "snapshot": snapshot, "commands": commands,
                             "events": events, "passes": 0});
        dry_run(&request.to_string()).map(|answer| serde_json::from_str(&answer).unwrap())
    }

    fn user(command: Value) -> Value {
        let mut command = command;
        command["caller"] = json!({"kind": "user", "id": "ann"});
        command
    }

    #[test]
    fn a_value_that_can_not_be_taken_refuses_the_command_and_not_the_line() {
        let sling = |name: &str, value: Value| {
            let mut sling = json!({"type": "sling", "rig_id": "r1", "title": "x"});
            sling[name] = value;
            user(sling)
        };
        let answer = ask(
            json!({}),
            json!([
                sling("metadata", json!("{}")),
                sling("body", json!("fine")),
                sling("rig_id", json!("__null_rig__")),
                sling("priority", json!("urgent")),
                user(json!({"type": "sling", "title": "x"})),
                json!({"type": "sling", "rig_id": "r1", "title": "x"}),
            ]),
            json!([]),
        )
        .unwrap();
        let mut shown = String::new();
        for refused in answer["refused"].as_array().unwrap() {
            shown += &format!(
                "{} {}: {}\n",
                refused["index"], refused["field"], refused["message"]
            );
        }
        insta::assert_snapshot!(shown, @r#"
        0 "metadata": "expected a JSON object, found a string: pass the object itself, not JSON inside a string"
        2 "rig_id": "not a valid rig id: \"__null_rig__\" is a reserved word (it begins and ends with two underscores)"
        3 "priority": "unknown variant `urgent`, expected one of `low`, `medium`, `high`, `critical`"
        4 "rig_id": "missing field `rig_id`"
        5 "caller": "missing field `caller`"
        "#);
        assert_eq!(
            answer["receipts"],
            json!([{"index": 1, "type": "sling", "made": ["t1-b1"]}])
        );
    }

    #[test]
    fn a_field_or_a_tag_that_the_format_does_not_have_makes_a_bad_line() {
        let cases = [
            (json!({"type": "slung"}), "commands[0].type"),
            (
                json!({"type": "hold", "bead_id": "b1", "hard": true}),
                "commands[0].hard",
            ),
            (json!({"bead_id": "b1"}), "commands[0].type"),
        ];
        for (command, path) in cases {
            let error = ask(json!({}), json!([user(command)]), json!([])).unwrap_err();
            assert_eq!(error.path, path, "{error}");
        }
        for (commands, path) in [(json!(["x"]), "commands[0]"), (json!({}), "commands")] {
            assert_eq!(ask(json!({}), commands, json!([])).unwrap_err().path, path);
        }
        let answer = ask(json!({}), Value::Null, Value::Null).unwrap();
        assert_eq!(
            answer["receipts"],
            json!([]),
            "null says as little as absence"
        );
    }

    #[test]
    fn no_cycle_closes_over_a_review_or_a_convoy() {
        let town = json!({
            "beads": [bead("s", "in_review"), bead("x", "open"), bead("i", "open"),
                {"id": "m", "type": "merge_request", "status": "open", "title": "m", "created_at": NOW,
                 "review": {"branch": "w", "target_branch": "main", "source": "s"}},
                {"id": "f", "type": "merge_request", "status": "failed", "title": "f", "created_at": NOW,
                 "review": {"branch": "v", "target_branch": "main", "source": "s"}},
                {"id": "c", "type": "convoy", "status": "open", "title": "c", "created_at": NOW}],
            "dependencies": [
                {"bead_id": "m", "depends_on": "s", "type": "tracks"},
                {"bead_id": "f", "depends_on": "s", "type": "tracks"},
                {"bead_id": "f", "depends_on": "x", "type": "blocks"},
                {"bead_id": "i", "depends_on": "c", "type": "tracks"}],
        });
        let set = |bead: &str, on: &str| {
            user(json!({"type": "set_dependencies", "bead_id": bead, "depends_on": [on]}))
        };
        let refusal = |commands: Value| {
            let answer = ask(town.clone(), commands, json!([])).unwrap();
            let messages: alloc::vec::Vec<String> = answer["refused"]
                .as_array()
                .unwrap()
                .iter()
                .map(|refused| refused["message"].as_str().unwrap().into())
                .collect();
            messages.join("; ")
        };
        let waits = |beads: &str| format!("these beads would wait for each other: {beads}");
        assert_eq!(refusal(json!([set("m", "s")])), waits("m, s"));
        assert_eq!(refusal(json!([set("i", "c")])), waits("i, c"));
        assert_eq!(refusal(json!([set("c", "i")])), waits("c, i"));
        assert_eq!(
            refusal(json!([set("x", "s"), set("m", "x")])),
            waits("m, x, s")
        );
        assert_eq!(
            refusal(json!([set("x", "c"), set("i", "x")])),
            waits("i, x, c")
        );
        let retry = user(json!({"type": "retry", "bead_id": "f"}));
        assert_eq!(refusal(json!([set("x", "s"), retry])), waits("s, x"));
        assert_eq!(refusal(json!([set("s", "x"), set("x", "i")])), "");
    }

    #[test]
    fn a_caller_who_is_bound_to_a_rig_lets_nothing_wait_for_another() {
        let mut other = bead("o", "open");
        other["rig_id"] = json!("r2");
        let town = json!({"beads": [bead("b", "open"), other]});
        let set = json!({"type": "set_dependencies", "caller": {"kind": "user", "id": "ann", "rig_id": "r1"},
                         "bead_id": "b", "depends_on": ["o"]});
        let answer = ask(town, json!([set]), json!([])).unwrap();
        assert_eq!(answer["refused"][0]["field"], "depends_on[0]");
    }

    #[test]
    fn what_a_snapshot_may_leave_out() {
        let town = json!({
            "town": {"id": "t1", "sequence": u64::MAX,
                     "conditions": [{"kind": "forge_unreachable", "subject": "town", "since": NOW},
                                    {"kind": "permission_missing", "subject": "r1", "since": NOW}]},
            "agents": [{"id": "a1", "role": "polecat", "rig_id": "r1", "status": "idle", "created_at": NOW}],
            "beads": [
                {"id": "s1", "type": "message", "status": "open", "title": "hi", "assignee": "a1",
                 "created_by": "ann", "created_at": NOW},
                {"id": "c1", "type": "convoy", "status": "open", "title": "c", "created_at": NOW}],
        });
        let sling = user(json!({"type": "sling", "rig_id": "r1", "title": "x"}));
        let check = json!({"type": "check_mail", "caller": {"kind": "agent", "id": "a1"}});
        let answer = ask(town, json!([sling, sling, check]), json!([])).unwrap();
        assert_eq!(answer["refused"], json!([]));
        assert_eq!(
            answer["receipts"][0]["made"],
            json!(["t1-b0"]),
            "the sequence begins anew"
        );
        let after = &answer["snapshot"];
        assert_eq!(after["agents"][0]["name"], "a1");
        assert_eq!(after["agents"][0]["identity"], "a1-polecat-r1@t1");
        let read = after["beads"]
            .as_array()
            .unwrap()
            .iter()
            .find(|bead| bead["id"] == "s1")
            .unwrap();
        assert_eq!(read["status"], "closed");
        assert_eq!(
            after["town"]["conditions"][1]["subject"],
            json!({"kind": "rig", "id": "r1"})
        );
        let again = wire::snapshot_from_value(after.clone()).unwrap();
        assert_eq!(&wire::snapshot_to_value(&again).unwrap(), after);
    }

    #[test]
    fn a_branch_of_another_name_is_not_the_convoys() {
        let town = json!({"beads": [
            {"id": "c1", "type": "convoy", "status": "open", "title": "c", "created_at": NOW,
             "convoy": {"feature_branch": "convoy/c/c1/head", "branches": {"r1": {"state": "asked", "at": NOW}}}}]});
        let created = |branch: &str| {
            let event = json!({"id": "e1", "at": NOW, "type": "branch_created", "convoy_id": "c1",
                               "branch": branch, "outcome": "done"});
            ask(town.clone(), json!([]), json!([event])).unwrap()["observed"][0]["changed"].clone()
        };
        assert_eq!(created("convoy/c/c1/head"), true);
        assert_eq!(created("main"), false);
    }
}
