//! The snapshot format `gastown.town/1` (spec 1.11).

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{WireError, bead::bead_from_value, object_of, parse, read_value, take};
use crate::agent::{Agent, identity};
use crate::bead::Bead;
use crate::breaker::Breaker;
use crate::condition::Condition;
use crate::config::TownConfig;
use crate::drain::{Container, Drain};
use crate::edge::Edge;
use crate::ids::{BeadId, RigId, TownId};
use crate::nudge::Nudge;
use crate::policy::Policy;
use crate::rig::Rig;
use crate::time::Timestamp;
use crate::town::{Lineage, Notice, Town, TownState};

/// The newest snapshot format; the only one so far.
pub const SNAPSHOT_FORMAT: &str = "gastown.town/1";

/// The `town` block of a snapshot.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TownForm {
    pub(crate) id: TownId,
    #[serde(default)]
    pub(crate) config: TownConfig,
    #[serde(default)]
    pub(crate) policy: Policy,
    #[serde(default)]
    pub(crate) drain: Option<Drain>,
    #[serde(default)]
    pub(crate) judge_from: Option<Timestamp>,
    #[serde(default)]
    pub(crate) lineages: BTreeMap<BeadId, Lineage>,
    #[serde(default)]
    pub(crate) breaker: Breaker,
    #[serde(default)]
    pub(crate) container: Container,
    #[serde(default)]
    pub(crate) conditions: Vec<Condition>,
    #[serde(default)]
    pub(crate) sequence: u64,
    #[serde(default)]
    pub(crate) notices: u64,
    #[serde(default)]
    pub(crate) notices_under_way: BTreeMap<String, Notice>,
    #[serde(default)]
    pub(crate) triage_ended_at: Option<Timestamp>,
}

impl TownForm {
    pub(crate) fn of(town: &Town) -> Self {
        let state = town.state().clone();
        Self {
            id: town.id().clone(),
            config: state.config,
            policy: state.policy,
            drain: state.drain,
            judge_from: state.judge_from,
            lineages: town
                .lineages()
                .map(|(root, lineage)| (root.clone(), lineage))
                .collect(),
            breaker: state.breaker,
            container: state.container,
            conditions: town.conditions().cloned().collect(),
            sequence: state.sequence,
            notices: state.notices,
            notices_under_way: state.notices_under_way,
            triage_ended_at: state.triage_ended_at,
        }
    }

    /// A town with nothing but this block in it.
    pub(crate) fn into_town(self) -> Result<Town, WireError> {
        self.config
            .validate()
            .map_err(|error| WireError::new(format!("config.{}", error.field), error.problem))?;
        let mut town = Town::empty(
            self.id,
            TownState {
                config: self.config,
                policy: self.policy,
                drain: self.drain,
                judge_from: self.judge_from,
                breaker: self.breaker,
                container: self.container,
                sequence: self.sequence,
                notices: self.notices,
                notices_under_way: self.notices_under_way,
                triage_ended_at: self.triage_ended_at,
            },
        );
        for (root, lineage) in self.lineages {
            town.insert_lineage(root, lineage);
        }
        let mut seen = BTreeSet::new();
        for (at, condition) in self.conditions.into_iter().enumerate() {
            if !seen.insert((condition.kind, condition.subject.clone())) {
                return Err(WireError::new(
                    format!("conditions[{at}]"),
                    "duplicate condition",
                ));
            }
            town.insert_condition(condition);
        }
        Ok(town)
    }
}

#[derive(Serialize)]
struct SnapshotForm<'a> {
    format: &'static str,
    town: TownForm,
    rigs: Vec<&'a Rig>,
    agents: Vec<&'a Agent>,
    beads: Vec<&'a Bead>,
    dependencies: Vec<&'a Edge>,
    nudges: Vec<&'a Nudge>,
}

/// The snapshot of a town, as JSON. Entities stand in order of their ids; secrets are redacted.
///
/// # Errors
/// None for any town; the error type is serde's.
pub fn snapshot_to_value(town: &Town) -> Result<Value, serde_json::Error> {
    serde_json::to_value(SnapshotForm {
        format: SNAPSHOT_FORMAT,
        town: TownForm::of(town),
        rigs: town.rigs().collect(),
        agents: town.agents().collect(),
        beads: town.beads().collect(),
        dependencies: town.edges().collect(),
        nudges: town.nudges().collect(),
    })
}

