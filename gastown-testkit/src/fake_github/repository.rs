//! A repository: its branches, pull requests, checks and rules, and what people do to them.
//!
//! Everything that people and machines do goes through a method here, whether a test calls it or
//! a request arrives, so that both see the same rules and send the same webhooks.

mod branches;
mod checks;
mod reviews;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use chrono::{DateTime, Utc};

use super::FakeError;
use super::clock::FakeClock;
use super::git::{self, Git};
use super::pull_request::{
    CheckRun, CommitStatus, Fork, Happened, PullRequest, PullState, TimelineItem,
};
use super::rules::Rules;
use super::webhooks::{self, Webhook};

/// The branch that a repository begins with.
pub const DEFAULT_BRANCH: &str = "main";
/// The App of checks that name none: GitHub's own Actions.
pub const ACTIONS_APP: i64 = 15368;

/// What the owner of a repository has set.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Whether merges may be squashed.
    pub allow_squash_merge: bool,
    /// Whether merges may make a merge commit.
    pub allow_merge_commit: bool,
    /// Whether merges may rebase.
    pub allow_rebase_merge: bool,
    /// Whether only some may see it.
    pub private: bool,
    /// Whether the owner's plan has rules for branches; without, they can't be read.
    pub plan_has_rules: bool,
    /// How many reads after a push find that mergeability is still being computed.
    pub mergeability_lag_reads: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            allow_squash_merge: true,
            allow_merge_commit: true,
            allow_rebase_merge: true,
            private: false,
            plan_has_rules: true,
            mergeability_lag_reads: 0,
        }
    }
}

/// What to open a pull request with.
#[derive(Clone, Debug)]
pub struct Opening {
    /// Its title.
    pub title: String,
    /// Its text.
    pub body: String,
    /// Who opens it.
    pub author: String,
    /// The branch of the work.
    pub head: String,
    /// The branch that it goes to.
    pub base: String,
    /// Whether it is unfinished.
    pub draft: bool,
}

impl Opening {
    /// One from `head` to the default branch, by a polecat.
    #[must_use]
    pub fn of(head: &str) -> Self {
        Self {
            title: format!("Work on {head}"),
            body: String::new(),
            author: "polecat".to_owned(),
            head: head.to_owned(),
            base: DEFAULT_BRANCH.to_owned(),
            draft: false,
        }
    }
}

/// A repository.
pub struct Repository {
    /// Its number, which outlives its name.
    pub id: u64,
    /// Who owns it.
    pub owner: String,
    /// Its name.
    pub name: String,
    /// What its owner has set.
    pub settings: Settings,
    /// What its branches demand, by branch.
    pub rules: BTreeMap<String, Rules>,
    /// Names that it had before, as `owner/name`.
    pub(super) former: Vec<String>,
    pub(super) git: Box<dyn Git>,
    pub(super) pulls: BTreeMap<u64, PullRequest>,
    pub(super) checks: Vec<CheckRun>,
    pub(super) statuses: Vec<CommitStatus>,
    pub(super) webhooks: Vec<Webhook>,
    pub(super) clock: FakeClock,
    ids: Arc<AtomicU64>,
    known_branches: BTreeMap<String, String>,
}

impl std::fmt::Debug for Repository {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Repository")
            .field("name", &self.full_name())
            .field("pulls", &self.pulls)
            .finish_non_exhaustive()
    }
}

impl Repository {
    pub(super) fn new(
        owner: &str,
        name: &str,
        git: Box<dyn Git>,
        clock: FakeClock,
        ids: Arc<AtomicU64>,
    ) -> Result<Self, FakeError> {
        let mut repository = Self {
            id: ids.fetch_add(1, Ordering::Relaxed),
            owner: owner.to_owned(),
            name: name.to_owned(),
            settings: Settings::default(),
            rules: BTreeMap::new(),
            former: Vec::new(),
            git,
            pulls: BTreeMap::new(),
            checks: Vec::new(),
            statuses: Vec::new(),
            webhooks: Vec::new(),
            clock,
            ids,
            known_branches: BTreeMap::new(),
        };
        if repository.head(DEFAULT_BRANCH)?.is_none() {
            let readme = format!("# {name}\n");
            let begin = repository
                .git
                .write(None, &[("README.md", &readme)], "Begin")?;
            repository.git.set_branch(DEFAULT_BRANCH, &begin)?;
        }
        repository.known_branches = repository.git.branches()?;
        Ok(repository)
    }

    /// `owner/name`.
    #[must_use]
    pub fn full_name(&self) -> String {
        format!("{}/{}", self.owner, self.name)
    }

    pub(super) fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    pub(super) fn next_id(&self) -> u64 {
        self.ids.fetch_add(1, Ordering::Relaxed)
    }

    /// The pull request of this number.
    #[must_use]
    pub fn pull(&self, number: u64) -> Option<&PullRequest> {
        self.pulls.get(&number)
    }

    /// Every pull request, by number.
    pub fn pulls(&self) -> impl Iterator<Item = &PullRequest> {
        self.pulls.values()
    }

    /// The pull request of this number, to be changed without anybody hearing of it.
    pub fn pull_mut(&mut self, number: u64) -> Option<&mut PullRequest> {
        self.pulls.get_mut(&number)
    }

