//! One running session: its process, its pipes, its end.

use std::process::ExitStatus as ProcessExit;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use gastown_core::SessionId;
use gastown_core::events::ExitStatus;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::time::timeout;

use super::group::Group;
use super::log::{SessionLog, Source};
use crate::output::{AgentExit, AgentOutput, AgentOutputKind, ToolReply, ToolRequest};
use crate::protocol::{
    BAD_LINES_IN_A_ROW_MAX, FromAgent, LineBuffer, LineError, LineRead, ProtocolViolation, Stop,
    ToAgent, ToolCall, ToolRefusal, ToolResult,
};

/// How many lines wait for a session to read them.
const LINES_UNREAD_MAX: usize = 256;
/// How many tool calls of a session may wait for their answers.
pub(crate) const CALLS_OPEN_MAX: usize = 32;
/// How much is read from a pipe at once.
const CHUNK_BYTES: usize = 16 * 1024;
/// How long the rest of a pipe is read once every process of the group is gone: only a process
/// that left the group can still hold it open.
const PIPE_REST_WAIT: Duration = Duration::from_secs(2);

/// A session that runs, or has ended and was not yet replaced.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) id: SessionId,
    group: Group,
    /// Lines for the agent.
    lines: mpsc::Sender<ToAgent>,
    /// Lines that somebody waits to see written.
    awaited: mpsc::Sender<(ToAgent, oneshot::Sender<()>)>,
    ended: watch::Receiver<bool>,
    asked: AtomicBool,
    /// The leader was waited for: its number may belong to somebody else.
    reaped: Arc<AtomicBool>,
}

/// What a session needs besides its process.
pub(crate) struct Surroundings {
    pub(crate) log: Arc<SessionLog>,
    pub(crate) outputs: mpsc::Sender<AgentOutput>,
    /// How long a process that was sent SIGTERM may take.
    pub(crate) terminate_wait: Duration,
    /// Called once nothing of the session runs, before its exit is told.
    pub(crate) on_end: Box<dyn FnOnce() + Send>,
}

impl Session {
    /// Takes over a process that was just spawned and leads `group`.
    pub(crate) fn run(
        id: SessionId,
        mut child: Child,
        group: Group,
        surroundings: Surroundings,
    ) -> Arc<Self> {
        let (lines, unwritten) = mpsc::channel(LINES_UNREAD_MAX);
        let (awaited, unwritten_awaited) = mpsc::channel(LINES_UNREAD_MAX);
        let (end, ended) = watch::channel(false);
        let reaped = Arc::new(AtomicBool::new(false));
        if let Some(stdin) = child.stdin.take() {
            let log = Arc::clone(&surroundings.log);
            tokio::spawn(write_lines(stdin, unwritten, unwritten_awaited, log));
        }
        let reader = Reader {
            id: id.clone(),
            log: Arc::clone(&surroundings.log),
            outputs: surroundings.outputs.clone(),
            lines: lines.clone(),
            calls: Arc::new(Semaphore::new(CALLS_OPEN_MAX)),
            line: 0,
            bad_in_a_row: 0,
            group,
            reaped: Arc::clone(&reaped),
        };
        let session = Arc::new(Self {
            id,
            group,
            lines,
            awaited,
            ended,
            asked: AtomicBool::new(false),
            reaped,
        });
        tokio::spawn(watch_over(
            Arc::clone(&session),
            child,
            reader,
            surroundings,
            end,
        ));
        session
    }

    pub(crate) fn is_running(&self) -> bool {
        !*self.ended.borrow()
    }

    /// Writes a line to the agent and waits until the pipe has taken it.
    pub(crate) async fn deliver(&self, line: ToAgent, wait: Duration) -> Result<(), String> {
        let (written, was_written) = oneshot::channel();
        let gone = || "its input is closed".to_owned();
        let deliver = async {
            let sent = self.awaited.send((line, written)).await;
            sent.map_err(|_| gone())?;
            was_written.await.map_err(|_| gone())
        };
        timeout(wait, deliver)
            .await
            .unwrap_or_else(|_| Err("it does not read its input".into()))
    }

    /// Asks, waits, then ends the whole group; false when something may still run.
    pub(crate) async fn stop(&self, reason: &str, stop_wait: Duration, term: Duration) -> bool {
        // Who reads nothing is asked by a signal next.
        self.wrap_up(reason);
        if !self.ended_within(stop_wait).await && !self.reaped.load(Ordering::Acquire) {
            self.group.end(term).await;
        }
        self.ended_within(term.saturating_add(PIPE_REST_WAIT.saturating_mul(2)))
            .await
    }

    /// Asks the session to bring its work to an end and to exit.
    pub(crate) fn wrap_up(&self, reason: &str) {
        self.asked.store(true, Ordering::Relaxed);
        let stop = Stop {
            reason: reason.to_owned(),
        };
        // Who reads nothing is stopped later.
        let _ = self.lines.try_send(stop.into());
    }

