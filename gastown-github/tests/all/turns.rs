//! Merges that wait for their turn to write: what they saw before it is old by then.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use gastown_github::observation::MergeOutcome;
use gastown_github::transport::{Transport, TransportError};
use gastown_github::url::Product;
use gastown_testkit::fake_github::{
    Conclusion, FakeGitHub, Fault, Opening, Repository, Requests, Rules, Verdict,
};
use http::{Request, Response};

use crate::double::*;

/// Lets others go on between a request and its answer, so that two merges go side by side.
struct SideBySide(FakeGitHub);

#[async_trait]
impl Transport for SideBySide {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, TransportError> {
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        Direct(self.0.clone()).send(request).await
    }
}

/// Two green pull requests, and what happens to the second while the first is being merged.
async fn both(
    rules: Rules,
    write: Requests,
    change: fn(&mut Repository),
) -> (Double, [MergeOutcome; 2]) {
    let double = double();
    double.edit(|it| {
        it.rules.insert("main".to_owned(), rules);
        it.push("more", &[("more.txt", "more\n")]).unwrap();
        it.open(Opening::of("more")).unwrap();
        for number in [1, 2] {
            let head = it.pull(number).unwrap().head_sha.clone();
            it.report_check(&head, "ci", 15368, Some(Conclusion::Success));
        }
    });
    let change = move |world: &mut gastown_testkit::fake_github::World| change(repository(world));
    double
        .fake
        .fault(write.nth(1), Fault::Before(Box::new(change)));
    let transport = Arc::new(SideBySide(double.fake.clone()));
    let github = adapter(&double.fake, Product::Dotcom, transport);
    let double = Double { github, ..double };
    let (first, second) = tokio::join!(double.merge(1), double.merge(2));
    (double, [first, second])
}

#[tokio::test]
async fn trap_09_a_merge_that_waited_for_its_turn_looks_again() {
    let changes: [fn(&mut Repository); 3] = [
        |it| {
            it.review(2, "ann", Verdict::RequestChanges, "No.").unwrap();
        },
        |it| {
            it.open_thread(2, "ann", "more.txt", "Why?").unwrap();
        },
        |it| {
            let head = it.pull(2).unwrap().head_sha.clone();
            it.report_check(&head, "ci", 15368, Some(Conclusion::Failure));
        },
    ];
    for change in changes {
        let put = Requests::to("PUT", "/merge");
        let (double, outcomes) = both(Rules::default(), put, change).await;
        assert!(
            matches!(
                outcomes,
                [MergeOutcome::Merged { .. }, MergeOutcome::NotReady { .. }]
            ),
            "{outcomes:?}"
        );
        let asked = double.fake.take_received();
        let at = |method: &str, end: &str| {
            asked
                .iter()
                .position(|it| it.method == method && it.path.ends_with(end))
        };
        // The second had seen everything before the first was merged.
        assert!(at("GET", "/pulls/2") < at("PUT", "/pulls/1/merge"));
        assert_eq!(at("PUT", "/pulls/2/merge"), None);
    }
}

#[tokio::test]
async fn trap_09_two_merges_at_once_are_both_made_if_nothing_happens() {
    let put = Requests::to("PUT", "/merge");
    let (double, outcomes) = both(Rules::default(), put, |_| {}).await;
    assert!(
        matches!(
            outcomes,
            [MergeOutcome::Merged { .. }, MergeOutcome::Merged { .. }]
        ),
        "{outcomes:?}"
    );
    assert_eq!(double.count("PUT", "/merge"), 2);
}

#[tokio::test]
async fn trap_09_what_waited_to_enter_the_queue_is_looked_at_again() {
    let rules = Rules {
        merge_queue: true,
        ..Rules::default()
    };
    let (double, outcomes) = both(rules, Requests::graphql("Enqueue"), |it| {
        it.open_thread(2, "ann", "more.txt", "Why?").unwrap();
    })
    .await;
    assert!(
        matches!(
            outcomes,
            [MergeOutcome::Queued, MergeOutcome::NotReady { .. }]
        ),
        "{outcomes:?}"
    );
    assert_eq!(double.edit(|it| it.pull(2).unwrap().queued_at), None);
}
