//! What a forge says about a pull request, and what came of asking it for something, in the words
//! of spec 4.2, 4.5 and 8.2.
//!
//! These are plain values. Unknown stays unknown: a part that could not be read in full, or that
//! belongs to another head, says so and is never "fine".

use chrono::{DateTime, Utc};

use crate::url::RepositoryName;

/// Where a pull request stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PullRequestState {
    /// It can still be merged.
    Open,
    /// Its work is on the base branch, whoever merged it and how.
    Merged {
        /// The commit that brought it there, when the forge tells.
        commit: Option<String>,
    },
    /// It was closed without being merged.
    Closed,
}

/// The forge's own opinion whether a merge would work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mergeable {
    /// Nothing stands in the way.
    Clean,
    /// It conflicts with the base branch.
    Dirty,
    /// A rule of the base branch is not met.
    Blocked,
    /// The base branch must be merged into it first.
    Behind,
    /// It could be merged, yet a check that is not required does not pass.
    Unstable,
    /// It could be merged; hooks on the server have the last word.
    HasHooks,
    /// Still being computed, or a word that this version does not know.
    Unknown,
}

/// The part that a merge queue plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MergeQueue {
    /// The base branch has none.
    None,
    /// The base branch takes changes through its queue only.
    Required,
    /// The pull request is in the queue.
    Queued,
}

/// What all checks together say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChecksState {
    /// No check and no status reported on this head, and none is required.
    None,
    /// All that reported pass, and all that are required reported.
    Passing,
    /// At least one does not pass and will not by waiting.
    Failing,
    /// None fails, and at least one has not finished or not even reported.
    Pending,
}

/// The checks of one head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checks {
    /// The summary, computed from the single ones; never the forge's own.
    pub state: ChecksState,
    /// Names of those that do not pass, sorted.
    pub failing: Vec<String>,
    /// Names of those that have not finished, sorted.
    pub pending: Vec<String>,
    /// Names of required ones that never reported on this head, sorted. A path filter can keep
    /// one from ever reporting.
    pub required_missing: Vec<String>,
}

/// What the reviewers decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// As many as needed approve, and no writer asks for changes.
    Approved,
    /// At least one writer's latest opinion asks for changes.
    ChangesRequested,
    /// An approval is needed and not there, or it is not known to be there.
    ReviewRequired,
}

/// What reviewers and machines say about one head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feedback {
    /// Review threads that are not resolved, outdated ones included.
    pub unresolved_threads: u32,
    /// Whether every thread was seen.
    pub threads_complete: bool,
    /// The checks.
    pub checks: Checks,
    /// Whether every check of this very head, and every rule about checks, was seen.
    pub checks_complete: bool,
    /// The decision; none when no review is required.
    pub decision: Option<Decision>,
    /// The head that the deciding approval saw: this one if as many as are needed saw it.
    pub decision_head: Option<String>,
}

/// How much of the forge's rate limit is left, of the resource that is nearest to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ApiBudget {
    /// Requests or points.
    pub remaining: u64,
    /// When the count starts anew.
    pub resets_at: DateTime<Utc>,
}

/// What took a pull request out of a merge queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DequeueCause {
    /// A person's hand.
    Person,
    /// The queue merged it; the pull request says so a moment later.
    Merge,
    /// The queue gave it up, or nobody says why.
    Other,
}

/// How a head left a merge queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dequeued {
    /// When.
    pub at: DateTime<Utc>,
    /// What took it out.
    pub cause: DequeueCause,
    /// The forge's own word for it.
    pub reason: Option<String>,
}

/// One look at one pull request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observation {
    /// Open, merged or closed.
    pub state: PullRequestState,
    /// The newest commit of the branch; all else is about this one.
    pub head_sha: String,
    /// The branch that holds the work.
    pub head_branch: String,
    /// The repository of that branch; none when the fork was deleted.
    pub head_repository: Option<RepositoryName>,
    /// The branch that it asks to be merged into.
    pub base_branch: String,
    /// Whether its author calls it unfinished.
    pub is_draft: bool,
    /// Whether merging it would merge others with it.
    pub stacked: bool,
    /// The forge's opinion.
    pub mergeable: Mergeable,
    /// The part that a merge queue plays.
    pub merge_queue: MergeQueue,
    /// How this very head left the merge queue: by a person's hand if it ever did, else the last
    /// time; none as well when the forge does not tell.
    pub dequeued: Option<Dequeued>,
    /// What reviewers and machines say; none when it was not asked for, or matters no more.
    pub feedback: Option<Feedback>,
    /// What is left of the rate limit; none when the forge does not limit.
    pub api_budget: Option<ApiBudget>,
}

