//! I5 convoy-state: total and closed match the edges; landed_at only when closed; ready_to_land
//! only when done; heals.

use alloc::format;
use alloc::vec::Vec;

use super::Violation;
use crate::bead::{Bead, BeadStatus};
use crate::convoy::Convoy;
use crate::time::Timestamp;
use crate::town::Town;

pub(super) fn check(town: &Town, _: Timestamp, out: &mut Vec<Violation>) {
    for bead in town.live_beads() {
        let Some(convoy) = bead.convoy() else {
            continue;
        };
        let issues = town.issues_of(&bead.id);
        let terminal = issues.iter().filter(|issue| !issue.is_live()).count();
        let mut note = |wrong: bool, message| {
            if wrong {
                out.push(Violation::new("I5", [&bead.id], message));
            }
        };
        note(
            (convoy.total as usize, convoy.closed as usize) != (issues.len(), terminal),
            format!(
                "counts {}/{} of {} issues, {terminal} of them terminal",
                convoy.closed,
                convoy.total,
                issues.len()
            ),
        );
        note(convoy.landed_at.is_some(), "landed, but not closed".into());
        note(
            convoy.ready_to_land && !is_done(town, convoy, &issues),
            "ready to land, but not done".into(),
        );
    }
}

/// At least one issue closed, all closed or (landing ordered) terminal, none under review
/// (spec 3.5).
pub(crate) fn is_done(town: &Town, convoy: &Convoy, issues: &[&Bead]) -> bool {
    issues
        .iter()
        .any(|issue| issue.status == BeadStatus::Closed)
        && issues.iter().all(|issue| match issue.status {
            BeadStatus::Closed => true,
            BeadStatus::Failed => convoy.landing_ordered,
            BeadStatus::Open | BeadStatus::InProgress | BeadStatus::InReview => false,
        })
        && !issues
            .iter()
            .any(|issue| town.reviews_of(&issue.id).iter().any(|mr| mr.is_live()))
}

#[cfg(test)]
mod tests {
    use crate::testing::violations;

    #[test]
    fn i5_counts_match_the_edges() {
        let town = "bead c1 convoy open\nbead b1 issue closed\nedge b1 tracks c1";
        assert!(
            violations(town, "0s").contains("I5 c1: counts 0/0 of 1 issues, 1 of them terminal")
        );
        let right = town.replace(
            "convoy open",
            "convoy open convoy.total=1 convoy.closed=1 convoy.ready_to_land=true",
        );
        assert!(!violations(&right, "0s").contains("I5"));
        let live = right.replace("issue closed", "issue open");
        assert!(violations(&live, "0s").contains("ready to land, but not done"));
    }
}
