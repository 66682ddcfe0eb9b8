//! The bare repository below a mirror: how git is run in it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Git, GitAccess, GitError, leftovers};

/// How often git is tried: agents that use git in their worktrees lock the same files for a
/// moment.
const TRIES_MAX: u32 = 5;
/// How long to wait for such a lock before the next try.
const PAUSE: Duration = Duration::from_millis(200);

/// A bare repository whose `refs/remotes/origin/` are the branches of an origin.
#[derive(Debug, Clone)]
pub(crate) struct Bare {
    git: Git,
    pub(crate) path: PathBuf,
}

impl Bare {
    pub(crate) fn new(git: Git, path: PathBuf) -> Self {
        Self { git, path }
    }

    /// Makes the repository if it is not there, and fetches the origin's branches. Every step may
    /// be cut off by a crash and is done again. The caller has the turn.
    pub(crate) async fn fetch(&self, url: &str, access: &GitAccess) -> Result<(), GitError> {
        self.make(url).await?;
        // A fetch that was killed leaves what it had of its pack, as large as the repository.
        leftovers::remove_packs(&self.path, self.git.deadline()).await;
        let args = [
            "fetch",
            "--quiet",
            "--prune",
            "--no-write-fetch-head",
            "origin",
        ];
        self.run(&self.path, access, &args).await.map(drop)
    }

    async fn make(&self, url: &str) -> Result<(), GitError> {
        tokio::fs::create_dir_all(&self.path)
            .await
            .map_err(|source| GitError::File {
                path: self.path.display().to_string(),
                source,
            })?;
        // On a repository that is there this changes nothing.
        self.local(&["init", "--quiet", "--bare"]).await?;
        self.local(&["config", "remote.origin.url", url]).await?;
        let refspec = "+refs/heads/*:refs/remotes/origin/*";
        self.local(&["config", "remote.origin.fetch", refspec])
            .await?;
        Ok(())
    }

    /// Runs git in the repository, without the network.
    pub(crate) async fn local(&self, args: &[&str]) -> Result<String, GitError> {
        self.run(&self.path, &GitAccess::none(), args).await
    }

    /// Runs a command that answers by its status: 0 is yes, 1 is no.
    pub(crate) async fn ask(&self, args: &[&str]) -> Result<bool, GitError> {
        self.git.ask(&self.path, args).await
    }

    /// Runs git in the repository or one of its worktrees, again for a while where somebody else
    /// has a lock. One that is older than any git of ours may become was left by a git that was
    /// killed, and would stay for ever.
    pub(crate) async fn run(
        &self,
        dir: &Path,
        access: &GitAccess,
        args: &[&str],
    ) -> Result<String, GitError> {
        let mut tries = 0_u32;
        loop {
            tries = tries.saturating_add(1);
            let error = match self.git.run(dir, access, args).await {
                Err(error) if is_locked(&error) => error,
                result => return result,
            };
            if tries < TRIES_MAX {
                tokio::time::sleep(PAUSE).await;
                continue;
            }
            let removed = leftovers::remove_locks(&self.path, self.git.deadline()).await;
            if tries > TRIES_MAX || removed == 0 {
                return Err(error);
            }
        }
    }
}

/// Whether git stopped at a lock of this machine that may be gone at the next try.
fn is_locked(error: &GitError) -> bool {
    let GitError::Failed { stderr, .. } = error else {
        return false;
    };
    let is_lock = |line: &str| {
        line.contains("cannot lock ref")
            || line.contains("could not lock")
            || line.contains(".lock': File exists")
    };
    // What the origin says is not cured here, nor are names that exclude each other.
    let is_passing = |line: &str| !line.starts_with("remote:") && !line.contains("cannot create");
    stderr.lines().any(|line| is_lock(line) && is_passing(line))
}
