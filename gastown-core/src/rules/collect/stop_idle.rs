//! `container/stop-idle`: a container that nobody needs is stopped.

use super::active_work::is_there_work;
use crate::action::StopIdleContainer;
use crate::agent::{Agent, AgentStatus, Role};
use crate::pass::{Due, Pass};
use crate::rules::{On, Rule};
use crate::time::Timestamp;
use crate::verdict::{Verdict, Wait};

pub(super) const RULE: Rule = Rule {
    id: "container/stop-idle",
    text: "A container is known, no active work, no drain, no mayor working or stalled, the mayor \
           quiet for longer than container_idle_stop: stopped, once until it is seen again.",
    on: On::Town(evaluate),
};

fn evaluate(pass: &Pass<'_>) -> Verdict {
    let container = &pass.town.state().container;
    let policy = pass.policy();
    let mayor_works = pass
        .town
        .agents()
        .any(|agent| agent.role == Role::Mayor && agent.status.is_running());
    let is_needed = mayor_works || pass.town.is_draining();
    if container.instance.is_none() || is_needed || is_there_work(pass) {
        return Verdict::NotMine;
    }
    let quiet = last_activity(pass).map(|at| pass.silent(at, policy.container_idle_stop));
    let throttled = container
        .last_idle_stop_at
        .map(|at| pass.stale(at, policy.container_idle_stop_throttle));
    for due in [quiet, throttled].into_iter().flatten() {
        if let Due::At(until) = due {
            return Verdict::wait(Wait::until(until, "the idle container is stopped"));
        }
    }
    Verdict::act(StopIdleContainer {})
}

/// When the mayors were last heard of; in a town without one, anybody.
fn last_activity(pass: &Pass<'_>) -> Option<Timestamp> {
    let heard = |agent: &Agent| agent.last_activity_at.unwrap_or(agent.created_at);
    let mayors = pass
        .town
        .agents()
        .filter(|agent| agent.role == Role::Mayor && agent.status != AgentStatus::Dead);
    mayors
        .map(heard)
        .max()
        .or_else(|| pass.town.agents().map(heard).max())
}

#[cfg(test)]
mod tests {
    use crate::testing::{acts, around, settled, wakeup};

    const TOWN: &str = "
        town container.instance=i1 config.keep_waiting_mayor_fresh=false
        agent a1 mayor waiting last_activity_at=-5m
    ";

    #[test]
    fn container_stop_idle_around_each_threshold() {
        insta::assert_snapshot!(around(TOWN, "0s"), @"
        just under: nothing, again at 2026-04-04T12:00:00.001Z
        at: nothing, again at 2026-04-04T12:00:00.001Z
        just over: container/stop-idle
        ");
        let stopped = TOWN
            .replace(
                "container.instance",
                "container.last_idle_stop_at=-2m container.instance",
            )
            .replace("-5m", "-1h");
        insta::assert_snapshot!(around(&stopped, "0s"), @"
        just under: nothing, again at 2026-04-04T12:00:00.001Z
        at: nothing, again at 2026-04-04T12:00:00.001Z
        just over: container/stop-idle
        ");
    }

    #[test]
    fn container_stop_idle_at_the_threshold_waits() {
        insta::assert_snapshot!(acts(TOWN, "0s"), @"nothing");
        insta::assert_snapshot!(wakeup(TOWN, "0s"), @"2026-04-04T12:00:00.001Z");
    }

    #[test]
    fn container_stop_idle_just_over_the_threshold_stops_once() {
        insta::assert_snapshot!(settled(TOWN, "1ms"), @"
        container/stop-idle: stop_idle_container
        at rest after 2 passes
        ");
    }

    #[test]
    fn container_stop_idle_not_again_at_once() {
        let town = TOWN.replace(
            "container.instance",
            "container.last_idle_stop_at=-2m container.instance",
        );
        assert_eq!(acts(&town, "0s"), "nothing");
        assert_eq!(acts(&town.replace("-5m", "-1h"), "0s"), "nothing");
        assert!(acts(&town, "1ms").contains("stop_idle_container"));
    }

    #[test]
    fn container_stop_idle_not_while_anything_needs_it() {
        for (from, to) in [
            ("container.instance=i1", ""),
            (
                "container.instance=i1",
                "container.instance=i1 drain.nonce=n drain.started_at=0s",
            ),
            ("mayor waiting", "mayor working"),
            ("mayor waiting", "mayor stalled"),
            (
                "agent",
                "rig r1\nbead b1 issue open rig_id=r1 last_dispatch_attempt_at=0s\nagent",
            ),
        ] {
            let town = TOWN.replace(from, to);
            assert!(!acts(&town, "1ms").contains("stop_idle_container"), "{to}");
        }
    }

    #[test]
    fn container_stop_idle_without_a_mayor_counts_from_the_last_agent() {
        let town = TOWN.replace("mayor waiting", "polecat idle");
        assert_eq!(acts(&town, "0s"), "nothing");
        assert!(acts(&town, "1ms").contains("stop_idle_container"));
    }

    /// What others did does not keep the container of a town that has a mayor, nor does a dead mayor.
    #[test]
    fn container_stop_idle_counts_from_the_living_mayors() {
        let later =
            std::format!("{TOWN}\nrig r1\nagent a2 polecat idle rig_id=r1 last_activity_at=-1m");
        assert!(acts(&later, "1ms").contains("stop_idle_container"));
        let dead = std::format!("{TOWN}\nagent a2 mayor dead last_activity_at=-1m");
        assert!(acts(&dead, "1ms").contains("stop_idle_container"));
        let without = later.replace("mayor waiting", "mayor dead");
        assert!(!acts(&without, "1ms").contains("stop_idle_container"));
    }
}
