//! What a forge tells the engine, and the port that asks it (spec 4.2, 4.5).

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::MergeMethod;
use crate::ids::{RigId, TownId};
use crate::review::Certificate;
use crate::time::Timestamp;

/// Where a pull request is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PrState {
    /// Neither merged nor closed.
    Open,
    /// Its work is on the base branch.
    Merged,
    /// Closed without a merge.
    Closed,
}

/// Whether the forge would merge now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mergeable {
    /// Nothing is in the way.
    Clean,
    /// It conflicts with its base.
    Dirty,
    /// A rule is in the way.
    Blocked,
    /// The head is out of date and the base demands otherwise.
    Behind,
    /// A check that is not required does not pass.
    Unstable,
    /// Mergeable, with hooks that may refuse.
    HasHooks,
    /// Not known, or not yet.
    Unknown,
}

/// How the pull request stands to a merge queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MergeQueue {
    /// The base branch has none.
    #[default]
    None,
    /// The base branch merges by queue only.
    Required,
    /// It is in the queue.
    Queued,
}

/// What took a pull request out of a merge queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DequeueCause {
    /// A person's hand.
    Person,
    /// The queue merged it; the look that says so comes a moment later.
    Merge,
    /// The queue gave it up, or nobody says why.
    Other,
}

/// How the head left a merge queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Dequeued {
    /// When.
    pub at: Timestamp,
    /// What took it out.
    pub cause: DequeueCause,
    /// The forge's own word for it.
    #[serde(default)]
    pub reason: Option<String>,
}

/// All checks of one head, taken together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ChecksState {
    /// No check and no status at all.
    None,
    /// Every one passes.
    Passing,
    /// At least one does not.
    Failing,
    /// None fails, at least one has not ended or not reported.
    Pending,
}

/// The checks of one head.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Checks {
    /// All taken together.
    pub state: ChecksState,
    /// The names of those that fail.
    #[serde(default)]
    pub failing: Vec<String>,
    /// The names of those that have not ended.
    #[serde(default)]
    pub pending: Vec<String>,
    /// Required checks that have not reported on this head.
    #[serde(default)]
    pub required_missing: Vec<String>,
}

/// What the reviewers decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// Approved.
    Approved,
    /// A writer's latest opinion asks for changes.
    ChangesRequested,
    /// An approval is needed and missing.
    ReviewRequired,
}

/// What reviewers and checks say about one head.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Feedback {
    /// Review threads that are not resolved.
    pub unresolved_threads: u32,
    /// Whether every thread was read.
    pub threads_complete: bool,
    /// The checks.
    pub checks: Checks,
    /// Whether every check was read, of this head.
    pub checks_complete: bool,
    /// None: no review is required.
    #[serde(default)]
    pub decision: Option<Decision>,
    /// The head that the deciding approval saw.
    #[serde(default)]
    pub decision_head: Option<String>,
}

/// What is left of the forge's rate limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ApiBudget {
    /// Requests left.
    pub remaining: u64,
    /// When the limit starts anew.
    pub resets_at: Timestamp,
}

/// One look at a pull request (spec 4.2). Whatever could not be read in full, or was read for
/// another head, says so: unknown is never "fine".
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Observation {
    /// Where it is in its life.
    pub state: PrState,
    /// The commit on the base branch, once merged.
    #[serde(default)]
    pub merge_commit: Option<String>,
    /// The head commit that all of this is about.
    pub head_sha: String,
    /// The branch of the head.
    pub head_branch: String,
    /// `owner/name` of the head's repository; none when it is gone.
    #[serde(default)]
    pub head_repository: Option<String>,
    /// The branch that it would be merged into.
    pub base_branch: String,
    /// Whether it is a draft.
    #[serde(default)]
    pub is_draft: bool,
    /// Whether merging it merges other pull requests too.
    #[serde(default)]
    pub stacked: bool,
    /// Whether the forge would merge now.
    pub mergeable: Mergeable,
    /// How it stands to a merge queue.
    #[serde(default)]
    pub merge_queue: MergeQueue,
    /// How this very head left a merge queue: by a person's hand if it ever did, else the last
    /// time; none as well when the forge does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dequeued: Option<Dequeued>,
    /// What reviewers and checks say; none when it was not asked for.
    #[serde(default)]
    pub feedback: Option<Feedback>,
    /// What is left of the rate limit.
    #[serde(default)]
    pub api_budget: Option<ApiBudget>,
}

/// Why a forge gave no answer that can be used (spec 4.2, 4.3).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, thiserror::Error)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum ForgeError {
    /// No source had a credential.
    #[error("no credential found; tried, in order: {}", tried.join(", "))]
    NoToken {
        /// The sources tried, in order; names, never values.
        #[serde(default)]
        tried: Vec<String>,
    },
    /// The credential is invalid or expired.
    #[error("the credential is invalid or expired")]
    #[serde(deserialize_with = "crate::tagged::nothing_more")]
    Unauthorized,
    /// The credential may not do this.
    #[error("the credential lacks a permission")]
    #[serde(deserialize_with = "crate::tagged::nothing_more")]
    Forbidden,
    /// The pull request or branch is not there, or may not be seen.
    #[error("not found")]
    NotFound {
        /// Whether the repository itself could be read.
        #[serde(default)]
        repository_readable: bool,
    },
    /// The forge limits the rate.
    #[error("rate limited until {until}")]
    RateLimited {
        /// When to ask again.
        until: Timestamp,
    },
    /// The forge failed.
    #[error("the forge answered with status {status}")]
    Server {
        /// The HTTP status.
        status: u16,
    },
    /// The forge could not be reached.
    #[error("the forge could not be reached")]
    #[serde(deserialize_with = "crate::tagged::nothing_more")]
    Network,
    /// The answer has a form that is not understood.
    #[error("the forge's answer was not understood: {why}")]
    InvalidResponse {
        /// What was not understood.
        #[serde(default)]
        why: String,
    },
    /// The URL is no pull request's.
    #[error("the URL is not one of a pull request")]
    #[serde(deserialize_with = "crate::tagged::nothing_more")]
    UnrecognizedUrl,
    /// The URL names another repository than the rig's.
    #[error("the pull request belongs to another repository than the rig")]
    #[serde(deserialize_with = "crate::tagged::nothing_more")]
    RepositoryMismatch,
    /// The URL's host is not allowed.
    #[error("the host is not allowed")]
    #[serde(deserialize_with = "crate::tagged::nothing_more")]
    HostNotAllowed,
}

