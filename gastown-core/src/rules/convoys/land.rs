//! `convoys/land`: a review brings the feature branch to the default branch.

use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;

use super::{Issues, Landed};
use crate::action::{ActionKind, CreateLandingMr};
use crate::bead::Bead;
use crate::ids::IdKind;
use crate::pass::{Due, Pass};
use crate::rules::{On, Rule};
use crate::verdict::{Verdict, Wait, WaitFor};

pub(super) const RULE: Rule = Rule {
    id: "convoys/land",
    text: "A convoy that is ready to land and not held, with a rig in which it has not landed, no \
           landing MR is live, attempts are left and the cooldown is over: a landing MR is made.",
    on: On::LiveBead(evaluate),
};

fn evaluate(pass: &Pass<'_>, bead: &Bead) -> Verdict {
    let Some(issues) = Issues::of_started(pass.town, bead) else {
        return Verdict::NotMine;
    };
    let Some(branch) = issues.lands_from() else {
        return Verdict::NotMine;
    };
    // `convoys/ready` says first that the convoy is ready.
    if !issues.convoy.ready_to_land || !issues.are_done(pass.town) {
        return Verdict::NotMine;
    }
    if bead.held {
        return Verdict::wait(Wait::on(
            WaitFor::Person,
            "is held until a person releases it",
        ));
    }
    let mut actions: Vec<ActionKind> = Vec::new();
    let mut waits = Vec::new();
    for (rig, landed) in issues.landings(pass).into_values() {
        let (attempts, last_attempt_at) = match landed {
            Landed::Yes => continue,
            Landed::UnderReview(mr) => {
                let text = format!("lands in {} by {}", rig.id, mr.id);
                waits.push(Wait::on(WaitFor::Bead, text).id(mr.id.as_str()));
                continue;
            }
            Landed::NotYet {
                attempts,
                last_attempt_at,
            } => (attempts, last_attempt_at),
        };
        let due = last_attempt_at.map_or(Due::Now, |at| {
            pass.stale(at, pass.policy().landing_pause(attempts))
        });
        match due {
            Due::At(until) => waits.push(Wait::until(
                until,
                format!("tries again to land in {}", rig.id),
            )),
            Due::Now => actions.push(
                CreateLandingMr {
                    convoy_id: bead.id.clone(),
                    mr_id: pass.new_bead_id(IdKind::MergeRequest),
                    rig_id: rig.id.clone(),
                    branch: branch.to_string(),
                    target_branch: rig.default_branch.clone(),
                }
                .into(),
            ),
        }
    }
    if !actions.is_empty() {
        Verdict::Act(actions)
    } else if !waits.is_empty() {
        Verdict::Wait(waits)
    } else {
        Verdict::NotMine
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{acts, around, settled};

    const TOWN: &str = "
        rig r1
        rig r2
        bead c1 convoy open convoy.total=3 convoy.closed=3 convoy.ready_to_land=true convoy.feature_branch=convoy/x/c1/head
        bead b1 issue closed rig_id=r1 closed_at=-1h
        bead b2 issue closed rig_id=r2 closed_at=-1h
        bead b3 issue closed rig_id=r9 closed_at=-1h
        edge b1 tracks c1
        edge b2 tracks c1
        edge b3 tracks c1
    ";

    #[test]
    fn convoys_land_makes_one_review_per_existing_rig() {
        insta::assert_snapshot!(acts(TOWN, "0s"), @"
        convoys/land: create_landing_mr branch=convoy/x/c1/head convoy_id=c1 mr_id=t1-m1 rig_id=r1 target_branch=main
        convoys/land: create_landing_mr branch=convoy/x/c1/head convoy_id=c1 mr_id=t1-m2 rig_id=r2 target_branch=main
        ");
    }

    #[test]
    fn convoys_land_waits_while_the_convoy_is_held() {
        insta::assert_snapshot!(acts(&TOWN.replace("convoy.total", "labels=[\"gt:held\"] convoy.total"), "0s"), @"nothing");
    }

    /// One rig whose first landing failed a minute ago: the cooldown is 30 s · 2¹.
    const AGAIN: &str = r#"
        rig r1
        bead c1 convoy open convoy.total=1 convoy.closed=1 convoy.ready_to_land=true convoy.feature_branch=convoy/x/c1/head convoy.landing.attempts=1 convoy.landing.last_attempt_at=-60s
        bead b1 issue closed rig_id=r1 closed_at=-1h
        edge b1 tracks c1
        bead m1 merge_request failed rig_id=r1 created_at=-60s review.source=c1 review.convoy=c1 review.landing_rig=r1
        edge m1 tracks c1
    "#;

    #[test]
    fn convoys_land_at_the_cooldown_waits() {
        insta::assert_snapshot!(acts(AGAIN, "0s"), @"nothing");
    }

    #[test]
    fn convoys_land_just_over_the_cooldown_tries_again() {
        insta::assert_snapshot!(acts(AGAIN, "1ms"), @"convoys/land: create_landing_mr branch=convoy/x/c1/head convoy_id=c1 mr_id=t1-m1 rig_id=r1 target_branch=main");
    }

    #[test]
    fn convoys_land_after_the_last_issue_in_one_go() {
        let closed = AGAIN
            .replace("convoy.ready_to_land=true ", "")
            .replace("convoy.closed=1", "convoy.closed=0");
        insta::assert_snapshot!(settled(&closed, "1ms"), @"
        convoys/progress: update_convoy_progress closed=1 convoy_id=c1 total=1
        convoys/ready: set_ready_to_land convoy_id=c1 ready=true
        convoys/land: create_landing_mr branch=convoy/x/c1/head convoy_id=c1 mr_id=t1-m1 rig_id=r1 target_branch=main
        dispatch/review: create_agent agent_id=t1-a2 identity=refinery-refinery-r1@t1 name=refinery rig_id=r1 role=refinery
        dispatch/review: transition_bead bead_id=t1-m1 from=open reason=dispatched to=in_progress
        dispatch/review: set_assignee agent_id=t1-a2 bead_id=t1-m1
        dispatch/review: hook_agent agent_id=t1-a2 bead_id=t1-m1
        dispatch/review: transition_agent agent_id=t1-a2 from=idle reason=dispatched to=working
        dispatch/review: dispatch_agent agent_id=t1-a2 attempt=1 bead_id=t1-m1 rig_id=r1 session=1
        at rest after 5 passes
        ");
    }

    /// A landing review without landing_rig lands its own rig only.
    #[test]
    fn convoys_land_in_each_rig_for_itself() {
        let town = std::format!(
            "{TOWN}\nbead m1 merge_request closed rig_id=r1 created_at=-1m review.source=c1 review.convoy=c1\nedge m1 tracks c1"
        );
        insta::assert_snapshot!(acts(&town, "0s"), @"convoys/land: create_landing_mr branch=convoy/x/c1/head convoy_id=c1 mr_id=t1-m1 rig_id=r2 target_branch=main");
    }

    /// The record of a convoy of one rig is the same in its short form.
    #[test]
    fn convoys_land_counts_in_the_short_form_too() {
        let mut town = crate::testing::town(AGAIN);
        let _ = crate::reconcile::settle(&mut town, crate::testing::at("1ms"));
        let convoy = town.beads().find_map(|bead| bead.convoy());
        let counts = convoy.map(|c| {
            let of_rigs: std::vec::Vec<u32> = c.landings.values().map(|l| l.attempts).collect();
            (c.landing.attempts, of_rigs)
        });
        assert_eq!(counts, Some((2, [2].into())));
    }

    #[test]
    fn convoys_land_around_its_threshold() {
        insta::assert_snapshot!(around(AGAIN, "0s"), @"
        just under: nothing, again at 2026-04-04T12:00:00.001Z
        at: nothing, again at 2026-04-04T12:00:00.001Z
        just over: convoys/land
        ");
    }

    /// 30 s · 2⁷ would be over an hour; no cooldown is over half an hour.
    #[test]
    fn convoys_land_around_the_longest_cooldown() {
        let late = AGAIN
            .replace("landing.attempts=1", "landing.attempts=7")
            .replace("last_attempt_at=-60s", "last_attempt_at=-30m");
        let patient = std::format!("town policy.landing_attempts=9\n{late}");
        insta::assert_snapshot!(around(&patient, "0s"), @"
        just under: nothing, again at 2026-04-04T12:00:00.001Z
        at: nothing, again at 2026-04-04T12:00:00.001Z
        just over: convoys/land
        ");
    }

    #[test]
    fn convoys_land_around_the_cooldown_of_each_attempt() {
        for (attempts, seconds) in [(1, 60), (2, 120), (3, 240), (4, 480)] {
            let town = AGAIN
                .replace(
                    "landing.attempts=1",
                    &std::format!("landing.attempts={attempts}"),
                )
                .replace(
                    "last_attempt_at=-60s",
                    &std::format!("last_attempt_at=-{seconds}s"),
                );
            let around = around(&town, "0s");
            assert!(around.contains("\nat: nothing"), "{attempts}: {around}");
            assert!(
                around.ends_with("just over: convoys/land"),
                "{attempts}: {around}"
            );
        }
    }

    /// `convoys/ready` looks at both, in a pass of its own.
    #[test]
    fn convoys_land_only_what_is_ready_and_done() {
        let waits = |text: &str| {
            let town = crate::testing::town(text);
            let pass = crate::pass::Pass::new(&town, crate::testing::at("1ms"));
            let bead = town.bead(&crate::ids::BeadId::new("c1").unwrap()).unwrap();
            super::evaluate(&pass, bead)
        };
        use crate::verdict::Verdict;
        assert!(matches!(waits(AGAIN), Verdict::Act(_)));
        let unready = AGAIN.replace("convoy.ready_to_land=true ", "");
        assert!(matches!(waits(&unready), Verdict::NotMine));
        let undone = AGAIN.replace("b1 issue closed", "b1 issue open");
        assert!(matches!(waits(&undone), Verdict::NotMine));
        // Where there is nothing to wait for and nothing to do, it says nothing.
        let landed = AGAIN.replace(
            "m1 merge_request failed rig_id=r1 created_at=-60s",
            "m1 merge_request closed rig_id=r1 created_at=-30s review.outcome=merged",
        );
        assert!(matches!(waits(&landed), Verdict::NotMine));
    }
}
