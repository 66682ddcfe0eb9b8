//! `conditions/give-up`: where the policy says so, reviews don't wait for a condition for ever.

use alloc::format;

use crate::bead::{Bead, BeadStatus};
use crate::pass::{Due, Pass};
use crate::reason::ReasonCode;
use crate::rules::{On, Rule};
use crate::verdict::{Verdict, Wait, WaitFor};

pub(super) const RULE: Rule = Rule {
    id: "conditions/give-up",
    text: "A condition was told over poll_give_up_after ago, if that is set: each MR bead that \
           waits for it fails. Zero reopens its source, a time makes it wait.",
    on: On::LiveBead(evaluate),
};

fn evaluate(pass: &Pass<'_>, mr: &Bead) -> Verdict {
    let Some(after) = pass.policy().poll_give_up_after else {
        return Verdict::NotMine;
    };
    if mr.review().is_none_or(|review| review.pr_url.is_none()) {
        return Verdict::NotMine;
    }
    let told = pass
        .town
        .conditions_of(&mr.id)
        .filter(|condition| condition.kind.holds_polls())
        .filter_map(|condition| Some((condition.told_at?, condition)))
        .min_by_key(|(told_at, _)| *told_at);
    let Some((told_at, condition)) = told else {
        return Verdict::NotMine;
    };
    let kind = condition.kind.as_str();
    // Zero gives up at the limit itself, at which it was told (spec 1.10).
    let due = match after.is_zero() {
        true => pass.reached(told_at),
        false => pass.stale(told_at, after),
    };
    if let Due::At(until) = due {
        return Verdict::wait(
            Wait::on(WaitFor::Condition, format!("{kind}; it is given up then"))
                .id(kind)
                .since(condition.since)
                .not_before(until),
        );
    }
    let code = ReasonCode::ConditionGaveUp;
    let why = format!(
        "its pull request can't be looked at: {kind}: {}",
        condition.evidence
    );
    if !after.is_zero() {
        return Verdict::Act(pass.source_waits(mr, code, &why));
    }
    let mut actions = pass.source_reopens(mr, code, &why);
    actions.push(Pass::transition(mr, BeadStatus::Failed, code, &why));
    actions.extend(pass.tell_once(mr, code, why));
    Verdict::Act(actions)
}

#[cfg(test)]
mod tests {
    use crate::testing::{acts, around, settled};

    fn town(policy: &str) -> std::string::String {
        std::format!(
            r#"
            town {policy} conditions=[{{"kind":"credentials_missing","subject":{{"kind":"rig","id":"r1"}},"since":"2026-04-04T11:00:00Z","told_at":"2026-04-04T11:30:00Z","next_probe_at":"2026-04-04T13:00:00Z","evidence":"none"}}]
            rig r1
            bead b1 issue in_review rig_id=r1
            bead m1 merge_request in_progress rig_id=r1 review.source=b1 review.pr_url=https://github.com/acme/r1/pull/1 review.reviewed.at=-1h review.reviewed.head_sha=h1 review.poll.last_at=0s
            edge m1 tracks b1"#
        )
    }

    #[test]
    fn conditions_give_up_not_by_default() {
        assert_eq!(acts(&town(""), "50m"), "nothing");
    }

    #[test]
    fn conditions_give_up_after_a_time_holds_the_source() {
        let held = town("policy.poll_give_up_after=PT30M");
        assert_eq!(acts(&held, "0s"), "nothing");
        insta::assert_snapshot!(settled(&held, "1ms"), @r#"
        conditions/give-up: transition_bead bead_id=b1 from=in_review reason=source_waits to=open
        conditions/give-up: set_label bead_id=b1 label=gt:held
        conditions/give-up: transition_bead bead_id=m1 from=in_progress reason=condition_gave_up to=failed
        conditions/give-up: create_bead bead={"escalation":{"bead_id":"m1","category":"condition_gave_up","severity":"high"},"labels":["gt:escalation","severity:high"],"priority":"high","rig_id":"r1","status":"open","title":"condition gave up: m1","type":"escalation"} bead_id=t1-e1
        conditions/give-up: tell bead_id=m1 category=condition_gave_up escalation_id=t1-e1
        conditions/end: clear_condition kind=credentials_missing subject={"id":"r1","kind":"rig"}
        conditions/end: notify_mayor message=over: credentials missing in rig r1 (no pull request is left that waits for it) topic=condition:credentials_missing:r1
        escalations/notify: notify_mayor message=[high] condition gave up: m1

        its pull request can't be looked at: credentials_missing: none topic=escalation:t1-e1
        at rest after 3 passes
        "#);
    }

    /// Zero is the limit itself: what tells gives up in the same instant.
    #[test]
    fn conditions_give_up_at_once_where_the_policy_says_zero() {
        let at_the_limit = town("policy.poll_give_up_after=PT0S")
            .replace(r#""told_at":"2026-04-04T11:30:00Z""#, r#""strikes":10"#);
        let settled = settled(&at_the_limit, "0s");
        let rules: std::vec::Vec<&str> = settled
            .lines()
            .filter_map(|line| line.split_once(": ").map(|(rule, _)| rule))
            .collect();
        let told = rules.iter().position(|rule| *rule == "conditions/tell");
        let given_up = rules.iter().position(|rule| *rule == "conditions/give-up");
        assert!(told.is_some() && told < given_up, "{settled}");
    }

    #[test]
    fn conditions_give_up_at_the_limit_reopens_the_source() {
        insta::assert_snapshot!(acts(&town("policy.poll_give_up_after=PT0S"), "0s"), @r#"
        conditions/give-up: transition_bead bead_id=b1 from=in_review reason=condition_gave_up to=open
        conditions/give-up: transition_bead bead_id=m1 from=in_progress reason=condition_gave_up to=failed
        conditions/give-up: create_bead bead={"escalation":{"bead_id":"m1","category":"condition_gave_up","severity":"high"},"labels":["gt:escalation","severity:high"],"priority":"high","rig_id":"r1","status":"open","title":"condition gave up: m1","type":"escalation"} bead_id=t1-e1
        conditions/give-up: tell bead_id=m1 category=condition_gave_up escalation_id=t1-e1
        "#);
    }

    #[test]
    fn conditions_give_up_around_its_threshold() {
        let held = town("policy.poll_give_up_after=PT30M");
        insta::assert_snapshot!(around(&held, "0s"), @"
        just under: nothing, again at 2026-04-04T12:00:00.001Z
        at: nothing, again at 2026-04-04T12:00:00.001Z
        just over: conditions/give-up
        ");
    }
}
