//! `convoys/landing-exhausted`: every landing attempt of a rig was made.

use alloc::format;

use super::{Issues, Landed};
use crate::action::{ActionKind, FailConvoy};
use crate::bead::Bead;
use crate::pass::Pass;
use crate::reason::{Reason, ReasonCode};
use crate::rules::{On, Rule};
use crate::verdict::Verdict;

pub(super) const RULE: Rule = Rule {
    id: "convoys/landing-exhausted",
    text: "A convoy that is ready to land, with a rig in which it has not landed, no landing MR is \
           live and landing_attempts were made that did not land: it fails, a person is told.",
    on: On::LiveBead(evaluate),
};

fn evaluate(pass: &Pass<'_>, bead: &Bead) -> Verdict {
    let Some(issues) = Issues::of_started(pass.town, bead) else {
        return Verdict::NotMine;
    };
    if issues.lands_from().is_none() || !issues.are_done(pass.town) {
        return Verdict::NotMine;
    }
    let limit = pass.policy().landing_attempts;
    let landings = issues.landings(pass);
    let exhausted = landings.values().find(|(_, landed)| match landed {
        Landed::NotYet { attempts, .. } => *attempts >= limit,
        Landed::Yes | Landed::UnderReview(_) => false,
    });
    let Some((rig, _)) = exhausted else {
        return Verdict::NotMine;
    };
    let reason = Reason::new(
        ReasonCode::LandingExhausted,
        format!("it did not land in {} within {limit} attempts", rig.id),
    );
    let message = reason.message.clone();
    let fail: ActionKind = FailConvoy {
        convoy_id: bead.id.clone(),
        reason,
    }
    .into();
    let mut actions = alloc::vec![fail];
    actions.extend(pass.tell_once(bead, ReasonCode::LandingExhausted, message));
    Verdict::Act(actions)
}

#[cfg(test)]
mod tests {
    use alloc::string::String;

    use crate::testing::{acts, around_count, settled};

    fn town(attempts: u32, mr: &str) -> String {
        alloc::format!(
            "
            rig r1
            bead c1 convoy open convoy.total=1 convoy.closed=1 convoy.ready_to_land=true convoy.feature_branch=convoy/x/c1/head convoy.landing.attempts={attempts} convoy.landing.last_attempt_at=-10m
            bead b1 issue closed rig_id=r1 closed_at=-1h
            edge b1 tracks c1
            bead m1 merge_request {mr} rig_id=r1 created_at=-10m review.source=c1 review.convoy=c1 review.landing_rig=r1 labels=[\"gt:held\",\"gt:merge-request\"]
            edge m1 tracks c1
        "
        )
    }

    #[test]
    fn convoys_landing_exhausted_at_the_limit_fails_the_convoy() {
        insta::assert_snapshot!(settled(&town(5, "failed"), "0s"), @r#"
        convoys/landing-exhausted: fail_convoy convoy_id=c1 reason=landing_exhausted
        convoys/landing-exhausted: create_bead bead={"escalation":{"bead_id":"c1","category":"landing_exhausted","severity":"high"},"labels":["gt:escalation","severity:high"],"priority":"high","status":"open","title":"landing exhausted: c1","type":"escalation"} bead_id=t1-e1
        convoys/landing-exhausted: tell bead_id=c1 category=landing_exhausted escalation_id=t1-e1
        escalations/notify: notify_mayor message=[high] landing exhausted: c1

        it did not land in r1 within 5 attempts topic=escalation:t1-e1
        at rest after 3 passes
        "#);
    }

    #[test]
    fn convoys_landing_exhausted_waits_for_the_last_attempt() {
        insta::assert_snapshot!(acts(&town(5, "open"), "0s"), @"nothing");
    }

    #[test]
    fn convoys_landing_exhausted_under_the_limit_is_not_said() {
        insta::assert_snapshot!(acts(&town(4, "failed"), "0s"), @"convoys/land: create_landing_mr branch=convoy/x/c1/head convoy_id=c1 mr_id=t1-m1 rig_id=r1 target_branch=main");
    }

    #[test]
    fn convoys_landing_exhausted_around_the_limit() {
        insta::assert_snapshot!(around_count(&town(5, "failed"), "attempts=5", "0s"), @"
        4: convoys/land
        5: convoys/landing-exhausted category=landing_exhausted
        6: convoys/landing-exhausted category=landing_exhausted
        ");
    }

    /// The last attempt ends while an issue joins; once that is closed, only one that failed was the last.
    #[test]
    fn convoys_landing_exhausted_not_by_a_landing_that_succeeded() {
        use crate::testing::{at, event_at, lines};

        let command = |town: &mut crate::town::Town, text: &str| {
            let text = text.replace('}', r#", "caller": {"kind": "user", "id": "ann"}}"#);
            town.execute(crate::wire::command_from_str(&text).unwrap(), at("0s"))
                .unwrap();
        };
        let next = |lands: bool| {
            let again = town(4, "failed") + "\nbead b2 issue open rig_id=r1 labels=[\"gt:held\"]";
            let mut town = crate::testing::town(&again);
            let _ = crate::reconcile::settle(&mut town, at("0s"));
            command(
                &mut town,
                r#"{"type": "convoy_add", "convoy_id": "c1", "bead_id": "b2"}"#,
            );
            if lands {
                let landed = r#"{"type": "merge_verified", "bead_id": "t1-m1", "outcome": {"kind": "landed", "commit": "c9"}}"#;
                assert!(town.observe(&event_at(landed, at("0s")), at("0s")).changed);
            } else {
                command(&mut town, r#"{"type": "fail_bead", "bead_id": "t1-m1"}"#);
            }
            command(&mut town, r#"{"type": "close_bead", "bead_id": "b2"}"#);
            let settled = crate::reconcile::settle(&mut town, at("9m"));
            let of_landings = |line: &&str| line.starts_with("convoys/land");
            let all = lines(&settled.actions);
            String::from(all.lines().find(of_landings).unwrap_or("nothing"))
        };
        insta::assert_snapshot!(next(true), @"convoys/land: create_landing_mr branch=convoy/x/c1/head convoy_id=c1 mr_id=t1-m3 rig_id=r1 target_branch=main");
        insta::assert_snapshot!(next(false), @"convoys/landing-exhausted: fail_convoy convoy_id=c1 reason=landing_exhausted");
    }

    /// An issue was reopened after the attempts: they are judged when it is done.
    #[test]
    fn convoys_landing_exhausted_waits_for_every_issue() {
        let undone = town(5, "failed").replace(
            "convoy.total=1 convoy.closed=1 convoy.ready_to_land=true",
            "convoy.total=2 convoy.closed=1",
        ) + "\nbead b2 issue open rig_id=r1 labels=[\"gt:held\"]\nedge b2 tracks c1";
        assert_eq!(acts(&undone, "0s"), "nothing");
    }
}
