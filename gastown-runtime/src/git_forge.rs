//! A forge that is only a git origin: direct merges and branches, no pull requests (spec 4.1).

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use gastown_core::forges::{
    CreateBranchRequest, MergeRequest, ObserveRequest, RepositoryRef, VerifyRequest,
};
use gastown_core::{Forge, ForgeError, MergeOutcome, Observation, VerifyOutcome};

use crate::credentials::{Credentials, CredentialsError};
use crate::git::{Git, GitAccess, GitError, Mirror, check_branch, file_name};

/// A shorter hash names no commit for sure.
const HASH_DIGITS_MIN: usize = 7;
/// SHA-256 hashes have this many digits.
const HASH_DIGITS_MAX: usize = 64;

/// A forge that is only a git origin, as spec 4.1 needs it for direct merges.
///
/// It keeps a bare mirror of each origin that it was asked about below its directory. Two of them
/// must not share a directory.
///
/// A fetch goes on when whoever asked for it stops waiting, for at most the deadline of [`Git`],
/// so that a first one may take longer than any single question. It ends with the forge.
///
/// # Guarantees
/// - It says that a merge landed only if the origin's target branch has the work of the branch,
///   and that it is absent only if the origin was read and has not: every failure is unknown.
/// - It changes nothing on an origin but to create a branch that is not there.
///
/// # Assumptions
/// - Git is 2.38 or later (`git merge-tree --write-tree`).
pub struct GitForge {
    git: Git,
    dir: PathBuf,
    credentials: Arc<dyn Credentials>,
    mirrors: Mutex<BTreeMap<PathBuf, Arc<Mirror>>>,
}

impl std::fmt::Debug for GitForge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GitForge")
            .field("git", &self.git)
            .field("dir", &self.dir)
            .finish_non_exhaustive()
    }
}

/// Why an origin could not be asked.
#[derive(Debug, thiserror::Error)]
enum AskError {
    #[error(transparent)]
    Git(#[from] GitError),
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
}

impl GitForge {
    /// A forge that keeps its mirrors below `dir`.
    pub fn new(git: Git, dir: impl Into<PathBuf>, credentials: Arc<dyn Credentials>) -> Self {
        Self {
            git,
            dir: dir.into(),
            credentials,
            mirrors: Mutex::default(),
        }
    }

    /// The mirror of a repository. An origin without a rig is told apart by its URL.
    fn mirror(&self, repository: &RepositoryRef) -> Result<Arc<Mirror>, GitError> {
        let town = file_name("town id", repository.town_id.as_str())?;
        let rig = match &repository.rig_id {
            Some(rig_id) => file_name("rig id", rig_id.as_str())?,
            // The mark can't begin an escaped identifier's name.
            None => format!("%url-{}", file_name("git URL", &repository.git_url)?),
        };
        let path = self.dir.join(town).join(format!("{rig}.git"));
        let mut mirrors = self.mirrors.lock().unwrap_or_else(PoisonError::into_inner);
        let mirror = mirrors
            .entry(path.clone())
            .or_insert_with(|| Arc::new(Mirror::new(self.git.clone(), path, None)));
        Ok(Arc::clone(mirror))
    }

    async fn access(&self, repository: &RepositoryRef) -> Result<GitAccess, CredentialsError> {
        let url = &repository.git_url;
        let token = self.credentials.of_repository(&repository.town_id, url);
        Ok(GitAccess::new(url, token.await?))
    }

    async fn verify(&self, request: &VerifyRequest) -> Result<VerifyOutcome, AskError> {
        check_branch("branch", &request.branch)?;
        check_branch("target branch", &request.target_branch)?;
        let mirror = self.mirror(&request.repository)?;
        let access = self.access(&request.repository).await?;
        let _turn = mirror.fetch(&request.repository.git_url, &access).await?;
        Ok(look(&mirror, request).await?)
    }

    async fn create(&self, request: &CreateBranchRequest) -> Result<(), AskError> {
        check_branch("branch", &request.branch)?;
        let repository = &request.repository;
        check_branch("default branch", &repository.default_branch)?;
        let mirror = self.mirror(repository)?;
        let access = self.access(repository).await?;
        let turn = mirror.fetch(&repository.git_url, &access).await?;
        if mirror.origin_head(&request.branch).await?.is_some() {
            return Ok(());
        }
        let Some(head) = mirror.origin_head(&repository.default_branch).await? else {
            return Err(AskError::Git(GitError::Name {
                what: "default branch",
                shown: repository.default_branch.clone(),
                problem: MISSING,
            }));
        };
        let push = [
            "push",
            "--quiet",
            // Only if it is still not there: nobody's branch is ever moved.
            &format!("--force-with-lease=refs/heads/{}:", request.branch),
            "origin",
            &format!("{head}:refs/heads/{}", request.branch),
        ];
        let Err(error) = mirror.remote(&access, &push).await else {
            return Ok(());
        };
        // Somebody else may have made it meanwhile.
        let fetched = mirror.fetch_again(turn, &repository.git_url, &access);
        let _turn = fetched.await?;
        match mirror.origin_head(&request.branch).await? {
            Some(_) => Ok(()),
            None => Err(error.into()),
        }
    }
}

/// What is wrong with a branch that the origin does not have.
const MISSING: &str = "is not on the origin";

#[async_trait]
impl Forge for GitForge {
    async fn observe(&self, _: ObserveRequest) -> Result<Observation, ForgeError> {
        Err(ForgeError::UnrecognizedUrl)
    }

