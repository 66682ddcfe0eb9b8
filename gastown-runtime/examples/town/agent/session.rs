//! What every agent does: listen, tell, run commands in its worktree.

use std::process::Command;
use std::thread;
use std::time::Duration;

use gastown_runtime::protocol::Start;
use gastown_runtime::protocol::client::{Beating, Client, ClientError};
use serde_json::{Value, json};

use super::AgentError;
use crate::git::{GitError, Repository};

/// Far below this town's heartbeat timeout.
const HEARTBEAT_INTERVAL: Duration = Duration::from_millis(500);
/// How long an agent thinks about each step, so that a person can follow.
const STEP: Duration = Duration::from_millis(350);
/// How often a fetch is tried: the worktrees of a rig share one repository, and its locks.
const FETCH_TRIES_MAX: u32 = 10;
const FETCH_PAUSE: Duration = Duration::from_millis(100);
/// How much of a failed command's output is passed on, in characters.
const OUTPUT_CHARACTERS_MAX: usize = 600;

/// One session of an agent.
pub(super) struct Session {
    host: Client,
    pub(super) start: Start,
    pub(super) repository: Repository,
    _beating: Beating,
}

impl Session {
    /// Listens to what is to be done, and begins to send heartbeats.
    pub(super) fn begin() -> Result<Self, AgentError> {
        let mut host = Client::stdio();
        let start = host.start()?;
        let beating = host.beat_every(HEARTBEAT_INTERVAL)?;
        Ok(Self {
            host,
            start,
            repository: Repository::new("."),
            _beating: beating,
        })
    }

    /// A text of the context that came with the start; empty where it has none.
    pub(super) fn told(&self, pointer: &str) -> &str {
        let value = self.start.context.pointer(pointer);
        value.and_then(Value::as_str).unwrap_or_default()
    }

    /// Says what comes next, and gives people time to read it.
    pub(super) fn says(&mut self, message: &str) -> Result<(), AgentError> {
        if let Some(reason) = self.host.stop_reason()? {
            let reason = reason.to_owned();
            return Err(ClientError::Stopped { reason }.into());
        }
        self.host.log(message)?;
        // Nobody has to listen.
        drop(self.host.call("gt_status", json!({"message": message}))?);
        thread::sleep(STEP);
        Ok(())
    }

    /// Calls a tool that has to succeed.
    pub(super) fn call(&mut self, tool: &str, input: Value) -> Result<Value, AgentError> {
        let answer = self.host.call(tool, input)?;
        answer.map_err(|refusal| AgentError::Refused {
            tool: tool.into(),
            field: refusal.field,
            message: refusal.message,
        })
    }

    /// Takes over what the origin has.
    pub(super) fn fetch(&self) -> Result<(), GitError> {
        let mut tries = 1_u32;
        loop {
            match self.repository.run(&["fetch", "--quiet", "origin"]) {
                Err(GitError::Failed { .. }) if tries < FETCH_TRIES_MAX => {
                    tries = tries.saturating_add(1);
                    thread::sleep(FETCH_PAUSE);
                }
                result => return result.map(drop),
            }
        }
    }

    /// Runs the gates; the text says what a failed one printed.
    pub(super) fn failed_gate(&self) -> Result<Option<String>, AgentError> {
        for gate in self.gates() {
            let run = Command::new("sh").args(["-c", &gate]).output();
            let output = run.map_err(|source| AgentError::File {
                path: "sh".into(),
                source,
            })?;
            if !output.status.success() {
                let printed = String::from_utf8_lossy(&output.stdout);
                let cut: String = printed.chars().take(OUTPUT_CHARACTERS_MAX).collect();
                return Ok(Some(format!("`{gate}` failed:\n{cut}")));
            }
        }
        Ok(None)
    }

    /// The commands that have to pass: those that the town names, else what its repositories have.
    fn gates(&self) -> Vec<String> {
        let named = self.start.context.pointer("/review_context/gates");
        let named: Vec<String> = named
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(|gate| gate.as_str().map(str::to_owned))
            .collect();
        if named.is_empty() {
            return vec!["sh tests/run.sh".into()];
        }
        named
    }
}
