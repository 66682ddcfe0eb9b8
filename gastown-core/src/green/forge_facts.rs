//! The conditions of *green* that the forge was seen to say. What was not seen does not hold.

use alloc::borrow::Cow;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::GreenCondition;
use crate::bead::Bead;
use crate::config::Settings;
use crate::forge::{
    Checks, ChecksState, Decision, DequeueCause, Feedback, MergeQueue, Mergeable, Observation,
    PrState,
};
use crate::review::{Review, Seen};
use crate::time::Timestamp;
use crate::town::Town;
use crate::verdict::WaitFor;

pub(super) const UNSEEN: &str = "not seen yet";
/// The value of `checks` where not one has reported; an adapter that merges reads it.
pub(crate) const NO_CHECKS: &str = "none";
/// The value of `decision` where the approval is of an older head and still counts.
pub(crate) const APPROVED_EARLIER: &str = "approved, for an older head";

pub(super) fn conditions(
    town: &Town,
    mr: &Bead,
    review: &Review,
    settings: &Settings,
) -> Vec<GreenCondition> {
    let seen = review.observation.as_ref();
    let at = seen.map(|seen| seen.at);
    let fact = |name, fact: Option<Fact>| {
        let (holds, by, value) = fact.unwrap_or((false, WaitFor::Forge, UNSEEN.into()));
        GreenCondition::forge(name, holds, by, value, at).since(since(name, mr, review))
    };
    let observation = seen.map(|seen| &seen.observation);
    let feedback = observation.and_then(|observation| observation.feedback.as_ref());
    let checks = seen.and_then(|seen| checks(town, mr, review, seen, settings));
    let checks_pass = checks.as_ref().is_some_and(|(holds, _, _)| *holds);
    alloc::vec![
        fact("head", observation.map(|seen| head(review, seen))),
        fact("open", observation.map(state)),
        fact("not_draft", observation.map(draft)),
        fact("identity", observation.map(|_| identity(town, mr, review))),
        fact("merge_queue", observation.map(queue)),
        fact("threads", feedback.map(threads)),
        fact("checks", checks),
        fact(
            "decision",
            feedback
                .zip(observation)
                .map(|(said, seen)| decision(said, seen, settings)),
        ),
        fact(
            "mergeable",
            observation.map(|seen| mergeable(seen, checks_pass))
        ),
    ]
}

/// Since when a condition has not held: as it was noted, else for as long as nothing that the
/// forge says has changed.
fn since(name: &str, mr: &Bead, review: &Review) -> Option<Timestamp> {
    let noted = match name {
        "decision" => review.approval.as_ref().and_then(|it| it.awaiting_since),
        "mergeable" => review.conflict.as_ref().map(|it| it.since),
        _ => None,
    };
    Some(noted.unwrap_or_else(|| review.changed_at(mr)))
}

