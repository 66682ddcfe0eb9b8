//! `escalations/repeat`: nobody took note, so it is raised and said again.

use alloc::vec;

use super::{acknowledged, for_a_person, notify, unacknowledged};
use crate::action::ReEscalate;
use crate::bead::Bead;
use crate::pass::{Due, Pass};
use crate::rules::{On, Rule};
use crate::verdict::Verdict;

pub(super) const RULE: Rule = Rule {
    id: "escalations/repeat",
    text: "A live escalation, unacknowledged, re_escalations under the limit, older than \
           (re_escalations + 1) times re_escalate_every: one severity up, the mayor notified.",
    on: On::LiveBead(evaluate),
};

fn evaluate(pass: &Pass<'_>, bead: &Bead) -> Verdict {
    let Some(escalation) = unacknowledged(bead) else {
        return acknowledged(bead);
    };
    match due(pass, bead) {
        Some(Due::Now) => {
            let to = escalation.severity.raised();
            Verdict::Act(vec![
                ReEscalate {
                    bead_id: bead.id.clone(),
                    from: escalation.severity,
                    to,
                }
                .into(),
                notify(bead, to),
            ])
        }
        Some(Due::At(until)) => Verdict::wait(for_a_person(bead).not_before(until)),
        None => Verdict::wait(for_a_person(bead)),
    }
}

/// When an unacknowledged escalation is raised; none when that was done as often as allowed.
///
/// Two repeats lie at least half a period apart: after a long sleep of the host people get the
/// time to answer the first before they hear the second.
pub(super) fn due(pass: &Pass<'_>, bead: &Bead) -> Option<Due> {
    let policy = pass.policy();
    let escalation = unacknowledged(bead)?;
    if escalation.re_escalations >= policy.re_escalations {
        return None;
    }
    let every = policy.re_escalate_every;
    let times = escalation.re_escalations.saturating_add(1);
    let by_age = pass.stale(bead.created_at, every.saturating_mul(times));
    let last = escalation
        .notified_at
        .filter(|_| escalation.re_escalations > 0);
    match (by_age, last) {
        (Due::Now, Some(last)) => Some(pass.stale(last, every.checked_div(2).unwrap_or_default())),
        (Due::Now | Due::At(_), _) => Some(by_age),
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{acts, around, around_count, settled, wakeup};

    const TOWN: &str = "
        bead e1 escalation open created_at=-4h escalation.severity=low body=why
    ";

    #[test]
    fn escalations_repeat_around_each_threshold() {
        insta::assert_snapshot!(around(TOWN, "0s"), @"
        just under: nothing, again at 2026-04-04T12:00:00.001Z
        at: nothing, again at 2026-04-04T12:00:00.001Z
        just over: escalations/repeat
        ");
        let second = TOWN.replace("-4h", "-8h").replace(
            "low",
            "medium escalation.re_escalations=1 escalation.notified_at=-4h",
        );
        insta::assert_snapshot!(around(&second, "0s"), @"
        just under: nothing, again at 2026-04-04T12:00:00.001Z
        at: nothing, again at 2026-04-04T12:00:00.001Z
        just over: escalations/repeat
        ");
    }

    #[test]
    fn escalations_repeat_at_the_threshold_waits() {
        insta::assert_snapshot!(acts(TOWN, "0s"), @"nothing");
        insta::assert_snapshot!(wakeup(TOWN, "0s"), @"2026-04-04T12:00:00.001Z");
    }

    #[test]
    fn escalations_repeat_just_over_the_threshold_raises_and_notifies() {
        insta::assert_snapshot!(settled(TOWN, "1ms"), @"
        escalations/repeat: re_escalate bead_id=e1 from=low to=medium
        escalations/repeat: notify_mayor message=[medium] e1

        why topic=escalation:e1
        at rest after 2 passes
        ");
    }

    #[test]
    fn escalations_repeat_critical_stays() {
        let town = TOWN.replace("low", "critical escalation.notified_at=-4h");
        insta::assert_snapshot!(settled(&town, "1ms"), @"
        escalations/repeat: re_escalate bead_id=e1 from=critical to=critical
        escalations/repeat: notify_mayor message=[critical] e1

        why topic=escalation:e1
        at rest after 2 passes
        ");
    }

    #[test]
    fn escalations_repeat_the_third_comes_at_twelve_hours_and_is_the_last() {
        let third = TOWN.replace("-4h", "-12h").replace(
            "low",
            "high escalation.re_escalations=2 escalation.notified_at=-4h",
        );
        assert_eq!(acts(&third, "0s"), "nothing");
        assert!(acts(&third, "1ms").contains("re_escalate"));
        let spent = third.replace("re_escalations=2", "re_escalations=3");
        assert_eq!(acts(&spent, "9h"), "nothing");
        assert_eq!(wakeup(&spent, "0s"), "never");
    }

    #[test]
    fn escalations_repeat_only_once_after_a_long_sleep() {
        let town = TOWN.replace("-4h", "-40h");
        let settled = settled(&town, "0s");
        assert_eq!(settled.matches("re_escalate").count(), 1, "{settled}");
    }

    #[test]
    fn escalations_repeat_leaves_others_alone() {
        for (from, to) in [
            ("open", "closed"),
            (
                "severity=low",
                "severity=low escalation.acknowledged_at=-1s",
            ),
        ] {
            assert_eq!(acts(&TOWN.replace(from, to), "1ms"), "nothing", "{to}");
        }
    }

    #[test]
    fn escalations_repeat_around_the_limit() {
        let late = TOWN.replace("-4h", "-20h").replace(
            "low",
            "high escalation.re_escalations=3 escalation.notified_at=-4h",
        );
        insta::assert_snapshot!(around_count(&late, "re_escalations=3", "0s"), @"
        2: escalations/repeat to=critical
        3: nothing, again never
        4: nothing, again never
        ");
    }

    /// The first repeat goes by the age alone, however late the first notice was.
    #[test]
    fn escalations_repeat_the_first_asks_for_no_time_since_the_notice() {
        let late = TOWN.replace("low", "low escalation.notified_at=-1m");
        assert_eq!(acts(&late, "0s"), "nothing");
        assert!(acts(&late, "1ms").contains("re_escalate"));
        let second = TOWN.replace("-4h", "-8h").replace(
            "low",
            "medium escalation.re_escalations=1 escalation.notified_at=-1m",
        );
        assert_eq!(acts(&second, "1ms"), "nothing");
    }
}
