//! P15 of a town that nobody answers: every line of work stays within its budgets.

use std::collections::{BTreeMap, BTreeSet};

use gastown_core::{
    Action, ActionKind, BeadId, CreatedBy, RigId, Timestamp, Town, Work, next_wakeup, settle,
};

/// Lets time pass through at most `wakeups` wake-ups without an event or a person's help. The
/// dispatches of a line of work stay within what it had left, and the landings of a convoy in a rig
/// within landing_attempts. Probes of the breaker cost a line nothing, and have a limit of their own.
///
/// # Errors
/// What was done too often.
pub fn every_cycle_costs(town: &Town, now: Timestamp, wakeups: usize) -> Result<(), String> {
    let mut ahead = town.clone();
    let mut spent = Spent::default();
    let mut at = now;
    for _ in 0..wakeups {
        let settled = settle(&mut ahead, at);
        if let Some(fault) = settled.fault {
            return Err(format!("P3: at {at}: {fault}"));
        }
        spent.count(&ahead, &settled.actions);
        spent.is_within(town, &ahead)?;
        match next_wakeup(&ahead, at) {
            Some(next) => at = next,
            None => return Ok(()),
        }
    }
    Ok(())
}

#[derive(Default)]
struct Spent {
    dispatches: BTreeMap<BeadId, u32>,
    landings: BTreeMap<(BeadId, RigId), u32>,
    probes: u32,
    batches: u32,
}

impl Spent {
    fn count(&mut self, town: &Town, actions: &[Action]) {
        let mut probed = BTreeSet::new();
        for action in actions {
            if let ActionKind::ProbeBreaker(probe) = &action.kind {
                probed.insert(probe.bead_id.clone());
                self.probes = self.probes.saturating_add(1);
            }
            if let ActionKind::DispatchAgent(dispatch) = &action.kind
                && !probed.remove(&dispatch.bead_id)
                && let Some(bead) = town.bead(&dispatch.bead_id)
            {
                let count = self.dispatches.entry(bead.lineage().clone()).or_default();
                *count = count.saturating_add(1);
            }
            if let ActionKind::CreateBead(made) = &action.kind
                && made.bead.created_by == Some(CreatedBy::Patrol)
                && made.bead.work() == Some(&Work::TriageBatch)
            {
                self.batches = self.batches.saturating_add(1);
            }
            if let ActionKind::CreateLandingMr(made) = &action.kind {
                let landing = (made.convoy_id.clone(), made.rig_id.clone());
                let count = self.landings.entry(landing).or_default();
                *count = count.saturating_add(1);
            }
        }
    }

    fn is_within(&self, before: &Town, after: &Town) -> Result<(), String> {
        let policy = before.policy();
        for (root, count) in &self.dispatches {
            let had = before.lineage(root);
            let budget = policy.lineage_dispatches.saturating_add(had.granted);
            let left = budget.saturating_sub(had.used);
            if *count > left {
                return Err(format!(
                    "P15: {root} was dispatched {count} times and had {left} left"
                ));
            }
            // A batch for the triage agent is one of each line that it judges.
            let used = after.lineage(root).used;
            let least = had.used.saturating_add(*count);
            if used < least
                || used > least.saturating_add(self.batches)
                || used > budget.max(had.used)
            {
                return Err(format!(
                    "P15: {count} dispatches of {root} cost {had:?} to {used}"
                ));
            }
        }
        for ((convoy, rig), count) in &self.landings {
            let made = before
                .bead(convoy)
                .and_then(|bead| bead.convoy())
                .map_or(0, |convoy| convoy.landing_of(rig).attempts);
            if made.saturating_add(*count) > policy.landing_attempts {
                return Err(format!(
                    "P15: {convoy} lands in {rig} {count} times after {made}"
                ));
            }
        }
        // Each probe that nobody answers is one of the limit; a person's demand allows one more.
        let limit = policy.probe_limit.saturating_add(1);
        if self.probes > limit {
            return Err(format!("P15: {} probes, {limit} are allowed", self.probes));
        }
        Ok(())
    }
}
