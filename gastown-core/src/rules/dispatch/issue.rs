//! `dispatch/issue`: an eligible issue goes to a polecat of its rig.

use alloc::vec::Vec;

use super::{Chosen, backoff_wait, begin, longest_idle, unless_held_back};
use crate::agent::Role;
use crate::bead::{Bead, BeadStatus};
use crate::eligible::{Obstacle, issue_obstacles};
use crate::pass::{Due, Pass, Plan};
use crate::rules::{On, Rule};
use crate::verdict::{Verdict, Wait, WaitFor};

pub(super) const RULE: Rule = Rule {
    id: "dispatch/issue",
    text: "An eligible issue, while its rig is under max_polecats_per_rig: the polecat of the rig \
           that has been idle longest, or a new one, is hooked to it and dispatched.",
    on: On::RepairsFirst(evaluate),
};

fn evaluate(pass: &Pass<'_>, bead: &Bead) -> Verdict {
    if bead.work().is_none() || bead.status != BeadStatus::Open {
        return Verdict::NotMine;
    }
    let waits: Vec<Wait> = issue_obstacles(pass, bead)
        .iter()
        .filter_map(Obstacle::wait)
        .collect();
    if !waits.is_empty() {
        return Verdict::Wait(waits);
    }
    unless_held_back(pass, || judge(pass, bead))
}

/// As the rule, whatever drain and breaker say.
pub(super) fn judge(pass: &Pass<'_>, bead: &Bead) -> Verdict {
    if bead.work().is_none() || !issue_obstacles(pass, bead).is_empty() {
        return Verdict::NotMine;
    }
    let Some(rig) = pass.town.rig_of(bead) else {
        return Verdict::NotMine;
    };
    let limit = pass.settings(Some(&rig.id)).max_polecats_per_rig;
    if limit.is_some_and(|limit| pass.planned(|plan: &Plan| plan.polecats(&rig.id)) >= limit) {
        return Verdict::wait(
            Wait::on(
                WaitFor::Agent,
                "every polecat that the rig may have is at work",
            )
            .id(rig.id.as_str()),
        );
    }
    if let Due::At(until) = pass.backoff(bead) {
        return backoff_wait(bead, until);
    }
    let chosen = match longest_idle(pass, Role::Polecat, Some(&rig.id)) {
        Some(agent) => Chosen::Existing(agent),
        None => Chosen::New(Role::Polecat, rig.id.clone()),
    };
    Verdict::Act(begin(pass, bead, chosen))
}

#[cfg(test)]
mod tests {
    use crate::ids::BeadId;
    use crate::testing::{acts, around, at, settled, town};
    use crate::verdict::WaitFor;

    #[test]
    fn dispatch_issue_names_the_repair_that_is_under_way() {
        let text = r#"
            rig r1
            agent a1 polecat working rig_id=r1 hook=b2 session=1 dispatched_at=0s last_activity_at=0s
            bead b1 issue in_review rig_id=r1
            bead m1 merge_request open rig_id=r1 review.source=b1
            bead b2 issue in_progress rig_id=r1 assignee=a1 parent_id=m1 labels=["gt:rework"] metadata.mr_bead_id=m1
            bead b3 issue open rig_id=r1 parent_id=m1 labels=["gt:rework"] metadata.mr_bead_id=m1
        "#;
        let waits = crate::explain::waits_for(&town(text), at("0s"), &BeadId::new("b3").unwrap());
        let found = waits
            .iter()
            .find(|wait| wait.text.starts_with("another repair"));
        std::assert_eq!(found.and_then(|wait| wait.id.as_deref()), Some("b2"));
    }

    #[test]
    fn dispatch_issue_says_what_keeps_it_from_being_the_probe() {
        let text = r#"
            town breaker.state=open breaker.opened_at=-1d
            rig r1 config.max_polecats_per_rig=1
            agent a1 polecat working rig_id=r1 hook=b2 session=1 dispatched_at=0s last_activity_at=0s
            bead b1 issue open rig_id=r1
            bead b2 issue in_progress rig_id=r1 assignee=a1
        "#;
        let waits = crate::explain::waits_for(&town(text), at("0s"), &BeadId::new("b1").unwrap());
        let said: std::vec::Vec<_> = waits.iter().map(|wait| (wait.kind, &*wait.text)).collect();
        std::assert_eq!(
            said,
            [
                (
                    WaitFor::Agent,
                    "every polecat that the rig may have is at work"
                ),
                (
                    WaitFor::Time,
                    "starts keep failing; the next one that can be made is the breaker's probe"
                ),
            ]
        );
    }

