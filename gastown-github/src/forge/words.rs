//! The words of this crate in the words of the core. Pure.

use gastown_core::forges as core;
use gastown_core::{ForgeError, MergeMethod, MergeOutcome, Observation, Timestamp, VerifyOutcome};

use crate::classify::MergeMethod as Method;
use crate::merge::MethodChoice;
use crate::observation as ours;

/// The configured method as a choice.
pub(super) trait MethodWord {
    fn choice(self) -> MethodChoice;
}

impl MethodWord for MergeMethod {
    fn choice(self) -> MethodChoice {
        match self {
            Self::Auto => MethodChoice::Auto,
            Self::Squash => MethodChoice::Only(Method::Squash),
            Self::Merge => MethodChoice::Only(Method::Merge),
            Self::Rebase => MethodChoice::Only(Method::Rebase),
        }
    }
}

pub(super) fn observation(seen: ours::Observation) -> Observation {
    let (state, merge_commit) = match seen.state {
        ours::PullRequestState::Open => (core::PrState::Open, None),
        ours::PullRequestState::Merged { commit } => (core::PrState::Merged, commit),
        ours::PullRequestState::Closed => (core::PrState::Closed, None),
    };
    Observation {
        state,
        merge_commit,
        head_sha: seen.head_sha,
        head_branch: seen.head_branch,
        head_repository: seen.head_repository.map(|it| it.to_string()),
        base_branch: seen.base_branch,
        is_draft: seen.is_draft,
        stacked: seen.stacked,
        mergeable: mergeable(seen.mergeable),
        merge_queue: match seen.merge_queue {
            ours::MergeQueue::None => core::MergeQueue::None,
            ours::MergeQueue::Required => core::MergeQueue::Required,
            ours::MergeQueue::Queued => core::MergeQueue::Queued,
        },
        dequeued: seen.dequeued.map(dequeued),
        feedback: seen.feedback.map(feedback),
        api_budget: seen.api_budget.map(|it| core::ApiBudget {
            remaining: it.remaining,
            resets_at: Timestamp::from(it.resets_at),
        }),
    }
}

fn dequeued(left: ours::Dequeued) -> core::Dequeued {
    core::Dequeued {
        at: Timestamp::from(left.at),
        cause: match left.cause {
            ours::DequeueCause::Person => core::DequeueCause::Person,
            ours::DequeueCause::Merge => core::DequeueCause::Merge,
            ours::DequeueCause::Other => core::DequeueCause::Other,
        },
        reason: left.reason,
    }
}

fn mergeable(word: ours::Mergeable) -> core::Mergeable {
    match word {
        ours::Mergeable::Clean => core::Mergeable::Clean,
        ours::Mergeable::Dirty => core::Mergeable::Dirty,
        ours::Mergeable::Blocked => core::Mergeable::Blocked,
        ours::Mergeable::Behind => core::Mergeable::Behind,
        ours::Mergeable::Unstable => core::Mergeable::Unstable,
        ours::Mergeable::HasHooks => core::Mergeable::HasHooks,
        ours::Mergeable::Unknown => core::Mergeable::Unknown,
    }
}

fn feedback(said: ours::Feedback) -> core::Feedback {
    core::Feedback {
        unresolved_threads: said.unresolved_threads,
        threads_complete: said.threads_complete,
        checks: core::Checks {
            state: match said.checks.state {
                ours::ChecksState::None => core::ChecksState::None,
                ours::ChecksState::Passing => core::ChecksState::Passing,
                ours::ChecksState::Failing => core::ChecksState::Failing,
                ours::ChecksState::Pending => core::ChecksState::Pending,
            },
            failing: said.checks.failing,
            pending: said.checks.pending,
            required_missing: said.checks.required_missing,
        },
        checks_complete: said.checks_complete,
        decision: said.decision.map(|it| match it {
            ours::Decision::Approved => core::Decision::Approved,
            ours::Decision::ChangesRequested => core::Decision::ChangesRequested,
            ours::Decision::ReviewRequired => core::Decision::ReviewRequired,
        }),
        decision_head: said.decision_head,
    }
}

