//! `review/verify`: whether a direct merge landed is asked, never believed.

use crate::action::VerifyMerge;
use crate::bead::Bead;
use crate::pass::{Due, Pass};
use crate::reason::ReasonCode;
use crate::review::{Review, VERIFY_TRIES_MAX, Verify};
use crate::rules::conditions::waits_for_probe;
use crate::rules::{On, Rule};
use crate::verdict::{Verdict, Wait, WaitFor};

pub(super) const RULE: Rule = Rule {
    id: "review/verify",
    text: "A refinery says that it merged: asked whether the work is on the target, again after \
           merge_outcome_timeout, five times at most; then a person is told once.",
    on: On::LiveBead(evaluate),
};

fn evaluate(pass: &Pass<'_>, mr: &Bead) -> Verdict {
    let Some(review) = mr.review() else {
        return Verdict::NotMine;
    };
    let Some(verify) = &review.verify else {
        return Verdict::NotMine;
    };
    // While the forge is in trouble no try is spent (spec 1.8).
    let trouble = pass.town.polls_are_held_by(&mr.id);
    if let Some(condition) = trouble {
        return Verdict::Wait(waits_for_probe(pass, condition, "the forge can't be asked"));
    }
    let due = match verify.asked_at {
        None => Due::Now,
        Some(at) => pass.stale(at, pass.policy().merge_outcome_timeout),
    };
    match due {
        Due::At(until) => {
            let mut wait = Wait::on(WaitFor::Forge, "whether its merge landed is being asked")
                .not_before(until);
            wait.since = verify.asked_at;
            Verdict::wait(wait)
        }
        Due::Now if verify.tries < VERIFY_TRIES_MAX => Verdict::act(ask(pass, mr, review, verify)),
        Due::Now => tell(pass, mr),
    }
}

fn ask(pass: &Pass<'_>, mr: &Bead, review: &Review, verify: &Verify) -> VerifyMerge {
    VerifyMerge {
        bead_id: mr.id.clone(),
        rig_id: pass.town.rig_of_review(mr).map(|rig| rig.id.clone()),
        branch: review.branch.clone(),
        target_branch: review.target_branch.clone(),
        merge_commit: verify.merge_commit.clone(),
        number: review.verifications.saturating_add(1),
    }
}

fn tell(pass: &Pass<'_>, mr: &Bead) -> Verdict {
    let message = "the refinery says that it merged this, and five times the forge could not \
                   tell whether the work is on the target; a person has to look, and close, fail \
                   or retry the review";
    let actions = pass.tell_once(mr, ReasonCode::MergeUnverified, message);
    if actions.is_empty() {
        return Verdict::wait(Wait::on(
            WaitFor::Person,
            "nobody could tell whether its merge landed; a person was told",
        ));
    }
    Verdict::Act(actions)
}

#[cfg(test)]
mod tests {
    use crate::ids::BeadId;
    use crate::testing::{acts, around, around_count, at, settled, town};
    use crate::verdict::WaitFor;

    const TOWN: &str = "
        rig r1
        bead b1 issue in_review rig_id=r1
        bead m1 merge_request in_progress rig_id=r1 review.source=b1 review.verify.merge_commit=c1 review.verifications=4 updated_at=-1d
        edge m1 tracks b1
    ";

    #[test]
    fn review_verify_around_its_threshold() {
        insta::assert_snapshot!(around(&asked(1), "0s"), @"
        just under: nothing, again at 2026-04-04T12:00:00.001Z
        at: nothing, again at 2026-04-04T12:00:00.001Z
        just over: review/verify
        ");
        insta::assert_snapshot!(around(&asked(5), "0s"), @"
        just under: nothing, again at 2026-04-04T12:00:00.001Z
        at: nothing, again at 2026-04-04T12:00:00.001Z
        just over: review/verify
        ");
    }

    #[test]
    fn review_verify_asks_at_once() {
        insta::assert_snapshot!(settled(TOWN, "0s"), @"
        review/verify: verify_merge bead_id=m1 branch=work/m1 merge_commit=c1 number=5 rig_id=r1 target_branch=main
        at rest after 2 passes
        ");
    }

    fn asked(tries: u32) -> std::string::String {
        TOWN.replace(
            "review.verifications",
            &std::format!(
                "review.verify.asked_at=-5m review.verify.tries={tries} review.verifications"
            ),
        )
    }

    #[test]
    fn review_verify_at_the_threshold_waits() {
        assert_eq!(acts(&asked(1), "0s"), "nothing");
        assert_eq!(acts(&asked(5), "0s"), "nothing");
    }

    #[test]
    fn review_verify_just_over_the_threshold_asks_again() {
        insta::assert_snapshot!(acts(&asked(4), "1ms"), @"review/verify: verify_merge bead_id=m1 branch=work/m1 merge_commit=c1 number=5 rig_id=r1 target_branch=main");
    }

    #[test]
    fn review_verify_after_five_tries_tells_once_and_rests() {
        insta::assert_snapshot!(settled(&asked(5), "1ms"), @r#"
        review/verify: create_bead bead={"escalation":{"bead_id":"m1","category":"merge_unverified","severity":"high"},"labels":["gt:escalation","severity:high"],"priority":"high","rig_id":"r1","status":"open","title":"merge unverified: m1","type":"escalation"} bead_id=t1-e1
        review/verify: tell bead_id=m1 category=merge_unverified escalation_id=t1-e1
        escalations/notify: notify_mayor message=[high] merge unverified: m1

        the refinery says that it merged this, and five times the forge could not tell whether the work is on the target; a person has to look, and close, fail or retry the review topic=escalation:t1-e1
        at rest after 3 passes
        "#);
    }

    #[test]
    fn review_verify_waits_while_the_forge_is_in_trouble() {
        let trouble = r#"town conditions=[{"kind":"forge_unreachable","subject":{"kind":"town"},"since":"2026-04-04T11:00:00Z","next_probe_at":"2026-04-04T13:00:00Z"}]
            bead b2 issue in_review rig_id=r1
            bead m2 merge_request in_progress rig_id=r1 review.source=b2 review.pr_url=https://github.com/acme/r1/pull/2 review.poll.last_at=0s review.reviewed.at=0s review.reviewed.head_sha=h1
            edge m2 tracks b2"#;
        let text = std::format!("{trouble}\n{TOWN}");
        assert!(!acts(&text, "0s").contains("verify"));
        // Whose look can show that it is over, and when, is said.
        let explained =
            crate::explain(&town(&text), at("0s"), &BeadId::new("m1").unwrap()).unwrap();
        let probes = explained
            .waits_for
            .iter()
            .find(|wait| wait.kind == WaitFor::Bead);
        assert_eq!(probes.and_then(|wait| wait.id.as_deref()), Some("m2"));
        assert_eq!(explained.next_rule.unwrap().rule, "review/poll");
    }

    #[test]
    fn review_verify_around_the_limit_of_tries() {
        insta::assert_snapshot!(around_count(&asked(5), "tries=5", "1ms"), @"
        4: review/verify
        5: review/verify category=merge_unverified
        6: review/verify category=merge_unverified
        ");
    }
}
