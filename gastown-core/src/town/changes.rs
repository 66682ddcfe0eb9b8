//! What has changed since the last commit.

use alloc::collections::BTreeSet;
use alloc::string::ToString;
use alloc::vec::Vec;

use serde_json::{Value, json};

use crate::edge::Edge;
use crate::ids::{AgentId, BeadId, NudgeId, RigId};
use crate::store::{HistoryEntry, HistoryKind};
use crate::time::Timestamp;

/// Names of the entities that changed, and the history to append.
#[derive(Debug, Clone, Default)]
pub(super) struct Changes {
    pub(super) town: bool,
    pub(super) beads: BTreeSet<BeadId>,
    pub(super) agents: BTreeSet<AgentId>,
    pub(super) rigs: BTreeSet<RigId>,
    pub(super) nudges: BTreeSet<NudgeId>,
    pub(super) lineages: BTreeSet<BeadId>,
    pub(super) edges: BTreeSet<Edge>,
    pub(super) history: Vec<HistoryEntry>,
    /// Terminal beads that the store still has in the working set.
    pub(super) working: BTreeSet<BeadId>,
}

impl Changes {
    pub(super) fn touch_town(&mut self) {
        self.town = true;
    }

    pub(super) fn touch_bead(&mut self, id: &BeadId) {
        self.beads.insert(id.clone());
    }

    pub(super) fn touch_agent(&mut self, id: &AgentId) {
        self.agents.insert(id.clone());
    }

    pub(super) fn touch_rig(&mut self, id: &RigId) {
        self.rigs.insert(id.clone());
    }

    pub(super) fn touch_nudge(&mut self, id: &NudgeId) {
        self.nudges.insert(id.clone());
    }

    pub(super) fn touch_lineage(&mut self, root: &BeadId) {
        self.lineages.insert(root.clone());
    }

    pub(super) fn touch_edge(&mut self, edge: &Edge) {
        self.edges.insert(edge.clone());
    }

    pub(super) fn log(&mut self, bead: &BeadId, at: Timestamp, what: &str, detail: Value) {
        self.history.push(HistoryEntry {
            kind: HistoryKind::BeadEvent,
            subject: Some(bead.as_str().into()),
            at,
            body: json!({"what": what, "detail": detail}).to_string(),
        });
    }
}