    /// Ends the group at once, without asking.
    pub(crate) fn kill(&self) {
        if !self.reaped.load(Ordering::Acquire) {
            self.group.kill();
        }
    }

    async fn ended_within(&self, wait: Duration) -> bool {
        let mut ended = self.ended.clone();
        let result = timeout(wait, ended.wait_for(|ended| *ended)).await;
        matches!(result, Ok(Ok(_)))
    }
}

/// Waits for the process, ends what it left behind, and tells.
async fn watch_over(
    session: Arc<Session>,
    mut child: Child,
    reader: Reader,
    surroundings: Surroundings,
    end: watch::Sender<bool>,
) {
    let Surroundings {
        log,
        outputs,
        terminate_wait,
        on_end,
    } = surroundings;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let mut reading = tokio::spawn(reader.read(stdout));
    let mut listening = tokio::spawn(copy_stderr(stderr, Arc::clone(&log)));
    let exit = child.wait().await;
    session.reaped.store(true, Ordering::Release);
    // The session is over with its leader; the number stays the group's while a member lives.
    if session.group.is_alive() && !session.group.end(terminate_wait).await {
        tracing::error!(agent = %session.id.agent_id, "processes of an ended session still run");
    }
    let failed = timeout(PIPE_REST_WAIT, &mut reading).await;
    if timeout(PIPE_REST_WAIT, &mut listening).await.is_err() {
        listening.abort();
    }
    let failure = match failed {
        Ok(result) => result.ok().flatten(),
        Err(_) => {
            reading.abort();
            None
        }
    };
    on_end();
    let asked = session.asked.load(Ordering::Relaxed);
    let (status, reason) = judge(exit, failure);
    log.add(Source::Host, &format!("ended: {reason}"));
    end.send_replace(true);
    let kind = AgentOutputKind::Exited(AgentExit {
        status,
        reason,
        asked,
    });
    let session = session.id.clone();
    // Without a receiver nobody wants to know.
    let _ = outputs.send(AgentOutput { session, kind }).await;
}

fn judge(exit: std::io::Result<ProcessExit>, failure: Option<String>) -> (ExitStatus, String) {
    if let Some(failure) = failure {
        return (ExitStatus::Failed, failure);
    }
    match exit {
        Ok(exit) if exit.success() => (ExitStatus::Completed, "exited with status 0".into()),
        Ok(exit) => (ExitStatus::Failed, show_exit(exit)),
        Err(error) => (
            ExitStatus::Failed,
            format!("could not wait for it: {error}"),
        ),
    }
}

fn show_exit(exit: ProcessExit) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (exit.code(), exit.signal()) {
        (Some(code), _) => format!("exited with status {code}"),
        (None, Some(signal)) => format!("ended by signal {signal}"),
        (None, None) => "ended".into(),
    }
}

/// Writes what is for the agent, until it closes its input or ends.
async fn write_lines(
    mut stdin: ChildStdin,
    mut lines: mpsc::Receiver<ToAgent>,
    mut awaited: mpsc::Receiver<(ToAgent, oneshot::Sender<()>)>,
    log: Arc<SessionLog>,
) {
    loop {
        let (line, written) = tokio::select! {
            // In the order of these two, a start goes before everything else.
            biased;
            Some((line, written)) = awaited.recv() => (line, Some(written)),
            Some(line) = lines.recv() => (line, None),
            else => return,
        };
        let Some(text) = text_of(&line, &log) else {
            continue;
        };
        let result = match stdin.write_all(text.as_bytes()).await {
            Ok(()) => stdin.flush().await,
            Err(error) => Err(error),
        };
        if result.is_err() {
            return;
        }
        if let Some(written) = written {
            // Whoever waited may have given up.
            let _ = written.send(());
        }
    }
}

/// What is written of a line; none where it does not fit and nobody waits for it.
fn text_of(line: &ToAgent, log: &SessionLog) -> Option<String> {
    let problem = match line.to_line() {
        Ok(text) => return Some(text),
        Err(problem) => problem,
    };
    log.add(Source::Host, &format!("could not be said: {problem}"));
    let ToAgent::Result(result) = line else {
        return None;
    };
    // An agent waits for each of its calls.
    let outcome = match &result.outcome {
        Ok(_) => "the call was carried out, but its value does not fit into a line",
        Err(_) => "the call was refused, for a reason that does not fit into a line",
    };
    let refusal = ToolResult {
        id: result.id,
        outcome: Err(ToolRefusal {
            field: ".".into(),
            message: outcome.into(),
        }),
    };
    ToAgent::from(refusal).to_line().ok()
}

async fn copy_stderr(stream: Option<impl AsyncRead + Unpin>, log: Arc<SessionLog>) {
    let mut lines = Lines::of(stream);
    while let Some(line) = lines.next().await {
        match line {
            LineRead::Text(text) => log.add(Source::Stderr, &text),
            LineRead::Bad(problem) => log.add(Source::Stderr, &format!("({problem})")),
        }
    }
}

