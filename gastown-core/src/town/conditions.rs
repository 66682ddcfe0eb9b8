//! Which conditions hold for a pull request (spec 1.8).

use super::Town;
use crate::condition::{Condition, ConditionSubject};
use crate::ids::BeadId;
use crate::time::Timestamp;

impl Town {
    /// The conditions that are about an MR bead: those of the town, and those of its rig.
    pub(crate) fn conditions_of(&self, mr: &BeadId) -> impl Iterator<Item = &Condition> {
        let rig = self
            .bead(mr)
            .and_then(|bead| self.rig_of_review(bead))
            .map(|rig| rig.id.clone());
        self.conditions()
            .filter(move |condition| match &condition.subject {
                ConditionSubject::Town => true,
                ConditionSubject::Rig(id) => Some(id) == rig.as_ref(),
            })
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
