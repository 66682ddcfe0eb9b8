//! The input of each command (spec 2.1): also the agents' tools, so the comments are for them.

use alloc::string::String;
use alloc::vec::Vec;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use super::patch::{RigConfigPatch, TownConfigPatch};
use crate::bead::Priority;
use crate::config::ConvoyMergeMode;
use crate::escalation::Severity;
use crate::ids::{AgentId, BeadId, RigId};
use crate::nudge::{NudgeMode, NudgePriority};
use crate::schema::titled;
use crate::tagged::or_default;
use crate::time::Timestamp;

/// A JSON object of the host's. JSON inside of a string is refused.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Metadata(pub Map<String, Value>);

impl Serialize for Metadata {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(out)
    }
}

impl<'de> Deserialize<'de> for Metadata {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        object(input).map(Self)
    }
}

impl JsonSchema for Metadata {
    fn schema_name() -> alloc::borrow::Cow<'static, str> {
        "Metadata".into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": "object", "additionalProperties": true})
    }
}

/// Reads an object, and says what is wrong with JSON that was put into a string.
pub(super) fn object<'de, D: Deserializer<'de>>(input: D) -> Result<Map<String, Value>, D::Error> {
    let problem = match Value::deserialize(input)? {
        Value::Object(object) => return Ok(object),
        Value::String(_) => {
            "expected a JSON object, found a string: pass the object itself, not JSON inside a string"
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => {
            "expected a JSON object"
        }
    };
    Err(serde::de::Error::custom(problem))
}

/// Left out on the wire: what says nothing.
fn is_absent<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Keeps apart what is absent (unchanged) and what is null (taken away).
fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    input: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::<T>::deserialize(input).map(Some)
}

