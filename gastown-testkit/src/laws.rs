//! What must hold of every town and of every pass (spec 5), as checks that say what does not.
//!
//! Hosts can hold their own states against them; the properties of this crate do so with generated
//! ones.

mod audit;
mod cost;
mod one_review;
mod sentinel;
mod skew;
mod stall;

pub use self::audit::Told;
pub use self::cost::every_cycle_costs;
pub use self::one_review::one_review_per_branch;
pub(crate) use self::sentinel::has_no_stand_in;
pub use self::sentinel::{no_sentinel, no_sentinel_in_changes};
pub use self::skew::{SILENCE, jump_back_is_quiet, jump_forward_is_covered};
pub use self::stall::no_silent_stall;

use std::collections::{BTreeMap, BTreeSet};

use gastown_core::{
    Action, ActionKind, Bead, BeadId, Cause, Effect, Timestamp, Town, Violation, check, check_step,
    explain, next_wakeup, reconcile, settle,
};

/// How many passes ahead an explanation without a next rule is followed: as many as every explanation looks.
const PASSES_WATCHED: u32 = 64;
/// How many wake-ups may come before the one that an explanation names.
const WAKEUPS_MAX: usize = 5_000;

/// What settling did.
#[derive(Debug, Clone, Default)]
pub struct Rested {
    /// The actions of all passes.
    pub actions: Vec<Action>,
    /// The effects that they ask for.
    pub effects: Vec<Effect>,
}

/// The rules of some actions, with what each does.
#[must_use]
pub fn rules(actions: &[Action]) -> Vec<String> {
    actions
        .iter()
        .map(|action| format!("{}:{}", action.rule, action.kind.type_name()))
        .collect()
}

/// P3: what is said where more is due after all the passes that the policy allows.
pub(crate) fn restless(limit: u32, due: &[Action]) -> String {
    let due: Vec<&str> = due.iter().map(|action| &*action.rule).collect();
    format!("P3: the town does not come to rest within {limit} passes: {due:?}")
}

/// The first violation, as an error.
///
/// # Errors
/// If there is one.
pub fn none(violations: &[Violation], of: &str) -> Result<(), String> {
    match violations.first() {
        None => Ok(()),
        Some(first) => Err(format!(
            "{} by {of}: {} ({})",
            first.invariant,
            first.message,
            first.subjects.join(", ")
        )),
    }
}

/// What P4 calls the record of a bead or agent.
fn records(town: &Town) -> BTreeMap<String, String> {
    let beads = town.beads().map(|bead| {
        let holders: Vec<(&str, u64)> = town
            .holders(&bead.id)
            .map(|agent| (agent.id.as_str(), agent.session))
            .collect();
        let record = format!("{:?} {holders:?} {}", bead.status, bead.dispatch_attempts);
        (format!("bead {}", bead.id), record)
    });
    let agents = town.agents().map(|agent| {
        let record = format!(
            "{:?} {:?} {} {}",
            agent.status, agent.hook, agent.session, agent.dispatch_attempts
        );
        (format!("agent {}", agent.id), record)
    });
    beads.chain(agents).collect()
}

/// P4 while a town settles: nobody returns to a record, and nobody is dispatched twice.
#[derive(Debug, Default)]
struct Settling {
    past: BTreeMap<String, Vec<String>>,
    dispatched: BTreeSet<String>,
}

impl Settling {
    fn note(&mut self, town: &Town) -> Result<(), String> {
        for (name, record) in records(town) {
            let past = self.past.entry(name.clone()).or_default();
            if past.last() == Some(&record) {
                continue;
            }
            if past.contains(&record) {
                return Err(format!("P4: {name} returns to {record}: {past:?}"));
            }
            past.push(record);
        }
        Ok(())
    }

    fn dispatch(&mut self, action: &Action) -> Result<(), String> {
        let ActionKind::DispatchAgent(dispatch) = &action.kind else {
            return Ok(());
        };
        for name in [dispatch.agent_id.as_str(), dispatch.bead_id.as_str()] {
            if !self.dispatched.insert(name.to_string()) {
                return Err(format!("P4: {name} is dispatched twice"));
            }
        }
        Ok(())
    }
}

/// P4 of one pass: at most one chain of transitions for each bead and agent, made by one rule,
/// each link starting where the one before ended.
fn one_chain_each(actions: &[Action]) -> Result<(), String> {
    let mut at: BTreeMap<String, (&str, String)> = BTreeMap::new();
    for action in actions {
        let (subject, from, to) = if let ActionKind::TransitionBead(moved) = &action.kind {
            let (from, to) = (format!("{:?}", moved.from), format!("{:?}", moved.to));
            (format!("bead {}", moved.bead_id), from, to)
        } else if let ActionKind::TransitionAgent(moved) = &action.kind {
            let (from, to) = (format!("{:?}", moved.from), format!("{:?}", moved.to));
            (format!("agent {}", moved.agent_id), from, to)
        } else {
            continue;
        };
        if let Some((rule, last)) = at.get(&subject)
            && (*rule != action.rule || *last != from)
        {
            let other = &action.rule;
            return Err(format!("P4: {subject} is moved by {rule} and by {other}"));
        }
        at.insert(subject, (&action.rule, to));
    }
    Ok(())
}