/// Why a forge could not be asked, or what it answered instead (spec 4.2, 4.3).
///
/// A value, not a crate error: the rules of part 4 decide by it. Its texts go to people, so it
/// holds no credential.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ForgeError {
    /// No source of credentials had one.
    #[error(
        "no GitHub token; tried {}; the credentials that agents use themselves are separate",
        if tried.is_empty() { "nothing, no source is configured".to_owned() } else { tried.join(", ") }
    )]
    NoToken {
        /// The sources, in order; never a value.
        tried: Vec<String>,
    },
    /// The token is invalid, expired or revoked.
    #[error("GitHub does not accept the token: it is invalid, expired or revoked")]
    Unauthorized,
    /// The token is good, and may not do this.
    #[error("the token may not do this: {message}{}", needed(needs.as_deref()))]
    Forbidden {
        /// The forge's own words.
        message: String,
        /// The permission that would do, when the forge names it.
        needs: Option<String>,
    },
    /// There is no such thing, or the token may not see it.
    #[error(
        "not found: {}",
        if *repository_readable { "the repository can be read, so check the number or the branch" }
        else { "the repository cannot be read either, so check its address and the token's access" }
    )]
    NotFound {
        /// Whether the repository itself could be read.
        repository_readable: bool,
    },
    /// A rate limit, primary or secondary.
    #[error("GitHub's rate limit is reached until {until}")]
    RateLimited {
        /// When asking makes sense again.
        until: DateTime<Utc>,
    },
    /// The forge failed.
    #[error("GitHub answers with a server error, {status}")]
    Server {
        /// Its status.
        status: u16,
    },
    /// No answer arrived. Whether the request did is not known.
    #[error("GitHub cannot be reached: {what}")]
    Network {
        /// What failed, without addresses that could hold secrets.
        what: String,
    },
    /// An answer arrived that cannot be understood.
    #[error("GitHub's answer cannot be understood, its API may have changed: {why}")]
    InvalidResponse {
        /// Which part, and why.
        why: String,
    },
    /// The address of the pull request is malformed.
    #[error("the address is not one of a pull request: {why}")]
    UnrecognizedUrl {
        /// What is wrong with it.
        why: String,
    },
    /// The pull request is in another repository than the rig's.
    #[error("the pull request is in {found}, not in {expected}")]
    RepositoryMismatch {
        /// The rig's repository.
        expected: RepositoryName,
        /// The one of the address.
        found: RepositoryName,
    },
    /// The address names a host that is not configured.
    #[error("the host {host} is not allowed")]
    HostNotAllowed {
        /// That host.
        host: String,
    },
}

/// The end of a sentence that says what is missing.
pub(crate) fn needed(needs: Option<&str>) -> String {
    needs.map_or_else(String::new, |it| format!("; it needs {it}"))
}

/// What came of a request to merge (spec 4.5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MergeOutcome {
    /// It is on the base branch.
    Merged {
        /// The commit that brought it there, when the forge tells.
        commit: Option<String>,
    },
    /// The merge queue, or the forge's own background job, has it; polling sees the end.
    Queued,
    /// A fresh look shows that it should not be merged now. Nothing was asked of the forge.
    NotReady {
        /// That look.
        observation: Box<Observation>,
    },
    /// The forge refused, definitely and without effect.
    Refused {
        /// Its status.
        status: u16,
        /// Its own words, and the permission that is missing if it names one.
        message: String,
    },
    /// No definite answer: it may have been merged. Observe before anything else.
    Error {
        /// What happened.
        error: ForgeError,
    },
}

/// What came of a request to create a branch (effect `create_branch`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BranchOutcome {
    /// It exists, at this commit, by this request or an earlier one.
    Created {
        /// The commit that it points to.
        sha: String,
    },
    /// A branch of that name points elsewhere.
    Conflict {
        /// The commit that it points to.
        sha: String,
    },
    /// The forge refused, definitely and without effect.
    Refused {
        /// Its status.
        status: u16,
        /// Its own words.
        message: String,
    },
    /// No definite answer: it may exist.
    Error {
        /// What happened.
        error: ForgeError,
    },
}

/// What came of a request to comment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommentOutcome {
    /// It stands there.
    Posted {
        /// Its address for people, when the forge tells.
        url: Option<String>,
    },
    /// The forge refused, definitely and without effect.
    Refused {
        /// Its status.
        status: u16,
        /// Its own words.
        message: String,
    },
    /// No definite answer: it may stand there.
    Error {
        /// What happened.
        error: ForgeError,
    },
}

/// Whether the work of a branch is on its target (effect `verify_merge`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Landing {
    /// It is.
    Landed {
        /// The commit that shows it.
        commit: String,
    },
    /// It is not.
    Absent,
    /// It cannot be told: something could not be read, or the evidence is ambiguous.
    Unknown,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_tell_a_person_what_to_do() {
        let tried = vec![
            "git_auth.github_token".to_owned(),
            "github_cli_pat".to_owned(),
        ];
        let text = ForgeError::NoToken { tried }.to_string();
        assert!(
            text.contains("tried git_auth.github_token, github_cli_pat"),
            "{text}"
        );
        let forbidden = ForgeError::Forbidden {
            message: "Resource not accessible by integration".to_owned(),
            needs: Some("contents=write".to_owned()),
        };
        assert!(forbidden.to_string().ends_with("it needs contents=write"));
        let unreadable = ForgeError::NotFound {
            repository_readable: false,
        }
        .to_string();
        assert!(unreadable.contains("access"), "{unreadable}");
    }
}
