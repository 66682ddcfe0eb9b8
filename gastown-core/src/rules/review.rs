//! Rules of reviews: recovering them (spec 3.4) and watching pull requests (spec 3.10).

mod abandoned;
mod fast_track;
mod no_pr;
mod repair_failed;
mod repair_orphan;
mod rework_failed;
mod serial;
mod source_gone;
mod stuck;
mod unreviewed;
mod verify;

use super::Rule;
use crate::bead::{Bead, BeadStatus};
use crate::pass::Pass;
use crate::review::Review;

pub(super) const RECOVER: &[Rule] = &[
    source_gone::RULE,
    repair_orphan::RULE,
    rework_failed::RULE,
    repair_failed::RULE,
    serial::RULE,
    abandoned::RULE,
    stuck::RULE,
    unreviewed::RULE,
    no_pr::RULE,
    fast_track::RULE,
];

pub(super) const WATCH: &[Rule] = &[verify::RULE];

/// The review of a direct merge that a refinery has in hand: in progress, without a pull request.
/// One under verification is left alone: its refinery has said its word (spec 3.4).
fn direct_in_hand(mr: &Bead) -> Option<&Review> {
    let review = mr.review()?;
    let in_hand =
        mr.status == BeadStatus::InProgress && review.pr_url.is_none() && review.verify.is_none();
    in_hand.then_some(review)
}

/// The newest repair of an MR bead among those that `sort` picks.
fn newest_repair<'a>(
    pass: &Pass<'a>,
    mr: &Bead,
    sort: impl Fn(&crate::work::Work) -> bool,
) -> Option<&'a Bead> {
    pass.town
        .repairs_of(&mr.id)
        .into_iter()
        .filter(|repair| repair.work().is_some_and(&sort))
        .max_by_key(|repair| (repair.created_at, &repair.id))
}
