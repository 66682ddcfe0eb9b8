//! Sending agents to work (spec 3.6): reviews, then repairs, then other issues.

mod issue;
mod polecat_again;
mod refinery_again;
mod review;

use core::cmp::Reverse;

use alloc::format;
use alloc::vec;
use alloc::vec::Vec;

use super::Rule;
use crate::action::{
    ActionKind, CreateAgent, DispatchAgent, HookAgent, SetAssignee, TransitionAgent, TransitionBead,
};
use crate::agent::{Agent, AgentStatus, Role, identity, polecat_name};
use crate::bead::{Bead, BeadStatus};
use crate::eligible::{is_probe_due, town_obstacle};
use crate::ids::{AgentId, RigId};
use crate::pass::{Pass, Plan};
use crate::reason::{Reason, ReasonCode};
use crate::town::Town;
use crate::verdict::{Verdict, Wait};
use crate::work::Work;

pub(super) const RULES: &[Rule] = &[
    review::RULE,
    refinery_again::RULE,
    polecat_again::RULE,
    issue::RULE,
];

/// What would be dispatched if the town let it: reviews, then repairs, then other issues, each by
/// priority, age and id. The breaker's probe is the first of one rig.
pub(super) fn candidates<'a>(pass: &Pass<'a>) -> Vec<(&'a Bead, Vec<ActionKind>)> {
    let mut out: Vec<(&'a Bead, Vec<ActionKind>)> = Vec::new();
    let mut take = |bead: &'a Bead, verdict: Verdict| {
        if let Verdict::Act(actions) = verdict
            && actions.iter().any(ActionKind::sends_an_agent)
        {
            out.push((bead, actions));
        }
    };
    for agent in pass.town.agents_by_age() {
        if let Some(bead) = agent.hook.as_ref().and_then(|hook| pass.town.bead(hook)) {
            take(bead, refinery_again::judge(pass, agent));
            take(bead, polecat_again::judge(pass, agent));
        }
    }
    for bead in pass.town.live_beads() {
        take(bead, review::judge(pass, bead));
        take(bead, issue::judge(pass, bead));
    }
    out.sort_by_key(|(bead, _)| {
        let is_repair = bead.work().is_some_and(Work::is_repair);
        let age = (Reverse(bead.priority), bead.created_at, bead.id.clone());
        (bead.review().is_none(), !is_repair, age)
    });
    out
}

/// Holds a dispatch back while the town lets nothing through.
fn unless_held_back(pass: &Pass<'_>, judge: impl FnOnce() -> Verdict) -> Verdict {
    let Some(obstacle) = town_obstacle(pass) else {
        return judge();
    };
    // While nothing is dispatched, nothing is looked at that only time could change.
    if !is_probe_due(pass) {
        return Verdict::wait(obstacle);
    }
    // What keeps it from being the probe is what it waits for; only sending is held back.
    match judge() {
        Verdict::Wait(mut waits) => {
            waits.push(obstacle);
            Verdict::Wait(waits)
        }
        Verdict::Act(actions) if !actions.iter().any(ActionKind::sends_an_agent) => {
            Verdict::Act(actions)
        }
        Verdict::Act(_) | Verdict::NotMine => Verdict::wait(obstacle),
    }
}

/// The agent of a dispatch: one that is there, or one to be made in a rig.
enum Chosen<'a> {
    Existing(&'a Agent),
    New(Role, RigId),
}

/// A bead and an agent that begin together: status, assignee, hook, agent, dispatch.
fn begin(pass: &Pass<'_>, bead: &Bead, chosen: Chosen<'_>) -> Vec<ActionKind> {
    let mut actions = Vec::new();
    let (agent_id, rig_id, session) = match chosen {
        Chosen::Existing(agent) => match &agent.rig_id {
            Some(rig) => (agent.id.clone(), rig.clone(), agent.session),
            None => return actions,
        },
        Chosen::New(role, rig) => {
            let made = new_agent(pass, role, &rig);
            let id = made.agent_id.clone();
            actions.push(made.into());
            (id, rig, 0)
        }
    };
    actions.push(in_progress(bead, &agent_id));
    actions.push(
        SetAssignee {
            bead_id: bead.id.clone(),
            agent_id: agent_id.clone(),
        }
        .into(),
    );
    actions.push(
        HookAgent {
            agent_id: agent_id.clone(),
            bead_id: bead.id.clone(),
        }
        .into(),
    );
    actions.extend(go(bead, agent_id, rig_id, session));
    actions
}

fn in_progress(bead: &Bead, agent: &AgentId) -> ActionKind {
    TransitionBead {
        bead_id: bead.id.clone(),
        from: BeadStatus::Open,
        to: BeadStatus::InProgress,
        reason: dispatched(agent),
    }
    .into()
}

fn dispatched(agent: &AgentId) -> Reason {
    Reason::new(
        ReasonCode::Dispatched,
        format!("dispatched to agent {agent}"),
    )
}

/// A hooked idle agent goes to work.
fn go(bead: &Bead, agent_id: AgentId, rig_id: RigId, session: u64) -> Vec<ActionKind> {
    vec![
        TransitionAgent {
            agent_id: agent_id.clone(),
            from: AgentStatus::Idle,
            to: AgentStatus::Working,
            reason: dispatched(&agent_id),
        }
        .into(),
        DispatchAgent {
            agent_id,
            bead_id: bead.id.clone(),
            rig_id,
            session: session.saturating_add(1),
            attempt: bead.dispatch_attempts.saturating_add(1),
        }
        .into(),
    ]
}

fn new_agent(pass: &Pass<'_>, role: Role, rig: &RigId) -> CreateAgent {
    let town = pass.town;
    let living = town
        .agents()
        .filter(|agent| agent.status != AgentStatus::Dead);
    let mut names: alloc::collections::BTreeSet<alloc::string::String> =
        living.map(|agent| agent.name.clone()).collect();
    pass.planned(|plan| names.extend(plan.names().map(Into::into)));
    let name = match role {
        Role::Polecat => polecat_name(&names.iter().map(|name| name.as_str()).collect()),
        Role::Refinery | Role::Mayor => role.as_str().into(),
    };
    let taken = |identity: &str| {
        town.agents().any(|agent| agent.identity == identity)
            || pass.planned(|plan: &Plan| plan.gives_identity(identity))
    };
    let identity = identity(&name, role, Some(rig.as_str()), town.id().as_str(), taken);
    CreateAgent {
        agent_id: pass.new_agent_id(),
        role,
        name,
        identity,
        rig_id: Some(rig.clone()),
    }
}

/// The free agent of a role that has been idle longest, in one rig or anywhere.
fn longest_idle<'a>(pass: &Pass<'a>, role: Role, rig: Option<&RigId>) -> Option<&'a Agent> {
    pass.town
        .agents_by_age()
        .filter(|agent| agent.role == role && agent.is_free())
        .filter(|agent| rig.is_none() || agent.rig_id.as_ref() == rig)
        .filter(|agent| {
            agent
                .rig_id
                .as_ref()
                .is_some_and(|id| pass.town.rig(id).is_some())
        })
        .filter(|agent| pass.agent_is_unclaimed(&agent.id))
        .min_by_key(|agent| Town::idle_since(agent))
}

/// Waits for the backoff of a bead.
fn backoff_wait(bead: &Bead, until: crate::time::Timestamp) -> Verdict {
    let mut wait = Wait::until(until, "pauses before the next attempt");
    wait.since = bead.last_dispatch_attempt_at;
    Verdict::wait(wait)
}