/// Settles pass by pass and checks each: P2 (applicable), P3 (settles), P4 (no contradiction), I9
/// (no sentinel) and every invariant of a step.
///
/// # Errors
/// What must hold and does not.
pub fn rests(town: &mut Town, now: Timestamp) -> Result<Rested, String> {
    let limit = town.policy().settle_limit.max(1);
    let mut settling = Settling::default();
    let mut rested = Rested::default();
    let mut passes = 0_u32;
    loop {
        settling.note(town)?;
        let before = town.clone();
        let actions = reconcile(town, now);
        if actions.is_empty() {
            no_sentinel(&rested.actions)?;
            no_sentinel(&rested.effects)?;
            return Ok(rested);
        }
        if passes >= limit {
            return Err(restless(limit, &actions));
        }
        one_chain_each(&actions)?;
        for action in &actions {
            settling
                .dispatch(action)
                .map_err(|problem| format!("{problem}: {:?}", rules(&rested.actions)))?;
            match town.apply(action, now) {
                Ok(effects) => rested.effects.extend(effects),
                Err(error) => return Err(format!("P2: {}: {error}", action.rule)),
            }
        }
        none(
            &check_step(&before, Cause::Pass(&actions), town, now),
            "a pass",
        )?;
        rested.actions.extend(actions);
        passes = passes.saturating_add(1);
    }
}

/// P2: what heals without waiting is healed in a settled town, and what does not heal was there
/// before: the engine never makes a violation.
///
/// # Errors
/// The first violation that must not be there.
pub fn is_healed(before: &Town, settled: &Town, now: Timestamp) -> Result<(), String> {
    let was = check(before, now);
    let left: Vec<Violation> = check(settled, now)
        .into_iter()
        .filter(|violation| {
            if violation.invariant == "I3" {
                // Merges under verification are left alone (spec 3.4), whatever waits with them.
                return !violation.subjects.iter().all(|id| is_verified(settled, id));
            }
            violation.heals() || !violation.was_among(&was)
        })
        .collect();
    none(&left, "a settled town")
}

fn is_verified(town: &Town, id: &str) -> bool {
    id.parse()
        .ok()
        .and_then(|id| town.bead(&id))
        .and_then(Bead::review)
        .is_some_and(|review| review.verify.is_some())
}

/// P5 and P6 of a settled town: nothing is due before the next wake-up, at `share` of the way and
/// at both ends of it, and something is due at it.
///
/// # Errors
/// What is due too early, or not due in time.
pub fn wakes_in_time(town: &Town, now: Timestamp, share: f64) -> Result<(), String> {
    let wakeup = next_wakeup(town, now);
    let horizon = wakeup.unwrap_or_else(|| now.plus(std::time::Duration::from_secs(40 * 86_400)));
    let span = horizon.as_millis().saturating_sub(now.as_millis());
    if span <= 0 {
        return Err(format!(
            "P5: a settled town is due at {horizon}, now is {now}"
        ));
    }
    #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
    let way = (span as f64 * share) as i64;
    for offset in [1, way, span.saturating_sub(1)] {
        if offset <= 0 || offset >= span {
            continue;
        }
        let between = Timestamp::from_millis(now.as_millis().saturating_add(offset));
        let due = rules(&reconcile(town, between));
        if !due.is_empty() {
            return Err(format!(
                "P5: {due:?} at {between}, before the wake-up at {horizon}"
            ));
        }
    }
    if let Some(wakeup) = wakeup
        && reconcile(town, wakeup).is_empty()
    {
        return Err(format!("P6: nothing is due at the wake-up, {wakeup}"));
    }
    Ok(())
}

/// P16 of one bead of a settled town: the rule that `explain` names fires at the time that it
/// names, and before it nothing about the bead changes.
///
/// # Errors
/// What came instead.
pub fn happens_as_explained(town: &Town, now: Timestamp, id: &BeadId) -> Result<(), String> {
    let Some(explanation) = explain(town, now, id) else {
        return Err(format!("P16: {id} can't be explained"));
    };
    let record = |town: &Town| {
        town.bead(id)
            .and_then(|bead| serde_json::to_string(bead).ok())
    };
    let was = record(town);
    let mut ahead = town.clone();
    let mut at = now;
    let mut passes = 0_u32;
    for _ in 0..WAKEUPS_MAX {
        let Some(wakeup) = next_wakeup(&ahead, at) else {
            break;
        };
        at = wakeup;
        if let Some(next) = &explanation.next_rule
            && at > next.at
        {
            return Err(format!("P16: {id}: {next:?} is over at {at}"));
        }
        let settled = settle(&mut ahead, at);
        // The last of them found nothing to do.
        passes = passes.saturating_add(settled.passes.saturating_sub(1));
        if explanation.next_rule.is_none() && passes > PASSES_WATCHED {
            break;
        }
        if let Some(next) = &explanation.next_rule
            && at == next.at
            && settled
                .actions
                .iter()
                .any(|action| action.rule == next.rule)
        {
            return Ok(());
        }
        if record(&ahead) != was {
            let next = &explanation.next_rule;
            let rules = rules(&settled.actions);
            return Err(format!(
                "P16: {id} changes at {at} by {rules:?}, not by {next:?}"
            ));
        }
    }
    match &explanation.next_rule {
        None => Ok(()),
        Some(next) => Err(format!("P16: {id}: {next:?} never fires")),
    }
}
