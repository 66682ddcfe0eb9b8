//! What the runtime could not do.

use std::io;

use crate::git::GitError;

/// What the runtime could not do, named after what was attempted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RuntimeError {
    /// A directory or file of the runtime's own could not be used.
    #[error("could not use {path}: {source}")]
    UseFile {
        /// The path.
        path: String,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// Another process of this machine uses the directory.
    #[error("{path} is in use by another process")]
    DirectoryInUse {
        /// The directory.
        path: String,
    },
    /// The command that starts agents can't be used.
    #[error("agent command, word {word:?}: {problem}")]
    ReadTemplate {
        /// The word of it that is wrong.
        word: String,
        /// What is wrong, and what was expected.
        problem: String,
    },
    /// Git failed.
    #[error(transparent)]
    RunGit(#[from] GitError),
    /// Agents of an earlier run of the host could not be stopped.
    #[error("agents of an earlier run still run and could not be stopped: {agents}")]
    StopLeftovers {
        /// Which, by name.
        agents: String,
    },
}
