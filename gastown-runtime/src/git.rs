//! Git as a child process with a deadline.

mod access;
mod bare;
pub(crate) mod leftovers;
mod mirror;
mod names;

pub(crate) use self::access::GitAccess;
pub(crate) use self::mirror::{Mirror, PlaceToSave};
pub(crate) use self::names::{check_branch, check_url, file_name};

use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use gastown_core::Masker;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};

use crate::process::group::GroupGuard;

/// How much of git's standard output is read; nothing that the runtime asks for is longer.
const STDOUT_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// How much of the end of git's standard error an error shows.
const STDERR_TAIL_BYTES_MAX: usize = 2 * 1024;
/// Variables that would point git at another repository than the one that it is run in.
pub(crate) const POINTERS: [&str; 6] = [
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_COMMON_DIR",
    "GIT_OBJECT_DIRECTORY",
    "GIT_NAMESPACE",
];

/// What git could not do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GitError {
    /// Git could not be run at all.
    #[error("could not run `{command}`: {source}")]
    Run {
        /// The command, without secrets.
        command: String,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// Git said no.
    #[error("`{command}` failed with {}: {stderr}", show_code(*code))]
    Failed {
        /// The command, without secrets.
        command: String,
        /// Its exit status; none when a signal ended it.
        code: Option<i32>,
        /// The end of what it wrote to standard error, without secrets.
        stderr: String,
    },
    /// Git took too long and was killed.
    #[error("`{command}` was killed after {seconds} s")]
    Deadline {
        /// The command, without secrets.
        command: String,
        /// How long it was waited for.
        seconds: u64,
    },
    /// Git was ended because whoever it ran for was closed.
    #[error("`{command}` was ended with its host")]
    Closed {
        /// The command, without secrets.
        command: String,
    },
    /// Git answered more than anybody asked for.
    #[error("`{command}` wrote more than {STDOUT_BYTES_MAX} bytes")]
    TooMuch {
        /// The command, without secrets.
        command: String,
    },
    /// A name or address that git could take for something else.
    #[error("{what} {shown:?} {problem}")]
    Name {
        /// What it should name.
        what: &'static str,
        /// The text, without secrets.
        shown: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A file beside the repository could not be written or read.
    #[error("could not use {path}: {source}")]
    File {
        /// The path.
        path: String,
        /// What the system says.
        #[source]
        source: io::Error,
    },
}

fn show_code(code: Option<i32>) -> String {
    code.map_or("a signal".into(), |code| format!("status {code}"))
}

/// How git is run.
#[derive(Debug, Clone)]
pub struct Git {
    deadline: Duration,
}

impl Git {
    /// The default of how long one git command may take; a first fetch of a large repository
    /// needs minutes.
    pub const DEADLINE_DEFAULT: Duration = Duration::from_secs(10 * 60);

    /// Git with a deadline for each command.
    #[must_use]
    pub fn new(deadline: Duration) -> Self {
        Self { deadline }
    }

    /// How long one command may take: nothing that it holds is older.
    pub(crate) fn deadline(&self) -> Duration {
        self.deadline
    }

    /// Runs a command and returns its standard output without white space at its end.
    pub(crate) async fn run<A: AsRef<OsStr>>(
        &self,
        dir: &Path,
        access: &GitAccess,
        args: &[A],
    ) -> Result<String, GitError> {
        let masker = access.masker();
        let shown = masker.mask(&show(args));
        let mut command = self.command(dir, access);
        command.args(args);
        match tokio::time::timeout(self.deadline, collect(command, &shown, masker)).await {
            Ok(result) => result,
            Err(_) => Err(GitError::Deadline {
                command: shown,
                seconds: self.deadline.as_secs(),
            }),
        }
    }

    /// Runs a command that answers by its status: 0 is yes, 1 is no.
    pub(crate) async fn ask<A: AsRef<OsStr>>(
        &self,
        dir: &Path,
        args: &[A],
    ) -> Result<bool, GitError> {
        match self.run(dir, &GitAccess::none(), args).await {
            Ok(_) => Ok(true),
            Err(GitError::Failed { code: Some(1), .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn command(&self, dir: &Path, access: &GitAccess) -> Command {
        let mut command = Command::new("git");
        // Agents can write to the repository's config and hooks; the host runs none of theirs.
        command
            .args([
                "-c",
                "core.hooksPath=/dev/null",
                "-c",
                "core.fsmonitor=false",
            ])
            .args(["-c", "advice.detachedHead=false", "-C"])
            .arg(dir)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .process_group(0)
            .envs(access.environment());
        // Messages are matched, and nobody is there to answer a prompt.
        command.env("LC_ALL", "C").env("GIT_TERMINAL_PROMPT", "0");
        for name in POINTERS {
            command.env_remove(name);
        }
        command
    }
}

impl Default for Git {
    fn default() -> Self {
        Self::new(Self::DEADLINE_DEFAULT)
    }
}

async fn collect(mut command: Command, shown: &str, masker: Masker) -> Result<String, GitError> {
    let command_text = || shown.to_owned();
    let run_error = |source| GitError::Run {
        command: command_text(),
        source,
    };
    let mut child = command.spawn().map_err(run_error)?;
    // Declared after the child and so dropped before it: while the guard lives, the group's
    // number can't belong to anybody else.
    let mut guard = GroupGuard::of(&child);
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let (stdout, stderr, status) =
        tokio::join!(read_all(stdout), read_tail(stderr), wait(&mut child));
    let status = status.map_err(run_error)?;
    guard.disarm();
    if !status.success() {
        return Err(GitError::Failed {
            command: command_text(),
            code: status.code(),
            stderr: masker.mask(stderr.trim()),
        });
    }
    let stdout = stdout.map_err(run_error)?;
    if u64::try_from(stdout.len()).unwrap_or(u64::MAX) > STDOUT_BYTES_MAX {
        return Err(GitError::TooMuch {
            command: command_text(),
        });
    }
    Ok(String::from_utf8_lossy(&stdout).trim_end().to_owned())
}

async fn wait(child: &mut Child) -> io::Result<std::process::ExitStatus> {
    child.wait().await
}

async fn read_all(stream: Option<impl AsyncRead + Unpin>) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(stream) = stream {
        // One byte over the limit tells that there was more; git then dies of a closed pipe.
        let limit = STDOUT_BYTES_MAX.saturating_add(1);
        stream.take(limit).read_to_end(&mut bytes).await?;
    }
    Ok(bytes)
}

async fn read_tail(stream: Option<impl AsyncRead + Unpin>) -> String {
    let mut tail = Vec::new();
    let mut chunk = [0; 1024];
    let Some(mut stream) = stream else {
        return String::new();
    };
    while let Ok(count) = stream.read(&mut chunk).await {
        if count == 0 {
            break;
        }
        tail.extend_from_slice(chunk.get(..count).unwrap_or_default());
        let over = tail.len().saturating_sub(STDERR_TAIL_BYTES_MAX);
        tail.drain(..over);
    }
    String::from_utf8_lossy(&tail).into_owned()
}

/// The command as a person would type it.
fn show<A: AsRef<OsStr>>(args: &[A]) -> String {
    let words = args.iter().map(|word| word.as_ref().to_string_lossy());
    std::iter::once("git".into())
        .chain(words)
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use gastown_core::Secret;

    #[tokio::test]
    async fn a_failure_names_command_status_and_words() {
        let dir = tempfile::tempdir().unwrap();
        let error = Git::default()
            .run(dir.path(), &GitAccess::none(), &["rev-parse", "HEAD"])
            .await
            .unwrap_err();
        let text = error.to_string();
        assert!(
            text.starts_with(
                "`git rev-parse HEAD` failed with status 128: fatal: not a git repository"
            ),
            "{text}"
        );
    }

    #[tokio::test]
    async fn no_secret_shows_in_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let token = Secret::new("tok-0123456789");
        let access = GitAccess::new("https://127.0.0.1:1/a.git", Some(token));
        let args = [
            "ls-remote",
            "https://me:pass-word@127.0.0.1:1/tok-0123456789",
        ];
        let error = Git::default()
            .run(dir.path(), &access, &args)
            .await
            .unwrap_err();
        let text = format!("{error} {error:?} {access:?}");
        for secret in ["tok-0123456789", "pass-word"] {
            assert!(!text.contains(secret), "{text}");
        }
    }

    #[tokio::test]
    async fn a_command_that_hangs_is_killed_with_all_its_children() {
        let dir = tempfile::tempdir().unwrap();
        let pid_file = dir.path().join("pid");
        let alias = format!("alias.hang=!echo $$ > {}; sleep 1000", pid_file.display());
        let access = GitAccess::none();
        let error = Git::new(Duration::from_millis(500))
            .run(dir.path(), &access, &["-c", &alias, "hang"])
            .await
            .unwrap_err();
        assert!(matches!(error, GitError::Deadline { .. }), "{error}");
        // Slow machines may not even have come to write the file; then nothing is left either.
        if let Ok(pid) = std::fs::read_to_string(&pid_file) {
            let pid: i32 = pid.trim().parse().unwrap();
            crate::process::group::wait_until_gone_for_tests(pid).await;
        }
    }
}
