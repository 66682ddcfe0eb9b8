//! The aggregate: all that is known of one town, with its indexes (spec 1, 2).
//!
//! Everything is read through queries and changed through the few mutators here, which keep the
//! indexes, the list of changed rows and the history in step.

mod audit;
mod changes;
mod conditions;
mod edges;
mod index;
mod lineage;
mod notices;
mod queries;
mod rows;
mod secrets;

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

use serde_json::{Value, json};

pub use self::lineage::Lineage;
pub use self::notices::Notice;
pub(crate) use self::queries::{Blocker, is_merged};
pub use self::rows::is_secret_row;
pub(crate) use self::rows::{BEAD_ROW, EDGE_ROW, edge_key, edges_prefix, is_named_by_its_id};

pub(crate) use self::index::same_pull_request;

pub(crate) use self::audit::Cause;
use self::changes::Changes;
use self::index::Index;
use crate::agent::Agent;
use crate::bead::{Bead, BeadStatus, Failure};
use crate::breaker::Breaker;
use crate::condition::{Condition, ConditionKind, ConditionSubject};
use crate::config::TownConfig;
use crate::drain::{Container, Drain};
use crate::edge::{Edge, EdgeKind};
use crate::ids::{AgentId, BeadId, EventId, IdKind, NudgeId, RigId, TownId, engine_id};
use crate::nudge::Nudge;
use crate::policy::Policy;
use crate::reason::Reason;
use crate::rig::Rig;
use crate::time::Timestamp;

/// How many event ids a town remembers to tell a repetition; the store remembers the rest.
const SEEN_EVENTS_MAX: usize = 4_096;

/// State of the town that belongs to no single entity.
#[derive(Debug, Clone, PartialEq)]
pub struct TownState {
    /// Settings.
    pub config: TownConfig,
    /// Thresholds.
    pub policy: Policy,
    /// The container is being evicted.
    pub drain: Option<Drain>,
    /// Ages of silence count from here at the earliest (spec 1.8).
    pub judge_from: Option<Timestamp>,
    /// The circuit breaker.
    pub breaker: Breaker,
    /// The container and its tokens.
    pub container: Container,
    /// The counter of identifiers that the town made itself.
    pub sequence: u64,
    /// Notices sent so far; only grows, so that keys never repeat.
    pub notices: u64,
    /// The latest notice of each topic until it has arrived; at most `NOTICES_UNDER_WAY_MAX`, of at
    /// most `NOTICES_UNDER_WAY_BYTES_MAX`.
    pub notices_under_way: BTreeMap<String, Notice>,
    /// When the last triage batch ended.
    pub triage_ended_at: Option<Timestamp>,
}

/// All that is known of one town; the unit of consistency.
///
/// Two towns are equal when their states are; what was recorded for the next commit is not
/// compared.
#[derive(Clone)]
pub struct Town {
    id: TownId,
    state: TownState,
    conditions: BTreeMap<(ConditionKind, ConditionSubject), Condition>,
    lineages: BTreeMap<BeadId, Lineage>,
    rigs: BTreeMap<RigId, Rig>,
    agents: BTreeMap<AgentId, Agent>,
    /// Shared with copies of the town until one of them changes a bead.
    beads: BTreeMap<BeadId, Arc<Bead>>,
    edges: BTreeSet<Edge>,
    nudges: BTreeMap<NudgeId, Nudge>,
    index: Index,
    changes: Changes,
    seen_events: BTreeSet<EventId>,
    /// The same ids, oldest first.
    seen_in_order: VecDeque<EventId>,
}

impl PartialEq for Town {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
            && self.state == other.state
            && self.conditions == other.conditions
            && self.lineages == other.lineages
            && self.rigs == other.rigs
            && self.agents == other.agents
            && self.beads == other.beads
            && self.edges == other.edges
            && self.nudges == other.nudges
    }
}

impl core::fmt::Debug for Town {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Town")
            .field("id", &self.id)
            .field("rigs", &self.rigs.len())
            .field("agents", &self.agents.len())
            .field("beads", &self.beads.len())
            .finish_non_exhaustive()
    }
}

impl Town {
    /// A new town with nothing in it.
    ///
    /// ```
    /// use gastown_core::{Policy, Town, TownConfig, TownId};
    /// let town = Town::new(TownId::new("t1")?, TownConfig::seed(), Policy::default());
    /// assert_eq!(town.beads().count(), 0);
    /// # Ok::<(), gastown_core::IdError>(())
    /// ```
    #[must_use]
    pub fn new(id: TownId, config: TownConfig, policy: Policy) -> Self {
        Self::empty(
            id,
            TownState {
                config,
                policy,
                drain: None,
                judge_from: None,
                breaker: Breaker::default(),
                container: Container::default(),
                sequence: 0,
                notices: 0,
                notices_under_way: BTreeMap::new(),
                triage_ended_at: None,
            },
        )
    }

