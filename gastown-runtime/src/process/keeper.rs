//! Keeps what a session left behind in its worktree.

use std::path::{Path, PathBuf};

use gastown_core::AgentId;

use crate::git::{GitError, Mirror, check_branch, file_name, leftovers};

/// Who commits what a crashed session left behind.
const KEEPER: [&str; 4] = [
    "-c",
    "user.name=Gastown",
    "-c",
    "user.email=gastown@agents.gastown.invalid",
];

/// Keeps what an agent left behind. The caller has the mirror's turn, and nothing of the agent
/// runs.
pub(crate) struct Keeper<'a> {
    pub(crate) mirror: &'a Mirror,
    pub(crate) agent_id: &'a AgentId,
}

impl Keeper<'_> {
    /// Puts what is not committed onto the branch that is checked out, for the next session that
    /// works on it; in the middle of a merge or rebase it is put aside instead.
    pub(crate) async fn save(&self, path: &Path) -> Result<(), GitError> {
        self.unlock(path).await?;
        let branch = self.branch_at(path).await?;
        if branch.is_none() || self.in_operation(path).await? {
            return self.put_aside(path).await;
        }
        if !self.is_dirty(path).await? {
            return Ok(());
        }
        self.at(path, &["add", "--all"]).await?;
        let message = "Unfinished work, kept when its session ended";
        let commit = [
            &KEEPER[..],
            &["commit", "--quiet", "--no-verify", "-m", message],
        ]
        .concat();
        self.at(path, &commit).await
    }

    /// Removes locks of a git that was killed with its session.
    pub(crate) async fn unlock(&self, path: &Path) -> Result<(), GitError> {
        let git_dir = self.git_dir(path).await?;
        let unlocked = leftovers::unlock(&git_dir).await;
        unlocked.map_err(|source| GitError::File {
            path: git_dir.display().to_string(),
            source,
        })
    }

    /// Keeps what is not committed where a person can find it, and leaves the worktree clean.
    pub(crate) async fn put_aside(&self, path: &Path) -> Result<(), GitError> {
        if self.is_dirty(path).await? {
            self.at(path, &["add", "--all"]).await?;
            let create = [&KEEPER[..], &["stash", "create"]].concat();
            let stash = self.mirror.at(path, &create).await?;
            if !stash.is_empty() {
                self.remember(&stash).await?;
            }
        }
        if self.rebases(path).await? {
            self.at(path, &["rebase", "--quit"]).await?;
        }
        self.at(path, &["reset", "--quiet", "--hard"]).await
    }

    /// Keeps a commit that nothing else refers to: the latest by name, those before it in the
    /// reference's log.
    pub(crate) async fn remember(&self, commit: &str) -> Result<(), GitError> {
        let name = self.saved_reference()?;
        let update = ["update-ref", "--create-reflog", &name, commit];
        self.mirror.local(&update).await.map(drop)
    }

    /// The reference by which the agent's kept work is found.
    pub(crate) fn saved_reference(&self) -> Result<String, GitError> {
        let agent = file_name("agent id", self.agent_id.as_str())?;
        Ok(match check_branch("agent id", &agent) {
            Ok(()) => format!("refs/gastown/saved/{agent}"),
            // An identifier that makes no reference shares one with others of its kind.
            Err(_) => "refs/gastown/saved/%".into(),
        })
    }

    pub(crate) async fn is_dirty(&self, path: &Path) -> Result<bool, GitError> {
        let status = ["status", "--porcelain", "--untracked-files=normal"];
        let text = self.mirror.at(path, &status).await?;
        Ok(!text.is_empty())
    }

    pub(crate) async fn in_operation(&self, path: &Path) -> Result<bool, GitError> {
        let git_dir = self.git_dir(path).await?;
        let files = ["MERGE_HEAD", "CHERRY_PICK_HEAD", "REVERT_HEAD"];
        let merges = files.iter().any(|file| git_dir.join(file).exists());
        Ok(merges || self.rebases(path).await?)
    }

    pub(crate) async fn rebases(&self, path: &Path) -> Result<bool, GitError> {
        let git_dir = self.git_dir(path).await?;
        let dirs = ["rebase-merge", "rebase-apply"];
        Ok(dirs.iter().any(|dir| git_dir.join(dir).exists()))
    }

    pub(crate) async fn git_dir(&self, path: &Path) -> Result<PathBuf, GitError> {
        let args = ["rev-parse", "--absolute-git-dir"];
        Ok(PathBuf::from(self.mirror.at(path, &args).await?))
    }

    /// The branch that is checked out; none when detached, as in the middle of a rebase.
    pub(crate) async fn branch_at(&self, path: &Path) -> Result<Option<String>, GitError> {
        let args = ["symbolic-ref", "--quiet", "--short", "HEAD"];
        match self.mirror.at(path, &args).await {
            Ok(branch) => Ok(Some(branch)),
            Err(GitError::Failed { code: Some(1), .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(crate) async fn at(&self, path: &Path, args: &[&str]) -> Result<(), GitError> {
        self.mirror.at(path, args).await.map(drop)
    }
}
