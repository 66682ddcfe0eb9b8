//! `beads/agent-lost`: an issue is in progress and nobody is on it.

use alloc::vec;
use alloc::vec::Vec;

use super::{clear_assignee, fail_exhausted, transition};
use crate::agent::Agent;
use crate::bead::{Bead, BeadStatus};
use crate::pass::{Due, Pass};
use crate::reason::{Reason, ReasonCode};
use crate::rules::{On, Rule};
use crate::verdict::{Verdict, Wait, WaitFor};
use crate::work::Work;

pub(super) const RULE: Rule = Rule {
    id: "beads/agent-lost",
    text: "An issue in progress, untouched for stale_in_progress, no fresh agent on it: it opens, \
           or at the cap fails and a person is told; its assignee is cleared, agents unhooked.",
    on: On::LiveBead(evaluate),
};

fn evaluate(pass: &Pass<'_>, bead: &Bead) -> Verdict {
    // A step is worked on by whoever is on its molecule's bead.
    let is_step = bead.work() == Some(&Work::MoleculeStep);
    if bead.work().is_none() || is_step || bead.status != BeadStatus::InProgress {
        return Verdict::NotMine;
    }
    let holders: Vec<&Agent> = pass.town.holders(&bead.id).collect();
    if let Some(agent) = holders.iter().find(|agent| agent.status.is_running()) {
        return on_it(agent);
    }
    if let Due::At(until) = pass.stale(bead.updated_at, pass.policy().stale_in_progress) {
        let wait = Wait::until(until, "no agent is on it; it opens again");
        return Verdict::wait(wait.since(bead.updated_at));
    }
    if let Some(agent) = holders.iter().find(|agent| pass.is_fresh(agent)) {
        return on_it(agent);
    }
    let reason = Reason::new(ReasonCode::AgentLost, "no agent is on it");
    let mut actions = if pass.attempts_spent(bead) {
        fail_exhausted(pass, bead, "its agent was lost, and every attempt was made")
    } else {
        vec![transition(bead, BeadStatus::Open, reason.clone())]
    };
    actions.extend(clear_assignee(bead));
    actions.extend(
        holders
            .into_iter()
            .filter_map(|agent| Pass::unhook(agent, &reason)),
    );
    Verdict::Act(actions)
}

fn on_it(agent: &Agent) -> Verdict {
    Verdict::wait(Wait::on(WaitFor::Agent, "an agent is on it").id(agent.id.as_str()))
}

#[cfg(test)]
mod tests {
    use crate::testing::{acts, around, around_count, settled, wakeup};

    const TOWN: &str = "
        rig r1
        agent a9 polecat idle rig_id=r1 last_activity_at=-1s
        bead b1 issue in_progress rig_id=r1 assignee=a9 dispatch_attempts=4 last_dispatch_attempt_at=-1m updated_at=-5m
    ";

    #[test]
    fn beads_agent_lost_at_the_threshold_waits() {
        insta::assert_snapshot!(acts(TOWN, "0s"), @"nothing");
        insta::assert_snapshot!(wakeup(TOWN, "0s"), @"2026-04-04T12:00:00.001Z");
    }

    #[test]
    fn beads_agent_lost_just_over_the_threshold_opens() {
        insta::assert_snapshot!(settled(TOWN, "1ms"), @"
        beads/agent-lost: transition_bead bead_id=b1 from=in_progress reason=agent_lost to=open
        beads/agent-lost: clear_assignee bead_id=b1
        at rest after 2 passes
        ");
    }

    #[test]
    fn beads_agent_lost_at_the_cap_fails() {
        let town = TOWN.replace("dispatch_attempts=4", "dispatch_attempts=5");
        insta::assert_snapshot!(settled(&town, "1ms"), @r#"
        beads/agent-lost: transition_bead bead_id=b1 from=in_progress reason=attempts_exhausted to=failed
        beads/agent-lost: create_bead bead={"escalation":{"bead_id":"b1","category":"attempts_exhausted","severity":"high"},"labels":["gt:escalation","severity:high"],"priority":"high","rig_id":"r1","status":"open","title":"attempts exhausted: b1","type":"escalation"} bead_id=t1-e1
        beads/agent-lost: tell bead_id=b1 category=attempts_exhausted escalation_id=t1-e1
        beads/agent-lost: clear_assignee bead_id=b1
        escalations/notify: notify_mayor message=[high] attempts exhausted: b1

        its agent was lost, and every attempt was made topic=escalation:t1-e1
        at rest after 3 passes
        "#);
    }

    #[test]
    fn beads_agent_lost_comes_after_the_rules_on_its_agent() {
        let town = std::format!("{TOWN}\nagent a1 polecat dead rig_id=r1 hook=b1");
        insta::assert_snapshot!(settled(&town, "1ms"), @"
        agents/dead-holder: unhook_agent agent_id=a1 bead_id=b1 reason=agent_dead
        beads/agent-lost: transition_bead bead_id=b1 from=in_progress reason=agent_lost to=open
        beads/agent-lost: clear_assignee bead_id=b1
        at rest after 3 passes
        ");
    }

    #[test]
    fn beads_agent_lost_leaves_others_alone() {
        let agent = |status: &str| {
            std::format!("{TOWN}\nagent a1 polecat {status} rig_id=r1 hook=b1 last_activity_at=0s")
        };
        for town in [
            agent("working"),
            agent("stalled"),
            TOWN.replace("in_progress", "open"),
            TOWN.replace(
                "rig_id=r1 assignee",
                r#"rig_id=r1 labels=["gt:molecule-step"] assignee"#,
            ),
        ] {
            assert!(!acts(&town, "1ms").contains("agent-lost"), "{town}");
        }
    }

    #[test]
    fn beads_agent_lost_around_its_threshold() {
        insta::assert_snapshot!(around(TOWN, "0s"), @"
        just under: nothing, again at 2026-04-04T12:00:00.001Z
        at: nothing, again at 2026-04-04T12:00:00.001Z
        just over: beads/agent-lost
        ");
    }

    #[test]
    fn beads_agent_lost_around_the_cap() {
        insta::assert_snapshot!(around_count(&TOWN.replace("attempts=4", "attempts=5"), "dispatch_attempts=5", "1ms"), @"
        4: beads/agent-lost to=open
        5: beads/agent-lost to=failed category=attempts_exhausted
        6: beads/agent-lost to=failed category=attempts_exhausted
        ");
    }
}
