//! The review-and-merge life of one branch: what an MR bead adds (spec 1.4, part 4).

use alloc::string::String;
use alloc::vec::Vec;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::agent::Agent;
use crate::bead::Bead;
use crate::config::MergeMethod;
use crate::forge::{Decision, Observation};
use crate::ids::{AgentId, BeadId, RigId};
use crate::time::Timestamp;
use crate::town::same_pull_request;

/// What [`AutoMerge::off_for_head`] says when no head was known.
pub(crate) const OFF_UNSEEN: &str = "unseen";

/// How often a direct merge is verified before a person is told (spec 3.10).
pub(crate) const VERIFY_TRIES_MAX: u32 = 5;

/// How a closed MR bead ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReviewOutcome {
    /// Its work is on its target.
    Merged,
    /// Another review of the same source was merged.
    Superseded,
    /// A person closed it.
    Withdrawn,
}

/// A refinery passed a head.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reviewed {
    /// The head that it passed; none when it named none.
    #[serde(default)]
    pub head_sha: Option<String>,
    /// When.
    pub at: Timestamp,
}

/// An agent in one of its sessions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgentSession {
    /// The agent.
    pub agent_id: AgentId,
    /// Its session.
    pub session: u64,
}

impl AgentSession {
    pub(crate) fn of(agent: &Agent) -> Self {
        Self {
            agent_id: agent.id.clone(),
            session: agent.session,
        }
    }
}

/// A merge that was asked for and has no outcome yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MergeAttempt {
    /// Its number; part of the effect's key.
    pub number: u64,
    /// The head that it names.
    pub head_sha: String,
    /// When it was asked for.
    pub at: Timestamp,
}

/// The clock and the budget of merging by the engine.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AutoMerge {
    /// Since when the pull request has been green.
    pub ready_since: Option<Timestamp>,
    /// The head that has been green.
    pub head_sha: Option<String>,
    /// Green for the delay: to be merged.
    pub pending: bool,
    /// A merge under way.
    pub attempt: Option<MergeAttempt>,
    /// Merges asked for so far; only grows.
    pub attempts: u64,
    /// When it was last seen green.
    pub last_green_at: Option<Timestamp>,
    /// Refusals for this head.
    pub refusals: u32,
    /// The forge's words at the last refusal.
    pub last_refusal: Option<String>,
    /// The head for which the engine no longer merges; `unseen` when none was known.
    pub off_for_head: Option<String>,
}

/// The record of looking at a pull request.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Poll {
    /// When it was last asked.
    pub last_at: Option<Timestamp>,
    /// How often it was asked; only grows.
    pub attempts: u64,
    /// Whether what was asked last has its answer; a second one with the same key says nothing (2.4).
    #[serde(skip_serializing_if = "crate::wire::is_default")]
    pub answered: bool,
    /// When it was last answered.
    pub last_ok_at: Option<Timestamp>,
    /// When anything observed last changed.
    pub changed_at: Option<Timestamp>,
    /// Something says that a look is worth it now.
    pub due_now: bool,
    /// Errors of this pull request since the last good look.
    pub pr_errors: u32,
    /// Errors of server or network since the last good look.
    pub transient_errors: u32,
    /// Errors of the credential that only this pull request has, since the last good look.
    #[serde(skip_serializing_if = "crate::wire::is_default")]
    pub credential_errors: u32,
    /// Answers that were not understood since the last good look.
    pub invalid_responses: u32,
    /// What the last error said.
    pub last_error: Option<String>,
    /// When an answer was last not understood; two pull requests at once mean that the forge
    /// changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_invalid_at: Option<Timestamp>,
}

/// A direct merge that has to be verified.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Verify {
    /// Its number; part of the effect's key; only grows.
    pub number: u64,
    /// When it was last asked.
    pub asked_at: Option<Timestamp>,
    /// The commit that the refinery says carries the work.
    pub merge_commit: Option<String>,
    /// How often it was asked.
    pub tries: u32,
}

/// What the mayor was told about a pull request that waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Waiting {
    /// When.
    pub told_at: Timestamp,
    /// How often.
    pub times: u32,
}

