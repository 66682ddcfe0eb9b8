//! Nudges: messages pushed to running agents (spec 1.2, 3.11).

use alloc::string::String;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ids::{AgentId, NudgeId};
use crate::time::Timestamp;

/// Why a nudge is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NudgeTier {
    /// No activity for a while.
    Warn,
    /// No activity for long.
    Escalate,
    /// Somebody has something to say.
    Message,
}

/// When a nudge may be pushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NudgeMode {
    /// As soon as the agent runs.
    #[default]
    Immediate,
    /// Once it runs, has no active tool and was quiet for 30 seconds.
    WhenIdle,
    /// At its next start.
    Queue,
}

/// How urgent a nudge is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NudgePriority {
    /// The default.
    #[default]
    Normal,
    /// Interrupts.
    Urgent,
}

/// A message pushed to a running agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nudge {
    /// Its identifier.
    pub id: NudgeId,
    /// Who is to get it.
    pub agent_id: AgentId,
    /// Why.
    pub tier: NudgeTier,
    /// The text.
    pub message: String,
    /// When it may be pushed.
    #[serde(default)]
    pub mode: NudgeMode,
    /// How urgent it is.
    #[serde(default)]
    pub priority: NudgePriority,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last sent.
    #[serde(default)]
    pub sent_at: Option<Timestamp>,
    /// How often it was sent; part of the effect's key.
    #[serde(default)]
    pub attempts: u32,
    /// When a failed delivery is tried again.
    #[serde(default)]
    pub next_at: Option<Timestamp>,
    /// When it arrived.
    #[serde(default)]
    pub delivered_at: Option<Timestamp>,
    /// When it is no longer worth sending.
    #[serde(default)]
    pub expires_at: Option<Timestamp>,
}
