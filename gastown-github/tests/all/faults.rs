//! The adapter and the fake together: what people and machines do, and what goes wrong.

use std::sync::Arc;
use std::time::Duration;

use gastown_github::observation::{
    ChecksState, Decision, DequeueCause, ForgeError, MergeOutcome, MergeQueue, Mergeable,
    PullRequestState,
};
use gastown_github::readiness::{Blocker, MergeConditions, blockers};
use gastown_github::transport::{ReqwestTransport, Transport, TransportLimits};
use gastown_github::url::Product;
use gastown_testkit::fake_github::{
    Conclusion, Fault, Grant, Method, Opening, Options, Permission, Requests, Rules, Secondary,
    StatusState, Verdict, Written,
};
use serde_json::json;

use crate::double::*;

fn merged(outcome: &MergeOutcome) -> bool {
    matches!(outcome, MergeOutcome::Merged { commit: Some(_) })
}

fn required() -> Rules {
    Rules::default().requiring("ci")
}

fn pass(double: &Double) {
    let head = double.head(1);
    double.edit(|it| it.report_check(&head, "ci", 15368, Some(Conclusion::Success)));
}

#[tokio::test]
async fn a_pull_request_goes_its_way_to_the_base_branch() {
    let double = double();
    double.edit(|it| {
        let rules = Rules {
            approvals: 1,
            resolve_threads: true,
            ..required()
        };
        it.rules.insert("main".to_owned(), rules);
    });
    let seen = double.look(1).await.unwrap();
    let feedback = seen.feedback.unwrap();
    assert_eq!(seen.mergeable, Mergeable::Blocked);
    assert_eq!(feedback.checks.required_missing, ["ci"]);
    assert_eq!(feedback.decision, Some(Decision::ReviewRequired));
    let head = double.head(1);
    let thread = double.edit(|it| {
        it.report_check(&head, "ci", 15368, Some(Conclusion::Failure));
        it.open_thread(1, "ann", "new.txt", "Why?").unwrap()
    });
    let feedback = double.look(1).await.unwrap().feedback.unwrap();
    assert_eq!(feedback.checks.state, ChecksState::Failing);
    assert_eq!(feedback.unresolved_threads, 1);
    // A push answers both; its checks are its own.
    double.edit(|it| it.push("work", &[("new.txt", "better\n")]).unwrap());
    let feedback = double.look(1).await.unwrap().feedback.unwrap();
    assert_eq!(feedback.checks.required_missing, ["ci"]);
    pass(&double);
    double.edit(|it| {
        it.resolve_thread(thread, true).unwrap();
        it.review(1, "ann", Verdict::Approve, "").unwrap();
    });
    let seen = double.look(1).await.unwrap();
    assert_eq!(seen.mergeable, Mergeable::Clean);
    assert_eq!(seen.feedback.unwrap().decision, Some(Decision::Approved));
    let outcome = double.merge(1).await;
    assert!(merged(&outcome), "{outcome:?}");
    let seen = double.look(1).await.unwrap();
    assert!(matches!(seen.state, PullRequestState::Merged { .. }));
}

#[tokio::test]
async fn classic_protection_and_statuses_count_as_well() {
    let double = double();
    let rules = Rules {
        written: Written::Protection,
        ..required()
    };
    double.edit(|it| it.rules.insert("main".to_owned(), rules));
    let feedback = double.look(1).await.unwrap().feedback.unwrap();
    assert_eq!(feedback.checks.required_missing, ["ci"]);
    let head = double.head(1);
    double.edit(|it| it.report_status(&head, "ci", StatusState::Success));
    let feedback = double.look(1).await.unwrap().feedback.unwrap();
    assert_eq!(feedback.checks.state, ChecksState::Passing);
    assert!(merged(&double.merge(1).await));
}

#[tokio::test]
async fn trap_28_a_502_after_the_merge_is_looked_up_and_one_before_it_stays_open() {
    let double = double();
    double.fake.fault(
        Requests::to("PUT", "/merge").nth(1),
        Fault::AfterEffect { status: 502 },
    );
    assert!(merged(&double.merge(1).await));
    assert_eq!(double.count("PUT", "/merge"), 1);
    let double = crate::double::double();
    double
        .fake
        .fault(Requests::to("PUT", "/merge"), Fault::bad_gateway());
    let outcome = double.merge(1).await;
    let error = ForgeError::Server { status: 502 };
    assert_eq!(outcome, MergeOutcome::Error { error });
    assert_eq!(double.count("PUT", "/merge"), 1);
}