    #[test]
    fn dispatch_issue_waits_for_the_probe_when_another_bead_is_the_probe() {
        let text = "
            town breaker.state=open breaker.opened_at=-1d
            rig r1
            bead b1 issue open rig_id=r1 priority=high
            bead b2 issue open rig_id=r1
        ";
        let waits = crate::explain::waits_for(&town(text), at("0s"), &BeadId::new("b2").unwrap());
        let said: std::vec::Vec<_> = waits.iter().map(|wait| (wait.kind, &*wait.text)).collect();
        std::assert_eq!(
            said,
            [(
                WaitFor::Time,
                "starts keep failing; the next one that can be made is the breaker's probe"
            )]
        );
    }

    /// A living agent keeps its name, a dead one leaves it; an identity is never given twice.
    #[test]
    fn dispatch_issue_names_a_polecat_as_no_living_one_and_identifies_it_as_none_ever() {
        let text = "
            rig r1
            agent a1 polecat working rig_id=r1 name=Amber identity=Amber-polecat-r1@t1 hook=b1 session=1 dispatched_at=0s last_activity_at=0s
            bead b1 issue in_progress rig_id=r1 assignee=a1
            bead b2 issue open rig_id=r1
        ";
        let made = |town: &str| {
            let acts = acts(town, "0s");
            let line = acts.lines().find(|line| line.contains("create_agent"));
            std::string::String::from(line.unwrap_or(&acts))
        };
        insta::assert_snapshot!(made(text), @"dispatch/issue: create_agent agent_id=t1-a1 identity=Basil-polecat-r1@t1 name=Basil rig_id=r1 role=polecat");
        let dead = text
            .replace("polecat working", "polecat dead")
            .replace("hook=b1 session=1 dispatched_at=0s", "session=1")
            .replace("in_progress rig_id=r1 assignee=a1", "closed rig_id=r1");
        insta::assert_snapshot!(made(&dead), @"dispatch/issue: create_agent agent_id=t1-a1 identity=Amber-polecat-r1@t1-2 name=Amber rig_id=r1 role=polecat");
    }

