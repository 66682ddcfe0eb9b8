//! P15 and P9 over a whole run: what was spent, and what was done for each line of work.

// Other commands help the beads that they name.
#![allow(clippy::wildcard_enum_match_arm)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use gastown_core::events::MergeAttempted;
use gastown_core::reviews::ReviewOutcome;
use gastown_core::{
    Action, ActionKind, Bead, BeadId, Caller, Command, CommandKind, ConditionKind, CreatedBy,
    Event, EventKind, MergeOutcome, RigId, Town,
};

/// What was spent since a person last helped. Copied with every commit of a simulation, so each map
/// is shared until it changes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Budgets {
    dispatches: Counts<BeadId>,
    repairs: Counts<(BeadId, &'static str)>,
    landings: Counts<(BeadId, RigId)>,
    merges: Counts<(BeadId, Option<String>)>,
}

#[derive(Debug, Clone)]
struct Counts<K>(Arc<BTreeMap<K, u32>>);

impl<K> Default for Counts<K> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<K: Ord + Clone> Counts<K> {
    fn one_more(&mut self, key: K) -> u32 {
        let count = Arc::make_mut(&mut self.0).entry(key).or_default();
        *count = count.saturating_add(1);
        *count
    }

    fn one_less(&mut self, is_meant: impl Fn(&K) -> bool) {
        if self.0.keys().any(&is_meant) {
            for (_, count) in Arc::make_mut(&mut self.0)
                .iter_mut()
                .filter(|(key, _)| is_meant(key))
            {
                *count = count.saturating_sub(1);
            }
        }
    }

    fn forget(&mut self, is_gone: impl Fn(&K) -> bool) {
        if self.0.keys().any(&is_gone) {
            Arc::make_mut(&mut self.0).retain(|key, _| !is_gone(key));
        }
    }
}

/// P15 of a probe: there are so many until a person asks for one more.
pub(crate) fn probe_is_allowed(before: &Town, after: &Town) -> Result<(), String> {
    let (had, has) = (&before.state().breaker, &after.state().breaker);
    let limit = before.policy().probe_limit;
    match (had.probes < limit || had.probe_asked) && has.probes > had.probes {
        true => Ok(()),
        false => Err(format!(
            "P15: a probe took the breaker from {} to {} of {limit}",
            had.probes, has.probes
        )),
    }
}

/// P9 of a merge: no other one of the review is under way.
pub(crate) fn no_merge_beside(mr: &Bead) -> Result<(), String> {
    let attempt = mr.review().and_then(|it| it.auto_merge.attempt.as_ref());
    match attempt {
        None => Ok(()),
        Some(attempt) => Err(format!(
            "P9: {} is merged while {attempt:?} is under way",
            mr.id
        )),
    }
}

/// While merges are held, an answer that is not known, or says what is known already, costs its
/// review nothing (spec 1.8).
fn cost_nothing(before: &Town, answer: &MergeAttempted, after: &Town) -> bool {
    let mr = &answer.bead_id;
    let auto = |town: &Town| {
        let review = town.bead(mr).and_then(Bead::review);
        review.map(|review| {
            (
                review.auto_merge.attempt.is_some(),
                review.auto_merge.refusals,
            )
        })
    };
    let (Some((true, had)), Some((false, has))) = (auto(before), auto(after)) else {
        return false;
    };
    let excuses = |kind: ConditionKind| match answer.outcome {
        MergeOutcome::Error { .. } => kind.holds_merges(),
        MergeOutcome::Refused { .. } => kind == ConditionKind::MergeMethodImpossible,
        _ => false,
    };
    had == has
        && before
            .conditions_of(mr)
            .any(|condition| excuses(condition.kind))
}

/// The landings of the engine's own that an event showed to be merged: they came to something, so they
/// are none of the attempts. What a person retried was never one.
fn landed(before: &Town, after: &Town) -> Vec<(BeadId, RigId)> {
    let was_merged = |mr: &&Bead| {
        let review = after.bead(&mr.id).and_then(Bead::review);
        review.is_some_and(|review| review.outcome == Some(ReviewOutcome::Merged))
    };
    before
        .live_beads()
        .filter(|bead| bead.created_by == Some(CreatedBy::System))
        .filter_map(|bead| Some((bead, bead.review()?.landing_rig.clone()?)))
        .filter(|(mr, _)| was_merged(mr))
        .filter_map(|(mr, rig)| Some((mr.review()?.convoy.clone()?, rig)))
        .collect()
}

