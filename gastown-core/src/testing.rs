//! Towns and actions as text, for tests of rules: the smallest town that shows the rule.
//!
//! One entity a line: `kind id [type] status key=value …`. Keys are those of the snapshot (spec
//! 1.11), with dots for nesting; values are words, JSON, or times relative to [`NOW`] such as
//! `-90s`, `-7m`, `+1h`, `-250ms`, `0s`. What is not said takes a default that offends no rule: agents
//! are a minute old, all else a month.
//!
//! ```text
//! rig r1
//! agent a1 polecat working rig_id=r1 hook=b1 session=1 last_activity_at=-91s
//! bead b1 issue in_progress rig_id=r1 assignee=a1
//! edge m1 tracks b1
//! ```

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use alloc::{format, vec};
use core::time::Duration;

use serde_json::{Map, Value, json};

use crate::action::Action;
use crate::event::Event;
use crate::invariants::Cause;
use crate::reconcile::reconcile;
use crate::time::Timestamp;
use crate::town::Town;
use crate::wire;

/// The time that relative times count from.
pub const NOW: &str = "2026-04-04T12:00:00.000Z";

/// The time `text` after [`NOW`], for example `-90s`.
///
/// # Panics
/// On a text that is no relative time: this is for tests.
#[must_use]
#[allow(clippy::expect_used)]
pub fn at(text: &str) -> Timestamp {
    relative(text).expect("a relative time such as -90s")
}

fn relative(text: &str) -> Option<Timestamp> {
    let now: Timestamp = NOW.parse().ok()?;
    let (sign, rest) = match text.strip_prefix('-') {
        Some(rest) => (false, rest),
        None => (true, text.strip_prefix('+').unwrap_or(text)),
    };
    let digits = rest
        .find(|c: char| !c.is_ascii_digit())
        .filter(|at| *at > 0)?;
    let (number, unit) = rest.split_at_checked(digits)?;
    let number: u64 = number.parse().ok()?;
    let span = match unit {
        "ms" => Duration::from_millis(number),
        "s" => Duration::from_secs(number),
        "m" => Duration::from_secs(number.checked_mul(60)?),
        "h" => Duration::from_secs(number.checked_mul(3600)?),
        "d" => Duration::from_secs(number.checked_mul(86_400)?),
        _ => return None,
    };
    Some(if sign {
        now.plus(span)
    } else {
        now.minus(span)
    })
}

fn value(text: &str) -> Value {
    relative(text)
        .map(|time| Value::String(time.to_string()))
        .or_else(|| serde_json::from_str(text).ok())
        .unwrap_or_else(|| Value::String(text.to_string()))
}

/// Puts `value` at a dotted path.
fn put(object: &mut Map<String, Value>, path: &str, value: Value) {
    match path.split_once('.') {
        None => {
            object.insert(path.to_string(), value);
        }
        Some((first, rest)) => {
            let inner = object.entry(first).or_insert_with(|| json!({}));
            if let Value::Object(inner) = inner {
                put(inner, rest, value);
            }
        }
    }
}

/// Splits a line at spaces that stand outside of quotes and brackets.
fn words(line: &str) -> Vec<String> {
    let mut out = vec![String::new()];
    let (mut depth, mut quoted) = (0u32, false);
    for c in line.chars() {
        match c {
            '"' => quoted = !quoted,
            '[' | '{' if !quoted => depth = depth.saturating_add(1),
            ']' | '}' if !quoted => depth = depth.saturating_sub(1),
            _ => {}
        }
        if c.is_whitespace() && !quoted && depth == 0 {
            out.push(String::new());
        } else if let Some(last) = out.last_mut() {
            last.push(c);
        }
    }
    out.retain(|word| !word.is_empty());
    out
}

fn entity(defaults: Value, fields: &[String]) -> Value {
    let Value::Object(mut object) = defaults else {
        return Value::Null;
    };
    for field in fields {
        if let Some((path, text)) = field.split_once('=') {
            put(&mut object, path, value(text));
        }
    }
    Value::Object(object)
}