#[tokio::test]
async fn trap_28_an_answer_that_is_lost_or_cut_is_looked_up() {
    for fault in [Fault::Lost, Fault::CutBody { bytes: 5 }] {
        let double = double();
        double.fake.fault(Requests::to("PUT", "/merge"), fault);
        assert!(merged(&double.merge(1).await));
        assert_eq!(double.count("PUT", "/merge"), 1);
    }
}

#[tokio::test]
async fn trap_25_a_push_between_the_look_and_the_merge_merges_nothing() {
    let double = double();
    double.fake.fault(
        Requests::to("PUT", "/merge").nth(1),
        Fault::Before(Box::new(|world| {
            let files = [("sneaky.txt", "not reviewed\n")];
            repository(world).push("work", &files).unwrap();
        })),
    );
    let outcome = double.merge(1).await;
    assert!(
        matches!(outcome, MergeOutcome::Refused { status: 409, .. }),
        "{outcome:?}"
    );
    let seen = double.look(1).await.unwrap();
    assert_eq!(seen.state, PullRequestState::Open);
}

#[tokio::test]
async fn a_base_that_moved_refuses_and_passes_by_itself() {
    let double = double();
    let first_two = Requests::to("PUT", "/merge").times(2);
    double.fake.fault(first_two, Fault::base_modified());
    for _ in 0..2 {
        let outcome = double.merge(1).await;
        assert!(
            matches!(outcome, MergeOutcome::Refused { status: 405, .. }),
            "{outcome:?}"
        );
    }
    assert!(merged(&double.merge(1).await));
}

#[tokio::test]
async fn trap_26_a_ruleset_that_allows_only_squash_or_rebase_is_followed() {
    let rules = |methods: &[Method]| Rules {
        methods: Some(methods.to_vec()),
        ..Rules::default()
    };
    for (rules, squash, parents) in [
        (rules(&[Method::Squash]), true, 1),
        (rules(&[Method::Rebase]), true, 1),
        (rules(&[Method::Merge]), true, 2),
        (Rules::default(), false, 2),
    ] {
        let double = double();
        double.edit(|it| {
            it.settings.allow_squash_merge = squash;
            it.rules.insert("main".to_owned(), rules);
        });
        let outcome = double.merge(1).await;
        assert!(merged(&outcome), "{outcome:?}");
        assert_eq!(double.count("PUT", "/merge"), 1);
        let commits = double.edit(|it| it.parents_of("main").unwrap());
        assert_eq!(commits.len(), parents);
    }
}

#[tokio::test]
async fn trap_27_a_queue_takes_it_and_merges_it_later() {
    let double = double();
    let rules = Rules {
        merge_queue: true,
        ..Rules::default()
    };
    double.edit(|it| it.rules.insert("main".to_owned(), rules));
    let seen = double.look(1).await.unwrap();
    assert_eq!(seen.merge_queue, MergeQueue::Required);
    assert_eq!(double.merge(1).await, MergeOutcome::Queued);
    let seen = double.look(1).await.unwrap();
    assert_eq!(seen.merge_queue, MergeQueue::Queued);
    let queued = double.merge(1).await;
    assert!(matches!(queued, MergeOutcome::NotReady { .. }));
    assert_eq!(double.edit(|it| it.run_queue().unwrap()), [1]);
    let seen = double.look(1).await.unwrap();
    assert!(matches!(
        seen.state,
        PullRequestState::Merged { commit: Some(_) }
    ));
}

/// A fake whose base branch has a queue that pull request 1 is in.
async fn queued() -> Double {
    let double = double();
    let rules = Rules {
        merge_queue: true,
        ..Rules::default()
    };
    double.edit(|it| it.rules.insert("main".to_owned(), rules));
    assert_eq!(double.merge(1).await, MergeOutcome::Queued);
    double
}

