//! From what was read to what is observed, fail-closed. Pure.

use crate::checks::{Context, judge};
use crate::decision::{Reviews, decide};
use crate::github::GitHubConfig;
use crate::graphql::Feed;
use crate::observation::{Feedback, MergeQueue, Mergeable, Observation, PullRequestState};
use crate::response::{PullRequest, RequiredCheck};
use crate::settings::BranchSettings;

/// An open pull request with all that was read about it.
pub(crate) fn observation(
    rest: &PullRequest,
    feed: &Feed,
    settings: &BranchSettings,
    config: &GitHubConfig,
) -> Observation {
    let (queue, queue_known) = merge_queue(feed, settings);
    let mut seen = without_feedback(rest, PullRequestState::Open, queue);
    if !queue_known {
        // A gate that could not be read must not look open, and there is no word for an unknown
        // queue: unknown mergeability stops every decision.
        seen.mergeable = Mergeable::Unknown;
    }
    seen.dequeued = feed
        .dequeued
        .clone()
        .flatten()
        .filter(|_| agree(rest, feed));
    seen.feedback = Some(feedback(rest, feed, settings, config));
    seen
}

/// Whether both reads saw the same head, to be merged into the same branch. Feedback, rules and
/// the queue of another branch say as little about this one as those of another head.
pub(crate) fn agree(rest: &PullRequest, feed: &Feed) -> bool {
    feed.head.as_ref() == Some(&rest.head_sha) && feed.base.as_ref() == Some(&rest.base_branch)
}

/// A pull request by REST alone.
pub(crate) fn without_feedback(
    rest: &PullRequest,
    state: PullRequestState,
    merge_queue: MergeQueue,
) -> Observation {
    Observation {
        state,
        head_sha: rest.head_sha.clone(),
        head_branch: rest.head_branch.clone(),
        head_repository: rest.head_repository.clone(),
        base_branch: rest.base_branch.clone(),
        is_draft: rest.draft,
        stacked: rest.stacked,
        mergeable: rest.mergeability(),
        merge_queue,
        dequeued: None,
        feedback: None,
        api_budget: None,
    }
}

fn merge_queue(feed: &Feed, settings: &BranchSettings) -> (MergeQueue, bool) {
    let required = feed.queue_enabled == Some(true) || settings.rules.merge_queue;
    // A server that shows no queues and yet has one keeps back who is in it.
    let in_queue = feed
        .in_queue
        .filter(|_| feed.shows_queues || !settings.rules.merge_queue);
    let queue = match in_queue {
        Some(true) => MergeQueue::Queued,
        Some(false) | None if required => MergeQueue::Required,
        Some(false) | None => MergeQueue::None,
    };
    // Not knowing who took it out of the queue is not knowing whether it may enter, if there is one.
    let known = in_queue.is_some()
        && feed.queue_enabled.is_some()
        && (feed.dequeued.is_some() || queue == MergeQueue::None);
    (queue, known)
}

fn feedback(
    rest: &PullRequest,
    feed: &Feed,
    settings: &BranchSettings,
    config: &GitHubConfig,
) -> Feedback {
    let same = agree(rest, feed);
    let required = required_checks(feed, settings);
    let contexts: &[Context] = &feed.contexts.items;
    let checks = judge(
        contexts,
        &feed.merge_contexts.items,
        &required,
        config.skipped_required,
    );
    // Everyone may see the names by GraphQL where classic protection is not shown.
    let demands_known =
        settings.rules.complete && (settings.protection.complete || feed.branch_rule.is_some());
    let by_graphql = feed
        .branch_rule
        .as_ref()
        .map_or(0, |it| it.required_approvals);
    let (decision, decision_head) = decide(&Reviews {
        head: &rest.head_sha,
        summary: feed.decision.filter(|_| same),
        latest: &feed.reviews.items,
        complete: feed.reviews.whole && feed.reviews.next.is_none(),
        required_approvals: settings.rules.required_approvals.max(by_graphql),
    });
    let unresolved = feed
        .threads
        .items
        .iter()
        .filter(|it| !it.is_resolved)
        .count();
    Feedback {
        unresolved_threads: u32::try_from(unresolved).unwrap_or(u32::MAX),
        threads_complete: same && feed.threads.whole && feed.threads.next.is_none(),
        checks,
        checks_complete: same
            && demands_known
            && feed.contexts.whole
            && feed.contexts.next.is_none()
            && feed.merge_contexts.whole,
        decision,
        decision_head,
    }
}

