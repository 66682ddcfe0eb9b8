//! An agent of this town: the same program, started again by the runtime, in a worktree.

mod polecat;
mod pull_requests;
mod refinery;
mod session;

use std::io;
use std::path::Path;
use std::process::ExitCode;

use gastown_core::Role;
use gastown_runtime::protocol::client::ClientError;

use self::session::Session;
use crate::fake::api::ApiError;
use crate::git::GitError;

/// The exit status of the crash that this example makes on purpose.
const CRASHED: u8 = 70;

/// Why an agent ends early.
#[derive(Debug, thiserror::Error)]
enum AgentError {
    /// The host is gone or wants an end.
    #[error(transparent)]
    Host(#[from] ClientError),
    /// Git said no.
    #[error(transparent)]
    Git(#[from] GitError),
    /// A file could not be read or written.
    #[error("could not use {path}: {source}")]
    File { path: String, source: io::Error },
    /// The host refused a tool call.
    #[error("{tool} was refused: {field}: {message}")]
    Refused {
        tool: String,
        field: String,
        message: String,
    },
    /// The forge said no.
    #[error(transparent)]
    Forge(#[from] ApiError),
    /// The work can't be done.
    #[error("{0}")]
    Stuck(String),
    /// The crash that this example makes on purpose.
    #[error("crashing on purpose, in the middle of the work")]
    Crash,
}

/// Does the work of one session. `marks` is where a crash is remembered.
pub(crate) fn run(marks: &Path) -> ExitCode {
    match work(marks) {
        Ok(()) => ExitCode::SUCCESS,
        // An agent that was told to stop, or whose host is gone, ends in order.
        Err(AgentError::Host(ClientError::Stopped { .. } | ClientError::HostGone)) => {
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(match error {
                AgentError::Crash => CRASHED,
                AgentError::Host(_)
                | AgentError::Git(_)
                | AgentError::File { .. }
                | AgentError::Forge(_)
                | AgentError::Refused { .. }
                | AgentError::Stuck(_) => 1,
            })
        }
    }
}

fn work(marks: &Path) -> Result<(), AgentError> {
    let mut session = Session::begin()?;
    match session.start.role {
        Role::Polecat => polecat::work(&mut session, marks),
        Role::Refinery => refinery::work(&mut session),
        Role::Mayor => Err(AgentError::Stuck("this town has no mayor".into())),
    }
}
