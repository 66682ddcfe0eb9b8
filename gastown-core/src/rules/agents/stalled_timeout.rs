//! `agents/stalled-timeout`: a stalled agent loses its bead in the end.

use alloc::vec::Vec;

use super::{is_worker, watched};
use crate::agent::{Agent, AgentStatus};
use crate::eligible::drain_obstacle;
use crate::pass::{Due, Pass};
use crate::reason::{Reason, ReasonCode};
use crate::rules::{On, Rule};
use crate::verdict::Verdict;

pub(super) const RULE: Rule = Rule {
    id: "agents/stalled-timeout",
    text: "Stalled longer than stalled_timeout, whatever its heartbeats say, not draining: \
           unhooked, idle.",
    on: On::Agent(evaluate),
};

fn evaluate(pass: &Pass<'_>, agent: &Agent) -> Verdict {
    if !is_worker(agent) || agent.status != AgentStatus::Stalled {
        return Verdict::NotMine;
    }
    if let Some(wait) = drain_obstacle(pass) {
        return Verdict::wait(wait);
    }
    let since = agent
        .stalled_at
        .or(agent.last_activity_at)
        .unwrap_or(agent.created_at);
    match pass.silent(since, pass.policy().stalled_timeout) {
        Due::Now => {
            let reason = Reason::new(ReasonCode::StalledTimeout, "it was stalled for too long");
            // Its session was asked to stop when it stalled.
            let mut actions: Vec<_> = Pass::unhook(agent, &reason).into_iter().collect();
            actions.push(Pass::to_idle(agent, &reason));
            Verdict::Act(actions)
        }
        Due::At(until) => watched(
            agent,
            since,
            until,
            "is stalled; the triage agent may restart it",
        ),
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{acts, around, settled, wakeup};

    const TOWN: &str = "
        rig r1
        agent a1 polecat stalled rig_id=r1 hook=b1 session=2 stalled_at=-150m last_activity_at=-1s
        bead b1 issue in_progress rig_id=r1 assignee=a1 dispatch_attempts=1 updated_at=-5h
    ";

    #[test]
    fn agents_stalled_timeout_at_the_threshold_waits() {
        insta::assert_snapshot!(acts(TOWN, "0s"), @"nothing");
        insta::assert_snapshot!(wakeup(TOWN, "0s"), @"2026-04-04T12:00:00.001Z");
    }

    #[test]
    fn agents_stalled_timeout_just_over_the_threshold_unhooks() {
        insta::assert_snapshot!(acts(TOWN, "1ms"), @"
        agents/stalled-timeout: unhook_agent agent_id=a1 bead_id=b1 reason=stalled_timeout
        agents/stalled-timeout: transition_agent agent_id=a1 from=stalled reason=stalled_timeout to=idle
        ");
    }

    #[test]
    fn agents_stalled_timeout_settles_with_the_bead_on_its_way_again() {
        insta::assert_snapshot!(settled(TOWN, "1ms"), @"
        agents/stalled-timeout: unhook_agent agent_id=a1 bead_id=b1 reason=stalled_timeout
        agents/stalled-timeout: transition_agent agent_id=a1 from=stalled reason=stalled_timeout to=idle
        beads/agent-lost: transition_bead bead_id=b1 from=in_progress reason=agent_lost to=open
        beads/agent-lost: clear_assignee bead_id=b1
        dispatch/issue: transition_bead bead_id=b1 from=open reason=dispatched to=in_progress
        dispatch/issue: set_assignee agent_id=a1 bead_id=b1
        dispatch/issue: hook_agent agent_id=a1 bead_id=b1
        dispatch/issue: transition_agent agent_id=a1 from=idle reason=dispatched to=working
        dispatch/issue: dispatch_agent agent_id=a1 attempt=2 bead_id=b1 rig_id=r1 session=3
        at rest after 4 passes
        ");
    }

    #[test]
    fn agents_stalled_timeout_counts_from_the_last_activity_where_the_stall_is_unknown() {
        let town = TOWN.replace("stalled_at=-150m", "").replace("-1s", "-150m");
        assert_eq!(acts(&town, "0s"), "nothing");
        assert!(acts(&town, "1ms").contains("stalled-timeout"));
    }

    #[test]
    fn agents_stalled_timeout_is_not_judged_while_draining_nor_before_a_gap_is_over() {
        for town in [
            "town drain.nonce=n drain.started_at=-1s",
            "town judge_from=-1s",
        ] {
            let town = std::format!("{town}\n{TOWN}");
            assert_eq!(acts(&town, "1ms"), "nothing");
        }
    }

    #[test]
    fn agents_stalled_timeout_leaves_mayors_alone() {
        assert!(!acts(&TOWN.replace("polecat", "mayor"), "1ms").contains("stalled-timeout"));
    }

    #[test]
    fn agents_stalled_timeout_around_its_threshold() {
        insta::assert_snapshot!(around(TOWN, "0s"), @"
        just under: nothing, again at 2026-04-04T12:00:00.001Z
        at: nothing, again at 2026-04-04T12:00:00.001Z
        just over: agents/stalled-timeout
        ");
    }
}
