//! Commands that wait for their tick, and who waits for their answers.

use std::collections::VecDeque;
use std::sync::Arc;

use gastown_core::{Caller, Command, CommandError, Receipt, SessionId, Town, wire};
use serde_json::Value;
use tokio::sync::oneshot;

use crate::error::RuntimeError;
use crate::inbox::Place;
use crate::output::{ToolReply, ToolRequest};

/// How many commands one tick executes; the rest waits for the next.
const COMMANDS_PER_TICK_MAX: usize = 64;

/// Who waits for an answer.
pub(super) enum Call {
    /// The host.
    Host(oneshot::Sender<Result<Receipt, RuntimeError>>),
    /// An agent.
    Agent(ToolReply),
}

impl Call {
    fn accept(self, receipt: Receipt) {
        match self {
            // Whoever asked may be gone.
            Self::Host(reply) => drop(reply.send(Ok(receipt))),
            Self::Agent(reply) => {
                let value = serde_json::to_value(&receipt).unwrap_or(Value::Null);
                reply.accept(value);
            }
        }
    }

    fn refuse(self, error: CommandError) {
        match self {
            Self::Host(reply) => drop(reply.send(Err(RuntimeError::RefuseCommand(error)))),
            Self::Agent(reply) => reply.refuse(error.field.clone(), error.message),
        }
    }

    fn fail(self, error: &RuntimeError) {
        match self {
            Self::Host(reply) => drop(reply.send(Err(copy(error)))),
            Self::Agent(reply) => reply.refuse(".", error.to_string()),
        }
    }
}

/// Commands in the order in which they came, each with who waits for it.
#[derive(Default)]
pub(super) struct Calls {
    commands: VecDeque<Command>,
    waiting: VecDeque<(Call, Place)>,
    came: u64,
}

impl Calls {
    pub(super) fn is_empty(&self) -> bool {
        self.commands.is_empty()
    }

    /// How many ever came.
    pub(super) fn came(&self) -> u64 {
        self.came
    }

    /// How many of them do not wait any more.
    pub(super) fn went(&self) -> u64 {
        let waiting = u64::try_from(self.commands.len()).unwrap_or(u64::MAX);
        self.came.saturating_sub(waiting)
    }

    pub(super) fn push(&mut self, command: Command, call: Call, place: Place) {
        self.commands.push_back(command);
        self.waiting.push_back((call, place));
        self.came = self.came.saturating_add(1);
    }

    /// Reads a tool call as a command of its agent, and refuses what is none.
    pub(super) fn push_tool(
        &mut self,
        town: Option<&Town>,
        session: &SessionId,
        request: ToolRequest,
        place: Place,
    ) {
        let ToolRequest { name, input, reply } = request;
        let agent = town.and_then(|town| town.agent(&session.agent_id));
        // A session that was replaced speaks for nobody.
        if agent.is_some_and(|agent| agent.session != session.session) {
            reply.refuse(".", "this session is not the agent's current one any more");
            return;
        }
        let caller = Caller::Agent {
            id: session.agent_id.clone(),
        };
        match wire::command_from_tool(&name, Value::Object(input), caller) {
            Ok(command) => self.push(command, Call::Agent(reply), place),
            Err(error) => reply.refuse(error.path, error.message),
        }
    }

    /// The commands of the next tick.
    pub(super) fn next_batch(&mut self) -> &[Command] {
        let commands = self.commands.make_contiguous();
        let count = commands.len().min(COMMANDS_PER_TICK_MAX);
        commands.get(..count).unwrap_or_default()
    }

    /// Answers the batch, now that it is committed.
    pub(super) fn answer(&mut self, answers: Vec<Result<Receipt, CommandError>>) {
        for answer in answers {
            self.commands.pop_front();
            let Some((call, place)) = self.waiting.pop_front() else {
                return;
            };
            // Whoever is answered finds a place for the next command.
            drop(place);
            match answer {
                Ok(receipt) => call.accept(receipt),
                Err(error) => call.refuse(error),
            }
        }
    }

    /// Answers everything that waits with an error.
    pub(super) fn fail_all(&mut self, error: &RuntimeError) {
        self.commands.clear();
        for (call, place) in self.waiting.drain(..) {
            drop(place);
            call.fail(error);
        }
    }
}

/// The same error for one more of those who wait.
fn copy(error: &RuntimeError) -> RuntimeError {
    match error {
        RuntimeError::UseStore { town, source } => RuntimeError::UseStore {
            town: town.clone(),
            source: Arc::clone(source),
        },
        RuntimeError::AwaitStore { town, seconds } => RuntimeError::AwaitStore {
            town: town.clone(),
            seconds: *seconds,
        },
        RuntimeError::TownFrozen(broken) => RuntimeError::TownFrozen(Arc::clone(broken)),
        RuntimeError::TownClosed => RuntimeError::TownClosed,
        RuntimeError::TownBusy => RuntimeError::TownBusy,
        // What else keeps a town from running keeps it from being loaded.
        RuntimeError::UseFile { .. }
        | RuntimeError::DirectoryInUse { .. }
        | RuntimeError::ReadTemplate { .. }
        | RuntimeError::RunGit(_)
        | RuntimeError::StopLeftovers { .. }
        | RuntimeError::BuildRunner { .. }
        | RuntimeError::CheckSettings { .. }
        | RuntimeError::CheckTools { .. }
        | RuntimeError::FoundTown { .. }
        | RuntimeError::OpenTown { .. }
        | RuntimeError::ListTowns { .. }
        | RuntimeError::AwaitTowns { .. }
        | RuntimeError::ReadTown { .. }
        | RuntimeError::AppendEvents { .. }
        | RuntimeError::RefuseCommand(_)
        | RuntimeError::TownNotLoaded
        | RuntimeError::TownOpen { .. } => RuntimeError::TownNotLoaded,
    }
}
