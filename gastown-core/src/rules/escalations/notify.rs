//! `escalations/notify`: the mayor hears of an escalation.

use super::{notify, repeat, unacknowledged};
use crate::bead::Bead;
use crate::escalation::Severity;
use crate::pass::{Due, Pass};
use crate::rules::{On, Rule};
use crate::verdict::Verdict;

pub(super) const RULE: Rule = Rule {
    id: "escalations/notify",
    text: "A live escalation, unacknowledged, of severity medium or more, never notified, \
           `escalations/repeat` not due: the mayor is notified.",
    on: On::LiveBead(evaluate),
};

fn evaluate(pass: &Pass<'_>, bead: &Bead) -> Verdict {
    let Some(escalation) = unacknowledged(bead) else {
        return Verdict::NotMine;
    };
    let is_due = escalation.notified_at.is_none() && escalation.severity >= Severity::Medium;
    if !is_due || repeat::due(pass, bead) == Some(Due::Now) {
        return Verdict::NotMine;
    }
    Verdict::act(notify(bead, escalation.severity))
}

#[cfg(test)]
mod tests {
    use crate::testing::{acts, settled};

    const TOWN: &str = "
        bead e1 escalation open created_at=-1s escalation.severity=medium body=why
    ";

    #[test]
    fn escalations_notify_once() {
        insta::assert_snapshot!(settled(TOWN, "0s"), @"
        escalations/notify: notify_mayor message=[medium] e1

        why topic=escalation:e1
        at rest after 2 passes
        ");
    }

    #[test]
    fn escalations_notify_leaves_others_alone() {
        for (from, to) in [
            ("medium", "low"),
            ("open", "closed"),
            ("medium", "medium escalation.notified_at=-1s"),
            ("medium", "medium escalation.acknowledged_at=-1s"),
        ] {
            assert_eq!(acts(&TOWN.replace(from, to), "0s"), "nothing", "{to}");
        }
        let old = TOWN.replace("-1s", "-5h");
        assert!(!acts(&old, "0s").contains("escalations/notify"));
    }
}