/// Whether it holds, who can change it, and its value.
type Fact = (bool, WaitFor, Cow<'static, str>);

fn head(review: &Review, seen: &Observation) -> Fact {
    let same = review.head_sha.as_ref() == Some(&seen.head_sha);
    (same, WaitFor::Forge, seen.head_sha.clone().into())
}

fn state(seen: &Observation) -> Fact {
    let value = match seen.state {
        PrState::Open => "open",
        PrState::Merged => "merged",
        PrState::Closed => "closed",
    };
    (seen.state == PrState::Open, WaitFor::Person, value.into())
}

fn draft(seen: &Observation) -> Fact {
    let value = if seen.is_draft { "a draft" } else { "no draft" };
    (!seen.is_draft, WaitFor::Person, value.into())
}

fn identity(town: &Town, mr: &Bead, review: &Review) -> Fact {
    match identity_problem(town, mr, review) {
        None => (
            true,
            WaitFor::Person,
            "the pull request of this review".into(),
        ),
        Some(problem) => (false, WaitFor::Person, problem.into()),
    }
}

/// What is wrong with the identity of what was seen, if anything was seen.
pub(super) fn identity_problem(town: &Town, mr: &Bead, review: &Review) -> Option<String> {
    let seen = &review.observation.as_ref()?.observation;
    if let Some(problem) = other_way(review, seen) {
        return Some(problem);
    }
    let repository = town.rig_of_review(mr).and_then(|rig| rig.repository());
    let found = seen
        .head_repository
        .as_ref()
        .map(|name| name.to_ascii_lowercase());
    if found.as_deref() != repository.as_ref().map(|known| known.path()) || found.is_none() {
        let found = seen.head_repository.as_deref().unwrap_or("gone");
        return Some(format!(
            "its branch is not in the rig's repository: {found}"
        ));
    }
    seen.stacked
        .then(|| "merging it would merge other pull requests too".to_string())
}

/// Whether a pull request brings another branch, or brings it elsewhere.
pub(super) fn other_way(review: &Review, seen: &Observation) -> Option<String> {
    let (branch, target) = (&review.branch, &review.target_branch);
    if seen.head_branch != *branch {
        let found = &seen.head_branch;
        return Some(format!("its branch is {found}, not {branch}"));
    }
    let found = &seen.base_branch;
    (found != target).then(|| format!("it goes to {found}, not {target}"))
}

fn queue(seen: &Observation) -> Fact {
    if seen.merge_queue != MergeQueue::Queued && taken_out(seen) {
        let value = "a person took it out of the merge queue";
        return (false, WaitFor::Person, value.into());
    }
    let value = match seen.merge_queue {
        MergeQueue::None => "none",
        MergeQueue::Required => "required",
        MergeQueue::Queued => "queued; the queue merges it",
    };
    (
        seen.merge_queue != MergeQueue::Queued,
        WaitFor::Forge,
        value.into(),
    )
}

fn taken_out(seen: &Observation) -> bool {
    let cause = seen.dequeued.as_ref().map(|it| it.cause);
    cause == Some(DequeueCause::Person)
}

fn threads(said: &Feedback) -> Fact {
    if !said.threads_complete {
        return (
            false,
            WaitFor::Forge,
            "not all threads could be read".into(),
        );
    }
    let open = said.unresolved_threads;
    (
        open == 0,
        WaitFor::Person,
        format!("{open} unresolved").into(),
    )
}

/// The checks of the head that was seen.
fn checks(
    town: &Town,
    mr: &Bead,
    review: &Review,
    seen: &Seen,
    settings: &Settings,
) -> Option<Fact> {
    let said = seen.observation.feedback.as_ref()?;
    let checks = &said.checks;
    if !said.checks_complete {
        return Some((false, WaitFor::Forge, "not all checks could be read".into()));
    }
    if checks.state == ChecksState::Failing || !checks.failing.is_empty() {
        let value = format!("failing: {}", names(&checks.failing));
        return Some((false, WaitFor::Person, value.into()));
    }
    if !checks.required_missing.is_empty() {
        let value = format!(
            "required, not reported: {}",
            names(&checks.required_missing)
        );
        return Some((false, WaitFor::Forge, value.into()));
    }
    if checks.state == ChecksState::Pending || !checks.pending.is_empty() {
        let value = format!("pending: {}", names(&checks.pending));
        return Some((false, WaitFor::Forge, value.into()));
    }
    Some(match checks.state {
        ChecksState::None => no_checks(town, mr, review, seen, settings),
        ChecksState::Passing => (true, WaitFor::Forge, "passing".into()),
        // Looked at above; said again so that no new state is taken for a pass.
        ChecksState::Failing | ChecksState::Pending => (false, WaitFor::Forge, "unclear".into()),
    })
}

/// No check at all: green, unless checks are demanded or the head is so new that none can have
/// begun. How new is judged at the time of the observation, so that only another look can end it.
fn no_checks(town: &Town, mr: &Bead, review: &Review, seen: &Seen, settings: &Settings) -> Fact {
    if settings.require_checks {
        return (
            false,
            WaitFor::Forge,
            "none, but checks are required".into(),
        );
    }
    // A missing time counts from the creation (spec 1.10): of a head that is known, that is.
    let known = review.head_sha.as_ref().map(|_| mr.created_at);
    let first_seen = review.head_seen_at.or(known).unwrap_or(seen.at);
    if seen.at.since(first_seen) < town.policy().pr_poll_interval {
        return (false, WaitFor::Forge, "none yet; the head is new".into());
    }
    (true, WaitFor::Forge, NO_CHECKS.into())
}

/// Longest name that is shown in full; names are the forge's.
const NAME_CHARACTERS_MAX: usize = 60;

/// A few names for a person.
pub(super) fn names(names: &[String]) -> String {
    const SHOWN_MAX: usize = 5;
    let shown: Vec<String> = names
        .iter()
        .take(SHOWN_MAX)
        .map(|name| crate::ids::shown(name, NAME_CHARACTERS_MAX))
        .collect();
    let more = names.len().saturating_sub(SHOWN_MAX);
    match (shown.is_empty(), more) {
        (true, _) => "not named".into(),
        (false, 0) => shown.join(", "),
        (false, more) => format!("{} and {more} more", shown.join(", ")),
    }
}

fn decision(said: &Feedback, seen: &Observation, settings: &Settings) -> Fact {
    match said.decision {
        None => (true, WaitFor::Person, "no review is required".into()),
        Some(Decision::Approved) => {
            let fresh = said.decision_head.as_ref() == Some(&seen.head_sha);
            if fresh {
                (true, WaitFor::Person, "approved".into())
            } else if !settings.require_fresh_approval {
                (true, WaitFor::Person, APPROVED_EARLIER.into())
            } else {
                (
                    false,
                    WaitFor::Person,
                    "approved, but for an older head".into(),
                )
            }
        }
        Some(Decision::ChangesRequested) => (false, WaitFor::Person, "changes requested".into()),
        Some(Decision::ReviewRequired) => (false, WaitFor::Person, "a review is required".into()),
    }
}

fn mergeable(seen: &Observation, checks_pass: bool) -> Fact {
    let passing = seen
        .feedback
        .as_ref()
        .is_some_and(|said| said.checks.state == ChecksState::Passing);
    match seen.mergeable {
        Mergeable::Clean => (true, WaitFor::Forge, "clean".into()),
        Mergeable::HasHooks => (true, WaitFor::Forge, "clean, with hooks".into()),
        Mergeable::Unstable => {
            let holds = checks_pass && passing;
            (
                holds,
                WaitFor::Forge,
                "a check that does not count fails".into(),
            )
        }
        Mergeable::Dirty => (false, WaitFor::Person, "conflicts with its target".into()),
        Mergeable::Behind => (false, WaitFor::Person, "is behind its target".into()),
        Mergeable::Blocked => (
            false,
            WaitFor::Person,
            "a rule of the forge blocks it".into(),
        ),
        Mergeable::Unknown => (false, WaitFor::Forge, "not known yet".into()),
    }
}

/// Unresolved or unread threads, failing or unread checks, or changes requested. Pending checks
/// are no feedback.
pub(super) fn needs_feedback_repair(review: &Review) -> bool {
    let Some(said) = review
        .observation
        .as_ref()
        .and_then(|seen| seen.observation.feedback.as_ref())
    else {
        return false;
    };
    said.unresolved_threads > 0
        || !said.threads_complete
        || fails(&said.checks)
        || !said.checks_complete
        || said.decision == Some(Decision::ChangesRequested)
}

fn fails(checks: &Checks) -> bool {
    checks.state == ChecksState::Failing || !checks.failing.is_empty()
}