fn word(words: &[String], at: usize) -> &str {
    words.get(at).map_or("", String::as_str)
}

/// The snapshot that a text describes.
fn snapshot(text: &str) -> Value {
    let mut town = json!({"id": "t1"});
    let (mut rigs, mut agents, mut beads, mut edges, mut nudges) =
        (vec![], vec![], vec![], vec![], vec![]);
    let old = at("-30d").to_string();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let words = words(line);
        let id = word(&words, 1).to_string();
        let fields = words.get(1..).unwrap_or(&[]);
        match word(&words, 0) {
            "town" => town = entity(town, fields),
            "rig" => rigs.push(entity(
                json!({"id": id, "name": id, "git_url": format!("https://github.com/acme/{id}.git"),
                       "default_branch": "main", "created_at": old}),
                fields,
            )),
            "agent" => agents.push(entity(
                json!({"id": id, "role": word(&words, 2), "status": word(&words, 3), "name": id,
                       "identity": id, "created_at": at("-1m").to_string()}),
                fields,
            )),
            "edge" => edges.push(json!({"bead_id": id, "type": word(&words, 2),
                                        "depends_on": word(&words, 3)})),
            "nudge" => nudges.push(entity(
                json!({"id": id, "agent_id": word(&words, 2), "tier": word(&words, 3),
                       "message": "hello", "created_at": old}),
                fields,
            )),
            "bead" => {
                let mut defaults = json!({"id": id, "type": word(&words, 2), "title": id,
                       "status": word(&words, 3), "created_at": old});
                let block = match word(&words, 2) {
                    "merge_request" => Some((
                        "review",
                        json!({"branch": format!("work/{id}"),
                        "target_branch": "main", "source": format!("{id}-source")}),
                    )),
                    "convoy" => Some(("convoy", json!({}))),
                    "escalation" => Some(("escalation", json!({"severity": "high"}))),
                    "message" => Some(("message", json!({"to": "a1"}))),
                    _ => None,
                };
                if let (Some((name, block)), Some(object)) = (block, defaults.as_object_mut()) {
                    object.insert(name.to_string(), block);
                }
                beads.push(entity(defaults, fields));
            }
            other => edges.push(json!({"unknown line": other})),
        }
    }
    json!({"format": wire::SNAPSHOT_FORMAT, "town": town, "rigs": rigs, "agents": agents,
           "beads": beads, "dependencies": edges, "nudges": nudges})
}

/// The town that a text describes.
///
/// # Panics
/// On a text that describes none: this is for tests.
#[must_use]
#[allow(clippy::panic)]
pub fn town(text: &str) -> Town {
    match wire::snapshot_from_value(snapshot(text)) {
        Ok(town) => town,
        Err(error) => panic!("not a town: {error}"),
    }
}

/// What one pass decides `after` after [`NOW`], one action a line: the rule, the type, the rest.
#[must_use]
pub fn acts(text: &str, after: &str) -> String {
    lines(&reconcile(&town(text), at(after)))
}

/// Which rules act just under, at and just over the time `after` after [`NOW`], one line each; of
/// a town at rest, when to ask again.
#[must_use]
pub fn around(text: &str, after: &str) -> String {
    let town = town(text);
    let moments = [
        ("just under", at(after).minus(Duration::from_millis(1))),
        ("at", at(after)),
        ("just over", at(after).plus(Duration::from_millis(1))),
    ];
    let line = |(name, now): (&str, Timestamp)| {
        let mut rules: Vec<String> = Vec::new();
        for action in reconcile(&town, now) {
            if rules.last().is_none_or(|last| *last != action.rule) {
                rules.push(action.rule.into_owned());
            }
        }
        if rules.is_empty() {
            rules.push(nothing_until(&town, now));
        }
        format!("{name}: {}", rules.join(", "))
    };
    moments.map(line).join("\n")
}

