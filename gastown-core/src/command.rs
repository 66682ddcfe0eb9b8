//! Commands: requests that may be refused (spec 2.1, 8.1).
//!
//! A command is validated whole before anything changes. It changes state only: what has to be
//! done in the world follows from the rules, in the next pass.

mod agents;
mod beads;
mod check;
mod convoys;
mod data;
mod delete;
mod dependencies;
mod escalations;
mod issues;
mod mail;
mod molecules;
mod named;
mod patch;
mod retry;
mod review;
mod rigs;
mod town;
mod triage;

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub(crate) use self::check::is_deeper;
pub use self::check::limits;
pub use self::data::*;
pub use self::patch::{RigConfigPatch, TownConfigPatch};

use crate::agent::{AgentStatus, Role};
use crate::bead::CreatedBy;
use crate::config::TownConfig;
use crate::ids::{AgentId, RigId, shown};
use crate::schema::{self, Beside, schema_of};
use crate::tagged::tagged_enum;
use crate::time::Timestamp;
use crate::town::{Cause, Town};

/// A request of a person, an agent or the host.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Command {
    /// Who asks.
    pub caller: Caller,
    /// For what.
    #[serde(flatten)]
    pub kind: CommandKind,
}

impl Command {
    /// A command of `caller`.
    pub fn new(caller: Caller, kind: impl Into<CommandKind>) -> Self {
        Self {
            caller,
            kind: kind.into(),
        }
    }

    /// The command as it goes into a record: what is left of its secrets is new to these settings.
    pub(crate) fn without_known_secrets(&self, config: &TownConfig) -> Self {
        let mut command = self.clone();
        if let CommandKind::UpdateConfig(update) = &mut command.kind {
            update.config = update.config.without_known_secrets(config);
        }
        command
    }
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Caller {
    /// A person.
    User {
        /// The host's name for the person.
        id: String,
        /// The only rig that the person may act on; none: the whole town.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        rig_id: Option<RigId>,
    },
    /// The town's mayor.
    #[serde(deserialize_with = "crate::tagged::nothing_more")]
    Mayor,
    /// An agent, by its id.
    Agent {
        /// The agent.
        id: AgentId,
    },
    /// The host service, on its own account.
    #[serde(deserialize_with = "crate::tagged::nothing_more")]
    Host,
}

impl Caller {
    /// A person who may act on the whole town.
    #[must_use]
    pub fn user(id: impl Into<String>) -> Self {
        Caller::User {
            id: id.into(),
            rig_id: None,
        }
    }

    /// An agent.
    #[must_use]
    pub fn agent(id: AgentId) -> Self {
        Caller::Agent { id }
    }
}

/// What came of a command that was not refused.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Receipt {
    /// The command's type.
    #[serde(rename = "type")]
    pub command: &'static str,
    /// Identifiers of what it made, the most important first.
    pub made: Vec<String>,
    /// What it did, for whoever asked.
    pub text: String,
    /// What was asked for, where a command reads something: mail.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub data: Value,
}

/// Why a command was refused. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{field}: {message}")]
#[non_exhaustive]
pub struct CommandError {
    /// What kind of refusal it is.
    pub code: Refusal,
    /// The field that is wrong; `caller` when the caller may not, `.` for the whole command.
    pub field: String,
    /// What is wrong with it, and what was expected.
    pub message: String,
}

/// The kinds of refusal, for hosts that answer with a status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Refusal {
    /// The caller may not do this.
    Forbidden,
    /// Something that the command names is not there.
    NotFound,
    /// A value is not one that can be taken.
    Invalid,
    /// The state does not allow it (now).
    Conflict,
    /// A limit is reached.
    Limit,
}

impl CommandError {
    pub(crate) fn new(code: Refusal, field: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            code,
            field: field.into(),
            message: message.into(),
        }
    }

    fn invalid(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(Refusal::Invalid, field, message)
    }

    fn conflict(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(Refusal::Conflict, field, message)
    }

    fn forbidden(message: impl Into<String>) -> Self {
        Self::new(Refusal::Forbidden, "caller", message)
    }

    fn missing(field: impl Into<String>, what: &str, id: impl core::fmt::Display) -> Self {
        Self::new(
            Refusal::NotFound,
            field,
            format!("there is no {what} \"{id}\""),
        )
    }
}

