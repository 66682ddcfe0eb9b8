//! `review/unreviewed`: a pull request whose head no refinery passed is offered to one.

use super::is_begun;
use crate::bead::{Bead, BeadStatus};
use crate::eligible::{blocker_waits, is_reviewed};
use crate::pass::{Due, Pass};
use crate::reason::ReasonCode;
use crate::rules::{On, Rule};
use crate::verdict::{Verdict, Wait};

pub(super) const RULE: Rule = Rule {
    id: "review/unreviewed",
    text: "An MR bead in progress with a pull request, code_review on, its head not reviewed, no \
           live blocker, no agent hooked, untouched for abandoned_review: it opens again.",
    on: On::LiveBead(evaluate),
};

fn evaluate(pass: &Pass<'_>, mr: &Bead) -> Verdict {
    let Some(review) = mr.review() else {
        return Verdict::NotMine;
    };
    let settings = pass.review_settings(mr);
    let mine = is_begun(mr)
        && review.pr_url.is_some()
        && settings.code_review
        && !is_reviewed(mr, settings)
        && pass.town.holders(&mr.id).next().is_none();
    if !mine {
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
            ReasonCode::Unreviewed,
            "no refinery has passed its head",
        )),
        Due::At(until) => Verdict::wait(
            Wait::until(until, "its head is offered to a refinery then").since(mr.updated_at),
        ),
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{acts, around, settled};

    const TOWN: &str = "
        rig r1
        bead b1 issue in_review rig_id=r1
        bead m1 merge_request in_progress rig_id=r1 review.source=b1 review.pr_url=https://github.com/acme/r1/pull/1 review.head_sha=h2 review.reviewed.at=-1h review.reviewed.head_sha=h1 review.poll.last_at=0s updated_at=-2m
        edge m1 tracks b1
    ";

    #[test]
    fn review_unreviewed_at_the_threshold_waits() {
        assert_eq!(acts(TOWN, "0s"), "nothing");
    }

    #[test]
    fn review_unreviewed_just_over_the_threshold_opens_it() {
        insta::assert_snapshot!(acts(TOWN, "1ms"), @"review/unreviewed: transition_bead bead_id=m1 from=in_progress reason=unreviewed to=open");
        let done = settled(TOWN, "1ms");
        assert!(done.contains("dispatch/review: dispatch_agent"), "{done}");
        assert!(done.contains("at rest"), "{done}");
    }

    #[test]
    fn review_unreviewed_not_of_a_reviewed_head() {
        let same = TOWN.replace("reviewed.head_sha=h1", "reviewed.head_sha=h2");
        assert_eq!(acts(&same, "1ms"), "nothing");
        let any = std::format!("town config.refinery.review_every_head=false\n{TOWN}");
        assert_eq!(acts(&any, "1ms"), "nothing");
        let off = std::format!("town config.refinery.code_review=false\n{TOWN}");
        assert_eq!(acts(&off, "1ms"), "nothing");
    }

    #[test]
    fn review_unreviewed_waits_for_a_repair_and_for_an_agent() {
        let blocked = std::format!(
            r#"{TOWN}
            bead w1 issue in_progress rig_id=r1 labels=["gt:rework"] parent_id=m1 updated_at=0s
            edge m1 blocks w1"#
        );
        assert_eq!(acts(&blocked, "1ms"), "nothing");
        let held = std::format!(
            "{TOWN}\nagent a1 refinery working rig_id=r1 hook=m1 session=1 dispatched_at=0s last_activity_at=0s"
        );
        assert_eq!(acts(&held, "1ms"), "nothing");
    }

    #[test]
    fn review_unreviewed_around_its_threshold() {
        insta::assert_snapshot!(around(TOWN, "0s"), @"
        just under: nothing, again at 2026-04-04T12:00:00.001Z
        at: nothing, again at 2026-04-04T12:00:00.001Z
        just over: review/unreviewed
        ");
    }
}