/// A conflict with the target, or a head that is out of date.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Conflict {
    /// Since when.
    pub since: Timestamp,
    /// When the last repair of it closed.
    #[serde(default)]
    pub last_repair_closed_at: Option<Timestamp>,
}

/// An approval that is awaited or given.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Approval {
    /// Since when it is awaited.
    pub awaiting_since: Option<Timestamp>,
    /// What the reviewers last decided.
    pub decision: Option<Decision>,
}

/// The last good look, with its time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seen {
    /// When it was taken note of: ages count from here.
    pub at: Timestamp,
    /// When it was taken, by the clock of whoever took it; an older look never replaces a newer
    /// one. Absent: `at`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taken_at: Option<Timestamp>,
    /// What was seen.
    pub observation: Observation,
    /// The same, with what could not be read this time as it was last known of this head. Absent: all
    /// that is known was read. It only says whether anything changed, never whether anything is green.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known: Option<Observation>,
}

impl Seen {
    /// What is known of the head by now.
    pub(crate) fn known(&self) -> &Observation {
        self.known.as_ref().unwrap_or(&self.observation)
    }
}

/// Repairs made so far, per cause (spec 4.4).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RepairRounds {
    /// For comments and failing checks.
    pub feedback: u32,
    /// For conflicts.
    pub conflict: u32,
    /// For a head that is out of date.
    pub behind: u32,
    /// For changes that a refinery asked for.
    pub rework: u32,
}

/// One condition of *green*, as it was seen (spec 4.4).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CertifiedCondition {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
    /// The head that it was seen for.
    pub head_sha: String,
    /// When it was seen.
    pub observed_at: Timestamp,
}

/// Why a merge is allowed; carried by `merge_pr` and stored (spec 4.4).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Certificate {
    /// The head that was green for the whole delay.
    pub head_sha: String,
    /// The branch that it goes to.
    pub base_branch: String,
    /// The rig.
    pub rig_id: RigId,
    /// `owner/name` of the rig's repository.
    pub repository: String,
    /// The configured method.
    pub method: MergeMethod,
    /// The configured delay in seconds.
    pub delay: u64,
    /// Since when the head has been green.
    pub ready_since: Timestamp,
    /// The head that the refinery passed, where code review is on.
    #[serde(default)]
    pub reviewed: Option<String>,
    /// Every condition of green.
    pub conditions: Vec<CertifiedCondition>,
    /// A digest of the configuration that it was judged by.
    pub config_hash: String,
}

/// What an MR bead adds to a bead (spec 1.4).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Review {
    /// The branch under review.
    pub branch: String,
    /// The branch that it goes to.
    pub target_branch: String,
    /// The issue or convoy whose work it is.
    pub source: BeadId,
    /// The agent that made it.
    #[serde(default)]
    pub source_agent: Option<AgentId>,
    /// The convoy that it lands, for a landing MR.
    #[serde(default)]
    pub convoy: Option<BeadId>,
    /// The rig in which it lands the convoy.
    #[serde(default)]
    pub landing_rig: Option<RigId>,
    /// Of a landing: whether it brings all that its convoy has in the rig. The engine makes it so, and an
    /// issue that joins or closes later makes it not so. Absent: its creation time speaks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lands_all: Option<bool>,
    /// The pull request; none for a direct merge.
    #[serde(default)]
    pub pr_url: Option<String>,
    /// The commit on the target, once merged.
    #[serde(default)]
    pub merge_commit: Option<String>,
    /// How it ended, once closed; absent means merged.
    #[serde(default)]
    pub outcome: Option<ReviewOutcome>,
    /// The refinery passed this head.
    #[serde(default)]
    pub reviewed: Option<Reviewed>,
    /// The session that asked for changes.
    #[serde(default)]
    pub changes_requested_in: Option<AgentSession>,
    /// Merging by the engine.
    #[serde(default)]
    pub auto_merge: AutoMerge,
    /// Looking at the pull request.
    #[serde(default)]
    pub poll: Poll,
    /// A direct merge that has to be verified.
    #[serde(default)]
    pub verify: Option<Verify>,
    /// Verifications so far; only grows, so that keys never repeat.
    #[serde(default)]
    pub verifications: u64,
    /// What the mayor was told about the wait.
    #[serde(default)]
    pub waiting: Option<Waiting>,
    /// The head last seen.
    #[serde(default)]
    pub head_sha: Option<String>,
    /// When it was first seen.
    #[serde(default)]
    pub head_seen_at: Option<Timestamp>,
    /// The session that was at the review when it took the place of another: what that says of "the
    /// head" may be of either.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head_changed_in: Option<AgentSession>,
    /// Whether it was a draft.
    #[serde(default)]
    pub is_draft: bool,
    /// A conflict with its target.
    #[serde(default)]
    pub conflict: Option<Conflict>,
    /// An approval that is awaited.
    #[serde(default)]
    pub approval: Option<Approval>,
    /// The last good look.
    #[serde(default)]
    pub observation: Option<Seen>,
    /// Repairs made so far.
    #[serde(default)]
    pub repair_rounds: RepairRounds,
    /// Why the last merge was allowed.
    #[serde(default)]
    pub certificate: Option<Certificate>,
}