/// Reads a snapshot (spec 1.11). Dangling references are kept: the rules heal them.
///
/// # Errors
/// [`WireError`] names the path and what was expected: another format, an unknown field, an
/// unknown word, a duplicate or an invalid id.
pub fn snapshot_from_str(text: &str) -> Result<Town, WireError> {
    snapshot_from_value(parse(text)?)
}

/// Reads a snapshot from JSON that was parsed already.
///
/// # Errors
/// As [`snapshot_from_str`].
pub fn snapshot_from_value(value: Value) -> Result<Town, WireError> {
    let mut object = object_of(value)?;
    let format: String = take(&mut object, "format")?;
    if format != SNAPSHOT_FORMAT {
        return Err(WireError::new(
            "format",
            format!(
                "unknown format \"{}\", expected \"{SNAPSHOT_FORMAT}\"",
                crate::ids::shown(&format, 80)
            ),
        ));
    }
    let form: TownForm = take(&mut object, "town")?;
    let mut town = form.into_town().map_err(|error| error.under("town"))?;
    for (path, rig) in list(&mut object, "rigs", read_value::<Rig>)? {
        refuse_duplicate(
            &format!("{path}.id"),
            town.rig(&rig.id).is_some(),
            rig.id.as_str(),
        )?;
        rig.config.validate().map_err(|error| {
            WireError::new(format!("{path}.config.{}", error.field), error.problem)
        })?;
        town.insert_rig(rig);
    }
    let mut identities = BTreeSet::new();
    for (path, agent) in list(&mut object, "agents", read_value::<Agent>)? {
        refuse_duplicate(
            &format!("{path}.id"),
            town.agent(&agent.id).is_some(),
            agent.id.as_str(),
        )?;
        let agent = named(&town, &identities, agent);
        identities.insert(agent.identity.clone());
        town.insert_agent(agent);
    }
    for (path, bead) in list(&mut object, "beads", bead_from_value)? {
        refuse_duplicate(
            &format!("{path}.id"),
            town.bead(&bead.id).is_some(),
            bead.id.as_str(),
        )?;
        town.insert_bead(bead);
    }
    for (path, edge) in list(&mut object, "dependencies", read_value::<Edge>)? {
        if edge.bead_id == edge.depends_on {
            return Err(WireError::new(
                path,
                format!("bead {} depends on itself", edge.bead_id),
            ));
        }
        let known = town
            .depends_on(&edge.bead_id, edge.kind)
            .any(|id| *id == edge.depends_on);
        refuse_duplicate(&path, known, edge.bead_id.as_str())?;
        town.insert_edge(&edge.bead_id, &edge.depends_on, edge.kind);
    }
    for (path, nudge) in list(&mut object, "nudges", read_value::<Nudge>)? {
        refuse_duplicate(
            &format!("{path}.id"),
            town.nudge(&nudge.id).is_some(),
            nudge.id.as_str(),
        )?;
        town.insert_nudge(nudge);
    }
    match object.keys().next() {
        None => Ok(town),
        Some(name) => Err(WireError::new(name.to_string(), "unknown field")),
    }
}

/// The agent with a name and an identity, should the snapshot have none.
fn named(town: &Town, taken: &BTreeSet<String>, mut agent: Agent) -> Agent {
    if agent.name.is_empty() {
        agent.name = agent.id.to_string();
    }
    if agent.identity.is_empty() {
        let rig = agent.rig_id.as_ref().map(RigId::as_str);
        let is_taken = |identity: &str| taken.contains(identity);
        agent.identity = identity(&agent.name, agent.role, rig, town.id().as_str(), is_taken);
    }
    agent
}

fn refuse_duplicate(path: &str, duplicate: bool, id: &str) -> Result<(), WireError> {
    if duplicate {
        return Err(WireError::new(
            path,
            format!("duplicate of \"{id}\", expected each once"),
        ));
    }
    Ok(())
}

/// Reads a list item by item, so that an error names the item. Absent is empty.
fn list<T>(
    object: &mut serde_json::Map<String, Value>,
    name: &str,
    read: impl Fn(Value) -> Result<T, WireError>,
) -> Result<Vec<(String, T)>, WireError> {
    let items = match object.remove(name) {
        None => return Ok(Vec::new()),
        Some(Value::Array(items)) => items,
        Some(_) => return Err(WireError::new(name, "expected a list")),
    };
    items
        .into_iter()
        .enumerate()
        .map(|(at, item)| {
            let path = format!("{name}[{at}]");
            read(item)
                .map_err(|error| error.under(&path))
                .map(|item| (path, item))
        })
        .collect()
}
