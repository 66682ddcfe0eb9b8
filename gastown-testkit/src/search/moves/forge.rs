//! The forge: what it shows of a pull request, and how it merges one.

use gastown_core::effects::{MergePr, PollPr};
use gastown_core::events::{MergeAttempted, PrObserved};
use gastown_core::forges::{Checks, ChecksState, Feedback, MergeQueue, Mergeable, PrState};
use gastown_core::{EventKind, ForgeError, MergeOutcome, Observation};

use crate::search::small_town::{Fate, State};

pub(super) fn observed(poll: &PollPr, look: Result<Observation, ForgeError>) -> EventKind {
    let (observation, error) = match look {
        Ok(look) => (Some(look), None),
        Err(error) => (None, Some(error)),
    };
    PrObserved {
        bead_id: poll.bead_id.clone(),
        pr_url: Some(poll.pr_url.clone()),
        observation,
        error,
    }
    .into()
}

pub(super) fn merged(state: &mut State, merge: &MergePr) -> EventKind {
    let look = look(state, &merge.pr_url);
    let commit = || MergeOutcome::Merged {
        commit: "merge".into(),
    };
    let outcome = match (state.prs.get_mut(&merge.pr_url), look) {
        (Some(pr), _) if matches!(pr.fate, Fate::MergedByEngine | Fate::MergedByHand) => commit(),
        (Some(pr), Ok(look)) if pr.fate == Fate::Open && look.head_sha == merge.head_sha => {
            pr.fate = Fate::MergedByEngine;
            commit()
        }
        (_, Ok(look)) => MergeOutcome::NotReady {
            observation: Box::new(look),
        },
        (_, Err(error)) => MergeOutcome::Error { error },
    };
    MergeAttempted {
        bead_id: merge.bead_id.clone(),
        head_sha: merge.head_sha.clone(),
        outcome,
    }
    .into()
}

pub(super) fn look(state: &State, url: &str) -> Result<Observation, ForgeError> {
    let pr = state.prs.get(url).ok_or(ForgeError::NotFound {
        repository_readable: true,
    })?;
    let (pr_state, commit) = match pr.fate {
        Fate::Open => (PrState::Open, None),
        Fate::MergedByEngine | Fate::MergedByHand => (PrState::Merged, Some("merge".into())),
        Fate::Closed => (PrState::Closed, None),
    };
    let repository = url.trim_start_matches("https://github.com/");
    Ok(Observation {
        state: pr_state,
        merge_commit: commit,
        head_sha: format!("head{}", pr.heads),
        head_branch: pr.branch.clone(),
        head_repository: repository.split("/pull/").next().map(Into::into),
        base_branch: pr.base.clone(),
        is_draft: false,
        stacked: false,
        mergeable: Mergeable::Clean,
        merge_queue: MergeQueue::None,
        dequeued: None,
        feedback: Some(Feedback {
            unresolved_threads: 0,
            threads_complete: true,
            checks: Checks {
                state: ChecksState::Passing,
                failing: Vec::new(),
                pending: Vec::new(),
                required_missing: Vec::new(),
            },
            checks_complete: true,
            decision: None,
            decision_head: None,
        }),
        api_budget: None,
    })
}
