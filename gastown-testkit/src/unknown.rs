//! P17: what is not known. Every observed fact of a pull request, replaced by "unknown".

use std::collections::BTreeSet;
use std::time::Duration;

use gastown_core::{ActionKind, Event, EventKind, Timestamp, Town, settle, wire};
use serde_json::{Value, json};

/// The facts of an observation, and what stands for "unknown" in each.
const FACTS: &[(&str, Value)] = &[
    ("/mergeable", Value::Null),
    ("/feedback", Value::Null),
    ("/feedback/threads_complete", Value::Bool(false)),
    ("/feedback/checks_complete", Value::Bool(false)),
    ("/feedback/decision_head", Value::Null),
    ("/head_repository", Value::Null),
    ("/api_budget", Value::Null),
];

/// The observation with each fact in turn unknown.
fn variants(observation: &Value) -> Vec<(&'static str, Value)> {
    FACTS
        .iter()
        .filter_map(|(path, unknown)| {
            let mut variant = observation.clone();
            let fact = variant.pointer_mut(path)?;
            *fact = if *path == "/mergeable" {
                json!("unknown")
            } else {
                unknown.clone()
            };
            Some((*path, variant))
        })
        .collect()
}

/// The reviews that are merged within that time if nothing else is heard.
fn merges(town: &Town, now: Timestamp, within: Duration) -> BTreeSet<String> {
    let mut town = town.clone();
    let mut out = BTreeSet::new();
    for at in [now, now.plus(within)] {
        let settled = settle(&mut town, at);
        for action in settled.actions {
            if let ActionKind::MergePr(merge) = action.kind {
                out.insert(merge.bead_id.to_string());
            }
        }
    }
    out
}

/// P17 of a snapshot: whatever of its last looks becomes unknown, nothing is merged that was not.
/// Says how many reviews are merged, so that a test can show that it looks at some.
///
/// # Errors
/// What is merged for want of knowledge.
pub fn unknown_is_not_yes(snapshot: &Value, now: Timestamp) -> Result<usize, String> {
    const WITHIN: Duration = Duration::from_secs(20);
    const REVIEWS_MAX: usize = 12;
    let read = |snapshot: &Value| {
        wire::snapshot_from_value(snapshot.clone()).map_err(|error| error.to_string())
    };
    let merged = merges(&read(snapshot)?, now, WITHIN);
    let beads = snapshot.get("beads").and_then(Value::as_array);
    let observed: Vec<(String, &Value)> = (0..beads.map_or(0, Vec::len))
        .filter_map(|n| {
            let path = format!("/beads/{n}/review");
            let seen = snapshot.pointer(&path)?.get("observation")?;
            (!seen.is_null()).then_some((path, seen))
        })
        .collect();
    // Of a large town a share of them, evenly: each fact of each is a town of its own.
    let share = observed.len().saturating_div(REVIEWS_MAX).saturating_add(1);
    for (review, seen) in observed.into_iter().step_by(share) {
        let path = format!("{review}/observation");
        let mut doubtful: Vec<(String, Value)> = vec![(path.clone(), Value::Null)];
        let observed = format!("{path}/observation");
        if let Some(observation) = seen.get("observation") {
            let variants = variants(observation).into_iter();
            doubtful.extend(variants.map(|(_, variant)| (observed.clone(), variant)));
        }
        // Not head_seen_at: where that is missing the age of the bead counts (spec 1.10).
        for field in ["head_sha", "reviewed", "approval"] {
            doubtful.push((format!("{review}/{field}"), Value::Null));
        }
        for (path, unknown) in doubtful {
            let mut other = snapshot.clone();
            let Some(slot) = other.pointer_mut(&path) else {
                continue;
            };
            *slot = unknown;
            only_these(&merges(&read(&other)?, now, WITHIN), &merged, &path)?;
        }
    }
    Ok(merged.len())
}

/// P17 of a look that comes in: were any of its facts unknown, nothing would be merged, at once or
/// after the delay, that is not merged so. Says how many reviews are merged.
///
/// # Errors
/// What is merged for want of knowledge.
pub fn unknown_look_is_not_yes(
    before: &Town,
    event: &Event,
    now: Timestamp,
    within: Duration,
) -> Result<usize, String> {
    let EventKind::PrObserved(look) = &event.kind else {
        return Ok(0);
    };
    let Some(observation) = &look.observation else {
        return Ok(0);
    };
    let seen = serde_json::to_value(observation).map_err(|error| error.to_string())?;
    let merged_after = |event: &Event| {
        let mut town = before.clone();
        town.observe(event, now);
        merges(&town, now, within)
    };
    let merged = merged_after(event);
    for (path, variant) in variants(&seen) {
        let mut written = serde_json::to_value(event).map_err(|error| error.to_string())?;
        if let Some(object) = written.as_object_mut() {
            object.insert("observation".into(), variant);
        }
        let doubtful = wire::event_from_value(written).map_err(|error| error.to_string())?;
        only_these(&merged_after(&doubtful), &merged, path)?;
    }
    Ok(merged.len())
}

fn only_these(
    merged: &BTreeSet<String>,
    allowed: &BTreeSet<String>,
    unknown: &str,
) -> Result<(), String> {
    match merged.difference(allowed).next() {
        None => Ok(()),
        Some(mr) => Err(format!("P17: {mr} is merged because {unknown} is unknown")),
    }
}
