//! `dispatch/review`: an open MR bead that needs a refinery gets one.

use super::{Chosen, backoff_wait, begin, longest_idle, unless_held_back};
use crate::agent::{AgentStatus, Role};
use crate::bead::{Bead, BeadStatus};
use crate::eligible::{needs_refinery, review_obstacles};
use crate::ids::RigId;
use crate::pass::{Due, Pass, Plan};
use crate::reason::ReasonCode;
use crate::rules::{On, Rule};
use crate::verdict::{Verdict, Wait, WaitFor};

pub(super) const RULE: Rule = Rule {
    id: "dispatch/review",
    text: "An open MR bead that needs a refinery, with no agent, hold or live blocker: the \
           refinery of its rig; of an inferred rig; or, where none can be inferred, any idle one. \
           One direct merge of a rig at a time. Budget spent: its source waits.",
    on: On::LiveBead(evaluate),
};

fn evaluate(pass: &Pass<'_>, mr: &Bead) -> Verdict {
    if !is_mine(pass, mr) {
        return Verdict::NotMine;
    }
    let waits = review_obstacles(pass.town, mr);
    if !waits.is_empty() {
        return Verdict::Wait(waits);
    }
    // A spent budget ends the review even while nothing is dispatched.
    if pass.attempts_spent(mr) || pass.town.lineage_spent(mr) {
        let (code, message) = spent(pass, mr);
        return Verdict::Act(pass.source_waits(mr, code, message));
    }
    unless_held_back(pass, || judge(pass, mr))
}

fn is_mine(pass: &Pass<'_>, mr: &Bead) -> bool {
    mr.review().is_some()
        && mr.status == BeadStatus::Open
        && pass.town.holders(&mr.id).next().is_none()
        && needs_refinery(pass.town, mr, pass.review_settings(mr))
}

/// Which budget of a review is spent.
pub(super) fn spent(pass: &Pass<'_>, mr: &Bead) -> (ReasonCode, &'static str) {
    if pass.attempts_spent(mr) {
        (
            ReasonCode::AttemptsExhausted,
            "every attempt to review and merge it was made",
        )
    } else {
        (
            ReasonCode::LineageSpent,
            "its line of work has no dispatch left",
        )
    }
}

/// As the rule, whatever drain and breaker say.
pub(super) fn judge(pass: &Pass<'_>, mr: &Bead) -> Verdict {
    let budget_left = !pass.attempts_spent(mr) && !pass.town.lineage_spent(mr);
    if !is_mine(pass, mr) || !review_obstacles(pass.town, mr).is_empty() || !budget_left {
        return Verdict::NotMine;
    }
    match pass.town.rig_of_review(mr).map(|rig| rig.id.clone()) {
        Some(rig) => in_rig(pass, mr, rig),
        None => anywhere(pass, mr),
    }
}

fn in_rig(pass: &Pass<'_>, mr: &Bead, rig: RigId) -> Verdict {
    let is_direct = mr.review().is_some_and(|review| review.pr_url.is_none());
    let other = pass.planned(|plan: &Plan| plan.direct_merge_of(&rig).cloned());
    if let Some(other) = other.filter(|_| is_direct) {
        return Verdict::wait(
            Wait::on(
                WaitFor::Bead,
                "another direct merge of the rig is under way",
            )
            .id(other.as_str()),
        );
    }
    let free = longest_idle(pass, Role::Refinery, Some(&rig));
    let living = pass.town.agents_by_age().find(|agent| {
        agent.role == Role::Refinery
            && agent.rig_id.as_ref() == Some(&rig)
            && agent.status != AgentStatus::Dead
    });
    let made = pass.planned(|plan: &Plan| plan.makes_refinery(&rig));
    if let (None, Some(busy)) = (free, living) {
        return Verdict::wait(
            Wait::on(WaitFor::Agent, "the rig's refinery is busy").id(busy.id.as_str()),
        );
    }
    if made {
        return Verdict::wait(Wait::on(WaitFor::Agent, "the rig's refinery is being made"));
    }
    if let Due::At(until) = pass.backoff(mr) {
        return backoff_wait(mr, until);
    }
    let chosen = match free {
        Some(agent) => Chosen::Existing(agent),
        None => Chosen::New(Role::Refinery, rig),
    };
    Verdict::Act(begin(pass, mr, chosen))
}