/// Who may give a command (spec 2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Party {
    /// A person, or the host on a person's behalf.
    Person,
    /// The mayor.
    Mayor,
    /// A polecat.
    Polecat,
    /// A refinery.
    Refinery,
}

/// One command as a catalogue shows it: to draw a form from, or to offer it to agents as a tool.
#[derive(Debug, Clone, Copy)]
pub struct CommandInfo {
    /// The command's type.
    pub type_name: &'static str,
    /// Its name as an agent's tool; none where no agent may give it.
    pub tool_name: Option<&'static str>,
    /// What it does.
    pub description: &'static str,
    /// Who may give it.
    pub parties: &'static [Party],
    schema: fn() -> Value,
}

impl CommandInfo {
    /// The JSON Schema of its input, without `type` and `caller`.
    #[must_use]
    pub fn input_schema(&self) -> Value {
        (self.schema)()
    }
}

macro_rules! commands {
    ($(#[doc = $doc:literal] $variant:ident = $tag:literal $(, tool $tool:literal)?, by $parties:expr;)*) => {
        tagged_enum! {
            /// What is asked for (spec 2.1).
            CommandKind {
                $(#[doc = $doc] $variant($variant) = $tag,)*
            }
        }

        /// Every command, in the spec's order.
        pub const COMMANDS: &[CommandInfo] = &[$(CommandInfo {
            type_name: $tag,
            tool_name: commands!(@tool $($tool)?),
            description: $doc.trim_ascii(),
            parties: $parties,
            schema: schema_of::<$variant>,
        },)*];
    };
    (@tool) => { None };
    (@tool $tool:literal) => { Some($tool) };
}

const PEOPLE: &[Party] = &[Party::Person];
const PEOPLE_AND_MAYOR: &[Party] = &[Party::Person, Party::Mayor];
const WORKERS: &[Party] = &[Party::Polecat, Party::Refinery];
const AGENTS: &[Party] = &[Party::Mayor, Party::Polecat, Party::Refinery];
const EVERYBODY: &[Party] = &[Party::Person, Party::Mayor, Party::Polecat, Party::Refinery];
const REFINERIES: &[Party] = &[Party::Refinery];
const PEOPLE_AND_WORKERS: &[Party] = &[Party::Person, Party::Polecat, Party::Refinery];

commands! {
    /// Makes one issue.
    Sling = "sling", tool "gt_sling", by PEOPLE_AND_MAYOR;
    /// Makes a convoy of several issues that belong together.
    SlingConvoy = "sling_convoy", tool "gt_sling_batch", by PEOPLE_AND_MAYOR;
    /// Lets the work of a staged convoy begin, or tries again to create its branches.
    StartConvoy = "start_convoy", tool "gt_start_convoy", by PEOPLE_AND_MAYOR;
    /// Lands what is closed of a convoy although some of its issues failed.
    LandConvoy = "land_convoy", tool "gt_land_convoy", by PEOPLE_AND_MAYOR;
    /// Adds an issue to a convoy.
    ConvoyAdd = "convoy_add", tool "gt_convoy_add", by PEOPLE_AND_MAYOR;
    /// Takes an issue out of its convoy.
    ConvoyRemove = "convoy_remove", tool "gt_convoy_remove", by PEOPLE_AND_MAYOR;
    /// Says that the work on the hooked bead is done.
    Done = "done", tool "gt_done", by WORKERS;
    /// Asks for changes to the merge request under review; they become a rework issue.
    RequestChanges = "request_changes", tool "gt_request_changes", by REFINERIES;
    /// Asks for a person or the mayor, for example when stuck.
    Escalate = "escalate", tool "gt_escalate", by EVERYBODY;
    /// Takes note of an escalation and closes it.
    Acknowledge = "acknowledge", tool "gt_acknowledge", by PEOPLE_AND_MAYOR;
    /// Answers a triage request.
    ResolveTriage = "resolve_triage", tool "gt_triage_resolve", by PEOPLE_AND_WORKERS;
    /// Changes what is said about a bead; absent fields stay as they are.
    UpdateBead = "update_bead", tool "gt_update_bead", by PEOPLE_AND_MAYOR;
    /// Holds a bead: it is neither dispatched nor merged until it is released.
    Hold = "hold", tool "gt_hold", by PEOPLE_AND_MAYOR;
    /// Releases a held bead.
    Release = "release", tool "gt_release", by PEOPLE_AND_MAYOR;
    /// Closes a bead; a merge request is withdrawn.
    CloseBead = "close_bead", tool "gt_close_bead", by PEOPLE_AND_MAYOR;
    /// Fails a bead.
    FailBead = "fail_bead", tool "gt_fail_bead", by PEOPLE_AND_MAYOR;
    /// Takes a bead back to open, away from its agent.
    ReopenBead = "reopen_bead", tool "gt_reopen_bead", by PEOPLE_AND_MAYOR;
    /// Makes a successor of a closed or failed issue or merge request.
    Retry = "retry", tool "gt_retry", by PEOPLE_AND_MAYOR;
    /// Gives a line of work more dispatches.
    Grant = "grant", by PEOPLE;
    /// Removes beads with everything that was made for them.
    DeleteBeads = "delete_beads", by PEOPLE;
    /// Replaces what a bead waits for.
    SetDependencies = "set_dependencies", tool "gt_set_dependencies", by PEOPLE_AND_MAYOR;
    /// Pushes a message to an agent.
    Nudge = "nudge", tool "gt_nudge", by PEOPLE_AND_MAYOR;
    /// Sends mail to another agent.
    SendMail = "send_mail", tool "gt_mail_send", by AGENTS;
    /// Reads the mail that has arrived.
    CheckMail = "check_mail", tool "gt_mail_check", by AGENTS;
    /// Says in one line what the agent is doing.
    ReportStatus = "report_status", tool "gt_status", by AGENTS;
    /// Keeps data for the next start on the same bead.
    Checkpoint = "checkpoint", tool "gt_checkpoint", by AGENTS;
    /// Gives a bead ordered steps.
    CreateMolecule = "create_molecule", tool "gt_create_molecule", by EVERYBODY;
    /// Closes the current step of the hooked bead's molecule.
    AdvanceStep = "advance_step", tool "gt_mol_advance", by WORKERS;
    /// Adds a repository to the town.
    AddRig = "add_rig", by PEOPLE;
    /// Changes a rig; absent fields stay as they are, null takes an override back.
    UpdateRig = "update_rig", by PEOPLE;
    /// Removes a rig that no live bead names.
    RemoveRig = "remove_rig", by PEOPLE;
    /// Changes the town's settings; absent stays as it is, null takes a value back.
    UpdateConfig = "update_config", by PEOPLE;
    /// Lets an open breaker probe once more.
    Probe = "probe", by PEOPLE;
}

impl CommandKind {
    /// Its entry in [`COMMANDS`].
    #[must_use]
    pub fn info(&self) -> Option<&'static CommandInfo> {
        let type_name = self.type_name();
        COMMANDS.iter().find(|info| info.type_name == type_name)
    }
}

/// The caller, looked up in the town.
#[derive(Debug, Clone)]
pub(crate) struct Actor {
    party: Party,
    /// The agent that calls; the mayor's, if the town has one.
    agent: Option<AgentId>,
    /// The rig that it is bound to.
    rig: Option<RigId>,
    /// What `created_by` and histories say.
    name: String,
    now: Timestamp,
}

impl Actor {
    fn created_by(&self) -> CreatedBy {
        CreatedBy::Other(self.name.clone())
    }

    /// The agent that calls.
    fn agent(&self) -> Result<&AgentId, CommandError> {
        self.agent
            .as_ref()
            .ok_or_else(|| CommandError::forbidden("only an agent can do this"))
    }

    /// Refuses what is in another rig than the one that the caller is bound to.
    fn may_touch(&self, field: &str, rig: Option<&RigId>) -> Result<(), CommandError> {
        match &self.rig {
            Some(own) if rig != Some(own) => Err(CommandError::new(
                Refusal::Forbidden,
                field,
                format!("belongs to another rig than \"{own}\", the caller's"),
            )),
            Some(_) | None => Ok(()),
        }
    }
}

/// What a command did.
#[derive(Debug, Default)]
struct Did {
    made: Vec<String>,
    text: String,
    data: Value,
}

impl Did {
    fn text(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            ..Self::default()
        }
    }

    fn made(id: impl core::fmt::Display, text: impl Into<String>) -> Self {
        Self {
            made: [id.to_string()].into(),
            ..Self::text(text)
        }
    }
}

