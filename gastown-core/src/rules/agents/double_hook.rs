//! `agents/double-hook`: two agents are hooked to one bead; one keeps it.

use core::cmp::Reverse;

use alloc::format;
use alloc::vec::Vec;

use super::{is_worker, live_hook, release};
use crate::action::SetAssignee;
use crate::agent::{Agent, AgentStatus};
use crate::bead::Bead;
use crate::pass::Pass;
use crate::reason::{Reason, ReasonCode};
use crate::rules::{On, Rule};
use crate::verdict::Verdict;

pub(super) const RULE: Rule = Rule {
    id: "agents/double-hook",
    text: "Two agents hooked to one bead: the fresh one, then the assignee, then the one hooked \
           earlier keeps it; others are stopped and unhooked.",
    on: On::Agent(evaluate),
};

fn evaluate(pass: &Pass<'_>, agent: &Agent) -> Verdict {
    let Some(bead) = live_hook(pass, agent).filter(|_| is_worker(agent)) else {
        return Verdict::NotMine;
    };
    let holders: Vec<&Agent> = pass.town.holders(&bead.id).collect();
    if holders.len() < 2 {
        return Verdict::NotMine;
    }
    let Some(keeper) = holders.into_iter().min_by_key(|a| claim(pass, bead, a)) else {
        return Verdict::NotMine;
    };
    if keeper.id == agent.id {
        return Verdict::NotMine;
    }
    let reason = Reason::new(
        ReasonCode::DoubleHook,
        format!("agent {} is on {} as well and keeps it", keeper.id, bead.id),
    );
    let mut actions = release(agent, &reason);
    // The hook wins over the field (spec 1.7).
    if bead.assignee.as_ref() == Some(&agent.id) {
        actions.push(
            SetAssignee {
                bead_id: bead.id.clone(),
                agent_id: keeper.id.clone(),
            }
            .into(),
        );
    }
    Verdict::Act(actions)
}

/// The strength of an agent's claim on the bead that it is hooked to; the least is the strongest.
/// One that another rule is about to unhook does not keep it.
fn claim<'a>(pass: &Pass<'_>, bead: &Bead, agent: &'a Agent) -> impl Ord + use<'a> {
    let stays = agent.status != AgentStatus::Dead && pass.town.fits(agent, bead);
    let is_assignee = bead.assignee.as_ref() == Some(&agent.id);
    (
        Reverse(stays),
        Reverse(pass.is_fresh(agent)),
        Reverse(is_assignee),
        agent.hooked_at.unwrap_or(agent.created_at),
        agent.created_at,
        &agent.id,
    )
}

#[cfg(test)]
mod tests {
    use crate::testing::{acts, settled};

