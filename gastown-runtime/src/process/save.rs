//! Saves what an agent's worktree holds on its origin, before the machine goes away (spec 6.4).

use std::path::Path;

use gastown_core::{AgentId, RigId, SavedWork, TownId};

use super::keeper::Keeper;
use super::worktree::{Worktrees, unescape};
use crate::git::{GitAccess, GitError, PlaceToSave, file_name};

/// How much of a commit's hash makes a name.
const HASH_SHOWN: usize = 12;

/// An agent's worktree, and the origin that it came from.
#[derive(Debug)]
pub(crate) struct Origin {
    rig_id: RigId,
    pub(crate) git_url: String,
}

impl Worktrees {
    /// Where the worktree of an agent comes from; none if it has none.
    pub(crate) async fn origin(
        &self,
        town_id: &TownId,
        agent_id: &AgentId,
    ) -> Result<Option<Origin>, GitError> {
        let path = self.path_of(town_id, agent_id)?;
        // Without the marker no agent was ever in it.
        if !path.exists() || !path.with_extension("ready").exists() {
            return Ok(None);
        }
        let ask = ["rev-parse", "--path-format=absolute", "--git-common-dir"];
        let shared = self.git().run(&path, &GitAccess::none(), &ask).await?;
        let name = Path::new(&shared).file_stem();
        let name = name.and_then(|name| name.to_str()).map(unescape);
        let Some(rig_id) = name.and_then(|name| RigId::new(name).ok()) else {
            return Ok(None);
        };
        let mirror = self.mirror(town_id, &rig_id)?;
        let git_url = mirror.local(&["config", "remote.origin.url"]).await?;
        Ok(Some(Origin { rig_id, git_url }))
    }

    /// Waits until the work of an agent with that origin can be saved.
    ///
    /// # Errors
    /// The origin's name makes no path.
    pub(crate) async fn place_to_save(
        &self,
        town_id: &TownId,
        origin: &Origin,
    ) -> Result<PlaceToSave, GitError> {
        let mirror = self.mirror(town_id, &origin.rig_id)?;
        Ok(mirror.place_to_save().await)
    }

    /// Commits and pushes what an agent's worktree holds; nothing of the agent runs. A branch that
    /// the origin has moved on is left alone: the work goes to a reference beside it. Others have
    /// the mirror's turn while it is pushed.
    pub(crate) async fn save(
        &self,
        town_id: &TownId,
        agent_id: &AgentId,
        origin: &Origin,
        access: &GitAccess,
        place: PlaceToSave,
    ) -> Result<SavedWork, GitError> {
        let path = self.path_of(town_id, agent_id)?;
        let mirror = self.mirror(town_id, &origin.rig_id)?;
        let keeper = Keeper {
            mirror: &mirror,
            agent_id,
        };
        let PlaceToSave { turn, _permit } = place;
        let work = keep(&keeper, &path).await?;
        // A push reads what is committed, and only the origin says how long it takes.
        drop(turn);
        push(&keeper, access, work).await
    }
}

/// Work that is committed here.
struct Work {
    /// What fits onto no branch.
    aside: Option<String>,
    branch: Option<Branch>,
}

struct Branch {
    name: String,
    head: String,
    /// The origin has all of it, under whatever name.
    is_pushed: bool,
}

/// Commits what a worktree holds. The caller has the turn.
async fn keep(keeper: &Keeper<'_>, path: &Path) -> Result<Work, GitError> {
    let mirror = keeper.mirror;
    let branch = match keeper.branch_at(path).await? {
        Some(branch) => Some(branch),
        // In the middle of a rebase nothing is checked out; its branch is in the marker.
        None if keeper.in_operation(path).await? => {
            std::fs::read_to_string(path.with_extension("ready")).ok()
        }
        None => None,
    };
    let kept_before = mirror.commit(&keeper.saved_reference()?).await?;
    keeper.save(path).await?;
    let kept = mirror.commit(&keeper.saved_reference()?).await?;
    let aside = kept.filter(|kept| Some(kept) != kept_before.as_ref());
    let mut work = Work {
        aside,
        branch: None,
    };
    let Some(name) = branch else {
        return Ok(work);
    };
    if let Some(head) = mirror.commit(&format!("refs/heads/{name}")).await? {
        let unseen = ["rev-list", "--max-count=1", &head, "--not", "--remotes"];
        let is_pushed = mirror.local(&unseen).await?.is_empty();
        work.branch = Some(Branch {
            name,
            head,
            is_pushed,
        });
    }
    Ok(work)
}

