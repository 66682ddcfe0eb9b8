//! Why a pull request should not be merged now (spec 4.4(6), the part that a forge can tell). Pure.

use crate::observation::{
    ChecksState, Decision, DequeueCause, Feedback, MergeQueue, Mergeable, Observation,
    PullRequestState,
};
use crate::url::RepositoryName;

/// What must hold for a merge, besides what always must.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MergeConditions {
    /// The head that was evaluated; another one makes every decision void.
    pub head_sha: String,
    /// The branch that the work is on, if it is known.
    pub head_branch: Option<String>,
    /// The repository of that branch, if it is known.
    pub head_repository: Option<RepositoryName>,
    /// The branch that it is to be merged into, if it is known.
    pub base_branch: Option<String>,
    /// Whether a pull request without any check may be merged.
    pub without_checks: WithoutChecks,
    /// Whether an approval of an earlier head counts.
    pub stale_approval: StaleApproval,
    /// Whether one that is part of a stack may be merged, and what is below it with it.
    pub stack: Stack,
    /// Whether a head that a person took out of the merge queue may be put in again.
    pub taken_out: TakenOut,
}

impl MergeConditions {
    /// The strict defaults for this head, except that repositories without checks can merge.
    pub fn for_head(head_sha: impl Into<String>) -> Self {
        Self {
            head_sha: head_sha.into(),
            head_branch: None,
            head_repository: None,
            base_branch: None,
            without_checks: WithoutChecks::Allowed,
            stale_approval: StaleApproval::Refused,
            stack: Stack::Refused,
            taken_out: TakenOut::Refused,
        }
    }
}

/// See [`MergeConditions::without_checks`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WithoutChecks {
    /// Repositories without CI can merge.
    Allowed,
    /// At least one check must have reported (`require_checks`).
    Refused,
}

/// See [`MergeConditions::stale_approval`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StaleApproval {
    /// It counts as long as the forge counts it.
    Allowed,
    /// The deciding approval must have seen this head (`require_fresh_approval`).
    Refused,
}

/// See [`MergeConditions::stack`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stack {
    /// Merging it would merge pull requests that were not evaluated.
    Refused,
    /// The caller evaluated all of them.
    MergedWithAllBelow,
}

/// See [`MergeConditions::taken_out`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TakenOut {
    /// It waits for that person, or for another head.
    Refused,
    /// A person said so.
    MayEnterAgain,
}

/// One reason against merging now.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Blocker {
    /// It is merged or closed.
    #[error("it is not open")]
    NotOpen,
    /// Its head is another than the one that was evaluated.
    #[error("its head is {head_sha} by now")]
    OtherHead {
        /// The head that it has.
        head_sha: String,
    },
    /// Its branch, or the repository of that, is another than expected.
    #[error("its work is on another branch or in another repository than expected")]
    OtherSource,
    /// It asks to be merged into another branch than expected.
    #[error("it asks to be merged into {base_branch}")]
    OtherBase {
        /// That branch.
        base_branch: String,
    },
    /// Its author calls it unfinished.
    #[error("it is a draft")]
    Draft,
    /// Merging it would merge others.
    #[error("it is part of a stack")]
    Stacked,
    /// The forge does not know yet whether it can be merged, or something could not be read.
    #[error("it is not known whether it can be merged")]
    MergeabilityUnknown,
    /// It conflicts with its base.
    #[error("it conflicts with its base branch")]
    Conflict,
    /// Its base must be merged into it first.
    #[error("its base branch must be merged into it first")]
    Behind,
    /// A rule of the base branch is not met.
    #[error("a rule of its base branch is not met")]
    BlockedByRules,
    /// The forge calls it unstable, and no check that passes tells why.
    #[error("the forge calls it unstable")]
    Unstable,
    /// The merge queue has it already.
    #[error("it is in the merge queue")]
    Queued,
    /// A person took this head out of the merge queue.
    #[error("a person took it out of the merge queue")]
    TakenOutOfQueue,
    /// Threads, checks and reviews were not looked at.
    #[error("its feedback was not looked at")]
    FeedbackUnknown,
    /// Not every thread was seen.
    #[error("not all review threads could be read")]
    ThreadsIncomplete,
    /// Threads wait for an answer.
    #[error("{count} review threads are unresolved")]
    UnresolvedThreads {
        /// How many.
        count: u32,
    },
    /// Not every check, or not every rule about checks, was seen.
    #[error("not all checks could be read")]
    ChecksIncomplete,
    /// Checks fail.
    #[error("checks fail: {}", names.join(", "))]
    ChecksFailing {
        /// Their names.
        names: Vec<String>,
    },
    /// Checks have not finished.
    #[error("checks have not finished: {}", names.join(", "))]
    ChecksPending {
        /// Their names.
        names: Vec<String>,
    },
    /// Required checks never reported on this head.
    #[error("required checks have not reported: {}", names.join(", "))]
    ChecksMissing {
        /// Their names.
        names: Vec<String>,
    },
    /// No check reported at all.
    #[error("no check reported")]
    NoChecks,
    /// A writer asks for changes.
    #[error("changes are requested")]
    ChangesRequested,
    /// An approval is missing.
    #[error("an approval is missing")]
    ReviewRequired,
    /// The deciding approval saw an earlier head.
    #[error("it was approved at an earlier head")]
    ApprovalOfOtherHead,
}

