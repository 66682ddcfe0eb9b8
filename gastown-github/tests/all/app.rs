//! An App with the fake: its identity, its tokens, and a clock that is off.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use gastown_github::clock::Clock;
use gastown_github::credentials::app::{AppIdentity, Installation, InstallationTokens};
use gastown_github::credentials::town::{AppInstallations, TokenSettings, TownTokens};
use gastown_github::credentials::{Asker, CredentialChain, CredentialSource};
use gastown_github::observation::{ForgeError, MergeOutcome};
use gastown_github::url::{AllowedHosts, ForgeHost, Product};
use gastown_github::webhook::interpret;
use gastown_github::{GitHub, GitHubConfig};
use gastown_testkit::fake_github::{FakeClock, Fault, Requests, WEB_HOST};
use serde_json::json;

use crate::double::*;

/// The fake's time, seen by a machine whose clock is wrong.
struct Off(FakeClock, TimeDelta);

#[async_trait]
impl Clock for Off {
    fn now(&self) -> DateTime<Utc> {
        self.0.now() + self.1
    }

    async fn sleep(&self, duration: Duration) {
        self.0.advance(duration);
    }
}

/// A fake, and an adapter that is an App whose machine's clock is off by this.
fn app(off: TimeDelta) -> Double {
    let Double { fake, .. } = double();
    let transport = Arc::new(Direct(fake.clone()));
    let clock = Arc::new(Off(fake.clock().clone(), off));
    let host =
        ForgeHost::with_api(WEB_HOST, Product::Dotcom, &fake.rest(), &fake.graphql()).unwrap();
    let pem = include_str!("../data/test-only-app-key.pem");
    let source = InstallationTokens::new(
        "platform integration",
        AppIdentity::from_pem("1", pem).unwrap(),
        host.clone(),
        Installation::OfRepository,
        transport.clone(),
        clock.clone(),
    );
    let chain = CredentialChain::new([Arc::new(source) as Arc<dyn CredentialSource>]);
    let config = GitHubConfig {
        hosts: AllowedHosts::new([host]),
        ..GitHubConfig::default()
    };
    let github = GitHub::new(config, transport, clock, chain);
    Double { fake, github }
}

/// How often a token was asked for since the last call, and with which answers.
fn minted(double: &Double) -> Vec<u16> {
    let all = double.fake.take_received();
    all.iter()
        .filter(|it| it.path.ends_with("/access_tokens"))
        .filter_map(|it| it.status)
        .collect()
}

#[tokio::test]
async fn one_token_serves_until_it_ends_or_is_refused() {
    let double = app(TimeDelta::zero());
    double.look(1).await.unwrap();
    double.look(1).await.unwrap();
    assert_eq!(minted(&double), [201]);
    // Void by somebody's hand: refused once, and a fresh one serves.
    double.fake.edit(|world| world.revoke_minted());
    double.look(1).await.unwrap();
    assert_eq!(minted(&double), [201]);
    // Shortly before its end it is replaced without being refused.
    double.fake.clock().advance(Duration::from_secs(56 * 60));
    double.look(1).await.unwrap();
    assert_eq!(minted(&double), [201]);
    let outcome = double.merge(1).await;
    assert!(
        matches!(outcome, MergeOutcome::Merged { .. }),
        "{outcome:?}"
    );
}

#[tokio::test]
async fn a_new_token_that_is_refused_for_a_moment_is_not_replaced() {
    let double = app(TimeDelta::zero());
    let begin = double.fake.clock().now();
    double.fake.fault(
        Requests::to("GET", "/pulls/1").times(2),
        Fault::Instead {
            status: 401,
            body: json!({"message": "Bad credentials"}),
        },
    );
    double.look(1).await.unwrap();
    assert_eq!(minted(&double), [201]);
    let waited = double.fake.clock().now() - begin;
    assert_eq!(waited, TimeDelta::seconds(3));
}

