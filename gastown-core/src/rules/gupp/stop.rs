//! `gupp/stop`: an agent shows no activity for too long.

use alloc::vec;

use super::{at_work, inactive, is_judged, stuck_agent};
use crate::action::TransitionAgent;
use crate::agent::{Agent, AgentStatus};
use crate::pass::{Due, Pass};
use crate::reason::{Reason, ReasonCode};
use crate::rules::{On, Rule};
use crate::verdict::Verdict;

pub(super) const RULE: Rule = Rule {
    id: "gupp/stop",
    text: "A working agent without activity for longer than gupp_stop: stalled, stopped, a triage \
           request `stuck_agent`.",
    on: On::Agent(evaluate),
};

fn evaluate(pass: &Pass<'_>, agent: &Agent) -> Verdict {
    if !is_judged(pass, agent) {
        return Verdict::NotMine;
    }
    if let Due::At(until) = inactive(pass, agent, pass.policy().gupp_stop) {
        return at_work(agent, until, "is stopped unless it shows activity");
    }
    let reason = Reason::new(ReasonCode::Inactive, "it shows no activity");
    let mut actions = vec![
        TransitionAgent {
            agent_id: agent.id.clone(),
            from: agent.status,
            to: AgentStatus::Stalled,
            reason: reason.clone(),
        }
        .into(),
        Pass::stop(agent, &reason),
    ];
    actions.extend(stuck_agent(pass, agent));
    Verdict::Act(actions)
}

#[cfg(test)]
mod tests {
    use crate::testing::{acts, around, settled};

    const TOWN: &str = "
        rig r1
        agent a1 polecat working rig_id=r1 hook=b1 session=3 last_activity_at=0s dispatched_at=-3h last_event_at=-2h
        bead b1 issue in_progress rig_id=r1 assignee=a1
        nudge n1 a1 escalate created_at=-30m sent_at=-30m delivered_at=-30m
    ";

    #[test]
    fn gupp_stop_around_its_threshold() {
        insta::assert_snapshot!(around(TOWN, "0s"), @"
        just under: nothing, again at 2026-04-04T12:00:00.001Z
        at: nothing, again at 2026-04-04T12:00:00.001Z
        just over: gupp/stop
        ");
    }

    #[test]
    fn gupp_stop_at_the_threshold_waits() {
        insta::assert_snapshot!(acts(TOWN, "0s"), @"nothing");
    }

    #[test]
    fn gupp_stop_just_over_the_threshold_stalls_and_stops_once() {
        insta::assert_snapshot!(settled(TOWN, "1ms"), @r#"
        gupp/stop: transition_agent agent_id=a1 from=working reason=inactive to=stalled
        gupp/stop: stop_agent agent_id=a1 reason=inactive session=3
        gupp/stop: create_bead bead={"labels":["gt:triage-request"],"metadata":{"agent_id":"a1","hooked_bead_id":"b1","options":["RESTART","RESTART_WITH_BACKOFF","CLOSE_BEAD","REASSIGN_BEAD","NUDGE","ESCALATE_TO_MAYOR","PROVIDE_GUIDANCE","DISCARD"],"session":3,"triage_type":"stuck_agent"},"priority":"medium","rig_id":"r1","status":"open","title":"stuck agent: a1","type":"issue"} bead_id=t1-b1
        triage/batch: create_bead bead={"labels":["gt:triage"],"priority":"high","rig_id":"r1","status":"open","title":"Triage: 1 open requests","type":"issue"} bead_id=t1-b2
        dispatch/issue: create_agent agent_id=t1-a3 identity=Amber-polecat-r1@t1 name=Amber rig_id=r1 role=polecat
        dispatch/issue: transition_bead bead_id=t1-b2 from=open reason=dispatched to=in_progress
        dispatch/issue: set_assignee agent_id=t1-a3 bead_id=t1-b2
        dispatch/issue: hook_agent agent_id=t1-a3 bead_id=t1-b2
        dispatch/issue: transition_agent agent_id=t1-a3 from=idle reason=dispatched to=working
        dispatch/issue: dispatch_agent agent_id=t1-a3 attempt=1 bead_id=t1-b2 rig_id=r1 session=1
        at rest after 4 passes
        "#);
    }

    #[test]
    fn gupp_stop_counts_from_the_dispatch_and_from_the_end_of_a_gap() {
        assert!(
            !acts(
                &TOWN.replace("dispatched_at=-3h", "dispatched_at=-1s"),
                "1ms"
            )
            .contains("gupp/")
        );
        let gap = std::format!("town judge_from=-1s\n{TOWN}");
        assert!(!acts(&gap, "1ms").contains("gupp/"));
    }

    #[test]
    fn gupp_stop_counts_from_the_heartbeat_where_nothing_else_is_known() {
        let town = TOWN
            .replace("dispatched_at=-3h last_event_at=-2h", "")
            .replace("last_activity_at=0s", "last_activity_at=-2h");
        let town = std::format!("town policy.heartbeat_timeout=P1D\n{town}");
        assert!(!acts(&town, "0s").contains("gupp/stop"));
        assert!(acts(&town, "1ms").contains("gupp/stop"));
    }

    #[test]
    fn gupp_stop_of_an_agent_on_a_batch_makes_no_request() {
        let town = TOWN.replace(
            "issue in_progress",
            r#"issue in_progress labels=["gt:triage"] created_by=patrol"#,
        );
        let acts = acts(&town, "1ms");
        assert!(acts.contains("gupp/stop: stop_agent"), "{acts}");
        assert!(!acts.contains("stuck"), "{acts}");
    }

    #[test]
    fn gupp_stop_leaves_others_alone() {
        for (from, to) in [
            ("rig r1", "town drain.nonce=n drain.started_at=0s\nrig r1"),
            ("working", "stalled stalled_at=0s"),
            ("polecat", "mayor"),
        ] {
            let town = TOWN.replace(from, to);
            assert!(!acts(&town, "1ms").contains("gupp/"), "{to}");
        }
    }
}
