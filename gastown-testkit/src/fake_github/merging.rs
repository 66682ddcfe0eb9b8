//! Whether a pull request can be merged, and merging it.

use super::FakeError;
use super::git::{self, Merged};
use super::pull_request::{
    CheckRun, Happened, MergeGroup, PullRequest, PullState, TimelineItem, Verdict,
};
use super::repository::Repository;
use super::rules::{Method, Rules};
use super::webhooks;

/// Who merges what is in a queue, and throws it out.
const QUEUE_BOT: &str = "github-merge-queue[bot]";

/// GitHub's own summary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MergeState {
    /// Nothing stands in the way.
    Clean,
    /// It conflicts with its base.
    Dirty,
    /// A rule is not met.
    Blocked,
    /// Its base must be merged into it first.
    Behind,
    /// A check that is not required does not pass.
    Unstable,
    /// It is a draft.
    Draft,
    /// Being computed.
    Unknown,
}

impl MergeState {
    /// GitHub's word, in lower case as REST writes it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Clean => "clean",
            Self::Dirty => "dirty",
            Self::Blocked => "blocked",
            Self::Behind => "behind",
            Self::Unstable => "unstable",
            Self::Draft => "draft",
            Self::Unknown => "unknown",
        }
    }
}

/// A refusal, in GitHub's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The status.
    pub status: u16,
    /// The words.
    pub message: String,
}

impl Refusal {
    pub(super) fn new(status: u16, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
        }
    }
}

/// Who merges, and what may be passed over.
#[derive(Clone, Copy, Debug)]
pub(super) struct Merger<'a> {
    pub(super) login: &'a str,
    pub(super) bypasses_rules: bool,
}

impl Repository {
    /// What a branch demands.
    #[must_use]
    pub fn rules_of(&self, branch: &str) -> Rules {
        self.rules.get(branch).cloned().unwrap_or_default()
    }

    /// GitHub's own summary of a pull request, after mergeability was computed.
    ///
    /// # Errors
    /// [`FakeError`] if git can't be run.
    pub fn merge_state(&mut self, number: u64) -> Result<MergeState, FakeError> {
        let pull = self.need_pull(number)?.clone();
        if pull.state != PullState::Open || pull.reads_until_known > 0 {
            return Ok(MergeState::Unknown);
        }
        if self.conflicts(&pull)? {
            return Ok(MergeState::Dirty);
        }
        if pull.draft {
            return Ok(MergeState::Draft);
        }
        let rules = self.rules_of(&pull.base_branch);
        let head = &pull.head_sha;
        if self.missing(&pull, &rules).is_some() {
            return Ok(MergeState::Blocked);
        }
        if rules.strict && !git::contains(&*self.git, head, &pull.base_sha)? {
            return Ok(MergeState::Behind);
        }
        let bad_run = |it: &&CheckRun| !it.conclusion.is_some_and(|it| it.passes());
        let bad_status =
            |it: &&super::CommitStatus| it.state != super::pull_request::StatusState::Success;
        let unstable = self.latest_runs(head).iter().any(bad_run)
            || self.statuses_of(head).iter().any(bad_status);
        Ok(if unstable {
            MergeState::Unstable
        } else {
            MergeState::Clean
        })
    }

    fn conflicts(&mut self, pull: &PullRequest) -> Result<bool, FakeError> {
        let merged = git::merge_heads(&mut *self.git, &pull.base_sha, &pull.head_sha)?;
        Ok(merged == Merged::Conflict)
    }

    /// The newest run of each name and App on a commit.
    pub(super) fn latest_runs(&self, commit: &str) -> Vec<&CheckRun> {
        let of_commit: Vec<&CheckRun> = self
            .checks
            .iter()
            .filter(|it| it.commit == commit)
            .collect();
        let is_newest = |run: &&&CheckRun| {
            !of_commit.iter().any(|other| {
                (&other.name, other.app, &other.workflow) == (&run.name, run.app, &run.workflow)
                    && other.id > run.id
            })
        };
        of_commit.iter().filter(is_newest).copied().collect()
    }