/// Everything that speaks against merging now. Empty means green.
#[must_use]
pub fn blockers(seen: &Observation, conditions: &MergeConditions) -> Vec<Blocker> {
    let mut found = Vec::new();
    identity(seen, conditions, &mut found);
    if seen.is_draft {
        found.push(Blocker::Draft);
    }
    if seen.stacked && conditions.stack == Stack::Refused {
        found.push(Blocker::Stacked);
    }
    match seen.merge_queue {
        MergeQueue::Queued => found.push(Blocker::Queued),
        MergeQueue::None | MergeQueue::Required if stays_out(seen, conditions) => {
            found.push(Blocker::TakenOutOfQueue);
        }
        MergeQueue::None | MergeQueue::Required => {}
    }
    found.extend(mergeability(seen));
    match &seen.feedback {
        None => found.push(Blocker::FeedbackUnknown),
        Some(feedback) => {
            threads(feedback, &mut found);
            checks(feedback, conditions, &mut found);
            found.extend(reviews(feedback, conditions));
        }
    }
    found
}

fn stays_out(seen: &Observation, conditions: &MergeConditions) -> bool {
    let cause = seen.dequeued.as_ref().map(|it| it.cause);
    cause == Some(DequeueCause::Person) && conditions.taken_out == TakenOut::Refused
}

fn identity(seen: &Observation, conditions: &MergeConditions, found: &mut Vec<Blocker>) {
    match seen.state {
        PullRequestState::Open => {}
        PullRequestState::Merged { .. } | PullRequestState::Closed => found.push(Blocker::NotOpen),
    }
    if seen.head_sha != conditions.head_sha {
        found.push(Blocker::OtherHead {
            head_sha: seen.head_sha.clone(),
        });
    }
    let other_branch = conditions
        .head_branch
        .as_ref()
        .is_some_and(|it| *it != seen.head_branch);
    let repository = &conditions.head_repository;
    let other_repository = repository.is_some() && *repository != seen.head_repository;
    if other_branch || other_repository {
        found.push(Blocker::OtherSource);
    }
    if conditions
        .base_branch
        .as_ref()
        .is_some_and(|it| *it != seen.base_branch)
    {
        found.push(Blocker::OtherBase {
            base_branch: seen.base_branch.clone(),
        });
    }
}

fn mergeability(seen: &Observation) -> Option<Blocker> {
    let passing = |it: &Feedback| it.checks.state == ChecksState::Passing;
    match seen.mergeable {
        Mergeable::Clean | Mergeable::HasHooks => None,
        Mergeable::Unstable if seen.feedback.as_ref().is_some_and(passing) => None,
        Mergeable::Unstable => Some(Blocker::Unstable),
        Mergeable::Dirty => Some(Blocker::Conflict),
        Mergeable::Behind => Some(Blocker::Behind),
        Mergeable::Blocked => Some(Blocker::BlockedByRules),
        Mergeable::Unknown => Some(Blocker::MergeabilityUnknown),
    }
}