/// What a town does `after` after [`NOW`] where a count is one under, at and one over what `field`
/// (the one place of the town that ends in a number, such as `dispatch_attempts=5`) says: each rule
/// that acts, with the status that a bead gets and what it is given up or told for.
///
/// # Panics
/// Where the town does not hold `field` once, or it ends in no number: this is for tests.
#[must_use]
#[allow(clippy::expect_used)]
pub fn around_count(text: &str, field: &str, after: &str) -> String {
    assert_eq!(text.matches(field).count(), 1, "{field} once in {text}");
    let name = field.trim_end_matches(|c: char| c.is_ascii_digit());
    let count = field.strip_prefix(name).and_then(|n| n.parse::<u32>().ok());
    let count = count.expect("a number at the end");
    let line = |count: u32| {
        let town = town(&text.replace(field, &format!("{name}{count}")));
        let mut said: Vec<String> = Vec::new();
        for action in reconcile(&town, at(after)) {
            if !said.iter().any(|word| *word == action.rule) {
                said.push(action.rule.to_string());
            }
            let written = lines(core::slice::from_ref(&action));
            let what = written
                .split(' ')
                .filter(|word| ["to=", "category="].iter().any(|key| word.starts_with(key)));
            said.extend(what.map(ToString::to_string));
        }
        if said.is_empty() {
            said.push(nothing_until(&town, at(after)));
        }
        format!("{count}: {}", said.join(" "))
    };
    let around = [count.saturating_sub(1), count, count.saturating_add(1)];
    around.map(line).join("\n")
}

/// That a town is at rest, and when to ask again.
fn nothing_until(town: &Town, now: Timestamp) -> String {
    let again = crate::wakeup::next_wakeup(town, now);
    let again = again.map_or_else(|| "never".to_string(), |time| format!("at {time}"));
    format!("nothing, again {again}")
}

/// What settling decides `after` after [`NOW`]: the actions of all passes, then how it came to
/// rest.
#[must_use]
pub fn settled(text: &str, after: &str) -> String {
    let mut town = town(text);
    let settled = crate::reconcile::settle(&mut town, at(after));
    let rest = match &settled.fault {
        None => format!("at rest after {} passes", settled.passes),
        Some(fault) => format!("fault: {fault}"),
    };
    format!("{}\n{rest}", lines(&settled.actions))
}

/// What observing an event changes in a town: why, then one changed field a line, as
/// `id.path: before → after`. The event is JSON without `id` and `at`; relative times are read.
///
/// # Panics
/// On a text that describes no event: this is for tests.
#[must_use]
#[allow(clippy::panic)]
pub fn observed(text: &str, after: &str, event: &str) -> String {
    let mut town = town(text);
    let before = flat(&town);
    let now = at(after);
    let observed = town.observe(&event_at(event, now), now);
    let verb = if observed.changed {
        "observed"
    } else {
        "ignored"
    };
    format!(
        "{verb}: {}\n{}",
        observed.why,
        differences(&before, &flat(&town))
    )
}

#[allow(clippy::panic)]
/// The event that is written so, at that time.
pub fn event_at(event: &str, now: Timestamp) -> Event {
    let Ok(Value::Object(mut object)) = serde_json::from_str(event) else {
        panic!("not an object: {event}")
    };
    object.insert("id".into(), "ev1".into());
    // A late one says when it was.
    object.entry("at").or_insert_with(|| now.to_string().into());
    match wire::event_from_value(Value::Object(object)) {
        Ok(event) => event,
        Err(error) => panic!("not an event: {error}"),
    }
}

/// Every field of a town by its path, entities named by their id.
fn flat(town: &Town) -> BTreeMap<String, String> {
    let mut out = BTreeMap::new();
    let Ok(Value::Object(snapshot)) = wire::snapshot_to_value(town) else {
        return out;
    };
    for (name, value) in &snapshot {
        match value {
            Value::Array(items) => {
                for item in items {
                    let id = item.get("id").and_then(Value::as_str);
                    let edge = || {
                        let part = |key| item.get(key).and_then(Value::as_str).unwrap_or("?");
                        format!(
                            "{} {} {}",
                            part("bead_id"),
                            part("type"),
                            part("depends_on")
                        )
                    };
                    flatten(&id.map_or_else(edge, Into::into), item, &mut out);
                }
            }
            Value::Object(_)
            | Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_) => {
                flatten(name, value, &mut out);
            }
        }
    }
    out
}

