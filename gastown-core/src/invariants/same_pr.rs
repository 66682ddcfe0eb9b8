//! I14 same-pr: every merge names the rig's repository, the review's branch and its target; a stored
//! pr_url names the rig's repository, where a rig is known or inferred, and belongs to one live MR
//! bead.

use alloc::format;
use alloc::vec::Vec;

use super::{Transition, Violation};
use crate::time::Timestamp;
use crate::town::Town;

pub(super) fn check(town: &Town, _: Timestamp, out: &mut Vec<Violation>) {
    for mr in town.live_beads() {
        let Some(url) = mr.review().and_then(|review| review.pr_url.as_ref()) else {
            continue;
        };
        if let Some(rig) = town.rig_of_review(mr)
            && !rig.has_pull_request(url)
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

pub(super) fn check_step(step: &Transition<'_>, out: &mut Vec<Violation>) {
    for merge in step.merges() {
        let Some(mr) = step.before.bead(&merge.bead_id) else {
            continue;
        };
        let Some(review) = mr.review() else { continue };
        let rig = step.before.rig_of_review(mr);
        let certificate = &merge.certificate;
        let right_place = rig.is_some_and(|rig| {
            let known = rig.repository();
            rig.has_pull_request(&merge.pr_url)
                && rig.id == certificate.rig_id
                && known.is_some_and(|known| known.path() == certificate.repository)
        });
        let right_branches = certificate.base_branch == review.target_branch
            && review.observation.as_ref().is_some_and(|seen| {
                seen.observation.head_branch == review.branch
                    && seen.observation.base_branch == review.target_branch
            });
        let shared = step.before.live_reviews_with_pr(&merge.pr_url).count() > 1;
        if !right_place || !right_branches || shared {
            let message = format!("{} is not the pull request of {}", merge.pr_url, mr.id);
            out.push(Violation::new("I14", [&mr.id], message));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{merge_of, merged};
    use crate::testing::{GREEN, violations};

    #[test]
    fn i14_a_merge_names_repository_branch_and_target() {
        let merge = merge_of(GREEN);
        assert_eq!(merged(GREEN, &merge), "");
        let elsewhere = merge.replace("acme/r1/pull/1", "acme/r2/pull/1");
        assert!(merged(GREEN, &elsewhere).contains("I14 m1"));
        for (seen, other) in [
            (r#""head_branch":"work/m1""#, r#""head_branch":"work/m2""#),
            (r#""base_branch":"main""#, r#""base_branch":"next""#),
        ] {
            let town = GREEN.replace(seen, other);
            assert_ne!(town, GREEN);
            assert!(merged(&town, &merge).contains("I14 m1"), "{other}");
        }
        let shared = std::format!(
            "{GREEN}\nbead m2 merge_request open rig_id=r1 review.pr_url=https://github.com/acme/r1/pull/1"
        );
        assert!(merged(&shared, &merge).contains("I14 m1"));
    }

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
