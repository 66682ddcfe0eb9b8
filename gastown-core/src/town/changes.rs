//! What has changed since the last commit.

use alloc::collections::BTreeSet;
use alloc::sync::Arc;

use super::audit::Audit;
use crate::bead::Bead;
use crate::edge::Edge;
use crate::ids::{AgentId, BeadId, NudgeId, RigId};

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
    pub(super) audit: Audit,
    /// Terminal beads that the store still has in the working set.
    pub(super) working: BTreeSet<BeadId>,
}

impl Changes {
    pub(super) fn touch_town(&mut self) {
        self.town = true;
    }

    /// A bead is about to change, appear or go.
    pub(super) fn touch_bead(&mut self, id: &BeadId, before: Option<&Arc<Bead>>) {
        self.audit.bead_was(id, before);
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

    /// An edge is about to appear or to go.
    pub(super) fn touch_edge(&mut self, edge: &Edge, before: bool) {
        self.audit.edge_was(edge, before);
        self.edges.insert(edge.clone());
    }
}
