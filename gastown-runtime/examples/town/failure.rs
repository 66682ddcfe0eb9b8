//! Why the example ends otherwise than well, and with which exit status.

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use gastown_core::StoreError;
use gastown_runtime::RuntimeError;

use crate::git::GitError;

/// The town did not get done, or not well.
pub(crate) const EXIT_NOT_DONE: u8 = 1;
/// Nothing was begun: something about the command or the machine has to change first.
pub(crate) const EXIT_NOT_BEGUN: u8 = 2;

/// Why the example ends otherwise than well.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The command line.
    #[error("{0}\nTry `--help`.")]
    Usage(String),
    /// A directory or file can't be used.
    #[error("could not use {}: {source}", path.display())]
    File {
        /// The directory or file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The directory is somebody else's.
    #[error(
        "{} holds something else (there is no {marker} in it): name an empty or new directory",
        path.display()
    )]
    ForeignDirectory {
        /// The directory.
        path: PathBuf,
        /// What is missed.
        marker: &'static str,
    },
    /// Another process runs this town.
    #[error("{} is in use: another process runs the town in it", path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// Git is missing or too old.
    #[error("{0}; git {needed} or later is needed", needed = crate::preflight::GIT_NEEDED)]
    NoGit(String),
    /// What agents need is missing.
    #[error("{0}")]
    NotReady(String),
    /// Git said no.
    #[error(transparent)]
    Git(#[from] GitError),
    /// The database can't be opened.
    #[error("{0}")]
    Open(#[source] StoreError),
    /// The database fails.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// The runtime.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    /// The town stopped before it was done.
    #[error("{0}")]
    Stopped(String),
}

impl Failure {
    pub(crate) fn file(path: &Path, source: io::Error) -> Self {
        Failure::File {
            path: path.to_path_buf(),
            source,
        }
    }

    /// All that is known of it, in one line.
    pub(crate) fn explain(&self) -> String {
        let mut text = self.to_string();
        let mut cause = self.source();
        while let Some(error) = cause {
            let more = error.to_string();
            if !text.contains(&more) {
                text.push_str(": ");
                text.push_str(&more);
            }
            cause = error.source();
        }
        text
    }

    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Failure::Usage(_)
            | Failure::File { .. }
            | Failure::ForeignDirectory { .. }
            | Failure::InUse { .. }
            | Failure::NoGit(_)
            | Failure::NotReady(_)
            | Failure::Open(_) => EXIT_NOT_BEGUN,
            Failure::Git(_) | Failure::Store(_) | Failure::Runtime(_) | Failure::Stopped(_) => {
                EXIT_NOT_DONE
            }
        })
    }
}
