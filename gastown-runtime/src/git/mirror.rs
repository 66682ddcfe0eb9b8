//! A bare repository that follows an origin.

use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::{Mutex, MutexGuard};

use super::{Git, GitAccess, GitError, check_url};

/// How often a fetch is tried: agents that fetch in their worktrees lock the same refs for a
/// moment.
const FETCH_TRIES_MAX: u32 = 5;
/// How long a fetch waits for such a lock before it tries again.
const FETCH_PAUSE: Duration = Duration::from_millis(200);

/// A bare repository that follows an origin: its branches are at `refs/remotes/origin/`.
#[derive(Debug)]
pub(crate) struct Mirror {
    git: Git,
    path: PathBuf,
    turn: Mutex<()>,
}

impl Mirror {
    pub(crate) fn new(git: Git, path: PathBuf) -> Self {
        Self {
            git,
            path,
            turn: Mutex::new(()),
        }
    }

    /// Whoever changes the mirror or its worktrees takes turns.
    pub(crate) async fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().await
    }

    /// Makes the repository if it is not there, and fetches the origin's branches. Every step may
    /// be cut off by a crash and is done again.
    pub(crate) async fn fetch(&self, url: &str, access: &GitAccess) -> Result<(), GitError> {
        check_url(url)?;
        self.make(url).await?;
        let args = [
            "fetch",
            "--quiet",
            "--prune",
            "--no-write-fetch-head",
            "origin",
        ];
        let mut tries = 0_u32;
        loop {
            tries = tries.saturating_add(1);
            match self.git.run(&self.path, access, &args).await {
                Err(GitError::Failed { stderr, .. })
                    if tries < FETCH_TRIES_MAX && is_locked(&stderr) =>
                {
                    tokio::time::sleep(FETCH_PAUSE).await;
                }
                result => return result.map(drop),
            }
        }
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

    /// The commit that `revision` names, if there is one.
    pub(crate) async fn commit(&self, revision: &str) -> Result<Option<String>, GitError> {
        let commit = format!("{revision}^{{commit}}");
        let args = [
            "rev-parse",
            "--verify",
            "--quiet",
            "--end-of-options",
            &commit,
        ];
        match self.local(&args).await {
            Ok(sha) => Ok(Some(sha)),
            Err(GitError::Failed { code: Some(1), .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The head of a branch of the origin, as of the last fetch.
    pub(crate) async fn origin_head(&self, branch: &str) -> Result<Option<String>, GitError> {
        self.commit(&format!("refs/remotes/origin/{branch}")).await
    }

    /// Whether `ancestor` is `descendant` or one of its ancestors. Both are full hashes.
    pub(crate) async fn is_ancestor(
        &self,
        ancestor: &str,
        descendant: &str,
    ) -> Result<bool, GitError> {
        let args = ["merge-base", "--is-ancestor", ancestor, descendant];
        self.git.ask(&self.path, &args).await
    }

    /// Runs git in the mirror, without the network.
    pub(crate) async fn local(&self, args: &[&str]) -> Result<String, GitError> {
        self.git.run(&self.path, &GitAccess::none(), args).await
    }

    /// Runs git in the mirror with access to the origin.
    pub(crate) async fn remote(
        &self,
        access: &GitAccess,
        args: &[&str],
    ) -> Result<String, GitError> {
        self.git.run(&self.path, access, args).await
    }
}

fn is_locked(stderr: &str) -> bool {
    stderr.contains("cannot lock ref")
        || stderr.contains("could not lock")
        || stderr.contains(".lock': File exists")
}