    pub(crate) fn empty(id: TownId, state: TownState) -> Self {
        Self {
            id,
            state,
            conditions: BTreeMap::new(),
            lineages: BTreeMap::new(),
            rigs: BTreeMap::new(),
            agents: BTreeMap::new(),
            beads: BTreeMap::new(),
            edges: BTreeSet::new(),
            nudges: BTreeMap::new(),
            index: Index::default(),
            changes: Changes {
                town: true,
                ..Changes::default()
            },
            seen_events: BTreeSet::new(),
            seen_in_order: VecDeque::new(),
        }
    }

    // ---- reading ----

    /// Its identifier.
    #[must_use]
    pub fn id(&self) -> &TownId {
        &self.id
    }

    /// What belongs to no single entity.
    #[must_use]
    pub fn state(&self) -> &TownState {
        &self.state
    }

    /// Its thresholds.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.state.policy
    }

    /// One bead.
    #[must_use]
    pub fn bead(&self, id: &BeadId) -> Option<&Bead> {
        self.beads.get(id).map(|bead| &**bead)
    }

    /// All beads, by id.
    pub fn beads(&self) -> impl Iterator<Item = &Bead> {
        self.beads.values().map(|bead| &**bead)
    }

    /// Live beads by priority (critical first), then age, then id (spec 3).
    pub fn live_beads(&self) -> impl Iterator<Item = &Bead> {
        self.index.live()
    }

    /// One agent.
    #[must_use]
    pub fn agent(&self, id: &AgentId) -> Option<&Agent> {
        self.agents.get(id)
    }

    /// All agents, by id.
    pub fn agents(&self) -> impl Iterator<Item = &Agent> {
        self.agents.values()
    }

    /// Agents by age, then id (spec 3).
    pub fn agents_by_age(&self) -> impl Iterator<Item = &Agent> {
        self.index.agents().filter_map(|id| self.agents.get(id))
    }

    /// One rig.
    #[must_use]
    pub fn rig(&self, id: &RigId) -> Option<&Rig> {
        self.rigs.get(id)
    }

    /// All rigs, by id.
    pub fn rigs(&self) -> impl Iterator<Item = &Rig> {
        self.rigs.values()
    }

    /// One nudge.
    #[must_use]
    pub fn nudge(&self, id: &NudgeId) -> Option<&Nudge> {
        self.nudges.get(id)
    }

    /// All nudges, by id.
    pub fn nudges(&self) -> impl Iterator<Item = &Nudge> {
        self.nudges.values()
    }

    /// All conditions.
    pub fn conditions(&self) -> impl Iterator<Item = &Condition> {
        self.conditions.values()
    }

    /// One condition.
    #[must_use]
    pub fn condition(&self, kind: ConditionKind, subject: &ConditionSubject) -> Option<&Condition> {
        self.conditions.get(&(kind, subject.clone()))
    }

    // ---- changing ----

    pub(crate) fn state_mut(&mut self) -> &mut TownState {
        self.changes.touch_town();
        &mut self.state
    }

    /// Changes a bead and keeps indexes and changes in step; none when it is not there.
    pub(crate) fn edit_bead<R>(
        &mut self,
        id: &BeadId,
        edit: impl FnOnce(&mut Bead) -> R,
    ) -> Option<R> {
        let shared = self.beads.get_mut(id)?;
        self.changes.touch_bead(id, Some(shared));
        // Out of the index first: a bead that is held there, too, would be copied.
        self.index.remove_bead(shared);
        let result = edit(Arc::make_mut(shared));
        self.index.insert_bead(shared);
        Some(result)
    }

    /// Changes an agent and keeps indexes and changes in step; none when it is not there.
    pub(crate) fn edit_agent<R>(
        &mut self,
        id: &AgentId,
        edit: impl FnOnce(&mut Agent) -> R,
    ) -> Option<R> {
        let agent = self.agents.get_mut(id)?;
        self.index.remove_agent(agent);
        let result = edit(agent);
        self.index.insert_agent(agent);
        self.changes.touch_agent(id);
        Some(result)
    }

    pub(crate) fn edit_nudge<R>(
        &mut self,
        id: &NudgeId,
        edit: impl FnOnce(&mut Nudge) -> R,
    ) -> Option<R> {
        let nudge = self.nudges.get_mut(id)?;
        self.changes.touch_nudge(id);
        Some(edit(nudge))
    }

    pub(crate) fn edit_rig<R>(
        &mut self,
        id: &RigId,
        edit: impl FnOnce(&mut Rig) -> R,
    ) -> Option<R> {
        let rig = self.rigs.get_mut(id)?;
        self.changes.touch_rig(id);
        Some(edit(rig))
    }

    pub(crate) fn insert_bead(&mut self, bead: Bead) {
        let old = self.beads.get(&bead.id);
        if let Some(old) = old {
            self.index.remove_bead(old);
        }
        self.changes.touch_bead(&bead.id, old);
        let bead = Arc::new(bead);
        self.index.insert_bead(&bead);
        self.beads.insert(bead.id.clone(), bead);
    }

    pub(crate) fn insert_agent(&mut self, agent: Agent) {
        if let Some(old) = self.agents.get(&agent.id) {
            self.index.remove_agent(old);
        }
        self.index.insert_agent(&agent);
        self.changes.touch_agent(&agent.id);
        self.agents.insert(agent.id.clone(), agent);
    }

    pub(crate) fn insert_rig(&mut self, rig: Rig) {
        self.changes.touch_rig(&rig.id);
        self.rigs.insert(rig.id.clone(), rig);
    }

    pub(crate) fn insert_nudge(&mut self, nudge: Nudge) {
        self.changes.touch_nudge(&nudge.id);
        self.nudges.insert(nudge.id.clone(), nudge);
    }

    pub(crate) fn insert_condition(&mut self, condition: Condition) {
        self.changes.touch_town();
        self.conditions
            .insert((condition.kind, condition.subject.clone()), condition);
    }

    pub(crate) fn remove_condition(
        &mut self,
        kind: ConditionKind,
        subject: &ConditionSubject,
    ) -> Option<Condition> {
        self.changes.touch_town();
        self.conditions.remove(&(kind, subject.clone()))
    }

    pub(crate) fn edit_condition<R>(
        &mut self,
        kind: ConditionKind,
        subject: &ConditionSubject,
        edit: impl FnOnce(&mut Condition) -> R,
    ) -> Option<R> {
        self.changes.touch_town();
        self.conditions.get_mut(&(kind, subject.clone())).map(edit)
    }

    pub(crate) fn remove_agent(&mut self, id: &AgentId) -> Option<Agent> {
        let agent = self.agents.remove(id)?;
        self.index.remove_agent(&agent);
        self.changes.touch_agent(id);
        Some(agent)
    }

    pub(crate) fn remove_nudge(&mut self, id: &NudgeId) -> Option<Nudge> {
        self.changes.touch_nudge(id);
        self.nudges.remove(id)
    }

    pub(crate) fn remove_rig(&mut self, id: &RigId) -> Option<Rig> {
        self.changes.touch_rig(id);
        self.rigs.remove(id)
    }

    /// Removes a bead with its edges.
    pub(crate) fn remove_bead(&mut self, id: &BeadId) {
        let Some(bead) = self.beads.remove(id) else {
            return;
        };
        self.index.remove_bead(&bead);
        self.changes.touch_bead(id, Some(&bead));
        if bead.escalation().is_some() {
            self.forget_notice_of(id);
        }
        for edge in self.edges_at(id) {
            self.remove_edge(&edge);
        }
    }

    /// Moves a bead to another status and stamps what a change of status stamps.
    ///
    /// A bead that fails carries the reason as its failure; `source` names who failed it.
    pub(crate) fn set_status(
        &mut self,
        id: &BeadId,
        to: BeadStatus,
        reason: &Reason,
        source: &str,
        now: Timestamp,
    ) -> bool {
        let Some(from) = self.bead(id).map(|bead| bead.status) else {
            return false;
        };
        if from == to || !from.may_become(to) {
            return false;
        }
        self.edit_bead(id, |bead| {
            bead.status = to;
            bead.status_changed_at = Some(now);
            bead.updated_at = now;
            if to.is_terminal() {
                bead.closed_at = Some(now);
            }
            if to == BeadStatus::Failed {
                bead.failure = Some(Failure {
                    code: reason.code,
                    message: reason.message.clone(),
                    source: Some(source.to_string()),
                });
            }
        });
        // However a batch ends, the pause before the next one begins (spec 3.8).
        if to.is_terminal() && self.bead(id).is_some_and(Self::is_patrol_batch) {
            self.state_mut().triage_ended_at = Some(now);
        }
        if to.is_terminal()
            && self
                .bead(id)
                .is_some_and(|bead| bead.escalation().is_some())
        {
            self.forget_notice_of(id);
        }
        if to == BeadStatus::Closed {
            self.blocker_closed(id);
            self.outdates_landings(id);
        }
        self.log(
            id,
            now,
            "status",
            json!({"from": from, "to": to, "reason": reason}),
        );
        true
    }

    /// A bead closed: the pull requests that it blocked are worth a look now (spec 3.10), and so
    /// are those that its source blocked, which is settled only with its review.
    fn blocker_closed(&mut self, id: &BeadId) {
        let source = self.bead(id).and_then(|bead| self.source_of(bead));
        let blocked: Vec<BeadId> = [Some(id), source]
            .into_iter()
            .flatten()
            .flat_map(|blocker| self.dependents(blocker, EdgeKind::Blocks))
            .filter(|blocked| self.bead(blocked).is_some_and(Bead::is_live))
            .cloned()
            .collect();
        for mr in blocked {
            self.edit_bead(&mr, |bead| {
                let review = bead.review_mut();
                if let Some(review) = review.filter(|review| review.pr_url.is_some()) {
                    review.poll.due_now = true;
                }
            });
        }
    }

    /// An issue of a convoy joined its rig or closed there: landings that were made before it don't
    /// bring its work (spec 3.5). Told apart by order and not by time, for clocks jump (P11).
    pub(crate) fn outdates_landings(&mut self, issue: &BeadId) {
        let bead = self.bead(issue).filter(|bead| bead.work().is_some());
        let rig = bead.and_then(|bead| bead.rig_id.clone());
        let convoy = self.convoy_of(issue).filter(|convoy| convoy.is_live());
        let (Some(rig), Some(bead)) = (rig, convoy) else {
            return;
        };
        let made_before = |mr: &&Bead| {
            mr.review()
                .is_some_and(|review| review.lands_in(mr, &rig) && review.lands_all == Some(true))
        };
        let reviews = self.reviews_of(&bead.id).into_iter();
        let outdated: Vec<BeadId> = reviews
            .filter(made_before)
            .map(|mr| mr.id.clone())
            .collect();
        let landed = bead
            .convoy()
            .map(|convoy| convoy.landing_of(&rig).landed_at);
        if landed.flatten().is_some() {
            let convoy = bead.id.clone();
            self.edit_bead(&convoy, |bead| {
                if let Some(convoy) = bead.convoy_mut() {
                    convoy.edit_landing(&rig, |landing| landing.landed_at = None);
                }
            });
        }
        for mr in outdated {
            self.edit_bead(&mr, |bead| {
                if let Some(review) = bead.review_mut() {
                    review.lands_all = Some(false);
                }
            });
        }
    }

    /// Adds a line to the bead's history.
    pub(crate) fn log(&mut self, bead: &BeadId, now: Timestamp, what: &str, detail: Value) {
        self.changes.audit.log(bead, now, what, detail);
    }

    /// Ends one event, command or action: what it did to beads gets its cause.
    pub(crate) fn end_unit(&mut self, cause: &Cause) {
        let (beads, edges) = (&self.beads, &self.edges);
        self.changes
            .audit
            .end_unit(cause, |id| beads.get(id), |edge| edges.contains(edge));
    }

    /// The text of the next identifier of a kind; uses up one number of the sequence.
    fn next_id_text(&mut self, kind: IdKind) -> String {
        let state = self.state_mut();
        // A foreign snapshot may hold the last number; the next free one is found from the start.
        state.sequence = state.sequence.checked_add(1).unwrap_or(0);
        let sequence = state.sequence;
        engine_id(&self.id, kind, sequence)
    }

    /// A new bead identifier that no bead has.
    pub(crate) fn next_bead_id(&mut self, kind: IdKind) -> BeadId {
        loop {
            // The text is always valid; a foreign bead may hold the name already.
            if let Ok(id) = BeadId::new(self.next_id_text(kind))
                && !self.beads.contains_key(&id)
            {
                return id;
            }
        }
    }

    /// A new nudge identifier that no nudge has.
    pub(crate) fn next_nudge_id(&mut self) -> NudgeId {
        loop {
            if let Ok(id) = NudgeId::new(self.next_id_text(IdKind::Nudge))
                && !self.nudges.contains_key(&id)
            {
                return id;
            }
        }
    }

    /// An action made an entity with this identifier: the sequence goes on behind it.
    pub(crate) fn note_made(&mut self, id: &str) {
        let digits = id
            .rsplit(|c: char| !c.is_ascii_digit())
            .next()
            .unwrap_or("");
        let Ok(counter) = digits.parse::<u64>() else {
            return;
        };
        let ours = IdKind::ALL
            .iter()
            .any(|kind| engine_id(&self.id, *kind, counter) == id);
        if ours && counter > self.state.sequence {
            self.state_mut().sequence = counter;
        }
    }

    /// Remembers an event id; says whether it is new.
    pub(crate) fn first_seen(&mut self, id: &EventId) -> bool {
        if !self.seen_events.insert(id.clone()) {
            return false;
        }
        self.seen_in_order.push_back(id.clone());
        if self.seen_in_order.len() > SEEN_EVENTS_MAX
            && let Some(oldest) = self.seen_in_order.pop_front()
        {
            self.seen_events.remove(&oldest);
        }
        true
    }
}
