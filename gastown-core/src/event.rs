//! Events: facts. Never refused, perhaps ignored (spec 2.2, 8.2).

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::effect::EffectKey;
use crate::forge::{ForgeError, MergeOutcome, Observation, VerifyOutcome};
use crate::ids::{AgentId, BeadId, EventId, NudgeId};
use crate::tagged::tagged_enum;
use crate::time::Timestamp;

/// A fact, applied at most once however often it is delivered.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Event {
    /// Its identifier.
    pub id: EventId,
    /// When it happened, by the clock of whoever saw it. Events of a tick apply in order of
    /// (at, id); ages count from the observing `now`.
    pub at: Timestamp,
    /// The effect that this is the result of, if it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<EffectKey>,
    /// What happened.
    #[serde(flatten)]
    pub kind: EventKind,
}

/// What came of an effect that has no richer answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EffectOutcome {
    /// It was done.
    Done,
    /// It was not done.
    Failed,
    /// It may have been done.
    Unknown,
}

/// Whether a failed dispatch can have started something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DispatchOutcome {
    /// Nothing was started.
    Rejected,
    /// The agent may run.
    Unknown,
}

/// How a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExitStatus {
    /// By itself, in order.
    Completed,
    /// Not in order.
    Failed,
}

/// What the container says about an agent's process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProcessStatus {
    /// It runs.
    Running,
    /// It has ended.
    Exited,
    /// The container does not know it.
    NotFound,
    /// It can't be told.
    Unknown,
}

/// Which token was refreshed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenKind {
    /// The container's.
    Container,
    /// The language model's.
    Llm,
}

