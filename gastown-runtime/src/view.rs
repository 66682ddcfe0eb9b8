//! What a host can show of a town and of one bead. It is for whoever the host lets in: the views
//! hold no secrets, but the titles and texts of a team's work (spec 6.7).

use std::collections::BTreeMap;

use gastown_core::{
    Action, Agent, AgentId, AgentStatus, Bead, BeadId, BeadStatus, BeadType, BreakerState,
    Condition, Drain, Edge, EffectKey, Escalation, Explanation, GreenCondition, RigId, Role,
    SettleFault, Timestamp, Town, TownId, Violation, check, explain, green_conditions, next_wakeup,
    settle,
};
use serde::Serialize;
use serde_json::{Value, json};

use crate::town_handle::TownStatus;

/// How many of a bead's last events are shown.
pub(crate) const EVENTS_SHOWN_MAX: usize = 100;

/// How a town fares, for people.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TownView {
    /// The town.
    pub town_id: TownId,
    /// When this was true.
    pub now: Timestamp,
    /// When the town acts next if nothing happens.
    pub next_wakeup: Option<Timestamp>,
    /// How many beads there are, by type and status; history is not counted.
    pub beads: BTreeMap<BeadType, BTreeMap<BeadStatus, u32>>,
    /// Its rigs, by id.
    pub rigs: Vec<RigView>,
    /// Its agents, by age.
    pub agents: Vec<AgentView>,
    /// The eviction under way.
    pub drain: Option<Drain>,
    /// Where the circuit breaker stands.
    pub breaker: BreakerState,
    /// Failures that it counts now.
    pub breaker_failures: usize,
    /// What is wrong with the world around the beads.
    pub conditions: Vec<Condition>,
    /// What waits for a person.
    pub escalations: Vec<EscalationView>,
    /// Invariants that do not hold; the rules are about to heal them.
    pub violations: Vec<Violation>,
}

/// The status page of a town (spec 6.7).
#[derive(Debug, Clone, Serialize)]
pub struct TownStatusView {
    /// What the town's loop does.
    pub status: TownStatus,
    /// How the town fares; none while it can't be looked at.
    #[serde(flatten)]
    pub town: Option<TownView>,
}

/// A rig, for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RigView {
    /// Its identifier.
    pub rig_id: RigId,
    /// Its name.
    pub name: String,
    /// Its repository; an address with credentials is never stored.
    pub git_url: String,
    /// Its default branch.
    pub default_branch: String,
}

/// An agent, for people.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AgentView {
    /// Its identifier.
    pub agent_id: AgentId,
    /// Its name.
    pub name: String,
    /// What it does.
    pub role: Role,
    /// Its rig.
    pub rig_id: Option<RigId>,
    /// What is known of it.
    pub status: AgentStatus,
    /// What it works on.
    pub hook: Option<BeadId>,
    /// Its session.
    pub session: u64,
    /// When it was last heard of.
    pub last_activity_at: Option<Timestamp>,
    /// What it says it does.
    pub status_message: Option<String>,
}

/// What waits for a person.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EscalationView {
    /// Its bead.
    pub bead_id: BeadId,
    /// What it is about.
    pub title: String,
    /// The rest of it.
    #[serde(flatten)]
    pub escalation: Escalation,
}

/// All that is known of one bead, for people who look for a fault.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BeadView {
    /// The bead's record.
    pub record: Value,
    /// What keeps its pull request from being merged, and what does not; none for other beads.
    pub review: Option<Vec<GreenCondition>>,
    /// What it depends on.
    pub depends_on: Vec<Edge>,
    /// What depends on it.
    pub dependents: Vec<Edge>,
    /// Agents that are hooked to it.
    pub agents: Vec<AgentView>,
    /// Its last events, oldest first.
    pub events: Vec<Value>,
    /// Why it does not move, and what happens next; none when it has left the working set.
    pub explanation: Option<Explanation>,
}

/// What would happen now (spec 6.7).
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DryRun {
    /// The decisions, in order.
    pub actions: Vec<Action>,
    /// The effects that they ask for.
    pub effects: Vec<EffectKey>,
    /// Why the town would not come to rest; an engine without faults has none.
    pub fault: Option<String>,
    /// When it would act next.
    pub next_wakeup: Option<Timestamp>,
}

