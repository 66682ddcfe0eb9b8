//! `nudges/deliver`: a message goes to its agent when that may hear it.

use super::nudges_expire;
use crate::action::SendNudge;
use crate::agent::{Agent, AgentStatus};
use crate::eligible::drain_obstacle;
use crate::nudge::{Nudge, NudgeMode};
use crate::pass::{Due, Pass};
use crate::rules::gupp::inactive_since;
use crate::rules::{On, Rule};
use crate::verdict::{Verdict, Wait, WaitFor};

pub(super) const RULE: Rule = Rule {
    id: "nudges/deliver",
    text: "A nudge not yet sent, or whose failed delivery is due again, whose agent runs (mode \
           `when_idle`: has no active tool and was quiet for 30 s; `queue`: at its next start), \
           not draining: sent.",
    on: On::Nudge(evaluate),
};

/// How long an agent must have been quiet for a nudge of mode `when_idle`.
const QUIET: core::time::Duration = core::time::Duration::from_secs(30);

fn evaluate(pass: &Pass<'_>, nudge: &Nudge) -> Verdict {
    let is_under_way = nudge.sent_at.is_some() && nudge.next_at.is_none();
    if nudge.delivered_at.is_some() || is_under_way {
        return Verdict::NotMine;
    }
    let Some(agent) = pass.town.agent(&nudge.agent_id) else {
        return Verdict::NotMine;
    };
    if nudges_expire::due(pass, nudge).is_now() {
        return Verdict::NotMine;
    }
    if let Some(wait) = drain_obstacle(pass) {
        return Verdict::wait(wait);
    }
    if !hears(agent) || !mode_allows(nudge, agent) {
        let wait = Wait::on(WaitFor::Agent, "waits until its agent may hear it");
        return Verdict::wait(wait.id(agent.id.as_str()));
    }
    match due(pass, nudge, agent) {
        Due::Now => Verdict::act(SendNudge {
            agent_id: nudge.agent_id.clone(),
            nudge_id: nudge.id.clone(),
            tier: nudge.tier,
            message: nudge.message.clone(),
        }),
        Due::At(until) => Verdict::wait(Wait::until(until, "is sent")),
    }
}

/// Whether the agent's session runs, was heard of, and was not asked to stop.
fn hears(agent: &Agent) -> bool {
    let runs = agent.status.is_running() || agent.status == AgentStatus::Waiting;
    runs && agent.reported && agent.stop_asked.is_none_or(|asked| asked != agent.session)
}

fn mode_allows(nudge: &Nudge, agent: &Agent) -> bool {
    match nudge.mode {
        NudgeMode::Immediate => true,
        NudgeMode::WhenIdle => agent.active_tools.is_empty(),
        NudgeMode::Queue => {
            // A mayor starts when somebody prompts it.
            let started_at = agent.dispatched_at.max(agent.prompted_at);
            started_at > Some(nudge.created_at)
        }
    }
}

fn due(pass: &Pass<'_>, nudge: &Nudge, agent: &Agent) -> Due {
    if let Some(at) = nudge.next_at
        && let later @ Due::At(_) = pass.reached(at)
    {
        return later;
    }
    match nudge.mode {
        NudgeMode::WhenIdle => pass.stale(inactive_since(agent), QUIET),
        NudgeMode::Immediate | NudgeMode::Queue => Due::Now,
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{acts, around, settled, wakeup};

    const TOWN: &str = "
        rig r1
        agent a1 polecat working rig_id=r1 hook=b1 session=2 dispatched_at=-1m last_activity_at=0s last_event_at=-30s
        bead b1 issue in_progress rig_id=r1 assignee=a1
        nudge n1 a1 message created_at=-10s
    ";

    #[test]
    fn nudges_deliver_around_its_threshold() {
        let town = TOWN.replace("created_at", "mode=when_idle created_at");
        insta::assert_snapshot!(around(&town, "0s"), @"
        just under: nothing, again at 2026-04-04T12:00:00.001Z
        at: nothing, again at 2026-04-04T12:00:00.001Z
        just over: nudges/deliver
        ");
    }

    #[test]
    fn nudges_deliver_at_once() {
        insta::assert_snapshot!(settled(TOWN, "0s"), @"
        nudges/deliver: send_nudge agent_id=a1 message=hello nudge_id=n1 tier=message
        at rest after 2 passes
        ");
    }

    #[test]
    fn nudges_deliver_when_idle_at_and_over_the_threshold() {
        let town = TOWN.replace("created_at", "mode=when_idle created_at");
        assert_eq!(acts(&town, "0s"), "nothing");
        assert_eq!(wakeup(&town, "0s"), "2026-04-04T12:00:00.001Z");
        assert!(acts(&town, "1ms").contains("send_nudge"));
        let busy = town.replace("last_event_at", r#"active_tools=["bash"] last_event_at"#);
        assert!(!acts(&busy, "1m").contains("send_nudge"));
    }

    #[test]
    fn nudges_deliver_queued_at_the_next_start() {
        let town = TOWN.replace("created_at", "mode=queue created_at");
        assert_eq!(acts(&town, "0s"), "nothing");
        assert_eq!(acts(&town.replace("-10s", "-60s"), "0s"), "nothing");
        assert!(acts(&town.replace("-10s", "-61s"), "0s").contains("send_nudge"));
    }

    #[test]
    fn nudges_deliver_again_when_the_failed_delivery_is_due() {
        let town = TOWN.replace("created_at", "sent_at=-9s attempts=1 next_at=0s created_at");
        assert_eq!(acts(&town, "-1ms"), "nothing");
        insta::assert_snapshot!(settled(&town, "0s"), @"
        nudges/deliver: send_nudge agent_id=a1 message=hello nudge_id=n1 tier=message
        at rest after 2 passes
        ");
    }

    #[test]
    fn nudges_deliver_not_now() {
        for (from, to) in [
            ("rig r1", "town drain.nonce=n drain.started_at=-1s\nrig r1"),
            ("created_at", "sent_at=-1s created_at"),
            ("created_at", "sent_at=-1s delivered_at=-1s created_at"),
            ("created_at", "expires_at=0s created_at"),
            ("session=2", "session=2 reported=false"),
            ("session=2", "session=2 stop_asked=2"),
            ("working", "idle"),
            ("a1 message", "gone message"),
        ] {
            let town = TOWN.replace(from, to);
            assert!(!acts(&town, "0s").contains("send_nudge"), "{to}");
        }
    }

    #[test]
    fn nudges_deliver_to_a_mayor_that_waits() {
        let town = "agent a1 mayor waiting\nnudge n1 a1 message created_at=-1s";
        assert!(acts(town, "0s").contains("nudges/deliver: send_nudge agent_id=a1"));
    }

    #[test]
    fn nudges_deliver_around_the_time_of_the_next_try() {
        let town = TOWN.replace("created_at", "sent_at=-9s attempts=1 next_at=0s created_at");
        insta::assert_snapshot!(around(&town, "0s"), @"
        just under: nothing, again at 2026-04-04T12:00:00.000Z
        at: nudges/deliver
        just over: nudges/deliver
        ");
    }
}
