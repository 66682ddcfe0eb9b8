//! `beads/no-rig`: nobody knows where an open issue is to be worked on.

use super::{is_open_work, tell_and_wait};
use crate::bead::Bead;
use crate::pass::{Due, Pass};
use crate::reason::ReasonCode;
use crate::rules::{On, Rule};
use crate::verdict::{Verdict, Wait};

pub(super) const RULE: Rule = Rule {
    id: "beads/no-rig",
    text: "An open issue, not held, no triage request, without a rig or with one that does not \
           exist, for stuck_review: a person is told.",
    on: On::LiveBead(evaluate),
};

fn evaluate(pass: &Pass<'_>, bead: &Bead) -> Verdict {
    if !is_open_work(bead) || pass.town.rig_of(bead).is_some() {
        return Verdict::NotMine;
    }
    let since = bead.in_status_since();
    let is_told = bead.told.contains_key(&ReasonCode::NoRig);
    if !is_told && let Due::At(until) = pass.stale(since, pass.policy().stuck_review) {
        let text = "names no rig that exists; a person is told";
        return Verdict::wait(Wait::until(until, text).since(since));
    }
    tell_and_wait(
        pass,
        bead,
        ReasonCode::NoRig,
        "it names no rig that exists; set its rig with update_bead",
    )
}

#[cfg(test)]
mod tests {
    use crate::testing::{acts, around, settled, wakeup};

    const TOWN: &str = "
        rig r1
        bead b1 issue open status_changed_at=-30m
    ";

    #[test]
    fn beads_no_rig_at_the_threshold_waits() {
        insta::assert_snapshot!(acts(TOWN, "0s"), @"nothing");
        insta::assert_snapshot!(wakeup(TOWN, "0s"), @"2026-04-04T12:00:00.001Z");
    }

    #[test]
    fn beads_no_rig_just_over_the_threshold_tells_once() {
        insta::assert_snapshot!(settled(TOWN, "1ms"), @r#"
        beads/no-rig: create_bead bead={"escalation":{"bead_id":"b1","category":"no_rig","severity":"high"},"labels":["gt:escalation","severity:high"],"priority":"high","status":"open","title":"no rig: b1","type":"escalation"} bead_id=t1-e1
        beads/no-rig: tell bead_id=b1 category=no_rig escalation_id=t1-e1
        escalations/notify: notify_mayor message=[high] no rig: b1

        it names no rig that exists; set its rig with update_bead topic=escalation:t1-e1
        at rest after 3 passes
        "#);
    }

    #[test]
    fn beads_no_rig_of_an_unknown_rig_tells_too() {
        let town = TOWN.replace("issue open", "issue open rig_id=gone");
        assert!(acts(&town, "1ms").contains("beads/no-rig: tell bead_id=b1"));
    }

    #[test]
    fn beads_no_rig_leaves_others_alone() {
        for more in [
            "rig_id=r1 last_dispatch_attempt_at=0s",
            r#"labels=["gt:held"]"#,
            r#"labels=["gt:triage-request"]"#,
            r#"labels=["gt:molecule-step"]"#,
            "told.no_rig=-1h",
        ] {
            let town = TOWN.replace("issue open", &std::format!("issue open {more}"));
            assert!(!acts(&town, "1ms").contains("no-rig"), "{more}");
        }
    }

    #[test]
    fn beads_no_rig_around_its_threshold() {
        insta::assert_snapshot!(around(TOWN, "0s"), @"
        just under: nothing, again at 2026-04-04T12:00:00.001Z
        at: nothing, again at 2026-04-04T12:00:00.001Z
        just over: beads/no-rig
        ");
    }
}
