//! The session supervisor: one state machine per agent over any agent runtime (spec 6.3).
//!
//! ```text
//! absent -> starting -> running <-> idle -> stopping -> exited | failed
//! ```
//!
//! Starts and stops of one agent take turns; what has to overtake a start that is under way
//! cancels it first and then waits for its turn, that is until everything is cleaned up.

mod entry;
mod phase;

pub use self::phase::Phase;

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use gastown_core::events::ProcessStatus;
use gastown_core::{
    AgentId, AgentMessage, AgentRuntime, AgentRuntimeError, SessionId, StartRequest, TownId,
};
use tokio::time::timeout;

use self::entry::{Entry, Ticket};

/// What came of a start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StartOutcome {
    /// The session runs now.
    Started,
    /// The session ran already.
    AlreadyRunning,
    /// Another start or a stop overtook this one. No failure: the attempt is spent, nobody is to
    /// blame (spec 6.3).
    StartupAborted,
    /// Nothing was started, and nothing runs.
    Rejected {
        /// Why, for a person.
        reason: String,
    },
    /// Something may run: the start failed in an unclear way, or its deadline passed.
    Unknown {
        /// Why, for a person.
        reason: String,
    },
}

/// What came of a stop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StopOutcome {
    /// Nothing of the session runs.
    Stopped,
    /// Something may still run.
    Unknown {
        /// Why, for a person.
        reason: String,
    },
}

/// What was seen of a session from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sign {
    /// It does something.
    Active,
    /// It lives and does nothing.
    Idle,
    /// It ended.
    Exited,
}

/// How long things may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SupervisorSettings {
    /// How long a start may take before its outcome is unknown; a first start fetches the whole
    /// repository.
    pub start_deadline: Duration,
    /// How long a stop may take before its outcome is unknown; longer than the runtime asks,
    /// waits and kills.
    pub stop_deadline: Duration,
    /// How long the delivery of a message may take.
    pub deliver_deadline: Duration,
}

impl SupervisorSettings {
    /// Ten minutes to start, two to stop, ten seconds to deliver.
    #[must_use]
    pub fn usual() -> Self {
        Self {
            start_deadline: Duration::from_secs(10 * 60),
            stop_deadline: Duration::from_secs(2 * 60),
            deliver_deadline: Duration::from_secs(10),
        }
    }
}

type Agents = Arc<Mutex<BTreeMap<(TownId, AgentId), Arc<Entry>>>>;

/// Supervises the sessions of all agents.
///
/// # Guarantees
/// - At no moment do two sessions of one agent exist, if the runtime keeps its contract.
/// - A session that was created, in whatever race, is found and stopped: it is recorded before
///   anything can be cancelled.
/// - Dropping the future of a start or stop changes nothing: it goes on by itself.
///
/// # Assumptions
/// - It is used within a tokio runtime.
#[derive(Clone)]
pub struct Supervisor {
    runtime: Arc<dyn AgentRuntime>,
    settings: SupervisorSettings,
    agents: Agents,
}

impl std::fmt::Debug for Supervisor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Supervisor")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

impl Supervisor {
    /// A supervisor that knows of no session yet.
    #[must_use]
    pub fn new(runtime: Arc<dyn AgentRuntime>, settings: SupervisorSettings) -> Self {
        Self {
            runtime,
            settings,
            agents: Agents::default(),
        }
    }

    /// Starts a session. One that runs is left alone; an earlier one of the agent is stopped
    /// first; a start of the agent that is under way is cancelled and waited for.
    pub async fn start(&self, request: StartRequest) -> StartOutcome {
        let session = request.session.clone();
        let entry = self.entry(&session);
        let Some(ticket) = Entry::announce(&entry, session.session) else {
            return StartOutcome::Rejected {
                reason: "a later session of this agent was started since".into(),
            };
        };
        let this = self.clone();
        let run = tokio::spawn(async move {
            let outcome = this.run_start(&entry, ticket, request).await;
            drop(entry);
            this.tidy(&session);
            outcome
        });
        run.await.unwrap_or_else(|error| StartOutcome::Unknown {
            reason: format!("the start was cut off: {error}"),
        })
    }

    /// Stops a session; of one that has ended this is a no-op.
    pub async fn stop(&self, session: &SessionId, reason: &str) -> StopOutcome {
        let entry = self.entry(session);
        entry.cancel_up_to(session.session);
        let (this, session, reason) = (self.clone(), session.clone(), reason.to_owned());
        let run = tokio::spawn(async move {
            let turn = entry.turn().await;
            let outcome = match entry.latest() {
                // Before a later one began, this one was stopped.
                Some(latest) if latest > session.session => StopOutcome::Stopped,
                Some(_) | None => this.stop_now(&entry, &session, &reason).await,
            };
            drop(turn);
            drop(entry);
            this.tidy(&session);
            outcome
        });
        run.await.unwrap_or_else(|error| StopOutcome::Unknown {
            reason: format!("the stop was cut off: {error}"),
        })
    }

    /// Delivers a message to a running session.
    ///
    /// # Errors
    /// [`AgentRuntimeError::NotRunning`], or [`AgentRuntimeError::Unknown`] also when it took too
    /// long.
    pub async fn deliver(
        &self,
        session: &SessionId,
        message: AgentMessage,
    ) -> Result<(), AgentRuntimeError> {
        let deliver = self.runtime.deliver(session, message);
        within(self.settings.deliver_deadline, deliver).await
    }

    /// What the runtime knows of a session's process; unknown when it does not say in time.
    pub async fn status(&self, session: &SessionId) -> ProcessStatus {
        let status = self.runtime.status(session);
        timeout(self.settings.deliver_deadline, status)
            .await
            .unwrap_or(ProcessStatus::Unknown)
    }

