//! What running sessions tell their host.

use gastown_core::SessionId;
use gastown_core::events::ExitStatus;
use serde_json::{Map, Value};
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use crate::protocol::{Heartbeat, ProtocolViolation, ToAgent, ToolRefusal, ToolResult};

/// One thing that a running session said or did. Of one session they come in order, the exit last.
#[derive(Debug)]
pub struct AgentOutput {
    /// The session.
    pub session: SessionId,
    /// What it said or did.
    pub kind: AgentOutputKind,
}

/// What a session said or did.
#[derive(Debug)]
pub enum AgentOutputKind {
    /// It lives.
    Heartbeat(Heartbeat),
    /// It wants something done and waits for the answer.
    Tool(ToolRequest),
    /// It wrote a line that is none of the protocol's.
    Violation(ProtocolViolation),
    /// It ended; nothing of it runs any more.
    Exited(AgentExit),
}

/// How a session ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentExit {
    /// Whether in order.
    pub status: ExitStatus,
    /// How, for a person.
    pub reason: String,
    /// Whether it had been asked to stop.
    pub asked: bool,
}

/// A tool call that waits for its answer.
#[derive(Debug)]
pub struct ToolRequest {
    /// The tool, for example `gt_done`.
    pub name: String,
    /// Its input.
    pub input: Map<String, Value>,
    /// Where the answer goes.
    pub reply: ToolReply,
}

/// Where the answer to one tool call goes. Dropped without an answer it refuses the call, so that
/// no agent waits forever.
#[derive(Debug)]
pub struct ToolReply {
    id: u64,
    lines: Option<mpsc::Sender<ToAgent>>,
    // Counts the open calls of the session.
    _open: Option<OwnedSemaphorePermit>,
}

impl ToolReply {
    /// A reply to the call `id` that is written to `lines`.
    #[must_use]
    pub fn new(id: u64, lines: mpsc::Sender<ToAgent>) -> Self {
        Self {
            id,
            lines: Some(lines),
            _open: None,
        }
    }

    pub(crate) fn counted(
        id: u64,
        lines: mpsc::Sender<ToAgent>,
        open: OwnedSemaphorePermit,
    ) -> Self {
        Self {
            id,
            lines: Some(lines),
            _open: Some(open),
        }
    }

    /// Answers with what the tool gave.
    pub fn accept(self, value: Value) {
        self.send(Ok(value));
    }

    /// Refuses, naming the field and what is wrong with it.
    pub fn refuse(self, field: impl Into<String>, message: impl Into<String>) {
        self.send(Err(ToolRefusal {
            field: field.into(),
            message: message.into(),
        }));
    }

    fn send(mut self, outcome: Result<Value, ToolRefusal>) {
        self.answer(outcome);
    }

    fn answer(&mut self, outcome: Result<Value, ToolRefusal>) {
        let Some(lines) = self.lines.take() else {
            return;
        };
        let result = ToolResult {
            id: self.id,
            outcome,
        };
        // A session that has ended, or reads none of its lines, hears nothing.
        if lines.try_send(result.into()).is_err() {
            tracing::debug!(call = self.id, "nobody reads the result of a tool call");
        }
    }
}

impl Drop for ToolReply {
    fn drop(&mut self) {
        self.answer(Err(ToolRefusal {
            field: ".".into(),
            message: "the host gave no answer; whether the call was heard is not known".into(),
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_call_gets_exactly_one_answer() {
        let (lines, mut written) = mpsc::channel(4);
        ToolReply::new(1, lines.clone()).accept(json!({}));
        ToolReply::new(2, lines.clone()).refuse("branch", "is empty");
        drop(ToolReply::new(3, lines));
        let mut ids = Vec::new();
        while let Ok(line) = written.try_recv() {
            let ToAgent::Result(result) = line else {
                panic!("{line:?}");
            };
            ids.push((result.id, result.outcome.is_ok()));
        }
        assert_eq!(ids, [(1, true), (2, false), (3, false)]);
    }
}
