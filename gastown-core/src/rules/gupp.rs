//! GUPP: hooked work must be moving (spec 3.7). Working agents only, not the mayor, not draining;
//! only the highest tier that is due fires.

mod escalate;
mod stop;
mod warn;

use alloc::format;
use alloc::string::String;
use core::time::Duration;

use super::Rule;
use crate::action::{ActionKind, SendNudge};
use crate::agent::{Agent, AgentStatus, Role};
use crate::nudge::{Nudge, NudgeTier};
use crate::pass::{Due, Pass};
use crate::time::Timestamp;
use crate::verdict::{Verdict, Wait, WaitFor};
use crate::work::TriageType;

pub(super) const RULES: &[Rule] = &[stop::RULE, escalate::RULE, warn::RULE];

/// Whether the rules of this group judge the agent.
fn is_judged(pass: &Pass<'_>, agent: &Agent) -> bool {
    agent.status == AgentStatus::Working && agent.role != Role::Mayor && !pass.town.is_draining()
}

/// Since when an agent shows no activity: what its model session last did, else its dispatch,
/// else, when neither is known, its last heartbeat.
pub(super) fn inactive_since(agent: &Agent) -> Timestamp {
    agent
        .last_event_at
        .max(agent.dispatched_at)
        .or(agent.last_activity_at)
        .unwrap_or(agent.created_at)
}

/// Whether an agent has shown no activity for longer than `threshold`.
fn inactive(pass: &Pass<'_>, agent: &Agent, threshold: Duration) -> Due {
    pass.silent(inactive_since(agent), threshold)
}

/// When a nudge was last sent.
pub(super) fn last_sent(nudge: &Nudge) -> Timestamp {
    nudge.sent_at.unwrap_or(nudge.created_at)
}

/// Whether no nudge of this tier went to the agent within nudge_repeat; nor one of a higher tier
/// since it fell silent, which a clock that jumped back would hide (property P11).
fn may_nudge(pass: &Pass<'_>, agent: &Agent, tier: NudgeTier) -> Due {
    let says_as_much = |nudge: &Nudge| {
        if nudge.tier == NudgeTier::Escalate && tier == NudgeTier::Warn {
            last_sent(nudge) >= inactive_since(agent)
        } else {
            nudge.tier == tier
        }
    };
    let latest = pass
        .town
        .nudges()
        .filter(|nudge| nudge.agent_id == agent.id && says_as_much(nudge))
        .map(last_sent)
        .max();
    latest.map_or(Due::Now, |at| pass.stale(at, pass.policy().nudge_repeat))
}

fn nudge(pass: &Pass<'_>, agent: &Agent, tier: NudgeTier, message: &str) -> ActionKind {
    SendNudge {
        agent_id: agent.id.clone(),
        nudge_id: pass.new_nudge_id(),
        tier,
        message: message.into(),
    }
    .into()
}

/// Asks the triage agent about an inactive agent, unless it is the one that judges.
fn stuck_agent(pass: &Pass<'_>, agent: &Agent) -> Option<ActionKind> {
    if pass.town.is_on_triage(agent) {
        return None;
    }
    let message = format!(
        "agent {} has shown no activity since {}",
        agent.id,
        inactive_since(agent)
    );
    pass.triage_request(TriageType::StuckAgent, agent, message)
}

/// Waits for an agent at work, looked at again at `until`.
fn at_work(agent: &Agent, until: Timestamp, text: impl Into<String>) -> Verdict {
    Verdict::wait(
        Wait::on(WaitFor::Agent, text)
            .id(agent.id.as_str())
            .since(inactive_since(agent))
            .not_before(until),
    )
}