/// No rig can be inferred: any idle refinery of the town will do, the first row being busy or not.
fn anywhere(pass: &Pass<'_>, mr: &Bead) -> Verdict {
    if let Some(agent) = longest_idle(pass, Role::Refinery, None) {
        return match pass.backoff(mr) {
            Due::Now => Verdict::Act(begin(pass, mr, Chosen::Existing(agent))),
            Due::At(until) => backoff_wait(mr, until),
        };
    }
    let since = mr.in_status_since();
    let text = "no rig is known for it and no refinery is idle";
    if mr.told.contains_key(&ReasonCode::MrWithoutRig) {
        return Verdict::wait(Wait::on(WaitFor::Person, text).since(since));
    }
    match pass.stale(since, pass.policy().stuck_review) {
        Due::Now => Verdict::Act(pass.tell_once(
            mr,
            ReasonCode::MrWithoutRig,
            "no rig is known for this review, and no refinery of the town is idle",
        )),
        // Nobody was told yet, so it is no person's turn.
        Due::At(until) => Verdict::wait(Wait::until(until, text).since(since)),
    }
}

#[cfg(test)]
mod tests {
    use crate::explain::explain;
    use crate::testing::{acts, around, around_count, at, settled, town};

    const MR: &str = "
        bead b1 issue in_review rig_id=r1
        bead m1 merge_request open rig_id=r1 review.source=b1
        edge m1 tracks b1
    ";

    fn with(rest: &str) -> std::string::String {
        acts(&std::format!("rig r1\n{MR}\n{rest}"), "0s")
    }

    #[test]
    fn dispatch_review_tells_of_a_missing_rig_although_the_breaker_is_open() {
        let town = "
            town breaker.state=open breaker.opened_at=-1d breaker.told_at=-1d
            bead b1 issue in_review status_changed_at=0s
            bead m1 merge_request open review.source=b1 status_changed_at=-1d
        ";
        let told = acts(town, "0s");
        assert!(
            told.contains("tell bead_id=m1 category=mr_without_rig"),
            "{told}"
        );
    }