type Executed = Result<Did, CommandError>;

impl Town {
    /// Does what is asked, or refuses it whole (spec 2.1).
    ///
    /// ```
    /// use gastown_core::{Caller, Command, Policy, Town, TownConfig, TownId, commands::AddRig};
    /// let mut town = Town::new(TownId::new("t1")?, TownConfig::seed(), Policy::default());
    /// let rig = AddRig {
    ///     rig_id: "r1".parse()?,
    ///     name: "api".into(),
    ///     git_url: "https://github.com/acme/api.git".into(),
    ///     default_branch: "main".into(),
    ///     config: Default::default(),
    /// };
    /// let now = "2026-04-04T12:00:00Z".parse()?;
    /// let receipt = town.execute(Command::new(Caller::user("ann"), rig), now)?;
    /// assert_eq!(receipt.made, ["r1"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`CommandError`] names the field and the reason. Nothing is changed then.
    pub fn execute(&mut self, command: Command, now: Timestamp) -> Result<Receipt, CommandError> {
        check::command(&command)?;
        let command = self.unquoted_command(&command).unwrap_or(command);
        let actor = self.actor(&command.caller, now)?;
        let name = command.kind.type_name();
        let may = command
            .kind
            .info()
            .is_some_and(|info| info.parties.contains(&actor.party));
        if !may {
            return Err(CommandError::forbidden(format!(
                "{} may not {name}",
                actor.name
            )));
        }
        let did = self.perform(command.kind, &actor);
        self.end_unit(&Cause {
            by: actor.name,
            kind: "command",
            name: name.into(),
            at: now,
        });
        let did = did?;
        Ok(Receipt {
            command: name,
            made: did.made,
            text: did.text,
            data: did.data,
        })
    }