/// The lines of a stream; one that fails has ended.
struct Lines<S> {
    stream: Option<S>,
    buffer: LineBuffer,
    chunk: Vec<u8>,
}

impl<S: AsyncRead + Unpin> Lines<S> {
    fn of(stream: Option<S>) -> Self {
        Self {
            stream,
            buffer: LineBuffer::default(),
            chunk: vec![0; CHUNK_BYTES],
        }
    }

    async fn next(&mut self) -> Option<LineRead> {
        loop {
            if let Some(line) = self.buffer.next_line() {
                return Some(line);
            }
            let stream = self.stream.as_mut()?;
            match stream.read(&mut self.chunk).await {
                Ok(0) | Err(_) => {
                    self.stream = None;
                    return self.buffer.finish();
                }
                Ok(count) => self
                    .buffer
                    .push(self.chunk.get(..count).unwrap_or_default()),
            }
        }
    }
}

/// Reads the protocol from an agent's standard output.
struct Reader {
    id: SessionId,
    log: Arc<SessionLog>,
    outputs: mpsc::Sender<AgentOutput>,
    lines: mpsc::Sender<ToAgent>,
    calls: Arc<Semaphore>,
    line: u64,
    bad_in_a_row: u32,
    group: Group,
    reaped: Arc<AtomicBool>,
}

impl Reader {
    /// Reads to the end; returns why the session was failed, if it was.
    async fn read(mut self, stream: Option<impl AsyncRead + Unpin>) -> Option<String> {
        let mut lines = Lines::of(stream);
        while let Some(line) = lines.next().await {
            self.line = self.line.saturating_add(1);
            if let Some(failure) = self.take(line).await {
                return Some(failure);
            }
        }
        None
    }

    async fn take(&mut self, line: LineRead) -> Option<String> {
        let (text, read) = match line {
            LineRead::Text(text) => {
                let read = FromAgent::parse(&text);
                (text, read)
            }
            LineRead::Bad(problem) => (String::new(), Err(problem)),
        };
        match read {
            Ok(line) => {
                self.bad_in_a_row = 0;
                self.hear(line).await;
                None
            }
            Err(problem) => self.complain(&text, problem).await,
        }
    }

    async fn hear(&mut self, line: FromAgent) {
        match line {
            FromAgent::Heartbeat(heartbeat) => {
                self.tell(AgentOutputKind::Heartbeat(heartbeat)).await;
            }
            FromAgent::Log(log) => self.log.add(Source::Log, &log.text),
            FromAgent::Tool(call) => self.call(call).await,
        }
    }

    async fn call(&mut self, call: ToolCall) {
        let ToolCall { id, name, input } = call;
        let Ok(open) = Arc::clone(&self.calls).try_acquire_owned() else {
            let message = format!("at most {CALLS_OPEN_MAX} calls may be open; wait for a result");
            ToolReply::new(id, self.lines.clone()).refuse("id", message);
            return;
        };
        let reply = ToolReply::counted(id, self.lines.clone(), open);
        let request = ToolRequest { name, input, reply };
        self.tell(AgentOutputKind::Tool(request)).await;
    }

    /// Reports a bad line; at the limit the session is ended.
    async fn complain(&mut self, text: &str, problem: LineError) -> Option<String> {
        self.bad_in_a_row = self.bad_in_a_row.saturating_add(1);
        let problem = self.masked(problem);
        let violation = ProtocolViolation {
            session: self.id.clone(),
            line: self.line,
            problem,
            in_a_row: self.bad_in_a_row,
        };
        self.log.add(Source::Bad, text);
        let why = format!("line {}: {}", violation.line, violation.problem);
        self.log.add(Source::Host, &why);
        self.tell(AgentOutputKind::Violation(violation)).await;
        if self.bad_in_a_row < BAD_LINES_IN_A_ROW_MAX {
            return None;
        }
        if !self.reaped.load(Ordering::Acquire) {
            self.group.kill();
        }
        Some(format!(
            "wrote {BAD_LINES_IN_A_ROW_MAX} lines in a row that are not the protocol's, the last: {why}"
        ))
    }

    /// What an error quotes may be a secret.
    fn masked(&self, problem: LineError) -> LineError {
        match problem {
            LineError::TooLong { limit } => LineError::TooLong { limit },
            LineError::NotUtf8 => LineError::NotUtf8,
            LineError::NotJson { message } => LineError::NotJson {
                message: self.log.mask(&message),
            },
            LineError::Invalid { path, message } => LineError::Invalid {
                path: self.log.mask(&path),
                message: self.log.mask(&message),
            },
        }
    }

    async fn tell(&self, kind: AgentOutputKind) {
        let session = self.id.clone();
        // A host that no longer listens does not keep the agent from its work.
        let _ = self.outputs.send(AgentOutput { session, kind }).await;
    }
}
