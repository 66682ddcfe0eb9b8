//! Tokens, limits and turn-taking around every request.

use std::sync::Arc;

use async_trait::async_trait;
use gastown_github::credentials::{Asker, CredentialChain, CredentialSource, Token, TokenScope};
use gastown_github::observation::{ApiBudget, CommentOutcome, ForgeError, Observation};
use gastown_github::observe::Detail;
use gastown_github::{GitHub, GitHubConfig, clock::Clock};
use serde_json::{Value, json};

use crate::script::*;

async fn look(world: &World) -> Result<Observation, ForgeError> {
    world.github.observe(&seven(), Detail::Feedback).await
}

fn bad_credentials() -> Reply {
    answer(401, json!({"message": "Bad credentials"}))
}

#[tokio::test]
async fn a_refused_token_moves_on_to_the_next() {
    let world = world_with(&["", "ghp_old", "ghp_good"], GitHubConfig::default());
    world
        .script
        .on(PULL, [bad_credentials(), answer(200, pull())]);
    assert!(look(&world).await.is_ok());
    let sent: Vec<_> = world
        .script
        .seen()
        .into_iter()
        .filter(|it| it.route == PULL)
        .collect();
    assert_eq!(sent[0].headers["authorization"], "Bearer ghp_old");
    assert_eq!(sent[1].headers["authorization"], "Bearer ghp_good");
}

#[tokio::test]
async fn without_a_good_token_the_error_says_which_kind_of_trouble_it_is() {
    let world = self::world();
    world.script.on(PULL, [bad_credentials()]);
    assert_eq!(look(&world).await, Err(ForgeError::Unauthorized));
    let world = world_with(&["", " "], GitHubConfig::default());
    let tried = vec!["source 0".to_owned(), "source 1".to_owned()];
    assert_eq!(look(&world).await, Err(ForgeError::NoToken { tried }));
    assert!(world.script.seen().is_empty());
}

/// Has a token for each town, named after it.
struct PerTown;

#[async_trait]
impl CredentialSource for PerTown {
    fn name(&self) -> &str {
        "per town"
    }

    async fn token(&self, scope: &TokenScope) -> Result<Option<Token>, ForgeError> {
        Ok(scope.asker.town.as_ref().and_then(Token::new))
    }
}

#[tokio::test]
async fn every_town_is_served_with_its_own_token() {
    let plain = world();
    let chain = CredentialChain::new([Arc::new(PerTown) as Arc<dyn CredentialSource>]);
    let clock = plain.clock.clone();
    let github = GitHub::new(GitHubConfig::default(), plain.script.clone(), clock, chain);
    for town in ["a", "b"] {
        let asker = Asker {
            town: Some(town.to_owned()),
            rig: None,
        };
        github
            .acting_for(asker)
            .observe(&seven(), Detail::Feedback)
            .await
            .unwrap();
    }
    let sent = plain.script.seen();
    let tokens: Vec<_> = sent
        .iter()
        .map(|it| it.headers["authorization"].to_str().unwrap())
        .collect();
    assert_eq!(tokens, [["Bearer a"; 4], ["Bearer b"; 4]].concat());
}

#[tokio::test]
async fn a_limit_stops_every_caller_until_it_ends() {
    let world = world();
    let limited = answer_with(
        403,
        &[("retry-after", "30")],
        json!({"message": "slow down"}),
    );
    world.script.on(PULL, [limited, answer(200, pull())]);
    let until = Err(ForgeError::RateLimited { until: at(30) });
    assert_eq!(look(&world).await, until);
    world.clock.advance(29);
    assert_eq!(look(&world).await, until);
    assert_eq!(world.script.seen().len(), 1);
    world.clock.advance(1);
    assert!(look(&world).await.is_ok());
}

#[tokio::test]
async fn a_403_without_any_sign_of_a_limit_is_a_missing_permission() {
    let world = world();
    let needs = [("x-accepted-github-permissions", "pull_requests=read")];
    let body = json!({"message": "Resource not accessible by integration"});
    world.script.on(PULL, [answer_with(403, &needs, body)]);
    let forbidden = ForgeError::Forbidden {
        message: "Resource not accessible by integration".to_owned(),
        needs: Some("pull_requests=read".to_owned()),
    };
    assert_eq!(look(&world).await, Err(forbidden));
}

