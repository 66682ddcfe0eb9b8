//! `agents/stop-terminal`: an agent works on what has ended.

use super::{clear_checkpoint, has_ended_hook, is_worker, release};
use crate::agent::Agent;
use crate::pass::Pass;
use crate::reason::{Reason, ReasonCode};
use crate::rules::{On, Rule};
use crate::verdict::Verdict;

pub(super) const RULE: Rule = Rule {
    id: "agents/stop-terminal",
    text: "Working or stalled, hook terminal or missing: stopped, unhooked, its checkpoint \
           cleared, idle.",
    on: On::Agent(evaluate),
};

fn evaluate(pass: &Pass<'_>, agent: &Agent) -> Verdict {
    if !is_worker(agent) || !agent.status.is_running() || !has_ended_hook(pass, agent) {
        return Verdict::NotMine;
    }
    let reason = Reason::new(ReasonCode::HookTerminal, "the bead that it is on has ended");
    let mut actions = release(agent, &reason);
    actions.push(clear_checkpoint(agent));
    Verdict::Act(actions)
}

#[cfg(test)]
mod tests {
    use crate::testing::{acts, settled};

    const TOWN: &str = "
        rig r1
        agent a1 polecat working rig_id=r1 hook=b1 session=3 last_activity_at=-1s checkpoint=7
        bead b1 issue closed rig_id=r1
    ";

    #[test]
    fn agents_stop_terminal_stops_and_frees_the_agent() {
        insta::assert_snapshot!(settled(TOWN, "0s"), @"
        agents/stop-terminal: stop_agent agent_id=a1 reason=hook_terminal session=3
        agents/stop-terminal: transition_agent agent_id=a1 from=working reason=hook_terminal to=idle
        agents/stop-terminal: unhook_agent agent_id=a1 bead_id=b1 reason=hook_terminal
        agents/stop-terminal: clear_checkpoint agent_id=a1
        at rest after 2 passes
        ");
    }

    #[test]
    fn agents_stop_terminal_with_a_missing_bead_or_a_failed_one() {
        for (town, session) in [
            (TOWN.replace("hook=b1", "hook=gone"), 3),
            (TOWN.replace("closed", "failed"), 3),
            (TOWN.replace("working", "stalled"), 3),
            (TOWN.replace("polecat", "refinery"), 3),
        ] {
            let stop = std::format!(
                "agents/stop-terminal: stop_agent agent_id=a1 reason=hook_terminal session={session}"
            );
            assert!(acts(&town, "0s").contains(&stop), "{town}");
        }
    }

    #[test]
    fn agents_stop_terminal_leaves_live_hooks_and_mayors_alone() {
        assert_eq!(
            acts(&TOWN.replace("closed", "in_progress"), "0s"),
            "nothing"
        );
        assert_eq!(acts(&TOWN.replace("polecat", "mayor"), "0s"), "nothing");
    }
}
