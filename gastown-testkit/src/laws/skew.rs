//! P11: clocks that jump.

use std::time::Duration;

use gastown_core::{Timestamp, Town, reconcile, wire};
use serde_json::json;

use super::{rests, rules};

/// Rules that judge by silence: what an observation gap must keep from judging.
pub const SILENCE: &[&str] = &[
    "agents/never-reported",
    "agents/heartbeat-lost",
    "agents/stalled-timeout",
    "gupp/stop",
    "gupp/escalate",
    "gupp/warn",
];

/// A settled town whose clock jumps back decides nothing: nothing is older than it was.
///
/// # Errors
/// What it decides.
pub fn jump_back_is_quiet(town: &Town, now: Timestamp, by: Duration) -> Result<(), String> {
    let due = rules(&reconcile(town, now.minus(by)));
    if due.is_empty() {
        Ok(())
    } else {
        Err(format!("P11: {due:?} after a jump back by {by:?}"))
    }
}

/// A host that slept, or whose clock jumped, and says so: nobody is judged by the silence.
///
/// # Errors
/// Who is.
pub fn jump_forward_is_covered(town: &Town, now: Timestamp, by: Duration) -> Result<(), String> {
    let mut town = town.clone();
    let woken = now.plus(by);
    let gap = json!({"type": "observation_gap", "id": "gap", "at": woken.to_string(),
                     "from": now.to_string(), "to": woken.to_string()});
    match wire::event_from_value(gap) {
        Ok(gap) => drop(town.observe(&gap, woken)),
        Err(error) => return Err(format!("no event: {error}")),
    }
    let rested = rests(&mut town, woken)?;
    let judged: Vec<String> = rested
        .actions
        .iter()
        .filter(|action| SILENCE.contains(&&*action.rule))
        .map(|action| action.rule.to_string())
        .collect();
    if judged.is_empty() {
        Ok(())
    } else {
        Err(format!("P11: {judged:?} after a gap of {by:?}"))
    }
}
