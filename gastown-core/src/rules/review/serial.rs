//! `review/serial`: direct merges of one rig run one after the other.

use crate::bead::{Bead, BeadStatus};
use crate::pass::Pass;
use crate::reason::{Reason, ReasonCode};
use crate::rules::{On, Rule};
use crate::verdict::Verdict;

use super::direct_in_hand;

pub(super) const RULE: Rule = Rule {
    id: "review/serial",
    text: "Two MR beads in progress without a pull request in one rig: all but the one that an \
           agent is hooked to, then the oldest, go back to open, their refineries stopped and \
           unhooked. One under verification is left alone.",
    on: On::LiveBead(evaluate),
};

fn evaluate(pass: &Pass<'_>, mr: &Bead) -> Verdict {
    let town = pass.town;
    if mr.status != BeadStatus::InProgress || direct_in_hand(mr).is_none() {
        return Verdict::NotMine;
    }
    let Some(rig) = town.rig_of_review(mr).map(|rig| &rig.id) else {
        return Verdict::NotMine;
    };
    let first = town
        .live_beads()
        .filter(|other| {
            other.status == BeadStatus::InProgress
                && other.review().is_some_and(|review| review.pr_url.is_none())
                && town.rig_of_review(other).map(|rig| &rig.id) == Some(rig)
        })
        .min_by_key(|other| {
            let verified = direct_in_hand(other).is_none();
            let hooked = town.holders(&other.id).next().is_some();
            (!verified, !hooked, other.created_at, &other.id)
        });
    if first.is_none_or(|first| first.id == mr.id) {
        return Verdict::NotMine;
    }
    let (code, why) = (
        ReasonCode::Serial,
        "another direct merge of the rig goes first",
    );
    let mut actions = pass.release_holders(mr, &Reason::new(code, why));
    actions.push(Pass::transition(mr, BeadStatus::Open, code, why));
    Verdict::Act(actions)
}

#[cfg(test)]
mod tests {
    use crate::testing::{acts, settled};

    const TOWN: &str = "
        rig r1
        agent a1 refinery idle rig_id=r1 hook=m2 exited_at=0s
        bead b1 issue in_review rig_id=r1
        bead b2 issue in_review rig_id=r1
        bead m1 merge_request in_progress rig_id=r1 review.source=b1 updated_at=0s
        bead m2 merge_request in_progress rig_id=r1 review.source=b2 updated_at=0s last_dispatch_attempt_at=0s
        edge m1 tracks b1
        edge m2 tracks b2
    ";

    #[test]
    fn review_serial_keeps_the_hooked_one() {
        insta::assert_snapshot!(acts(TOWN, "0s"), @"review/serial: transition_bead bead_id=m1 from=in_progress reason=serial to=open");
    }

    #[test]
    fn review_serial_rests() {
        insta::assert_snapshot!(settled(TOWN, "0s"), @"
        review/serial: transition_bead bead_id=m1 from=in_progress reason=serial to=open
        at rest after 2 passes
        ");
    }

    #[test]
    fn review_serial_keeps_the_oldest_of_several_hooked_ones() {
        let town = std::format!(
            "{TOWN}\nagent a2 refinery working rig_id=r1 hook=m1 session=1 dispatched_at=0s last_activity_at=0s"
        )
        .replace("m1 merge_request in_progress", "m1 merge_request in_progress created_at=-1d");
        insta::assert_snapshot!(acts(&town, "0s"), @"
        review/serial: stop_agent agent_id=a2 reason=serial session=1
        review/serial: transition_agent agent_id=a2 from=working reason=serial to=idle
        review/serial: unhook_agent agent_id=a2 bead_id=m1 reason=serial
        review/serial: transition_bead bead_id=m1 from=in_progress reason=serial to=open
        ");
        let town = town.replace("created_at=-1d", "created_at=-31d");
        assert!(acts(&town, "0s").contains("bead_id=m2 from=in_progress reason=serial to=open"));
    }

    #[test]
    fn review_serial_leaves_one_under_verification_alone() {
        let town = TOWN.replace(
            "review.source=b1",
            "review.source=b1 review.verify.asked_at=0s",
        );
        let decided = acts(&town, "0s");
        assert!(
            decided.contains("bead_id=m2 from=in_progress reason=serial to=open"),
            "{decided}"
        );
        assert!(!decided.contains("bead_id=m1"), "{decided}");
    }

    #[test]
    fn review_serial_not_across_rigs_nor_with_pull_requests() {
        let other = std::format!("{TOWN}\nrig r2").replace(
            "m1 merge_request in_progress rig_id=r1",
            "m1 merge_request in_progress rig_id=r2",
        );
        assert_eq!(acts(&other, "0s"), "nothing");
        let pr = TOWN.replace(
            "review.source=b1",
            "review.source=b1 review.poll.last_at=0s review.pr_url=https://github.com/acme/r1/pull/1",
        );
        assert!(!acts(&pr, "0s").contains("serial"));
    }
}