impl Budgets {
    /// A command was taken. Of a person it is help, unless it only orders or delays work: what is
    /// done for the beads that it names counts from here on. The dispatches of a line go on, because
    /// a grant says how many more there are.
    pub(crate) fn helped(&mut self, before: &Town, command: &Command) {
        if !matches!(command.caller, Caller::User { .. }) {
            return;
        }
        let named = match &command.kind {
            CommandKind::Sling(_)
            | CommandKind::SetDependencies(_)
            | CommandKind::Hold(_)
            | CommandKind::Release(_) => Vec::new(),
            // The convoy itself lands no more often for it, but for what has landed already.
            CommandKind::ConvoyAdd(add) => vec![&add.bead_id],
            CommandKind::ConvoyRemove(remove) => vec![&remove.bead_id],
            other => other.beads(),
        };
        for id in named {
            self.starts_anew(before, id);
        }
    }

    fn starts_anew(&mut self, town: &Town, id: &BeadId) {
        // Who retries a repair makes another for its review.
        let repaired = town.bead(id).and_then(|bead| town.repaired_mr(bead));
        for bead in [Some(id), repaired].into_iter().flatten() {
            self.repairs.forget(|(mr, _)| mr == bead);
            self.landings.forget(|(convoy, _)| convoy == bead);
            self.merges.forget(|(mr, _)| mr == bead);
        }
    }

    /// Takes note of a tick, or of a pass.
    pub(crate) fn note(
        &mut self,
        before: &Town,
        after: &Town,
        actions: &[Action],
    ) -> Result<(), String> {
        let probed: BTreeSet<&BeadId> = actions
            .iter()
            .filter_map(|action| {
                if let ActionKind::ProbeBreaker(probe) = &action.kind {
                    Some(&probe.bead_id)
                } else {
                    None
                }
            })
            .collect();
        if !probed.is_empty() {
            probe_is_allowed(before, after)?;
        }
        for action in actions {
            if let ActionKind::DispatchAgent(dispatch) = &action.kind
                && !probed.contains(&dispatch.bead_id)
                && let Some(bead) = after.bead(&dispatch.bead_id)
            {
                self.dispatch(after, bead)?;
            }
            if let ActionKind::CreateLandingMr(made) = &action.kind {
                let landing = (made.convoy_id.clone(), made.rig_id.clone());
                let count = self.landings.one_more(landing);
                if count > after.policy().landing_attempts {
                    return Err(format!(
                        "P15: {} lands for the {count}th time",
                        made.convoy_id
                    ));
                }
            }
            if let ActionKind::MergePr(merge) = &action.kind
                && let Some(mr) = before.bead(&merge.bead_id)
            {
                no_merge_beside(mr)?;
                self.merge(before, mr)?;
            }
        }
        self.beads(before, after)
    }

    fn dispatch(&mut self, town: &Town, bead: &Bead) -> Result<(), String> {
        let root = bead.lineage();
        let count = self.dispatches.one_more(root.clone());
        let lineage = town.lineage(root);
        let budget = town
            .policy()
            .lineage_dispatches
            .saturating_add(lineage.granted);
        if count > budget {
            return Err(format!("P15: {root} has {count} dispatches, {lineage:?}"));
        }
        Ok(())
    }

    /// Merges of one head, until another head is seen.
    fn merge(&mut self, town: &Town, mr: &Bead) -> Result<(), String> {
        let Some(review) = mr.review() else {
            return Ok(());
        };
        let count = (self.merges).one_more((mr.id.clone(), review.head_sha.clone()));
        if count > town.policy().refusals_max() {
            return Err(format!("P15: {} is merged for the {count}th time", mr.id));
        }
        Ok(())
    }

    /// An event was taken, or ignored.
    pub(crate) fn observed(
        &mut self,
        before: &Town,
        event: &Event,
        after: &Town,
    ) -> Result<(), String> {
        if let EventKind::MergeAttempted(answer) = &event.kind
            && cost_nothing(before, answer, after)
        {
            self.merges.one_less(|(mr, _)| *mr == answer.bead_id);
        }
        for (convoy, rig) in landed(before, after) {
            self.landings
                .one_less(|(of, in_rig)| *of == convoy && *in_rig == rig);
        }
        // Somebody pushed; a head that comes back later is a new one, too.
        let head = |town: &Town, mr: &BeadId| Some(town.bead(mr)?.review()?.head_sha.clone());
        self.merges
            .forget(|(mr, _)| head(before, mr) != head(after, mr));
        self.beads(before, after)
    }

    /// Repairs that were made for reviews.
    pub(crate) fn beads(&mut self, before: &Town, after: &Town) -> Result<(), String> {
        for bead in after
            .live_beads()
            .filter(|bead| before.bead(&bead.id).is_none())
        {
            let (Some(mr), Some(label)) = (
                after.repaired_mr(bead),
                bead.work().and_then(gastown_core::Work::label),
            ) else {
                continue;
            };
            let count = self.repairs.one_more((mr.clone(), label));
            // A conflict and a head that is out of date are two causes with one label.
            let causes = if label == "gt:pr-conflict" { 2 } else { 1 };
            let limit = after.policy().repair_rounds.saturating_mul(causes);
            if count > limit {
                return Err(format!("P15: {mr} has {count} beads with {label}"));
            }
        }
        Ok(())
    }
}
