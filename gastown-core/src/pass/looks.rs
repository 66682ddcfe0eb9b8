//! Who may look at pull requests while looks are scarce: planned once per pass (spec 3.10).

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::time::Duration;

use crate::bead::Bead;
use crate::condition::{Condition, ConditionKind, ConditionSubject};
use crate::ids::{BeadId, RigId};
use crate::pass::{Due, Pass};
use crate::review::{Review, Seen};
use crate::time::Timestamp;

/// Requests that one look with feedback may take.
const REQUESTS_PER_LOOK: u64 = 8;
/// The longest that a report of a used-up budget holds looks back.
const BUDGET_MAX: Duration = Duration::from_secs(3600);

/// Looks that are scarce.
#[derive(Debug, Default)]
pub(crate) struct Looks {
    probes: BTreeMap<(ConditionKind, ConditionSubject), BeadId>,
    held_back: BTreeMap<BeadId, HeldBack>,
}

/// A pull request whose look waits for a new budget.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HeldBack {
    /// When the budget was reported.
    pub(crate) since: Timestamp,
    /// When there is a new one.
    pub(crate) until: Timestamp,
}

impl Looks {
    pub(super) fn of(pass: &Pass<'_>) -> Self {
        let town = pass.town;
        let mut sharing: BTreeMap<Option<&RigId>, Vec<&Bead>> = BTreeMap::new();
        for mr in town.live_pull_requests() {
            let rig = town.rig_of_review(mr).map(|rig| &rig.id);
            sharing.entry(rig).or_default().push(mr);
        }
        let held_back: BTreeMap<BeadId, HeldBack> =
            sharing.into_values().flat_map(held_back).collect();
        let probes = town
            .conditions()
            .filter(|condition| condition.holds() && condition.kind.holds_polls())
            .filter_map(|condition| {
                let probe = probe_of(pass, condition, &held_back)?;
                Some(((condition.kind, condition.subject.clone()), probe))
            })
            .collect();
        Self { probes, held_back }
    }

    /// The pull request that probes whether a condition still holds.
    pub(crate) fn probe_of(&self, condition: &Condition) -> Option<&BeadId> {
        let key = (condition.kind, condition.subject.clone());
        self.probes.get(&key)
    }

    /// Until when the look at a pull request waits for a new budget.
    pub(crate) fn held_back(&self, mr: &BeadId) -> Option<HeldBack> {
        self.held_back.get(mr).copied()
    }
}

impl Pass<'_> {
    /// Until when the answer to the last look is waited for; none: it is there. To ask again makes what is
    /// under way an older look, so that answers slower than the interval would never be heard.
    pub(crate) fn answer_due(&self, review: &Review) -> Option<Timestamp> {
        let asked_at = review.look_under_way()?;
        Some(asked_at.stale_at(self.policy().merge_outcome_timeout))
    }
}

/// The pull request not looked at for the longest time, so that no single one decides; but one that
/// something else keeps from being looked at probes only where nothing is free before it.
fn probe_of(
    pass: &Pass<'_>,
    probed: &Condition,
    held_back: &BTreeMap<BeadId, HeldBack>,
) -> Option<BeadId> {
    let probe = pass
        .town
        .pull_requests_under(&probed.subject)
        .into_iter()
        .min_by_key(|mr| {
            let last = mr.review().and_then(|review| review.poll.last_at);
            let kept_until = kept_back_until(pass, mr, probed, held_back.get(&mr.id));
            (kept_until, last, &mr.id)
        });
    probe.map(|probe| probe.id.clone())
}

/// Until when another condition, a budget, or a look that is under way keeps a pull request from being
/// looked at; none: it is not.
fn kept_back_until(
    pass: &Pass<'_>,
    mr: &Bead,
    probed: &Condition,
    held: Option<&HeldBack>,
) -> Option<Timestamp> {
    let others = pass.town.conditions_of(&mr.id).filter(|condition| {
        condition.kind.holds_polls()
            && (condition.kind, &condition.subject) != (probed.kind, &probed.subject)
    });
    let answer_due = mr.review().and_then(|review| pass.answer_due(review));
    others
        .filter_map(|condition| condition.next_probe_at.max(condition.until))
        .chain(held.map(|held| held.until))
        .chain(answer_due)
        .filter(|until| matches!(pass.reached(*until), Due::At(_)))
        .max()
}

/// Of pull requests that share a budget, those for which too little of it is left: those nearest
/// a decision go first.
fn held_back(mut sharing: Vec<&Bead>) -> BTreeMap<BeadId, HeldBack> {
    let latest: Option<(&Bead, &Seen)> = sharing
        .iter()
        .filter_map(|mr| Some((*mr, mr.review()?.observation.as_ref()?)))
        .filter(|(_, seen)| seen.observation.api_budget.is_some())
        .max_by_key(|(_, seen)| seen.at);
    let Some((reporter, seen)) = latest else {
        return BTreeMap::new();
    };
    let Some(budget) = seen.observation.api_budget else {
        return BTreeMap::new();
    };
    let looks_left = budget.remaining.checked_div(REQUESTS_PER_LOOK).unwrap_or(0);
    // Looks since the report are taken off it, else the next pull requests would have them again.
    let spent = sharing
        .iter()
        .filter(|mr| looked_at_since(mr, seen.at, mr.id == reporter.id))
        .count();
    let looks_left = usize::try_from(looks_left)
        .unwrap_or(usize::MAX)
        .saturating_sub(spent);
    let held = HeldBack {
        since: seen.at,
        until: budget.resets_at.min(seen.at.plus(BUDGET_MAX)),
    };
    sharing.sort_by_key(|mr| nearness(mr));
    let ids: BTreeSet<&BeadId> = sharing.iter().skip(looks_left).map(|mr| &mr.id).collect();
    ids.into_iter().map(|id| (id.clone(), held)).collect()
}

/// Whether a look was asked for after a report of the budget; the report's own came before it.
fn looked_at_since(mr: &Bead, report: Timestamp, is_reporter: bool) -> bool {
    let last = mr.review().and_then(|review| review.poll.last_at);
    last.is_some_and(|last| last > report || last == report && !is_reporter)
}

/// How near a pull request is to a decision; the least is nearest.
fn nearness(mr: &Bead) -> (bool, bool, bool, Option<Timestamp>, BeadId) {
    let review = mr.review();
    let merging = review
        .is_some_and(|review| review.auto_merge.pending || review.auto_merge.attempt.is_some());
    let ready = review.is_some_and(|review| review.auto_merge.ready_since.is_some());
    let due = review.is_some_and(|review| review.poll.due_now);
    let last = review.and_then(|review| review.poll.last_at);
    (!merging, !ready, !due, last, mr.id.clone())
}
