//! All that the fake knows: repositories and tokens.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use chrono::{DateTime, Utc};

use super::FakeError;
use super::clock::FakeClock;
use super::git::{Bare, Git, Memory};
use super::repository::Repository;
use super::webhooks::Webhook;

/// Something that a token may be kept from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Permission {
    /// Reading check runs.
    Checks,
    /// Reading commit statuses.
    Statuses,
    /// Writing contents: merging, branches, resolving threads, seeing merge flags.
    WriteContents,
    /// Reading classic branch protection.
    Protection,
    /// Writing comments and pull requests.
    WritePullRequests,
}

impl Permission {
    /// As the header that names what would do writes it.
    pub(super) fn header(self) -> &'static str {
        match self {
            Self::Checks => "checks=read",
            Self::Statuses => "statuses=read",
            Self::WriteContents => "contents=write",
            Self::Protection => "administration=read",
            Self::WritePullRequests => "pull_requests=write",
        }
    }
}

/// Whose token it is, and what it may do.
#[derive(Clone, Debug)]
pub struct Grant {
    /// The login of its owner; its budgets are the owner's.
    pub login: String,
    /// What it may not do.
    pub lacks: BTreeSet<Permission>,
    /// `owner/name` of the repositories that it may see; none: all of them.
    pub repositories: Option<BTreeSet<String>>,
    /// When it ends.
    pub expires_at: Option<DateTime<Utc>>,
    /// Whether rules don't hold for its owner.
    pub bypasses_rules: bool,
}

impl Grant {
    /// A token of this login that may do everything and never ends.
    #[must_use]
    pub fn of(login: &str) -> Self {
        Self {
            login: login.to_owned(),
            lacks: BTreeSet::new(),
            repositories: None,
            expires_at: None,
            bypasses_rules: false,
        }
    }

    /// The same without a permission.
    #[must_use]
    pub fn without(mut self, permission: Permission) -> Self {
        self.lacks.insert(permission);
        self
    }

    pub(super) fn may(&self, permission: Permission) -> bool {
        !self.lacks.contains(&permission)
    }

    pub(super) fn sees(&self, repository: &Repository) -> bool {
        let name = repository.full_name();
        self.repositories
            .as_ref()
            .is_none_or(|it| it.iter().any(|it| it.eq_ignore_ascii_case(&name)))
    }
}

/// How tokens begin that are made for an installation.
pub(super) const MINTED: &str = "ghs_1_fake.installation.token-";

/// All that the fake knows.
#[derive(Debug)]
pub struct World {
    clock: FakeClock,
    ids: Arc<AtomicU64>,
    repositories: Vec<Repository>,
    pub(super) grants: BTreeMap<String, Grant>,
    /// Tokens that were made for an installation.
    pub(super) minted: u64,
}

impl World {
    pub(super) fn new(clock: FakeClock) -> Self {
        Self {
            clock,
            ids: Arc::new(AtomicU64::new(1001)),
            repositories: Vec::new(),
            grants: BTreeMap::new(),
            minted: 0,
        }
    }

    /// The current time.
    #[must_use]
    pub fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    /// Adds a repository `owner/name` whose commits are in memory.
    ///
    /// # Errors
    /// [`FakeError`] if that is no name, or one that is taken.
    pub fn add_repository(&mut self, full_name: &str) -> Result<&mut Repository, FakeError> {
        self.add(full_name, Box::new(Memory::default()))
    }

    /// Adds a repository `owner/name` whose commits are in the bare repository at `path`, which is
    /// made where it is not there. Git can push to it and fetch from it; every request takes note
    /// of what it has.
    ///
    /// # Errors
    /// [`FakeError`] if that is no name, or one that is taken, or git can't be run.
    pub fn host_repository(
        &mut self,
        full_name: &str,
        path: &Path,
    ) -> Result<&mut Repository, FakeError> {
        let bare = Bare::make(path)?;
        self.add(full_name, Box::new(bare))
    }

    fn add(&mut self, full_name: &str, git: Box<dyn Git>) -> Result<&mut Repository, FakeError> {
        let (owner, name) = full_name
            .split_once('/')
            .ok_or_else(|| FakeError::new(format!("{full_name} is not owner/name")))?;
        if self.position(full_name).is_some() {
            return Err(FakeError::new(format!("{full_name} is there already")));
        }
        let (clock, ids) = (self.clock.clone(), Arc::clone(&self.ids));
        let repository = Repository::new(owner, name, git, clock, ids)?;
        self.repositories.push(repository);
        self.repository(full_name)
    }

    fn position(&self, full_name: &str) -> Option<usize> {
        self.repositories
            .iter()
            .position(|it| it.full_name().eq_ignore_ascii_case(full_name))
    }

    /// The repository of this name.
    ///
    /// # Errors
    /// [`FakeError`] if there is none.
    pub fn repository(&mut self, full_name: &str) -> Result<&mut Repository, FakeError> {
        self.find(full_name)
            .ok_or_else(|| FakeError::new(format!("there is no repository {full_name}")))
    }

    /// Gives a repository another name. The old one redirects.
    ///
    /// # Errors
    /// [`FakeError`] if there is none of that name.
    pub fn rename(&mut self, full_name: &str, to: &str) -> Result<(), FakeError> {
        let repository = self.repository(full_name)?;
        let before = repository.full_name();
        repository.former.push(before);
        repository.name = to.to_owned();
        Ok(())
    }

    /// Adds a token, or changes what it may do.
    pub fn grant(&mut self, token: &str, grant: Grant) {
        self.grants.insert(token.to_owned(), grant);
    }

    /// Makes a token void.
    pub fn revoke(&mut self, token: &str) {
        self.grants.remove(token);
    }

    /// Makes every token void that was made for an installation.
    pub fn revoke_minted(&mut self) {
        self.grants.retain(|token, _| !token.starts_with(MINTED));
    }

    /// Takes the webhooks that GitHub would have sent, oldest first of each repository.
    pub fn take_webhooks(&mut self) -> Vec<Webhook> {
        let all = self.repositories.iter_mut();
        all.flat_map(|it| std::mem::take(&mut it.webhooks))
            .collect()
    }

    pub(super) fn find(&mut self, full_name: &str) -> Option<&mut Repository> {
        let position = self.position(full_name)?;
        self.repositories.get_mut(position)
    }

    pub(super) fn find_by_id(&mut self, id: u64) -> Option<&mut Repository> {
        self.repositories.iter_mut().find(|it| it.id == id)
    }

    /// The number of the repository that once had this name.
    pub(super) fn renamed(&self, full_name: &str) -> Option<u64> {
        let had = |it: &&Repository| {
            it.former
                .iter()
                .any(|it| it.eq_ignore_ascii_case(full_name))
        };
        self.repositories.iter().find(had).map(|it| it.id)
    }

    pub(super) fn repositories_mut(&mut self) -> impl Iterator<Item = &mut Repository> {
        self.repositories.iter_mut()
    }
}