    /// The rule that is not met, in GitHub's words.
    pub(super) fn missing(&self, pull: &PullRequest, rules: &Rules) -> Option<String> {
        let unmet: Vec<&str> = rules
            .required_checks
            .iter()
            .filter(|it| !self.check_is_met(&pull.head_sha, &it.context, it.app))
            .map(|it| it.context.as_str())
            .collect();
        match unmet.as_slice() {
            [] => {}
            [only] => return Some(format!("Required status check \"{only}\" is expected.")),
            several => {
                let (unmet, all) = (several.len(), rules.required_checks.len());
                return Some(format!(
                    "{unmet} of {all} required status checks are expected."
                ));
            }
        }
        let needed = usize::try_from(rules.approvals).unwrap_or(usize::MAX);
        let opinions = opinions(pull);
        if opinions.iter().any(|it| it.1 == Verdict::RequestChanges) && needed > 0 {
            return Some("Changes have been requested.".to_owned());
        }
        let approvals = opinions.iter().filter(|it| it.1 == Verdict::Approve);
        if approvals.count() < needed {
            return Some(format!(
                "At least {needed} approving review is required by reviewers with write access."
            ));
        }
        let open = pull.threads.iter().any(|it| !it.resolved);
        (rules.resolve_threads && open).then(|| {
            "A conversation must be resolved before this pull request can be merged.".into()
        })
    }

    /// A check and a status of one name both have to pass.
    fn check_is_met(&self, commit: &str, context: &str, app: Option<i64>) -> bool {
        let runs = self.latest_runs(commit);
        let runs: Vec<_> = runs
            .iter()
            .filter(|it| it.name == context && app.is_none_or(|app| it.app == app))
            .collect();
        let statuses = self.statuses_of(commit);
        let statuses: Vec<_> = statuses.iter().filter(|it| it.context == context).collect();
        let reported = !runs.is_empty() || (!statuses.is_empty() && app.is_none());
        reported
            && runs
                .iter()
                .all(|it| it.conclusion.is_some_and(|it| it.passes()))
            && statuses
                .iter()
                .all(|it| it.state == super::pull_request::StatusState::Success)
    }

    /// Merges a pull request as the endpoint does: `expected` is the head that was judged.
    pub(super) fn merge_by_request(
        &mut self,
        number: u64,
        method: Method,
        expected: Option<&str>,
        merger: Merger<'_>,
    ) -> Result<Result<String, Refusal>, FakeError> {
        if self.need_pull(number)?.stacked {
            return Ok(Err(Refusal::new(
                403,
                "Merging stacked PRs via this endpoint is not supported. Use the asynchronous \
                 merge endpoint instead.",
            )));
        }
        self.merge_by_rules(number, method, expected, merger)
    }

    /// Merges a pull request, stacked or not, if nothing forbids it.
    pub(super) fn merge_by_rules(
        &mut self,
        number: u64,
        method: Method,
        expected: Option<&str>,
        merger: Merger<'_>,
    ) -> Result<Result<String, Refusal>, FakeError> {
        let pull = self.need_pull(number)?.clone();
        if let Some(refusal) = self.refusal(&pull, method, expected, merger)? {
            return Ok(Err(refusal));
        }
        match self.merge_now(number, method, merger.login)? {
            Some(commit) => Ok(Ok(commit)),
            None => Ok(Err(Refusal::new(405, "Pull Request is not mergeable"))),
        }
    }

