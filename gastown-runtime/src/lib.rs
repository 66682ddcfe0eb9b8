//! The loop that runs Gastown towns: ticks, effects, agent sessions.
#![cfg_attr(test, allow(clippy::arithmetic_side_effects))]

mod clock;
mod credentials;
mod error;
mod git;
mod git_forge;
mod mask;
mod output;
mod process;
pub mod protocol;
mod supervisor;
#[cfg(test)]
mod testing;

pub use clock::{Clock, SystemClock};
pub use credentials::{Credentials, CredentialsError, NoCredentials};
pub use error::RuntimeError;
pub use git::{Git, GitError};
pub use git_forge::GitForge;
pub use mask::Masker;
pub use output::{AgentExit, AgentOutput, AgentOutputKind, ToolReply, ToolRequest};
pub use process::{CommandTemplate, ProcessRuntime, ProcessSettings, RequiredTool};
pub use supervisor::{Phase, Sign, StartOutcome, StopOutcome, Supervisor, SupervisorSettings};