/// Pushes what the origin does not have. Needs no turn: the references that git notes here are
/// locked one by one, and it waits for them.
async fn push(keeper: &Keeper<'_>, access: &GitAccess, work: Work) -> Result<SavedWork, GitError> {
    let mirror = keeper.mirror;
    let mut saved = SavedWork {
        branch: None,
        commit: None,
        aside: None,
    };
    if let Some(aside) = work.aside {
        saved.aside = Some(push_aside(keeper, access, &aside).await?);
    }
    let Some(Branch {
        name,
        head,
        is_pushed,
    }) = work.branch
    else {
        return Ok(saved);
    };
    if is_pushed {
        // Perhaps under this name, too.
        let is_there = mirror.origin_head(&name).await?.is_some();
        saved.branch = Some(name).filter(|_| is_there);
        saved.commit = Some(head).filter(|_| is_there);
        return Ok(saved);
    }
    // By its hash: whoever has the turn now may move the branch.
    let refspec = format!("{head}:refs/heads/{name}");
    match mirror
        .remote(access, &["push", "--quiet", "origin", &refspec])
        .await
    {
        Ok(_) => saved.branch = Some(name),
        Err(GitError::Failed { .. }) => {
            saved.aside = Some(push_aside(keeper, access, &head).await?);
        }
        Err(error) => return Err(error),
    }
    saved.commit = Some(head);
    Ok(saved)
}

/// Pushes a commit to a reference of its own.
async fn push_aside(
    keeper: &Keeper<'_>,
    access: &GitAccess,
    commit: &str,
) -> Result<String, GitError> {
    let short: String = commit.chars().take(HASH_SHOWN).collect();
    let reference = format!("{}-{short}", keeper.saved_reference()?);
    let refspec = format!("{commit}:{reference}");
    let push = ["push", "--quiet", "origin", &refspec];
    keeper.mirror.remote(access, &push).await?;
    Ok(reference)
}

impl Worktrees {
    /// The agents of a town that have a worktree here.
    pub(crate) fn agents(&self, town_id: &TownId) -> Vec<AgentId> {
        let Ok(town) = file_name("town id", town_id.as_str()) else {
            return Vec::new();
        };
        let dir = self.dir().join(town).join("worktrees");
        let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| {
            let path = entry.path();
            let is_tree = path.extension().is_some_and(|end| end == "tree");
            let stem = path.file_stem()?.to_str()?;
            is_tree.then(|| AgentId::new(unescape(stem)).ok())?
        });
        names.collect()
    }

    /// Removes the worktree of an agent that is gone for good; what was not committed is put
    /// aside in the mirror, where a person finds it.
    pub(crate) async fn remove(
        &self,
        town_id: &TownId,
        agent_id: &AgentId,
    ) -> Result<(), GitError> {
        let path = self.path_of(town_id, agent_id)?;
        if !path.exists() {
            return Ok(());
        }
        if let Some(origin) = self.origin(town_id, agent_id).await? {
            let mirror = self.mirror(town_id, &origin.rig_id)?;
            let _turn = mirror.turn().await;
            let keeper = Keeper {
                mirror: &mirror,
                agent_id,
            };
            keeper.save(&path).await?;
            let shown = path.display().to_string();
            let remove = ["worktree", "remove", "--force", "--force", &shown];
            mirror.local(&remove).await?;
        }
        for left in [path.clone(), path.with_extension("ready")] {
            let removed = match left.is_dir() {
                true => std::fs::remove_dir_all(&left),
                false => std::fs::remove_file(&left),
            };
            if let Err(source) = removed
                && source.kind() != std::io::ErrorKind::NotFound
            {
                let path = left.display().to_string();
                return Err(GitError::File { path, source });
            }
        }
        Ok(())
    }
}
