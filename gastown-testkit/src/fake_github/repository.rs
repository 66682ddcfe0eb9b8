//! A repository: its branches, pull requests, checks and rules, and what people do to them.
//!
//! Everything that people and machines do goes through a method here, whether a test calls it or
//! a request arrives, so that both see the same rules and send the same webhooks.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use chrono::{DateTime, Utc};

use super::FakeError;
use super::clock::FakeClock;
use super::git::{self, Git};
use super::pull_request::{
    CheckRun, Comment, CommitStatus, Conclusion, Fork, Happened, PullRequest, PullState, Review,
    StatusState, Thread, TimelineItem, Verdict,
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

    /// The newest commit of a branch.
    ///
    /// # Errors
    /// [`FakeError`] if git can't be run.
    pub fn head(&self, branch: &str) -> Result<Option<String>, FakeError> {
        Ok(self.git.branches()?.get(branch).cloned())
    }

    pub(super) fn need_head(&self, branch: &str) -> Result<String, FakeError> {
        let name = self.full_name();
        self.head(branch)?
            .ok_or_else(|| FakeError::new(format!("{name} has no branch {branch}")))
    }

    /// Commits files to a branch, which begins at the default branch where it is new. An empty
    /// text removes a file.
    ///
    /// # Errors
    /// [`FakeError`] if git can't be run.
    pub fn push(&mut self, branch: &str, files: &[(&str, &str)]) -> Result<String, FakeError> {
        let from = match self.head(branch)? {
            Some(head) => head,
            None => self.need_head(DEFAULT_BRANCH)?,
        };
        let message = format!("Change {}", files.first().map_or("nothing", |it| it.0));
        let commit = self.git.write(Some(&from), files, &message)?;
        self.git.set_branch(branch, &commit)?;
        self.refresh()?;
        Ok(commit)
    }

    /// The parents of the newest commit of a branch.
    ///
    /// # Errors
    /// [`FakeError`] if there is no such branch.
    pub fn parents_of(&self, branch: &str) -> Result<Vec<String>, FakeError> {
        self.git.parents(&self.need_head(branch)?)
    }

    /// Deletes a branch.
    ///
    /// # Errors
    /// [`FakeError`] if git can't be run.
    pub fn delete_branch(&mut self, branch: &str) -> Result<(), FakeError> {
        self.git.delete_branch(branch)?;
        self.refresh()
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

    /// Closes a pull request without a merge.
    ///
    /// # Errors
    /// [`FakeError`] if there is none.
    pub fn close(&mut self, number: u64) -> Result<(), FakeError> {
        self.change(number, "closed", |it| it.state = PullState::Closed)
    }

    /// Opens a closed one again.
    ///
    /// # Errors
    /// [`FakeError`] if there is none.
    pub fn reopen(&mut self, number: u64) -> Result<(), FakeError> {
        self.change(number, "reopened", |it| {
            if it.state == PullState::Closed {
                it.state = PullState::Open;
            }
        })
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

    /// Reports a check run on a commit. A run of that name, App and workflow is brought up to
    /// date if it still runs, else a new one begins; no conclusion: it runs.
    pub fn report_check(
        &mut self,
        commit: &str,
        name: &str,
        app: i64,
        conclusion: Option<Conclusion>,
    ) -> u64 {
        let now = self.now();
        let running = self.checks.iter_mut().find(|it| {
            it.commit == commit && it.name == name && it.app == app && it.conclusion.is_none()
        });
        let id = match running {
            Some(run) => {
                run.conclusion = conclusion;
                run.completed_at = conclusion.map(|_| now);
                run.id
            }
            None => {
                let id = self.next_id();
                self.checks.push(CheckRun {
                    id,
                    name: name.to_owned(),
                    app,
                    commit: commit.to_owned(),
                    workflow: None,
                    conclusion,
                    started_at: now,
                    completed_at: conclusion.map(|_| now),
                });
                id
            }
        };
        self.tell(webhooks::check_run(self, id));
        id
    }

    /// The check runs, oldest first.
    #[must_use]
    pub fn checks(&self) -> &[CheckRun] {
        &self.checks
    }

    /// The check runs, to be changed without anybody hearing of it.
    pub fn checks_mut(&mut self) -> &mut Vec<CheckRun> {
        &mut self.checks
    }

    /// Reports a commit status.
    pub fn report_status(&mut self, commit: &str, context: &str, state: StatusState) -> u64 {
        let id = self.next_id();
        self.statuses.push(CommitStatus {
            id,
            context: context.to_owned(),
            commit: commit.to_owned(),
            state,
            at: self.now(),
        });
        self.tell(webhooks::status(self, id));
        id
    }

    /// The newest status of each context on a commit, by context.
    pub(super) fn statuses_of(&self, commit: &str) -> Vec<&CommitStatus> {
        let mut newest: BTreeMap<&str, &CommitStatus> = BTreeMap::new();
        for status in self.statuses.iter().filter(|it| it.commit == commit) {
            newest.insert(&status.context, status);
        }
        newest.into_values().collect()
    }

    /// Reviews the head of a pull request.
    ///
    /// # Errors
    /// [`FakeError`] if there is none, or for an author's own.
    pub fn review(
        &mut self,
        number: u64,
        author: &str,
        verdict: Verdict,
        body: &str,
    ) -> Result<u64, FakeError> {
        let (id, at) = (self.next_id(), self.now());
        let pull = self.need_pull(number)?;
        if pull.author == author && verdict != Verdict::Comment {
            let verb = if verdict == Verdict::Approve {
                "approve"
            } else {
                "request changes on"
            };
            return Err(FakeError::new(format!(
                "Review Can not {verb} your own pull request"
            )));
        }
        pull.reviews.push(Review {
            id,
            author: author.to_owned(),
            verdict,
            dismissed: false,
            body: body.to_owned(),
            commit: pull.head_sha.clone(),
            at,
        });
        pull.updated_at = at;
        self.tell(webhooks::review(self, number, id, "submitted"));
        Ok(id)
    }

    /// Begins a thread of review comments.
    ///
    /// # Errors
    /// [`FakeError`] if there is no such pull request.
    pub fn open_thread(
        &mut self,
        number: u64,
        author: &str,
        path: &str,
        body: &str,
    ) -> Result<u64, FakeError> {
        let id = self.next_id();
        let comment = self.comment_of(author, body);
        let at = comment.at;
        let pull = self.need_pull(number)?;
        pull.threads.push(Thread {
            id,
            path: path.to_owned(),
            resolved: false,
            outdated: false,
            comments: vec![comment],
        });
        pull.updated_at = at;
        self.tell(webhooks::review_comment(self, number, id));
        Ok(id)
    }

    fn comment_of(&self, author: &str, body: &str) -> Comment {
        Comment {
            id: self.next_id(),
            author: author.to_owned(),
            body: body.to_owned(),
            at: self.now(),
        }
    }

    fn need_thread(&mut self, id: u64) -> Result<(u64, &mut Thread), FakeError> {
        for pull in self.pulls.values_mut() {
            if let Some(thread) = pull.threads.iter_mut().find(|it| it.id == id) {
                return Ok((pull.number, thread));
            }
        }
        Err(FakeError::new(format!("there is no thread {id}")))
    }

    pub(super) fn has_thread(&self, id: u64) -> bool {
        let mut threads = self.pulls.values().flat_map(|it| &it.threads);
        threads.any(|it| it.id == id)
    }

    /// Answers in a thread.
    ///
    /// # Errors
    /// [`FakeError`] if there is no such thread.
    pub fn reply(&mut self, thread: u64, author: &str, body: &str) -> Result<(), FakeError> {
        let comment = self.comment_of(author, body);
        let (number, found) = self.need_thread(thread)?;
        found.comments.push(comment);
        self.tell(webhooks::review_comment(self, number, thread));
        Ok(())
    }

    /// Settles a thread, or opens it again.
    ///
    /// # Errors
    /// [`FakeError`] if there is no such thread.
    pub fn resolve_thread(&mut self, thread: u64, resolved: bool) -> Result<(), FakeError> {
        let (number, found) = self.need_thread(thread)?;
        found.resolved = resolved;
        let action = if resolved { "resolved" } else { "unresolved" };
        self.tell(webhooks::review_thread(self, number, thread, action));
        Ok(())
    }

    /// Writes a comment below a pull request.
    ///
    /// # Errors
    /// [`FakeError`] if there is none.
    pub fn comment(&mut self, number: u64, author: &str, body: &str) -> Result<u64, FakeError> {
        let comment = self.comment_of(author, body);
        let id = comment.id;
        self.need_pull(number)?.comments.push(comment);
        Ok(id)
    }

    pub(super) fn tell(&mut self, webhook: Option<Webhook>) {
        self.webhooks.extend(webhook);
    }

    pub(super) fn tell_pull(&mut self, number: u64, action: &str) {
        self.tell(webhooks::pull_request(self, number, action));
    }

    /// Takes note of what git has: pushes arrive from outside, too.
    pub(super) fn refresh(&mut self) -> Result<(), FakeError> {
        let branches = self.git.branches()?;
        if branches == self.known_branches {
            return Ok(());
        }
        let before = std::mem::replace(&mut self.known_branches, branches.clone());
        let names: std::collections::BTreeSet<&String> =
            before.keys().chain(branches.keys()).collect();
        for name in names {
            let (old, new) = (before.get(name), branches.get(name));
            if old != new {
                self.tell(webhooks::push(self, name, old, new));
                self.branch_moved(name, new)?;
            }
        }
        Ok(())
    }

    fn branch_moved(&mut self, branch: &str, head: Option<&String>) -> Result<(), FakeError> {
        let open: Vec<u64> = self
            .pulls
            .values()
            .filter(|it| it.state == PullState::Open)
            .map(|it| it.number)
            .collect();
        for number in open {
            let pull = self.need_pull(number)?;
            let is_head = pull.head_branch == branch && pull.fork.is_none();
            let is_base = pull.base_branch == branch;
            match head {
                Some(head) if is_head => self.head_moved(number, head)?,
                Some(head) if is_base => self.base_moved(number, head)?,
                Some(_) => {}
                // Without its branch there is nothing to merge.
                None if is_head => self.close(number)?,
                None => {}
            }
        }
        Ok(())
    }

    /// Moves the head of a pull request from a fork.
    ///
    /// # Errors
    /// [`FakeError`] if there is none.
    pub fn push_to_fork(
        &mut self,
        number: u64,
        files: &[(&str, &str)],
    ) -> Result<String, FakeError> {
        let from = self.need_pull(number)?.head_sha.clone();
        let head = self.git.write(Some(&from), files, "More")?;
        self.head_moved(number, &head)?;
        Ok(head)
    }

    fn head_moved(&mut self, number: u64, head: &str) -> Result<(), FakeError> {
        let lag = self.settings.mergeability_lag_reads;
        let base = self.need_pull(number)?.base_branch.clone();
        let dismisses = self.rules.get(&base).is_some_and(|it| it.dismiss_stale);
        let pull = self.need_pull(number)?;
        let (before, is_queued) = (pull.head_sha.clone(), pull.queued_at.is_some());
        // A changed head leaves the queue.
        if is_queued {
            self.dequeue(number, "UNKNOWN_REMOVAL_REASON")?;
        }
        let what = if git::contains(&*self.git, head, &before)? {
            Happened::Pushed {
                commit: head.to_owned(),
            }
        } else {
            Happened::ForcePushed
        };
        let at = self.now();
        self.change(number, "synchronize", |it| {
            it.timeline.push(TimelineItem { at, what });
            it.head_sha = head.to_owned();
            it.reads_until_known = lag;
            for thread in &mut it.threads {
                thread.outdated = true;
            }
            if dismisses {
                for review in &mut it.reviews {
                    review.dismissed |= review.verdict == Verdict::Approve;
                }
            }
        })
    }

    fn base_moved(&mut self, number: u64, base: &str) -> Result<(), FakeError> {
        let (now, lag) = (self.now(), self.settings.mergeability_lag_reads);
        let head = self.need_pull(number)?.head_sha.clone();
        let is_merged = git::contains(&*self.git, base, &head)?;
        let pull = self.need_pull(number)?;
        pull.base_sha = base.to_owned();
        pull.reads_until_known = lag;
        if is_merged {
            // Its commits came to the base branch by another way.
            pull.merge_commit = Some(base.to_owned());
            pull.merged_at = Some(now);
            self.change(number, "closed", |it| it.state = PullState::Merged)?;
        }
        Ok(())
    }
}