    fn refusal(
        &mut self,
        pull: &PullRequest,
        method: Method,
        expected: Option<&str>,
        merger: Merger<'_>,
    ) -> Result<Option<Refusal>, FakeError> {
        let rules = self.rules_of(&pull.base_branch);
        let refused = |status, message: &str| Ok(Some(Refusal::new(status, message)));
        if pull.state != PullState::Open {
            return refused(405, "Pull Request is not mergeable");
        }
        if expected.is_some_and(|it| it != pull.head_sha) {
            return refused(
                409,
                "Head branch was modified. Review and try the merge again.",
            );
        }
        if pull.draft {
            return refused(405, "Pull Request is still a draft");
        }
        if pull.queued_at.is_some() {
            return refused(405, "Pull Request is in the merge queue");
        }
        if self.conflicts(pull)? {
            return refused(405, "Pull Request is not mergeable");
        }
        if !self.allows(method, &rules) {
            let name = match method {
                Method::Merge => "Merge commits",
                Method::Squash => "Squash merges",
                Method::Rebase => "Rebase merges",
            };
            return refused(405, &format!("{name} are not allowed on this repository."));
        }
        if merger.bypasses_rules {
            return Ok(None);
        }
        if rules.merge_queue {
            return refused(
                405,
                "Repository rule violations found\n\nChanges must be made through the merge queue",
            );
        }
        if let Some(missing) = self.missing(pull, &rules) {
            return refused(405, &missing);
        }
        if rules.strict && !git::contains(&*self.git, &pull.head_sha, &pull.base_sha)? {
            return refused(
                405,
                "Head branch is out of date. Review and try the merge again.",
            );
        }
        Ok(None)
    }

    fn allows(&self, method: Method, rules: &Rules) -> bool {
        let flag = match method {
            Method::Merge => self.settings.allow_merge_commit && !rules.linear_history,
            Method::Squash => self.settings.allow_squash_merge,
            Method::Rebase => self.settings.allow_rebase_merge,
        };
        flag && rules.methods.as_ref().is_none_or(|it| it.contains(&method))
    }

    /// Merges, whatever the rules say; none where that conflicts.
    ///
    /// # Errors
    /// [`FakeError`] if there is no such pull request, or git can't be run.
    pub fn merge_now(
        &mut self,
        number: u64,
        method: Method,
        login: &str,
    ) -> Result<Option<String>, FakeError> {
        let pull = self.need_pull(number)?.clone();
        let (base, head) = (&pull.base_sha, &pull.head_sha);
        let Merged::Tree(tree) = git::merge_heads(&mut *self.git, base, head)? else {
            return Ok(None);
        };
        let commit = match method {
            Method::Merge => {
                let message = format!("Merge pull request #{number} from {}", pull.head_branch);
                Some(self.git.commit(&tree, &[base, head], &message)?)
            }
            Method::Squash => {
                let message = format!("{} (#{number})", pull.title);
                Some(self.git.commit(&tree, &[base], &message)?)
            }
            Method::Rebase => git::rebase(&mut *self.git, base, head)?,
        };
        let Some(commit) = commit else {
            return Ok(None);
        };
        let now = self.now();
        // The queue lets go of it a moment before the pull request says that it is merged.
        if self.need_pull(number)?.queued_at.is_some() {
            self.dequeue(number, "MERGE")?;
        }
        let pull = self.need_pull(number)?;
        pull.state = PullState::Merged;
        pull.merge_commit = Some(commit.clone());
        pull.merged_by = Some(login.to_owned());
        pull.merged_at = Some(now);
        pull.updated_at = now;
        let branch = pull.base_branch.clone();
        self.git.set_branch(&branch, &commit)?;
        self.tell_pull(number, "closed");
        self.refresh()?;
        Ok(Some(commit))
    }

