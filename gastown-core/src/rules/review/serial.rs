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
           unhooked. So does one whose repair waits for another direct merge of its rig. One under \
           verification is left alone.",
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
    let is_direct_merge_here = |other: &Bead| {
        other.review().is_some_and(|review| review.pr_url.is_none())
            && town.rig_of_review(other).map(|rig| &rig.id) == Some(rig)
    };
    // The other waits for this one to be through, and this one for its repair: without this, for ever.
    let gives_way = town.holders(&mr.id).next().is_none()
        && town.waits_behind(&mr.id, |other| {
            other.status == BeadStatus::Open && is_direct_merge_here(other)
        });
    if gives_way {
        return Verdict::act(Pass::transition(
            mr,
            BeadStatus::Open,
            ReasonCode::Serial,
            "its repair waits for another direct merge of the rig",
        ));
    }
    let first = town
        .live_beads()
        .filter(|other| other.status == BeadStatus::InProgress && is_direct_merge_here(other))
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

    /// m1 holds the rig and waits for its rework, which waits for b2, whose review m2 waits for the rig.
    const BEHIND: &str = r#"
        rig r1
        bead b1 issue in_review rig_id=r1
        bead b2 issue in_review rig_id=r1
        bead m1 merge_request in_progress rig_id=r1 review.source=b1 updated_at=0s
        bead m2 merge_request open rig_id=r1 review.source=b2 updated_at=0s
        bead w1 issue open rig_id=r1 labels=["gt:rework"] parent_id=m1
        edge m1 tracks b1
        edge m2 tracks b2
        edge m1 blocks w1
        edge w1 blocks b2
    "#;

    /// P8: nobody would ever move either of them.
    #[test]
    fn review_serial_gives_way_to_what_its_repair_waits_for() {
        insta::assert_snapshot!(settled(BEHIND, "0s"), @"
        review/serial: transition_bead bead_id=m1 from=in_progress reason=serial to=open
        dispatch/review: create_agent agent_id=t1-a1 identity=refinery-refinery-r1@t1 name=refinery rig_id=r1 role=refinery
        dispatch/review: transition_bead bead_id=m2 from=open reason=dispatched to=in_progress
        dispatch/review: set_assignee agent_id=t1-a1 bead_id=m2
        dispatch/review: hook_agent agent_id=t1-a1 bead_id=m2
        dispatch/review: transition_agent agent_id=t1-a1 from=idle reason=dispatched to=working
        dispatch/review: dispatch_agent agent_id=t1-a1 attempt=1 bead_id=m2 rig_id=r1 session=1
        at rest after 3 passes
        ");
    }

    #[test]
    fn review_serial_keeps_one_that_nothing_waits_behind() {
        let free = BEHIND.replace("edge w1 blocks b2", "");
        assert!(!settled(&free, "0s").contains("review/serial"));
        let held = BEHIND.replace(
            "edge w1 blocks b2",
            "edge w1 blocks b2\nagent a1 refinery working rig_id=r1 hook=m1 session=1 dispatched_at=0s last_activity_at=0s",
        );
        assert!(!settled(&held, "0s").contains("review/serial"));
        let elsewhere = BEHIND.replace(
            "bead m2 merge_request open rig_id=r1",
            "rig r2\nbead m2 merge_request open rig_id=r2",
        );
        assert!(!settled(&elsewhere, "0s").contains("review/serial"));
        let of_a_pull_request = BEHIND.replace(
            "review.source=b2",
            "review.source=b2 review.pr_url=https://github.com/acme/r1/pull/1",
        );
        assert!(!settled(&of_a_pull_request, "0s").contains("review/serial"));
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
