//! What watching costs, counted by the fake.

use std::time::Duration;

use gastown_github::observation::{ChecksState, Mergeable, PullRequestState};
use gastown_testkit::fake_github::{Conclusion, Method, Opening, Verdict};

use crate::double::{Double, double};

const POLL: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_quiet_pull_request_costs_one_free_revalidation_per_poll() {
    let double = double();
    double.look(1).await.unwrap();
    double.fake.take_received();
    for _ in 0..4 {
        double.fake.clock().advance(POLL);
        double.look(1).await.unwrap();
        let asked = double.fake.take_received();
        let rest: Vec<_> = asked.iter().filter(|it| it.operation.is_none()).collect();
        let shown: Vec<_> = rest
            .iter()
            .map(|it| (it.path.as_str(), it.status, it.points))
            .collect();
        assert_eq!(shown, [("/repos/o/r/pulls/1", Some(304), 0)]);
        // What REST can't tell is one point of the other budget.
        assert_eq!(asked.len(), 2);
    }
}

/// What changes in an hour: minute, pull request, and what happens.
type Change = fn(&Double, u64);

const CHANGES: [(u64, u64, Change); 9] = [
    (3, 2, |it, n| check(it, n, None)),
    (9, 2, |it, n| check(it, n, Some(Conclusion::Failure))),
    (17, 5, |it, n| {
        it.edit(|it| it.open_thread(n, "ann", "f", "?").unwrap());
    }),
    (21, 7, |it, n| {
        let head = it.edit(|it| it.pull(n).unwrap().head_branch.clone());
        it.edit(|it| it.push(&head, &[("more.txt", "more\n")]).unwrap());
    }),
    (28, 9, |it, n| it.edit(|it| it.set_draft(n, true).unwrap())),
    (33, 11, |it, n| {
        it.edit(|it| it.review(n, "ann", Verdict::RequestChanges, "no").unwrap());
    }),
    (40, 13, |it, n| it.edit(|it| it.close(n).unwrap())),
    (47, 15, |it, n| {
        let commit = it.edit(|it| it.merge_now(n, Method::Squash, "ann").unwrap());
        commit.unwrap();
    }),
    (52, 17, |it, n| {
        let file = format!("{n}.txt");
        it.edit(|it| it.push("main", &[(file.as_str(), "theirs\n")]).unwrap());
    }),
];

fn check(double: &Double, number: u64, conclusion: Option<Conclusion>) {
    let head = double.head(number);
    double.edit(|it| it.report_check(&head, "ci", 15368, conclusion));
}

/// What is seen of a pull request, in a few words.
async fn state(double: &Double, number: u64) -> String {
    let seen = double.look(number).await.unwrap();
    match seen.state {
        PullRequestState::Merged { .. } => return "merged".to_owned(),
        PullRequestState::Closed => return "closed".to_owned(),
        PullRequestState::Open => {}
    }
    let feedback = seen.feedback.unwrap();
    let mut words = vec![seen.head_sha];
    let mut add = |is: bool, word: &str| words.extend(is.then(|| word.to_owned()));
    add(seen.is_draft, "draft");
    add(seen.mergeable == Mergeable::Dirty, "conflict");
    add(feedback.checks.state == ChecksState::Failing, "failing");
    add(feedback.checks.state == ChecksState::Pending, "pending");
    add(feedback.unresolved_threads > 0, "thread");
    add(feedback.decision.is_some(), "decision");
    words.join(" ")
}

#[tokio::test]
async fn twenty_pull_requests_are_watched_for_an_hour_and_nothing_is_missed() {
    let double = double();
    double.edit(|it| {
        for number in 2..=20 {
            let (branch, file) = (format!("work-{number}"), format!("{number}.txt"));
            it.push(&branch, &[(file.as_str(), "mine\n")]).unwrap();
            assert_eq!(it.open(Opening::of(&branch)).unwrap(), number);
        }
    });
    let mut known = Vec::new();
    for number in 1..=20 {
        known.push(state(&double, number).await);
    }
    let mut transitions = Vec::new();
    for minute in 0..60 {
        for (_, number, change) in CHANGES.iter().filter(|it| it.0 == minute) {
            change(&double, *number);
        }
        for number in 1..=20 {
            let last = &mut known[usize::try_from(number).unwrap() - 1];
            // What is over is watched no more.
            if ["merged", "closed"].contains(&last.as_str()) {
                continue;
            }
            let now = state(&double, number).await;
            if now != *last {
                transitions.push((minute, number));
                *last = now;
            }
        }
        double.fake.clock().advance(POLL);
    }
    let expected: Vec<_> = CHANGES.iter().map(|it| (it.0, it.1)).collect();
    assert_eq!(transitions, expected);
    let asked = double.fake.take_received();
    let points: u64 = asked.iter().map(|it| it.points).sum();
    assert!(points < 1500, "{points} points in {} requests", asked.len());
}