macro_rules! command_data {
    ($($(#[$head:meta])* $struct:ident {
        $($(#[$doc:meta])* $name:ident: $type:ty,)*
        $(; $($(#[$odoc:meta])* $oname:ident: $otype:ty,)*)?
    })*) => {
        $($(#[$head])*
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields)]
        #[schemars(transform = titled)]
        pub struct $struct {
            $($(#[$doc])* pub $name: $type,)*
            $($($(#[$odoc])*
                #[serde(default, skip_serializing_if = "is_absent", deserialize_with = "or_default")]
                pub $oname: $otype,)*)?
        })*
    };
}

command_data! {
    /// Makes one issue.
    Sling {
        /// The rig whose repository the work is in.
        rig_id: RigId,
        /// One line that says what is to be done.
        title: String,
        ;
        /// Everything that an agent needs to know to do it.
        body: Option<String>,
        /// How urgent it is; medium if absent.
        priority: Option<Priority>,
        /// Labels. Of the engine's own only `gt:pr-fixup` and `gt:held` may be given. With
        /// `gt:pr-fixup`, metadata must have pr_url and branch of the pull request to repair.
        labels: Vec<String>,
        /// Any data of yours: an object, never JSON inside a string.
        metadata: Metadata,
        /// Beads whose work must be merged before this one begins.
        depends_on: Vec<BeadId>,
    }
    /// One issue of a convoy.
    ConvoyTask {
        /// One line that says what is to be done.
        title: String,
        ;
        /// Everything that an agent needs to know to do it.
        body: Option<String>,
        /// The rig whose repository the work is in, if not the convoy's.
        rig_id: Option<RigId>,
        /// Indexes (from 0) of tasks in this list whose work must be merged before this one begins.
        depends_on: Vec<usize>,
    }
    /// Makes a convoy of several issues that belong together.
    SlingConvoy {
        /// The rig whose repository the work is in, where a task does not say otherwise.
        rig_id: RigId,
        /// One line that says what it is all about.
        title: String,
        /// The issues, 1 to 200.
        #[schemars(length(min = 1, max = 200))]
        tasks: Vec<ConvoyTask>,
        ;
        /// How the work reaches the default branch; the settings decide if absent.
        merge_mode: Option<ConvoyMergeMode>,
        /// Whether it waits for `start_convoy`; the settings decide if absent.
        staged: Option<bool>,
        /// Any data of yours: an object, never JSON inside a string.
        metadata: Metadata,
    }
    /// Lets the work of a staged convoy begin, or tries again to create its branches.
    StartConvoy {
        /// The convoy.
        convoy_id: BeadId,
    }
    /// Lands what is closed of a convoy although some of its issues failed.
    LandConvoy {
        /// The convoy.
        convoy_id: BeadId,
    }
    /// Adds an issue to a convoy.
    ConvoyAdd {
        /// The convoy.
        convoy_id: BeadId,
        /// The issue.
        bead_id: BeadId,
    }
    /// Takes an issue out of its convoy.
    ConvoyRemove {
        /// The convoy.
        convoy_id: BeadId,
        /// The issue.
        bead_id: BeadId,
    }
    /// Says that the work on the hooked bead is done.
    Done {
        /// The branch that holds the work, pushed.
        branch: String,
        ;
        /// The pull request, if there is one.
        pr_url: Option<String>,
        /// The commit at the head of the branch that you mean or have reviewed.
        head_sha: Option<String>,
        /// The commit on the target branch that carries the work, after a direct merge.
        merge_commit: Option<String>,
        /// What was done, in a few sentences.
        summary: Option<String>,
    }
    /// Asks for changes to the merge request under review; they become a rework issue.
    RequestChanges {
        /// What has to change and why.
        feedback: String,
        ;
        /// The files that are meant.
        files: Vec<String>,
    }
    /// Asks for a person or the mayor, for example when stuck.
    Escalate {
        /// How grave it is.
        severity: Severity,
        /// What is wrong and what is needed.
        message: String,
        ;
        /// What sort of problem it is, in a word.
        category: Option<String>,
        /// Any data of yours: an object, never JSON inside a string.
        metadata: Metadata,
    }
    /// Takes note of an escalation and closes it.
    Acknowledge {
        /// The escalation.
        escalation_id: BeadId,
    }
    /// Answers a triage request.
    ResolveTriage {
        /// The request.
        request_id: BeadId,
        /// One of RESTART, RESTART_WITH_BACKOFF, CLOSE_BEAD, REASSIGN_BEAD, NUDGE,
        /// ESCALATE_TO_MAYOR, PROVIDE_GUIDANCE, DISCARD.
        action: String,
        /// Why; for NUDGE and PROVIDE_GUIDANCE what the agent is to read.
        notes: String,
    }
    /// Holds a bead: it is neither dispatched nor merged until it is released.
    Hold {
        /// The bead.
        bead_id: BeadId,
    }
    /// Releases a held bead.
    Release {
        /// The bead.
        bead_id: BeadId,
    }
    /// Closes a bead; a merge request is withdrawn.
    CloseBead {
        /// The bead.
        bead_id: BeadId,
        ;
        /// Why.
        reason: Option<String>,
    }
    /// Fails a bead.
    FailBead {
        /// The bead.
        bead_id: BeadId,
        ;
        /// Why.
        reason: Option<String>,
    }
    /// Takes a bead back to open, away from its agent.
    ReopenBead {
        /// The bead.
        bead_id: BeadId,
    }
    /// Makes a successor of a closed or failed issue or merge request.
    Retry {
        /// The bead.
        bead_id: BeadId,
    }
    /// Gives a line of work more dispatches.
    Grant {
        /// A bead of the line of work; its attempts are forgotten.
        bead_id: BeadId,
        /// How many dispatches more.
        dispatches: u32,
    }
    /// Removes beads with everything that was made for them.
    DeleteBeads {
        /// The beads.
        bead_ids: Vec<BeadId>,
    }
    /// Replaces what a bead waits for.
    SetDependencies {
        /// The bead.
        bead_id: BeadId,
        /// All beads that it waits for.
        depends_on: Vec<BeadId>,
    }
    /// Pushes a message to an agent.
    Nudge {
        /// The agent.
        agent_id: AgentId,
        /// The text.
        message: String,
        ;
        /// When it may be pushed.
        mode: Option<NudgeMode>,
        /// How urgent it is.
        priority: Option<NudgePriority>,
        /// When it is no longer worth sending.
        expires_at: Option<Timestamp>,
    }
    /// Sends mail to another agent.
    SendMail {
        /// The agent's id or name, or `mayor`.
        to: String,
        /// One line.
        subject: String,
        /// The text.
        body: String,
    }
    /// Reads the mail that has arrived.
    CheckMail {}
    /// Says in one line what the agent is doing.
    ReportStatus {
        /// At most 280 characters.
        #[schemars(length(max = 280))]
        message: String,
    }
    /// Keeps data for the next start on the same bead.
    Checkpoint {
        /// Any JSON; null forgets what was kept.
        data: Value,
    }
    /// One step of a molecule.
    MoleculeStep {
        /// One line that says what is to be done.
        title: String,
        ;
        /// Everything that an agent needs to know to do it.
        body: Option<String>,
    }
    /// Gives a bead ordered steps.
    CreateMolecule {
        /// The bead.
        bead_id: BeadId,
        /// The steps, in order.
        steps: Vec<MoleculeStep>,
    }
    /// Closes the current step of the hooked bead's molecule.
    AdvanceStep {
        ;
        /// What was done in this step.
        summary: Option<String>,
    }
    /// Adds a repository to the town.
    AddRig {
        /// Its identifier.
        rig_id: RigId,
        /// What people call it.
        name: String,
        /// Where it is fetched from; without credentials.
        git_url: String,
        /// The branch that work goes to.
        default_branch: String,
        ;
        /// Its overrides of the town's settings.
        config: RigConfigPatch,
    }
    /// Changes a rig; absent fields stay as they are, null takes an override back.
    UpdateRig {
        /// The rig.
        rig_id: RigId,
        ;
        /// What people call it.
        name: Option<String>,
        /// Where it is fetched from; without credentials.
        git_url: Option<String>,
        /// The branch that work goes to.
        default_branch: Option<String>,
        /// Its overrides of the town's settings.
        config: RigConfigPatch,
    }
    /// Removes a rig that no live bead names.
    RemoveRig {
        /// The rig.
        rig_id: RigId,
    }
    /// Changes the town's settings; absent stays as it is, null takes a value back.
    UpdateConfig {
        /// The settings to change. `env_vars` is replaced whole.
        config: TownConfigPatch,
    }
    /// Lets an open breaker probe once more.
    Probe {}
}

/// Changes what is said about a bead; absent fields stay as they are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(transform = titled)]
pub struct UpdateBead {
    /// The bead.
    pub bead_id: BeadId,
    /// One line that says what is to be done.
    #[serde(default, skip_serializing_if = "is_absent")]
    pub title: Option<String>,
    /// The whole text; null takes it away.
    #[serde(
        default,
        skip_serializing_if = "is_absent",
        deserialize_with = "present"
    )]
    #[schemars(with = "Option<String>")]
    pub body: Option<Option<String>>,
    /// How urgent it is.
    #[serde(default, skip_serializing_if = "is_absent")]
    pub priority: Option<Priority>,
    /// The rig, while the bead is open and no agent has it; null takes it away.
    #[serde(
        default,
        skip_serializing_if = "is_absent",
        deserialize_with = "present"
    )]
    #[schemars(with = "Option<RigId>")]
    pub rig_id: Option<Option<RigId>>,
    /// All labels of yours; the engine's own can be neither added nor removed.
    #[serde(default, skip_serializing_if = "is_absent")]
    pub labels: Option<Vec<String>>,
    /// All data of yours: an object, never JSON inside a string.
    #[serde(default, skip_serializing_if = "is_absent")]
    pub metadata: Option<Metadata>,
}
