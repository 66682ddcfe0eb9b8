//! P15 and P9 over a whole run: what was spent, and what was done for each line of work.

use std::collections::{BTreeMap, BTreeSet};

use gastown_core::{Action, ActionKind, Bead, BeadId, RigId, Town};

/// What was spent so far, apart from what a person asked for.
#[derive(Debug, Clone, Default)]
pub(super) struct Budgets {
    dispatches: BTreeMap<BeadId, u32>,
    repairs: BTreeMap<(BeadId, &'static str), u32>,
    landings: BTreeMap<(BeadId, RigId), u32>,
    merges: BTreeMap<(BeadId, Option<String>), u32>,
}

fn one_more<K: Ord>(counts: &mut BTreeMap<K, u32>, key: K) -> u32 {
    let count = counts.entry(key).or_default();
    *count = count.saturating_add(1);
    *count
}

impl Budgets {
    /// Takes note of a tick.
    pub(super) fn note(
        &mut self,
        before: &Town,
        after: &Town,
        actions: &[Action],
        helped: &BTreeSet<BeadId>,
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
        for action in actions {
            if let ActionKind::DispatchAgent(dispatch) = &action.kind
                && !probed.contains(&dispatch.bead_id)
                && let Some(bead) = after.bead(&dispatch.bead_id)
            {
                self.dispatch(after, bead)?;
            }
            if let ActionKind::CreateLandingMr(made) = &action.kind {
                let landing = (made.convoy_id.clone(), made.rig_id.clone());
                let count = one_more(&mut self.landings, landing);
                let limit = after.policy().landing_attempts;
                if count > limit && !helped.contains(&made.convoy_id) {
                    return Err(format!(
                        "P15: {} lands for the {count}th time",
                        made.convoy_id
                    ));
                }
            }
            if let ActionKind::MergePr(merge) = &action.kind
                && let Some(mr) = before.bead(&merge.bead_id)
            {
                self.merge(before, mr, helped)?;
            }
        }
        self.beads(before, after, helped)
    }

    fn dispatch(&mut self, town: &Town, bead: &Bead) -> Result<(), String> {
        let root = bead.lineage();
        let count = one_more(&mut self.dispatches, root.clone());
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
    fn merge(&mut self, town: &Town, mr: &Bead, helped: &BTreeSet<BeadId>) -> Result<(), String> {
        let Some(review) = mr.review() else {
            return Ok(());
        };
        if let Some(attempt) = &review.auto_merge.attempt {
            return Err(format!(
                "P9: {} is merged while {attempt:?} is under way",
                mr.id
            ));
        }
        let head = review.head_sha.clone();
        self.merges
            .retain(|(id, other), _| *id != mr.id || *other == head);
        let count = one_more(&mut self.merges, (mr.id.clone(), head));
        if count > town.policy().merge_refusal_limit && !helped.contains(&mr.id) {
            return Err(format!("P15: {} is merged for the {count}th time", mr.id));
        }
        Ok(())
    }

    /// Repairs that were made for reviews.
    pub(super) fn beads(
        &mut self,
        before: &Town,
        after: &Town,
        helped: &BTreeSet<BeadId>,
    ) -> Result<(), String> {
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
            let count = one_more(&mut self.repairs, (mr.clone(), label));
            // A conflict and a head that is out of date are two causes with one label.
            let causes = if label == "gt:pr-conflict" { 2 } else { 1 };
            let limit = after.policy().repair_rounds.saturating_mul(causes);
            if count > limit && !helped.contains(mr) {
                return Err(format!("P15: {mr} has {count} beads with {label}"));
            }
        }
        Ok(())
    }
}
