//! `beads/lineage-spent`: the line of work of an open issue has no dispatch left.

use super::{is_open_work, tell_and_wait};
use crate::bead::Bead;
use crate::pass::Pass;
use crate::reason::ReasonCode;
use crate::rules::{On, Rule};
use crate::verdict::Verdict;

pub(super) const RULE: Rule = Rule {
    id: "beads/lineage-spent",
    text: "An open issue, not held, whose line of work is at lineage_dispatches: a person is told \
           and may grant more.",
    on: On::LiveBead(evaluate),
};

fn evaluate(pass: &Pass<'_>, bead: &Bead) -> Verdict {
    // At its own cap it fails, and that is told.
    if !is_open_work(bead) || !pass.town.lineage_spent(bead) || pass.attempts_spent(bead) {
        return Verdict::NotMine;
    }
    tell_and_wait(
        pass,
        bead,
        ReasonCode::LineageSpent,
        "its line of work has no dispatch left; a person may grant more",
    )
}

#[cfg(test)]
mod tests {
    use crate::testing::{acts, around_count, settled};

    const TOWN: &str = r#"
        town lineages={"b0":{"used":25,"granted":0}}
        rig r1
        bead b1 issue open rig_id=r1 root=b0 last_dispatch_attempt_at=0s
    "#;

    #[test]
    fn beads_lineage_spent_tells_once_and_waits() {
        insta::assert_snapshot!(settled(TOWN, "0s"), @r#"
        beads/lineage-spent: create_bead bead={"escalation":{"bead_id":"b1","category":"lineage_spent","severity":"high"},"labels":["gt:escalation","severity:high"],"priority":"high","rig_id":"r1","status":"open","title":"lineage spent: b1","type":"escalation"} bead_id=t1-e1
        beads/lineage-spent: tell bead_id=b1 category=lineage_spent escalation_id=t1-e1
        escalations/notify: notify_mayor message=[high] lineage spent: b1

        its line of work has no dispatch left; a person may grant more topic=escalation:t1-e1
        at rest after 3 passes
        "#);
    }

    #[test]
    fn beads_lineage_spent_under_the_limit_does_nothing() {
        assert_eq!(acts(&TOWN.replace("25", "24"), "0s"), "nothing");
        assert_eq!(
            acts(&TOWN.replace(r#""granted":0"#, r#""granted":1"#), "0s"),
            "nothing"
        );
    }

    #[test]
    fn beads_lineage_spent_leaves_others_alone() {
        for label in ["gt:held", "gt:triage-request", "gt:molecule-step"] {
            let town = TOWN.replace(
                "rig_id=r1 ",
                &std::format!("rig_id=r1 labels=[\"{label}\"] "),
            );
            assert!(!acts(&town, "0s").contains("lineage-spent"), "{label}");
        }
        let told = TOWN.replace("root=b0", "root=b0 told.lineage_spent=-1h");
        assert_eq!(acts(&told, "0s"), "nothing");
    }

    #[test]
    fn beads_lineage_spent_around_the_limit() {
        insta::assert_snapshot!(around_count(TOWN, r#""used":25"#, "0s"), @"
        24: nothing, again at 2026-04-04T12:00:30.001Z
        25: beads/lineage-spent category=lineage_spent
        26: beads/lineage-spent category=lineage_spent
        ");
    }
}
