//! Lines of work and their budgets (spec 1.4, 3.6).

use serde::{Deserialize, Serialize};

use super::Town;
use crate::bead::Bead;
use crate::ids::BeadId;

/// The dispatches of one line of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Lineage {
    /// Dispatches so far.
    pub used: u32,
    /// What a person granted on top of the policy.
    pub granted: u32,
}

impl Town {
    /// The budget of the line of work that `root` started.
    #[must_use]
    pub fn lineage(&self, root: &BeadId) -> Lineage {
        self.lineages.get(root).copied().unwrap_or_default()
    }

    /// All lines of work that were dispatched, by root.
    pub fn lineages(&self) -> impl Iterator<Item = (&BeadId, Lineage)> {
        self.lineages.iter().map(|(root, lineage)| (root, *lineage))
    }

    /// Whether every dispatch that the line of work of `bead` allows was made.
    #[must_use]
    pub fn lineage_spent(&self, bead: &Bead) -> bool {
        self.dispatches_left(bead) == 0
    }

    /// How many dispatches the line of work of `bead` has left.
    pub(crate) fn dispatches_left(&self, bead: &Bead) -> u32 {
        let lineage = self.lineage(bead.lineage());
        let budget = self.policy().lineage_dispatches;
        budget
            .saturating_add(lineage.granted)
            .saturating_sub(lineage.used)
    }

    pub(crate) fn edit_lineage(&mut self, root: &BeadId, edit: impl FnOnce(&mut Lineage)) {
        edit(self.lineages.entry(root.clone()).or_default());
        self.changes.touch_lineage(root);
    }

    pub(crate) fn insert_lineage(&mut self, root: BeadId, lineage: Lineage) {
        self.changes.touch_lineage(&root);
        self.lineages.insert(root, lineage);
    }
}
