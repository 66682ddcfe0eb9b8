//! `agents/heartbeat-lost`: a working agent fell silent.

use super::{is_worker, watched};
use crate::agent::{Agent, AgentStatus};
use crate::eligible::drain_obstacle;
use crate::pass::{Due, Pass};
use crate::reason::{Reason, ReasonCode};
use crate::rules::{On, Rule};
use crate::verdict::Verdict;

pub(super) const RULE: Rule = Rule {
    id: "agents/heartbeat-lost",
    text: "Working, reported, no heartbeat for longer than heartbeat_timeout, not draining: \
           stopped, idle.",
    on: On::Agent(evaluate),
};

fn evaluate(pass: &Pass<'_>, agent: &Agent) -> Verdict {
    let at_work = match agent.status {
        AgentStatus::Working => agent.reported,
        // Only mayors wait (spec 1.5); a worker that comes so from outside is at work.
        AgentStatus::Waiting => true,
        AgentStatus::Idle | AgentStatus::Stalled | AgentStatus::Dead => false,
    };
    if !is_worker(agent) || !at_work {
        return Verdict::NotMine;
    }
    if let Some(wait) = drain_obstacle(pass) {
        return Verdict::wait(wait);
    }
    let since = agent.last_activity_at.unwrap_or(agent.created_at);
    match pass.silent(since, pass.policy().heartbeat_timeout) {
        Due::Now => Verdict::Act(Pass::stop_and_idle(
            agent,
            &Reason::new(ReasonCode::HeartbeatLost, "its heartbeats have ceased"),
        )),
        Due::At(until) => watched(agent, since, until, "is at work"),
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{acts, around, settled, wakeup};

    const TOWN: &str = "
        rig r1
        agent a1 polecat working rig_id=r1 hook=b1 session=2 dispatched_at=-2m last_activity_at=-90s
        bead b1 issue in_progress rig_id=r1 assignee=a1 dispatch_attempts=2 last_dispatch_attempt_at=-1m updated_at=-3m
    ";

    #[test]
    fn agents_heartbeat_lost_at_the_threshold_waits() {
        insta::assert_snapshot!(acts(TOWN, "0s"), @"nothing");
        insta::assert_snapshot!(wakeup(TOWN, "0s"), @"2026-04-04T12:00:00.001Z");
    }

    #[test]
    fn agents_heartbeat_lost_just_over_the_threshold_stops() {
        insta::assert_snapshot!(acts(TOWN, "1ms"), @"
        agents/heartbeat-lost: stop_agent agent_id=a1 reason=heartbeat_lost session=2
        agents/heartbeat-lost: transition_agent agent_id=a1 from=working reason=heartbeat_lost to=idle
        ");
    }

    #[test]
    fn agents_heartbeat_lost_settles_with_the_bead_on_its_way_again() {
        insta::assert_snapshot!(settled(TOWN, "1ms"), @"
        agents/heartbeat-lost: stop_agent agent_id=a1 reason=heartbeat_lost session=2
        agents/heartbeat-lost: transition_agent agent_id=a1 from=working reason=heartbeat_lost to=idle
        agents/lost-polecat: transition_bead bead_id=b1 from=in_progress reason=agent_lost to=open
        dispatch/polecat-again: transition_bead bead_id=b1 from=open reason=dispatched to=in_progress
        dispatch/polecat-again: transition_agent agent_id=a1 from=idle reason=dispatched to=working
        dispatch/polecat-again: dispatch_agent agent_id=a1 attempt=3 bead_id=b1 rig_id=r1 session=3
        at rest after 4 passes
        ");
    }

    #[test]
    fn agents_heartbeat_lost_is_not_judged_while_draining_nor_before_a_gap_is_over() {
        for town in [
            "town drain.nonce=n drain.started_at=-1s",
            "town judge_from=-1s",
        ] {
            let town = std::format!("{town}\n{TOWN}");
            assert_eq!(acts(&town, "1ms"), "nothing");
        }
    }

    #[test]
    fn agents_heartbeat_lost_counts_from_the_creation_where_no_heartbeat_is_known() {
        let town = TOWN.replace("last_activity_at=-90s", "created_at=-90s");
        assert_eq!(acts(&town, "0s"), "nothing");
        assert!(acts(&town, "1ms").contains("heartbeat-lost: stop_agent"));
    }

    #[test]
    fn agents_heartbeat_lost_never_by_a_clock_that_jumped_back() {
        assert_eq!(acts(&TOWN.replace("-90s", "+9h"), "1ms"), "nothing");
    }

    #[test]
    fn agents_heartbeat_lost_leaves_others_alone() {
        for (from, to) in [("working", "stalled"), ("polecat", "mayor")] {
            let town = TOWN.replace(from, to);
            assert!(!acts(&town, "1ms").contains("heartbeat-lost"), "{to}");
        }
    }

    #[test]
    fn agents_heartbeat_lost_around_its_threshold() {
        insta::assert_snapshot!(around(TOWN, "0s"), @"
        just under: nothing, again at 2026-04-04T12:00:00.001Z
        at: nothing, again at 2026-04-04T12:00:00.001Z
        just over: agents/heartbeat-lost
        ");
    }

    /// A worker that waits comes from outside, and must not hold its bead for ever.
    #[test]
    fn agents_heartbeat_lost_of_a_worker_that_waits() {
        let waiting = TOWN.replace("polecat working", "polecat waiting");
        assert_eq!(acts(&waiting, "0s"), "nothing");
        insta::assert_snapshot!(acts(&waiting, "1ms"), @"
        agents/heartbeat-lost: stop_agent agent_id=a1 reason=heartbeat_lost session=2
        agents/heartbeat-lost: transition_agent agent_id=a1 from=waiting reason=heartbeat_lost to=idle
        ");
    }
}