    #[test]
    fn dispatch_issue_makes_a_polecat_where_none_is_idle() {
        insta::assert_snapshot!(acts("rig r1\nbead b1 issue open rig_id=r1", "0s"), @"
        dispatch/issue: create_agent agent_id=t1-a1 identity=Amber-polecat-r1@t1 name=Amber rig_id=r1 role=polecat
        dispatch/issue: transition_bead bead_id=b1 from=open reason=dispatched to=in_progress
        dispatch/issue: set_assignee agent_id=t1-a1 bead_id=b1
        dispatch/issue: hook_agent agent_id=t1-a1 bead_id=b1
        dispatch/issue: transition_agent agent_id=t1-a1 from=idle reason=dispatched to=working
        dispatch/issue: dispatch_agent agent_id=t1-a1 attempt=1 bead_id=b1 rig_id=r1 session=1
        ");
    }

    #[test]
    fn dispatch_issue_takes_the_longest_idle_polecat_of_its_rig() {
        let town = "
            rig r1
            rig r2
            agent a1 polecat idle rig_id=r1 last_activity_at=-1m
            agent a2 polecat idle rig_id=r1 last_activity_at=-9m
            agent a3 polecat idle rig_id=r2 last_activity_at=-1h
            bead b1 issue open rig_id=r1
        ";
        insta::assert_snapshot!(acts(town, "0s"), @"
        dispatch/issue: transition_bead bead_id=b1 from=open reason=dispatched to=in_progress
        dispatch/issue: set_assignee agent_id=a2 bead_id=b1
        dispatch/issue: hook_agent agent_id=a2 bead_id=b1
        dispatch/issue: transition_agent agent_id=a2 from=idle reason=dispatched to=working
        dispatch/issue: dispatch_agent agent_id=a2 attempt=1 bead_id=b1 rig_id=r1 session=1
        ");
    }

    #[test]
    fn dispatch_issue_by_priority_then_age_then_id_and_repairs_first() {
        let town = r#"
            town config.max_polecats_per_rig=1
            rig r1
            rig r2
            rig r3
            bead b1 issue open rig_id=r1 priority=high
            bead b2 issue open rig_id=r1 priority=critical
            bead b3 issue open rig_id=r2
            bead b4 issue open rig_id=r2 labels=["gt:rework"] parent_id=m0
            bead b0 issue in_review rig_id=r2
            bead m0 merge_request in_progress rig_id=r2 review.source=b0
            edge m0 tracks b0
            edge m0 blocks b4
            bead b6 issue open rig_id=r3
            bead b5 issue open rig_id=r3
        "#;
        let dispatched = acts(town, "0s");
        let dispatched: std::vec::Vec<&str> = dispatched
            .lines()
            .filter(|line| line.contains(": dispatch_agent"))
            .filter_map(|line| line.split("bead_id=").nth(1)?.split(' ').next())
            .collect();
        assert_eq!(dispatched, ["b4", "b2", "b5"]);
    }

    #[test]
    fn dispatch_issue_waits_while_anything_is_in_the_way() {
        for obstacle in [
            r#"bead b1 issue open rig_id=r1 labels=["gt:held"]"#,
            "bead b1 issue open",
            "bead b1 issue open rig_id=gone",
            "bead b1 issue open rig_id=r1 assignee=a9\nagent a9 polecat idle rig_id=r1 hook=b1 last_activity_at=-1s",
            r#"bead b1 issue open rig_id=r1 labels=["gt:triage-request"]"#,
            r#"bead b1 issue open rig_id=r1 labels=["gt:molecule-step"]"#,
            "bead b1 issue open rig_id=r1\nbead b2 issue open\nedge b1 blocks b2",
            "bead b1 issue open rig_id=r1\nedge b1 tracks c1\nbead c1 convoy open convoy.staged=true",
            "bead b1 issue open rig_id=r1\nedge b1 tracks c1\nbead c1 convoy closed convoy.merge_mode=review-then-land convoy.feature_branch=convoy/c/c1/head convoy.branches.r1.state=created",
            "bead b1 issue open rig_id=r1\ntown policy.lineage_dispatches=0",
            "bead b1 issue open rig_id=r1\ntown drain.nonce=n drain.started_at=-1s",
            "bead b1 issue open rig_id=r1\ntown breaker.state=half_open breaker.probe.bead_id=b2 breaker.probe.at=-1s",
        ] {
            let acts = acts(&std::format!("rig r1\n{obstacle}"), "0s");
            assert!(
                !acts.contains("dispatch_agent agent_id=t1"),
                "{obstacle}: {acts}"
            );
        }
    }

    /// Spec 1.8: an outage in which starts fail doesn't spend the line of work within minutes.
    #[test]
    fn dispatch_issue_that_was_tried_under_a_condition_is_tried_as_slowly_as_the_forge_is_asked() {
        let tried = |condition: &str, ago: &str| {
            let town = std::format!(
                r#"
                town conditions=[{condition}]
                rig r1
                bead b1 issue open rig_id=r1 dispatch_attempts=0 last_dispatch_attempt_at=-{ago}
                bead b2 issue in_review rig_id=r1
                bead m2 merge_request in_progress rig_id=r1 review.source=b2 review.pr_url=https://github.com/acme/r1/pull/2 review.reviewed.at=-1h review.reviewed.head_sha=h1 review.poll.last_at=0s
                edge m2 tracks b2
                "#
            );
            acts(&town, "0s").contains("dispatch/issue: dispatch_agent")
        };
        let of = |kind: &str, subject: &str| {
            std::format!(
                r#"{{"kind":"{kind}","subject":{subject},"since":"2026-04-04T11:30:00Z","strikes":4,"next_probe_at":"2026-04-04T13:00:00Z","until":"2026-04-04T13:00:00Z","told_at":"2026-04-04T11:30:00Z"}}"#
            )
        };
        let town = r#"{"kind":"town"}"#;
        let unreachable = of("forge_unreachable", town);
        // Four strikes: eight minutes.
        assert!(!tried(&unreachable, "480000ms"));
        assert!(tried(&unreachable, "480001ms"));
        assert!(tried(&unreachable, "1801s"), "it was tried before");
        assert!(tried("", "30001ms"), "the backoff alone");
        assert!(!tried(
            &of("credentials_missing", r#"{"kind":"rig","id":"r1"}"#),
            "480000ms"
        ));
        assert!(tried(
            &of("credentials_missing", r#"{"kind":"rig","id":"r2"}"#),
            "30001ms"
        ));
        let ahead = unreachable.replace("11:30:00Z\",\"strikes", "12:30:00Z\",\"strikes");
        assert_ne!(ahead, unreachable);
        assert!(!tried(&ahead, "30001ms"), "a clock that was set back");
    }

    #[test]
    fn dispatch_issue_settles_with_one_session() {
        insta::assert_snapshot!(settled("rig r1\nbead b1 issue open rig_id=r1", "0s"), @"
        dispatch/issue: create_agent agent_id=t1-a1 identity=Amber-polecat-r1@t1 name=Amber rig_id=r1 role=polecat
        dispatch/issue: transition_bead bead_id=b1 from=open reason=dispatched to=in_progress
        dispatch/issue: set_assignee agent_id=t1-a1 bead_id=b1
        dispatch/issue: hook_agent agent_id=t1-a1 bead_id=b1
        dispatch/issue: transition_agent agent_id=t1-a1 from=idle reason=dispatched to=working
        dispatch/issue: dispatch_agent agent_id=t1-a1 attempt=1 bead_id=b1 rig_id=r1 session=1
        at rest after 2 passes
        ");
    }

    /// A checkpoint is for the next start on the same bead.
    #[test]
    fn dispatch_issue_forgets_the_checkpoint_of_another_bead() {
        for (last, kept) in [("b0", false), ("b1", true)] {
            let mut town = crate::testing::town(&std::format!(
                "rig r1
                agent a1 polecat idle rig_id=r1 last_bead={last} checkpoint=7
                bead b1 issue open rig_id=r1"
            ));
            let _ = crate::reconcile::settle(&mut town, crate::testing::at("0s"));
            let checkpoint = town.agents().find_map(|agent| agent.checkpoint.as_ref());
            assert_eq!(checkpoint.is_some(), kept, "{last}");
        }
    }

    #[test]
    fn dispatch_issue_around_its_threshold() {
        let town =
            "rig r1\nbead b1 issue open rig_id=r1 dispatch_attempts=3 last_dispatch_attempt_at=-2m";
        insta::assert_snapshot!(around(town, "0s"), @"
        just under: nothing, again at 2026-04-04T12:00:00.001Z
        at: nothing, again at 2026-04-04T12:00:00.001Z
        just over: dispatch/issue
        ");
    }

    #[test]
    fn dispatch_issue_under_at_and_over_max_polecats_per_rig() {
        for (busy, dispatched) in [(1, true), (2, false), (3, false)] {
            let mut town = std::string::String::from(
                "town config.max_polecats_per_rig=9\nrig r1 config.max_polecats_per_rig=2\nbead b0 issue open rig_id=r1",
            );
            for n in 1..=busy {
                town.push_str(&std::format!(
                    "\nagent a{n} polecat working rig_id=r1 hook=b{n} session=1 last_activity_at=0s dispatched_at=0s
                    bead b{n} issue in_progress rig_id=r1 assignee=a{n} updated_at=0s"
                ));
            }
            let acts = acts(&town, "0s");
            assert_eq!(
                acts.contains("dispatch_agent"),
                dispatched,
                "{busy}: {acts}"
            );
        }
    }

    #[test]
    fn dispatch_issue_two_beads_of_one_line_do_not_share_its_last_dispatch() {
        let town = "
            town policy.lineage_dispatches=1
            rig r1
            bead b1 issue open rig_id=r1
            bead b2 issue open rig_id=r1 root=b1
        ";
        let settled = settled(town, "0s");
        let sent: std::vec::Vec<&str> = settled
            .lines()
            .filter(|line| line.contains(": dispatch_agent"))
            .collect();
        assert_eq!(sent.len(), 1, "{settled}");
        assert!(sent[0].contains("bead_id=b1"), "{settled}");
        // What finds nothing left asks a person.
        assert!(
            settled.contains("tell bead_id=b2 category=lineage_spent"),
            "{settled}"
        );
    }

    /// The review that the request is about ends in the same pass.
    #[test]
    fn dispatch_issue_sends_nobody_to_a_batch_whose_requests_end_with_a_review() {
        let town = r#"
            rig r1
            agent a1 refinery idle rig_id=r1 hook=m1 exited_at=-1h
            bead b1 issue in_review rig_id=r1
            bead m1 merge_request in_progress rig_id=r1 review.source=b1 dispatch_attempts=5 updated_at=0s
            edge m1 tracks b1
            bead q1 issue open labels=["gt:triage-request"] metadata.hooked_bead_id=m1
            bead t1 issue open rig_id=r1 created_by=patrol labels=["gt:triage"]
        "#;
        let settled = settled(town, "0s");
        assert!(settled.contains("transition_bead bead_id=m1"), "{settled}");
        assert!(settled.contains("transition_bead bead_id=t1"), "{settled}");
        assert!(!settled.contains("dispatch_agent"), "{settled}");
    }

    #[test]
    fn dispatch_issue_sends_nobody_to_a_batch_whose_requests_become_moot() {
        let town = r#"
            rig r1
            bead b1 issue closed rig_id=r1
            bead q1 issue open labels=["gt:triage-request"] metadata.hooked_bead_id=b1
            bead t1 issue open rig_id=r1 created_by=patrol labels=["gt:triage"]
        "#;
        let moot = settled(town, "0s");
        assert!(!moot.contains("dispatch_agent"), "{moot}");
        assert!(moot.contains("transition_bead bead_id=t1"), "{moot}");
        let live = town.replace("b1 issue closed", "b1 issue in_progress updated_at=0s");
        assert!(acts(&live, "0s").contains("dispatch_agent"));
    }

    /// Each band of the backoff: by the attempts so far, how long the next one waits.
    #[test]
    fn dispatch_issue_around_each_backoff() {
        for (attempts, seconds) in [
            (0, 30),
            (1, 30),
            (2, 60),
            (3, 120),
            (4, 300),
            (5, 600),
            (6, 600),
        ] {
            let town = std::format!(
                "town config.max_dispatch_attempts=9
                rig r1
                bead b1 issue open rig_id=r1 dispatch_attempts={attempts} last_dispatch_attempt_at=-{seconds}s"
            );
            let around = around(&town, "0s");
            assert!(around.contains("\nat: nothing"), "{attempts}: {around}");
            assert!(
                around.ends_with("just over: dispatch/issue"),
                "{attempts}: {around}"
            );
        }
    }

    /// While nothing is dispatched, only what could be waits for that.
    #[test]
    fn dispatch_issue_says_nothing_of_what_is_not_open() {
        let waits = |status: &str| {
            let text = std::format!(
                "town drain.nonce=n drain.started_at=0s
                rig r1
                bead b1 issue {status} rig_id=r1"
            );
            let id = BeadId::new("b1").unwrap();
            let waits = crate::explain::waits_for(&town(&text), at("0s"), &id);
            waits.iter().any(|wait| wait.rule == "dispatch/issue")
        };
        assert!(waits("open"));
        assert!(!waits("in_review"));
    }

    /// Spec 4.6: only what was merged settles what builds on a review.
    #[test]
    fn dispatch_issue_that_builds_on_a_review_waits_until_its_work_is_merged() {
        let is_sent = |reviews: &str| {
            let town = alloc::format!(
                "rig r1
                bead b1 issue in_review rig_id=r1 status_changed_at=0s
                bead b2 issue open rig_id=r1
                edge b2 blocks m1
                {reviews}"
            );
            settled(&town, "0s").contains("agent_id=t1-a1 bead_id=b2")
        };
        assert!(!is_sent(
            "bead m1 merge_request closed rig_id=r1 review.source=b1 review.outcome=withdrawn"
        ));
        assert!(is_sent(
            "bead m1 merge_request closed rig_id=r1 review.source=b1 review.outcome=merged"
        ));
        let other =
            "bead m1 merge_request closed rig_id=r1 review.source=b1 review.outcome=superseded
            bead m2 merge_request closed rig_id=r1 review.source=b1 review.outcome=";
        assert!(is_sent(&alloc::format!("{other}merged")));
        assert!(!is_sent(
            "bead m1 merge_request closed rig_id=r1 review.source=gone review.outcome=withdrawn"
        ));
    }

    /// What has ended moves no more; the review that goes on does.
    #[test]
    fn dispatch_issue_that_builds_on_what_has_ended_waits_for_the_review_that_goes_on() {
        let waits = |blocker: &str| {
            let text = alloc::format!(
                "rig r1
                bead b1 issue {blocker} rig_id=r1 status_changed_at=0s
                bead b2 issue open rig_id=r1
                bead m1 merge_request closed rig_id=r1 review.source=b1 review.outcome=withdrawn
                bead m2 merge_request open rig_id=r1 review.source=b1
                edge b2 blocks m1
                edge b2 blocks b1"
            );
            let id = BeadId::new("b2").unwrap();
            let waits = crate::explain::waits_for(&town(&text), at("0s"), &id);
            let ids = waits.into_iter().map(|wait| wait.id.unwrap_or_default());
            ids.collect::<alloc::vec::Vec<_>>().join(" ")
        };
        assert_eq!(waits("in_review"), "b1 m2");
        assert_eq!(waits("closed"), "m2 m2");
    }
}
