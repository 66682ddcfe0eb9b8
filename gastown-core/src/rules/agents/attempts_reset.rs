//! `agents/attempts-reset`: after a quiet while an agent starts afresh.

use super::crash_loop::is_at_cap;
use crate::action::ResetAttempts;
use crate::agent::Agent;
use crate::pass::{Due, Pass};
use crate::rules::{On, Rule};
use crate::verdict::{Verdict, Wait};

pub(super) const RULE: Rule = Rule {
    id: "agents/attempts-reset",
    text: "The agent's own attempts at the cap and quiet for attempts_reset_after: its count is \
           reset.",
    on: On::Agent(evaluate),
};

fn evaluate(pass: &Pass<'_>, agent: &Agent) -> Verdict {
    if !is_at_cap(pass, agent) {
        return Verdict::NotMine;
    }
    let since = agent.last_activity_at.unwrap_or(agent.created_at);
    match pass.silent(since, pass.policy().attempts_reset_after) {
        Due::Now => Verdict::act(ResetAttempts {
            agent_id: agent.id.clone(),
        }),
        Due::At(until) => {
            Verdict::wait(Wait::until(until, "its attempts are forgotten").since(since))
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{acts, around, around_count, settled, wakeup};

    const TOWN: &str = "
        rig r1
        agent a1 polecat idle rig_id=r1 dispatch_attempts=5 last_activity_at=-30m told.crash_loop=-30m
    ";

    #[test]
    fn agents_attempts_reset_at_the_threshold_waits() {
        insta::assert_snapshot!(acts(TOWN, "0s"), @"nothing");
        insta::assert_snapshot!(wakeup(TOWN, "0s"), @"2026-04-04T12:00:00.001Z");
    }

    #[test]
    fn agents_attempts_reset_just_over_the_threshold_resets() {
        insta::assert_snapshot!(settled(TOWN, "1ms"), @"
        agents/attempts-reset: reset_attempts agent_id=a1
        at rest after 2 passes
        ");
    }

    #[test]
    fn agents_attempts_reset_under_the_cap_does_nothing() {
        let town = TOWN.replace("dispatch_attempts=5", "dispatch_attempts=4");
        assert_eq!(acts(&town, "1h"), "nothing");
    }

    #[test]
    fn agents_attempts_reset_around_its_threshold() {
        insta::assert_snapshot!(around(TOWN, "0s"), @"
        just under: nothing, again at 2026-04-04T12:00:00.001Z
        at: nothing, again at 2026-04-04T12:00:00.001Z
        just over: agents/attempts-reset
        ");
    }

    #[test]
    fn agents_attempts_reset_around_the_cap() {
        insta::assert_snapshot!(around_count(TOWN, "dispatch_attempts=5", "1ms"), @"
        4: nothing, again at 2026-04-05T11:30:00.001Z
        5: agents/attempts-reset
        6: agents/attempts-reset
        ");
    }
}