    /// Takes note of what was seen of a session; of another one than the latest nothing is.
    ///
    /// The end of a session that was asked to stop is none of these: the stop tells it.
    pub fn saw(&self, session: &SessionId, sign: Sign) {
        let entry = {
            let agents = self.agents.lock().unwrap_or_else(PoisonError::into_inner);
            agents.get(&key(session)).cloned()
        };
        if let Some(entry) = entry {
            entry.saw(session.session, sign);
            drop(entry);
            self.tidy(session);
        }
    }

    /// Where an agent is in its life, and its latest session.
    #[must_use]
    pub fn phase(&self, town: &TownId, agent: &AgentId) -> (Phase, Option<u64>) {
        let agents = self.agents.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = agents.get(&(town.clone(), agent.clone()));
        entry.map_or((Phase::Absent, None), |entry| entry.phase())
    }

    async fn run_start(
        &self,
        entry: &Arc<Entry>,
        ticket: Ticket,
        request: StartRequest,
    ) -> StartOutcome {
        let _turn = entry.turn().await;
        if ticket.is_cancelled() {
            return StartOutcome::StartupAborted;
        }
        let session = request.session.clone();
        match entry.occupant() {
            Some(occupant) if occupant == session.session && entry.is_running() => {
                return StartOutcome::AlreadyRunning;
            }
            Some(occupant) if occupant != session.session => {
                let older = SessionId {
                    session: occupant,
                    ..session.clone()
                };
                let reason = "another session of this agent starts";
                if let StopOutcome::Unknown { reason } = self.stop_now(entry, &older, reason).await
                {
                    return StartOutcome::Rejected {
                        reason: format!("its session {occupant} could not be stopped: {reason}"),
                    };
                }
            }
            Some(_) | None => {}
        }
        if ticket.is_cancelled() {
            return StartOutcome::StartupAborted;
        }
        self.launch(entry, ticket, request).await
    }

    /// The start itself; nothing else of the agent runs.
    async fn launch(
        &self,
        entry: &Entry,
        mut ticket: Ticket,
        request: StartRequest,
    ) -> StartOutcome {
        let session = request.session.clone();
        // Recorded first: whatever is created from here on is found again.
        entry.begin(session.session);
        let runtime = &self.runtime;
        let start = async {
            runtime.preflight().await?;
            runtime.start(request).await
        };
        let result = tokio::select! {
            biased;
            () = ticket.cancelled() => None,
            result = within(self.settings.start_deadline, start) => Some(result),
        };
        let Some(result) = result.filter(|_| !ticket.is_cancelled()) else {
            self.stop_now(entry, &session, "its start was aborted")
                .await;
            return StartOutcome::StartupAborted;
        };
        match result {
            Ok(()) => {
                entry.started(self.may_run(entry, &session).await);
                StartOutcome::Started
            }
            Err(error @ AgentRuntimeError::Unknown { .. }) => {
                entry.failed(self.may_run(entry, &session).await);
                StartOutcome::Unknown {
                    reason: error.to_string(),
                }
            }
            Err(error) => {
                entry.failed(false);
                StartOutcome::Rejected {
                    reason: error.to_string(),
                }
            }
        }
    }

    /// Whether a session that was begun may run. An end that was seen meanwhile may be that of the
    /// process that an earlier start of this same session left: the runtime knows.
    async fn may_run(&self, entry: &Entry, session: &SessionId) -> bool {
        !entry.exit_was_seen(session.session)
            || match self.status(session).await {
                ProcessStatus::Running | ProcessStatus::Unknown => true,
                ProcessStatus::Exited | ProcessStatus::NotFound => false,
            }
    }

    /// Stops a session. The caller has the agent's turn.
    async fn stop_now(&self, entry: &Entry, session: &SessionId, reason: &str) -> StopOutcome {
        entry.stopping(session.session);
        let stop = self.runtime.stop(session, reason);
        match within(self.settings.stop_deadline, stop).await {
            // What does not run here has stopped.
            Ok(()) | Err(AgentRuntimeError::NotRunning) => {
                entry.stopped();
                StopOutcome::Stopped
            }
            Err(error) => {
                entry.failed(true);
                StopOutcome::Unknown {
                    reason: error.to_string(),
                }
            }
        }
    }

    fn entry(&self, session: &SessionId) -> Arc<Entry> {
        let mut agents = self.agents.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(agents.entry(key(session)).or_default())
    }

    /// Forgets an agent of which nothing runs and nothing is under way.
    fn tidy(&self, session: &SessionId) {
        let mut agents = self.agents.lock().unwrap_or_else(PoisonError::into_inner);
        let key = key(session);
        // Whoever works on an entry holds it; new holders come only through the map.
        let unused = |entry: &Arc<Entry>| Arc::strong_count(entry) == 1 && entry.is_over();
        if agents.get(&key).is_some_and(unused) {
            agents.remove(&key);
        }
    }
}

fn key(session: &SessionId) -> (TownId, AgentId) {
    (session.town_id.clone(), session.agent_id.clone())
}

/// Past its deadline an operation's outcome is unknown, never "failed" (spec 6.3).
async fn within(
    deadline: Duration,
    operation: impl Future<Output = Result<(), AgentRuntimeError>>,
) -> Result<(), AgentRuntimeError> {
    timeout(deadline, operation).await.unwrap_or_else(|_| {
        Err(AgentRuntimeError::Unknown {
            reason: format!("no answer within {} s", deadline.as_secs()),
        })
    })
}

#[cfg(test)]
mod tests;
