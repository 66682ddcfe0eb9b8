//! Whether a bead waits for a person, by itself or through what it waits for (P8).

use std::collections::BTreeSet;

use gastown_core::{BeadId, Timestamp, Town, WaitFor, waits_for};

/// Whether a bead waits for a person, or for a bead that does: what goes first in a rig may itself
/// wait for somebody. Beads that wait for each other wait for nobody.
pub(crate) fn ends_at_a_person(town: &Town, now: Timestamp, bead: &BeadId) -> bool {
    let mut seen = BTreeSet::from([bead.clone()]);
    let mut ahead = vec![bead.clone()];
    while let Some(next) = ahead.pop() {
        for wait in waits_for(town, now, &next) {
            match wait.kind {
                WaitFor::Person => return true,
                WaitFor::Bead => {
                    let on = wait.id.and_then(|id| BeadId::new(id).ok());
                    ahead.extend(on.filter(|on| seen.insert(on.clone())));
                }
                WaitFor::Agent | WaitFor::Forge | WaitFor::Time | WaitFor::Condition => {}
            }
        }
    }
    false
}
