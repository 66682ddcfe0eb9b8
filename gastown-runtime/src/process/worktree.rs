//! A git worktree for each agent, cut from a mirror of its rig (spec 6.3).

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use gastown_core::{AgentId, RigId, Role, SessionId, StartRequest, TownId};

use super::keeper::Keeper;
use crate::git::{Git, GitAccess, GitError, Mirror, check_branch, file_name, leftovers};

/// The mirrors and worktrees of all towns.
#[derive(Debug)]
pub(crate) struct Worktrees {
    git: Git,
    dir: PathBuf,
    /// Held for as long as git may run here.
    in_use: Option<Arc<File>>,
    mirrors: Mutex<BTreeMap<(TownId, RigId), Arc<Mirror>>>,
}

/// A worktree to prepare.
struct Worktree<'a> {
    keeper: Keeper<'a>,
    mirror: &'a Mirror,
    request: &'a StartRequest,
    path: PathBuf,
    /// Says which branch it was last prepared for. Without it the worktree was never finished,
    /// and no agent was ever in it.
    marker: PathBuf,
}

impl Worktrees {
    pub(crate) fn new(git: Git, dir: PathBuf, in_use: Option<Arc<File>>) -> Self {
        Self {
            git,
            dir,
            in_use,
            mirrors: Mutex::default(),
        }
    }

    /// Prepares the worktree of a session that is about to start; nothing of the agent runs.
    /// `is_running` tells whether another agent does, so that its worktree is left alone. Dropped,
    /// it leaves a fetch that goes on, see [`Mirror::fetch`].
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
        let _turn = mirror.fetch(&request.git_url, access).await?;
        let path = self.path(&request.session)?;
        let worktree = Worktree {
            keeper: Keeper {
                mirror: &mirror,
                agent_id: &request.session.agent_id,
            },
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

    /// Where the worktree of a session's agent is.
    pub(crate) fn path(&self, session: &SessionId) -> Result<PathBuf, GitError> {
        self.path_of(&session.town_id, &session.agent_id)
    }

    /// Where the worktree of an agent is.
    pub(crate) fn path_of(&self, town: &TownId, agent: &AgentId) -> Result<PathBuf, GitError> {
        // The extension keeps the marker's name apart from every worktree's.
        let name = format!("{}.tree", file_name("agent id", agent.as_str())?);
        Ok(self.town(town)?.join("worktrees").join(name))
    }

    pub(crate) fn git(&self) -> &Git {
        &self.git
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    fn town(&self, town_id: &TownId) -> Result<PathBuf, GitError> {
        Ok(self.dir.join(file_name("town id", town_id.as_str())?))
    }

    pub(crate) fn mirror(&self, town: &TownId, rig: &RigId) -> Result<Arc<Mirror>, GitError> {
        let name = format!("{}.git", file_name("rig id", rig.as_str())?);
        let path = self.town(town)?.join("rigs").join(name);
        let mut mirrors = self.mirrors.lock().unwrap_or_else(PoisonError::into_inner);
        let mirror = mirrors
            .entry((town.clone(), rig.clone()))
            .or_insert_with(|| {
                let in_use = self.in_use.clone();
                Arc::new(Mirror::new(self.git.clone(), path, in_use))
            });
        Ok(Arc::clone(mirror))
    }

    /// Removes what a git that was killed left in the mirrors. No git runs in any.
    pub(crate) async fn remove_leftovers(&self) {
        for town in entries(&self.dir) {
            for mirror in entries(&town.join("rigs")) {
                leftovers::remove_all(&mirror).await;
            }
        }
    }

    /// Ends every fetch that is under way.
    pub(crate) async fn end_fetches(&self) {
        let mirrors: Vec<Arc<Mirror>> = {
            let mirrors = self.mirrors.lock().unwrap_or_else(PoisonError::into_inner);
            mirrors.values().map(Arc::clone).collect()
        };
        for mirror in mirrors {
            mirror.end_fetch().await;
        }
    }
}

impl Worktree<'_> {
    /// Makes the worktree if it is not there, and again if a crash cut off its making.
    async fn ensure(&self) -> Result<(), GitError> {
        if self.marker.exists() && self.path.exists() {
            return self.keeper.unlock(&self.path).await;
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
        self.keeper.put_aside(&self.path).await?;
        let start = self.start_commit().await?;
        self.here(&["checkout", "--quiet", "--force", "--detach", &start])
            .await
    }

    async fn for_writing(&self, is_running: impl Fn(&AgentId) -> bool) -> Result<(), GitError> {
        let branch = &self.request.branch;
        let resumes = self.read_marker().as_deref() == Some(branch);
        let on_branch = self.keeper.branch_at(&self.path).await?.as_deref() == Some(branch);
        if resumes && (on_branch || self.keeper.is_dirty(&self.path).await?) {
            return self.catch_up(on_branch).await;
        }
        if !resumes {
            self.keeper.save(&self.path).await?;
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
                self.keeper.remember(&local_head).await?;
                self.here(&["reset", "--quiet", "--hard", &origin]).await
            }
        }
    }

    /// The same agent goes on where its last session stopped. Only a clean branch that is merely
    /// behind its origin moves.
    async fn catch_up(&self, on_branch: bool) -> Result<(), GitError> {
        if !on_branch || self.keeper.is_dirty(&self.path).await? {
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
            self.keeper.save(&path).await?;
            self.keeper
                .at(&path, &["checkout", "--quiet", "--detach"])
                .await?;
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

    async fn here(&self, args: &[&str]) -> Result<(), GitError> {
        self.keeper.at(&self.path, args).await
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

fn entries(dir: &Path) -> Vec<PathBuf> {
    // What is not there has no leftovers.
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).collect()
}

/// The identifier that [`file_name`] made a name of.
pub(crate) fn unescape(name: &str) -> String {
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
