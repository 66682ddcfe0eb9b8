//! A git worktree for each agent, cut from a mirror of its rig (spec 6.3).

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use gastown_core::{AgentId, RigId, Role, SessionId, StartRequest, TownId};

use crate::git::{Git, GitAccess, GitError, Mirror, check_branch, file_name};

/// Who commits what a crashed session left behind.
const KEEPER: [&str; 4] = [
    "-c",
    "user.name=Gastown",
    "-c",
    "user.email=gastown@agents.gastown.invalid",
];
/// Left by a git that was killed. While no session of the agent runs, nobody holds them.
const STALE_LOCKS: [&str; 3] = ["index.lock", "HEAD.lock", "ORIG_HEAD.lock"];

/// The mirrors and worktrees of all towns.
#[derive(Debug)]
pub(crate) struct Worktrees {
    git: Git,
    dir: PathBuf,
    mirrors: Mutex<BTreeMap<(TownId, RigId), Arc<Mirror>>>,
}

/// A worktree to prepare.
struct Worktree<'a> {
    git: &'a Git,
    mirror: &'a Mirror,
    request: &'a StartRequest,
    path: PathBuf,
    /// Says which branch it was last prepared for. Without it the worktree was never finished,
    /// and no agent was ever in it.
    marker: PathBuf,
}

impl Worktrees {
    pub(crate) fn new(git: Git, dir: PathBuf) -> Self {
        Self {
            git,
            dir,
            mirrors: Mutex::default(),
        }
    }

    /// Prepares the worktree of a session that is about to start; nothing of the agent runs.
    /// `is_running` tells whether another agent does, so that its worktree is left alone.
    ///
    /// A polecat continues `branch` from where it stands: with what its worktree holds if it was
    /// prepared for that branch before, else from the origin's branch, else from the origin's
    /// target branch. A refinery gets a clean worktree, detached at the origin's branch: what it
    /// reviews is what was pushed.
    pub(crate) async fn prepare(
        &self,
        request: &StartRequest,
        access: &GitAccess,
        is_running: impl Fn(&AgentId) -> bool,
    ) -> Result<PathBuf, GitError> {
        check_branch("branch", &request.branch)?;
        check_branch("target branch", &request.target_branch)?;
        let mirror = self.mirror(&request.session.town_id, &request.rig_id)?;
        let _turn = mirror.turn().await;
        mirror.fetch(&request.git_url, access).await?;
        let path = self.path(&request.session)?;
        let worktree = Worktree {
            git: &self.git,
            mirror: &mirror,
            request,
            marker: path.with_extension("ready"),
            path,
        };
        worktree.ensure().await?;
        match request.role {
            Role::Polecat => worktree.for_writing(is_running).await?,
            Role::Refinery | Role::Mayor => worktree.for_reading().await?,
        }
        worktree.write_marker(&request.branch)?;
        Ok(worktree.path)
    }

    /// Where the worktree of an agent is.
    pub(crate) fn path(&self, session: &SessionId) -> Result<PathBuf, GitError> {
        // The extension keeps the marker's name apart from every worktree's.
        let name = format!("{}.tree", file_name("agent id", session.agent_id.as_str())?);
        Ok(self.town(&session.town_id)?.join("worktrees").join(name))
    }

    fn town(&self, town_id: &TownId) -> Result<PathBuf, GitError> {
        Ok(self.dir.join(file_name("town id", town_id.as_str())?))
    }

    fn mirror(&self, town: &TownId, rig: &RigId) -> Result<Arc<Mirror>, GitError> {
        let name = format!("{}.git", file_name("rig id", rig.as_str())?);
        let path = self.town(town)?.join("rigs").join(name);
        let mut mirrors = self.mirrors.lock().unwrap_or_else(PoisonError::into_inner);
        let mirror = mirrors
            .entry((town.clone(), rig.clone()))
            .or_insert_with(|| Arc::new(Mirror::new(self.git.clone(), path)));
        Ok(Arc::clone(mirror))
    }
}

