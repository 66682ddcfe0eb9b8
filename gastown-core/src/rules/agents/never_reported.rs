//! `agents/never-reported`: a dispatched agent was never heard of.

use super::{is_worker, watched};
use crate::agent::{Agent, AgentStatus};
use crate::eligible::drain_obstacle;
use crate::pass::{Due, Pass};
use crate::reason::{Reason, ReasonCode};
use crate::rules::{On, Rule};
use crate::verdict::Verdict;

pub(super) const RULE: Rule = Rule {
    id: "agents/never-reported",
    text: "Working, not reported, dispatched longer than start_grace ago, not draining: stopped, \
           idle, a failure of the breaker.",
    on: On::Agent(evaluate),
};

fn evaluate(pass: &Pass<'_>, agent: &Agent) -> Verdict {
    if !is_worker(agent) || agent.status != AgentStatus::Working || agent.reported {
        return Verdict::NotMine;
    }
    if let Some(wait) = drain_obstacle(pass) {
        return Verdict::wait(wait);
    }
    let since = agent.dispatched_at.unwrap_or(agent.created_at);
    match pass.silent(since, pass.policy().start_grace) {
        Due::Now => Verdict::Act(Pass::stop_and_idle(
            agent,
            &Reason::new(
                ReasonCode::NeverReported,
                "it was dispatched and never heard of",
            ),
        )),
        Due::At(until) => watched(agent, since, until, "was dispatched and has to report"),
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{acts, around, settled, wakeup};

    const TOWN: &str = "
        rig r1
        agent a1 polecat working rig_id=r1 hook=b1 session=2 reported=false dispatched_at=-3m last_activity_at=-3m last_bead=b1
        bead b1 issue in_progress rig_id=r1 assignee=a1 dispatch_attempts=2 last_dispatch_attempt_at=-3m updated_at=-3m
    ";

    #[test]
    fn agents_never_reported_at_the_threshold_waits() {
        insta::assert_snapshot!(acts(TOWN, "0s"), @"nothing");
        insta::assert_snapshot!(wakeup(TOWN, "0s"), @"2026-04-04T12:00:00.001Z");
    }

    #[test]
    fn agents_never_reported_just_over_the_threshold_stops() {
        insta::assert_snapshot!(acts(TOWN, "1ms"), @"
        agents/never-reported: stop_agent agent_id=a1 reason=never_reported session=2
        agents/never-reported: transition_agent agent_id=a1 from=working reason=never_reported to=idle
        ");
    }

    /// The bead gets its attempt back and is dispatched again, which costs its lineage.
    #[test]
    fn agents_never_reported_settles_in_another_dispatch() {
        insta::assert_snapshot!(settled(TOWN, "1ms"), @"
        agents/never-reported: stop_agent agent_id=a1 reason=never_reported session=2
        agents/never-reported: transition_agent agent_id=a1 from=working reason=never_reported to=idle
        agents/lost-polecat: transition_bead bead_id=b1 from=in_progress reason=agent_lost to=open
        dispatch/polecat-again: transition_bead bead_id=b1 from=open reason=dispatched to=in_progress
        dispatch/polecat-again: transition_agent agent_id=a1 from=idle reason=dispatched to=working
        dispatch/polecat-again: dispatch_agent agent_id=a1 attempt=2 bead_id=b1 rig_id=r1 session=3
        at rest after 4 passes
        ");
    }

    #[test]
    fn agents_never_reported_is_not_judged_while_draining_nor_before_a_gap_is_over() {
        for town in [
            "town drain.nonce=n drain.started_at=-1s",
            "town judge_from=-1s",
        ] {
            let town = std::format!("{town}\n{TOWN}");
            assert_eq!(acts(&town, "1ms"), "nothing");
        }
    }

    /// A start that was asked for just before an eviction is withdrawn: it is asked for again, at
    /// no cost for the bead, and says nothing of whether starts work.
    #[test]
    fn agents_never_reported_of_a_start_before_a_drain_is_no_failure_of_the_breaker() {
        let failures = |town: &str| {
            let mut town = crate::testing::town(town);
            let _ = crate::reconcile::settle(&mut town, crate::testing::at("1ms"));
            let attempts = town.bead(&"b1".parse().unwrap()).unwrap().dispatch_attempts;
            (town.state().breaker.in_a_row, attempts)
        };
        let drained =
            |at: &str| std::format!("town judge_from=-3m container.drained_until={at}\n{TOWN}");
        assert_eq!(failures(TOWN), (1, 2));
        assert_eq!(failures(&drained("-179999ms")), (0, 2));
        // The drain had ended when it was dispatched.
        assert_eq!(failures(&drained("-3m")), (1, 2));
    }

    #[test]
    fn agents_never_reported_leaves_others_alone() {
        for (from, to) in [
            ("reported=false", "reported=true"),
            ("working", "stalled"),
            ("polecat", "mayor"),
        ] {
            let town = TOWN.replace(from, to);
            assert!(!acts(&town, "1ms").contains("never-reported"), "{to}");
        }
    }

    #[test]
    fn agents_never_reported_around_its_threshold() {
        insta::assert_snapshot!(around(TOWN, "0s"), @"
        just under: nothing, again at 2026-04-04T12:00:00.001Z
        at: nothing, again at 2026-04-04T12:00:00.001Z
        just over: agents/never-reported
        ");
    }
}
