//! `conditions/end`: a condition that is over, or that nothing could show to be over, is removed.

use alloc::format;
use alloc::vec;

use super::{about, topic};
use crate::action::{ClearCondition, NotifyMayor};
use crate::condition::{Condition, ConditionKind};
use crate::pass::{Due, Pass};
use crate::rules::{On, Rule};
use crate::verdict::{Verdict, Wait, WaitFor};

pub(super) const RULE: Rule = Rule {
    id: "conditions/end",
    text: "A condition that evidence ended, whose time has come, or that no live pull request is \
           left to probe: removed; if a person was told of it, the mayor hears that it is over.",
    on: On::Condition(evaluate),
};

fn evaluate(pass: &Pass<'_>, condition: &Condition) -> Verdict {
    let untested = pass.town.pull_requests_under(&condition.subject).is_empty();
    if !condition.holds() {
        return over(condition, "it has ended");
    }
    if untested {
        return over(condition, "no pull request is left that waits for it");
    }
    if condition.kind != ConditionKind::RateLimited {
        return Verdict::NotMine;
    }
    let until = condition.until.unwrap_or(condition.since);
    match pass.reached(until) {
        Due::Now => over(condition, "its time is over"),
        Due::At(until) => Verdict::wait(
            Wait::on(WaitFor::Forge, "the forge limits the rate")
                .since(condition.since)
                .not_before(until),
        ),
    }
}

fn over(condition: &Condition, why: &str) -> Verdict {
    let clear = ClearCondition {
        kind: condition.kind,
        subject: condition.subject.clone(),
    };
    let mut actions = vec![clear.into()];
    if condition.told_at.is_some() {
        let notice = NotifyMayor {
            topic: topic(condition),
            message: format!("over: {} ({why})", about(condition)),
        };
        actions.push(notice.into());
    }
    Verdict::Act(actions)
}

#[cfg(test)]
mod tests {
    use crate::testing::{acts, around, settled};

    fn town(condition: &str, pull_request: &str) -> std::string::String {
        std::format!(
            r#"
            town conditions=[{{"subject":{{"kind":"rig","id":"r1"}},"since":"2026-04-04T11:00:00Z",{condition}}}]
            rig r1
            bead b1 issue in_review rig_id=r1
            bead m1 merge_request in_progress rig_id=r1 review.source=b1 review.poll.last_at=0s review.verify.asked_at=0s {pull_request}
            edge m1 tracks b1"#
        )
    }

    const PR: &str = "review.pr_url=https://github.com/acme/r1/pull/1 review.reviewed.at=-1h review.reviewed.head_sha=h1";

    #[test]
    fn conditions_end_at_its_time() {
        let limited = town(
            r#""kind":"rate_limited","until":"2026-04-04T12:00:01Z""#,
            PR,
        );
        assert_eq!(acts(&limited, "999ms"), "nothing");
        insta::assert_snapshot!(settled(&limited, "1s"), @r#"
        conditions/end: clear_condition kind=rate_limited subject={"id":"r1","kind":"rig"}
        review/waiting: notify_mayor message=https://github.com/acme/r1/pull/1 has not changed since 2026-03-05T12:00:00.000Z. It waits for: a first look; delay (never; people merge) topic=pr_waiting:m1
        at rest after 3 passes
        "#);
    }

    #[test]
    fn conditions_end_without_a_pull_request_left() {
        let untold = town(r#""kind":"credentials_rejected","strikes":1"#, "");
        insta::assert_snapshot!(settled(&untold, "0s"), @r#"
        conditions/end: clear_condition kind=credentials_rejected subject={"id":"r1","kind":"rig"}
        at rest after 2 passes
        "#);
    }

    #[test]
    fn conditions_end_told_is_notified() {
        let told = r#""kind":"credentials_rejected","strikes":9,"told_at":"2026-04-04T11:30:00Z","next_probe_at":"2026-04-04T13:00:00Z""#;
        assert_eq!(acts(&town(told, PR), "0s"), "nothing");
        let ended = std::format!(r#"{told},"ended_at":"2026-04-04T12:00:00Z""#);
        insta::assert_snapshot!(settled(&town(&ended, PR), "0s"), @r#"
        conditions/end: clear_condition kind=credentials_rejected subject={"id":"r1","kind":"rig"}
        conditions/end: notify_mayor message=over: credentials rejected in rig r1 (it has ended) topic=condition:credentials_rejected:r1
        review/waiting: notify_mayor message=https://github.com/acme/r1/pull/1 has not changed since 2026-03-05T12:00:00.000Z. It waits for: a first look; delay (never; people merge) topic=pr_waiting:m1
        at rest after 2 passes
        "#);
    }

    #[test]
    fn conditions_end_around_its_time() {
        let limited = town(
            r#""kind":"rate_limited","until":"2026-04-04T12:00:01Z""#,
            PR,
        );
        insta::assert_snapshot!(around(&limited, "1s"), @"
        just under: nothing, again at 2026-04-04T12:00:01.000Z
        at: conditions/end
        just over: conditions/end
        ");
    }
}
