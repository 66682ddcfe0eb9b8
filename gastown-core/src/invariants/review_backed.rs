//! I4 review-backed: an in_review issue has a live MR bead that tracks it, or is within
//! settled_review_grace; heals.

use alloc::format;
use alloc::vec::Vec;

use super::Violation;
use crate::bead::BeadStatus;
use crate::time::Timestamp;
use crate::town::Town;

pub(super) fn check(town: &Town, now: Timestamp, out: &mut Vec<Violation>) {
    for issue in town
        .live_beads()
        .filter(|bead| bead.status == BeadStatus::InReview)
    {
        let backed = town.reviews_of(&issue.id).iter().any(|mr| mr.is_live());
        let until = issue
            .in_status_since()
            .stale_at(town.policy().settled_review_grace);
        if issue.work().is_some() && !backed && now >= until {
            let message = format!("{} is in review, but nothing reviews it", issue.id);
            out.push(Violation::new("I4", [&issue.id], message));
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::violations;

    #[test]
    fn i4_at_and_over_the_grace() {
        let town = "bead b1 issue in_review status_changed_at=-5m";
        assert!(!violations(town, "0s").contains("I4"));
        assert!(violations(town, "1ms").contains("I4 b1"));
        let backed =
            std::format!("{town}\nbead m1 merge_request open review.source=b1\nedge m1 tracks b1");
        assert!(!violations(&backed, "1ms").contains("I4"));
    }
}
