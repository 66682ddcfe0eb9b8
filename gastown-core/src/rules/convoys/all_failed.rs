//! `convoys/all-failed`: nothing of the convoy is left to land.

use alloc::format;

use super::Issues;
use crate::action::{ActionKind, FailConvoy};
use crate::bead::{Bead, BeadStatus};
use crate::pass::Pass;
use crate::reason::{Reason, ReasonCode};
use crate::rules::{On, Rule};
use crate::verdict::Verdict;

pub(super) const RULE: Rule = Rule {
    id: "convoys/all-failed",
    text: "A started convoy with issues, every one of them failed: it fails, a person is told.",
    on: On::LiveBead(evaluate),
};

fn evaluate(pass: &Pass<'_>, bead: &Bead) -> Verdict {
    let Some(issues) = Issues::of_started(pass.town, bead) else {
        return Verdict::NotMine;
    };
    let failed = issues.with_status(BeadStatus::Failed).count();
    if failed == 0 || failed < issues.all.len() {
        return Verdict::NotMine;
    }
    let reason = Reason::new(
        ReasonCode::AllFailed,
        format!("every one of its {failed} issues failed"),
    );
    let message = reason.message.clone();
    let fail: ActionKind = FailConvoy {
        convoy_id: bead.id.clone(),
        reason,
    }
    .into();
    let mut actions = alloc::vec![fail];
    actions.extend(pass.tell_once(bead, ReasonCode::AllFailed, message));
    Verdict::Act(actions)
}

#[cfg(test)]
mod tests {
    use crate::testing::{acts, settled};

    const TOWN: &str = "
        rig r1
        bead c1 convoy open convoy.total=2 convoy.closed=2
        bead b1 issue failed rig_id=r1
        bead b2 issue failed rig_id=r1
        edge b1 tracks c1
        edge b2 tracks c1
    ";

    #[test]
    fn convoys_all_failed_fails_the_convoy() {
        insta::assert_snapshot!(settled(TOWN, "0s"), @r#"
        convoys/all-failed: fail_convoy convoy_id=c1 reason=all_failed
        convoys/all-failed: create_bead bead={"escalation":{"bead_id":"c1","category":"all_failed","severity":"high"},"labels":["gt:escalation","severity:high"],"priority":"high","status":"open","title":"all failed: c1","type":"escalation"} bead_id=t1-e1
        convoys/all-failed: tell bead_id=c1 category=all_failed escalation_id=t1-e1
        escalations/notify: notify_mayor message=[high] all failed: c1

        every one of its 2 issues failed topic=escalation:t1-e1
        at rest after 3 passes
        "#);
    }

    #[test]
    fn convoys_all_failed_leaves_a_staged_convoy_alone() {
        let staged = TOWN.replace("convoy.total", "convoy.staged=true convoy.total");
        insta::assert_snapshot!(acts(&staged, "0s"), @"nothing");
    }
}