    /// Puts a pull request into the merge queue, by the hand of `login`.
    ///
    /// # Errors
    /// [`FakeError`] if there is none, or git can't be run.
    pub fn enqueue(
        &mut self,
        number: u64,
        expected: Option<&str>,
        login: &str,
    ) -> Result<Result<(), Refusal>, FakeError> {
        let pull = self.need_pull(number)?.clone();
        let rules = self.rules_of(&pull.base_branch);
        let refused = |message: &str| Ok(Err(Refusal::new(422, message)));
        if expected.is_some_and(|it| it != pull.head_sha) {
            return refused("The head of the pull request is not the expected one");
        }
        if pull.queued_at.is_some() {
            return refused("The pull request is already in the merge queue");
        }
        if !rules.merge_queue || pull.state != PullState::Open || pull.draft || pull.stacked {
            return refused("The pull request cannot be added to a merge queue");
        }
        if self.missing(&pull, &rules).is_some() || self.conflicts(&pull)? {
            return refused("The pull request does not meet the requirements of its base branch");
        }
        let (base, head) = (&pull.base_sha, &pull.head_sha);
        let Merged::Tree(tree) = git::merge_heads(&mut *self.git, base, head)? else {
            return refused("The pull request cannot be merged");
        };
        let message = format!("Merge pull request #{number}");
        let group = MergeGroup {
            head_sha: self.git.commit(&tree, &[base, head], &message)?,
            base_sha: base.clone(),
        };
        let at = self.now();
        let by = login.to_owned();
        self.change(number, "enqueued", |it| {
            it.queued_at = Some(at);
            it.merge_group = Some(group);
            it.timeline.push(TimelineItem {
                at,
                what: Happened::Enqueued { by },
            });
        })?;
        self.tell(webhooks::merge_group(self, number, None));
        Ok(Ok(()))
    }

    /// Takes a pull request out of the queue unmerged; `reason` is GitHub's word, `MANUAL` say.
    ///
    /// # Errors
    /// [`FakeError`] if there is none, or it is not in the queue.
    pub fn dequeue(&mut self, number: u64, reason: &str) -> Result<(), FakeError> {
        // The queue, the webhook of the group and the timeline have words of their own.
        let (by, group_word, timeline_word) = match reason {
            "MANUAL" => ("octocat", "dequeued", "manual".to_owned()),
            "MERGE" => (QUEUE_BOT, "merged", "merged".to_owned()),
            "CI_FAILURE" => (QUEUE_BOT, "invalidated", "failed_checks".to_owned()),
            other => (QUEUE_BOT, "invalidated", other.to_ascii_lowercase()),
        };
        if self.need_pull(number)?.queued_at.is_none() {
            return Err(FakeError::new(format!("{number} is not in a merge queue")));
        }
        let destroyed = webhooks::merge_group(self, number, Some(group_word));
        let at = self.now();
        self.change(number, "dequeued", |it| {
            it.queued_at = None;
            it.merge_group = None;
            it.timeline.push(TimelineItem {
                at,
                what: Happened::Dequeued {
                    by: by.to_owned(),
                    reason: timeline_word,
                },
            });
        })?;
        if let Some(webhook) = self.webhooks.last_mut() {
            webhook.set("reason", reason);
        }
        self.tell(destroyed);
        Ok(())
    }

    /// Lets the queue merge what is in it, oldest first, as its bot. Returns what it merged.
    ///
    /// # Errors
    /// [`FakeError`] if git can't be run.
    pub fn run_queue(&mut self) -> Result<Vec<u64>, FakeError> {
        let mut queued: Vec<(_, u64)> = self
            .pulls
            .values()
            .filter_map(|it| Some((it.queued_at?, it.number)))
            .collect();
        queued.sort_unstable();
        let mut merged = Vec::new();
        for (_, number) in queued {
            if self.merge_now(number, Method::Squash, QUEUE_BOT)?.is_some() {
                merged.push(number);
            } else {
                self.dequeue(number, "MERGE_CONFLICT")?;
            }
        }
        Ok(merged)
    }
}

/// The latest opinion of everyone who has one, in the order of their first.
pub(super) fn opinions(pull: &PullRequest) -> Vec<(&str, Verdict)> {
    latest_opinions(pull)
        .into_iter()
        .map(|it| (it.author.as_str(), it.verdict))
        .collect()
}

/// The reviews that these opinions are.
pub(super) fn latest_opinions(pull: &PullRequest) -> Vec<&super::pull_request::Review> {
    let mut latest: Vec<&super::pull_request::Review> = Vec::new();
    let opinionated = pull
        .reviews
        .iter()
        .filter(|it| it.verdict != Verdict::Comment);
    for review in opinionated {
        latest.retain(|it| it.author != review.author);
        latest.push(review);
    }
    latest.retain(|it| !it.dismissed);
    latest
}
