//! Rules of the group `triage` (spec 3.8).

mod batch;
mod escalate;
mod moot;

use alloc::format;
use alloc::string::String;

use super::Rule;
use crate::bead::Bead;
use crate::pass::Pass;
use crate::time::Timestamp;
use crate::town::Town;
use crate::work::{TriageRequest, Work};

pub(super) const RULES: &[Rule] = &[moot::RULE, batch::RULE, escalate::RULE];

/// The triage request that a bead is.
fn request_of(bead: &Bead) -> Option<&TriageRequest> {
    match bead.work()? {
        Work::TriageRequest(request) => Some(request),
        Work::Plain
        | Work::Rework(_)
        | Work::PrFeedback(_)
        | Work::PrConflict(_)
        | Work::PrFixup(_)
        | Work::TriageBatch
        | Work::MoleculeStep => None,
    }
}

/// The live batch of the patrol.
fn live_batch(town: &Town) -> Option<&Bead> {
    town.live_beads().find(|bead| Town::is_patrol_batch(bead))
}

/// When the last batch ended: as it was recorded, or as a batch that is still known shows.
fn last_ended(town: &Town) -> Option<Timestamp> {
    let known = town
        .beads()
        .filter(|bead| !bead.is_live() && Town::is_patrol_batch(bead))
        .map(|batch| batch.closed_at.unwrap_or_else(|| batch.in_status_since()))
        .max();
    town.state().triage_ended_at.max(known)
}

/// Whether what a request is about has ended. A terminal bead that nothing live refers to leaves
/// the working set, so one that is gone counts as ended.
fn is_moot(town: &Town, request: &TriageRequest) -> bool {
    let about = request.hooked_bead_id.as_ref();
    about.is_some_and(|id| !town.bead(id).is_some_and(Bead::is_live))
}

/// Whether a batch has nothing to judge, because what its requests are about has ended: an agent
/// that is sent to it would be stopped at once.
pub(crate) fn is_idle_batch(pass: &Pass<'_>, bead: &Bead) -> bool {
    let to_judge =
        |bead: &Bead| request_of(bead).is_some_and(|request| !is_moot(pass.town, request));
    Town::is_patrol_batch(bead) && !pass.town.live_beads().any(to_judge)
}

/// Why no further batch carries a request: as many did as the policy allows, or its line of work
/// has no dispatch left, of which each batch is one.
fn is_spent(pass: &Pass<'_>, bead: &Bead, request: &TriageRequest) -> Option<String> {
    let carries = request.carries;
    if carries >= pass.policy().triage_carries {
        return Some(format!(
            "{carries} batches carried it and did not resolve it"
        ));
    }
    let is_line_spent = pass.town.lineage_spent(bead);
    is_line_spent.then(|| "its line of work has no dispatch left".into())
}
