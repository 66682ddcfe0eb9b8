//! `molecules/fail`: a molecule with a failed step fails.

use alloc::format;
use alloc::vec;

use super::molecules_complete::steps;
use crate::action::TransitionBead;
use crate::bead::{Bead, BeadKind, BeadStatus};
use crate::pass::Pass;
use crate::reason::{Reason, ReasonCode};
use crate::rules::{On, Rule};
use crate::verdict::Verdict;

pub(super) const RULE: Rule = Rule {
    id: "molecules/fail",
    text: "A molecule with a failed step: failed, a person is told.",
    on: On::LiveBead(evaluate),
};

fn evaluate(pass: &Pass<'_>, bead: &Bead) -> Verdict {
    if !matches!(bead.kind, BeadKind::Molecule) {
        return Verdict::NotMine;
    }
    let steps = steps(pass, bead);
    let Some(failed) = steps.iter().find(|step| step.status == BeadStatus::Failed) else {
        return Verdict::NotMine;
    };
    let message = format!("its step {} failed: {}", failed.id, failed.title);
    let mut actions = vec![
        TransitionBead {
            bead_id: bead.id.clone(),
            from: bead.status,
            to: BeadStatus::Failed,
            reason: Reason::new(ReasonCode::StepFailed, message.clone()),
        }
        .into(),
    ];
    actions.extend(pass.tell_once(bead, ReasonCode::StepFailed, message));
    Verdict::Act(actions)
}

#[cfg(test)]
mod tests {
    use crate::testing::{acts, settled};

    const TOWN: &str = r#"
        rig r1
        bead b1 issue open rig_id=r1 last_dispatch_attempt_at=0s
        bead o1 molecule open parent_id=b1
        bead s1 issue failed title="write it" parent_id=o1 labels=["gt:molecule-step"]
        bead s2 issue open parent_id=o1 labels=["gt:molecule-step"]
        edge s2 blocks s1
    "#;

    #[test]
    fn molecules_fail_with_a_failed_step_and_the_rest_is_closed() {
        insta::assert_snapshot!(settled(TOWN, "0s"), @r#"
        molecules/fail: transition_bead bead_id=o1 from=open reason=step_failed to=failed
        molecules/fail: create_bead bead={"escalation":{"bead_id":"o1","category":"step_failed","severity":"high"},"labels":["gt:escalation","severity:high"],"priority":"high","status":"open","title":"step failed: o1","type":"escalation"} bead_id=t1-e1
        molecules/fail: tell bead_id=o1 category=step_failed escalation_id=t1-e1
        escalations/notify: notify_mayor message=[high] step failed: o1

        its step s1 failed: write it topic=escalation:t1-e1
        molecules/complete: transition_bead bead_id=s2 from=open reason=steps_closed to=closed
        at rest after 3 passes
        "#);
    }

    #[test]
    fn molecules_fail_not_while_steps_are_open() {
        assert_eq!(
            acts(&TOWN.replace("s1 issue failed", "s1 issue open"), "0s"),
            "nothing"
        );
    }
}