/// The kinds of spec 4.2. The core's have less to say, so the rest goes to the log.
pub(super) fn error(why: ours::ForgeError) -> ForgeError {
    tracing::debug!(%why, "no answer that can be used");
    match why {
        ours::ForgeError::NoToken { tried } => ForgeError::NoToken { tried },
        ours::ForgeError::Unauthorized => ForgeError::Unauthorized,
        ours::ForgeError::Forbidden { .. } => {
            tracing::warn!(%why, "a permission is missing");
            ForgeError::Forbidden
        }
        ours::ForgeError::NotFound {
            repository_readable,
        } => ForgeError::NotFound {
            repository_readable,
        },
        ours::ForgeError::RateLimited { until } => ForgeError::RateLimited {
            until: Timestamp::from(until),
        },
        ours::ForgeError::Server { status } => ForgeError::Server { status },
        ours::ForgeError::Network { .. } => ForgeError::Network,
        ours::ForgeError::InvalidResponse { why } => ForgeError::InvalidResponse { why },
        ours::ForgeError::UnrecognizedUrl { .. } => ForgeError::UnrecognizedUrl,
        ours::ForgeError::RepositoryMismatch { .. } => ForgeError::RepositoryMismatch,
        ours::ForgeError::HostNotAllowed { .. } => ForgeError::HostNotAllowed,
    }
}

pub(super) fn merge_made(outcome: ours::MergeOutcome) -> MergeOutcome {
    match outcome {
        ours::MergeOutcome::Merged {
            commit: Some(commit),
        } => MergeOutcome::Merged { commit },
        // The next look tells which commit it was; to name a wrong one would land nothing.
        ours::MergeOutcome::Merged { commit: None } => MergeOutcome::Error {
            error: ForgeError::InvalidResponse {
                why: "merged, and the commit is not told".to_owned(),
            },
        },
        ours::MergeOutcome::Queued => MergeOutcome::Queued,
        ours::MergeOutcome::NotReady { observation: seen } => MergeOutcome::NotReady {
            observation: Box::new(observation(*seen)),
        },
        ours::MergeOutcome::Refused { status, message } => {
            MergeOutcome::Refused { status, message }
        }
        ours::MergeOutcome::Error { error: why } => MergeOutcome::Error { error: error(why) },
    }
}

pub(super) fn landing(found: ours::Landing) -> VerifyOutcome {
    match found {
        ours::Landing::Landed { commit } => VerifyOutcome::Landed { commit },
        ours::Landing::Absent => VerifyOutcome::Absent,
        ours::Landing::Unknown => VerifyOutcome::Unknown,
    }
}

pub(super) fn branch_made(outcome: ours::BranchOutcome) -> Result<(), ForgeError> {
    match outcome {
        // One that exists is left as it is.
        ours::BranchOutcome::Created { .. } | ours::BranchOutcome::Conflict { .. } => Ok(()),
        ours::BranchOutcome::Refused { status, message } => Err(refusal(status, message)),
        ours::BranchOutcome::Error { error: why } => Err(error(why)),
    }
}

pub(super) fn comment_made(outcome: ours::CommentOutcome) -> Result<(), ForgeError> {
    match outcome {
        ours::CommentOutcome::Posted { .. } => Ok(()),
        ours::CommentOutcome::Refused { status, message } => Err(refusal(status, message)),
        ours::CommentOutcome::Error { error: why } => Err(error(why)),
    }
}

/// A definite no, in the kind that says what a person can do about it.
fn refusal(status: u16, message: String) -> ForgeError {
    match status {
        401 => ForgeError::Unauthorized,
        403 => {
            tracing::warn!(message, "refused");
            ForgeError::Forbidden
        }
        // The repository's settings or the request itself; the words are all there is.
        404 | 410 => ForgeError::NotFound {
            repository_readable: true,
        },
        _ => ForgeError::InvalidResponse {
            why: format!("refused with status {status}: {message}"),
        },
    }
}
