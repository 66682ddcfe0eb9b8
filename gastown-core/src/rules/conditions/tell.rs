//! `conditions/tell`: a condition that begins to matter is told, once.

use alloc::format;
use alloc::string::String;
use alloc::vec;

use super::{about, topic};
use crate::action::{CreateBead, NotifyMayor, SetCondition};
use crate::condition::{Condition, ConditionKind};
use crate::escalation::Severity;
use crate::pass::Pass;
use crate::rules::{On, Rule};
use crate::verdict::{Verdict, Wait, WaitFor};

pub(super) const RULE: Rule = Rule {
    id: "conditions/tell",
    text: "Strikes at the limit of the condition's kind and not told: one escalation, unless one of the \
           same kind and subject, made within re_escalate_every, still stands: then the mayor hears that it is back.",
    on: On::Condition(evaluate),
};

fn evaluate(pass: &Pass<'_>, condition: &Condition) -> Verdict {
    if !condition.holds() || condition.told_at.is_some() {
        return Verdict::NotMine;
    }
    let limit = match condition.kind {
        ConditionKind::ForgeUnreachable
        | ConditionKind::CredentialsMissing
        | ConditionKind::CredentialsRejected
        | ConditionKind::PermissionMissing => pass.policy().poll_transient_limit,
        ConditionKind::ApiDrift | ConditionKind::MergeMethodImpossible => 0,
        ConditionKind::RateLimited => return Verdict::NotMine,
    };
    if condition.strikes < limit {
        let mut wait = Wait::on(
            WaitFor::Forge,
            "the forge is asked again before a person is",
        )
        .since(condition.since);
        wait.until = condition.next_probe_at;
        return Verdict::wait(wait);
    }
    let set = SetCondition {
        kind: condition.kind,
        subject: condition.subject.clone(),
    };
    if pass.town.still_said_of(condition, pass.now).is_some() {
        let notice = NotifyMayor {
            topic: topic(condition),
            message: format!("again: {}", about(condition)),
        };
        return Verdict::Act(vec![set.into(), notice.into()]);
    }
    let mut escalation = pass.escalation(
        Severity::High,
        condition.kind.category().as_str(),
        about(condition),
        message(condition),
        None,
    );
    escalation.rig_id = condition.subject.rig().cloned();
    let create = CreateBead {
        bead_id: escalation.id.clone(),
        bead: escalation.into(),
    };
    Verdict::Act(vec![create.into(), set.into()])
}

fn message(condition: &Condition) -> String {
    let waits = match condition.kind {
        ConditionKind::ApiDrift => "Nothing waits for it, but what is read may be wrong.",
        ConditionKind::MergeMethodImpossible => {
            "Nothing is merged in this rig until the configuration or the repository allows a \
             method, or this is acknowledged."
        }
        ConditionKind::ForgeUnreachable
        | ConditionKind::RateLimited
        | ConditionKind::CredentialsMissing
        | ConditionKind::CredentialsRejected
        | ConditionKind::PermissionMissing => {
            "Pull requests wait for it and go on by themselves once it is over."
        }
    };
    format!(
        "{} since {}. {waits} The last answer: {}",
        about(condition),
        condition.since,
        condition.evidence
    )
}

#[cfg(test)]
mod tests {
    use crate::testing::{acts, around_count, settled};

    fn town(condition: &str) -> std::string::String {
        std::format!(
            r#"
            town conditions=[{{"subject":{{"kind":"rig","id":"r1"}},"since":"2026-04-04T11:00:00Z","next_probe_at":"2026-04-04T13:00:00Z","evidence":"401",{condition}}}]
            rig r1
            bead b1 issue in_review rig_id=r1
            bead m1 merge_request in_progress rig_id=r1 review.source=b1 review.pr_url=https://github.com/acme/r1/pull/1 review.reviewed.at=-1h review.reviewed.head_sha=h1 review.poll.last_at=0s
            edge m1 tracks b1"#
        )
    }

