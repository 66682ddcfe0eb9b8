//! `agents/parked`: an idle polecat holds an issue that needs no agent now.

use alloc::vec::Vec;

use super::live_hook;
use crate::action::ClearAssignee;
use crate::agent::{Agent, AgentStatus, Role};
use crate::bead::{Bead, BeadStatus};
use crate::eligible::{Obstacle, issue_obstacles};
use crate::pass::Pass;
use crate::reason::{Reason, ReasonCode};
use crate::rules::{On, Rule};
use crate::verdict::Verdict;

pub(super) const RULE: Rule = Rule {
    id: "agents/parked",
    text: "An idle polecat hooked to an issue that is in review, or open and not eligible for \
           any reason but its hook, its assignee, its backoff or a sibling repair: unhooked, the \
           assignee cleared.",
    on: On::Agent(evaluate),
};

fn evaluate(pass: &Pass<'_>, agent: &Agent) -> Verdict {
    if agent.role != Role::Polecat || agent.status != AgentStatus::Idle {
        return Verdict::NotMine;
    }
    let Some(bead) = live_hook(pass, agent).filter(|bead| bead.work().is_some()) else {
        return Verdict::NotMine;
    };
    if !needs_no_agent(pass, bead) {
        return Verdict::NotMine;
    }
    let reason = Reason::new(ReasonCode::Parked, "its bead needs no agent now");
    let mut actions: Vec<_> = Pass::unhook(agent, &reason).into_iter().collect();
    if bead.assignee.is_some() {
        actions.push(
            ClearAssignee {
                bead_id: bead.id.clone(),
            }
            .into(),
        );
    }
    Verdict::Act(actions)
}

/// Whether something other than agents and time keeps the issue from being worked on.
fn needs_no_agent(pass: &Pass<'_>, bead: &Bead) -> bool {
    match bead.status {
        BeadStatus::InReview => true,
        BeadStatus::Open => issue_obstacles(pass, bead)
            .iter()
            .any(|obstacle| match obstacle {
                Obstacle::Assigned(_) | Obstacle::Hooked(_) | Obstacle::SiblingRepair(_) => false,
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
                | Obstacle::ConvoyEnded(_) => true,
            }),
        BeadStatus::InProgress | BeadStatus::Closed | BeadStatus::Failed => false,
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{acts, settled};

    const TOWN: &str = "
        rig r1
        agent a1 polecat idle rig_id=r1 hook=b1 last_activity_at=-1s
        bead b1 issue in_review rig_id=r1 assignee=a1 status_changed_at=-1s
    ";

    #[test]
    fn agents_parked_on_an_issue_in_review() {
        insta::assert_snapshot!(settled(TOWN, "0s"), @"
        agents/parked: unhook_agent agent_id=a1 bead_id=b1 reason=parked
        agents/parked: clear_assignee bead_id=b1
        at rest after 2 passes
        ");
    }

    #[test]
    fn agents_parked_on_an_open_issue_that_something_holds_back() {
        let town = TOWN.replace("in_review", "open");
        for (obstacle, expected) in [
            ("rig_id=r1 last_dispatch_attempt_at=0s", false),
            (r#"rig_id=r1 labels=["gt:held"]"#, true),
            (r#"rig_id=r1 labels=["gt:triage-request"]"#, true),
            (r#"rig_id=r1 labels=["gt:molecule-step"]"#, true),
            ("rig_id=r1 dispatch_attempts=5", true),
            ("rig_id=r1\ntown policy.lineage_dispatches=0", true),
            ("rig_id=r1\nbead b2 issue open rig_id=r1 last_dispatch_attempt_at=0s\nedge b1 blocks b2", true),
            ("rig_id=r1\nbead c1 convoy open convoy.staged=true\nedge b1 tracks c1", true),
            (
                "rig_id=r1\nbead c1 convoy open convoy.feature_branch=f convoy.branches.r1.state=asked convoy.branches.r1.at=0s\nedge b1 tracks c1",
                true,
            ),
            (
                "rig_id=r1 last_dispatch_attempt_at=0s labels=[\"gt:rework\"] parent_id=m1
                 bead b2 issue in_progress rig_id=r1 labels=[\"gt:rework\"] parent_id=m1 updated_at=0s
                 bead s1 issue in_review rig_id=r1
                 bead m1 merge_request in_progress rig_id=r1 review.source=s1 updated_at=0s",
                false,
            ),
        ] {
            let (line, rest) = obstacle.split_once('\n').unwrap_or((obstacle, ""));
            let town = town.replace("rig_id=r1 assignee=a1", &std::format!("{line} assignee=a1"));
            let acts = acts(&std::format!("{town}\n{rest}"), "0s");
            assert_eq!(
                acts.contains("agents/parked: unhook_agent agent_id=a1"),
                expected,
                "{obstacle}: {acts}"
            );
        }
    }

    #[test]
    fn agents_parked_leaves_others_alone() {
        for (from, to) in [
            ("polecat", "refinery"),
            ("idle", "working"),
            ("in_review", "in_progress"),
        ] {
            let town = TOWN.replace(from, to);
            assert!(!acts(&town, "0s").contains("parked"), "{to}");
        }
    }
}
