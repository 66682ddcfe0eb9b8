//! `convoys/ready`: whether all of a convoy's work is on its feature branch.

use super::Issues;
use crate::action::SetReadyToLand;
use crate::bead::Bead;
use crate::pass::Pass;
use crate::rules::{On, Rule};
use crate::verdict::Verdict;

pub(super) const RULE: Rule = Rule {
    id: "convoys/ready",
    text: "ready_to_land is set for a started review-then-land convoy that is done, and cleared \
           for any that is not.",
    on: On::LiveBead(evaluate),
};

fn evaluate(pass: &Pass<'_>, bead: &Bead) -> Verdict {
    let Some(issues) = Issues::of(pass.town, bead) else {
        return Verdict::NotMine;
    };
    let ready =
        !issues.convoy.staged && issues.lands_from().is_some() && issues.are_done(pass.town);
    if issues.convoy.ready_to_land == ready {
        return Verdict::NotMine;
    }
    Verdict::act(SetReadyToLand {
        convoy_id: bead.id.clone(),
        ready,
    })
}

#[cfg(test)]
mod tests {
    use crate::testing::acts;

    const TOWN: &str = "
        rig r1
        bead c1 convoy open convoy.total=1 convoy.closed=1 convoy.feature_branch=convoy/x/c1/head
        bead b1 issue closed rig_id=r1
        edge b1 tracks c1
    ";

    #[test]
    fn convoys_ready_once_all_issues_are_closed() {
        insta::assert_snapshot!(acts(TOWN, "0s"), @"convoys/ready: set_ready_to_land convoy_id=c1 ready=true");
    }

    #[test]
    fn convoys_ready_is_cleared_when_an_issue_is_added_also_of_a_staged_convoy() {
        let added = alloc::format!(
            "{}\nbead b2 issue open rig_id=r1 labels=[\"gt:held\"]\nedge b2 tracks c1",
            TOWN.replace(
                "convoy.total=1",
                "convoy.total=2 convoy.ready_to_land=true convoy.staged=true"
            )
        );
        insta::assert_snapshot!(acts(&added, "0s"), @"convoys/ready: set_ready_to_land convoy_id=c1 ready=false");
    }

    #[test]
    fn convoys_ready_waits_for_issues_that_failed() {
        let failed = alloc::format!(
            "{}\nbead b2 issue failed rig_id=r1\nedge b2 tracks c1",
            TOWN.replace(
                "convoy.total=1 convoy.closed=1",
                "convoy.total=2 convoy.closed=2 told.some_failed=-1h"
            )
        );
        insta::assert_snapshot!(acts(&failed, "0s"), @"nothing");
        let ordered = failed.replace("convoy.total", "convoy.landing_ordered=true convoy.total");
        assert!(acts(&ordered, "0s").contains("convoys/ready: set_ready_to_land"));
    }
}
