//! Dependencies between beads (spec 1.7).

use serde::{Deserialize, Serialize};

use crate::ids::BeadId;

/// What a dependency means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EdgeKind {
    /// The bead waits until the other is settled.
    Blocks,
    /// An issue belongs to a convoy; an MR bead reviews a source.
    Tracks,
    /// The bead was made by or for the other.
    ParentChild,
}

impl EdgeKind {
    /// The kind as it stands on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            EdgeKind::Blocks => "blocks",
            EdgeKind::Tracks => "tracks",
            EdgeKind::ParentChild => "parent-child",
        }
    }
}

/// A dependency: `bead_id` depends on `depends_on`. One per pair and kind.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Edge {
    /// The bead that depends.
    pub bead_id: BeadId,
    /// The bead that it depends on.
    pub depends_on: BeadId,
    /// What that means.
    #[serde(rename = "type")]
    pub kind: EdgeKind,
}
