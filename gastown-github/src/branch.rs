//! Branches: creating one, and telling whether the work of one has landed
//! (effects `create_branch` and `verify_merge`).

use bytes::Bytes;
use http::Response;

use crate::client::{Session, bad};
use crate::error_body::ErrorBody;
use crate::github::GitHub;
use crate::observation::{BranchOutcome, ForgeError, Landing};
use crate::rate_limit::Urgency;
use crate::request;
use crate::response::{self, Comparison, PullRequest, Relation};
use crate::url::RepositoryUrl;

/// Where a new branch begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BranchStart {
    /// At this commit.
    Commit(String),
    /// Where this branch is now.
    Branch(String),
}

/// Which work is to be found on which branch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LandingQuestion {
    /// The repository of both branches.
    pub repository: RepositoryUrl,
    /// The branch that the work was done on; it may be gone.
    pub branch: String,
    /// The branch that it should be on.
    pub target: String,
    /// The commit that is said to have brought it there.
    pub merge_commit: Option<String>,
}

impl GitHub {
    /// Creates a branch, or finds that it exists already without work of its own: a repeat of an
    /// earlier request whose answer was lost.
    pub async fn create_branch(
        &self,
        repository: &RepositoryUrl,
        branch: &str,
        start: &BranchStart,
    ) -> BranchOutcome {
        let session = self.session(&repository.host, &repository.repository, Urgency::Watch);
        let sha = match start_commit(&session, start).await {
            Ok(sha) => sha,
            Err(error) => return BranchOutcome::Error { error },
        };
        let scope = &session.scope;
        let request = request::create_branch(&scope.host, &scope.repository, branch, &sha);
        match session.write(request).await {
            Ok(answer) if answer.status().as_u16() == 201 => BranchOutcome::Created { sha },
            Ok(answer) => {
                let status = answer.status().as_u16();
                let message = ErrorBody::read(answer.body()).message_or(status);
                let otherwise = if answer.status().is_client_error() {
                    BranchOutcome::Refused { status, message }
                } else {
                    BranchOutcome::Error {
                        error: bad(&answer),
                    }
                };
                existing(&session, branch, &sha, otherwise).await
            }
            Err(failure) => {
                let otherwise = BranchOutcome::Error {
                    error: failure.error,
                };
                if failure.may_have_had_effect {
                    existing(&session, branch, &sha, otherwise).await
                } else {
                    otherwise
                }
            }
        }
    }

    /// Whether the work of a branch is on its target.
    ///
    /// The evidence, strongest first: the target contains the branch; a commit of the target that
    /// is younger than the branch's beginning is named as its merge; a pull request from the one
    /// to the other was merged.
    ///
    /// # Errors
    /// [`ForgeError`] if the world stood in the way.
    pub async fn verify_landing(&self, asked: &LandingQuestion) -> Result<Landing, ForgeError> {
        let repository = &asked.repository;
        let session = self.session(&repository.host, &repository.repository, Urgency::Watch);
        let of_branch = compare(&session, &asked.target, &asked.branch).await?;
        if of_branch.as_ref().is_some_and(is_contained) {
            let Some(newest) = branch_commit(&session, &asked.branch).await? else {
                return Ok(Landing::Unknown);
            };
            let named = match &asked.merge_commit {
                Some(commit) => compare(&session, &asked.target, commit).await?,
                None => None,
            };
            let on_target = named.as_ref().is_some_and(is_contained);
            // The named commit is the better evidence if it is there at all.
            let commit = asked
                .merge_commit
                .clone()
                .filter(|_| on_target)
                .unwrap_or(newest);
            return Ok(Landing::Landed { commit });
        }
        if let Some(commit) = &asked.merge_commit {
            let beginning = of_branch.as_ref().and_then(|it| it.merge_base.as_deref());
            if is_merge_of(&session, &asked.target, commit, beginning).await? {
                return Ok(Landing::Landed {
                    commit: commit.clone(),
                });
            }
        }
        if let Some(landing) = self.by_pull_request(&session, asked).await? {
            return Ok(landing);
        }
        // With the branch gone there is nothing to show that its work is missing.
        Ok(if of_branch.is_some() {
            Landing::Absent
        } else {
            Landing::Unknown
        })
    }