#[tokio::test]
async fn the_limit_of_graphql_comes_with_status_200() {
    for kind in ["RATE_LIMITED", "RATE_LIMIT"] {
        let world = world();
        let body = json!({"errors": [{"type": kind, "message": "API rate limit exceeded"}]});
        let reset = at(600).timestamp().to_string();
        let headers = [
            ("x-ratelimit-remaining", "0"),
            ("x-ratelimit-reset", reset.as_str()),
        ];
        world.script.on(FEED, [answer_with(200, &headers, body)]);
        assert_eq!(
            look(&world).await,
            Err(ForgeError::RateLimited { until: at(601) })
        );
    }
}

fn budget(remaining: u64) -> Vec<(&'static str, String)> {
    vec![
        ("x-ratelimit-limit", "5000".to_owned()),
        ("x-ratelimit-remaining", remaining.to_string()),
        ("x-ratelimit-reset", at(3600).timestamp().to_string()),
        ("x-ratelimit-resource", "core".to_owned()),
    ]
}

#[tokio::test]
async fn the_budget_is_told_and_its_floor_is_kept_for_merges() {
    let world = world();
    let low = |remaining| Reply::Answer {
        status: 200,
        headers: budget(remaining),
        body: pull(),
    };
    world.script.on(PULL, [low(4000)]);
    let seen = look(&world).await.unwrap();
    let told = seen.api_budget.unwrap();
    assert_eq!(told.resets_at, at(3600));
    assert!((3990..=4000).contains(&told.remaining));
    assert_eq!(world.github.api_budget(), Some(told));

    world.script.on(PULL, [low(400)]);
    world.clock.advance(600);
    let stopped = Err(ForgeError::RateLimited { until: at(3600) });
    // The read that learns of the floor still goes through; what follows it does not.
    assert_eq!(look(&world).await, stopped);
    assert_eq!(look(&world).await, stopped);
    world
        .script
        .on(MERGE, [answer(200, json!({"merged": true, "sha": "m"}))]);
    let merged = world.github.merge(&crate::merging::request()).await;
    let commit = Some("m".to_owned());
    assert_eq!(
        merged,
        gastown_github::observation::MergeOutcome::Merged { commit }
    );
    let left = world.github.api_budget();
    assert!(matches!(
        left,
        Some(ApiBudget {
            remaining: 390..=400,
            ..
        })
    ));
}

#[tokio::test]
async fn writes_are_a_second_apart() {
    let world = world();
    let route = "POST /repos/o/r/issues/7/comments";
    world
        .script
        .on(route, [answer(201, json!({"html_url": "https://x"}))]);
    for _ in 0..3 {
        let posted = CommentOutcome::Posted {
            url: Some("https://x".to_owned()),
        };
        assert_eq!(world.github.comment(&seven(), "hello").await, posted);
    }
    assert_eq!(world.clock.now(), at(2));
    world.clock.advance(60);
    world.github.comment(&seven(), "hello").await;
    assert_eq!(world.clock.now(), at(62));
}

#[tokio::test]
async fn a_comment_is_sent_once() {
    let route = "POST /repos/o/r/issues/7/comments";
    for reply in [Reply::Lost, answer(502, Value::Null)] {
        let world = world();
        world.script.on(route, [reply]);
        let outcome = world.github.comment(&seven(), "hello").await;
        assert!(matches!(outcome, CommentOutcome::Error { .. }));
        assert_eq!(world.script.count(route), 1);
    }
    let world = world();
    world
        .script
        .on(route, [answer(403, json!({"message": "locked"}))]);
    let refused = CommentOutcome::Refused {
        status: 403,
        message: "locked".to_owned(),
    };
    assert_eq!(world.github.comment(&seven(), "hello").await, refused);
}

#[tokio::test]
async fn no_credential_is_in_an_error() {
    let world = world();
    world.script.on(PULL, [Reply::Lost]);
    let error = look(&world).await.unwrap_err();
    let text = format!("{error} {error:?} {:?}", world.github);
    assert!(
        text.contains("broken [redacted]") && !text.contains("ghp_"),
        "{text}"
    );
}