    /// Looks the caller up. An agent with the mayor's role is the mayor.
    fn actor(&self, caller: &Caller, now: Timestamp) -> Result<Actor, CommandError> {
        let mut actor = Actor {
            party: Party::Person,
            agent: None,
            rig: None,
            name: String::from("host"),
            now,
        };
        match caller {
            Caller::Host => {}
            Caller::User { id, rig_id } => {
                check::user_id(id)?;
                actor.name.clone_from(id);
                actor.rig.clone_from(rig_id);
            }
            Caller::Mayor => {
                actor.party = Party::Mayor;
                actor.agent = self.mayor().map(|mayor| mayor.id.clone());
                actor.name = String::from("mayor");
            }
            Caller::Agent { id } => {
                let agent = self
                    .agent(id)
                    .ok_or_else(|| CommandError::missing("caller.id", "agent", id))?;
                if agent.status == AgentStatus::Dead {
                    return Err(CommandError::forbidden("the agent was given up"));
                }
                check::creator(id.as_str())?;
                actor.party = match agent.role {
                    Role::Mayor => Party::Mayor,
                    Role::Polecat => Party::Polecat,
                    Role::Refinery => Party::Refinery,
                };
                actor.agent = Some(id.clone());
                actor.rig.clone_from(&agent.rig_id);
                actor.name = id.to_string();
            }
        }
        Ok(actor)
    }

