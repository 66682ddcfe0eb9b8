//! What the engine may do in a town, judged without its own verdicts.

use gastown_core::actions::DispatchAgent;
use gastown_core::forges::{ChecksState, Decision};
use gastown_core::{
    Bead, BeadId, BeadStatus, EdgeKind, FailedBlocker, Observation, Settings, Town,
};

use crate::sim::Held;

/// What a look that is green by itself leaves open: which checks and approvals the settings demand,
/// whether it is this review's pull request, and what the town waits for first.
pub(super) fn is_wrong(
    town: &Town,
    mr: &Bead,
    look: &Observation,
    settings: &Settings,
) -> Option<&'static str> {
    let review = mr.review()?;
    let said = look.feedback.as_ref()?;
    let approved = said.decision == Some(Decision::Approved);
    let is_live = |id: &BeadId| town.bead(id).is_some_and(Bead::is_live);
    if look.head_branch != review.branch || look.base_branch != review.target_branch {
        Some("it is of other branches")
    } else if settings.require_checks && said.checks.state == ChecksState::None {
        Some("nothing checked it")
    } else if settings.require_fresh_approval
        && approved
        && said.decision_head.as_ref() != Some(&look.head_sha)
    {
        Some("another head was approved")
    } else if town.depends_on(&mr.id, EdgeKind::Blocks).any(is_live) {
        Some("it waits for another bead")
    } else {
        None
    }
}

/// 2.1: nobody is sent to what a person holds, nor to merge it.
pub(super) fn nothing_holds(town: &Town, dispatch: &DispatchAgent) -> Held {
    let Some(bead) = town.bead(&dispatch.bead_id) else {
        return Ok(());
    };
    let is_direct = bead.review().is_some_and(|review| review.pr_url.is_none())
        && town.is_direct(bead, &town.settings_of_review(bead));
    let source = town.source_of(bead).and_then(|id| town.bead(id));
    let merged = source.filter(|_| is_direct);
    let mut asked = [Some(bead), merged].into_iter().flatten();
    match asked.find(|bead| bead.held) {
        None => Ok(()),
        Some(held) => Err(format!(
            "2.1: {} was dispatched and {} is held",
            bead.id, held.id
        )),
    }
}

/// 1.7: what is dispatched builds on nothing that is live or, with policy `block`, has failed.
pub(super) fn nothing_blocks(town: &Town, dispatch: &DispatchAgent) -> Held {
    let Some(bead) = town.bead(&dispatch.bead_id) else {
        return Ok(());
    };
    // What a failed repair means for its review has rules of its own.
    let failure_blocks =
        bead.work().is_some() && town.policy().failed_blocker == FailedBlocker::Block;
    let holds = |blocker: &Bead| {
        blocker.is_live() || (failure_blocks && blocker.status == BeadStatus::Failed)
    };
    let mut blockers = town
        .depends_on(&dispatch.bead_id, EdgeKind::Blocks)
        .filter_map(|id| town.bead(id));
    match blockers.find(|blocker| holds(blocker)) {
        None => Ok(()),
        Some(blocker) => Err(format!(
            "1.7: {} was dispatched and builds on {}, which is {}",
            dispatch.bead_id,
            blocker.id,
            blocker.status.as_str()
        )),
    }
}