    /// What a merged pull request from the one branch to the other shows; none if there is none.
    async fn by_pull_request(
        &self,
        session: &Session<'_>,
        asked: &LandingQuestion,
    ) -> Result<Option<Landing>, ForgeError> {
        let Some(merged) = merged_pull_request(session, asked).await? else {
            return Ok(None);
        };
        let commit = match merged.merge_commit_sha {
            Some(sha) => Some(sha),
            None => self.merge_commit(session, merged.number).await?,
        };
        // It was merged, so its work is not absent, whether or not a commit can show it.
        let landed = commit.map(|commit| Landing::Landed { commit });
        Ok(Some(landed.unwrap_or(Landing::Unknown)))
    }
}

async fn start_commit(session: &Session<'_>, start: &BranchStart) -> Result<String, ForgeError> {
    match start {
        BranchStart::Commit(sha) => Ok(sha.clone()),
        BranchStart::Branch(name) => {
            branch_commit(session, name)
                .await?
                .ok_or(ForgeError::NotFound {
                    repository_readable: true,
                })
        }
    }
}

async fn branch_commit(session: &Session<'_>, branch: &str) -> Result<Option<String>, ForgeError> {
    let scope = &session.scope;
    let answer = session
        .ask(request::branch_ref(&scope.host, &scope.repository, branch))
        .await?;
    match found(answer)? {
        Some(answer) => response::branch_ref(answer.body(), branch),
        None => Ok(None),
    }
}

/// After a request that did not clearly succeed: what is there now decides, else `otherwise`.
async fn existing(
    session: &Session<'_>,
    branch: &str,
    wanted: &str,
    otherwise: BranchOutcome,
) -> BranchOutcome {
    let sha = match branch_commit(session, branch).await {
        Ok(Some(sha)) => sha,
        Ok(None) | Err(_) => return otherwise,
    };
    if sha == wanted {
        return BranchOutcome::Created { sha };
    }
    // The start moved on since an earlier request made the branch: no work is on it yet.
    match compare(session, wanted, &sha).await {
        Ok(Some(it)) if is_contained(&it) => BranchOutcome::Created { sha },
        Ok(_) => BranchOutcome::Conflict { sha },
        Err(error) => BranchOutcome::Error { error },
    }
}

async fn compare(
    session: &Session<'_>,
    from: &str,
    to: &str,
) -> Result<Option<Comparison>, ForgeError> {
    let scope = &session.scope;
    let answer = session
        .ask(request::compare(&scope.host, &scope.repository, from, to))
        .await?;
    match found(answer)? {
        Some(answer) => response::comparison(answer.body()).map(Some),
        None => Ok(None),
    }
}

/// Whether the first has everything of the second.
fn is_contained(comparison: &Comparison) -> bool {
    match comparison.relation {
        Relation::Identical | Relation::Behind => true,
        Relation::Ahead | Relation::Diverged | Relation::Other => false,
    }
}

/// Whether a commit is on the target and younger than the branch's beginning. An older one cannot
/// hold the branch's work, whatever an agent says.
async fn is_merge_of(
    session: &Session<'_>,
    target: &str,
    commit: &str,
    beginning: Option<&str>,
) -> Result<bool, ForgeError> {
    let on_target = compare(session, target, commit).await?;
    if !on_target.as_ref().is_some_and(is_contained) {
        return Ok(false);
    }
    let Some(beginning) = beginning else {
        return Ok(false);
    };
    let since = compare(session, beginning, commit).await?;
    Ok(since.is_some_and(|it| it.relation == Relation::Ahead))
}

async fn merged_pull_request(
    session: &Session<'_>,
    asked: &LandingQuestion,
) -> Result<Option<PullRequest>, ForgeError> {
    let scope = &session.scope;
    let request =
        request::closed_pull_requests(&scope.host, &scope.repository, &asked.branch, &asked.target);
    let answer = session.read(request).await?;
    let branch = branch_commit(session, &asked.branch).await?;
    let all = response::pull_requests(answer.body())?;
    Ok(all.into_iter().find(|it| {
        it.merged
            && it.head_branch == asked.branch
            && it.base_branch == asked.target
            // Commits that came after the merge have not landed with it.
            && branch.as_ref().is_none_or(|sha| *sha == it.head_sha)
    }))
}

/// The answer, or none for "not there".
fn found(answer: Response<Bytes>) -> Result<Option<Response<Bytes>>, ForgeError> {
    match answer.status().as_u16() {
        200 => Ok(Some(answer)),
        404 => Ok(None),
        _ => Err(bad(&answer)),
    }
}