fn flatten(path: &str, value: &Value, out: &mut BTreeMap<String, String>) {
    match value {
        Value::Object(object) => {
            for (key, value) in object {
                flatten(&format!("{path}.{key}"), value, out);
            }
        }
        Value::Null => {}
        Value::Array(_) | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            out.insert(path.to_string(), value.to_string());
        }
    }
}

fn differences(before: &BTreeMap<String, String>, after: &BTreeMap<String, String>) -> String {
    let none = String::from("-");
    let mut out = Vec::new();
    let paths: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    for path in paths {
        let (old, new) = (
            before.get(path).unwrap_or(&none),
            after.get(path).unwrap_or(&none),
        );
        // What a new entity says by default is of no interest.
        let dull = old == "-" && matches!(new.as_str(), "false" | "0" | "[]" | "{}");
        if old != new && !dull {
            out.push(format!("{path}: {old} → {new}"));
        }
    }
    out.join("\n")
}

/// The invariants that do not hold, one a line: id, subjects, message.
#[must_use]
pub fn violations(text: &str, after: &str) -> String {
    listed(&crate::invariants::check(&town(text), at(after)))
}

fn listed(found: &[crate::invariants::Violation]) -> String {
    let lines: Vec<String> = found
        .iter()
        .map(|v| format!("{} {}: {}", v.invariant, v.subjects.join(" "), v.message))
        .collect();
    lines.join("\n")
}

/// What the actions of a pass, as a JSON list, must not have done between two towns, one a line.
///
/// # Panics
/// On texts that are no towns or no actions: this is for tests.
#[must_use]
#[allow(clippy::panic)]
pub fn step_violations(before: &str, actions: &str, after: &str) -> String {
    let Ok(Value::Array(list)) = serde_json::from_str(actions) else {
        panic!("not a list: {actions}")
    };
    let actions: Result<Vec<Action>, _> = list.into_iter().map(wire::action_from_value).collect();
    match actions {
        Ok(actions) => found_by_step(before, Cause::Pass(&actions), after),
        Err(error) => panic!("not an action: {error}"),
    }
}

/// What an event must not have done between two towns, one a line.
///
/// # Panics
/// On texts that are no towns or no event: this is for tests.
#[must_use]
pub fn event_violations(before: &str, event: &str, after: &str) -> String {
    found_by_step(before, Cause::Event(&event_at(event, at("0s"))), after)
}

fn found_by_step(before: &str, cause: Cause<'_>, after: &str) -> String {
    let found = crate::invariants::check_step(&town(before), cause, &town(after), at("0s"));
    listed(&found)
}

/// When to ask again, seen from `after` after [`NOW`]; `never` when only an event can help.
#[must_use]
pub fn wakeup(text: &str, after: &str) -> String {
    crate::wakeup::next_wakeup(&town(text), at(after))
        .map_or_else(|| "never".to_string(), |time| time.to_string())
}

/// What commands, one JSON object a line, come to at [`NOW`] when given one after the other: the
/// receipt or the refusal of each, and what it changed.
///
/// # Panics
/// On a text that is no town: this is for tests.
#[must_use]
pub fn executes(text: &str, commands: &str) -> String {
    let mut town = town(text);
    let lines = commands
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty());
    let told: Vec<String> = lines.map(|line| execute(&mut town, line)).collect();
    told.join("\n")
}

fn execute(town: &mut Town, line: &str) -> String {
    let command = match wire::command_from_str(line) {
        Ok(command) => command,
        Err(error) => return format!("unreadable: {error}"),
    };
    let before = flat(town);
    match town.execute(command, at("0s")) {
        Err(error) => {
            let changed = differences(&before, &flat(town));
            assert!(changed.is_empty(), "refused, but changed {changed}");
            format!("refused {:?}: {error}", error.code)
        }
        Ok(receipt) => {
            let mut out = format!(
                "{} [{}]: {}",
                receipt.command,
                receipt.made.join(" "),
                receipt.text
            );
            if !receipt.data.is_null() {
                out.push_str(&format!("\n  data {}", receipt.data));
            }
            for line in differences(&before, &flat(town)).lines() {
                if !is_dull(line) {
                    out.push_str(&format!("\n  {line}"));
                }
            }
            out
        }
    }
}

