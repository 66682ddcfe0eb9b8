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
    /// An agent, by the session that speaks for it.
    Agent(ToolReply, SessionId),
}

impl Call {
    fn accept(self, receipt: Receipt) {
        match self {
            // Whoever asked may be gone.
            Self::Host(reply) => drop(reply.send(Ok(receipt))),
            Self::Agent(reply, _) => {
                let value = serde_json::to_value(&receipt).unwrap_or(Value::Null);
                reply.accept(value);
            }
        }
    }

    fn refuse(self, error: CommandError) {
        match self {
            Self::Host(reply) => drop(reply.send(Err(RuntimeError::RefuseCommand(error)))),
            Self::Agent(reply, _) => reply.refuse(error.field.clone(), error.message),
        }
    }

    fn fail(self, error: &RuntimeError) {
        match self {
            Self::Host(reply) => drop(reply.send(Err(copy(error)))),
            Self::Agent(reply, _) => reply.refuse(".", error.to_string()),
        }
    }

    /// Whether it is of a session that was replaced, which speaks for nobody.
    fn is_late(&self, town: &Town) -> bool {
        match self {
            Self::Host(_) => false,
            Self::Agent(_, session) => is_replaced(town, session),
        }
    }
}

fn is_replaced(town: &Town, session: &SessionId) -> bool {
    let agent = town.agent(&session.agent_id);
    agent.is_some_and(|agent| agent.session != session.session)
}

fn refuse_late(reply: ToolReply) {
    reply.refuse(".", "this session is not the agent's current one any more");
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
        if town.is_some_and(|town| is_replaced(town, session)) {
            refuse_late(reply);
            return;
        }
        let caller = Caller::Agent {
            id: session.agent_id.clone(),
        };
        match wire::command_from_tool(&name, Value::Object(input), caller) {
            Ok(command) => self.push(command, Call::Agent(reply, session.clone()), place),
            Err(error) => reply.refuse(error.path, error.message),
        }
    }

    /// Refuses what agents asked for in sessions that were replaced while it waited: the command
    /// names none, and would count as the new session's (spec 4.1).
    pub(super) fn refuse_late(&mut self, town: &Town) {
        if !self.waiting.iter().any(|(call, _)| call.is_late(town)) {
            return;
        }
        let commands = std::mem::take(&mut self.commands);
        let waiting = std::mem::take(&mut self.waiting);
        for (command, (call, place)) in commands.into_iter().zip(waiting) {
            if !call.is_late(town) {
                self.commands.push_back(command);
                self.waiting.push_back((call, place));
            } else if let Call::Agent(reply, _) = call {
                drop(place);
                refuse_late(reply);
            }
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
        | RuntimeError::InspectTown { .. }
        | RuntimeError::AppendEvents { .. }
        | RuntimeError::RefuseCommand(_)
        | RuntimeError::TownNotLoaded
        | RuntimeError::TownOpen { .. } => RuntimeError::TownNotLoaded,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use gastown_core::testing::town;
    use serde_json::json;

    use super::*;

    /// Spec 4.1: `done` of an older session is ignored, however long it waited.
    #[tokio::test]
    async fn a_call_of_a_session_that_was_replaced_while_it_waited_is_refused() {
        let agent = |session: u64| {
            town(&format!(
                "rig r1\nagent a1 polecat working rig_id=r1 hook=b1 session={session}\nbead b1 issue in_progress rig_id=r1 assignee=a1"
            ))
        };
        let (lines, mut said) = tokio::sync::mpsc::channel(4);
        let mut calls = Calls::default();
        let count = Arc::new(AtomicUsize::new(2));
        for id in [1, 2] {
            let session = SessionId {
                town_id: "t1".parse().unwrap(),
                agent_id: "a1".parse().unwrap(),
                session: id,
            };
            let Value::Object(input) = json!({"branch": "work"}) else {
                continue;
            };
            let request = ToolRequest {
                name: "gt_done".into(),
                input,
                reply: ToolReply::new(id, lines.clone()),
            };
            // Each was the current one when it came.
            let place = Place(Arc::clone(&count));
            calls.push_tool(Some(&agent(id)), &session, request, place);
        }
        assert_eq!(calls.next_batch().len(), 2);
        calls.refuse_late(&agent(2));
        assert_eq!(calls.next_batch().len(), 1);
        let told = format!("{:?}", said.try_recv().unwrap());
        assert!(
            told.contains("id: 1") && told.contains("not the agent's current one"),
            "{told}"
        );
        assert!(said.try_recv().is_err());
    }
}
