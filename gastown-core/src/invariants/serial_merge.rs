//! I3 serial-merge: per rig at most one MR bead without pr_url is in_progress; heals.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::vec::Vec;

use super::Violation;
use crate::bead::BeadStatus;
use crate::ids::{BeadId, RigId};
use crate::time::Timestamp;
use crate::town::Town;

pub(super) fn check(town: &Town, _: Timestamp, out: &mut Vec<Violation>) {
    let mut merging: BTreeMap<&RigId, Vec<&BeadId>> = BTreeMap::new();
    for mr in town
        .live_beads()
        .filter(|bead| bead.status == BeadStatus::InProgress)
    {
        if mr.review().is_some_and(|review| review.pr_url.is_none())
            && let Some(rig) = town.rig_of_review(mr)
        {
            merging.entry(&rig.id).or_default().push(&mr.id);
        }
    }
    for (rig, reviews) in merging.into_iter().filter(|(_, reviews)| reviews.len() > 1) {
        let message = format!(
            "{} direct merges of rig {rig} are in progress",
            reviews.len()
        );
        out.push(Violation::new("I3", reviews, message));
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::violations;

    #[test]
    fn i3_direct_merges_run_one_by_one_and_pull_requests_side_by_side() {
        let town = "rig r1\nbead m1 merge_request in_progress rig_id=r1\nbead m2 merge_request in_progress rig_id=r1";
        assert!(violations(town, "0s").contains("I3 m1 m2: 2 direct merges of rig r1"));
        let with_pr = std::format!("{town} review.pr_url=https://github.com/acme/r1/pull/1");
        assert!(!violations(&with_pr, "0s").contains("I3"));
    }
}
