//! `review/merge-overdue`: a merge attempt without an outcome is given up; it may have merged.

use alloc::format;
use alloc::string::ToString;
use alloc::vec;

use crate::action::MarkAutoMerge;
use crate::bead::Bead;
use crate::pass::{Due, Pass};
use crate::reason::ReasonCode;
use crate::review::OFF_UNSEEN;
use crate::rules::conditions::condition_wait;
use crate::rules::{On, Rule};
use crate::verdict::{Verdict, Wait, WaitFor};

pub(super) const RULE: Rule = Rule {
    id: "review/merge-overdue",
    text: "A merge attempt without an outcome for merge_outcome_timeout: given up as refused. \
           Only a new observation can make the merge pending again.",
    on: On::LiveBead(evaluate),
};

fn evaluate(pass: &Pass<'_>, mr: &Bead) -> Verdict {
    let Some(review) = mr.review() else {
        return Verdict::NotMine;
    };
    let auto = &review.auto_merge;
    let Some(attempt) = &auto.attempt else {
        return Verdict::NotMine;
    };
    // While the forge is in trouble no timeout is spent (spec 1.8).
    let trouble = pass
        .town
        .conditions_of(&mr.id)
        .find(|condition| condition.kind.holds_merges());
    if let Some(condition) = trouble {
        let text = "nothing can be merged meanwhile";
        return Verdict::wait(condition_wait(condition, text));
    }
    let due = pass.stale(attempt.at, pass.policy().merge_outcome_timeout);
    if let Due::At(until) = due {
        return Verdict::wait(
            Wait::on(WaitFor::Forge, "its merge is under way")
                .since(attempt.at)
                .not_before(until),
        );
    }
    let refusals = auto.refusals.saturating_add(1);
    let head = review.head_sha.as_deref().unwrap_or(OFF_UNSEEN);
    let spent = review.is_at(&attempt.head_sha) && refusals >= pass.policy().refusals_max();
    let mark = MarkAutoMerge {
        bead_id: mr.id.clone(),
        pending: false,
        ready_since: None,
        head_sha: None,
        off_for_head: spent.then(|| head.to_string()),
        attempt_given_up: true,
    };
    let mut actions = vec![mark.into()];
    if spent {
        let words = auto.last_refusal.as_deref().unwrap_or("nothing at all");
        let message = format!(
            "the merge was refused {refusals} times, or had no outcome; the engine does not \
             merge this head any more. The forge last said: {words}"
        );
        actions.extend(pass.tell_once(mr, ReasonCode::MergeRefused, message));
    }
    Verdict::Act(actions)
}

#[cfg(test)]
mod tests {
    use crate::testing::{acts, around, around_count, settled};

    const TOWN: &str = "
        rig r1
        bead b1 issue in_review rig_id=r1
        bead m1 merge_request in_progress rig_id=r1 review.source=b1 review.pr_url=https://github.com/acme/r1/pull/1 review.head_sha=h1 review.reviewed.at=-1h review.reviewed.head_sha=h1 review.poll.last_at=0s review.poll.changed_at=0s review.auto_merge.attempt={\"number\":1,\"head_sha\":\"h1\",\"at\":\"2026-04-04T11:55:00Z\"} review.auto_merge.attempts=1 review.auto_merge.pending=true review.auto_merge.refusals=3
        edge m1 tracks b1
    ";

    #[test]
    fn review_merge_overdue_around_its_threshold() {
        insta::assert_snapshot!(around(TOWN, "0s"), @"
        just under: nothing, again at 2026-04-04T12:00:00.001Z
        at: nothing, again at 2026-04-04T12:00:00.001Z
        just over: review/merge-overdue
        ");
    }

    #[test]
    fn review_merge_overdue_at_the_threshold_waits() {
        assert_eq!(acts(TOWN, "0s"), "nothing");
    }

    #[test]
    fn review_merge_overdue_under_a_condition_waits() {
        for kind in ["merge_method_impossible", "credentials_rejected"] {
            let town = std::format!(
                r#"town conditions=[{{"kind":"{kind}","subject":{{"kind":"rig","id":"r1"}},"since":"2026-04-04T11:00:00Z","told_at":"2026-04-04T11:00:00Z","next_probe_at":"2026-04-04T13:00:00Z"}}]{TOWN}"#
            );
            assert_eq!(acts(&town, "1ms"), "nothing", "{kind}");
        }
    }

    #[test]
    fn review_merge_overdue_just_over_the_threshold_gives_up_and_looks() {
        insta::assert_snapshot!(settled(TOWN, "1ms"), @"
        review/merge-overdue: mark_auto_merge attempt_given_up=true bead_id=m1 head_sha=null pending=false ready_since=null
        review/poll: poll_pr bead_id=m1 pr_url=https://github.com/acme/r1/pull/1 with_feedback=false
        at rest after 3 passes
        ");
    }

    #[test]
    fn review_merge_overdue_at_the_limit_tells_once() {
        let town = TOWN.replace("refusals=3", "refusals=4");
        insta::assert_snapshot!(acts(&town, "1ms"), @r#"
        review/merge-overdue: mark_auto_merge attempt_given_up=true bead_id=m1 head_sha=null off_for_head=h1 pending=false ready_since=null
        review/merge-overdue: create_bead bead={"escalation":{"bead_id":"m1","category":"merge_refused","severity":"high"},"labels":["gt:escalation","severity:high"],"priority":"high","rig_id":"r1","status":"open","title":"merge refused: m1","type":"escalation"} bead_id=t1-e1
        review/merge-overdue: tell bead_id=m1 category=merge_refused escalation_id=t1-e1
        "#);
    }

    #[test]
    fn review_merge_overdue_around_the_limit_of_refusals() {
        insta::assert_snapshot!(around_count(&TOWN.replace("refusals=3", "refusals=4"), "refusals=4", "1ms"), @"
        3: review/merge-overdue
        4: review/merge-overdue category=merge_refused
        5: review/merge-overdue category=merge_refused
        ");
    }

    #[test]
    fn review_merge_overdue_costs_no_other_head_than_the_one_tried() {
        let town = TOWN.replace(r#""head_sha":"h1","at""#, r#""head_sha":"h0","at""#);
        let town = town.replace("refusals=3", "refusals=4");
        let after = settled(&town, "1ms");
        assert!(after.contains("review/merge-overdue"), "{after}");
        assert!(
            !after.contains("off_for_head=h1") && !after.contains("merge_refused"),
            "{after}"
        );
    }

    /// Spec 1.8: no timeout is spent while a condition holds; it begins anew where that ends.
    #[test]
    fn review_merge_overdue_counts_from_the_end_of_a_condition() {
        let condition = r#"town conditions=[{"kind":"rate_limited","subject":{"kind":"town"},"since":"2026-04-04T11:56:00Z","until":"2026-04-04T12:30:00Z"}]"#;
        let town = std::format!("{condition}\n{TOWN}");
        let ended = settled(&town, "31m");
        assert!(ended.contains("conditions/end"), "{ended}");
        assert!(!ended.contains("review/merge-overdue"), "{ended}");
    }
}
