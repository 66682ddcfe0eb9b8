//! `beads/review-missing`: an issue is in review and nothing reviews it.

use super::reopen;
use crate::bead::{Bead, BeadStatus};
use crate::pass::{Due, Pass};
use crate::reason::{Reason, ReasonCode};
use crate::rules::{On, Rule};
use crate::verdict::{Verdict, Wait};

pub(super) const RULE: Rule = Rule {
    id: "beads/review-missing",
    text: "An issue in review for longer than settled_review_grace, no MR bead tracks it: open \
           again.",
    on: On::LiveBead(evaluate),
};

fn evaluate(pass: &Pass<'_>, bead: &Bead) -> Verdict {
    let in_review = bead.work().is_some() && bead.status == BeadStatus::InReview;
    if !in_review || !pass.town.reviews_of(&bead.id).is_empty() {
        return Verdict::NotMine;
    }
    let since = bead.in_status_since();
    match pass.stale(since, pass.policy().settled_review_grace) {
        Due::Now => reopen(
            bead,
            Reason::new(
                ReasonCode::ReviewMissing,
                "it is in review and nothing reviews it",
            ),
        ),
        Due::At(until) => {
            Verdict::wait(Wait::until(until, "is in review and nothing reviews it").since(since))
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{acts, around, settled, wakeup};

    const TOWN: &str = "
        rig r1
        agent a1 polecat idle rig_id=r1 last_activity_at=-1s
        bead b1 issue in_review rig_id=r1 assignee=a1 status_changed_at=-5m
    ";

    #[test]
    fn beads_review_missing_at_the_threshold_waits() {
        insta::assert_snapshot!(acts(TOWN, "0s"), @"nothing");
        insta::assert_snapshot!(wakeup(TOWN, "0s"), @"2026-04-04T12:00:00.001Z");
    }

    #[test]
    fn beads_review_missing_just_over_the_threshold_reopens() {
        insta::assert_snapshot!(settled(TOWN, "1ms"), @"
        beads/review-missing: transition_bead bead_id=b1 from=in_review reason=review_missing to=open
        beads/review-missing: clear_assignee bead_id=b1
        at rest after 2 passes
        ");
    }

    #[test]
    fn beads_review_missing_counts_from_the_last_touch_where_the_change_is_unknown() {
        let town = TOWN.replace("status_changed_at", "updated_at");
        assert_eq!(acts(&town, "0s"), "nothing");
        assert!(acts(&town, "1ms").contains("review-missing"));
    }

    #[test]
    fn beads_review_missing_leaves_reviewed_issues_alone() {
        let town = std::format!("{TOWN}\nbead m1 merge_request failed review.source=b1");
        assert!(!acts(&town, "1ms").contains("review-missing"));
    }

    #[test]
    fn beads_review_missing_around_its_threshold() {
        insta::assert_snapshot!(around(TOWN, "0s"), @"
        just under: nothing, again at 2026-04-04T12:00:00.001Z
        at: nothing, again at 2026-04-04T12:00:00.001Z
        just over: beads/review-missing
        ");
    }
}
