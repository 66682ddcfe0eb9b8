//! `agents/dangling-hook`: an agent that does not run holds what has ended.

use super::{clear_checkpoint, has_ended_hook, is_worker, release};
use crate::agent::Agent;
use crate::pass::Pass;
use crate::reason::{Reason, ReasonCode};
use crate::rules::{On, Rule};
use crate::verdict::Verdict;

pub(super) const RULE: Rule = Rule {
    id: "agents/dangling-hook",
    text: "Idle or dead, hook terminal or missing: unhooked, its checkpoint cleared.",
    on: On::Agent(evaluate),
};

fn evaluate(pass: &Pass<'_>, agent: &Agent) -> Verdict {
    if !is_worker(agent) || agent.status.is_running() || !has_ended_hook(pass, agent) {
        return Verdict::NotMine;
    }
    let reason = Reason::new(ReasonCode::HookTerminal, "the bead that it holds has ended");
    let mut actions = release(agent, &reason);
    actions.push(clear_checkpoint(agent));
    Verdict::Act(actions)
}

#[cfg(test)]
mod tests {
    use crate::testing::{acts, settled};

    const TOWN: &str = "
        rig r1
        agent a1 polecat idle rig_id=r1 hook=b1 last_activity_at=-1s
        bead b1 issue closed rig_id=r1
    ";

    #[test]
    fn agents_dangling_hook_unhooks() {
        insta::assert_snapshot!(settled(TOWN, "0s"), @"
        agents/dangling-hook: unhook_agent agent_id=a1 bead_id=b1 reason=hook_terminal
        agents/dangling-hook: clear_checkpoint agent_id=a1
        at rest after 2 passes
        ");
    }

    #[test]
    fn agents_dangling_hook_of_the_dead_and_of_missing_beads() {
        for town in [
            TOWN.replace("idle", "dead"),
            TOWN.replace("hook=b1", "hook=gone"),
            TOWN.replace("closed", "failed"),
        ] {
            assert!(
                acts(&town, "0s").starts_with("agents/dangling-hook: unhook_agent agent_id=a1"),
                "{town}"
            );
        }
    }

    #[test]
    fn agents_dangling_hook_leaves_runners_and_mayors_alone() {
        assert!(!acts(&TOWN.replace("idle", "working"), "0s").contains("dangling"));
        assert_eq!(acts(&TOWN.replace("polecat", "mayor"), "0s"), "nothing");
    }
}
