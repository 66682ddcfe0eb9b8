//! `beads/blocked-by-failed`: an open issue builds on failed work.

use alloc::format;

use super::{is_dispatched_work, tell_and_wait};
use crate::bead::{Bead, BeadStatus};
use crate::pass::Pass;
use crate::reason::ReasonCode;
use crate::rules::{On, Rule};
use crate::town::Blocker;
use crate::verdict::Verdict;

pub(super) const RULE: Rule = Rule {
    id: "beads/blocked-by-failed",
    text: "An open issue with a blocker that failed or closed without its merge, under the policy \
           `block`: a person is told.",
    on: On::LiveBead(evaluate),
};

fn evaluate(pass: &Pass<'_>, bead: &Bead) -> Verdict {
    if !is_dispatched_work(bead) || bead.status != BeadStatus::Open {
        return Verdict::NotMine;
    }
    let failed = pass
        .town
        .open_blockers(&bead.id)
        .into_iter()
        .find_map(|blocker| match blocker {
            Blocker::Failed(id) => Some(id),
            Blocker::Unsettled(_) => None,
        });
    let Some(blocker) = failed else {
        return Verdict::NotMine;
    };
    tell_and_wait(
        pass,
        bead,
        ReasonCode::BlockedByFailed,
        format!(
            "it builds on {blocker}, which failed or closed without its merge; retry that, or \
             remove the dependency"
        ),
    )
}

#[cfg(test)]
mod tests {
    use crate::testing::{acts, settled};

    const TOWN: &str = "
        rig r1
        bead b1 issue open rig_id=r1
        bead b2 issue failed rig_id=r1
        edge b1 blocks b2
    ";

    #[test]
    fn beads_blocked_by_failed_tells_once_and_waits() {
        insta::assert_snapshot!(settled(TOWN, "0s"), @r#"
        beads/blocked-by-failed: create_bead bead={"escalation":{"bead_id":"b1","category":"blocked_by_failed","severity":"high"},"labels":["gt:escalation","severity:high"],"priority":"high","rig_id":"r1","status":"open","title":"blocked by failed: b1","type":"escalation"} bead_id=t1-e1
        beads/blocked-by-failed: tell bead_id=b1 category=blocked_by_failed escalation_id=t1-e1
        escalations/notify: notify_mayor message=[high] blocked by failed: b1

        it builds on b2, which failed or closed without its merge; retry that, or remove the dependency topic=escalation:t1-e1
        at rest after 3 passes
        "#);
    }

    #[test]
    fn beads_blocked_by_failed_that_comes_back_within_the_moment_is_not_said_again() {
        let said = std::format!(
            "{TOWN}\nbead e1 escalation open created_at=0s created_by=system escalation.bead_id=b1 escalation.category=blocked_by_failed escalation.severity=high escalation.notified_at=0s"
        );
        insta::assert_snapshot!(acts(&said, "0s"), @"beads/blocked-by-failed: tell bead_id=b1 category=blocked_by_failed escalation_id=e1");
        assert!(!acts(&said, "-2s").contains("create_bead"));
        assert!(acts(&said, "1ms").contains("create_bead"));
    }

    #[test]
    fn beads_blocked_by_failed_by_work_that_closed_without_its_merge() {
        let town = TOWN.replace("failed", "closed");
        assert!(!acts(&town, "0s").contains("blocked-by-failed"));
        let unmerged = std::format!(
            "{town}\nbead m1 merge_request closed review.source=b2 review.outcome=withdrawn"
        );
        assert!(acts(&unmerged, "0s").contains("beads/blocked-by-failed: tell bead_id=b1"));
    }

    #[test]
    fn beads_blocked_by_failed_leaves_others_alone() {
        for (from, to) in [
            ("rig r1", "town policy.failed_blocker=release\nrig r1"),
            (
                "bead b2 issue failed",
                "bead b2 issue in_review status_changed_at=0s",
            ),
            ("bead b2 issue failed", "bead b3 issue failed"),
            ("issue open", r#"issue open labels=["gt:molecule-step"]"#),
            ("issue open", "issue open told.blocked_by_failed=-1h"),
        ] {
            let town = TOWN.replace(from, to);
            assert!(!acts(&town, "0s").contains("blocked-by-failed"), "{to}");
        }
    }

    /// That it is held does not tell a person that it could not go on.
    #[test]
    fn beads_blocked_by_failed_tells_of_held_ones_too() {
        let held = TOWN.replace("issue open", r#"issue open labels=["gt:held"]"#);
        assert_eq!(acts(&held, "0s"), acts(TOWN, "0s"));
    }
}