    async fn merge(&self, _: MergeRequest) -> MergeOutcome {
        MergeOutcome::Error {
            error: ForgeError::UnrecognizedUrl,
        }
    }

    async fn verify_merge(&self, request: VerifyRequest) -> VerifyOutcome {
        match self.verify(&request).await {
            Ok(outcome) => outcome,
            Err(error) => {
                let town = request.repository.town_id.as_str();
                tracing::warn!(town, branch = request.branch, %error, "could not verify a merge");
                VerifyOutcome::Unknown
            }
        }
    }

    async fn create_branch(&self, request: CreateBranchRequest) -> Result<(), ForgeError> {
        self.create(&request).await.map_err(|error| {
            let town = request.repository.town_id.as_str();
            tracing::warn!(town, branch = request.branch, %error, "could not create a branch");
            forge_error(error)
        })
    }
}

/// Looks for the work of the branch on its target. The origin was just fetched.
async fn look(mirror: &Mirror, request: &VerifyRequest) -> Result<VerifyOutcome, GitError> {
    let Some(target) = mirror.origin_head(&request.target_branch).await? else {
        return Ok(VerifyOutcome::Absent);
    };
    let branch = mirror.origin_head(&request.branch).await?;
    let landed = |commit: &str| VerifyOutcome::Landed {
        commit: commit.to_owned(),
    };
    let Some(named) = &request.merge_commit else {
        return Ok(match branch {
            // A branch that is gone can't be looked for.
            None => VerifyOutcome::Unknown,
            Some(head) if mirror.is_ancestor(&head, &target).await? => landed(&head),
            Some(head) if adds_nothing(mirror, &head, &target).await? => landed(&target),
            Some(_) => VerifyOutcome::Absent,
        });
    };
    let Some(merge) = named_commit(mirror, named).await? else {
        return Ok(VerifyOutcome::Absent);
    };
    if !mirror.is_ancestor(&merge, &target).await? {
        return Ok(VerifyOutcome::Absent);
    }
    let contained = match branch {
        // Refineries may delete a branch that they merged; the commit then stands for itself.
        None => true,
        Some(head) => {
            mirror.is_ancestor(&head, &target).await?
                || adds_nothing(mirror, &head, &merge).await?
                || adds_nothing(mirror, &head, &target).await?
        }
    };
    Ok(if contained {
        landed(&merge)
    } else {
        VerifyOutcome::Absent
    })
}

/// The full hash of a commit that an agent named; a name that is no hash names none.
async fn named_commit(mirror: &Mirror, named: &str) -> Result<Option<String>, GitError> {
    let digits = HASH_DIGITS_MIN..=HASH_DIGITS_MAX;
    if !digits.contains(&named.len()) || !named.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(None);
    }
    mirror.commit(named).await
}

/// Whether merging `head` into `onto` would change nothing: its work is there already, squashed
/// or as other commits.
async fn adds_nothing(mirror: &Mirror, head: &str, onto: &str) -> Result<bool, GitError> {
    let tree = mirror
        .local(&["rev-parse", "--verify", &format!("{onto}^{{tree}}")])
        .await?;
    match mirror
        .local(&["merge-tree", "--write-tree", onto, head])
        .await
    {
        Ok(merged) => Ok(merged == tree),
        // A conflict: what it has is not what is there.
        Err(GitError::Failed { code: Some(1), .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Git's words, in the classes of spec 4.3.
fn forge_error(error: AskError) -> ForgeError {
    let git = match error {
        AskError::Git(error) => error,
        AskError::Credentials(_) => {
            return ForgeError::NoToken {
                tried: vec!["credentials port".into()],
            };
        }
    };
    let stderr = match git {
        GitError::Failed { stderr, .. } => stderr,
        GitError::Name {
            problem: MISSING, ..
        } => {
            return ForgeError::NotFound {
                repository_readable: true,
            };
        }
        GitError::Name { .. } | GitError::TooMuch { .. } => {
            return ForgeError::InvalidResponse {
                why: git.to_string(),
            };
        }
        GitError::Run { .. }
        | GitError::Deadline { .. }
        | GitError::Closed { .. }
        | GitError::File { .. } => {
            return ForgeError::Network;
        }
    };
    let says = |words: &[&str]| words.iter().any(|word| stderr.contains(word));
    if says(&[
        "Authentication failed",
        "could not read Username",
        "terminal prompts disabled",
    ]) {
        ForgeError::Unauthorized
    } else if says(&[
        "Permission denied",
        "error: 403",
        "protected branch",
        "hook declined",
    ]) {
        ForgeError::Forbidden
    } else if says(&[
        "not found",
        "does not exist",
        "does not appear to be a git repository",
    ]) {
        ForgeError::NotFound {
            repository_readable: false,
        }
    } else {
        ForgeError::Network
    }
}

#[cfg(test)]
#[path = "git_forge_tests.rs"]
mod tests;
