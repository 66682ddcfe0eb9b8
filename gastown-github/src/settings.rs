//! What a base branch demands, kept for a while: it changes rarely, and asking costs budget.

use std::collections::BTreeMap;

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use http::{Response, StatusCode};

use crate::classify;
use crate::client::{Session, bad, lock};
use crate::credentials::{Asker, TokenScope};
use crate::error_body::ErrorBody;
use crate::github::GitHub;
use crate::observation::ForgeError;
use crate::request;
use crate::response::{self, BranchProtection, BranchRules, RequiredCheck};
use crate::url::{Product, RepositoryName, RepositoryUrl};

/// For how many branches the demands are kept.
const BRANCHES_MAX: usize = 1024;

/// Rules and protection of one branch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct BranchSettings {
    pub(crate) rules: BranchRules,
    pub(crate) protection: BranchProtection,
}

impl BranchSettings {
    /// All required checks of both.
    pub(crate) fn required_checks(&self) -> impl Iterator<Item = &RequiredCheck> {
        self.rules
            .required_checks
            .iter()
            .chain(&self.protection.required_checks)
    }
}

/// What the demands of a branch are kept by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    host: String,
    repository: RepositoryName,
    branch: String,
    /// What one asker may not read must not look unreadable to another.
    asker: Asker,
}

/// What is kept, and since when.
#[derive(Debug, Default)]
pub(crate) struct SettingsCache {
    kept: BTreeMap<Key, (DateTime<Utc>, BranchSettings)>,
}

impl SettingsCache {
    fn get(&self, key: &Key, now: DateTime<Utc>, age_max: TimeDelta) -> Option<BranchSettings> {
        let (at, settings) = self.kept.get(key)?;
        (now.signed_duration_since(*at) < age_max).then(|| settings.clone())
    }

    fn keep(&mut self, key: Key, now: DateTime<Utc>, settings: BranchSettings) {
        if self.kept.len() >= BRANCHES_MAX && !self.kept.contains_key(&key) {
            let oldest = self.kept.iter().min_by_key(|(_, (at, _))| *at);
            if let Some(oldest) = oldest.map(|(key, _)| key.clone()) {
                self.kept.remove(&oldest);
            }
        }
        self.kept.insert(key, (now, settings));
    }

    pub(crate) fn forget_all(&mut self) {
        self.kept.clear();
    }

    pub(crate) fn forget(&mut self, repository: &RepositoryUrl) {
        let host = repository.host.web();
        self.kept
            .retain(|key, _| key.host != host || key.repository != repository.repository);
    }
}

fn key(scope: &TokenScope, branch: &str) -> Key {
    Key {
        host: scope.host.web().to_owned(),
        repository: scope.repository.clone(),
        branch: branch.to_owned(),
        asker: scope.asker.clone(),
    }
}

impl GitHub {
    /// The demands of a branch, no older than this.
    pub(crate) async fn branch_settings(
        &self,
        session: &Session<'_>,
        branch: &str,
        age_max: TimeDelta,
    ) -> Result<BranchSettings, ForgeError> {
        let key = key(&session.scope, branch);
        let now = self.client.now();
        if let Some(kept) = lock(&self.settings).get(&key, now, age_max) {
            return Ok(kept);
        }
        let rules = self.branch_rules(session, branch).await?;
        let protection = branch_protection(session, branch).await?;
        let settings = BranchSettings { rules, protection };
        lock(&self.settings).keep(key, now, settings.clone());
        Ok(settings)
    }

    async fn branch_rules(
        &self,
        session: &Session<'_>,
        branch: &str,
    ) -> Result<BranchRules, ForgeError> {
        let scope = &session.scope;
        let request = request::branch_rules(&scope.host, &scope.repository, branch);
        let asked = request
            .as_ref()
            .map(|it| it.uri().clone())
            .unwrap_or_default();
        let first = session.ask(request).await?;
        let server = scope.host.product() == Product::EnterpriseServer;
        let no_rules = classify::means_no_rules(first.status(), &ErrorBody::read(first.body()))
            // A server from before there were rules.
            || (server && first.status() == StatusCode::NOT_FOUND);
        if no_rules {
            return Ok(BranchRules::none());
        }
        let Some(first) = readable(first)? else {
            return Ok(BranchRules::default());
        };
        let (pages, complete) = session.pages(first, &asked, self.config.pages_max).await?;
        let mut rules = BranchRules::none();
        for page in pages {
            rules.extend(response::branch_rules(page.body())?);
        }
        rules.complete &= complete;
        Ok(rules)
    }
}

async fn branch_protection(
    session: &Session<'_>,
    branch: &str,
) -> Result<BranchProtection, ForgeError> {
    let scope = &session.scope;
    let answer = session
        .ask(request::branch(&scope.host, &scope.repository, branch))
        .await?;
    match readable(answer)? {
        Some(answer) => response::branch_protection(answer.body()),
        None => Ok(BranchProtection::default()),
    }
}

/// The answer; or none if it may not be seen, which leaves the demands unknown; or the failure
/// of the world, which passes and must not look like a lasting defect of this pull request.
fn readable(answer: Response<Bytes>) -> Result<Option<Response<Bytes>>, ForgeError> {
    match answer.status() {
        status if status.is_success() => Ok(Some(answer)),
        StatusCode::FORBIDDEN | StatusCode::NOT_FOUND => Ok(None),
        _ => Err(bad(&answer)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::url::ForgeHost;

    fn scope(name: &str) -> TokenScope {
        TokenScope {
            host: ForgeHost::github_com(),
            repository: RepositoryName::parse(name).unwrap(),
            asker: Asker::default(),
        }
    }

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(second, 0).unwrap()
    }

    #[test]
    fn demands_are_kept_for_a_while_and_forgotten_on_request() {
        let mut cache = SettingsCache::default();
        let main = key(&scope("O/r"), "main");
        cache.keep(main.clone(), at(0), BranchSettings::default());
        cache.keep(
            key(&scope("o/other"), "main"),
            at(0),
            BranchSettings::default(),
        );
        let age_max = TimeDelta::seconds(300);
        assert!(cache.get(&main, at(299), age_max).is_some());
        assert!(cache.get(&main, at(300), age_max).is_none());
        assert!(cache.get(&main, at(0), TimeDelta::zero()).is_none());
        let other = Asker {
            town: Some("t".to_owned()),
            rig: None,
        };
        let of_other = key(
            &TokenScope {
                asker: other,
                ..scope("o/r")
            },
            "main",
        );
        assert!(cache.get(&of_other, at(0), age_max).is_none());
        let scope = scope("o/R");
        cache.forget(&RepositoryUrl {
            host: scope.host,
            repository: scope.repository,
        });
        assert_eq!(cache.kept.len(), 1);
    }

    #[test]
    fn the_oldest_leaves_at_the_limit() {
        let mut cache = SettingsCache::default();
        for number in 0..=BRANCHES_MAX {
            let key = key(&scope("o/r"), &number.to_string());
            cache.keep(key, at(number as i64), BranchSettings::default());
        }
        assert_eq!(cache.kept.len(), BRANCHES_MAX);
        assert!(!cache.kept.contains_key(&key(&scope("o/r"), "0")));
    }
}
