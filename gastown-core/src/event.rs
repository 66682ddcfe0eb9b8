//! Events: facts. Never refused, perhaps ignored (spec 2.2, 8.2).

mod problem;

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use schemars::JsonSchema;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::effect::EffectKey;
use crate::forge::{ForgeError, MergeOutcome, Observation, VerifyOutcome};
use crate::ids::{AgentId, BeadId, EventId, NudgeId};
use crate::schema::{self, Beside, schema_of, titled};
use crate::tagged::{or_default, tagged_enum};
use crate::time::Timestamp;

/// The reason of an exit whose work was saved because the container is being evicted (spec 6.4).
pub const CONTAINER_EVICTION: &str = "container eviction";

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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DispatchOutcome {
    /// Nothing was started.
    Rejected,
    /// The agent may run.
    Unknown,
}

/// How a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ExitStatus {
    /// By itself, in order.
    Completed,
    /// Not in order.
    Failed,
}

/// What the container says about an agent's process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
        $(#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields)]
        #[schemars(transform = titled)]
        $(#[$head])*
        pub struct $struct {
            $($(#[$doc])* pub $name: $type,)*
            $($($(#[$odoc])*
                #[serde(default, skip_serializing_if = "is_absent", deserialize_with = "or_default")]
                pub $oname: $otype,)*)?
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
    #[schemars(extend("oneOf" = [
        {"required": ["observation"], "properties": {"observation": {"type": "object"}}},
        {"required": ["error"], "properties": {"error": {"type": "object"}}},
    ]))]
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

/// A direct merge was looked for on its target.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(transform = titled)]
struct MergeVerifiedForm {
    /// The MR bead.
    bead_id: BeadId,
    /// What was found: an object with `kind`, or its bare word.
    outcome: VerifyOutcomeForm,
    /// With the bare word `landed`: the commit that carries the work.
    #[serde(default)]
    commit: Option<String>,
}

/// Either form of the outcome.
#[derive(JsonSchema)]
#[schemars(untagged)]
enum VerifyOutcomeForm {
    Word(VerifyWord),
    Whole(VerifyOutcome),
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum VerifyWord {
    Landed,
    Absent,
    Unknown,
}

impl<'de> Deserialize<'de> for VerifyOutcomeForm {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(input)?;
        let read = if value.is_string() {
            VerifyWord::deserialize(value).map(Self::Word)
        } else {
            VerifyOutcome::deserialize(value).map(Self::Whole)
        };
        read.map_err(D::Error::custom)
    }
}

impl JsonSchema for MergeVerified {
    fn schema_name() -> alloc::borrow::Cow<'static, str> {
        "MergeVerified".into()
    }
    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        MergeVerifiedForm::json_schema(generator)
    }
}

impl TryFrom<MergeVerifiedForm> for MergeVerified {
    type Error = &'static str;

    fn try_from(form: MergeVerifiedForm) -> Result<Self, Self::Error> {
        let outcome = match form.outcome {
            VerifyOutcomeForm::Whole(outcome) => outcome,
            VerifyOutcomeForm::Word(VerifyWord::Landed) => VerifyOutcome::Landed {
                commit: form.commit.ok_or("missing field `commit`")?,
            },
            VerifyOutcomeForm::Word(VerifyWord::Absent) => VerifyOutcome::Absent,
            VerifyOutcomeForm::Word(VerifyWord::Unknown) => VerifyOutcome::Unknown,
        };
        Ok(Self {
            bead_id: form.bead_id,
            outcome,
        })
    }
}

macro_rules! events {
    ($($(#[$doc:meta])* $variant:ident = $tag:literal,)*) => {
        tagged_enum! {
            /// What happened (spec 8.2).
            EventKind {
                $($(#[$doc])* $variant($variant) = $tag,)*
            }
        }

        /// What makes the schema of each type.
        const EVENT_SCHEMAS: &[(&str, fn() -> Value)] = &[$(($tag, schema_of::<$variant>),)*];
    };
}

events! {
    /// The session of an agent runs.
    AgentStarted = "agent_started",
    /// A dispatch did not start a session, or may not have.
    DispatchFailed = "dispatch_failed",
    /// A running agent was heard of.
    Heartbeat = "heartbeat",
    /// The session of an agent ended.
    AgentExited = "agent_exited",
    /// An agent says that its work is done.
    AgentDone = "agent_done",
    /// What the container says about an agent's process.
    ContainerStatus = "container_status",
    /// The host gives the agent up.
    AgentGone = "agent_gone",
    /// A stop that was asked for has an outcome.
    AgentStopped = "agent_stopped",
    /// A direct merge was looked for on its target.
    MergeVerified = "merge_verified",
    /// The mayor was notified, or not.
    Notified = "notified",
    /// Silence in this time means nothing.
    ObservationGap = "observation_gap",
    /// The town's container is being evicted.
    ContainerEviction = "container_eviction",
    /// The replacement of an evicted container is up.
    ContainerReady = "container_ready",
    /// The mayor wants a person.
    MayorWaiting = "mayor_waiting",
    /// A person talked to the mayor.
    MayorPrompted = "mayor_prompted",
    /// A look at a pull request.
    PrObserved = "pr_observed",
    /// A merge was attempted.
    MergeAttempted = "merge_attempted",
    /// The forge says that something happened.
    Webhook = "webhook",
    /// A convoy's feature branch was created in one rig, or not.
    BranchCreated = "branch_created",
    /// A nudge arrived, or not.
    NudgeDelivered = "nudge_delivered",
    /// A token was refreshed, or not.
    TokenRefreshed = "token_refreshed",
}

/// The JSON Schema of every event as it stands on the wire, by type (spec 8.2).
#[must_use]
pub fn event_schemas() -> BTreeMap<&'static str, Value> {
    let beside = [
        Beside {
            name: "id",
            description: "Its identifier; it is applied once however often it comes.",
            schema: schema_of::<EventId>(),
            required: true,
        },
        Beside {
            name: "at",
            description: "When it happened.",
            schema: schema_of::<Timestamp>(),
            required: true,
        },
        Beside {
            name: "key",
            description: "The effect that this is the result of; absent: a fact in its own right.",
            schema: schema_of::<Option<EffectKey>>(),
            required: false,
        },
    ];
    EVENT_SCHEMAS
        .iter()
        .map(|(type_name, schema)| (*type_name, schema::tagged(schema(), type_name, &beside)))
        .collect()
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
