//! `beads/attempts-exhausted`: an open issue has no attempt left.

use super::{fail_exhausted, is_open_work};
use crate::bead::Bead;
use crate::pass::Pass;
use crate::rules::{On, Rule};
use crate::verdict::Verdict;

pub(super) const RULE: Rule = Rule {
    id: "beads/attempts-exhausted",
    text: "An open issue at its rig's cap, not held: it fails and a person is told.",
    on: On::LiveBead(evaluate),
};

fn evaluate(pass: &Pass<'_>, bead: &Bead) -> Verdict {
    if !is_open_work(bead) || !pass.attempts_spent(bead) {
        return Verdict::NotMine;
    }
    Verdict::Act(fail_exhausted(pass, bead, "every attempt was made"))
}

#[cfg(test)]
mod tests {
    use crate::testing::{acts, around_count, settled};

    const TOWN: &str = "
        town config.max_dispatch_attempts=7
        rig r1 config.max_dispatch_attempts=3
        bead b1 issue open rig_id=r1 dispatch_attempts=3 last_dispatch_attempt_at=0s
    ";

    #[test]
    fn beads_attempts_exhausted_at_the_cap_of_the_rig_fails() {
        insta::assert_snapshot!(settled(TOWN, "0s"), @r#"
        beads/attempts-exhausted: transition_bead bead_id=b1 from=open reason=attempts_exhausted to=failed
        beads/attempts-exhausted: create_bead bead={"escalation":{"bead_id":"b1","category":"attempts_exhausted","severity":"high"},"labels":["gt:escalation","severity:high"],"priority":"high","rig_id":"r1","status":"open","title":"attempts exhausted: b1","type":"escalation"} bead_id=t1-e1
        beads/attempts-exhausted: tell bead_id=b1 category=attempts_exhausted escalation_id=t1-e1
        escalations/notify: notify_mayor message=[high] attempts exhausted: b1

        every attempt was made topic=escalation:t1-e1
        at rest after 3 passes
        "#);
    }

    #[test]
    fn beads_attempts_exhausted_under_the_cap_does_nothing() {
        let under = TOWN.replace("dispatch_attempts=3 last", "dispatch_attempts=2 last");
        assert_eq!(acts(&under, "0s"), "nothing");
    }

    #[test]
    fn beads_attempts_exhausted_without_a_rig_by_the_cap_of_the_town() {
        let at = |n: u32| {
            let town = TOWN.replace("rig_id=r1 ", "").replace(
                "dispatch_attempts=3 last",
                &std::format!("dispatch_attempts={n} last"),
            );
            acts(&town, "0s").contains("attempts-exhausted")
        };
        assert!(!at(6));
        assert!(at(7));
    }

    /// Finished work whose review failed is held for a person; it must not fail meanwhile.
    #[test]
    fn beads_attempts_exhausted_leaves_others_alone() {
        for label in ["gt:held", "gt:triage-request", "gt:molecule-step"] {
            let town = TOWN.replace(
                "rig_id=r1 ",
                &std::format!("rig_id=r1 labels=[\"{label}\"] "),
            );
            let acts = acts(&town, "0s");
            assert!(!acts.contains("attempts-exhausted"), "{label}: {acts}");
        }
    }

    #[test]
    fn beads_attempts_exhausted_around_the_cap() {
        insta::assert_snapshot!(around_count(TOWN, " dispatch_attempts=3", "0s"), @"
        2: nothing, again at 2026-04-04T12:01:00.001Z
        3: beads/attempts-exhausted to=failed category=attempts_exhausted
        4: beads/attempts-exhausted to=failed category=attempts_exhausted
        ");
    }
}
