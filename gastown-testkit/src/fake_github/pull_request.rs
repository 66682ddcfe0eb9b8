//! A pull request and what people and machines say about it: plain data.

use chrono::{DateTime, Utc};

/// Where it is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PullState {
    /// Neither merged nor closed.
    Open,
    /// Closed without a merge.
    Closed,
    /// Its work is on the base branch.
    Merged,
}

/// A pull request.
#[derive(Clone, Debug)]
pub struct PullRequest {
    /// Its number.
    pub number: u64,
    /// Its title.
    pub title: String,
    /// Its text.
    pub body: String,
    /// Who opened it.
    pub author: String,
    /// The branch of its work.
    pub head_branch: String,
    /// `owner/name` of the fork with that branch; none for the repository itself.
    pub fork: Option<Fork>,
    /// The newest commit of its work.
    pub head_sha: String,
    /// The branch that it asks to be merged into.
    pub base_branch: String,
    /// The newest commit of that branch.
    pub base_sha: String,
    /// Where it is in its life.
    pub state: PullState,
    /// Whether its author calls it unfinished.
    pub draft: bool,
    /// Whether it is part of a stack.
    pub stacked: bool,
    /// The commit that brought it to the base branch.
    pub merge_commit: Option<String>,
    /// Who merged it.
    pub merged_by: Option<String>,
    /// When it was merged.
    pub merged_at: Option<DateTime<Utc>>,
    /// Since when it is in the merge queue.
    pub queued_at: Option<DateTime<Utc>>,
    /// The commit that the queue tests.
    pub merge_group: Option<MergeGroup>,
    /// What became of its head and the merge queue, oldest first.
    pub timeline: Vec<TimelineItem>,
    /// Reviews, oldest first.
    pub reviews: Vec<Review>,
    /// Threads of review comments, oldest first.
    pub threads: Vec<Thread>,
    /// Comments below it, oldest first.
    pub comments: Vec<Comment>,
    /// How many more reads find that mergeability is still being computed.
    pub reads_until_known: u32,
    /// When it was opened.
    pub created_at: DateTime<Utc>,
    /// When anything about it last changed.
    pub updated_at: DateTime<Utc>,
}

/// What a merge queue makes of a pull request, on a branch of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MergeGroup {
    /// The commit that would be merged.
    pub head_sha: String,
    /// The commit of the base branch that it is made on.
    pub base_sha: String,
}

/// One thing that happened to the head of a pull request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimelineItem {
    /// When.
    pub at: DateTime<Utc>,
    /// What.
    pub what: Happened,
}

/// See [`TimelineItem`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Happened {
    /// Commits came on top.
    Pushed {
        /// The newest.
        commit: String,
    },
    /// Commits were replaced.
    ForcePushed,
    /// It went into the merge queue.
    Enqueued {
        /// By this hand.
        by: String,
    },
    /// It left the merge queue.
    Dequeued {
        /// By this hand.
        by: String,
        /// The word of the timeline, `manual` say, which is another than the webhook's.
        reason: String,
    },
}

/// Where the work of a pull request from a fork is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fork {
    /// In this `owner/name`.
    Named(String),
    /// The fork was deleted.
    Gone,
}

/// What a review says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Yes.
    Approve,
    /// No.
    RequestChanges,
    /// Neither.
    Comment,
}

/// A review.
#[derive(Clone, Debug)]
pub struct Review {
    /// Its identifier.
    pub id: u64,
    /// Who wrote it.
    pub author: String,
    /// What it says.
    pub verdict: Verdict,
    /// Whether it counts no more.
    pub dismissed: bool,
    /// Its text.
    pub body: String,
    /// The head that it saw.
    pub commit: String,
    /// When it was submitted.
    pub at: DateTime<Utc>,
}

/// A thread of review comments.
#[derive(Clone, Debug)]
pub struct Thread {
    /// Its identifier.
    pub id: u64,
    /// The file that it is about.
    pub path: String,
    /// Whether it is settled.
    pub resolved: bool,
    /// Whether the lines that it is about have changed since.
    pub outdated: bool,
    /// Its comments, oldest first.
    pub comments: Vec<Comment>,
}

/// A comment.
#[derive(Clone, Debug)]
pub struct Comment {
    /// Its identifier.
    pub id: u64,
    /// Who wrote it.
    pub author: String,
    /// What it says.
    pub body: String,
    /// When.
    pub at: DateTime<Utc>,
}

/// What a check run came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conclusion {
    /// It passed.
    Success,
    /// It failed.
    Failure,
    /// It has nothing to say.
    Neutral,
    /// It did not run.
    Skipped,
    /// It was stopped.
    Cancelled,
    /// It took too long.
    TimedOut,
    /// A person has to do something.
    ActionRequired,
    /// It was given up by GitHub.
    Stale,
    /// It could not begin.
    StartupFailure,
}

impl Conclusion {
    /// GitHub's word, in lower case as REST writes it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Neutral => "neutral",
            Self::Skipped => "skipped",
            Self::Cancelled => "cancelled",
            Self::TimedOut => "timed_out",
            Self::ActionRequired => "action_required",
            Self::Stale => "stale",
            Self::StartupFailure => "startup_failure",
        }
    }

    /// Reads GitHub's word.
    #[must_use]
    pub fn read(word: &str) -> Option<Self> {
        let all = [
            Self::Success,
            Self::Failure,
            Self::Neutral,
            Self::Skipped,
            Self::Cancelled,
            Self::TimedOut,
            Self::ActionRequired,
            Self::Stale,
            Self::StartupFailure,
        ];
        all.into_iter().find(|it| it.word() == word)
    }

    /// Whether a required check with this end is met.
    #[must_use]
    pub fn passes(self) -> bool {
        matches!(self, Self::Success | Self::Neutral | Self::Skipped)
    }
}

/// A check run.
#[derive(Clone, Debug)]
pub struct CheckRun {
    /// Its identifier.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// The App that made it.
    pub app: i64,
    /// The commit that it is about.
    pub commit: String,
    /// The workflow and the event that it is part of, where it is one of Actions.
    pub workflow: Option<(String, String)>,
    /// What it came to; none while it runs.
    pub conclusion: Option<Conclusion>,
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// When it ended.
    pub completed_at: Option<DateTime<Utc>>,
}

/// The word of a commit status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatusState {
    /// It passed.
    Success,
    /// It failed.
    Failure,
    /// It could not be told.
    Error,
    /// It is not known yet.
    Pending,
}

impl StatusState {
    /// GitHub's word, in lower case as REST writes it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Error => "error",
            Self::Pending => "pending",
        }
    }

    /// Reads GitHub's word.
    #[must_use]
    pub fn read(word: &str) -> Option<Self> {
        let all = [Self::Success, Self::Failure, Self::Error, Self::Pending];
        all.into_iter().find(|it| it.word() == word)
    }
}

/// A commit status.
#[derive(Clone, Debug)]
pub struct CommitStatus {
    /// Its identifier.
    pub id: u64,
    /// Its name.
    pub context: String,
    /// The commit that it is about.
    pub commit: String,
    /// What it says.
    pub state: StatusState,
    /// When.
    pub at: DateTime<Utc>,
}
