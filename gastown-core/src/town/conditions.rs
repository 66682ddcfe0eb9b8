//! Which conditions hold for a pull request (spec 1.8).

use alloc::vec::Vec;

use super::Town;
use crate::bead::Bead;
use crate::condition::{Condition, ConditionKind, ConditionSubject};
use crate::ids::{BeadId, RigId};
use crate::time::Timestamp;

impl Town {
    /// The conditions that hold and are about an MR bead: those of the town, and those of its rig
    /// (spec 1.8).
    pub fn conditions_of(&self, mr: &BeadId) -> impl Iterator<Item = &Condition> {
        let rig = self.bead(mr).and_then(|bead| self.rig_of_review(bead));
        self.conditions_around(rig.map(|rig| &rig.id))
    }

    /// The conditions that hold around a rig, or around what has none: those explain that agents can't be
    /// started (spec 3.6).
    pub(crate) fn conditions_around<'a>(
        &'a self,
        rig: Option<&'a RigId>,
    ) -> impl Iterator<Item = &'a Condition> {
        self.conditions()
            .filter(|condition| condition.holds())
            .filter(move |condition| condition.subject.covers(rig))
    }

    /// The condition that keeps the pull request of a review from being looked at, but for its probe.
    pub(crate) fn polls_are_held_by(&self, mr: &BeadId) -> Option<&Condition> {
        self.conditions_of(mr)
            .find(|condition| condition.kind.holds_polls())
    }

    /// Whether a condition that holds keeps a review from being merged.
    pub(crate) fn merges_are_held(&self, mr: &BeadId) -> bool {
        self.conditions_of(mr)
            .any(|condition| condition.kind.holds_merges())
    }

    /// The live pull requests that a condition is about, by priority, age and id.
    pub(crate) fn pull_requests_under(&self, subject: &ConditionSubject) -> Vec<&Bead> {
        self.live_pull_requests()
            .filter(|mr| subject.covers(self.rig_of_review(mr).map(|rig| &rig.id)))
            .collect()
    }

    /// Evidence ends a condition. One that a person was told of stays, without holding anything,
    /// until `conditions/end` has said that it is over.
    pub(crate) fn end_condition(
        &mut self,
        kind: ConditionKind,
        subject: &ConditionSubject,
        now: Timestamp,
    ) {
        let Some(condition) = self.condition(kind, subject) else {
            return;
        };
        let held = condition.holds();
        if condition.told_at.is_none() {
            self.remove_condition(kind, subject);
        } else if held {
            self.edit_condition(kind, subject, |condition| condition.ended_at = Some(now));
        }
        if held {
            self.attempts_go_on(kind, subject, now);
        }
    }

    /// No timeout of a merge was spent while a condition held (spec 1.8): what was under way is
    /// given its time from here on.
    pub(crate) fn attempts_go_on(
        &mut self,
        kind: ConditionKind,
        subject: &ConditionSubject,
        now: Timestamp,
    ) {
        if !kind.holds_merges() {
            return;
        }
        let mrs: Vec<BeadId> = self
            .pull_requests_under(subject)
            .into_iter()
            .filter(|mr| {
                mr.review()
                    .is_some_and(|it| it.auto_merge.attempt.is_some())
            })
            .map(|mr| mr.id.clone())
            .collect();
        for mr in mrs {
            self.edit_bead(&mr, |mr| {
                let attempt = mr
                    .review_mut()
                    .and_then(|review| review.auto_merge.attempt.as_mut());
                if let Some(attempt) = attempt {
                    attempt.at = now;
                }
            });
        }
    }

    /// A poll goes out: under a condition it is its probe, and the next one waits.
    pub(crate) fn probe_conditions_of(&mut self, mr: &BeadId, now: Timestamp) {
        let probed: alloc::vec::Vec<_> = self
            .conditions_of(mr)
            .filter(|condition| condition.kind.holds_polls())
            .map(|condition| (condition.kind, condition.subject.clone(), condition.strikes))
            .collect();
        for (kind, subject, strikes) in probed {
            let next = now.plus(self.policy().forge_pause(strikes.saturating_add(1)));
            self.edit_condition(kind, &subject, |condition| {
                condition.next_probe_at = Some(next)
            });
        }
    }
}