fn required_checks(feed: &Feed, settings: &BranchSettings) -> Vec<RequiredCheck> {
    let mut required: Vec<RequiredCheck> = settings.required_checks().cloned().collect();
    let names = feed.branch_rule.iter().flat_map(|it| &it.required_contexts);
    required.extend(names.map(|name| RequiredCheck {
        name: name.clone(),
        app: None,
    }));
    required.sort();
    required.dedup();
    required
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::{CheckRun, Conclusion, RunIdentity};
    use crate::graphql::{BranchRule, Page, Thread};
    use crate::observation::{ChecksState, Decision};
    use crate::response::{BranchProtection, BranchRules, MergeState, RestState};

    fn rest() -> PullRequest {
        PullRequest {
            number: 7,
            node_id: None,
            state: RestState::Open,
            merged: false,
            draft: false,
            merge_commit_sha: None,
            head_sha: "abc".to_owned(),
            head_branch: "work".to_owned(),
            head_repository: None,
            base_branch: "main".to_owned(),
            base_repository: None,
            mergeable: Some(true),
            merge_state: MergeState::Clean,
            stacked: false,
        }
    }

    fn page<T>(items: Vec<T>) -> Page<T> {
        Page {
            items,
            whole: true,
            next: None,
        }
    }

    fn passed(name: &str) -> Context {
        Context::Run(CheckRun {
            name: name.to_owned(),
            app: Some(5),
            identity: RunIdentity::Unknown,
            started_at: None,
            conclusion: Conclusion::Passed,
        })
    }

    fn feed() -> Feed {
        Feed {
            id: None,
            head: Some("abc".to_owned()),
            base: Some("main".to_owned()),
            decision: Some(None),
            shows_queues: true,
            in_queue: Some(false),
            queue_enabled: Some(false),
            dequeued: Some(None),
            branch_rule: Some(BranchRule::default()),
            threads: page(vec![Thread { is_resolved: true }]),
            reviews: page(Vec::new()),
            contexts: page(vec![passed("ci")]),
            merge_contexts: page(Vec::new()),
        }
    }

    fn settings() -> BranchSettings {
        let protection = BranchProtection {
            required_checks: Vec::new(),
            complete: true,
        };
        BranchSettings {
            rules: BranchRules::none(),
            protection,
        }
    }

    fn seen(feed: &Feed, settings: &BranchSettings) -> Observation {
        observation(&rest(), feed, settings, &GitHubConfig::default())
    }

    fn feedback_of(feed: &Feed, settings: &BranchSettings) -> Feedback {
        seen(feed, settings).feedback.unwrap()
    }

    #[test]
    fn a_quiet_pull_request_is_fine() {
        let found = seen(&feed(), &settings());
        assert_eq!(
            (found.mergeable, found.merge_queue),
            (Mergeable::Clean, MergeQueue::None)
        );
        let feedback = found.feedback.unwrap();
        assert!(feedback.threads_complete && feedback.checks_complete);
        assert_eq!(
            (feedback.checks.state, feedback.decision),
            (ChecksState::Passing, None)
        );
    }

    #[test]
    fn trap_25_what_was_read_for_another_head_or_another_base_is_incomplete() {
        for other in [
            Feed {
                head: Some("older".to_owned()),
                ..feed()
            },
            Feed {
                base: Some("release".to_owned()),
                ..feed()
            },
            Feed {
                base: None,
                ..feed()
            },
        ] {
            let feedback = feedback_of(&other, &settings());
            assert!(!feedback.threads_complete && !feedback.checks_complete);
            assert_eq!(feedback.decision, Some(Decision::ReviewRequired));
        }
    }

    #[test]
    fn trap_14_a_list_that_was_not_read_to_its_end_is_incomplete() {
        let mut cut = feed();
        cut.threads.next = Some("cursor".to_owned());
        assert!(!feedback_of(&cut, &settings()).threads_complete);
        let mut cut = feed();
        cut.contexts.next = Some("cursor".to_owned());
        assert!(!feedback_of(&cut, &settings()).checks_complete);
        let mut cut = feed();
        cut.reviews.next = Some("cursor".to_owned());
        let decision = feedback_of(&cut, &settings()).decision;
        assert_eq!(decision, Some(Decision::ReviewRequired));
    }

    #[test]
    fn trap_30_reports_on_the_test_merge_that_could_not_be_read_are_missed() {
        let mut cut = feed();
        cut.merge_contexts.whole = false;
        assert!(!feedback_of(&cut, &settings()).checks_complete);
    }

    #[test]
    fn trap_15_unresolved_threads_count_outdated_ones_too() {
        // Whether a thread is outdated is not even asked for.
        let mut open = feed();
        open.threads = page(vec![
            Thread { is_resolved: false },
            Thread { is_resolved: true },
        ]);
        assert_eq!(feedback_of(&open, &settings()).unresolved_threads, 1);
    }

    #[test]
    fn trap_05_required_checks_come_from_rules_protection_and_graphql() {
        let required = |name: &str| RequiredCheck {
            name: name.to_owned(),
            app: None,
        };
        let mut demands = settings();
        demands.rules.required_checks.push(required("rule"));
        demands.protection.required_checks.push(required("classic"));
        let mut all = feed();
        let rule = BranchRule {
            required_contexts: vec!["shown".to_owned()],
            required_approvals: 0,
        };
        all.branch_rule = Some(rule);
        let checks = feedback_of(&all, &demands).checks;
        assert_eq!(checks.state, ChecksState::Pending);
        assert_eq!(checks.required_missing, ["classic", "rule", "shown"]);
    }

    #[test]
    fn demands_that_may_not_be_read_leave_the_checks_incomplete() {
        let unknown = BranchSettings::default();
        assert!(!feedback_of(&feed(), &unknown).checks_complete);
        let hidden = BranchSettings {
            protection: BranchProtection::default(),
            ..settings()
        };
        assert!(feedback_of(&feed(), &hidden).checks_complete);
        let blind = Feed {
            branch_rule: None,
            ..feed()
        };
        assert!(!feedback_of(&blind, &hidden).checks_complete);
        assert!(feedback_of(&blind, &settings()).checks_complete);
    }

    #[test]
    fn trap_19_the_queue_is_asked_and_an_unreadable_one_stops_everything() {
        let queued = Feed {
            in_queue: Some(true),
            ..feed()
        };
        assert_eq!(seen(&queued, &settings()).merge_queue, MergeQueue::Queued);
        let enabled = Feed {
            queue_enabled: Some(true),
            ..feed()
        };
        assert_eq!(
            seen(&enabled, &settings()).merge_queue,
            MergeQueue::Required
        );
        let mut demands = settings();
        demands.rules.merge_queue = true;
        assert_eq!(seen(&feed(), &demands).merge_queue, MergeQueue::Required);
        let blind = Feed {
            shows_queues: false,
            ..feed()
        };
        assert_eq!(seen(&blind, &demands).mergeable, Mergeable::Unknown);
        assert_eq!(seen(&blind, &settings()).mergeable, Mergeable::Clean);
        let unknown = Feed {
            in_queue: None,
            ..feed()
        };
        assert_eq!(seen(&unknown, &settings()).mergeable, Mergeable::Unknown);
        // Who took it out matters only where it may enter again.
        let unread = Feed {
            dequeued: None,
            ..feed()
        };
        assert_eq!(seen(&unread, &demands).mergeable, Mergeable::Unknown);
        assert_eq!(seen(&unread, &settings()).mergeable, Mergeable::Clean);
    }
}
