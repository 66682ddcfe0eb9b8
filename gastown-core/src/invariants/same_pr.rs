//! I14 same-pr: a stored pr_url names the rig's repository, where a rig is known or inferred, and
//! belongs to one live MR bead.

use alloc::format;
use alloc::vec::Vec;

use super::Violation;
use crate::rig::Repository;
use crate::time::Timestamp;
use crate::town::Town;

pub(super) fn check(town: &Town, _: Timestamp, out: &mut Vec<Violation>) {
    for mr in town.live_beads() {
        let Some(url) = mr.review().and_then(|review| review.pr_url.as_ref()) else {
            continue;
        };
        let named = Repository::of_pr_url(url).map(|(repository, _)| repository);
        if let Some(rig) = town.rig_of_review(mr)
            && (named.is_none() || named != rig.repository())
        {
            let message = format!("{} has a pull request outside of rig {}", mr.id, rig.id);
            out.push(Violation::new("I14", [&mr.id], message));
        }
    }
    for (_, reviews) in town.shared_pull_requests() {
        out.push(Violation::new(
            "I14",
            reviews,
            "several live reviews have one pull request",
        ));
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::violations;

    #[test]
    fn i14_a_pull_request_is_of_its_rig_and_of_one_review() {
        let town = "rig r1\nbead m1 merge_request in_progress rig_id=r1 review.pr_url=https://github.com/acme/r1/pull/1";
        assert!(!violations(town, "0s").contains("I14"));
        assert!(violations(&town.replace("acme/r1", "acme/other"), "0s").contains("I14 m1"));
        let shared = std::format!(
            "{town}\nbead m2 merge_request open rig_id=r1 review.pr_url=https://github.com/ACME/r1/pull/1/"
        );
        assert!(violations(&shared, "0s").contains("I14 m1 m2"));
    }
}