#[tokio::test]
async fn trap_20_what_a_person_took_out_of_the_queue_is_not_put_in_again() {
    let double = queued().await;
    double.edit(|it| it.dequeue(1, "MANUAL").unwrap());
    let seen = double.look(1).await.unwrap();
    let left = seen.dequeued.clone().unwrap();
    assert_eq!(
        (left.cause, left.reason.as_deref()),
        (DequeueCause::Person, Some("manual"))
    );
    let head = double.head(1);
    let said = blockers(&seen, &MergeConditions::for_head(&head));
    assert_eq!(said, [Blocker::TakenOutOfQueue]);
    let outcome = double.merge(1).await;
    assert!(
        matches!(outcome, MergeOutcome::NotReady { .. }),
        "{outcome:?}"
    );
    assert_eq!(double.edit(|it| it.pull(1).unwrap().queued_at), None);
    // In by hand again, and thrown out by the queue: it is still that person's.
    double.edit(|it| {
        it.enqueue(1, None, "ann").unwrap().unwrap();
        it.dequeue(1, "CI_FAILURE").unwrap();
    });
    let left = double.look(1).await.unwrap().dequeued.unwrap();
    assert_eq!(left.cause, DequeueCause::Person);
    // Another head is nobody's.
    double.edit(|it| drop(it.push("work", &[("more.txt", "more\n")]).unwrap()));
    assert_eq!(double.look(1).await.unwrap().dequeued, None);
    assert_eq!(double.merge(1).await, MergeOutcome::Queued);
}

#[tokio::test]
async fn trap_20_what_the_queue_threw_out_may_enter_again() {
    for (reason, cause) in [
        ("CI_FAILURE", DequeueCause::Other),
        ("MERGE_CONFLICT", DequeueCause::Other),
        ("MERGE", DequeueCause::Merge),
    ] {
        let double = queued().await;
        double.edit(|it| it.dequeue(1, reason).unwrap());
        let left = double.look(1).await.unwrap().dequeued.unwrap();
        assert_eq!(left.cause, cause);
        assert_eq!(double.merge(1).await, MergeOutcome::Queued);
    }
}

#[tokio::test]
async fn trap_29_a_token_that_may_bypass_rules_does_not() {
    let double = double();
    double.edit(|it| it.rules.insert("main".to_owned(), required()));
    double.fake.edit(|world| {
        let grant = Grant {
            bypasses_rules: true,
            ..Grant::of("admin")
        };
        world.grant(TOKEN, grant);
    });
    let outcome = double.merge(1).await;
    assert!(
        matches!(outcome, MergeOutcome::NotReady { .. }),
        "{outcome:?}"
    );
    assert_eq!(double.count("PUT", "/merge"), 0);
}

#[tokio::test]
async fn trap_10_and_checks_that_may_not_be_read_are_never_fine() {
    let double = double();
    let spoilt = ["repository", "pullRequest", "reviewThreads"].map(str::to_owned);
    double.fake.fault(
        Requests::graphql("Observation").nth(1),
        Fault::PartialGraphql {
            path: spoilt.to_vec(),
            kind: "FORBIDDEN".to_owned(),
        },
    );
    let feedback = double.look(1).await.unwrap().feedback.unwrap();
    assert!(!feedback.threads_complete && feedback.checks_complete);
    double.fake.edit(|world| {
        let grant = Grant::of("gastown").without(Permission::Checks);
        world.grant(TOKEN, grant);
    });
    let feedback = double.look(1).await.unwrap().feedback.unwrap();
    assert!(feedback.threads_complete && !feedback.checks_complete);
    let outcome = double.merge(1).await;
    assert!(matches!(outcome, MergeOutcome::NotReady { .. }));
}

#[tokio::test]
async fn trap_16_a_renamed_repository_is_watched_and_merged_by_its_old_name() {
    let double = double();
    double
        .fake
        .edit(|world| world.rename("o/r", "new").unwrap());
    let seen = double.look(1).await.unwrap();
    // For whoever asked it is the repository that was asked for: its work is no stranger's.
    assert_eq!(seen.head_repository.unwrap().to_string(), "o/r");
    let head = double.fake.edit(|world| {
        let repository = world.repository("o/new").unwrap();
        repository.pull(1).unwrap().head_sha.clone()
    });
    assert!(merged(&double.merge_head(1, &head).await));
}

#[tokio::test]
async fn trap_17_a_redirect_elsewhere_is_not_followed() {
    let double = double();
    double.fake.fault(
        Requests::to("GET", "/pulls/1"),
        Fault::Redirect {
            status: 301,
            location: "https://evil.example/repos/o/r/pulls/1".to_owned(),
        },
    );
    let error = double.look(1).await.unwrap_err();
    assert!(
        matches!(error, ForgeError::InvalidResponse { .. }),
        "{error}"
    );
}

