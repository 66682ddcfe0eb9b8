//! The agent's side of the protocol, for agents that are written in Rust.
//!
//! It blocks and needs no async runtime: an agent is a process of its own that does one thing at
//! a time. Two threads of its own read the host's lines and send heartbeats meanwhile.
//!
//! ```no_run
//! use std::time::Duration;
//! use gastown_runtime::protocol::client::Client;
//! use serde_json::json;
//!
//! let mut host = Client::stdio();
//! let start = host.start()?;
//! let _beating = host.beat_every(Duration::from_secs(30))?;
//! host.log(&format!("working on {}", start.bead_id))?;
//! let outcome = host.call("gt_done", json!({"branch": start.branch}))?;
//! if let Err(refusal) = outcome {
//!     host.log(&format!("{}: {}", refusal.field, refusal.message))?;
//! }
//! # Ok::<(), gastown_runtime::protocol::client::ClientError>(())
//! ```

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use super::{
    FromAgent, Heartbeat, LineBuffer, LineError, LineRead, Log, Message, Start, ToAgent, ToolCall,
    ToolRefusal,
};

/// How many lines of the host wait unread before its writing blocks.
const LINES_UNREAD_MAX: usize = 256;
/// How many messages are kept for [`Client::next_message`]; the oldest goes first.
const MESSAGES_KEPT_MAX: usize = 256;

