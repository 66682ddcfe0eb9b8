//! The adapter itself: configuration, shared state, and the way from an address to a pull request.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use chrono::TimeDelta;

use crate::checks::SkippedRequired;
use crate::client::{Client, Session, lock};
use crate::clock::Clock;
use crate::credentials::{Asker, CredentialChain, TokenScope};
use crate::error::Error;
use crate::etag::EtagLimits;
use crate::graphql::MergeQueueSupport;
use crate::observation::{ApiBudget, ForgeError};
use crate::rate_limit::{MergeFloor, Urgency};
use crate::settings::SettingsCache;
use crate::transport::Transport;
use crate::url::{
    AllowedHosts, ForgeHost, PullRequestUrl, RepositoryName, RepositoryUrl, UrlFault,
};
use crate::webhook::{Hint, Subject};

/// How the adapter behaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GitHubConfig {
    /// The hosts that may be talked to.
    pub hosts: AllowedHosts,
    /// The share of every budget that only merges may use.
    pub merge_floor: MergeFloor,
    /// How many answers are kept for revalidation.
    pub etags: EtagLimits,
    /// Whether a required check that was skipped is good enough.
    pub skipped_required: SkippedRequired,
    /// How old the known rules of a branch may be while watching. A merge always asks anew.
    pub rules_age_max: TimeDelta,
    /// How many pages of a list are read before it counts as unreadable.
    pub pages_max: usize,
}

impl Default for GitHubConfig {
    /// github.com; 10 % for merges; rules up to five minutes old; 20 pages of 100.
    fn default() -> Self {
        Self {
            hosts: AllowedHosts::default(),
            merge_floor: MergeFloor::default(),
            etags: EtagLimits::default(),
            skipped_required: SkippedRequired::default(),
            rules_age_max: TimeDelta::minutes(5),
            pages_max: 20,
        }
    }
}

/// GitHub, as the rules see it.
///
/// # Guarantees
/// - A token reaches only the API of the host that it was asked for.
/// - No write is sent twice, unless the forge said that the first had no effect.
/// - Nothing waits longer than a few seconds, besides for its turn to write: limits come back as
///   values.
/// - Clones, also those for other askers, share limits, caches and the order of writes.
#[derive(Clone)]
pub struct GitHub {
    pub(crate) config: Arc<GitHubConfig>,
    pub(crate) client: Arc<Client>,
    pub(crate) settings: Arc<Mutex<SettingsCache>>,
    /// What hosts, by web name, turned out to know of merge queues where it is not all.
    queue_support: Arc<Mutex<BTreeMap<String, MergeQueueSupport>>>,
    asker: Asker,
}

