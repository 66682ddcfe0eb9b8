//! The adapter on the fake GitHub.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use gastown_github::clock::Clock;
use gastown_github::credentials::{CredentialChain, CredentialSource, KnownToken, Token};
use gastown_github::merge::{MergeRequest, MethodChoice};
use gastown_github::observation::{ForgeError, MergeOutcome, Observation};
use gastown_github::observe::Detail;
use gastown_github::readiness::MergeConditions;
use gastown_github::transport::{Transport, TransportError};
use gastown_github::url::{AllowedHosts, ForgeHost, Product, PullRequestUrl, RepositoryName};
use gastown_github::{GitHub, GitHubConfig};
use gastown_testkit::fake_github::{
    FakeClock, FakeGitHub, Grant, Opening, Options, Repository, WEB_HOST, World,
};
use http::{Request, Response};

/// The token that the adapter has.
pub(crate) const TOKEN: &str = "ghp_double";

/// Asks the fake without a socket: the same requests, thousands of them.
pub(crate) struct Direct(pub(crate) FakeGitHub);

#[async_trait]
impl Transport for Direct {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, TransportError> {
        self.0
            .answer(&request)
            .map_err(|lost| TransportError::AnswerLost {
                source: Box::new(lost),
            })
    }
}

/// The time of the fake.
pub(crate) struct SameTime(pub(crate) FakeClock);

#[async_trait]
impl Clock for SameTime {
    fn now(&self) -> DateTime<Utc> {
        self.0.now()
    }

    async fn sleep(&self, duration: Duration) {
        self.0.advance(duration);
    }
}

/// The adapter and the fake that it talks to.
pub(crate) struct Double {
    pub(crate) fake: FakeGitHub,
    pub(crate) github: GitHub,
}

/// A fake with `o/r` and one open pull request, the first, from `work` to `main`.
pub(crate) fn double() -> Double {
    double_with(Options::default())
}

pub(crate) fn double_with(options: Options) -> Double {
    let enterprise = options.enterprise;
    let fake = FakeGitHub::new(options).unwrap();
    fake.edit(|world| {
        world.grant(TOKEN, Grant::of("gastown"));
        let repository = world.add_repository("o/r").unwrap();
        repository.push("work", &[("new.txt", "new\n")]).unwrap();
        repository.open(Opening::of("work")).unwrap();
    });
    let product = if enterprise {
        Product::EnterpriseServer
    } else {
        Product::Dotcom
    };
    let github = adapter(&fake, product, Arc::new(Direct(fake.clone())));
    Double { fake, github }
}

/// An adapter for a fake, by this transport.
pub(crate) fn adapter(
    fake: &FakeGitHub,
    product: Product,
    transport: Arc<dyn Transport>,
) -> GitHub {
    let host = ForgeHost::with_api(WEB_HOST, product, &fake.rest(), &fake.graphql()).unwrap();
    let source = KnownToken::new("test", &host, Token::new(TOKEN));
    let chain = CredentialChain::new([Arc::new(source) as Arc<dyn CredentialSource>]);
    let config = GitHubConfig {
        hosts: AllowedHosts::new([host]),
        ..GitHubConfig::default()
    };
    let clock = Arc::new(SameTime(fake.clock().clone()));
    GitHub::new(config, transport, clock, chain)
}

impl Double {
    /// Changes `o/r`.
    pub(crate) fn edit<R>(&self, edit: impl FnOnce(&mut Repository) -> R) -> R {
        self.fake.edit(|world| edit(repository(world)))
    }

    /// The address of a pull request.
    pub(crate) fn at(&self, number: u64) -> PullRequestUrl {
        let text = format!("https://{WEB_HOST}/o/r/pull/{number}");
        let name = RepositoryName::parse("o/r").unwrap();
        self.github.pull_request(&text, &name).unwrap()
    }

    /// The head of a pull request.
    pub(crate) fn head(&self, number: u64) -> String {
        self.edit(|it| it.pull(number).unwrap().head_sha.clone())
    }

    pub(crate) async fn look(&self, number: u64) -> Result<Observation, ForgeError> {
        self.github
            .observe(&self.at(number), Detail::Feedback)
            .await
    }

    /// Merges the head that a pull request has now.
    pub(crate) async fn merge(&self, number: u64) -> MergeOutcome {
        let head = self.head(number);
        self.merge_head(number, &head).await
    }

    pub(crate) async fn merge_head(&self, number: u64, head: &str) -> MergeOutcome {
        let pull_request = self.at(number);
        let request = MergeRequest {
            repository: pull_request.repository.clone(),
            pull_request,
            method: MethodChoice::Auto,
            conditions: MergeConditions::for_head(head),
        };
        self.github.merge(&request).await
    }

    /// How many requests of this method have a path that ends like this, since the last call.
    pub(crate) fn count(&self, method: &str, path_end: &str) -> usize {
        let all = self.fake.take_received();
        all.iter()
            .filter(|it| it.method == method && it.path.ends_with(path_end))
            .count()
    }
}

pub(crate) fn repository(world: &mut World) -> &mut Repository {
    world.repository("o/r").unwrap()
}
