//! `dispatch/polecat-again`: a polecat resumes the bead that it never lost.

use alloc::vec;

use super::{backoff_wait, go, in_progress, unless_held_back};
use crate::action::SetAssignee;
use crate::agent::{Agent, AgentStatus, Role};
use crate::bead::Bead;
use crate::eligible::{Obstacle, issue_obstacles};
use crate::pass::{Due, Pass};
use crate::rules::{On, Rule};
use crate::verdict::Verdict;

pub(super) const RULE: Rule = Rule {
    id: "dispatch/polecat-again",
    text: "An idle polecat hooked to an open bead that would be eligible but for its hook and \
           assignee: it is dispatched again, in the same worktree.",
    on: On::Agent(evaluate),
};

fn evaluate(pass: &Pass<'_>, agent: &Agent) -> Verdict {
    match resumable(pass, agent) {
        Some(_) => unless_held_back(pass, || judge(pass, agent)),
        None => Verdict::NotMine,
    }
}

/// The bead that the polecat may resume, backoff aside.
fn resumable<'a>(pass: &Pass<'a>, agent: &Agent) -> Option<&'a Bead> {
    if agent.role != Role::Polecat || agent.status != AgentStatus::Idle {
        return None;
    }
    let bead = pass.town.bead(agent.hook.as_ref()?)?;
    let only_its_own = issue_obstacles(pass, bead)
        .iter()
        .all(|obstacle| match obstacle {
            Obstacle::Assigned(id) | Obstacle::Hooked(id) => **id == agent.id,
            Obstacle::NotOpen
            | Obstacle::TriageRequest
            | Obstacle::MoleculeStep
            | Obstacle::NothingToJudge
            | Obstacle::Held
            | Obstacle::NoRig
            | Obstacle::StagedConvoy(_)
            | Obstacle::Blocked(_)
            | Obstacle::AttemptsSpent
            | Obstacle::LineageSpent
            | Obstacle::BranchMissing(_)
            | Obstacle::ConvoyEnded(_)
            | Obstacle::SiblingRepair(_) => false,
        });
    (only_its_own && pass.town.fits(agent, bead)).then_some(bead)
}

/// As the rule, whatever drain and breaker say.
pub(super) fn judge(pass: &Pass<'_>, agent: &Agent) -> Verdict {
    let (Some(bead), Some(rig)) = (resumable(pass, agent), &agent.rig_id) else {
        return Verdict::NotMine;
    };
    if let Due::At(until) = pass.backoff(bead) {
        return backoff_wait(bead, until);
    }
    let mut actions = vec![in_progress(bead, &agent.id)];
    if bead.assignee.as_ref() != Some(&agent.id) {
        actions.push(
            SetAssignee {
                bead_id: bead.id.clone(),
                agent_id: agent.id.clone(),
            }
            .into(),
        );
    }
    actions.extend(go(bead, agent.id.clone(), rig.clone(), agent.session));
    Verdict::Act(actions)
}

#[cfg(test)]
mod tests {
    use crate::testing::{acts, around};

    const TOWN: &str = "
        rig r1
        agent a1 polecat idle rig_id=r1 hook=b1 session=4 last_activity_at=-1m
        bead b1 issue open rig_id=r1 assignee=a1 dispatch_attempts=1 last_dispatch_attempt_at=-30s
    ";

    #[test]
    fn dispatch_polecat_again_waits_for_the_backoff() {
        insta::assert_snapshot!(acts(TOWN, "0s"), @"nothing");
    }

    #[test]
    fn dispatch_polecat_again_resumes_with_a_new_session() {
        insta::assert_snapshot!(acts(TOWN, "1ms"), @"
        dispatch/polecat-again: transition_bead bead_id=b1 from=open reason=dispatched to=in_progress
        dispatch/polecat-again: transition_agent agent_id=a1 from=idle reason=dispatched to=working
        dispatch/polecat-again: dispatch_agent agent_id=a1 attempt=2 bead_id=b1 rig_id=r1 session=5
        ");
    }

    #[test]
    fn dispatch_polecat_again_around_its_threshold() {
        insta::assert_snapshot!(around(TOWN, "0s"), @"
        just under: nothing, again at 2026-04-04T12:00:00.001Z
        at: nothing, again at 2026-04-04T12:00:00.001Z
        just over: dispatch/polecat-again
        ");
    }

    /// Whose hook it is resumes, and takes what another one, who is gone, was assigned.
    #[test]
    fn dispatch_polecat_again_is_of_idle_polecats_alone_and_assigns_what_was_not() {
        let judge = |text: &str| {
            let town = crate::testing::town(text);
            let pass = crate::pass::Pass::new(&town, crate::testing::at("1ms"));
            let agent = town
                .agent(&crate::ids::AgentId::new("a1").unwrap())
                .unwrap();
            matches!(super::judge(&pass, agent), crate::verdict::Verdict::Act(_))
        };
        assert!(judge(TOWN));
        for (from, to) in [
            ("polecat", "refinery"),
            ("idle", "working dispatched_at=0s"),
            // Another rig's work is not resumed in this one's worktree.
            ("b1 issue open rig_id=r1", "b1 issue open rig_id=r2"),
        ] {
            let town = std::format!("rig r2{}", TOWN.replace(from, to));
            assert!(!judge(&town), "{to}");
        }
        let unassigned = acts(&TOWN.replace(" assignee=a1", ""), "1ms");
        assert!(
            unassigned.contains("set_assignee agent_id=a1 bead_id=b1"),
            "{unassigned}"
        );
    }
}
