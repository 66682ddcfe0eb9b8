//! P10: whether a town that was loaded is the one that was held.

use gastown_core::{Bead, BeadId, Edge, Town};

/// Whether all that is live of a town that was held, and of what it belongs to, was loaded. What
/// ended leaves the working set, and its edges with it.
pub(crate) fn is_what_was_held(held: &Town, loaded: &Town) -> bool {
    held.live_beads().eq(loaded.live_beads())
        && held.state() == loaded.state()
        && held.agents().eq(loaded.agents())
        && held.rigs().eq(loaded.rigs())
        && held.nudges().eq(loaded.nudges())
        && held.conditions().eq(loaded.conditions())
        && live_edges(held).eq(live_edges(loaded))
        && held
            .live_beads()
            .all(|bead| held.lineage(bead.lineage()) == loaded.lineage(bead.lineage()))
}

fn live_edges(town: &Town) -> impl Iterator<Item = &Edge> {
    let is_live = |id: &BeadId| town.bead(id).is_some_and(Bead::is_live);
    town.edges()
        .filter(move |edge| is_live(&edge.bead_id) || is_live(&edge.depends_on))
}
