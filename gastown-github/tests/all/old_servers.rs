//! Enterprise Servers that lack what is asked for.

use std::sync::Arc;

use gastown_github::credentials::{CredentialChain, CredentialSource, KnownToken, Token};
use gastown_github::observation::{ForgeError, MergeQueue, Mergeable};
use gastown_github::observe::Detail;
use gastown_github::url::{AllowedHosts, ForgeHost, PullRequestUrl};
use gastown_github::{GitHub, GitHubConfig};
use serde_json::{Value, json};

use crate::observing::{look, seen};
use crate::script::*;

/// An Enterprise Server with what the world has, and its pull request.
fn enterprise(world: &World) -> (GitHub, PullRequestUrl) {
    let host = ForgeHost::named("ghe.example.com").unwrap();
    let config = GitHubConfig {
        hosts: AllowedHosts::new([host.clone()]),
        ..Default::default()
    };
    let known = KnownToken::new("known", &host, Token::new("ghp_first"));
    let chain = CredentialChain::new([Arc::new(known) as Arc<dyn CredentialSource>]);
    let (script, clock) = (world.script.clone(), world.clock.clone());
    let github = GitHub::new(config, script, clock, chain);
    for (route, body) in [
        (PULL, pull()),
        (RULES, json!([])),
        (BRANCH, json!({"name": "main", "protected": false})),
    ] {
        world.script.on(&of_enterprise(route), [answer(200, body)]);
    }
    (github, PullRequestUrl { host, ..seven() })
}

fn of_enterprise(route: &str) -> String {
    route.replace("GET /", "GET /api/v3/")
}

/// What a server says that does not know something.
fn lacks(text: &str, code: &str) -> Reply {
    let code = json!({"code": code});
    let error = json!({"message": text, "extensions": code});
    answer(200, json!({"errors": [error]}))
}

const NO_EVENT: &str =
    "No such type RemovedFromMergeQueueEvent, so it can't be a fragment condition";
const NO_QUEUE: &str = "Field 'isInMergeQueue' doesn't exist on type 'PullRequest'";

#[tokio::test]
async fn trap_22_an_old_server_is_asked_without_the_fields_it_lacks() {
    for (lacks_queues, tries) in [(false, 1), (true, 2)] {
        let world = world();
        let (github, at) = enterprise(&world);
        let mut answers = vec![lacks(NO_EVENT, "undefinedType")];
        if lacks_queues {
            answers.push(lacks(NO_QUEUE, "undefinedField"));
            answers.push(answer(200, feed_with("/isInMergeQueue", Value::Null)));
        } else {
            answers.push(answer(200, feed()));
        }
        world.script.on(FEED, answers);
        let found = github.observe(&at, Detail::Feedback).await.unwrap();
        assert_eq!(
            (found.mergeable, found.merge_queue, found.dequeued),
            (Mergeable::Clean, MergeQueue::None, None)
        );
        assert_eq!(world.script.count(FEED), tries + 1);
        github.observe(&at, Detail::Feedback).await.unwrap();
        // From now on that is known of the server.
        assert_eq!(world.script.count(FEED), tries + 2);
        let sent = world.script.seen();
        let query = sent.last().unwrap().body["query"].as_str().unwrap();
        assert_eq!(query.contains("isInMergeQueue"), !lacks_queues);
        assert!(!query.contains("RemovedFromMergeQueueEvent"));
    }
}

#[tokio::test]
async fn trap_22_an_old_server_whose_rules_have_a_queue_keeps_back_who_is_in_it() {
    let world = world();
    let (github, at) = enterprise(&world);
    let feed = answer(200, feed());
    world
        .script
        .on(FEED, [lacks(NO_QUEUE, "undefinedField"), feed]);
    let rule = json!([{"type": "merge_queue"}]);
    world.script.on(&of_enterprise(RULES), [answer(200, rule)]);
    let found = github.observe(&at, Detail::Feedback).await.unwrap();
    assert_eq!(
        (found.mergeable, found.merge_queue),
        (Mergeable::Unknown, MergeQueue::Required)
    );
}

#[tokio::test]
async fn trap_22_a_field_that_has_nothing_to_do_with_queues_costs_no_word_about_them() {
    let other = "Field 'reviewDecision' doesn't exist on type 'PullRequest'";
    let world = world();
    let (github, at) = enterprise(&world);
    let missing = |text| lacks(text, "undefinedField");
    world.script.on(FEED, [missing(other), answer(200, feed())]);
    let refused = github.observe(&at, Detail::Feedback).await;
    assert!(matches!(refused, Err(ForgeError::InvalidResponse { .. })));
    github.observe(&at, Detail::Feedback).await.unwrap();
    let all_asked = |world: &World| {
        let seen = world.script.seen();
        let mut feeds = seen.iter().filter(|it| it.route == FEED);
        feeds.all(|it| it.body["query"].as_str().unwrap().contains("timelineItems"))
    };
    assert!(all_asked(&world));

    // github.com is not old: what it does not know for a moment it knows again.
    let world = self::world();
    world
        .script
        .on(FEED, [missing(NO_QUEUE), answer(200, feed())]);
    let refused = look(&world).await;
    assert!(matches!(refused, Err(ForgeError::InvalidResponse { .. })));
    seen(&world).await;
    assert!(all_asked(&world));
    assert_eq!(world.script.count(FEED), 2);
}

#[tokio::test]
async fn rules_that_are_not_there_are_unknown_except_on_a_server_from_before_rules() {
    let gone = || answer(404, json!({"message": "Not Found"}));
    let world = world();
    world.script.on(RULES, [gone()]);
    assert!(!seen(&world).await.feedback.unwrap().checks_complete);

    let (github, at) = enterprise(&world);
    world.script.on(&of_enterprise(RULES), [gone()]);
    let found = github.observe(&at, Detail::Feedback).await.unwrap();
    assert!(found.feedback.unwrap().checks_complete);
    let last = world
        .script
        .seen()
        .into_iter()
        .rfind(|it| it.route == FEED)
        .unwrap();
    assert_eq!(last.url, "https://ghe.example.com/api/graphql");
}
