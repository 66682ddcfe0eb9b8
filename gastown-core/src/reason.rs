//! Why something happened: a closed code for machines, a sentence for people (spec 2.3).

use alloc::string::String;
use core::fmt;

use serde::{Deserialize, Serialize};

macro_rules! reason_codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// The closed set of reasons, failure codes and escalation categories (spec 2.3, 3).
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[non_exhaustive]
        pub enum ReasonCode {
            $($(#[$doc])* #[serde(rename = $text)] $name,)*
        }

        impl ReasonCode {
            /// Every code.
            pub const ALL: &'static [ReasonCode] = &[$(ReasonCode::$name,)*];

            /// The code as it stands on the wire.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(ReasonCode::$name => $text,)* }
            }
        }
    };
}

reason_codes! {
    /// Two agents were hooked to one bead.
    DoubleHook = "double_hook",
    /// The hooked bead is terminal or gone.
    HookTerminal = "hook_terminal",
    /// The agent's role or rig does not fit the hooked bead.
    WrongHook = "wrong_hook",
    /// The host gave the agent up.
    AgentDead = "agent_dead",
    /// A dispatched agent never reported.
    NeverReported = "never_reported",
    /// A running agent fell silent.
    HeartbeatLost = "heartbeat_lost",
    /// An agent works without a hook.
    Unhooked = "unhooked",
    /// An agent was asked to stop and may still run.
    StopFailed = "stop_failed",
    /// An agent stayed stalled for too long.
    StalledTimeout = "stalled_timeout",
    /// An idle agent holds a bead that needs no agent now.
    Parked = "parked",
    /// A bead in progress has no agent that works on it.
    AgentLost = "agent_lost",
    /// The agent keeps dying.
    CrashLoop = "crash_loop",
    /// Every attempt that the rig allows was made.
    AttemptsExhausted = "attempts_exhausted",
    /// Every dispatch that the line of work allows was made.
    LineageSpent = "lineage_spent",
    /// The bead builds on failed work.
    BlockedByFailed = "blocked_by_failed",
    /// No rig is known for the bead.
    NoRig = "no_rig",
    /// The review's rig can't be told and no refinery is idle.
    MrWithoutRig = "mr_without_rig",
    /// A molecule, or a step of one, belongs to no bead.
    MoleculeAlone = "molecule_alone",
    /// Every review of the issue has ended, one of them merged.
    ReviewMerged = "review_merged",
    /// Every review of the issue has ended, none merged.
    ReviewEnded = "review_ended",
    /// The issue is in review, but nothing reviews it.
    ReviewMissing = "review_missing",
    /// The review's source is failed, closed or gone.
    SourceGone = "source_gone",
    /// The review that a repair was made for has ended.
    RepairOrphan = "repair_orphan",
    /// The rework that the refinery asked for failed.
    ReworkFailed = "rework_failed",
    /// A repair for the current head failed.
    RepairFailed = "repair_failed",
    /// Direct merges of one rig run one after the other.
    Serial = "serial",
    /// A review was left without an agent.
    Abandoned = "abandoned",
    /// A review's agent is idle and does nothing.
    Stuck = "stuck",
    /// A pull request that must be reviewed was not.
    Unreviewed = "unreviewed",
    /// A review without a pull request where one is needed.
    NoPrUrl = "no_pr_url",
    /// The given pull request does not belong to the rig.
    InvalidPrUrl = "invalid_pr_url",
    /// Finished work is said to be on a branch where all work goes.
    SharedBranch = "shared_branch",
    /// Code review is off; polling decides.
    FastTrack = "fast_track",
    /// The convoy has no issues.
    ConvoyEmpty = "convoy_empty",
    /// Every issue of the convoy failed.
    AllFailed = "all_failed",
    /// Some issues of the convoy failed.
    SomeFailed = "some_failed",
    /// Every landing attempt was made.
    LandingExhausted = "landing_exhausted",
    /// The convoy's branch can't be created.
    BranchFailed = "branch_failed",
    /// The convoy's work is on its target.
    ConvoyLanded = "convoy_landed",
    /// An agent was sent to work.
    Dispatched = "dispatched",
    /// A dispatch was refused by the host.
    DispatchRejected = "dispatch_rejected",
    /// The breaker opened.
    BreakerOpen = "breaker_open",
    /// An agent shows no activity.
    Inactive = "inactive",
    /// A triage request was carried by too many batches.
    TriageExhausted = "triage_exhausted",
    /// A triage request's bead has ended.
    TriageMoot = "triage_moot",
    /// A triage request was resolved.
    TriageResolved = "triage_resolved",
    /// A triage batch has nothing left to judge.
    TriageDone = "triage_done",
    /// The agent finished its work.
    Done = "done",
    /// Finished work arrived for a bead that was given away or closed.
    LateDone = "late_done",
    /// A refinery that lost its hook says that it is done.
    RefineryUnhookedDone = "refinery_unhooked_done",
    /// The agent's process ended.
    AgentExited = "agent_exited",
    /// The agent's process failed.
    AgentFailed = "agent_failed",
    /// The town's container was evicted.
    Evicted = "evicted",
    /// The agent was seen at work.
    HeartbeatSeen = "heartbeat_seen",
    /// The pull request was merged.
    Merged = "merged",
    /// A merge by another review made this one pointless.
    Superseded = "superseded",
    /// A merge was seen for a source that had been reopened.
    StaleMerge = "stale_merge",
    /// The pull request was closed without a merge.
    PrClosed = "pr_closed",
    /// The pull request can't be read.
    PrPollFailed = "pr_poll_failed",
    /// The forge did not answer for this pull request.
    PrUnreachable = "pr_unreachable",
    /// The pull request is not the one the review is for.
    PrIdentity = "pr_identity",
    /// The pull request conflicts with its target.
    MergeConflict = "merge_conflict",
    /// Every repair was made, and there still is feedback.
    RepairRoundsSpent = "repair_rounds_spent",
    /// The merge was refused too often.
    MergeRefused = "merge_refused",
    /// A person took the pull request out of the merge queue.
    Dequeued = "dequeued",
    /// The merge is not on the target branch.
    NotLanded = "not_landed",
    /// Whether the merge landed can't be told.
    MergeUnverified = "merge_unverified",
    /// A merge attempt had no outcome in time.
    MergeOverdue = "merge_overdue",
    /// The pull request no longer is green.
    NotGreen = "not_green",
    /// The pull request waits without any change.
    PrWaiting = "pr_waiting",
    /// The forge can't be reached.
    ForgeUnreachable = "forge_unreachable",
    /// The forge limits the rate.
    RateLimited = "rate_limited",
    /// No credential was found.
    CredentialsMissing = "credentials_missing",
    /// The credential was refused.
    CredentialsRejected = "credentials_rejected",
    /// The credential may not do this.
    PermissionMissing = "permission_missing",
    /// The forge answers in a form that is not understood.
    ApiDrift = "api_drift",
    /// No merge method is allowed.
    MergeMethodImpossible = "merge_method_impossible",
    /// A condition lasted longer than the policy allows.
    ConditionGaveUp = "condition_gave_up",
    /// The work goes on once its repair is done.
    RepairDone = "repair_done",
    /// A person's command.
    ByCommand = "by_command",
    /// A step of the molecule failed.
    StepFailed = "step_failed",
    /// Every step of the molecule is closed.
    StepsClosed = "steps_closed",
    /// The agent was quiet for long and has nothing to do.
    Retired = "retired",
    /// A drain ended.
    DrainTimeout = "drain_timeout",
    /// An agent asks for help.
    HelpRequested = "help_requested",
    /// The message was read.
    Delivered = "delivered",
    /// The source waits for a person.
    SourceWaits = "source_waits",
}

impl fmt::Display for ReasonCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A code for machines and a sentence for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reason {
    /// What tests and metrics use.
    pub code: ReasonCode,
    /// What a person reads.
    pub message: String,
}

impl Reason {
    /// A reason with its sentence.
    pub fn new(code: ReasonCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_snake_case() {
        let codes: alloc::collections::BTreeSet<_> =
            ReasonCode::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(codes.len(), ReasonCode::ALL.len());
        assert!(
            codes
                .iter()
                .all(|c| c.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'))
        );
    }
}
