//! Agents: workers with a role (spec 1.5).

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::ids::{AgentId, BeadId, RigId};
use crate::reason::ReasonCode;
use crate::time::Timestamp;

/// What an agent does.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Writes code.
    Polecat,
    /// Reviews and merges; one per rig.
    Refinery,
    /// Talks to people; one per town.
    Mayor,
}

impl Role {
    /// The role as it stands on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Role::Polecat => "polecat",
            Role::Refinery => "refinery",
            Role::Mayor => "mayor",
        }
    }
}

/// What is known of an agent's process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AgentStatus {
    /// No session runs.
    Idle,
    /// A session was dispatched and is judged by the watching rules.
    Working,
    /// Mayor only: alive, wants a person.
    Waiting,
    /// Stopped for showing no activity; keeps its hook for a while.
    Stalled,
    /// The host said that it will not come back.
    Dead,
}

impl AgentStatus {
    /// Every status.
    pub const ALL: [AgentStatus; 5] = [
        Self::Idle,
        Self::Working,
        Self::Waiting,
        Self::Stalled,
        Self::Dead,
    ];

    /// The status as it stands on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            AgentStatus::Idle => "idle",
            AgentStatus::Working => "working",
            AgentStatus::Waiting => "waiting",
            AgentStatus::Stalled => "stalled",
            AgentStatus::Dead => "dead",
        }
    }

    /// Whether a session is taken to run: working or stalled.
    #[must_use]
    pub const fn is_running(self) -> bool {
        matches!(self, AgentStatus::Working | AgentStatus::Stalled)
    }

    /// The legal transitions, as one table (design 4).
    #[must_use]
    pub const fn may_become(self, to: AgentStatus) -> bool {
        use AgentStatus::{Dead, Idle, Stalled, Waiting, Working};
        matches!(
            (self, to),
            (Idle, Working | Waiting | Dead)
                | (Working, Idle | Stalled | Waiting | Dead)
                | (Stalled, Idle | Working | Waiting | Dead)
                | (Waiting, Working | Idle | Dead)
                | (Dead, Idle)
        )
    }
}

/// A worker with a role (spec 1.5).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Agent {
    /// Its identifier.
    pub id: AgentId,
    /// What it does.
    pub role: Role,
    /// What people call it; unique among the living. Absent in a snapshot: its identifier.
    #[serde(default)]
    pub name: String,
    /// `{name}-{role}-{first 8 of rig}@{first 8 of town}`, made unique. Absent in a snapshot: made
    /// of its name.
    #[serde(default)]
    pub identity: String,
    /// Its rig; none for the mayor.
    #[serde(default)]
    pub rig_id: Option<RigId>,
    /// What is known of its process.
    pub status: AgentStatus,
    /// The bead that it is attached to.
    #[serde(default)]
    pub hook: Option<BeadId>,
    /// When it was attached.
    #[serde(default)]
    pub hooked_at: Option<Timestamp>,
    /// Its own dispatches since the last reset; only shows crash loops.
    #[serde(default)]
    pub dispatch_attempts: u32,
    /// Grows with every dispatch; an event of an older session is ignored.
    #[serde(default)]
    pub session: u64,
    /// When the latest session was dispatched.
    #[serde(default)]
    pub dispatched_at: Option<Timestamp>,
    /// Whether the latest session was heard of; absent means yes.
    #[serde(default = "yes")]
    pub reported: bool,
    /// When a heartbeat was last observed.
    #[serde(default)]
    pub last_activity_at: Option<Timestamp>,
    /// What its model session last did.
    #[serde(default)]
    pub last_event_type: Option<String>,
    /// When its model session last did something.
    #[serde(default)]
    pub last_event_at: Option<Timestamp>,
    /// Tools that run now.
    #[serde(default)]
    pub active_tools: Vec<String>,
    /// When it was found stalled.
    #[serde(default)]
    pub stalled_at: Option<Timestamp>,
    /// What it wants to know at its next start on the same bead.
    #[serde(default)]
    pub checkpoint: Option<Value>,
    /// What it says it does.
    #[serde(default)]
    pub status_message: Option<String>,
    /// When it said so.
    #[serde(default)]
    pub status_message_at: Option<Timestamp>,
    /// The container instance of its last heartbeat.
    #[serde(default)]
    pub container_instance: Option<String>,
    /// The bead of its latest session.
    #[serde(default)]
    pub last_bead: Option<BeadId>,
    /// The session that already said `done`.
    #[serde(default)]
    pub done_session: Option<u64>,
    /// The session that the engine asked to stop.
    #[serde(default)]
    pub stop_asked: Option<u64>,
    /// When a stop that failed is asked for again.
    #[serde(default)]
    pub stop_retry_at: Option<Timestamp>,
    /// Stops asked for so far; only grows, so that keys never repeat.
    #[serde(default)]
    pub stops: u64,
    /// Whether the last stop has its answer; a second one with the same key says nothing (2.4).
    #[serde(default, skip_serializing_if = "crate::wire::is_default")]
    pub stop_answered: bool,
    /// When its latest session ended.
    #[serde(default)]
    pub exited_at: Option<Timestamp>,
    /// Mayor: when it was last prompted.
    #[serde(default)]
    pub prompted_at: Option<Timestamp>,
    /// What was asked about it and is still true: a crash loop, once until its reset.
    #[serde(default)]
    pub told: BTreeMap<ReasonCode, Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
}