/// What every change stamps, and the parts of an edge, which its name shows already.
fn is_dull(line: &str) -> bool {
    const DULL: [&str; 9] = [
        "created_at",
        "updated_at",
        "status_changed_at",
        "closed_at",
        "id",
        "bead_id",
        "depends_on",
        "sequence",
        "changed_at",
    ];
    let path = line.split(':').next().unwrap_or("");
    DULL.contains(&path.rsplit('.').next().unwrap_or(""))
}

/// Actions, one a line: the rule, the type, the rest.
#[must_use]
pub fn lines(actions: &[Action]) -> String {
    if actions.is_empty() {
        return "nothing".to_string();
    }
    let lines: Vec<String> = actions.iter().map(line).collect();
    lines.join("\n")
}

fn line(action: &Action) -> String {
    let mut out = format!("{}: {}", action.rule, action.kind.type_name());
    if let Ok(Value::Object(mut fields)) = serde_json::to_value(&action.kind) {
        fields.remove("type");
        for (name, value) in fields {
            out.push_str(&format!(" {name}={}", short(&name, &value)));
        }
    }
    out
}

/// A value as a test shows it: reasons by their code, beads by what matters of them.
fn short(name: &str, value: &Value) -> String {
    match (name, value) {
        (_, Value::String(text)) => text.clone(),
        ("reason" | "cause", value) => value
            .get("code")
            .and_then(Value::as_str)
            .unwrap_or("?")
            .to_string(),
        ("bead", Value::Object(bead)) => {
            const SHOWN: [&str; 10] = [
                "type",
                "status",
                "title",
                "rig_id",
                "parent_id",
                "priority",
                "labels",
                "metadata",
                "review",
                "escalation",
            ];
            let shown: Map<String, Value> = bead
                .iter()
                .filter(|(key, value)| {
                    SHOWN.contains(&key.as_str())
                        && !value.is_null()
                        && **value != json!([])
                        && **value != json!({})
                })
                .map(|(key, value)| (key.clone(), prune(value)))
                .collect();
            Value::Object(shown).to_string()
        }
        (_, value) => value.to_string(),
    }
}

/// Drops what says nothing from a nested value.
fn prune(value: &Value) -> Value {
    match value {
        Value::Object(object) => Value::Object(
            object
                .iter()
                .map(|(key, value)| (key.clone(), prune(value)))
                .filter(|(_, v)| {
                    !v.is_null()
                        && *v != json!([])
                        && *v != json!({})
                        && *v != json!(0)
                        && *v != json!(false)
                })
                .collect(),
        ),
        Value::Array(_) | Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            value.clone()
        }
    }
}

/// A town with one pull request that is green and to be merged: each test breaks what it is about.
#[cfg(test)]
pub(crate) const GREEN: &str = r#"
    town config.refinery.auto_merge_delay_minutes=5
    rig r1
    bead b1 issue in_review rig_id=r1
    bead m1 merge_request in_progress rig_id=r1 review.source=b1 review.pr_url=https://github.com/acme/r1/pull/1 review.head_sha=h1 review.head_seen_at=-1h review.reviewed.at=-1h review.reviewed.head_sha=h1 review.auto_merge.ready_since=-6m review.auto_merge.head_sha=h1 review.auto_merge.pending=true review.auto_merge.last_green_at=-10s review.poll.last_at=-10s review.poll.last_ok_at=-10s review.poll.changed_at=-6m review.poll.attempts=7 review.observation.at=-10s review.observation.observation={"state":"open","head_sha":"h1","head_branch":"work/m1","head_repository":"acme/r1","base_branch":"main","mergeable":"clean","feedback":{"unresolved_threads":0,"threads_complete":true,"checks":{"state":"passing"},"checks_complete":true,"decision":"approved","decision_head":"h1"}}
    edge m1 tracks b1
"#;