    #[test]
    fn agents_double_hook_the_fresh_one_keeps_it() {
        let town = "
            rig r1
            agent a1 polecat idle rig_id=r1 hook=b1 hooked_at=-2h last_activity_at=-1h
            agent a2 polecat working rig_id=r1 hook=b1 hooked_at=-1h last_activity_at=-1s
            bead b1 issue in_progress rig_id=r1 assignee=a1
        ";
        insta::assert_snapshot!(acts(town, "0s"), @"
        agents/double-hook: unhook_agent agent_id=a1 bead_id=b1 reason=double_hook
        agents/double-hook: set_assignee agent_id=a2 bead_id=b1
        ");
    }

    #[test]
    fn agents_double_hook_of_two_fresh_ones_the_assignee_keeps_it() {
        let town = "
            rig r1
            agent a1 polecat working rig_id=r1 hook=b1 hooked_at=-2h session=3 last_activity_at=-1s
            agent a2 polecat working rig_id=r1 hook=b1 hooked_at=-1h last_activity_at=-1s
            bead b1 issue in_progress rig_id=r1 assignee=a2
        ";
        insta::assert_snapshot!(settled(town, "0s"), @"
        agents/double-hook: stop_agent agent_id=a1 reason=double_hook session=3
        agents/double-hook: transition_agent agent_id=a1 from=working reason=double_hook to=idle
        agents/double-hook: unhook_agent agent_id=a1 bead_id=b1 reason=double_hook
        at rest after 2 passes
        ");
    }

    #[test]
    fn agents_double_hook_without_an_assignee_the_earlier_one_keeps_it() {
        let town = "
            rig r1
            agent a1 polecat working rig_id=r1 hook=b1 hooked_at=-1h last_activity_at=-1s
            agent a2 polecat working rig_id=r1 hook=b1 hooked_at=-2h last_activity_at=-1s
            agent a3 polecat working rig_id=r1 hook=b1 hooked_at=-3h last_activity_at=-1s
            bead b1 issue in_progress rig_id=r1
        ";
        insta::assert_snapshot!(acts(town, "0s"), @"
        agents/double-hook: stop_agent agent_id=a1 reason=double_hook session=0
        agents/double-hook: transition_agent agent_id=a1 from=working reason=double_hook to=idle
        agents/double-hook: unhook_agent agent_id=a1 bead_id=b1 reason=double_hook
        agents/double-hook: stop_agent agent_id=a2 reason=double_hook session=0
        agents/double-hook: transition_agent agent_id=a2 from=working reason=double_hook to=idle
        agents/double-hook: unhook_agent agent_id=a2 bead_id=b1 reason=double_hook
        ");
    }

    #[test]
    fn agents_double_hook_heard_of_within_the_timeout_counts_as_fresh() {
        let town = "
            rig r1
            agent a1 polecat idle rig_id=r1 hook=b1 hooked_at=-3h last_activity_at=-90s
            agent a2 polecat idle rig_id=r1 hook=b1 hooked_at=-2h last_activity_at=-2h
            bead b1 issue open rig_id=r1 assignee=a2
        ";
        assert!(acts(town, "0s").contains("double-hook: unhook_agent agent_id=a2"));
        assert!(acts(town, "1ms").contains("double-hook: unhook_agent agent_id=a1"));
    }

    #[test]
    fn agents_double_hook_who_is_dead_or_does_not_fit_never_keeps_it() {
        let town = "
            rig r1
            agent a1 polecat dead rig_id=r1 hook=b1 last_activity_at=-1s
            agent a2 refinery working rig_id=r1 hook=b1 last_activity_at=-1s
            agent a3 polecat idle rig_id=r1 hook=b1 last_activity_at=-2h
            bead b1 issue open rig_id=r1 assignee=a1
        ";
        insta::assert_snapshot!(acts(town, "0s"), @"
        agents/double-hook: unhook_agent agent_id=a1 bead_id=b1 reason=double_hook
        agents/double-hook: set_assignee agent_id=a3 bead_id=b1
        agents/double-hook: stop_agent agent_id=a2 reason=double_hook session=0
        agents/double-hook: transition_agent agent_id=a2 from=working reason=double_hook to=idle
        agents/double-hook: unhook_agent agent_id=a2 bead_id=b1 reason=double_hook
        ");
    }

    #[test]
    fn agents_double_hook_leaves_one_holder_and_mayors_alone() {
        let town = "
            rig r1
            agent a1 polecat working rig_id=r1 hook=b1 last_activity_at=-1s
            agent a2 mayor working hook=b1 last_activity_at=-1s
            bead b1 issue in_progress rig_id=r1 assignee=a1
        ";
        insta::assert_snapshot!(acts(town, "0s"), @"nothing");
    }

    #[test]
    fn agents_double_hook_of_equal_ones_the_older_agent_keeps_it() {
        let town = "
            rig r1
            agent a1 polecat working rig_id=r1 hook=b1 hooked_at=-1h last_activity_at=-1s created_at=-2h
            agent a2 polecat working rig_id=r1 hook=b1 hooked_at=-1h last_activity_at=-1s created_at=-3h
            bead b1 issue in_progress rig_id=r1
        ";
        assert!(acts(town, "0s").contains("unhook_agent agent_id=a1 "));
    }

    /// Who was never heard of is as old as itself (spec 1.10).
    #[test]
    fn agents_double_hook_of_two_idle_ones_the_one_heard_of_keeps_it() {
        for (agent, fresh) in [
            ("last_activity_at=-90s", true),
            ("last_activity_at=-90001ms", false),
            ("created_at=-90s", true),
            ("created_at=-90001ms", false),
        ] {
            let town = std::format!(
                "rig r1
                agent a1 polecat idle rig_id=r1 hook=b1 hooked_at=-2h last_activity_at=-1h
                agent a2 polecat idle rig_id=r1 hook=b1 hooked_at=-1h {agent}
                bead b1 issue in_progress rig_id=r1 assignee=a1"
            );
            let acts = acts(&town, "0s");
            assert_eq!(
                acts.contains("unhook_agent agent_id=a1 "),
                fresh,
                "{agent}: {acts}"
            );
        }
    }
}