    #[test]
    fn conditions_tell_under_the_limit_waits() {
        let under = town(r#""kind":"credentials_rejected","strikes":9"#);
        assert_eq!(acts(&under, "0s"), "nothing");
    }

    #[test]
    fn conditions_tell_at_the_limit_once() {
        let at = town(r#""kind":"credentials_rejected","strikes":10"#);
        insta::assert_snapshot!(settled(&at, "0s"), @r#"
        conditions/tell: create_bead bead={"escalation":{"category":"credentials_rejected","severity":"high"},"labels":["gt:escalation","severity:high"],"priority":"high","rig_id":"r1","status":"open","title":"credentials rejected in rig r1","type":"escalation"} bead_id=t1-e1
        conditions/tell: set_condition kind=credentials_rejected subject={"id":"r1","kind":"rig"}
        escalations/notify: notify_mayor message=[high] credentials rejected in rig r1

        credentials rejected in rig r1 since 2026-04-04T11:00:00.000Z. Pull requests wait for it and go on by themselves once it is over. The last answer: 401 topic=escalation:t1-e1
        at rest after 3 passes
        "#);
    }

    /// A condition that came back while the word of before stands is recorded as told, and not said again.
    #[test]
    fn conditions_tell_not_what_was_said_lately_and_still_stands() {
        let again = |of: &str| {
            let town = town(r#""kind":"credentials_rejected","strikes":10"#);
            let said = std::format!(
                "{town}\nbead e1 escalation open created_by=system escalation.severity=high escalation.notified_at=-1m escalation.category=credentials_rejected {of}"
            );
            let told = acts(&said, "0s");
            assert!(told.contains("set_condition"), "{told}");
            let is_new = told.contains("create_bead");
            let is_back =
                told.contains("notify_mayor message=again: credentials rejected in rig r1");
            assert_ne!(is_new, is_back, "{told}");
            is_new
        };
        assert!(!again("rig_id=r1 created_at=-239m"));
        assert!(again("rig_id=r1 created_at=-240m"), "re_escalate_every");
        assert!(
            again("rig_id=r1 created_at=1m"),
            "a clock that was set back"
        );
        assert!(again("created_at=-1m"), "of the town");
        assert!(again(
            "rig_id=r1 created_at=-1m escalation.acknowledged_at=0s"
        ));
    }

    /// What only a person ends is said each time that it comes back; what is of the town is not of a rig.
    #[test]
    fn conditions_tell_again_of_what_a_person_thought_to_have_ended() {
        let again = |kind: &str, subject: &str, of: &str| {
            let town = town(&std::format!(r#""kind":"{kind}","strikes":10"#));
            let town = town.replace(r#"{"kind":"rig","id":"r1"}"#, subject);
            let said = std::format!(
                "{town}\nbead e1 escalation open created_by=system escalation.severity=high escalation.notified_at=-1m escalation.category={kind} created_at=-1m {of}"
            );
            acts(&said, "0s").contains("create_bead")
        };
        let (rig, town) = (r#"{"kind":"rig","id":"r1"}"#, r#"{"kind":"town"}"#);
        assert!(again("merge_method_impossible", rig, "rig_id=r1"));
        assert!(!again("api_drift", town, ""));
        assert!(again("api_drift", town, "rig_id=r1"));
    }

    #[test]
    fn conditions_tell_at_once_what_only_a_person_can_change() {
        for kind in ["api_drift", "merge_method_impossible"] {
            let town = town(&std::format!(r#""kind":"{kind}","strikes":1"#));
            assert!(acts(&town, "0s").contains("conditions/tell"), "{kind}");
        }
    }

    #[test]
    fn conditions_tell_never_of_a_rate_limit() {
        let limited = town(r#""kind":"rate_limited","strikes":99,"until":"2026-04-04T13:00:00Z""#);
        assert_eq!(acts(&limited, "0s"), "nothing");
    }

    #[test]
    fn conditions_tell_around_the_limit() {
        insta::assert_snapshot!(around_count(&town(r#""kind":"credentials_rejected","strikes":10"#), r#""strikes":10"#, "0s"), @"
        9: nothing, again at 2026-04-04T13:00:00.000Z
        10: conditions/tell
        11: conditions/tell
        ");
    }
}