#[tokio::test]
async fn trap_08_and_09_mergeability_is_waited_for_after_every_push() {
    let double = double();
    double.edit(|it| it.settings.mergeability_lag_reads = 2);
    // A push to the base branch makes it unknown, too.
    double.edit(|it| it.push("main", &[("other.txt", "other\n")]).unwrap());
    let mut seen = Vec::new();
    for _ in 0..3 {
        seen.push(double.look(1).await.unwrap().mergeable);
    }
    let unknown = Mergeable::Unknown;
    assert_eq!(seen, [unknown, unknown, Mergeable::Clean]);
}

#[tokio::test]
async fn conflicts_drafts_stacks_and_forks_are_told() {
    let double = double();
    double.edit(|it| it.push("main", &[("new.txt", "theirs\n")]).unwrap());
    assert_eq!(double.look(1).await.unwrap().mergeable, Mergeable::Dirty);
    let fork = double.edit(|it| {
        let opening = Opening::of("patch");
        let files = [("fork.txt", "fork\n")];
        it.open_from_fork("stranger/r", opening, &files).unwrap()
    });
    let seen = double.look(fork).await.unwrap();
    assert_eq!(seen.head_repository.unwrap().to_string(), "stranger/r");
    double.edit(|it| {
        it.set_draft(fork, true).unwrap();
        it.pull_mut(fork).unwrap().stacked = true;
        it.pull_mut(fork).unwrap().fork = Some(gastown_testkit::fake_github::Fork::Gone);
    });
    let seen = double.look(fork).await.unwrap();
    assert!(seen.is_draft && seen.stacked && seen.head_repository.is_none());
}

#[tokio::test]
async fn limits_of_both_kinds_stop_and_end() {
    let double = double();
    let ways = [
        (Secondary::Seconds(30), 30),
        (Secondary::Date(45), 45),
        (Secondary::BodyOnly, 60),
    ];
    for (how, seconds) in ways {
        let next = Requests::to("GET", "/pulls/1").times(1);
        double.fake.fault(next, Fault::SecondaryLimit(how));
        let begin = double.fake.clock().now();
        let error = double.look(1).await.unwrap_err();
        let ForgeError::RateLimited { until } = error else {
            panic!("{error}")
        };
        let wait = (until - begin).num_seconds();
        assert!((seconds..=seconds + 1).contains(&wait), "{wait}");
        let asked = double.fake.take_received().len();
        assert!(double.look(1).await.is_err());
        assert!(double.fake.take_received().is_empty(), "{asked}");
        double.fake.clock().advance(Duration::from_secs(3600));
        double.look(1).await.unwrap();
    }
}

#[tokio::test]
async fn an_old_server_is_asked_for_what_it_has() {
    let options = Options {
        enterprise: true,
        limits: None,
        ..Options::default()
    };
    let double = double_with(options);
    let seen = double.look(1).await.unwrap();
    assert_eq!((seen.mergeable, seen.api_budget), (Mergeable::Clean, None));
    assert!(merged(&double.merge(1).await));
}

#[tokio::test]
async fn the_same_over_a_socket_with_slow_cut_and_lost_answers() {
    let double = double();
    let server = double.fake.serve().await.unwrap();
    let limits = TransportLimits {
        total: Duration::from_secs(20),
        ..TransportLimits::default()
    };
    let transport: Arc<dyn Transport> = Arc::new(ReqwestTransport::new(limits).unwrap());
    let double = Double {
        github: adapter(&double.fake, Product::Dotcom, transport),
        ..double
    };
    double.look(1).await.unwrap();
    // What did not change has no body to cut.
    double.edit(|it| it.comment(1, "bob", "Hello.").unwrap());
    let cut = Fault::CutBody { bytes: 10 };
    let next = || Requests::to("GET", "/pulls/1").times(1);
    double.fake.fault(next(), cut);
    let error = double.look(1).await.unwrap_err();
    assert!(matches!(error, ForgeError::Network { .. }), "{error}");
    double.fake.fault(next(), Fault::Lost);
    let error = double.look(1).await.unwrap_err();
    assert!(matches!(error, ForgeError::Network { .. }), "{error}");
    double
        .fake
        .fault(next(), Fault::Slow(Duration::from_millis(20)));
    double.look(1).await.unwrap();
    double
        .fake
        .fault(Requests::to("PUT", "/merge"), Fault::Lost);
    assert!(merged(&double.merge(1).await));
    assert_eq!(double.count("PUT", "/merge"), 1);
    drop(server);
    let error = double.look(1).await.unwrap_err();
    assert!(matches!(error, ForgeError::Network { .. }), "{error}");
}