    #[test]
    fn dispatch_review_makes_the_refinery_of_the_rig() {
        insta::assert_snapshot!(with(""), @"
        dispatch/review: create_agent agent_id=t1-a1 identity=refinery-refinery-r1@t1 name=refinery rig_id=r1 role=refinery
        dispatch/review: transition_bead bead_id=m1 from=open reason=dispatched to=in_progress
        dispatch/review: set_assignee agent_id=t1-a1 bead_id=m1
        dispatch/review: hook_agent agent_id=t1-a1 bead_id=m1
        dispatch/review: transition_agent agent_id=t1-a1 from=idle reason=dispatched to=working
        dispatch/review: dispatch_agent agent_id=t1-a1 attempt=1 bead_id=m1 rig_id=r1 session=1
        ");
    }

    /// Spec 2.1: what a person holds is not merged; where a refinery merges, sending it is the merge.
    #[test]
    fn dispatch_review_of_held_work_that_a_refinery_merges_waits_for_a_person() {
        let direct = std::format!("town config.merge_strategy=direct\nrig r1\n{MR}");
        assert!(acts(&direct, "0s").contains("dispatch_agent"));
        let held = direct.replace(
            "issue in_review rig_id=r1",
            r#"issue in_review rig_id=r1 labels=["gt:held"]"#,
        );
        assert_ne!(held, direct);
        assert!(!acts(&held, "0s").contains("dispatch_agent"));
        let why = explain(&town(&held), at("0s"), &"m1".parse().unwrap()).unwrap();
        let why = std::format!("{:?}", why.waits_for);
        assert!(
            why.contains("b1 is held until a person releases it"),
            "{why}"
        );
        // One that is only reviewed is merged by the engine, which asks for the hold itself.
        let by_pr = held.replace("merge_strategy=direct", "merge_strategy=pr");
        assert!(acts(&by_pr, "0s").contains("dispatch_agent"));
        // A refinery that is done with its session does not go on with it, either.
        let idle = held.replace(
            "merge_request open",
            "merge_request in_progress assignee=a1",
        ) + "\nagent a1 refinery idle rig_id=r1 hook=m1 session=2 exited_at=-1h last_activity_at=-1h";
        let decided = acts(&idle, "0s");
        assert!(!decided.contains("dispatch_agent"), "{decided}");
        assert!(
            decided.contains("agents/wrong-hook: unhook_agent agent_id=a1"),
            "{decided}"
        );
    }

    #[test]
    fn dispatch_review_of_a_step_waits_for_the_step() {
        let town = std::format!("rig r1\n{MR}").replace(
            "issue in_review rig_id=r1",
            r#"issue in_review rig_id=r1 parent_id=o1 labels=["gt:molecule-step"]"#,
        );
        assert!(!acts(&town, "0s").contains("dispatch_agent"));
    }

    #[test]
    fn dispatch_review_waits_for_a_busy_refinery_of_the_rig() {
        let busy = "agent a1 refinery idle rig_id=r1 hook=m2 exited_at=0s
            bead m2 merge_request in_progress rig_id=r1 review.source=b2 review.pr_url=https://github.com/acme/r1/pull/2 review.poll.last_at=0s last_dispatch_attempt_at=0s updated_at=0s
            bead b2 issue in_review rig_id=r1\nedge m2 tracks b2";
        assert_eq!(with(busy), "nothing");
    }

    #[test]
    fn dispatch_review_one_direct_merge_of_a_rig_at_a_time() {
        let other = "agent a1 refinery idle rig_id=r1 last_activity_at=0s
            bead m2 merge_request in_progress rig_id=r1 review.source=b2 updated_at=0s
            bead b2 issue in_review rig_id=r1\nedge m2 tracks b2";
        assert_eq!(with(other), "nothing");
    }

    #[test]
    fn dispatch_review_without_a_rig_is_taken_by_any_idle_refinery() {
        let town = "
            rig r1
            rig r2
            agent a1 refinery working rig_id=r1 hook=m2 session=1 dispatched_at=0s last_activity_at=0s
            agent a2 refinery idle rig_id=r2 last_activity_at=-1m
            bead m2 merge_request in_progress rig_id=r1 review.source=b2
            bead b2 issue in_review rig_id=r1
            edge m2 tracks b2
            bead b1 issue in_review
            bead m1 merge_request open review.source=b1
            edge m1 tracks b1
        ";
        insta::assert_snapshot!(acts(town, "0s"), @"
        dispatch/review: transition_bead bead_id=m1 from=open reason=dispatched to=in_progress
        dispatch/review: set_assignee agent_id=a2 bead_id=m1
        dispatch/review: hook_agent agent_id=a2 bead_id=m1
        dispatch/review: transition_agent agent_id=a2 from=idle reason=dispatched to=working
        dispatch/review: dispatch_agent agent_id=a2 attempt=1 bead_id=m1 rig_id=r2 session=1
        ");
    }

    #[test]
    fn dispatch_review_without_a_rig_tells_once_after_stuck_review() {
        let town = "
            rig r1
            rig r2
            bead b1 issue in_review
            bead m1 merge_request open review.source=b1 status_changed_at=-30m
            edge m1 tracks b1
        ";
        assert_eq!(acts(town, "0s"), "nothing");
        insta::assert_snapshot!(acts(town, "1ms"), @r#"
        dispatch/review: create_bead bead={"escalation":{"bead_id":"m1","category":"mr_without_rig","severity":"high"},"labels":["gt:escalation","severity:high"],"priority":"high","status":"open","title":"mr without rig: m1","type":"escalation"} bead_id=t1-e1
        dispatch/review: tell bead_id=m1 category=mr_without_rig escalation_id=t1-e1
        "#);
    }

    #[test]
    fn dispatch_review_gives_up_when_the_budget_is_spent() {
        let town = std::format!("rig r1\n{MR}").replace(
            "merge_request open",
            "merge_request open dispatch_attempts=5",
        );
        insta::assert_snapshot!(acts(&town, "0s"), @r#"
        dispatch/review: transition_bead bead_id=b1 from=in_review reason=source_waits to=open
        dispatch/review: set_label bead_id=b1 label=gt:held
        dispatch/review: transition_bead bead_id=m1 from=open reason=attempts_exhausted to=failed
        dispatch/review: create_bead bead={"escalation":{"bead_id":"m1","category":"attempts_exhausted","severity":"high"},"labels":["gt:escalation","severity:high"],"priority":"high","rig_id":"r1","status":"open","title":"attempts exhausted: m1","type":"escalation"} bead_id=t1-e1
        dispatch/review: tell bead_id=m1 category=attempts_exhausted escalation_id=t1-e1
        "#);
    }

    /// What waits for a person is not paused as well: a release sets it going at once.
    #[test]
    fn dispatch_review_that_gives_up_starts_no_backoff_of_its_source() {
        let mut town = crate::testing::town(&std::format!("rig r1\n{MR}").replace(
            "merge_request open",
            "merge_request open dispatch_attempts=5",
        ));
        let settled = crate::reconcile::settle(&mut town, crate::testing::at("0s"));
        assert!(settled.fault.is_none());
        let source = town.beads().find(|bead| bead.id.as_str() == "b1");
        let source = source.map(|b| (b.status, b.held, b.last_dispatch_attempt_at));
        assert_eq!(source, Some((crate::bead::BeadStatus::Open, true, None)));
    }

    #[test]
    fn dispatch_review_waits_for_live_blockers_only() {
        for (status, waits) in [
            ("open", true),
            ("in_review", true),
            ("failed", false),
            ("closed", false),
        ] {
            let acts = with(&std::format!(
                "bead f1 issue {status} rig_id=r1 status_changed_at=0s labels=[\"gt:held\"]\nedge m1 blocks f1"
            ));
            assert_eq!(!acts.contains("dispatch/review"), waits, "{status}: {acts}");
        }
    }

    #[test]
    fn dispatch_review_backoff_around_its_threshold() {
        let town = std::format!("rig r1\n{MR}").replace(
            "merge_request open",
            "merge_request open dispatch_attempts=4 last_dispatch_attempt_at=-5m",
        );
        insta::assert_snapshot!(around(&town, "0s"), @"
        just under: nothing, again at 2026-04-04T12:00:00.001Z
        at: nothing, again at 2026-04-04T12:00:00.001Z
        just over: dispatch/review
        ");
    }

    #[test]
    fn dispatch_review_around_the_cap() {
        let town = std::format!("rig r1\n{MR}").replace(
            "merge_request open",
            "merge_request open dispatch_attempts=5",
        );
        insta::assert_snapshot!(around_count(&town, "dispatch_attempts=5", "0s"), @"
        4: dispatch/review to=in_progress to=working
        5: dispatch/review to=open to=failed category=attempts_exhausted
        6: dispatch/review to=open to=failed category=attempts_exhausted
        ");
    }

    #[test]
    fn dispatch_review_without_a_rig_around_stuck_review() {
        let town = "
            rig r1
            rig r2
            bead b1 issue in_review status_changed_at=0s
            bead m1 merge_request open review.source=b1 status_changed_at=-30m
            edge m1 tracks b1
        ";
        insta::assert_snapshot!(around(town, "0s"), @"
        just under: nothing, again at 2026-04-04T12:00:00.001Z
        at: nothing, again at 2026-04-04T12:00:00.001Z
        just over: dispatch/review
        ");
    }

    #[test]
    fn dispatch_review_leaves_one_under_verification_alone() {
        let asked = r#"review.verify={"number":1,"asked_at":"2026-04-04T11:59:50Z","tries":1}"#;
        let town =
            std::format!("rig r1\n{MR}\nagent a1 refinery idle rig_id=r1 last_activity_at=0s")
                .replace(
                    "review.source=b1",
                    &std::format!("review.source=b1 {asked}"),
                );
        assert_eq!(acts(&town, "0s"), "nothing");
        assert!(acts(&town.replace(asked, ""), "0s").contains("dispatch_agent"));
    }

    /// Nor is it the breaker's probe.
    #[test]
    fn dispatch_review_is_of_what_nothing_keeps_and_has_budget_left() {
        let is_sent = |from: &str, to: &str| {
            let text = std::format!("rig r1{}", MR.replace(from, to));
            let town = crate::testing::town(&text);
            let pass = crate::pass::Pass::new(&town, crate::testing::at("0s"));
            let mr = town.bead(&crate::ids::BeadId::new("m1").unwrap()).unwrap();
            matches!(super::judge(&pass, mr), crate::verdict::Verdict::Act(_))
        };
        assert!(is_sent("", ""));
        for more in [
            "labels=[\"gt:held\",\"gt:merge-request\"]",
            "dispatch_attempts=5",
        ] {
            assert!(
                !is_sent("review.source=b1", &std::format!("review.source=b1 {more}")),
                "{more}"
            );
        }
        assert!(!is_sent("request open", "request in_progress"));
    }

    /// Only a living refinery of the rig is waited for.
    #[test]
    fn dispatch_review_waits_for_nobody_else() {
        for agent in [
            "agent a9 polecat working rig_id=r1 hook=b9 session=1 dispatched_at=0s last_activity_at=0s",
            "agent a9 refinery working rig_id=r2 hook=b9 session=1 dispatched_at=0s last_activity_at=0s",
            "agent a9 refinery dead rig_id=r1 last_activity_at=0s",
        ] {
            let town = std::format!(
                "rig r1\nrig r2\n{agent}\nbead b9 issue in_progress rig_id=r1 labels=[\"gt:held\"] assignee=a9{MR}"
            );
            let town = if agent.contains("dead") {
                town.replace("in_progress", "open")
                    .replace(" assignee=a9", "")
            } else {
                town
            };
            let settled = crate::testing::settled(&town, "0s");
            assert!(
                settled.contains("dispatch/review: create_agent"),
                "{agent}: {settled}"
            );
        }
    }

    /// P7: a pass without a pull request would leave it to nobody.
    #[test]
    fn dispatch_review_of_what_was_passed_without_a_pull_request() {
        let town = r#"
            town config={"merge_strategy":"pr","refinery":{"code_review":true}}
            rig r1
            bead b1 issue in_review rig_id=r1
            bead m1 merge_request open rig_id=r1 review.source=b1 review.head_sha=h1 review.reviewed.at=-1h review.reviewed.head_sha=h1
            edge m1 tracks b1
        "#;
        assert!(acts(town, "0s").contains("dispatch/review: dispatch_agent"));
        let open = town.replace(
            "review.source=b1",
            "review.source=b1 review.pr_url=https://github.com/acme/r1/pull/1",
        );
        assert!(!acts(&open, "0s").contains("dispatch_agent"));
    }

    /// Spec 4.4, 6, of what a refinery merges: the source is in review, and this its newest review.
    #[test]
    fn dispatch_review_of_a_direct_merge_waits_for_what_has_overtaken_it() {
        let direct = std::format!("town config.merge_strategy=direct\nrig r1\n{MR}");
        let why = |text: &str| {
            let why = explain(&town(text), at("0s"), &"m1".parse().unwrap()).unwrap();
            std::format!("{:?}", why.waits_for)
        };
        let is_sent = |text: &str, mr: &str| {
            acts(text, "0s").contains(&std::format!(
                "dispatch/review: hook_agent agent_id=t1-a1 bead_id={mr}"
            ))
        };
        assert!(is_sent(&direct, "m1"));
        for status in ["open", "in_progress"] {
            let again = direct.replace("issue in_review", &std::format!("issue {status}"));
            assert!(!is_sent(&again, "m1"), "{status}");
        }
        let again = direct.replace("issue in_review", "issue open");
        assert!(
            why(&again).contains("b1 was taken up again"),
            "{}",
            why(&again)
        );
        // A pull request is reviewed meanwhile: its merge asks for both itself.
        assert!(is_sent(&again.replace("=direct", "=pr"), "m1"));

        let newer = std::format!(
            "{direct}\nbead m2 merge_request open rig_id=r1 review.source=b1 created_at=-1m\nedge m2 tracks b1"
        );
        assert!(is_sent(&newer, "m2"));
        assert!(
            why(&newer).contains("m2 of the same source is newer"),
            "{}",
            why(&newer)
        );
        let ended = newer.replace("m2 merge_request open", "m2 merge_request failed");
        assert!(is_sent(&ended, "m1"));

        // What waits for this review itself does not go before it.
        for edges in [
            "edge b1 blocks m1",
            "bead b3 issue open rig_id=r1\nedge b1 blocks b3\nedge b3 blocks m1",
        ] {
            assert!(is_sent(&std::format!("{again}\n{edges}"), "m1"), "{edges}");
        }
        // But what has ended waits for nothing any more.
        let over = "bead b3 issue closed rig_id=r1\nedge b1 blocks b3\nedge b3 blocks m1";
        assert!(!is_sent(&std::format!("{again}\n{over}"), "m1"));
        let waits = "bead b3 issue open rig_id=r1\nedge m2 blocks b3\nedge b3 blocks m1";
        assert!(is_sent(&std::format!("{newer}\n{waits}"), "m1"));
    }

    /// Spec 3.5: nobody merges into a branch that is not there, or that nobody lands any more.
    #[test]
    fn dispatch_review_into_the_branch_of_a_convoy_waits_for_it() {
        let of = |convoy: &str| {
            let town = std::format!(
                "rig r1
                bead c1 convoy {convoy} convoy.feature_branch=c/head
                bead b1 issue in_review rig_id=r1
                bead m1 merge_request open rig_id=r1 review.source=b1 review.target_branch=c/head
                edge m1 tracks b1
                edge b1 tracks c1"
            );
            settled(&town, "0s").contains("bead_id=m1 rig_id=r1")
        };
        let created = r#"convoy.branches={"r1":{"state":"created"}}"#;
        assert!(of(&std::format!("open {created}")));
        assert!(!of(&std::format!(
            "open {}",
            created.replace("created", "asked")
        )));
        assert!(!of(&std::format!("closed {created}")));
        assert!(!of(&std::format!("open convoy.staged=true {created}")));
    }

    /// One that is spent takes nothing from a newer one of the same source.
    #[test]
    fn dispatch_review_that_is_spent_leaves_a_source_that_has_another_review() {
        let spent = std::format!("town config.merge_strategy=pr\nrig r1\n{MR}").replace(
            "m1 merge_request open",
            "m1 merge_request open dispatch_attempts=5",
        );
        assert!(
            acts(&spent, "0s").contains("bead_id=b1 from=in_review"),
            "{}",
            acts(&spent, "0s")
        );
        let newer = std::format!(
            "{spent}\nbead m2 merge_request open rig_id=r1 review.source=b1 dispatch_attempts=1 last_dispatch_attempt_at=-1s\nedge m2 tracks b1"
        );
        let told = acts(&newer, "0s");
        assert!(told.contains("bead_id=m1 from=open"), "{told}");
        assert!(!told.contains("bead_id=b1"), "{told}");
    }
}
