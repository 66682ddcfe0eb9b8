//! `container/refresh-token`: the container's token is renewed while anything needs it.

use super::active_work::is_there_work;
use crate::action::RefreshContainerToken;
use crate::agent::{AgentStatus, Role};
use crate::pass::{Due, Pass};
use crate::rules::{On, Rule};
use crate::verdict::{Verdict, Wait};

pub(super) const RULE: Rule = Rule {
    id: "container/refresh-token",
    text: "The last refresh longer than token_refresh_every ago and active work, or a mayor \
           working, stalled or (keep_waiting_mayor_fresh) waiting: refreshed; asked and not done, \
           again after forge_backoff.",
    on: On::Town(evaluate),
};

fn evaluate(pass: &Pass<'_>) -> Verdict {
    let container = &pass.town.state().container;
    // A container that was never heard of has no token that could grow old.
    if container.instance.is_none() && container.last_token_refresh_at.is_none() {
        return Verdict::NotMine;
    }
    if !mayor_needs_it(pass) && !is_there_work(pass) {
        return Verdict::NotMine;
    }
    match due(pass) {
        Due::Now => Verdict::act(RefreshContainerToken {}),
        Due::At(until) => Verdict::wait(Wait::until(until, "the container's token is refreshed")),
    }
}

fn mayor_needs_it(pass: &Pass<'_>) -> bool {
    let waiting_counts = pass
        .town
        .state()
        .config
        .keep_waiting_mayor_fresh
        .unwrap_or(true);
    pass.town
        .agents()
        .filter(|agent| agent.role == Role::Mayor)
        .any(|mayor| match mayor.status {
            AgentStatus::Working | AgentStatus::Stalled => true,
            AgentStatus::Waiting => waiting_counts,
            AgentStatus::Idle | AgentStatus::Dead => false,
        })
}

fn due(pass: &Pass<'_>) -> Due {
    let container = &pass.town.state().container;
    let last = container.last_token_refresh_at;
    match container
        .refresh_asked_at
        .filter(|asked| Some(*asked) > last)
    {
        Some(asked) => pass.stale(asked, pass.policy().forge_pause(container.refresh_failures)),
        None => last.map_or(Due::Now, |at| {
            pass.stale(at, pass.policy().token_refresh_every)
        }),
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{acts, around, settled, wakeup};

    const TOWN: &str = "
        town container.instance=i1 container.last_token_refresh_at=-1h
        agent a1 mayor waiting last_activity_at=-1s
    ";

    #[test]
    fn container_refresh_token_around_each_threshold() {
        insta::assert_snapshot!(around(TOWN, "0s"), @"
        just under: nothing, again at 2026-04-04T12:00:00.001Z
        at: nothing, again at 2026-04-04T12:00:00.001Z
        just over: container/refresh-token
        ");
        let asked = TOWN.replace("last_token", "refresh_asked_at=-1m container.last_token");
        insta::assert_snapshot!(around(&asked, "0s"), @"
        just under: nothing, again at 2026-04-04T12:00:00.001Z
        at: nothing, again at 2026-04-04T12:00:00.001Z
        just over: container/refresh-token
        ");
    }

    #[test]
    fn container_refresh_token_at_the_threshold_waits() {
        insta::assert_snapshot!(acts(TOWN, "0s"), @"nothing");
        insta::assert_snapshot!(wakeup(TOWN, "0s"), @"2026-04-04T12:00:00.001Z");
    }

    #[test]
    fn container_refresh_token_just_over_the_threshold_asks_once() {
        insta::assert_snapshot!(settled(TOWN, "1ms"), @"
        container/refresh-token: refresh_container_token
        at rest after 2 passes
        ");
    }

    #[test]
    fn container_refresh_token_again_after_the_backoff() {
        let asked = TOWN.replace("last_token", "refresh_asked_at=-1m container.last_token");
        assert_eq!(acts(&asked, "0s"), "nothing");
        assert!(acts(&asked, "1ms").contains("refresh_container_token"));
        let failed = asked.replace(
            "refresh_asked_at=-1m",
            "refresh_failures=2 container.refresh_asked_at=-1m",
        );
        assert_eq!(acts(&failed, "1m"), "nothing");
        assert!(acts(&failed, "60001ms").contains("refresh_container_token"));
    }

    #[test]
    fn container_refresh_token_of_one_that_was_never_refreshed() {
        let town = TOWN.replace("container.last_token_refresh_at=-1h", "");
        assert!(acts(&town, "0s").contains("refresh_container_token"));
        let unknown = town.replace("container.instance=i1", "");
        assert_eq!(acts(&unknown, "0s"), "nothing");
    }

    #[test]
    fn container_refresh_token_only_while_something_needs_it() {
        for (from, to, expected) in [
            ("waiting", "working", true),
            ("waiting", "stalled", true),
            ("waiting", "idle", false),
            ("mayor waiting", "polecat idle", false),
            ("town", "town config.keep_waiting_mayor_fresh=false", false),
            ("mayor waiting", "polecat working hook=b1 rig_id=r1", true),
        ] {
            let town = std::format!(
                "{}\nrig r1\nbead b1 issue in_progress rig_id=r1 updated_at=0s",
                TOWN.replace(from, to)
            );
            let asks = acts(&town, "1ms").contains("refresh_container_token");
            assert_eq!(asks, expected, "{to}");
        }
    }

    /// A refresh that was asked for and came about is no longer asked for.
    #[test]
    fn container_refresh_token_counts_from_the_refresh_that_was_asked_for() {
        let town = |asked: &str| {
            TOWN.replace(
                "last_token",
                &std::format!("refresh_asked_at={asked} container.last_token"),
            )
        };
        for asked in ["-61m", "-60m"] {
            assert_eq!(acts(&town(asked), "0s"), "nothing", "{asked}");
        }
        assert!(acts(&town("-59m"), "0s").contains("refresh_container_token"));
    }
}