impl std::fmt::Debug for GitHub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GitHub")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl GitHub {
    /// An adapter that knows nothing yet.
    pub fn new(
        config: GitHubConfig,
        transport: Arc<dyn Transport>,
        clock: Arc<dyn Clock>,
        credentials: CredentialChain,
    ) -> Self {
        let client = Client::new(
            transport,
            clock,
            credentials,
            config.merge_floor,
            config.etags,
        );
        Self {
            config: Arc::new(config),
            client: Arc::new(client),
            settings: Arc::default(),
            queue_support: Arc::default(),
            asker: Asker::default(),
        }
    }

    /// The same adapter on behalf of this town and rig, whose credentials it then asks for.
    #[must_use]
    pub fn acting_for(&self, asker: Asker) -> Self {
        Self {
            asker,
            ..self.clone()
        }
    }

    /// The pull request of that address, if it is one of the rig's repository.
    ///
    /// # Errors
    /// [`ForgeError::UnrecognizedUrl`], [`ForgeError::HostNotAllowed`] or
    /// [`ForgeError::RepositoryMismatch`], as poll errors of spec 4.2.
    pub fn pull_request(
        &self,
        url: &str,
        expected: &RepositoryName,
    ) -> Result<PullRequestUrl, ForgeError> {
        let found = self.pull_request_anywhere(url)?;
        if found.repository != *expected {
            let expected = expected.clone();
            return Err(ForgeError::RepositoryMismatch {
                expected,
                found: found.repository,
            });
        }
        Ok(found)
    }

    /// The pull request of that address, on any allowed host and in any repository.
    pub(crate) fn pull_request_anywhere(&self, url: &str) -> Result<PullRequestUrl, ForgeError> {
        let hosts = &self.config.hosts;
        hosts.pull_request(url).map_err(|it| unusable(&it))
    }

    /// The repository of a rig's git address.
    ///
    /// # Errors
    /// [`ForgeError::UnrecognizedUrl`] or [`ForgeError::HostNotAllowed`].
    pub fn repository(&self, url: &str) -> Result<RepositoryUrl, ForgeError> {
        self.config
            .hosts
            .repository(url)
            .map_err(|it| unusable(&it))
    }

    /// What is left of the tightest budget of any token that was used (spec 4.2 `api_budget`).
    #[must_use]
    pub fn api_budget(&self) -> Option<ApiBudget> {
        self.client.tightest_budget()
    }

    /// Forgets what a webhook says is no longer so: rules and flags of a repository or of all of
    /// them, or what the App's tokens may do. What it says about pull requests is the caller's to look at. Without
    /// it rules are noticed within [`GitHubConfig::rules_age_max`], permissions within an hour.
    pub fn heed(&self, hint: &Hint) {
        match (&hint.subject, &hint.repository) {
            (Subject::Settings, Some(repository)) => {
                for host in self.config.hosts.iter() {
                    let (host, repository) = (host.clone(), repository.clone());
                    self.forget_repository(&RepositoryUrl { host, repository });
                }
            }
            // A ruleset of an organisation names no repository, and may be about each of its own.
            (Subject::Settings, None) => lock(&self.settings).forget_all(),
            (Subject::Access, _) => self.client.forget_tokens(),
            (Subject::PullRequest { .. } | Subject::Head { .. } | Subject::Branch { .. }, _) => {}
        }
    }

    /// Forgets what is kept about a repository; for the webhooks that tell of changed settings.
    pub fn forget_repository(&self, repository: &RepositoryUrl) {
        lock(&self.settings).forget(repository);
        let (host, name) = (&repository.host, &repository.repository);
        self.client.forget(&format!(
            "{}/repos/{}/{}",
            host.rest(),
            name.owner(),
            name.name()
        ));
    }

    pub(crate) fn session(
        &self,
        host: &ForgeHost,
        repository: &RepositoryName,
        urgency: Urgency,
    ) -> Session<'_> {
        let scope = TokenScope {
            host: host.clone(),
            repository: repository.clone(),
            asker: self.asker.clone(),
        };
        self.client.session(scope, urgency)
    }

    pub(crate) fn queue_support(&self, host: &ForgeHost) -> MergeQueueSupport {
        let known = lock(&self.queue_support).get(host.web()).copied();
        known.unwrap_or(MergeQueueSupport::Present)
    }

    pub(crate) fn has_less_queue_support(&self, host: &ForgeHost, support: MergeQueueSupport) {
        lock(&self.queue_support).insert(host.web().to_owned(), support);
    }
}

fn unusable(error: &Error) -> ForgeError {
    match error {
        Error::ParsePullRequestUrl {
            why: UrlFault::HostNotAllowed { host },
        }
        | Error::ParseRepositoryUrl {
            why: UrlFault::HostNotAllowed { host },
        } => ForgeError::HostNotAllowed { host: host.clone() },
        Error::ParsePullRequestUrl { why } | Error::ParseRepositoryUrl { why } => {
            ForgeError::UnrecognizedUrl {
                why: why.to_string(),
            }
        }
        Error::ConfigureHost { .. }
        | Error::BuildTransport { .. }
        | Error::ReadAppKey { .. }
        | Error::BuildRequest { .. }
        | Error::VerifyWebhook { .. }
        | Error::InterpretWebhook { .. } => ForgeError::UnrecognizedUrl {
            why: error.to_string(),
        },
    }
}
