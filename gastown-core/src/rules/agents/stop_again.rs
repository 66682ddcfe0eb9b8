//! `agents/stop-again`: a stop that failed is asked for again.

use crate::agent::{Agent, AgentStatus};
use crate::pass::{Due, Pass};
use crate::reason::{Reason, ReasonCode};
use crate::rules::{On, Rule};
use crate::verdict::{Verdict, Wait};

pub(super) const RULE: Rule = Rule {
    id: "agents/stop-again",
    text: "A stop of the agent's latest session failed forge_backoff ago: it is asked for again.",
    on: On::Agent(evaluate),
};

fn evaluate(pass: &Pass<'_>, agent: &Agent) -> Verdict {
    // A newer session replaces the one that did not stop, and must not be stopped for it.
    let is_latest = agent.stop_asked == Some(agent.session);
    let Some(at) = agent.stop_retry_at.filter(|_| is_latest) else {
        return Verdict::NotMine;
    };
    if agent.status == AgentStatus::Dead {
        return Verdict::NotMine;
    }
    match pass.reached(at) {
        Due::Now => Verdict::act(Pass::stop(
            agent,
            &Reason::new(
                ReasonCode::StopFailed,
                "it was asked to stop and may still run",
            ),
        )),
        Due::At(until) => Verdict::wait(Wait::until(until, "is asked to stop again")),
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{acts, around, settled, wakeup};

    const TOWN: &str = "
        rig r1
        agent a1 polecat idle rig_id=r1 session=2 stop_asked=2 stop_retry_at=0s last_activity_at=-1m
    ";

    #[test]
    fn agents_stop_again_before_the_time_waits() {
        assert_eq!(acts(TOWN, "-1ms"), "nothing");
        insta::assert_snapshot!(wakeup(TOWN, "-1ms"), @"2026-04-04T12:00:00.000Z");
    }

    #[test]
    fn agents_stop_again_at_the_time_asks_once() {
        insta::assert_snapshot!(settled(TOWN, "0s"), @"
        agents/stop-again: stop_agent agent_id=a1 reason=stop_failed session=2
        at rest after 2 passes
        ");
    }

    #[test]
    fn agents_stop_again_never_stops_a_newer_session_nor_the_dead() {
        assert_eq!(
            acts(&TOWN.replace("stop_asked=2", "stop_asked=1"), "0s"),
            "nothing"
        );
        assert_eq!(acts(&TOWN.replace("idle", "dead"), "0s"), "nothing");
    }

    #[test]
    fn agents_stop_again_around_its_time() {
        insta::assert_snapshot!(around(TOWN, "0s"), @"
        just under: nothing, again at 2026-04-04T12:00:00.000Z
        at: agents/stop-again
        just over: agents/stop-again
        ");
    }
}
