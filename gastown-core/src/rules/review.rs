//! Rules of reviews: recovering them (spec 3.4) and watching pull requests (spec 3.10).

mod abandoned;
mod fast_track;
mod merge;
mod merge_overdue;
mod no_pr;
mod poll;
mod repair_failed;
mod repair_orphan;
mod rework_failed;
mod serial;
mod source_gone;
mod stuck;
mod unreviewed;
mod verify;
mod waiting;

use super::Rule;

use crate::bead::{Bead, BeadStatus};
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

pub(super) const WATCH: &[Rule] = &[
    poll::RULE,
    merge::RULE,
    verify::RULE,
    merge_overdue::RULE,
    waiting::RULE,
];

/// The live review of a pull request.
fn live_pull_request(mr: &Bead) -> Option<(&Review, &str)> {
    let review = mr.review()?;
    Some((review, review.pr_url.as_deref()?)).filter(|_| mr.is_live())
}

/// The review of a direct merge that a refinery has in hand: begun, without a pull request.
/// One under verification is left alone: its refinery has said its word (spec 3.4).
fn direct_in_hand(mr: &Bead) -> Option<&Review> {
    let review = mr.review()?;
    let in_hand = is_begun(mr) && review.pr_url.is_none() && review.verify.is_none();
    in_hand.then_some(review)
}

/// A refinery began with it. No rule and no command makes an MR bead `in_review`; one that was
/// loaded so goes the way of those in progress, or nothing would ever move it.
pub(super) fn is_begun(mr: &Bead) -> bool {
    matches!(mr.status, BeadStatus::InProgress | BeadStatus::InReview)
}
