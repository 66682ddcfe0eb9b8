//! Git as people use it: one command after the other.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Names the configuration that git is run with; none: no configuration at all.
pub(crate) const CONFIG_VARIABLE: &str = "TOWN_GIT_CONFIG";

/// What git could not do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GitError {
    /// It is not there, or can't be run.
    #[error("could not run git: {0}")]
    Run(#[source] io::Error),
    /// It said no.
    #[error("`git {command}` failed in {dir}: {stderr}")]
    Failed {
        command: String,
        dir: String,
        stderr: String,
    },
}

/// A directory in which git is run.
pub(crate) struct Repository {
    path: PathBuf,
}

impl Repository {
    pub(crate) fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Runs a command and returns what it prints, without white space at its end.
    pub(crate) fn run(&self, args: &[&str]) -> Result<String, GitError> {
        let output = self.output(args)?;
        if !output.status.success() {
            return Err(self.failed(args, &output));
        }
        let text = String::from_utf8_lossy(&output.stdout);
        Ok(text.trim_end().to_owned())
    }

    /// Asks a question that git answers by its exit status.
    pub(crate) fn ask(&self, args: &[&str]) -> Result<bool, GitError> {
        let output = self.output(args)?;
        match output.status.code() {
            Some(0) => Ok(true),
            Some(1) => Ok(false),
            Some(_) | None => Err(self.failed(args, &output)),
        }
    }

    /// Whether `ancestor` is `descendant` or came before it.
    pub(crate) fn contains(&self, ancestor: &str, descendant: &str) -> Result<bool, GitError> {
        self.ask(&["merge-base", "--is-ancestor", ancestor, descendant])
    }

    fn output(&self, args: &[&str]) -> Result<Output, GitError> {
        let mut command = Command::new("git");
        command.arg("-C").arg(&self.path).args(args);
        // The run looks the same whatever the machine's owner has configured: signing, hooks, names.
        let config = std::env::var_os(CONFIG_VARIABLE);
        command.env(
            "GIT_CONFIG_GLOBAL",
            config.unwrap_or_else(|| "/dev/null".into()),
        );
        command.env("GIT_CONFIG_NOSYSTEM", "1");
        command.env("GIT_TERMINAL_PROMPT", "0");
        command.env("LC_ALL", "C");
        for pointer in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"] {
            command.env_remove(pointer);
        }
        command.output().map_err(GitError::Run)
    }

    fn failed(&self, args: &[&str], output: &Output) -> GitError {
        GitError::Failed {
            command: args.join(" "),
            dir: self.path.display().to_string(),
            stderr: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        }
    }
}
