//! Whether a review has come to rest with people (P8), judged by what its pull request really is.

use std::collections::BTreeMap;

use gastown_core::{
    AutoMergeDelay, Bead, BeadId, BeadStatus, BreakerState, ExplainedWait, ReasonCode, Timestamp,
    Town, WaitFor, Work, waits_for,
};

/// Whose turn it is on a pull request, as it really is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Somebody has to approve, to answer, or to look after its checks.
    People,
    /// The engine's: to have it reviewed, and to merge it.
    ToMerge,
    /// The engine's: to have it repaired.
    ToRepair,
    /// The engine's: to see that it has ended, or is not there. Whoever holds it, and whatever anybody
    /// was told, looks go on.
    Ended,
    /// The people's, who have to be told so: it was merged, and is that of other work.
    OfOthers,
}

/// Says of a review and its pull request whose turn it is.
pub(crate) type TurnOf<'a> = &'a dyn Fn(&Bead, &str) -> Turn;

/// What ends the engine's work on a bead until a person has done something, once the person was told.
/// Whatever else a bead was told of happened once, or goes on by itself.
const STOPS: [ReasonCode; 5] = [
    ReasonCode::LineageSpent,
    ReasonCode::NoRig,
    ReasonCode::MrWithoutRig,
    ReasonCode::PrIdentity,
    ReasonCode::MergeUnverified,
];
/// What keeps the engine from merging a head; from repairing it only a repair of it that failed does.
pub(crate) const KEEPS_OFF: [ReasonCode; 3] = [
    ReasonCode::MergeRefused,
    ReasonCode::Dequeued,
    ReasonCode::RepairFailed,
];
/// What ends repairs, but is no reason not to merge what is ready.
const STOPS_REPAIRS: [ReasonCode; 2] = [ReasonCode::RepairRoundsSpent, ReasonCode::MergeConflict];
/// What stops beads without a pull request.
const STOPS_OTHERS: [ReasonCode; 4] = [
    ReasonCode::BlockedByFailed,
    ReasonCode::ConvoyEmpty,
    ReasonCode::SomeFailed,
    ReasonCode::BranchFailed,
];

/// Live beads on which somebody works: issues and reviews.
pub(crate) fn live_work(town: &Town) -> impl Iterator<Item = &Bead> {
    town.live_beads()
        .filter(|bead| bead.review().is_some() || bead.work().is_some())
}

/// Judges whether beads wait for a person who knows, or for a bead that does: what goes first in a
/// rig may itself wait for somebody. Beads that wait for each other wait for nobody.
///
/// The people of an open pull request are waited for only where it is not the engine's turn: that
/// nothing happens on it is no excuse for not merging what is ready.
pub(crate) struct Resting<'a> {
    town: &'a Town,
    now: Timestamp,
    turn_of: TurnOf<'a>,
    /// The answer for each bead; none of those on the way there waits for somebody by itself.
    known: BTreeMap<BeadId, bool>,
}

impl<'a> Resting<'a> {
    pub(crate) fn of(town: &'a Town, now: Timestamp, turn_of: TurnOf<'a>) -> Self {
        Self {
            town,
            now,
            turn_of,
            known: BTreeMap::new(),
        }
    }

    /// Whether a bead has come to rest with people.
    ///
    /// An answer within a cycle is that of the bead at which it was entered, so each bead is asked
    /// about anew.
    pub(crate) fn has(&mut self, bead: &Bead) -> bool {
        self.known.clear();
        self.rests(bead)
    }

    fn rests(&mut self, bead: &Bead) -> bool {
        if let Some(rests) = self.known.get(&bead.id) {
            return *rests;
        }
        self.known.insert(bead.id.clone(), false);
        let rests = self.judge(bead);
        self.known.insert(bead.id.clone(), rests);
        rests
    }