impl Review {
    /// A review that nobody has looked at yet.
    #[must_use]
    pub fn new(branch: String, target_branch: String, source: BeadId) -> Self {
        Self {
            branch,
            target_branch,
            source,
            source_agent: None,
            convoy: None,
            landing_rig: None,
            lands_all: None,
            pr_url: None,
            merge_commit: None,
            outcome: None,
            reviewed: None,
            changes_requested_in: None,
            auto_merge: AutoMerge::default(),
            poll: Poll::default(),
            verify: None,
            verifications: 0,
            waiting: None,
            head_sha: None,
            head_seen_at: None,
            head_changed_in: None,
            is_draft: false,
            conflict: None,
            approval: None,
            observation: None,
            repair_rounds: RepairRounds::default(),
            certificate: None,
        }
    }

    /// When anything observed about its pull request last changed; before the first look, since
    /// when `mr`, whose review this is, has been in its status (spec 1.4).
    pub(crate) fn changed_at(&self, mr: &Bead) -> Timestamp {
        self.poll.changed_at.unwrap_or_else(|| mr.in_status_since())
    }

    /// Whether it lands a convoy.
    #[must_use]
    pub fn is_landing(&self) -> bool {
        self.convoy.is_some()
    }

    /// Whether it lands its convoy in `rig`: the rig of the landing, else that of `mr`, whose review
    /// this is; one without either speaks for all.
    pub(crate) fn lands_in(&self, mr: &Bead, rig: &RigId) -> bool {
        let of = self.landing_rig.as_ref().or(mr.rig_id.as_ref());
        self.is_landing() && of.is_none_or(|of| of == rig)
    }

    /// Whether a head is the one that there is, as far as that is known.
    pub(crate) fn is_at(&self, head: &str) -> bool {
        self.head_sha.as_deref().is_none_or(|known| known == head)
    }

    /// When the look was asked for whose answer is still to come; none, too, where a host has brought since
    /// what it saw without a key, as a fact of its own.
    pub(crate) fn look_under_way(&self) -> Option<Timestamp> {
        let asked_at = self.poll.last_at?;
        let seen_since = |seen: &Seen| seen.at > asked_at;
        let awaited = self.poll.attempts > 0 && !self.poll.answered;
        (awaited && !self.observation.as_ref().is_some_and(seen_since)).then_some(asked_at)
    }

    /// Takes a pull request; what was seen of another one says nothing of it.
    pub(crate) fn take_pr_url(&mut self, url: String) {
        let is_another = |known: &String| !same_pull_request(known, &url);
        if self.pr_url.as_ref().is_some_and(is_another) {
            self.observation = None;
            self.head_sha = None;
            self.head_seen_at = None;
            self.head_changed_in = None;
            self.reviewed = None;
            self.conflict = None;
            // How often the engine asked says which answers are late.
            self.auto_merge = AutoMerge {
                attempts: self.auto_merge.attempts,
                ..AutoMerge::default()
            };
            self.poll = Poll {
                attempts: self.poll.attempts,
                answered: self.poll.answered,
                ..Poll::default()
            };
        }
        self.pr_url = Some(url);
        self.poll.due_now = true;
    }
}
