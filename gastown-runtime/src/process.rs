//! Agents as child processes.
pub(crate) mod environment;
pub(crate) mod group;
mod keeper;
mod log;
pub(crate) mod preflight;
pub(crate) mod process_table;
mod record;
mod runtime;
mod save;
mod session;
mod settings;
mod template;
mod worktree;

pub use self::runtime::ProcessRuntime;
pub use self::settings::{ProcessSettings, RequiredTool};
pub use self::template::CommandTemplate;
