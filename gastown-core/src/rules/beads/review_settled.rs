//! `beads/review-settled`: every review of an issue has ended.

use alloc::vec::Vec;

use super::{reopen, transition};
use crate::bead::{Bead, BeadStatus};
use crate::pass::{Due, Pass};
use crate::reason::{Reason, ReasonCode};
use crate::rules::{On, Rule};
use crate::town::is_merged;
use crate::verdict::{Verdict, Wait, WaitFor};

pub(super) const RULE: Rule = Rule {
    id: "beads/review-settled",
    text: "An issue in review for longer than settled_review_grace, every MR bead that tracks it \
           terminal: closed if one was merged, else open again.",
    on: On::LiveBead(evaluate),
};

fn evaluate(pass: &Pass<'_>, bead: &Bead) -> Verdict {
    if bead.work().is_none() || bead.status != BeadStatus::InReview {
        return Verdict::NotMine;
    }
    let reviews = pass.town.reviews_of(&bead.id);
    if reviews.is_empty() {
        return Verdict::NotMine;
    }
    let live: Vec<Wait> = reviews
        .iter()
        .filter(|mr| mr.is_live())
        .map(|mr| {
            Wait::on(WaitFor::Bead, "its review goes on")
                .id(mr.id.as_str())
                .since(bead.in_status_since())
        })
        .collect();
    if !live.is_empty() {
        return Verdict::Wait(live);
    }
    let since = bead.in_status_since();
    if let Due::At(until) = pass.stale(since, pass.policy().settled_review_grace) {
        return Verdict::wait(Wait::until(until, "its reviews have ended").since(since));
    }
    if reviews.iter().any(|mr| is_merged(mr)) {
        let reason = Reason::new(ReasonCode::ReviewMerged, "its work was merged");
        Verdict::act(transition(bead, BeadStatus::Closed, reason))
    } else {
        let text = "every review of it ended without a merge";
        reopen(bead, Reason::new(ReasonCode::ReviewEnded, text))
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{acts, around, settled, wakeup};

    const TOWN: &str = "
        rig r1
        agent a1 polecat idle rig_id=r1 last_activity_at=-1s
        bead b1 issue in_review rig_id=r1 assignee=a1 status_changed_at=-5m updated_at=-1h
        bead m1 merge_request closed rig_id=r1 review.source=b1 review.outcome=merged
        bead m2 merge_request failed rig_id=r1 review.source=b1
    ";

    #[test]
    fn beads_review_settled_at_the_threshold_waits() {
        insta::assert_snapshot!(acts(TOWN, "0s"), @"nothing");
        insta::assert_snapshot!(wakeup(TOWN, "0s"), @"2026-04-04T12:00:00.001Z");
    }

    #[test]
    fn beads_review_settled_just_over_the_threshold_closes_what_was_merged() {
        insta::assert_snapshot!(settled(TOWN, "1ms"), @"
        beads/review-settled: transition_bead bead_id=b1 from=in_review reason=review_merged to=closed
        at rest after 2 passes
        ");
    }

    #[test]
    fn beads_review_settled_without_a_merge_reopens() {
        for outcome in ["superseded", "withdrawn"] {
            let town = TOWN.replace("outcome=merged", &std::format!("outcome={outcome}"));
            insta::allow_duplicates! {
                insta::assert_snapshot!(settled(&town, "1ms"), @"
                beads/review-settled: transition_bead bead_id=b1 from=in_review reason=review_ended to=open
                beads/review-settled: clear_assignee bead_id=b1
                at rest after 2 passes
                ");
            }
        }
    }

    #[test]
    fn beads_review_settled_an_absent_outcome_means_merged() {
        let town = TOWN.replace("review.outcome=merged", "");
        assert!(acts(&town, "1ms").contains("to=closed"));
    }

    #[test]
    fn beads_review_settled_waits_for_a_live_review() {
        let town = TOWN.replace(
            "request failed",
            "request in_progress updated_at=0s review.pr_url=https://github.com/acme/r1/pull/1",
        );
        assert!(!acts(&town, "1ms").contains("review-settled"));
    }

    /// One that was reopened after a review goes on, whatever became of that review.
    #[test]
    fn beads_review_settled_leaves_what_is_not_in_review() {
        let held = TOWN
            .replace("in_review", "open labels=[\"gt:held\"]")
            .replace(" assignee=a1", "");
        assert_eq!(acts(&held, "1ms"), "nothing");
        let works = TOWN.replace("in_review", "in_progress").replace(
            "idle rig_id=r1 last_activity_at=-1s",
            "working rig_id=r1 hook=b1 session=1 dispatched_at=0s last_activity_at=0s",
        );
        assert_eq!(acts(&works, "1ms"), "nothing");
    }

    #[test]
    fn beads_review_settled_around_its_threshold() {
        insta::assert_snapshot!(around(TOWN, "0s"), @"
        just under: nothing, again at 2026-04-04T12:00:00.001Z
        at: nothing, again at 2026-04-04T12:00:00.001Z
        just over: beads/review-settled
        ");
    }
}