impl Worktree<'_> {
    /// Makes the worktree if it is not there, and again if a crash cut off its making.
    async fn ensure(&self) -> Result<(), GitError> {
        if self.marker.exists() && self.path.exists() {
            return self.unlock().await;
        }
        let path = self.path.display().to_string();
        if self.path.exists() {
            fs::remove_dir_all(&self.path).map_err(|source| self.file(&self.path, source))?;
        }
        let mirror = self.mirror;
        mirror.local(&["worktree", "prune"]).await?;
        let parent = self.path.parent().unwrap_or(&self.path);
        fs::create_dir_all(parent).map_err(|source| self.file(parent, source))?;
        let start = self.start_commit().await?;
        let add = [
            "worktree", "add", "--quiet", "--force", "--detach", &path, &start,
        ];
        mirror.local(&add).await.map(drop)
    }

    /// The origin's branch, else the origin's target branch.
    async fn start_commit(&self) -> Result<String, GitError> {
        let StartRequest {
            branch,
            target_branch,
            ..
        } = self.request;
        if let Some(head) = self.mirror.origin_head(branch).await? {
            return Ok(head);
        }
        match self.mirror.origin_head(target_branch).await? {
            Some(head) => Ok(head),
            None => Err(GitError::Name {
                what: "target branch",
                shown: target_branch.clone(),
                problem: "is not on the origin",
            }),
        }
    }

    /// A refinery authors nothing: what an earlier session left half merged is put aside.
    async fn for_reading(&self) -> Result<(), GitError> {
        self.put_aside(&self.path).await?;
        let start = self.start_commit().await?;
        self.here(&["checkout", "--quiet", "--force", "--detach", &start])
            .await
    }

    async fn for_writing(&self, is_running: impl Fn(&AgentId) -> bool) -> Result<(), GitError> {
        let branch = &self.request.branch;
        let resumes = self.read_marker().as_deref() == Some(branch);
        let on_branch = self.branch().await?.as_deref() == Some(branch);
        if resumes && (on_branch || self.is_dirty(&self.path).await?) {
            return self.catch_up(on_branch).await;
        }
        if !resumes {
            self.save(&self.path).await?;
        }
        let local = format!("refs/heads/{branch}");
        let origin = self.mirror.origin_head(branch).await?;
        let Some(local_head) = self.mirror.commit(&local).await? else {
            let start = self.start_commit().await?;
            let create = ["checkout", "--quiet", "--no-track", "-b", branch, &start];
            return self.here(&create).await;
        };
        self.free_branch(is_running).await?;
        let checkout = ["checkout", "--quiet", "--ignore-other-worktrees", branch];
        self.here(&checkout).await?;
        match origin {
            // Work that was never pushed is what this session is to continue.
            None => Ok(()),
            Some(origin) if self.mirror.is_ancestor(&origin, &local_head).await? => Ok(()),
            // What was pushed counts; what diverged from it can still be found.
            Some(origin) => {
                self.remember(&local_head).await?;
                self.here(&["reset", "--quiet", "--hard", &origin]).await
            }
        }
    }

    /// The same agent goes on where its last session stopped. Only a clean branch that is merely
    /// behind its origin moves.
    async fn catch_up(&self, on_branch: bool) -> Result<(), GitError> {
        if !on_branch || self.is_dirty(&self.path).await? {
            return Ok(());
        }
        let (Some(origin), Some(head)) = (
            self.mirror.origin_head(&self.request.branch).await?,
            self.mirror
                .commit(&format!("refs/heads/{}", self.request.branch))
                .await?,
        ) else {
            return Ok(());
        };
        if self.mirror.is_ancestor(&head, &origin).await? {
            return self.here(&["reset", "--quiet", "--hard", &origin]).await;
        }
        Ok(())
    }

    /// Another agent's worktree may hold the branch. If that agent does not run, its work is saved
    /// on the branch and its worktree detached.
    async fn free_branch(&self, is_running: impl Fn(&AgentId) -> bool) -> Result<(), GitError> {
        let list = self
            .mirror
            .local(&["worktree", "list", "--porcelain"])
            .await?;
        let wanted = format!("branch refs/heads/{}", self.request.branch);
        for entry in list.split("\n\n") {
            let path = entry
                .lines()
                .find_map(|line| line.strip_prefix("worktree "));
            let holds = entry.lines().any(|line| line == wanted);
            let Some(path) = path.map(PathBuf::from).filter(|_| holds) else {
                continue;
            };
            if path == self.path || !path.exists() || self.runs(&path, &is_running) {
                continue;
            }
            self.save(&path).await?;
            self.at(&path, &["checkout", "--quiet", "--detach"]).await?;
        }
        Ok(())
    }

    /// Whether the agent of another worktree runs.
    fn runs(&self, path: &Path, is_running: impl Fn(&AgentId) -> bool) -> bool {
        let name = path.file_stem().and_then(|stem| stem.to_str());
        let agent = name.and_then(|name| AgentId::new(unescape(name)).ok());
        // What can't be told apart is left alone.
        agent.is_none_or(|agent| is_running(&agent))
    }

    /// Puts what is not committed onto the branch that is checked out, for the next session that
    /// works on it; in the middle of a merge or rebase it is put aside instead.
    async fn save(&self, path: &Path) -> Result<(), GitError> {
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

    /// Keeps what is not committed where a person can find it, and leaves the worktree clean.
    async fn put_aside(&self, path: &Path) -> Result<(), GitError> {
        if self.is_dirty(path).await? {
            self.at(path, &["add", "--all"]).await?;
            let create = [&KEEPER[..], &["stash", "create"]].concat();
            let none = GitAccess::none();
            let stash = self.git.run(path, &none, &create).await?;
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
    async fn remember(&self, commit: &str) -> Result<(), GitError> {
        let agent = file_name("agent id", self.request.session.agent_id.as_str())?;
        let name = format!("refs/gastown/saved/{agent}");
        let name = match check_branch("agent id", &agent) {
            Ok(()) => name,
            // An identifier that makes no reference shares one with others of its kind.
            Err(_) => "refs/gastown/saved/%".into(),
        };
        let update = ["update-ref", "--create-reflog", &name, commit];
        self.mirror.local(&update).await.map(drop)
    }

    async fn is_dirty(&self, path: &Path) -> Result<bool, GitError> {
        let status = ["status", "--porcelain", "--untracked-files=normal"];
        let none = GitAccess::none();
        let text = self.git.run(path, &none, &status).await?;
        Ok(!text.is_empty())
    }

    async fn in_operation(&self, path: &Path) -> Result<bool, GitError> {
        let git_dir = self.git_dir(path).await?;
        let files = ["MERGE_HEAD", "CHERRY_PICK_HEAD", "REVERT_HEAD"];
        let merges = files.iter().any(|file| git_dir.join(file).exists());
        Ok(merges || self.rebases(path).await?)
    }

    async fn rebases(&self, path: &Path) -> Result<bool, GitError> {
        let git_dir = self.git_dir(path).await?;
        let dirs = ["rebase-merge", "rebase-apply"];
        Ok(dirs.iter().any(|dir| git_dir.join(dir).exists()))
    }

    async fn git_dir(&self, path: &Path) -> Result<PathBuf, GitError> {
        let args = ["rev-parse", "--absolute-git-dir"];
        let none = GitAccess::none();
        Ok(PathBuf::from(self.git.run(path, &none, &args).await?))
    }

    /// Removes locks of a git that was killed with its session.
    async fn unlock(&self) -> Result<(), GitError> {
        let git_dir = self.git_dir(&self.path).await?;
        for lock in STALE_LOCKS {
            let path = git_dir.join(lock);
            match fs::remove_file(&path) {
                Ok(()) => tracing::info!(path = %path.display(), "removed a stale lock"),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(source) => return Err(self.file(&path, source)),
            }
        }
        Ok(())
    }

    async fn branch(&self) -> Result<Option<String>, GitError> {
        self.branch_at(&self.path).await
    }

    /// The branch that is checked out; none when detached, as in the middle of a rebase.
    async fn branch_at(&self, path: &Path) -> Result<Option<String>, GitError> {
        let args = ["symbolic-ref", "--quiet", "--short", "HEAD"];
        match self.git.run(path, &GitAccess::none(), &args).await {
            Ok(branch) => Ok(Some(branch)),
            Err(GitError::Failed { code: Some(1), .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn here(&self, args: &[&str]) -> Result<(), GitError> {
        self.at(&self.path, args).await
    }

    async fn at(&self, path: &Path, args: &[&str]) -> Result<(), GitError> {
        self.git.run(path, &GitAccess::none(), args).await.map(drop)
    }

    fn read_marker(&self) -> Option<String> {
        fs::read_to_string(&self.marker).ok()
    }

    fn write_marker(&self, branch: &str) -> Result<(), GitError> {
        fs::write(&self.marker, branch).map_err(|source| self.file(&self.marker, source))
    }

    fn file(&self, path: &Path, source: io::Error) -> GitError {
        GitError::File {
            path: path.display().to_string(),
            source,
        }
    }
}

/// The identifier that [`file_name`] made a name of.
fn unescape(name: &str) -> String {
    ["/", "\\", ":", "."]
        .iter()
        .fold(name.to_owned(), |name, c| {
            let code = c.bytes().next().map(|byte| format!("%{byte:02X}"));
            code.map_or(name.clone(), |code| name.replace(&code, c))
        })
        .replace("%25", "%")
}

#[cfg(test)]
#[path = "worktree_tests.rs"]
mod tests;