    pub(super) fn need_pull(&mut self, number: u64) -> Result<&mut PullRequest, FakeError> {
        let name = self.full_name();
        self.pulls
            .get_mut(&number)
            .ok_or_else(|| FakeError::new(format!("{name} has no pull request {number}")))
    }

    /// Opens a pull request.
    ///
    /// # Errors
    /// [`FakeError`] if a branch is missing, or if the pull request would have no commits.
    pub fn open(&mut self, opening: Opening) -> Result<u64, FakeError> {
        let head = self.need_head(&opening.head)?;
        self.open_at(opening, head, None)
    }

    /// Opens a pull request from a fork, whose files are `files` on top of the base branch.
    ///
    /// # Errors
    /// [`FakeError`] if the base branch is missing.
    pub fn open_from_fork(
        &mut self,
        fork: &str,
        opening: Opening,
        files: &[(&str, &str)],
    ) -> Result<u64, FakeError> {
        let base = self.need_head(&opening.base)?;
        let head = self.git.write(Some(&base), files, &opening.title)?;
        self.open_at(opening, head, Some(Fork::Named(fork.to_owned())))
    }

    fn open_at(
        &mut self,
        opening: Opening,
        head_sha: String,
        fork: Option<Fork>,
    ) -> Result<u64, FakeError> {
        let base_sha = self.need_head(&opening.base)?;
        if git::contains(&*self.git, &base_sha, &head_sha)? {
            let (base, head) = (&opening.base, &opening.head);
            return Err(FakeError::new(format!(
                "No commits between {base} and {head}"
            )));
        }
        let now = self.now();
        let pushed = Happened::Pushed {
            commit: head_sha.clone(),
        };
        let number = self.pulls.keys().max().map_or(1, |it| it.saturating_add(1));
        let pull = PullRequest {
            number,
            title: opening.title,
            body: opening.body,
            author: opening.author,
            head_branch: opening.head,
            fork,
            head_sha,
            base_branch: opening.base,
            base_sha,
            state: PullState::Open,
            draft: opening.draft,
            stacked: false,
            merge_commit: None,
            merged_by: None,
            merged_at: None,
            queued_at: None,
            merge_group: None,
            timeline: vec![TimelineItem {
                at: now,
                what: pushed,
            }],
            reviews: Vec::new(),
            threads: Vec::new(),
            comments: Vec::new(),
            reads_until_known: self.settings.mergeability_lag_reads,
            created_at: now,
            updated_at: now,
        };
        self.pulls.insert(number, pull);
        self.tell_pull(number, "opened");
        Ok(number)
    }

    /// Changes a pull request and tells of it.
    pub(super) fn change(
        &mut self,
        number: u64,
        action: &str,
        change: impl FnOnce(&mut PullRequest),
    ) -> Result<(), FakeError> {
        let now = self.now();
        let pull = self.need_pull(number)?;
        change(pull);
        pull.updated_at = now;
        self.tell_pull(number, action);
        Ok(())
    }

    /// Closes a pull request without a merge. It leaves its queue.
    ///
    /// # Errors
    /// [`FakeError`] if there is none.
    pub fn close(&mut self, number: u64) -> Result<(), FakeError> {
        if self.need_pull(number)?.queued_at.is_some() {
            self.dequeue(number, "UNKNOWN_REMOVAL_REASON")?;
        }
        self.change(number, "closed", |it| it.state = PullState::Closed)
    }

    /// Opens a closed one again, with what was pushed meanwhile.
    ///
    /// # Errors
    /// [`FakeError`] if there is none, or a branch is gone.
    pub fn reopen(&mut self, number: u64) -> Result<(), FakeError> {
        let pull = self.need_pull(number)?.clone();
        if pull.state != PullState::Closed {
            return Ok(());
        }
        let base = self.need_head(&pull.base_branch)?;
        let head = match pull.fork {
            None => self.need_head(&pull.head_branch)?,
            Some(_) => pull.head_sha.clone(),
        };
        self.change(number, "reopened", |it| it.state = PullState::Open)?;
        if head != pull.head_sha {
            self.head_moved(number, &head)?;
        }
        if base != pull.base_sha {
            self.base_moved(number, &base)?;
        }
        Ok(())
    }

    /// Calls it unfinished or not.
    ///
    /// # Errors
    /// [`FakeError`] if there is none.
    pub fn set_draft(&mut self, number: u64, draft: bool) -> Result<(), FakeError> {
        let action = if draft {
            "converted_to_draft"
        } else {
            "ready_for_review"
        };
        self.change(number, action, |it| it.draft = draft)
    }

    /// Lets it go to another branch.
    ///
    /// # Errors
    /// [`FakeError`] if it or the branch is missing.
    pub fn set_base(&mut self, number: u64, base: &str) -> Result<(), FakeError> {
        let sha = self.need_head(base)?;
        let lag = self.settings.mergeability_lag_reads;
        self.change(number, "edited", |it| {
            it.base_branch = base.to_owned();
            it.base_sha = sha;
            it.reads_until_known = lag;
        })
    }

    pub(super) fn tell(&mut self, webhook: Option<Webhook>) {
        self.webhooks.extend(webhook);
    }

    pub(super) fn tell_pull(&mut self, number: u64, action: &str) {
        self.tell(webhooks::pull_request(self, number, action));
    }
}