fn threads(feedback: &Feedback, found: &mut Vec<Blocker>) {
    if !feedback.threads_complete {
        found.push(Blocker::ThreadsIncomplete);
    }
    if feedback.unresolved_threads > 0 {
        found.push(Blocker::UnresolvedThreads {
            count: feedback.unresolved_threads,
        });
    }
}

fn checks(feedback: &Feedback, conditions: &MergeConditions, found: &mut Vec<Blocker>) {
    let checks = &feedback.checks;
    if !feedback.checks_complete {
        found.push(Blocker::ChecksIncomplete);
    }
    let named = |names: &Vec<String>, blocker: fn(Vec<String>) -> Blocker| {
        (!names.is_empty()).then(|| blocker(names.clone()))
    };
    found.extend(named(&checks.failing, |names| Blocker::ChecksFailing {
        names,
    }));
    found.extend(named(&checks.pending, |names| Blocker::ChecksPending {
        names,
    }));
    found.extend(named(&checks.required_missing, |names| {
        Blocker::ChecksMissing { names }
    }));
    if checks.state == ChecksState::None && conditions.without_checks == WithoutChecks::Refused {
        found.push(Blocker::NoChecks);
    }
}

fn reviews(feedback: &Feedback, conditions: &MergeConditions) -> Option<Blocker> {
    match feedback.decision {
        None => None,
        Some(Decision::ChangesRequested) => Some(Blocker::ChangesRequested),
        Some(Decision::ReviewRequired) => Some(Blocker::ReviewRequired),
        Some(Decision::Approved) => {
            let fresh = feedback.decision_head.as_ref() == Some(&conditions.head_sha);
            let refused = conditions.stale_approval == StaleApproval::Refused && !fresh;
            refused.then_some(Blocker::ApprovalOfOtherHead)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observation::Checks;

    fn green() -> Observation {
        Observation {
            state: PullRequestState::Open,
            head_sha: "abc".to_owned(),
            head_branch: "work".to_owned(),
            head_repository: RepositoryName::parse("o/r").ok(),
            base_branch: "main".to_owned(),
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
                decision: Some(Decision::Approved),
                decision_head: Some("abc".to_owned()),
            }),
            api_budget: None,
        }
    }

    fn conditions() -> MergeConditions {
        MergeConditions {
            head_branch: Some("work".to_owned()),
            head_repository: RepositoryName::parse("O/R").ok(),
            base_branch: Some("main".to_owned()),
            ..MergeConditions::for_head("abc")
        }
    }

    /// The blockers after one change to a green observation.
    fn after(change: fn(&mut Observation)) -> Vec<Blocker> {
        let mut seen = green();
        change(&mut seen);
        blockers(&seen, &conditions())
    }

    fn after_feedback(change: fn(&mut Feedback)) -> Vec<Blocker> {
        let mut seen = green();
        change(seen.feedback.as_mut().unwrap());
        blockers(&seen, &conditions())
    }

    #[test]
    fn green_has_no_blockers() {
        assert_eq!(blockers(&green(), &conditions()), []);
        assert_eq!(after(|it| it.mergeable = Mergeable::HasHooks), []);
        assert_eq!(after(|it| it.mergeable = Mergeable::Unstable), []);
        assert_eq!(after(|it| it.merge_queue = MergeQueue::Required), []);
        assert_eq!(after_feedback(|it| it.decision = None), []);
        assert_eq!(after_feedback(|it| it.checks.state = ChecksState::None), []);
    }

    #[test]
    fn every_gate_blocks_by_itself() {
        use Blocker as B;
        assert_eq!(
            after(|it| it.state = PullRequestState::Closed),
            [B::NotOpen]
        );
        assert_eq!(after(|it| it.is_draft = true), [B::Draft]);
        assert_eq!(
            after(|it| it.head_branch = "x".to_owned()),
            [B::OtherSource]
        );
        assert_eq!(after(|it| it.head_repository = None), [B::OtherSource]);
        assert_eq!(after(|it| it.merge_queue = MergeQueue::Queued), [B::Queued]);
        assert_eq!(after(|it| it.feedback = None), [B::FeedbackUnknown]);
        let base_branch = "x".to_owned();
        assert_eq!(
            after(|it| it.base_branch = "x".to_owned()),
            [B::OtherBase { base_branch }]
        );
        assert_eq!(
            after(|it| it.mergeable = Mergeable::Unknown),
            [B::MergeabilityUnknown]
        );
        assert_eq!(after(|it| it.mergeable = Mergeable::Dirty), [B::Conflict]);
        assert_eq!(after(|it| it.mergeable = Mergeable::Behind), [B::Behind]);
        assert_eq!(
            after(|it| it.mergeable = Mergeable::Blocked),
            [B::BlockedByRules]
        );
    }

    #[test]
    fn every_part_of_the_feedback_blocks_by_itself() {
        use Blocker as B;
        let names = || vec!["ci".to_owned()];
        assert_eq!(
            after_feedback(|it| it.threads_complete = false),
            [B::ThreadsIncomplete]
        );
        let threads = after_feedback(|it| it.unresolved_threads = 2);
        assert_eq!(threads, [B::UnresolvedThreads { count: 2 }]);
        assert_eq!(
            after_feedback(|it| it.checks_complete = false),
            [B::ChecksIncomplete]
        );
        let failing = after_feedback(|it| it.checks.failing = vec!["ci".to_owned()]);
        assert_eq!(failing, [B::ChecksFailing { names: names() }]);
        let pending = after_feedback(|it| it.checks.pending = vec!["ci".to_owned()]);
        assert_eq!(pending, [B::ChecksPending { names: names() }]);
        let missing = after_feedback(|it| it.checks.required_missing = vec!["ci".to_owned()]);
        assert_eq!(missing, [B::ChecksMissing { names: names() }]);
        let changes = after_feedback(|it| it.decision = Some(Decision::ChangesRequested));
        assert_eq!(changes, [B::ChangesRequested]);
        let review = after_feedback(|it| it.decision = Some(Decision::ReviewRequired));
        assert_eq!(review, [B::ReviewRequired]);
    }

    #[test]
    fn trap_13_an_approval_of_an_earlier_head_is_not_one_of_this_head() {
        let stale = after_feedback(|it| it.decision_head = Some("older".to_owned()));
        assert_eq!(stale, [Blocker::ApprovalOfOtherHead]);
        let mut seen = green();
        seen.feedback.as_mut().unwrap().decision_head = None;
        let lenient = MergeConditions {
            stale_approval: StaleApproval::Allowed,
            ..conditions()
        };
        assert_eq!(blockers(&seen, &lenient), []);
    }

    #[test]
    fn trap_25_another_head_makes_the_decision_void() {
        let moved = after(|it| {
            it.head_sha = "new".to_owned();
            it.feedback.as_mut().unwrap().decision = None;
        });
        assert_eq!(
            moved,
            [Blocker::OtherHead {
                head_sha: "new".to_owned()
            }]
        );
    }

    #[test]
    fn trap_32_a_stack_is_refused_unless_told() {
        assert_eq!(after(|it| it.stacked = true), [Blocker::Stacked]);
        let seen = Observation {
            stacked: true,
            ..green()
        };
        let told = MergeConditions {
            stack: Stack::MergedWithAllBelow,
            ..conditions()
        };
        assert_eq!(blockers(&seen, &told), []);
    }

    #[test]
    fn trap_05_no_checks_can_be_made_not_enough() {
        let mut seen = green();
        seen.feedback.as_mut().unwrap().checks.state = ChecksState::None;
        let strict = MergeConditions {
            without_checks: WithoutChecks::Refused,
            ..conditions()
        };
        assert_eq!(blockers(&seen, &strict), [Blocker::NoChecks]);
        seen.mergeable = Mergeable::Unstable;
        assert_eq!(blockers(&seen, &conditions()), [Blocker::Unstable]);
    }
}