#[tokio::test]
async fn a_webhook_about_the_installation_lets_tokens_be_made_anew() {
    let double = app(TimeDelta::zero());
    double.look(1).await.unwrap();
    assert_eq!(minted(&double), [201]);
    let hints = |event: &'static str, body: &serde_json::Value| {
        let mut headers = http::HeaderMap::new();
        headers.insert("x-github-event", http::HeaderValue::from_static(event));
        interpret(&headers, body.to_string().as_bytes()).unwrap()
    };
    let body = json!({"action": "new_permissions_accepted", "installation": {"id": 7}});
    for hint in hints("installation", &body) {
        double.github.heed(&hint);
    }
    double.look(1).await.unwrap();
    assert_eq!(minted(&double), [201]);
    // News of a pull request is none of tokens.
    let body = json!({"action": "opened", "number": 1, "repository": {"full_name": "o/r"}});
    for hint in hints("pull_request", &body) {
        double.github.heed(&hint);
    }
    double.look(1).await.unwrap();
    assert!(minted(&double).is_empty());
}

/// A town whose rig has the App's installation, as settings say it.
#[tokio::test]
async fn an_integration_of_a_town_is_an_installation_of_the_app() {
    let Double { fake, .. } = double();
    let transport = Arc::new(Direct(fake.clone()));
    let clock = Arc::new(Off(fake.clock().clone(), TimeDelta::zero()));
    let host =
        ForgeHost::with_api(WEB_HOST, Product::Dotcom, &fake.rest(), &fake.graphql()).unwrap();
    let pem = include_str!("../data/test-only-app-key.pem");
    let identity = AppIdentity::from_pem("1", pem).unwrap();
    let integrations =
        AppInstallations::new(identity, host.clone(), transport.clone(), clock.clone());
    let settings =
        json!({"git_auth": {"github_token": "ghp_void", "platform_integration_id": "7"}});
    let settings = TokenSettings::of(&serde_json::from_value(settings).unwrap(), None);
    let asker = Asker {
        town: Some("t1".to_owned()),
        rig: None,
    };
    let towns = BTreeMap::from([(asker.clone(), settings)]);
    let tokens = TownTokens::new(host.clone(), Arc::new(towns), Arc::new(integrations));
    let config = GitHubConfig {
        hosts: AllowedHosts::new([host]),
        ..GitHubConfig::default()
    };
    let chain = CredentialChain::ordered_by(Arc::new(tokens));
    let github = GitHub::new(config, transport, clock, chain);
    let double = Double { fake, github };
    // Nobody's settings say anything.
    let none = double.look(1).await;
    assert!(matches!(none, Err(ForgeError::NoToken { .. })), "{none:?}");
    // The stored token is void, so the installation's serves: made once, kept for later requests.
    let double = Double {
        github: double.github.acting_for(asker),
        ..double
    };
    double.look(1).await.unwrap();
    double.look(1).await.unwrap();
    assert_eq!(minted(&double), [201]);
}

#[tokio::test]
async fn a_machine_whose_clock_is_off_learns_the_servers() {
    for off in [TimeDelta::hours(2), TimeDelta::hours(-2)] {
        let double = app(off);
        double.look(1).await.unwrap();
        let asked = double.fake.take_received();
        let refused = asked.iter().filter(|it| it.status == Some(401)).count();
        assert_eq!(refused, 1, "{off}: {asked:?}");
        // Learnt: nothing is refused any more, and tokens are not thought to have ended.
        double.look(1).await.unwrap();
        let asked = double.fake.take_received();
        assert!(asked.iter().all(|it| it.status != Some(401)), "{asked:?}");
        assert!(
            asked
                .iter()
                .all(|it| it.method != "POST" || it.operation.is_some())
        );
    }
}

#[tokio::test]
async fn a_limit_while_a_token_is_made_is_a_limit() {
    let double = app(TimeDelta::zero());
    let body = json!({"message": "You have exceeded a secondary rate limit."});
    double.fake.fault(
        Requests::to("POST", "/access_tokens"),
        Fault::Instead { status: 403, body },
    );
    let seen = double.look(1).await;
    assert!(
        matches!(seen, Err(ForgeError::RateLimited { .. })),
        "{seen:?}"
    );
}
