//! `agents/lost-polecat`: a polecat's session ended and its bead is still in progress.

use alloc::vec;

use super::live_hook;
use crate::action::TransitionBead;
use crate::agent::{Agent, AgentStatus, Role};
use crate::bead::BeadStatus;
use crate::pass::Pass;
use crate::reason::{Reason, ReasonCode};
use crate::rules::{On, Rule};
use crate::verdict::Verdict;

pub(super) const RULE: Rule = Rule {
    id: "agents/lost-polecat",
    text: "An idle polecat hooked to an issue in progress, no other agent on it: the bead opens; \
           hook and checkpoint stay, so that the same worktree can resume. At the cap: the bead \
           fails, a person is told, the agent is unhooked.",
    on: On::Agent(evaluate),
};

fn evaluate(pass: &Pass<'_>, agent: &Agent) -> Verdict {
    if agent.role != Role::Polecat || agent.status != AgentStatus::Idle {
        return Verdict::NotMine;
    }
    let Some(bead) = live_hook(pass, agent)
        .filter(|bead| bead.work().is_some() && bead.status == BeadStatus::InProgress)
    else {
        return Verdict::NotMine;
    };
    if pass
        .town
        .holders(&bead.id)
        .any(|other| other.id != agent.id)
    {
        return Verdict::NotMine;
    }
    let (to, reason) = if pass.attempts_spent(bead) {
        let spent = "its agent was lost, and every attempt was made";
        (
            BeadStatus::Failed,
            Reason::new(ReasonCode::AttemptsExhausted, spent),
        )
    } else {
        (
            BeadStatus::Open,
            Reason::new(ReasonCode::AgentLost, "its agent was lost and may resume"),
        )
    };
    let mut actions = vec![
        TransitionBead {
            bead_id: bead.id.clone(),
            from: bead.status,
            to,
            reason: reason.clone(),
        }
        .into(),
    ];
    if to == BeadStatus::Failed {
        actions.extend(pass.tell_once(bead, reason.code, reason.message.clone()));
        actions.extend(Pass::unhook(agent, &reason));
    }
    Verdict::Act(actions)
}

#[cfg(test)]
mod tests {
    use crate::testing::{acts, around_count, settled};

    const TOWN: &str = "
        rig r1
        agent a1 polecat idle rig_id=r1 hook=b1 session=2 last_activity_at=-1s checkpoint=7
        bead b1 issue in_progress rig_id=r1 assignee=a1 dispatch_attempts=4 last_dispatch_attempt_at=-1m
    ";

    #[test]
    fn agents_lost_polecat_under_the_cap_opens_the_bead() {
        insta::assert_snapshot!(settled(TOWN, "0s"), @"
        agents/lost-polecat: transition_bead bead_id=b1 from=in_progress reason=agent_lost to=open
        at rest after 2 passes
        ");
    }

    #[test]
    fn agents_lost_polecat_at_the_cap_fails_the_bead() {
        let town = TOWN.replace("dispatch_attempts=4", "dispatch_attempts=5");
        insta::assert_snapshot!(settled(&town, "0s"), @r#"
        agents/lost-polecat: transition_bead bead_id=b1 from=in_progress reason=attempts_exhausted to=failed
        agents/lost-polecat: create_bead bead={"escalation":{"bead_id":"b1","category":"attempts_exhausted","severity":"high"},"labels":["gt:escalation","severity:high"],"priority":"high","rig_id":"r1","status":"open","title":"attempts exhausted: b1","type":"escalation"} bead_id=t1-e1
        agents/lost-polecat: tell bead_id=b1 category=attempts_exhausted escalation_id=t1-e1
        agents/lost-polecat: unhook_agent agent_id=a1 bead_id=b1 reason=attempts_exhausted
        escalations/notify: notify_mayor message=[high] attempts exhausted: b1

        its agent was lost, and every attempt was made topic=escalation:t1-e1
        at rest after 3 passes
        "#);
    }

    #[test]
    fn agents_lost_polecat_leaves_others_alone() {
        for (from, to) in [
            ("polecat idle", "polecat working"),
            ("issue in_progress", "issue open"),
            ("polecat idle", "refinery idle"),
        ] {
            let town = TOWN.replace(from, to);
            assert!(!acts(&town, "0s").contains("lost-polecat"), "{to}");
        }
        let other = "agent a2 polecat working rig_id=r1 hook=b1 last_activity_at=-1s";
        let town = std::format!("{TOWN}\n{other}");
        assert!(!acts(&town, "0s").contains("lost-polecat"));
    }

    #[test]
    fn agents_lost_polecat_around_the_cap() {
        insta::assert_snapshot!(around_count(&TOWN.replace("attempts=4", "attempts=5"), "dispatch_attempts=5", "0s"), @"
        4: agents/lost-polecat to=open
        5: agents/lost-polecat to=failed category=attempts_exhausted
        6: agents/lost-polecat to=failed category=attempts_exhausted
        ");
    }
}
