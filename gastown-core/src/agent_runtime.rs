//! The port to whatever runs agents (spec 6.3).

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use async_trait::async_trait;
use serde_json::Value;

use crate::agent::Role;
use crate::event::ProcessStatus;
use crate::ids::{AgentId, BeadId, NudgeId, RigId, TownId};
use crate::nudge::NudgeTier;

/// One session of one agent.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId {
    /// The town.
    pub town_id: TownId,
    /// The agent.
    pub agent_id: AgentId,
    /// Its session.
    pub session: u64,
}

/// A session to start.
#[derive(Debug, Clone, PartialEq)]
pub struct StartRequest {
    /// The session.
    pub session: SessionId,
    /// What the agent does.
    pub role: Role,
    /// What people call it.
    pub name: String,
    /// The bead that it is hooked to.
    pub bead_id: BeadId,
    /// The rig whose worktree it uses.
    pub rig_id: RigId,
    /// Where the rig's repository is.
    pub git_url: String,
    /// The rig's default branch.
    pub default_branch: String,
    /// The branch to work on: the agent's own, or the one that a repair names.
    pub branch: String,
    /// The branch to begin from, and that the work goes to.
    pub target_branch: String,
    /// The instructions (spec 6.6).
    pub prompt: String,
    /// What the agent needs to know, as JSON (spec 6.6, `prime`).
    pub context: Value,
    /// The configured environment; never a secret.
    pub env_vars: BTreeMap<String, String>,
    /// The organization that pays; none removes the variable (spec 6.5).
    pub organization_id: Option<String>,
    /// The model, where one is configured.
    pub model: Option<String>,
}

/// A message to a running session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentMessage {
    /// The nudge that it is; lets the agent tell a repetition.
    pub nudge_id: NudgeId,
    /// Why.
    pub tier: NudgeTier,
    /// The text.
    pub text: String,
}

/// Work of a session that now survives the loss of the machine (spec 6.4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SavedWork {
    /// The branch of the origin that has it; none when there was nothing to save.
    pub branch: Option<String>,
    /// The commit.
    pub commit: Option<String>,
    /// A reference of the origin that has what did not fit onto the branch: the middle of a merge,
    /// or work that the origin's branch has overtaken.
    pub aside: Option<String>,
}

/// What could not be done to an agent's session.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AgentRuntimeError {
    /// Nothing was started, and nothing runs.
    #[error("could not start the session: {reason}")]
    Rejected {
        /// Why, for a person.
        reason: String,
    },
    /// Something may run.
    #[error("it is not known whether the session runs: {reason}")]
    Unknown {
        /// Why, for a person.
        reason: String,
    },
    /// The session does not run here.
    #[error("the session does not run here")]
    NotRunning,
    /// A tool that agents need is missing.
    #[error("missing on this machine: {tools}")]
    MissingTools {
        /// The tools, by name.
        tools: String,
    },
}

/// The port to whatever runs agents.
///
/// # To ensure correctness
/// - `start` of a session that runs is a no-op; a runtime never runs two sessions of one agent.
/// - `start` that returns [`AgentRuntimeError::Rejected`] left nothing running.
/// - `start` may be cancelled by dropping its future; what it made is found again by `stop`.
/// - `stop` returns once nothing of the session runs; of one that has ended it is a no-op.
/// - No method panics; no error holds a secret.
#[async_trait]
pub trait AgentRuntime: Send + Sync {
    /// Says what is missing before anything is dispatched.
    ///
    /// # Errors
    /// [`AgentRuntimeError::MissingTools`] names what is missing.
    async fn preflight(&self) -> Result<(), AgentRuntimeError>;

    /// Starts a session.
    ///
    /// # Errors
    /// [`AgentRuntimeError::Rejected`] or [`AgentRuntimeError::Unknown`].
    async fn start(&self, request: StartRequest) -> Result<(), AgentRuntimeError>;

    /// Stops a session: asks, waits, then ends all of it.
    ///
    /// # Errors
    /// [`AgentRuntimeError::Unknown`] if something may still run.
    async fn stop(&self, session: &SessionId, reason: &str) -> Result<(), AgentRuntimeError>;

    /// Asks a session to bring its work to an end and to exit; returns once it was asked (spec
    /// 6.4). Its exit is one that was asked for. A runtime without such a way leaves it: the
    /// session is stopped later.
    ///
    /// # Errors
    /// [`AgentRuntimeError::NotRunning`] or [`AgentRuntimeError::Unknown`].
    async fn wrap_up(&self, session: &SessionId, reason: &str) -> Result<(), AgentRuntimeError> {
        let _ = (session, reason);
        Ok(())
    }

    /// Saves the work that a session left, so that it survives the loss of this machine. Called
    /// once the session has ended. It is given up after `deadline` of its own work: while it waits
    /// for that of other agents to be saved no time passes. Default: there is nothing to save.
    ///
    /// # Errors
    /// [`AgentRuntimeError::Unknown`]: it may not be saved, also when it took too long.
    async fn save_work(
        &self,
        session: &SessionId,
        deadline: Duration,
    ) -> Result<Option<SavedWork>, AgentRuntimeError> {
        let _ = (session, deadline);
        Ok(None)
    }

    /// The agents of a town of which something is kept, such as a worktree. Default: none.
    async fn kept(&self, town: &TownId) -> Vec<AgentId> {
        let _ = town;
        Vec::new()
    }

    /// Removes what was kept of an agent that is gone for good: its worktree, its logs. Default:
    /// nothing is kept.
    ///
    /// # Errors
    /// [`AgentRuntimeError::Unknown`]: some of it is still there.
    async fn forget(&self, town: &TownId, agent: &AgentId) -> Result<(), AgentRuntimeError> {
        let _ = (town, agent);
        Ok(())
    }

    /// What is known of a session's process.
    async fn status(&self, session: &SessionId) -> ProcessStatus;

    /// Delivers a message to a running session.
    ///
    /// # Errors
    /// [`AgentRuntimeError::NotRunning`] or [`AgentRuntimeError::Unknown`].
    async fn deliver(
        &self,
        session: &SessionId,
        message: AgentMessage,
    ) -> Result<(), AgentRuntimeError>;
}
