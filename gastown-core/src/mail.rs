//! Mail between agents (spec 2.1).

use alloc::string::String;

use serde::{Deserialize, Serialize};

use crate::ids::AgentId;

/// What a message bead adds to a bead; title and body are subject and text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mail {
    /// Who is to read it.
    pub to: AgentId,
    /// Who sent it.
    #[serde(default)]
    pub from: Option<String>,
}
