//! Agents: what they hold fits them, and who fell silent is stopped (spec 3.2).
//!
//! Mayors are exempt from all but `agents/dead-holder`; they work without a hook.

mod attempts_reset;
mod crash_loop;
mod dangling_hook;
mod dead_holder;
mod double_hook;
mod heartbeat_lost;
mod lost_polecat;
mod never_reported;
mod parked;
mod stalled_timeout;
mod stop_again;
mod stop_terminal;
mod unhooked_worker;
mod wrong_hook;

use alloc::string::String;
use alloc::vec::Vec;

use super::Rule;
use crate::action::{ActionKind, ClearCheckpoint};
use crate::agent::{Agent, Role};
use crate::bead::Bead;
use crate::pass::Pass;
use crate::reason::Reason;
use crate::time::Timestamp;
use crate::verdict::{Verdict, Wait, WaitFor};

pub(super) const RULES: &[Rule] = &[
    double_hook::RULE,
    stop_terminal::RULE,
    dangling_hook::RULE,
    wrong_hook::RULE,
    dead_holder::RULE,
    never_reported::RULE,
    heartbeat_lost::RULE,
    unhooked_worker::RULE,
    stalled_timeout::RULE,
    parked::RULE,
    lost_polecat::RULE,
    crash_loop::RULE,
    attempts_reset::RULE,
    stop_again::RULE,
];

/// Whether the rules of this group judge the agent at all.
fn is_worker(agent: &Agent) -> bool {
    match agent.role {
        Role::Polecat | Role::Refinery => true,
        Role::Mayor => false,
    }
}

/// The live bead that an agent is hooked to.
fn live_hook<'a>(pass: &Pass<'a>, agent: &Agent) -> Option<&'a Bead> {
    let bead = pass.town.bead(agent.hook.as_ref()?)?;
    bead.is_live().then_some(bead)
}

/// Whether the agent is hooked to a bead that is terminal or missing.
fn has_ended_hook(pass: &Pass<'_>, agent: &Agent) -> bool {
    agent.hook.is_some() && live_hook(pass, agent).is_none()
}

/// Ends the session of an agent, if one runs, and detaches it from its hook.
fn release(agent: &Agent, reason: &Reason) -> Vec<ActionKind> {
    let mut actions = Pass::stop_and_idle(agent, reason);
    actions.extend(Pass::unhook(agent, reason));
    actions
}

fn clear_checkpoint(agent: &Agent) -> ActionKind {
    ClearCheckpoint {
        agent_id: agent.id.clone(),
    }
    .into()
}

/// Waits for an agent that is judged again at `until`.
fn watched(agent: &Agent, since: Timestamp, until: Timestamp, text: impl Into<String>) -> Verdict {
    Verdict::wait(
        Wait::on(WaitFor::Agent, text)
            .id(agent.id.as_str())
            .since(since)
            .not_before(until),
    )
}
