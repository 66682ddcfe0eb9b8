//! `agents/dead-holder`: who will not come back holds nothing.

use super::release;
use crate::agent::{Agent, AgentStatus};
use crate::pass::Pass;
use crate::reason::{Reason, ReasonCode};
use crate::rules::{On, Rule};
use crate::verdict::Verdict;

pub(super) const RULE: Rule = Rule {
    id: "agents/dead-holder",
    text: "Dead and hooked: unhooked.",
    on: On::Agent(evaluate),
};

fn evaluate(_: &Pass<'_>, agent: &Agent) -> Verdict {
    if agent.status != AgentStatus::Dead || agent.hook.is_none() {
        return Verdict::NotMine;
    }
    let reason = Reason::new(ReasonCode::AgentDead, "the host gave the agent up");
    Verdict::Act(release(agent, &reason))
}

#[cfg(test)]
mod tests {
    use crate::testing::{acts, settled};

    const TOWN: &str = "
        rig r1
        agent a1 polecat dead rig_id=r1 hook=b1 last_activity_at=-1s
        bead b1 issue in_progress rig_id=r1 assignee=a1 updated_at=-1s
    ";

    #[test]
    fn agents_dead_holder_unhooks() {
        insta::assert_snapshot!(settled(TOWN, "0s"), @"
        agents/dead-holder: unhook_agent agent_id=a1 bead_id=b1 reason=agent_dead
        at rest after 2 passes
        ");
    }

    #[test]
    fn agents_dead_holder_of_a_mayor() {
        let town = "agent a1 mayor dead hook=b1\nbead b1 issue open";
        assert!(acts(town, "0s").contains("agents/dead-holder: unhook_agent agent_id=a1"));
    }

    #[test]
    fn agents_dead_holder_leaves_the_living_and_the_unhooked_alone() {
        assert!(!acts(&TOWN.replace("dead", "working"), "0s").contains("dead-holder"));
        assert!(!acts(&TOWN.replace("hook=b1", ""), "0s").contains("dead-holder"));
    }
}