fn yes() -> bool {
    true
}

impl Agent {
    /// A new idle agent.
    #[must_use]
    pub fn new(
        id: AgentId,
        role: Role,
        name: String,
        identity: String,
        rig_id: Option<RigId>,
        created_at: Timestamp,
    ) -> Self {
        Self {
            id,
            role,
            name,
            identity,
            rig_id,
            status: AgentStatus::Idle,
            hook: None,
            hooked_at: None,
            dispatch_attempts: 0,
            session: 0,
            dispatched_at: None,
            reported: true,
            last_activity_at: None,
            last_event_type: None,
            last_event_at: None,
            active_tools: Vec::new(),
            stalled_at: None,
            checkpoint: None,
            status_message: None,
            status_message_at: None,
            container_instance: None,
            last_bead: None,
            done_session: None,
            stop_asked: None,
            stop_retry_at: None,
            stops: 0,
            stop_answered: false,
            exited_at: None,
            prompted_at: None,
            told: BTreeMap::new(),
            created_at,
        }
    }

    /// Whether it can be given work: idle and without a hook.
    #[must_use]
    pub fn is_free(&self) -> bool {
        self.status == AgentStatus::Idle && self.hook.is_none()
    }
}

/// Names of polecats, in the order in which they are given (spec 1.5).
const POLECAT_NAMES: [&str; 20] = [
    "Amber", "Basil", "Cedar", "Dune", "Ember", "Fern", "Grove", "Hazel", "Iris", "Juniper",
    "Kite", "Lark", "Maple", "Nettle", "Olive", "Pike", "Quill", "Rowan", "Sage", "Thorn",
];

/// The first name that no agent in `taken` has: a word of the pool, then `Polecat-21` and so on.
pub(crate) fn polecat_name(taken: &BTreeSet<&str>) -> String {
    if let Some(name) = POLECAT_NAMES.iter().find(|name| !taken.contains(**name)) {
        return (*name).into();
    }
    let mut number = POLECAT_NAMES.len();
    loop {
        number = number.saturating_add(1);
        let name = alloc::format!("Polecat-{number}");
        // Ends after at most one step more than there are names taken.
        if !taken.contains(name.as_str()) {
            return name;
        }
    }
}

/// The identity of a new agent, made unique among `taken` by a number.
pub(crate) fn identity(
    name: &str,
    role: Role,
    rig: Option<&str>,
    town: &str,
    taken: impl Fn(&str) -> bool,
) -> String {
    let rig = crate::ids::first_eight(rig.unwrap_or("town"));
    let town = crate::ids::first_eight(town);
    let plain = alloc::format!("{name}-{}-{rig}@{town}", role.as_str());
    let mut identity = plain.clone();
    let mut number = 1u64;
    while taken(&identity) {
        number = number.saturating_add(1);
        identity = alloc::format!("{plain}-{number}");
    }
    identity
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_lowest_unused() {
        assert_eq!(polecat_name(&BTreeSet::new()), "Amber");
        let taken: BTreeSet<&str> = ["Amber", "Cedar"].into();
        assert_eq!(polecat_name(&taken), "Basil");
        let mut all: BTreeSet<&str> = POLECAT_NAMES.into();
        assert_eq!(polecat_name(&all), "Polecat-21");
        all.insert("Polecat-21");
        assert_eq!(polecat_name(&all), "Polecat-22");
        all.remove("Dune");
        assert_eq!(polecat_name(&all), "Dune");
    }

    #[test]
    fn identities_of_rigs_with_one_prefix_differ() {
        let first = identity("Amber", Role::Polecat, Some("backend-api"), "t1", |_| false);
        assert_eq!(first, "Amber-polecat-backend-@t1");
        let second = identity("Amber", Role::Polecat, Some("backend-web"), "t1", |other| {
            other == first
        });
        assert_eq!(second, "Amber-polecat-backend-@t1-2");
    }

    #[test]
    fn transitions_over_all_pairs() {
        let mut legal = alloc::vec::Vec::new();
        for from in AgentStatus::ALL {
            for to in AgentStatus::ALL {
                if from.may_become(to) {
                    legal.push(alloc::format!("{}→{}", from.as_str(), to.as_str()));
                }
            }
        }
        insta::assert_snapshot!(legal.join(" "), @"idle→working idle→waiting idle→dead working→idle working→waiting working→stalled working→dead waiting→idle waiting→working waiting→dead stalled→idle stalled→working stalled→waiting stalled→dead dead→idle");
    }
}
