//! Escalations: beads for a person or the mayor (spec 3.9).

use alloc::string::String;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::bead::Priority;
use crate::ids::BeadId;
use crate::time::Timestamp;

/// How grave an escalation is.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Nobody is notified.
    Low,
    /// The mayor is notified.
    Medium,
    /// Closes only by `acknowledge`.
    High,
    /// The highest.
    Critical,
}

impl Severity {
    /// The level as it stands on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Severity::Low => "low",
            Severity::Medium => "medium",
            Severity::High => "high",
            Severity::Critical => "critical",
        }
    }

    /// One level up; critical stays.
    #[must_use]
    pub const fn raised(self) -> Self {
        match self {
            Severity::Low => Severity::Medium,
            Severity::Medium => Severity::High,
            Severity::High | Severity::Critical => Severity::Critical,
        }
    }

    /// The priority of a bead of this severity.
    #[must_use]
    pub const fn priority(self) -> Priority {
        match self {
            Severity::Low => Priority::Low,
            Severity::Medium => Priority::Medium,
            Severity::High => Priority::High,
            Severity::Critical => Priority::Critical,
        }
    }
}

/// What an escalation bead adds to a bead (spec 1.4).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Escalation {
    /// How grave it is.
    pub severity: Severity,
    /// What it is about; rules use a reason code, agents any word.
    #[serde(default)]
    pub category: Option<String>,
    /// When a person took note.
    #[serde(default)]
    pub acknowledged_at: Option<Timestamp>,
    /// How often it was raised again.
    #[serde(default)]
    pub re_escalations: u32,
    /// When the mayor was last notified of it.
    #[serde(default)]
    pub notified_at: Option<Timestamp>,
    /// The bead that it is about.
    #[serde(default)]
    pub bead_id: Option<BeadId>,
    /// The convoy of that bead.
    #[serde(default)]
    pub convoy_id: Option<BeadId>,
}