    fn perform(&mut self, kind: CommandKind, actor: &Actor) -> Executed {
        use CommandKind as C;
        match kind {
            C::Sling(c) => self.sling(c, actor),
            C::SlingConvoy(c) => self.sling_convoy(c, actor),
            C::StartConvoy(c) => self.start_convoy(&c, actor),
            C::LandConvoy(c) => self.land_convoy(&c, actor),
            C::ConvoyAdd(c) => self.convoy_add(&c, actor),
            C::ConvoyRemove(c) => self.convoy_remove(&c, actor),
            C::Done(c) => self.done_by_command(c, actor),
            C::RequestChanges(c) => self.request_changes(c, actor),
            C::Escalate(c) => self.escalate(c, actor),
            C::Acknowledge(c) => self.acknowledge(&c, actor),
            C::ResolveTriage(c) => self.resolve_triage(&c, actor),
            C::UpdateBead(c) => self.update_bead(c, actor),
            C::Hold(c) => self.set_held(&c.bead_id, true, actor),
            C::Release(c) => self.set_held(&c.bead_id, false, actor),
            C::CloseBead(c) => self.end_bead(&c.bead_id, c.reason, beads::End::Closed, actor),
            C::FailBead(c) => self.end_bead(&c.bead_id, c.reason, beads::End::Failed, actor),
            C::ReopenBead(c) => self.reopen_bead(&c, actor),
            C::Retry(c) => self.retry(&c, actor),
            C::Grant(c) => self.grant(&c, actor),
            C::DeleteBeads(c) => self.delete_beads(&c, actor),
            C::SetDependencies(c) => self.set_dependencies(&c, actor),
            C::Nudge(c) => self.nudge_agent(c, actor),
            C::SendMail(c) => self.send_mail(c, actor),
            C::CheckMail(_) => self.check_mail(actor),
            C::ReportStatus(c) => self.report_status(c, actor),
            C::Checkpoint(c) => self.checkpoint(c, actor),
            C::CreateMolecule(c) => self.create_molecule(c, actor),
            C::AdvanceStep(c) => self.advance_step(c, actor),
            C::AddRig(c) => self.add_rig(c, actor),
            C::UpdateRig(c) => self.update_rig(c, actor),
            C::RemoveRig(c) => self.remove_rig_by_command(&c, actor),
            C::UpdateConfig(c) => self.update_config(c, actor),
            C::Probe(_) => self.probe_by_command(actor),
        }
    }
}

/// The JSON Schema of every command as it stands on the wire, by type (spec 8.1).
#[must_use]
pub fn command_schemas() -> alloc::collections::BTreeMap<&'static str, Value> {
    COMMANDS
        .iter()
        .map(|info| {
            let caller = Beside {
                name: "caller",
                description: "Who asks.",
                schema: schema_of::<Caller>(),
                required: true,
            };
            let schema = schema::tagged(info.input_schema(), info.type_name, &[caller]);
            (info.type_name, schema)
        })
        .collect()
}

/// The JSON Schema of the input of every agent's tool, by the tool's name (spec 2.1).
#[must_use]
pub fn tool_schemas() -> alloc::collections::BTreeMap<&'static str, Value> {
    COMMANDS
        .iter()
        .filter_map(|info| Some((info.tool_name?, info.input_schema())))
        .collect()
}

/// The tools that agents of a role may use.
pub fn tools_of(role: Role) -> impl Iterator<Item = &'static CommandInfo> {
    let party = match role {
        Role::Mayor => Party::Mayor,
        Role::Polecat => Party::Polecat,
        Role::Refinery => Party::Refinery,
    };
    COMMANDS
        .iter()
        .filter(move |info| info.tool_name.is_some() && info.parties.contains(&party))
}

/// The command type of a tool.
pub(crate) fn command_of_tool(tool_name: &str) -> Result<&'static str, String> {
    COMMANDS
        .iter()
        .find(|info| info.tool_name == Some(tool_name))
        .map(|info| info.type_name)
        .ok_or_else(|| {
            let known: Vec<&str> = COMMANDS.iter().filter_map(|info| info.tool_name).collect();
            format!(
                "there is no tool \"{}\", expected one of {}",
                shown(tool_name, 80),
                known.join(", ")
            )
        })
}

#[cfg(test)]
mod tests;