    fn judge(&mut self, bead: &Bead) -> bool {
        let url = bead.review().and_then(|review| review.pr_url.as_deref());
        let turn = url.map(|url| (self.turn_of)(bead, url));
        match turn {
            Some(Turn::Ended) => return false,
            Some(Turn::OfOthers) => return bead.told.contains_key(&ReasonCode::PrIdentity),
            _ => {}
        }
        if is_kept_by_a_person(self.town, bead, turn) || is_stopped(self.town, bead, turn) {
            return true;
        }
        let waits = waits_for(self.town, self.now, &bead.id);
        let by_bead: Vec<bool> = waits
            .iter()
            .filter(|wait| wait.kind == WaitFor::Bead)
            .map(|wait| self.is_behind(wait))
            .collect();
        let waits_for_kind = |kind: WaitFor| waits.iter().filter(move |wait| wait.kind == kind);
        match turn {
            Some(Turn::Ended | Turn::OfOthers) => false,
            Some(Turn::ToMerge) => people_merge(self.town, bead) || by_bead.contains(&true),
            Some(Turn::ToRepair) => by_bead.contains(&true),
            // Its people are waited for, unless an agent can work on it.
            Some(Turn::People) if by_bead.is_empty() => {
                waits_for_kind(WaitFor::Agent).next().is_none()
            }
            Some(Turn::People) => !by_bead.contains(&false),
            None => {
                // Who ends a convoy leaves its issues, and their reviews, without a branch that somebody lands.
                let issue = self.town.source_of(bead).unwrap_or(&bead.id);
                let convoy = self.town.convoy_of(issue);
                let by_its_end = convoy.is_some_and(|convoy| !convoy.is_live())
                    && waits_for_kind(WaitFor::Person).next().is_some();
                by_its_end || by_bead.contains(&true)
            }
        }
    }

    fn is_behind(&mut self, wait: &ExplainedWait) -> bool {
        let other = wait.id.as_ref().and_then(|id| BeadId::new(id).ok());
        let town = self.town;
        other
            .and_then(|id| town.bead(&id))
            .is_some_and(|other| self.rests(other))
    }
}

/// By their settings, people merge what is ready.
fn people_merge(town: &Town, mr: &Bead) -> bool {
    let settings = town.settings_of_review(mr);
    !settings.auto_merge || settings.auto_merge_delay == AutoMergeDelay::Never
}

/// A person's own command makes it wait, or the breaker does, all probes made, if an agent is needed.
fn is_kept_by_a_person(town: &Town, bead: &Bead, turn: Option<Turn>) -> bool {
    let is_held = |bead: &Bead| bead.held;
    let source = town.source_of(bead).and_then(|id| town.bead(id));
    let is_staged = |bead: &Bead| bead.convoy().is_some_and(|convoy| convoy.staged);
    let breaker = &town.state().breaker;
    let probed_out = breaker.state == BreakerState::Open
        && breaker.told_at.is_some()
        && breaker.probes >= town.policy().probe_limit
        && !breaker.probe_asked;
    is_held(bead)
        || source.is_some_and(is_held)
        || is_staged(bead)
        || town
            .convoy_of(town.source_of(bead).unwrap_or(&bead.id))
            .is_some_and(is_staged)
        || (probed_out && needs_an_agent(town, bead, turn))
}

/// A pull request that is ready and reviewed needs none.
fn needs_an_agent(town: &Town, bead: &Bead, turn: Option<Turn>) -> bool {
    let review = bead.review().filter(|_| turn == Some(Turn::ToMerge));
    review.is_none_or(|review| {
        let passed = review.reviewed.as_ref().map(|reviewed| &reviewed.head_sha);
        let is_passed = passed.is_some_and(|head| head.as_ref() == review.head_sha.as_ref());
        town.settings_of_review(bead).code_review && !is_passed
    })
}

/// A person was told of what ends the engine's work on it.
fn is_stopped(town: &Town, bead: &Bead, turn: Option<Turn>) -> bool {
    let told = |codes: &[ReasonCode]| codes.iter().any(|code| bead.told.contains_key(code));
    let is_off = turn != Some(Turn::ToRepair) || a_repair_failed(town, bead);
    told(&STOPS)
        || (is_off && told(&KEEPS_OFF))
        || (turn != Some(Turn::ToMerge) && told(&STOPS_REPAIRS))
        || (turn.is_none() && told(&STOPS_OTHERS))
}

/// A repair of the head of a review failed: no other is made for it (spec 4.4, 5 and 8).
pub(crate) fn a_repair_failed(town: &Town, mr: &Bead) -> bool {
    let head = mr.review().and_then(|review| review.head_sha.as_deref());
    let repairs = town.repairs_of(&mr.id);
    repairs.iter().any(|repair| {
        let is_of_a_head = matches!(
            repair.work(),
            Some(Work::PrFeedback(_) | Work::PrConflict(_))
        );
        is_of_a_head
            && repair.status == BeadStatus::Failed
            && repair.work().and_then(Work::head_sha) == head
    })
}