/// The fake's answers carry its own time over a socket, too: limits are measured from it.
#[tokio::test]
async fn limits_over_a_socket_end_by_the_fakes_clock() {
    let double = double();
    let _server = double.fake.serve().await.unwrap();
    let transport = ReqwestTransport::new(TransportLimits::default()).unwrap();
    let double = Double {
        github: adapter(&double.fake, Product::Dotcom, Arc::new(transport)),
        ..double
    };
    let limit = Fault::SecondaryLimit(Secondary::Date(300));
    double
        .fake
        .fault(Requests::to("GET", "/pulls/1").nth(1), limit);
    let until = double.fake.clock().now() + chrono::TimeDelta::seconds(300);
    assert_eq!(
        double.look(1).await.unwrap_err(),
        ForgeError::RateLimited { until }
    );
    double.fake.clock().advance(Duration::from_secs(300));
    let budget = double.look(1).await.unwrap().api_budget.unwrap();
    assert!(budget.resets_at > until, "{budget:?}");
}

#[tokio::test]
async fn the_queue_tells_of_its_groups() {
    let double = queued().await;
    double.edit(|it| it.dequeue(1, "CI_FAILURE").unwrap());
    let all = double.fake.edit(|world| world.take_webhooks());
    let told: Vec<String> = all
        .iter()
        .filter(|it| it.event == "merge_group" || it.payload.get("reason").is_some())
        .map(|it| {
            let word = |key: &str| it.payload[key].as_str().unwrap_or_default().to_owned();
            format!("{} {} {}", it.event, word("action"), word("reason"))
        })
        .collect();
    assert_eq!(
        told,
        [
            "merge_group checks_requested ",
            "pull_request dequeued CI_FAILURE",
            "merge_group destroyed invalidated"
        ]
    );
}

/// Every refusal of the table that depends on state, asked of the fake itself.
#[tokio::test]
async fn the_fake_refuses_in_githubs_words() {
    use gastown_github::classify::{MergeRefusal, merge_refusal};
    type Change = fn(&mut gastown_testkit::fake_github::Repository);
    let cases: [(Change, MergeRefusal); 9] = [
        (
            |it| it.pull_mut(1).unwrap().draft = true,
            MergeRefusal::Draft,
        ),
        (|it| it.close(1).unwrap(), MergeRefusal::NotMergeable),
        (
            |it| drop(it.push("main", &[("new.txt", "theirs\n")]).unwrap()),
            MergeRefusal::NotMergeable,
        ),
        (
            |it| it.settings.allow_merge_commit = false,
            MergeRefusal::MethodNotAllowed(gastown_github::classify::MergeMethod::Merge),
        ),
        (
            |it| drop(it.rules.insert("main".to_owned(), required())),
            MergeRefusal::ChecksMissing,
        ),
        (
            |it| {
                let rules = required().requiring("lint");
                it.rules.insert("main".to_owned(), rules);
            },
            MergeRefusal::ChecksMissing,
        ),
        (
            |it| {
                let rules = Rules {
                    approvals: 1,
                    ..Rules::default()
                };
                it.rules.insert("main".to_owned(), rules);
            },
            MergeRefusal::ReviewsMissing,
        ),
        (
            |it| {
                let rules = Rules {
                    merge_queue: true,
                    ..Rules::default()
                };
                it.rules.insert("main".to_owned(), rules);
            },
            MergeRefusal::QueueRequired,
        ),
        (
            |it| it.pull_mut(1).unwrap().stacked = true,
            MergeRefusal::Stacked,
        ),
    ];
    for (change, expected) in cases {
        let double = double();
        double.edit(change);
        let head = double.head(1);
        let body = json!({"sha": head, "merge_method": "merge"});
        let (status, answer) =
            crate::answers::send(&double.fake, "PUT", "/repos/o/r/pulls/1/merge", &body);
        let message = answer["message"].as_str().unwrap();
        assert_eq!(merge_refusal(status, message), expected, "{message}");
    }
}
