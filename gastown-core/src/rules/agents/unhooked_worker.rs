//! `agents/unhooked-worker`: nobody works on nothing.

use super::is_worker;
use crate::agent::{Agent, AgentStatus};
use crate::pass::Pass;
use crate::reason::{Reason, ReasonCode};
use crate::rules::{On, Rule};
use crate::verdict::Verdict;

pub(super) const RULE: Rule = Rule {
    id: "agents/unhooked-worker",
    text: "Working or stalled without a hook: stopped, idle.",
    on: On::Agent(evaluate),
};

fn evaluate(_: &Pass<'_>, agent: &Agent) -> Verdict {
    // Only mayors wait (spec 1.5); a worker that comes so from outside is at work.
    let at_work = agent.status.is_running() || agent.status == AgentStatus::Waiting;
    if !is_worker(agent) || !at_work || agent.hook.is_some() {
        return Verdict::NotMine;
    }
    let reason = Reason::new(ReasonCode::Unhooked, "it works without a hook");
    Verdict::Act(Pass::stop_and_idle(agent, &reason))
}

#[cfg(test)]
mod tests {
    use crate::testing::{acts, settled};

    const TOWN: &str = "rig r1\nagent a1 polecat working rig_id=r1 session=2 last_activity_at=-1s";

    #[test]
    fn agents_unhooked_worker_stops() {
        insta::assert_snapshot!(settled(TOWN, "0s"), @"
        agents/unhooked-worker: stop_agent agent_id=a1 reason=unhooked session=2
        agents/unhooked-worker: transition_agent agent_id=a1 from=working reason=unhooked to=idle
        at rest after 2 passes
        ");
    }

    #[test]
    fn agents_unhooked_worker_stalled_too() {
        insta::assert_snapshot!(acts(&TOWN.replace("working", "stalled"), "0s"), @"
        agents/unhooked-worker: stop_agent agent_id=a1 reason=unhooked session=2
        agents/unhooked-worker: transition_agent agent_id=a1 from=stalled reason=unhooked to=idle
        ");
    }

    #[test]
    fn agents_unhooked_worker_leaves_the_idle_and_mayors_alone() {
        assert_eq!(acts(&TOWN.replace("working", "idle"), "0s"), "nothing");
        assert_eq!(acts(&TOWN.replace("polecat", "mayor"), "0s"), "nothing");
    }

    #[test]
    fn agents_unhooked_worker_waiting_too_but_for_mayors() {
        insta::assert_snapshot!(acts(&TOWN.replace("working", "waiting"), "0s"), @"
        agents/unhooked-worker: stop_agent agent_id=a1 reason=unhooked session=2
        agents/unhooked-worker: transition_agent agent_id=a1 from=waiting reason=unhooked to=idle
        ");
        let mayor = TOWN.replace("polecat working", "mayor waiting");
        assert!(!acts(&mayor, "0s").contains("unhooked-worker"));
    }
}
