//! The loop that runs Gastown towns: ticks, effects, agent sessions.
//!
//! A host hands a [`Runner`] its ports and talks to each town through a [`TownHandle`]; everything
//! else is decided by [`gastown_core`].
//!
//! | for | there is |
//! | --- | --- |
//! | running towns | [`Runner`] with its [`RunnerBuilder`] and [`RunnerSettings`], [`TownHandle`] |
//! | looking at them | [`TownView`] and its parts, [`TownStatus`], [`DryRun`] |
//! | ports besides those of the core | [`Clock`], [`Credentials`], [`Container`], [`Notifier`], [`AgentOutput`] |
//! | agents as child processes in git worktrees | [`ProcessRuntime`], [`ProcessSettings`], [`CommandTemplate`]; [`protocol`] is what they say |
//! | agents that something else runs | any `AgentRuntime`; [`Supervisor`] keeps one state machine for each |
//! | a plain git origin as a forge | [`GitForge`] |
//! | metrics | [`METRICS`], [`describe_metrics`] |
//!
//! It runs on Linux and other Unix systems: agents are process groups.
#![cfg_attr(test, allow(clippy::arithmetic_side_effects))]

mod clock;
mod credentials;
mod driver;
mod effects;
mod error;
mod evacuation;
mod gap;
mod git;
mod git_forge;
mod inbox;
mod output;
mod outside;
mod ports;
mod process;
pub mod protocol;
mod runner;
mod supervisor;
mod telemetry;
#[cfg(test)]
mod testing;
mod tick;
mod town_handle;
mod view;

pub use clock::{Clock, SystemClock};
pub use credentials::{Credentials, CredentialsError, NoCredentials};
pub use effects::EffectLimits;
pub use error::RuntimeError;
pub use gastown_core::Masker;
pub use git::{Git, GitError};
pub use git_forge::GitForge;
pub use output::{AgentExit, AgentOutput, AgentOutputKind, ToolReply, ToolRequest};
pub use ports::{Container, LogNotifier, NoContainer, Notifier, PortError};
pub use process::{CommandTemplate, ProcessRuntime, ProcessSettings, RequiredTool};
pub use runner::{Runner, RunnerBuilder, RunnerSettings};
pub use supervisor::{Phase, Sign, StartOutcome, StopOutcome, Supervisor, SupervisorSettings};
pub use telemetry::{METRICS, Metric, MetricKind, describe_metrics};
pub use tick::{Broken, TickReport};
pub use town_handle::{TownHandle, TownStatus};
pub use view::{AgentView, BeadView, DryRun, EscalationView, RigView, TownStatusView, TownView};