macro_rules! event_data {
    ($($(#[$head:meta])* $struct:ident {
        $($(#[$doc:meta])* $name:ident: $type:ty,)*
        $(; $($(#[$odoc:meta])* $oname:ident: $otype:ty,)*)?
    })*) => {
        $($(#[$head])*
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct $struct {
            $($(#[$doc])* pub $name: $type,)*
            $($($(#[$odoc])* #[serde(default, skip_serializing_if = "is_absent")] pub $oname: $otype,)*)?
        })*
    };
}

/// Left out on the wire: what says nothing.
fn is_absent<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

event_data! {
    /// The session of an agent runs.
    AgentStarted {
        /// The agent.
        agent_id: AgentId,
        ;
        /// The session; none: the current one.
        session: Option<u64>,
        /// The container instance that it runs in.
        container_instance: Option<String>,
    }
    /// A dispatch did not start a session, or may not have.
    DispatchFailed {
        /// The agent.
        agent_id: AgentId,
        /// Whether something may have been started.
        outcome: DispatchOutcome,
        ;
        /// The session; none: the current one.
        session: Option<u64>,
        /// The bead that was dispatched.
        bead_id: Option<BeadId>,
        /// Why, for a person.
        reason: String,
    }
    /// A running agent was heard of.
    Heartbeat {
        /// The agent.
        agent_id: AgentId,
        ;
        /// The session; none: the current one.
        session: Option<u64>,
        /// The container instance that it runs in.
        container_instance: Option<String>,
        /// What its model session last did.
        last_event_type: Option<String>,
        /// When its model session last did something.
        last_event_at: Option<Timestamp>,
        /// Tools that run now.
        active_tools: Vec<String>,
    }
    /// The session of an agent ended.
    AgentExited {
        /// The agent.
        agent_id: AgentId,
        /// How.
        status: ExitStatus,
        ;
        /// The session; none: the current one.
        session: Option<u64>,
        /// The bead that it was on.
        bead_id: Option<BeadId>,
        /// Why, for a person; `container eviction` is special (spec 4.1).
        reason: Option<String>,
        /// What the next one on this bead should know.
        note: Option<String>,
    }
    /// An agent says that its work is done (spec 4.1).
    AgentDone {
        /// The agent.
        agent_id: AgentId,
        /// The branch that holds the work.
        branch: String,
        ;
        /// The session; none: the current one.
        session: Option<u64>,
        /// The bead that it was on.
        bead_id: Option<BeadId>,
        /// The pull request.
        pr_url: Option<String>,
        /// The head that it means.
        head_sha: Option<String>,
        /// The commit on the target that carries the work.
        merge_commit: Option<String>,
        /// What was done.
        summary: Option<String>,
    }
    /// What the container says about an agent's process.
    ContainerStatus {
        /// The agent.
        agent_id: AgentId,
        /// What it says.
        status: ProcessStatus,
        ;
        /// The session; none: the current one.
        session: Option<u64>,
        /// Why it ended.
        exit_reason: Option<String>,
    }
    /// The host gives the agent up.
    AgentGone {
        /// The agent.
        agent_id: AgentId,
    }
    /// A stop that was asked for has an outcome.
    AgentStopped {
        /// The agent.
        agent_id: AgentId,
        ;
        /// The session; none: the current one.
        session: Option<u64>,
        /// Whether it stopped.
        outcome: Option<EffectOutcome>,
    }
    /// The mayor was notified, or not.
    Notified {
        /// What it was about.
        topic: String,
        /// Whether it arrived.
        outcome: EffectOutcome,
    }
    /// The host slept, restarted, or its clock jumped: silence in this time means nothing.
    ObservationGap {
        /// The last time before it.
        from: Timestamp,
        /// The first time after it.
        to: Timestamp,
    }
    /// The town's container is being evicted.
    ContainerEviction {
        /// The host's word for this eviction.
        nonce: String,
    }
    /// The replacement of an evicted container is up.
    ContainerReady {
        /// The word of the eviction that it answers.
        nonce: String,
    }
    /// The mayor wants a person.
    MayorWaiting {
        /// The mayor.
        agent_id: AgentId,
        /// When it said so.
        sent_at: Timestamp,
    }
    /// A person talked to the mayor.
    MayorPrompted {
        /// The mayor.
        agent_id: AgentId,
        /// When.
        sent_at: Timestamp,
    }
    /// A look at a pull request: exactly one of `observation` and `error`.
    PrObserved {
        /// The MR bead.
        bead_id: BeadId,
        ;
        /// The pull request that was looked at.
        pr_url: Option<String>,
        /// What was seen.
        observation: Option<Observation>,
        /// Why nothing could be seen.
        error: Option<ForgeError>,
    }
    /// A merge was attempted.
    MergeAttempted {
        /// The MR bead.
        bead_id: BeadId,
        /// The head that was to be merged.
        head_sha: String,
        /// What came of it.
        outcome: MergeOutcome,
    }
    /// The forge says that something happened; a hint to look.
    Webhook {
        /// `owner/name`.
        repository: String,
        ;
        /// The forge's identifier of the delivery.
        delivery: Option<String>,
        /// The pull request by number.
        pr_number: Option<u64>,
        /// The pull request by its head.
        head_sha: Option<String>,
        /// The forge's word for what happened.
        kind: Option<String>,
    }
    /// A convoy's feature branch was created in one rig, or not.
    BranchCreated {
        /// The convoy.
        convoy_id: BeadId,
        /// The branch.
        branch: String,
        /// Whether it is there.
        outcome: EffectOutcome,
        ;
        /// The rig; none: the only one, or the one that the key names.
        rig_id: Option<crate::ids::RigId>,
    }
    /// A nudge arrived, or not.
    NudgeDelivered {
        /// The nudge.
        nudge_id: NudgeId,
        /// Whether it arrived.
        outcome: EffectOutcome,
    }
    /// A token was refreshed, or not.
    TokenRefreshed {
        /// Which.
        token: TokenKind,
        /// Whether it was.
        outcome: EffectOutcome,
        ;
        /// When the new one expires.
        expires_at: Option<Timestamp>,
    }
}

/// A direct merge was looked for on its target.
///
/// The outcome is written as `{"kind": "landed", "commit": "…"}`; a bare word, with the commit
/// beside it, is read as well.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "MergeVerifiedForm")]
pub struct MergeVerified {
    /// The MR bead.
    pub bead_id: BeadId,
    /// What was found.
    pub outcome: VerifyOutcome,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MergeVerifiedForm {
    bead_id: BeadId,
    outcome: VerifyOutcomeForm,
    #[serde(default)]
    commit: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum VerifyOutcomeForm {
    Word(String),
    Whole(VerifyOutcome),
}

impl TryFrom<MergeVerifiedForm> for MergeVerified {
    type Error = &'static str;

    fn try_from(form: MergeVerifiedForm) -> Result<Self, Self::Error> {
        let outcome = match form.outcome {
            VerifyOutcomeForm::Whole(outcome) => outcome,
            VerifyOutcomeForm::Word(word) => match (word.as_str(), form.commit) {
                ("landed", Some(commit)) => VerifyOutcome::Landed { commit },
                ("landed", None) => return Err("outcome `landed` needs a `commit`"),
                ("absent", _) => VerifyOutcome::Absent,
                ("unknown", _) => VerifyOutcome::Unknown,
                _ => return Err("expected outcome `landed`, `absent` or `unknown`"),
            },
        };
        Ok(Self {
            bead_id: form.bead_id,
            outcome,
        })
    }
}

tagged_enum! {
    /// What happened (spec 8.2).
    EventKind {
        /// The session of an agent runs.
        AgentStarted(AgentStarted) = "agent_started",
        /// A dispatch did not start a session, or may not have.
        DispatchFailed(DispatchFailed) = "dispatch_failed",
        /// A running agent was heard of.
        Heartbeat(Heartbeat) = "heartbeat",
        /// The session of an agent ended.
        AgentExited(AgentExited) = "agent_exited",
        /// An agent says that its work is done.
        AgentDone(AgentDone) = "agent_done",
        /// What the container says about an agent's process.
        ContainerStatus(ContainerStatus) = "container_status",
        /// The host gives the agent up.
        AgentGone(AgentGone) = "agent_gone",
        /// A stop that was asked for has an outcome.
        AgentStopped(AgentStopped) = "agent_stopped",
        /// A direct merge was looked for on its target.
        MergeVerified(MergeVerified) = "merge_verified",
        /// The mayor was notified, or not.
        Notified(Notified) = "notified",
        /// Silence in this time means nothing.
        ObservationGap(ObservationGap) = "observation_gap",
        /// The town's container is being evicted.
        ContainerEviction(ContainerEviction) = "container_eviction",
        /// The replacement of an evicted container is up.
        ContainerReady(ContainerReady) = "container_ready",
        /// The mayor wants a person.
        MayorWaiting(MayorWaiting) = "mayor_waiting",
        /// A person talked to the mayor.
        MayorPrompted(MayorPrompted) = "mayor_prompted",
        /// A look at a pull request.
        PrObserved(PrObserved) = "pr_observed",
        /// A merge was attempted.
        MergeAttempted(MergeAttempted) = "merge_attempted",
        /// The forge says that something happened.
        Webhook(Webhook) = "webhook",
        /// A convoy's feature branch was created in one rig, or not.
        BranchCreated(BranchCreated) = "branch_created",
        /// A nudge arrived, or not.
        NudgeDelivered(NudgeDelivered) = "nudge_delivered",
        /// A token was refreshed, or not.
        TokenRefreshed(TokenRefreshed) = "token_refreshed",
    }
}

/// What observing an event changed, or why it changed nothing (spec 2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Observed {
    /// The event.
    pub id: EventId,
    /// Whether anything changed.
    pub changed: bool,
    /// What, or why nothing.
    pub why: String,
}
