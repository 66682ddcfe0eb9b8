//! `review/abandoned`: a direct merge that no agent holds is offered again.

use super::direct_in_hand;
use crate::bead::{Bead, BeadStatus};
use crate::eligible::blocker_waits;
use crate::pass::{Due, Pass};
use crate::reason::ReasonCode;
use crate::rules::{On, Rule};
use crate::verdict::{Verdict, Wait};

pub(super) const RULE: Rule = Rule {
    id: "review/abandoned",
    text: "An MR bead in progress without a pull request, no live blocker, no agent hooked, \
           untouched for abandoned_review: it opens again. One under verification is left alone.",
    on: On::LiveBead(evaluate),
};

fn evaluate(pass: &Pass<'_>, mr: &Bead) -> Verdict {
    if direct_in_hand(mr).is_none() || pass.town.holders(&mr.id).next().is_some() {
        return Verdict::NotMine;
    }
    let waits = blocker_waits(pass.town, mr);
    if !waits.is_empty() {
        return Verdict::Wait(waits);
    }
    match pass.stale(mr.updated_at, pass.policy().abandoned_review) {
        Due::Now => Verdict::act(Pass::transition(
            mr,
            BeadStatus::Open,
            ReasonCode::Abandoned,
            "it was begun, but no agent holds it",
        )),
        Due::At(until) => Verdict::wait(
            Wait::until(until, "no agent holds it; it is offered again then").since(mr.updated_at),
        ),
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{acts, around, settled, wakeup};

    const TOWN: &str = "
        rig r1
        bead b1 issue in_review rig_id=r1
        bead m1 merge_request in_progress rig_id=r1 review.source=b1 updated_at=-2m
        edge m1 tracks b1
    ";

    #[test]
    fn review_abandoned_at_the_threshold_waits() {
        assert_eq!(acts(TOWN, "0s"), "nothing");
        assert_eq!(wakeup(TOWN, "0s"), "2026-04-04T12:00:00.001Z");
    }

    #[test]
    fn review_abandoned_just_over_the_threshold_opens_it() {
        insta::assert_snapshot!(acts(TOWN, "1ms"), @"review/abandoned: transition_bead bead_id=m1 from=in_progress reason=abandoned to=open");
    }

    /// Only a loaded town has it; nothing else would ever move it.
    #[test]
    fn review_abandoned_takes_a_review_that_was_loaded_as_in_review() {
        let town = TOWN.replace("m1 merge_request in_progress", "m1 merge_request in_review");
        assert_eq!(acts(&town, "0s"), "nothing");
        insta::assert_snapshot!(acts(&town, "1ms"), @"review/abandoned: transition_bead bead_id=m1 from=in_review reason=abandoned to=open");
    }

    #[test]
    fn review_abandoned_is_dispatched_in_the_next_pass() {
        let done = settled(TOWN, "1ms");
        assert!(done.contains("dispatch/review: dispatch_agent"), "{done}");
        assert!(done.ends_with("at rest after 3 passes"), "{done}");
    }

    #[test]
    fn review_abandoned_waits_for_its_rework() {
        let town = std::format!(
            r#"{TOWN}
            bead w1 issue in_progress rig_id=r1 labels=["gt:rework"] parent_id=m1 updated_at=0s
            edge m1 blocks w1"#
        );
        assert_eq!(acts(&town, "1ms"), "nothing");
    }

    #[test]
    fn review_abandoned_not_with_an_agent_a_pull_request_or_a_verification() {
        let held = std::format!(
            "{TOWN}\nagent a1 refinery working rig_id=r1 hook=m1 session=1 dispatched_at=0s last_activity_at=0s"
        );
        assert_eq!(acts(&held, "1ms"), "nothing");
        for more in [
            "review.pr_url=https://github.com/acme/r1/pull/1 review.poll.last_at=0s review.reviewed.at=0s review.reviewed.head_sha=h1",
            "review.verify.asked_at=0s",
        ] {
            let town = TOWN.replace("review.source=b1", &std::format!("review.source=b1 {more}"));
            assert_eq!(acts(&town, "1ms"), "nothing");
        }
    }

    #[test]
    fn review_abandoned_around_its_threshold() {
        insta::assert_snapshot!(around(TOWN, "0s"), @"
        just under: nothing, again at 2026-04-04T12:00:00.001Z
        at: nothing, again at 2026-04-04T12:00:00.001Z
        just over: review/abandoned
        ");
    }
}
