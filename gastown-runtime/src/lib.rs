//! The loop that runs Gastown towns: ticks, effects, agent sessions.
//!
//! A host hands a [`Runner`] its ports and talks to each town through a [`TownHandle`]; everything
//! else is decided by [`gastown_core`].
//!
//! | module | holds |
//! | --- | --- |
//! | runner, town_handle | what a host uses |
//! | driver, tick, inbox, gap | the loop of one town |
//! | effects | what is done in the world after a commit |
//! | evacuation | what happens to running agents before their container goes away |
//! | supervisor | one state machine per agent, over any agent runtime |
//! | process | agents as child processes in git worktrees |
//! | protocol | what agents and their host say to each other |
//! | git_forge | a plain git origin as a forge |
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