impl TownView {
    /// Looks at a town.
    #[must_use]
    pub fn of(town: &Town, now: Timestamp) -> Self {
        let state = town.state();
        let mut beads: BTreeMap<_, BTreeMap<_, u32>> = BTreeMap::new();
        for bead in town.beads() {
            let of_type = beads.entry(bead.kind.bead_type()).or_default();
            let count = of_type.entry(bead.status).or_default();
            *count = count.saturating_add(1);
        }
        Self {
            town_id: town.id().clone(),
            now,
            next_wakeup: next_wakeup(town, now),
            beads,
            rigs: town.rigs().map(RigView::of).collect(),
            agents: town.agents_by_age().map(AgentView::of).collect(),
            drain: state.drain.clone(),
            breaker: state.breaker.state,
            breaker_failures: state.breaker.failures.len(),
            conditions: town.conditions().cloned().collect(),
            escalations: town.live_beads().filter_map(EscalationView::of).collect(),
            violations: check(town, now),
        }
    }
}

impl RigView {
    fn of(rig: &gastown_core::Rig) -> Self {
        Self {
            rig_id: rig.id.clone(),
            name: rig.name.clone(),
            git_url: rig.git_url.clone(),
            default_branch: rig.default_branch.clone(),
        }
    }
}

impl AgentView {
    fn of(agent: &Agent) -> Self {
        Self {
            agent_id: agent.id.clone(),
            name: agent.name.clone(),
            role: agent.role,
            rig_id: agent.rig_id.clone(),
            status: agent.status,
            hook: agent.hook.clone(),
            session: agent.session,
            last_activity_at: agent.last_activity_at,
            status_message: agent.status_message.clone(),
        }
    }
}

impl EscalationView {
    fn of(bead: &Bead) -> Option<Self> {
        Some(Self {
            bead_id: bead.id.clone(),
            title: bead.title.clone(),
            escalation: bead.escalation()?.clone(),
        })
    }
}

impl BeadView {
    /// Looks at a bead of the working set; its events come from the store.
    pub(crate) fn of(town: &Town, bead_id: &BeadId, now: Timestamp) -> Option<Self> {
        let bead = town.bead(bead_id)?;
        let edges = |is_end: &dyn Fn(&Edge) -> bool| {
            let edges = town.edges().filter(|edge| is_end(edge));
            edges.cloned().collect::<Vec<_>>()
        };
        Some(Self {
            // It has text keys and plain values, so writing it can't fail.
            record: serde_json::to_value(bead).unwrap_or_default(),
            review: green_conditions(town, bead_id),
            depends_on: edges(&|edge| edge.bead_id == *bead_id),
            dependents: edges(&|edge| edge.depends_on == *bead_id),
            agents: town.holders(bead_id).map(AgentView::of).collect(),
            events: Vec::new(),
            explanation: explain(town, now, bead_id),
        })
    }

    /// A bead that has left the working set, as it is stored.
    pub(crate) fn of_record(record: Value) -> Self {
        Self {
            record,
            review: None,
            depends_on: Vec::new(),
            dependents: Vec::new(),
            agents: Vec::new(),
            events: Vec::new(),
            explanation: None,
        }
    }
}

/// Decides what is due on a copy of the town; nothing is changed.
pub(crate) fn dry_run(town: &Town, now: Timestamp) -> DryRun {
    let mut copy = town.clone();
    let settled = settle(&mut copy, now);
    DryRun {
        actions: settled.actions,
        effects: settled
            .effects
            .into_iter()
            .map(|effect| effect.key)
            .collect(),
        fault: settled.fault.map(|fault: SettleFault| fault.to_string()),
        next_wakeup: next_wakeup(&copy, now),
    }
}

/// One stored event as it is shown.
pub(crate) fn event(entry: &gastown_core::HistoryEntry) -> Value {
    json!({
        "at": entry.at,
        "event": serde_json::from_str(&entry.body).unwrap_or(Value::Null),
    })
}