/// What came of asking a forge to merge (spec 4.5).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum MergeOutcome {
    /// It is merged.
    Merged {
        /// The commit on the base branch.
        commit: String,
    },
    /// It is in the merge queue.
    #[serde(deserialize_with = "crate::tagged::nothing_more")]
    Queued,
    /// A fresh look showed that it may not be merged.
    NotReady {
        /// That look.
        observation: Box<Observation>,
    },
    /// The forge refused.
    Refused {
        /// The HTTP status.
        status: u16,
        /// The forge's own words.
        #[serde(default)]
        message: String,
    },
    /// Unknown: it may have merged.
    Error {
        /// What went wrong.
        error: ForgeError,
    },
}

/// What a look at the target branch says about a direct merge (spec 4.1).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum VerifyOutcome {
    /// The work is on the target.
    Landed {
        /// The commit that carries it.
        commit: String,
    },
    /// The work is not on the target.
    #[serde(deserialize_with = "crate::tagged::nothing_more")]
    Absent,
    /// It can't be told.
    #[serde(deserialize_with = "crate::tagged::nothing_more")]
    Unknown,
}

/// A repository as an adapter needs it. Credentials are resolved by the adapter (spec 2.4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepositoryRef {
    /// The town that asks.
    pub town_id: TownId,
    /// The rig whose repository it is; none where it could only be inferred.
    pub rig_id: Option<RigId>,
    /// The rig's git URL.
    pub git_url: String,
    /// The rig's default branch.
    pub default_branch: String,
}

/// A pull request to observe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObserveRequest {
    /// The rig's repository; none when no rig is known for the pull request.
    pub repository: Option<RepositoryRef>,
    /// The town that asks.
    pub town_id: TownId,
    /// The pull request.
    pub pr_url: String,
    /// Whether threads, checks and reviews are wanted.
    pub with_feedback: bool,
}

/// A pull request to merge (spec 4.5).
#[derive(Debug, Clone, PartialEq)]
pub struct MergeRequest {
    /// The rig's repository.
    pub repository: RepositoryRef,
    /// The pull request.
    pub pr_url: String,
    /// The head that was judged; the merge is guarded by it.
    pub head_sha: String,
    /// The configured method.
    pub method: MergeMethod,
    /// What must still hold.
    pub certificate: Certificate,
}

/// A direct merge to verify (spec 4.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifyRequest {
    /// The rig's repository.
    pub repository: RepositoryRef,
    /// The branch whose work should be on the target.
    pub branch: String,
    /// The target branch.
    pub target_branch: String,
    /// The commit that the refinery says carries it.
    pub merge_commit: Option<String>,
}

/// A branch to create (spec 2.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateBranchRequest {
    /// The rig's repository.
    pub repository: RepositoryRef,
    /// The branch, made from the head of the default branch.
    pub branch: String,
}

/// A comment to write under a pull request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommentRequest {
    /// The rig's repository.
    pub repository: RepositoryRef,
    /// The pull request.
    pub pr_url: String,
    /// The text, as Markdown.
    pub text: String,
}

/// The port to a forge (GitHub, or plain git for direct merges).
///
/// # To ensure correctness
/// - No method repeats a mutating call: retries are rules of the engine (spec 2.4).
/// - What could not be read is incomplete, never fine (spec 4.2).
/// - `merge` observes again before it merges, guards by the head, and never merges a pull request
///   of another repository (spec 4.5).
/// - `create_branch` of a branch that exists succeeds.
/// - No method panics; no error holds a secret.
#[async_trait]
pub trait Forge: Send + Sync {
    /// Looks at a pull request.
    ///
    /// # Errors
    /// [`ForgeError`], by the classes of spec 4.3.
    async fn observe(&self, request: ObserveRequest) -> Result<Observation, ForgeError>;

    /// Merges a pull request if it still may be merged. Merging a merged one reports merged.
    async fn merge(&self, request: MergeRequest) -> MergeOutcome;

    /// Says whether a branch's work is on its target.
    async fn verify_merge(&self, request: VerifyRequest) -> VerifyOutcome;

    /// Creates a branch from the default branch's head; one that exists is left as it is.
    ///
    /// # Errors
    /// [`ForgeError`], by the classes of spec 4.3.
    async fn create_branch(&self, request: CreateBranchRequest) -> Result<(), ForgeError>;

    /// Writes a comment under a pull request; for hosts, no rule asks for it. It is sent once, so
    /// after an error it may stand there. A forge without pull requests has none to write under.
    ///
    /// # Errors
    /// [`ForgeError`], by the classes of spec 4.3.
    async fn comment(&self, request: CommentRequest) -> Result<(), ForgeError> {
        let _ = request;
        Err(ForgeError::UnrecognizedUrl)
    }
}