/// Why an agent can't go on talking to its host.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The host is gone: exit, it starts another session when it is back.
    #[error("the host is gone")]
    HostGone,
    /// The host wants this session to end: save the work and exit.
    #[error("the host asks to stop: {reason}")]
    Stopped {
        /// Why, for a person.
        reason: String,
    },
    /// The host said something that is none of the protocol's.
    #[error("could not read a line of the host: {0}")]
    Read(#[source] LineError),
    /// Something that can't be said.
    #[error("could not write a line to the host: {0}")]
    Line(#[source] LineError),
    /// The host said something else first than who this agent is.
    #[error("expected the host to begin with `start`")]
    NotStarted,
    /// The input of a tool is an object.
    #[error("expected a JSON object as the input of {tool}")]
    InputNotAnObject {
        /// The tool.
        tool: String,
    },
    /// The thread that sends heartbeats could not be made.
    #[error("could not start a thread: {0}")]
    Thread(#[source] io::Error),
}

type Output = Arc<Mutex<Box<dyn Write + Send>>>;

/// An agent's connection to its host.
pub struct Client {
    incoming: Receiver<Result<ToAgent, LineError>>,
    output: Output,
    messages: VecDeque<Message>,
    stop: Option<String>,
    calls: u64,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client")
            .field("messages", &self.messages.len())
            .field("stop", &self.stop)
            .field("calls", &self.calls)
            .finish_non_exhaustive()
    }
}

impl Client {
    /// A client over standard input and output. Print nothing else to standard output.
    #[must_use]
    pub fn stdio() -> Self {
        Self::new(io::stdin(), io::stdout())
    }

    /// A client over any pair of streams.
    #[must_use]
    pub fn new(input: impl Read + Send + 'static, output: impl Write + Send + 'static) -> Self {
        let (sender, incoming) = sync_channel(LINES_UNREAD_MAX);
        // Without this thread nothing is ever read, which shows as `HostGone` at once.
        drop(thread::Builder::new().spawn(move || read_lines(input, &sender)));
        Self {
            incoming,
            output: Arc::new(Mutex::new(Box::new(output))),
            messages: VecDeque::new(),
            stop: None,
            calls: 0,
        }
    }

    /// Waits for the first line of the host.
    ///
    /// # Errors
    /// [`ClientError::NotStarted`] if it is another one, and any error of reading.
    pub fn start(&mut self) -> Result<Start, ClientError> {
        match self.receive()? {
            ToAgent::Start(start) => Ok(start),
            ToAgent::Message(_) | ToAgent::Result(_) | ToAgent::Stop(_) => {
                Err(ClientError::NotStarted)
            }
        }
    }

    /// Calls a tool and waits for its result; the inner error is the host's refusal, which does not
    /// always mean that nothing was changed (see [`ToolRefusal`]).
    ///
    /// Messages that arrive meanwhile are kept for [`Client::next_message`].
    ///
    /// # Errors
    /// [`ClientError::Stopped`] if the host asks to stop before it answers: whether the call was
    /// heard is not known then.
    pub fn call(
        &mut self,
        tool: &str,
        input: Value,
    ) -> Result<Result<Value, ToolRefusal>, ClientError> {
        let Value::Object(input) = input else {
            return Err(ClientError::InputNotAnObject { tool: tool.into() });
        };
        self.calls = self.calls.saturating_add(1);
        let id = self.calls;
        let name = tool.to_owned();
        write(&self.output, &ToolCall { id, name, input }.into())?;
        loop {
            match self.receive()? {
                ToAgent::Result(result) if result.id == id => return Ok(result.outcome),
                ToAgent::Stop(stop) => {
                    self.stop = Some(stop.reason.clone());
                    return Err(ClientError::Stopped {
                        reason: stop.reason,
                    });
                }
                line @ (ToAgent::Start(_) | ToAgent::Message(_) | ToAgent::Result(_)) => {
                    self.keep(line);
                }
            }
        }
    }

    /// Says that this agent lives and what it is doing.
    ///
    /// # Errors
    /// [`ClientError::HostGone`].
    pub fn heartbeat(&self, heartbeat: Heartbeat) -> Result<(), ClientError> {
        write(&self.output, &heartbeat.into())
    }

    /// Sends an empty heartbeat now and every `interval` until the returned guard is dropped.
    ///
    /// # Errors
    /// [`ClientError::HostGone`], or [`ClientError::Thread`].
    pub fn beat_every(&self, interval: Duration) -> Result<Beating, ClientError> {
        let (end, ended) = sync_channel::<()>(0);
        let output = Arc::clone(&self.output);
        write(&output, &Heartbeat::default().into())?;
        let beat = move || {
            while ended.recv_timeout(interval) == Err(RecvTimeoutError::Timeout) {
                if write(&output, &Heartbeat::default().into()).is_err() {
                    return;
                }
            }
        };
        match thread::Builder::new().spawn(beat) {
            Ok(_) => Ok(Beating { _end: end }),
            Err(error) => Err(ClientError::Thread(error)),
        }
    }

    /// Writes a line to the session's log.
    ///
    /// # Errors
    /// [`ClientError::HostGone`].
    pub fn log(&self, text: &str) -> Result<(), ClientError> {
        let text = text.to_owned();
        write(&self.output, &Log { text }.into())
    }

    /// The next message that has arrived, without waiting for one.
    ///
    /// # Errors
    /// Any error of reading.
    pub fn next_message(&mut self) -> Result<Option<Message>, ClientError> {
        self.poll()?;
        Ok(self.messages.pop_front())
    }

    /// Why the host wants this session to end, if it does; look between two pieces of work.
    ///
    /// # Errors
    /// Any error of reading.
    pub fn stop_reason(&mut self) -> Result<Option<&str>, ClientError> {
        self.poll()?;
        Ok(self.stop.as_deref())
    }

    /// Takes what has arrived, without waiting.
    fn poll(&mut self) -> Result<(), ClientError> {
        loop {
            match self.incoming.try_recv() {
                Ok(line) => {
                    let line = line.map_err(ClientError::Read)?;
                    self.keep(line);
                }
                Err(TryRecvError::Empty) => return Ok(()),
                Err(TryRecvError::Disconnected) => return Err(ClientError::HostGone),
            }
        }
    }

    fn keep(&mut self, line: ToAgent) {
        match line {
            ToAgent::Message(message) => {
                if self.messages.len() >= MESSAGES_KEPT_MAX {
                    self.messages.pop_front();
                }
                self.messages.push_back(message);
            }
            ToAgent::Stop(stop) => self.stop = Some(stop.reason),
            // A second start, or the result of a call that was given up, changes nothing.
            ToAgent::Start(_) | ToAgent::Result(_) => {}
        }
    }

    fn receive(&mut self) -> Result<ToAgent, ClientError> {
        match self.incoming.recv() {
            Ok(line) => line.map_err(ClientError::Read),
            Err(_) => Err(ClientError::HostGone),
        }
    }
}

/// Heartbeats are sent while this lives.
#[derive(Debug)]
#[must_use = "heartbeats end when this is dropped"]
pub struct Beating {
    // Dropping the sender ends the thread at once.
    _end: SyncSender<()>,
}

fn write(output: &Output, line: &FromAgent) -> Result<(), ClientError> {
    let line = line.to_line().map_err(ClientError::Line)?;
    let mut output = output.lock().unwrap_or_else(PoisonError::into_inner);
    let written = output
        .write_all(line.as_bytes())
        .and_then(|()| output.flush());
    // A pipe that can't be written has no reader: there is nobody to tell.
    written.map_err(|_| ClientError::HostGone)
}

fn read_lines(mut input: impl Read, sender: &SyncSender<Result<ToAgent, LineError>>) {
    let mut buffer = LineBuffer::default();
    let mut chunk = [0; 8 * 1024];
    loop {
        let count = match input.read(&mut chunk) {
            Ok(0) => return,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => return,
        };
        buffer.push(chunk.get(..count).unwrap_or_default());
        while let Some(line) = buffer.next_line() {
            let line = match line {
                LineRead::Text(text) => ToAgent::parse(&text),
                LineRead::Bad(problem) => Err(problem),
            };
            if sender.send(line).is_err() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// A stream that the test reads what the client wrote from.
    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn client(host: &'static str) -> (Client, Written) {
        let written = Written::default();
        (Client::new(host.as_bytes(), written.clone()), written)
    }

    const START: &str = r#"{"type":"start","agent_id":"a1","session":1,"role":"polecat","name":"Ash","bead_id":"b1","branch":"gt/a1/b1","target_branch":"main","prompt":"Do it.","context":{}}
"#;

    #[test]
    fn a_call_waits_for_its_own_result_and_keeps_what_came_before() {
        let (mut client, written) = client(concat!(
            r#"{"type":"message","nudge_id":"n1","tier":"warn","text":"Still there?"}"#,
            "\n",
            r#"{"type":"result","id":9,"ok":true,"value":{}}"#,
            "\n",
            r#"{"type":"result","id":1,"ok":true,"value":{"made":["m1"]}}"#,
            "\n",
        ));
        let result = client.call("gt_done", json!({"branch": "b"})).unwrap();
        assert_eq!(result.unwrap(), json!({"made": ["m1"]}));
        let message = client.messages.pop_front().unwrap();
        assert_eq!(message.text, "Still there?");
        let line = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        assert_eq!(
            line,
            "{\"type\":\"tool\",\"id\":1,\"name\":\"gt_done\",\"input\":{\"branch\":\"b\"}}\n"
        );
    }

    #[test]
    fn a_stop_ends_the_waiting_and_the_end_of_input_means_that_the_host_is_gone() {
        let (mut stopped, _) = client("{\"type\":\"stop\",\"reason\":\"enough\"}\n");
        let error = stopped.call("gt_status", json!({})).unwrap_err();
        assert_eq!(error.to_string(), "the host asks to stop: enough");
        let (mut alone, _) = client(START);
        assert_eq!(alone.start().unwrap().branch, "gt/a1/b1");
        let error = alone.call("gt_status", json!({})).unwrap_err();
        assert!(matches!(error, ClientError::HostGone));
    }

    #[test]
    fn the_host_has_to_begin_with_start() {
        let (mut client, _) = client("{\"type\":\"stop\",\"reason\":\"\"}\n");
        assert!(matches!(client.start(), Err(ClientError::NotStarted)));
    }
}
