//! P15 of one step: whatever the engine does once more costs something of a budget, and no budget is
//! exceeded. A state is visited once, whichever path leads to it, so what a whole path cost can't be
//! counted; but what costs something at each turn is not done for ever. And I9 of what a pass asks for.

use std::collections::BTreeMap;

use gastown_core::{Action, ActionKind, Bead, BeadId, BreakerState, Review, Town};

use crate::budgets::{no_merge_beside, probe_is_allowed};
use crate::laws::has_no_stand_in;

/// Of a pass: what it sends agents, landings and merges for.
pub(super) fn of_a_pass(before: &Town, actions: &[Action], after: &Town) -> Result<(), String> {
    let probing = before.state().breaker.state != BreakerState::Closed;
    let mut dispatches: BTreeMap<&BeadId, u32> = BTreeMap::new();
    for action in actions {
        match &action.kind {
            ActionKind::DispatchAgent(dispatch) if !probing => {
                if let Some(bead) = after.bead(&dispatch.bead_id) {
                    *dispatches.entry(bead.lineage()).or_default() += 1;
                }
            }
            ActionKind::CreateLandingMr(made) => {
                let attempts = |town: &Town| {
                    let convoy = town.bead(&made.convoy_id).and_then(Bead::convoy);
                    convoy.map_or(0, |convoy| convoy.landing_of(&made.rig_id).attempts)
                };
                let (had, has) = (attempts(before), attempts(after));
                if has <= had || has > before.policy().landing_attempts {
                    let convoy = &made.convoy_id;
                    return Err(format!(
                        "P15: a landing of {convoy} took it from {had} to {has}"
                    ));
                }
            }
            ActionKind::MergePr(merge) => {
                let mr = before.bead(&merge.bead_id);
                mr.map_or(Ok(()), no_merge_beside)?;
                let review = mr.and_then(Bead::review);
                let refusals = review.map_or(0, |review| review.auto_merge.refusals);
                if refusals >= before.policy().refusals_max() {
                    let mr = &merge.bead_id;
                    return Err(format!("P15: {mr} is merged after {refusals} refusals"));
                }
            }
            ActionKind::VerifyMerge(verify) => has_no_stand_in(before, verify)?,
            ActionKind::ProbeBreaker(_) => probe_is_allowed(before, after)?,
            _ => {}
        }
    }
    for (root, count) in dispatches {
        let (had, has) = (before.lineage(root), after.lineage(root));
        if has.used < had.used + count {
            return Err(format!("P15: a dispatch cost the line of {root} nothing"));
        }
        if has.used > after.policy().lineage_dispatches + has.granted {
            let used = has.used;
            return Err(format!(
                "P15: the line of {root} has used {used} dispatches"
            ));
        }
    }
    of_a_step(before, after)
}

/// Of any step: a repair that is made is a round of its review, and a merge that came to nothing is a
/// refusal of its head (the forge of the search is never in trouble).
pub(super) fn of_a_step(before: &Town, after: &Town) -> Result<(), String> {
    let limit = after.policy().repair_rounds;
    let mut repairs: BTreeMap<&BeadId, u32> = BTreeMap::new();
    for bead in after.live_beads() {
        if before.bead(&bead.id).is_none()
            && let Some(mr) = after.repaired_mr(bead)
        {
            *repairs.entry(mr).or_default() += 1;
        }
        // What came of a head that is gone says nothing of the one that there is.
        if let Some((had, has)) = reviews(before, after, &bead.id)
            && let Some(attempt) = &had.auto_merge.attempt
            && has.auto_merge.attempt.is_none()
            && (has.head_sha.as_ref()).is_some_and(|head| *head == attempt.head_sha)
            && has.merge_commit.is_none()
            && has.auto_merge.refusals <= had.auto_merge.refusals
        {
            let mr = &bead.id;
            return Err(format!("P15: a merge of {mr} came to nothing at no cost"));
        }
    }
    for (mr, made) in repairs {
        let Some((had, has)) = reviews(before, after, mr) else {
            continue;
        };
        let (had, has) = (rounds(had), rounds(has));
        let cost = has.iter().sum::<u32>().saturating_sub(had.iter().sum());
        if cost < made || has.iter().any(|count| *count > limit) {
            return Err(format!(
                "P15: {made} repairs took the rounds of {mr} from {had:?} to {has:?}"
            ));
        }
    }
    Ok(())
}

fn reviews<'a>(before: &'a Town, after: &'a Town, mr: &BeadId) -> Option<(&'a Review, &'a Review)> {
    let review = |town: &'a Town| town.bead(mr).and_then(Bead::review);
    Some((review(before)?, review(after)?))
}

fn rounds(review: &Review) -> [u32; 4] {
    let made = &review.repair_rounds;
    [made.feedback, made.conflict, made.behind, made.rework]
}
