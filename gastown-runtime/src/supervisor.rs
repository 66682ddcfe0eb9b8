//! The session supervisor: one state machine per agent over any agent runtime (spec 6.3).
//!
//! ```text
//! absent -> starting -> running <-> idle -> stopping -> exited | failed
//! ```
//!
//! Starts and stops of one agent take turns; what has to overtake a start that is under way
//! cancels it first and then waits for its turn, that is until everything is cleaned up.

mod context;
mod entry;
mod outcome;
mod phase;
mod saving;
mod starting;

pub(crate) use self::context::SessionContext;
pub use self::outcome::{Sign, StartOutcome, StopOutcome, SupervisorSettings};
pub use self::phase::Phase;

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use gastown_core::events::ProcessStatus;
use gastown_core::{
    AgentId, AgentMessage, AgentRuntime, AgentRuntimeError, SessionId, StartRequest, TownId,
};
use tokio::time::timeout;

use self::entry::{Entry, Ticket};
use self::saving::Saves;
use self::starting::Purpose;

type Agents = Arc<Mutex<Known>>;

/// What is known of all agents.
#[derive(Default)]
struct Known {
    entries: BTreeMap<(TownId, AgentId), Arc<Entry>>,
    /// Towns in which nothing is started now (spec 6.4).
    held: BTreeSet<TownId>,
}

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
    saves: Arc<Saves>,
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
            saves: Arc::default(),
        }
    }

    /// Starts a session. One that runs is left alone; an earlier one of the agent is stopped
    /// first; a start of the agent that is under way is cancelled and waited for.
    ///
    /// In a town whose starts are held it is aborted at once.
    pub async fn start(&self, request: StartRequest) -> StartOutcome {
        self.start_as(request, Purpose::Run).await
    }

    /// Says what is missing before anything is dispatched.
    ///
    /// # Errors
    /// [`AgentRuntimeError::MissingTools`], or [`AgentRuntimeError::Unknown`] when it took too
    /// long.
    pub async fn preflight(&self) -> Result<(), AgentRuntimeError> {
        within(self.settings.deliver_deadline, self.runtime.preflight()).await
    }

    /// Stops a session that runs and starts it again as the same one, with what `request` says
    /// now; a start of it that is under way is cancelled. One that neither runs nor starts is left
    /// alone.
    pub async fn restart(&self, request: StartRequest) -> StartOutcome {
        let session = &request.session;
        let entry = self.known().entries.get(&key(session)).cloned();
        let Some(entry) = entry.filter(|entry| entry.is_to_run(session.session)) else {
            return StartOutcome::StartupAborted;
        };
        let purpose = match entry.starts(session.session) {
            true => Purpose::BeginAgain,
            false => Purpose::Renew,
        };
        drop(entry);
        self.start_as(request, purpose).await
    }

    /// Starts nothing more in a town, until [`Supervisor::release`]. Starts that are under way go
    /// on: a stop of their sessions finds them.
    pub fn hold(&self, town: &TownId) {
        self.known().held.insert(town.clone());
    }

    /// Ends [`Supervisor::hold`].
    pub fn release(&self, town: &TownId) {
        self.known().held.remove(town);
    }

    /// Cancels the starts of a town that are under way, and waits until what they made is undone;
    /// holds further ones meanwhile and from then on, as [`Supervisor::hold`].
    pub async fn withdraw_starts(&self, town: &TownId) {
        self.hold(town);
        let entries: Vec<_> = {
            let known = self.known();
            let of_town = known.entries.iter().filter(|((of, _), _)| of == town);
            let of_town = of_town.map(|(key, entry)| (key.clone(), Arc::clone(entry)));
            of_town.collect()
        };
        for (_, entry) in &entries {
            entry.cancel_up_to(u64::MAX);
        }
        // Each of them has its deadlines.
        for (key, entry) in entries {
            entry.until_nothing_starts().await;
            drop(entry);
            self.tidy(&key);
        }
    }

    /// The latest session of each agent of a town of which anything is known.
    pub(crate) fn sessions(&self, town: &TownId) -> Vec<SessionId> {
        let known = self.known();
        let of_town = known.entries.iter().filter(|((of, _), _)| of == town);
        let sessions = of_town.filter_map(|((town_id, agent_id), entry)| {
            Some(SessionId {
                town_id: town_id.clone(),
                agent_id: agent_id.clone(),
                session: entry.latest()?,
            })
        });
        sessions.collect()
    }

    /// Undoes every start of a town that is under way and stops every session, all at once; starts
    /// nothing more there, as [`Supervisor::hold`].
    pub async fn stop_all(&self, town: &TownId, reason: &str) {
        self.withdraw_starts(town).await;
        let mut stops = tokio::task::JoinSet::new();
        for session in self.sessions(town) {
            let (this, reason) = (self.clone(), reason.to_owned());
            stops.spawn(async move { this.stop(&session, &reason).await });
        }
        while stops.join_next().await.is_some() {}
    }

    /// Takes over a session that an earlier host started and that runs; nothing changes where
    /// anything is known of the agent. Without a context it is not known what it was started with.
    pub(crate) fn adopt(&self, session: &SessionId, context: Option<SessionContext>) {
        self.entry(session).adopt(session.session, context);
    }

    /// Whether a session may run with another context than this one.
    pub(crate) fn is_outdated(&self, session: &SessionId, context: &SessionContext) -> bool {
        let known = self.known();
        let entry = known.entries.get(&key(session));
        entry.is_some_and(|entry| entry.is_outdated(session.session, context))
    }

    /// Asks a session to bring its work to an end and to exit.
    ///
    /// # Errors
    /// [`AgentRuntimeError::NotRunning`], or [`AgentRuntimeError::Unknown`] also when it took too
    /// long.
    pub async fn wrap_up(
        &self,
        session: &SessionId,
        reason: &str,
    ) -> Result<(), AgentRuntimeError> {
        let asked = self.runtime.wrap_up(session, reason);
        within(self.settings.deliver_deadline, asked).await
    }

    /// Waits until a session has ended, for at most `wait`; returns whether it has.
    pub async fn ended_within(&self, session: &SessionId, wait: Duration) -> bool {
        let Some(entry) = self.known().entries.get(&key(session)).cloned() else {
            return true;
        };
        let ended = timeout(wait, entry.until_over(session.session)).await;
        drop(entry);
        self.tidy(&key(session));
        ended.is_ok()
    }

    /// Waits until a session that was asked to wrap up has ended, for as long as that may take.
    pub(crate) async fn ended_after_wrap_up(&self, session: &SessionId) -> bool {
        self.ended_within(session, self.settings.wrap_up_wait).await
    }

    /// The agents of a town of which something is kept.
    ///
    /// # Errors
    /// [`AgentRuntimeError::Unknown`]: it took too long.
    pub async fn kept(&self, town: &TownId) -> Result<Vec<AgentId>, AgentRuntimeError> {
        let kept = async { Ok(self.runtime.kept(town).await) };
        within(self.settings.deliver_deadline, kept).await
    }

    /// Removes what was kept of an agent that is gone for good.
    ///
    /// # Errors
    /// [`AgentRuntimeError::Unknown`]: some of it is still there.
    pub async fn forget(&self, town: &TownId, agent: &AgentId) -> Result<(), AgentRuntimeError> {
        let forget = self.runtime.forget(town, agent);
        within(self.settings.save_deadline, forget).await
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
                Some(_) | None => {
                    entry.stopped_for_good(session.session);
                    this.stop_up_to(&entry, &session, &reason).await
                }
            };
            drop(turn);
            drop(entry);
            this.tidy(&key(&session));
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

    /// What the runtime knows of the processes of many sessions, asked for side by side; they
    /// come in no particular order.
    pub(crate) async fn statuses(
        &self,
        sessions: Vec<SessionId>,
    ) -> Vec<(SessionId, ProcessStatus)> {
        let mut asked = tokio::task::JoinSet::new();
        for session in sessions {
            let this = self.clone();
            asked.spawn(async move {
                let status = this.status(&session).await;
                (session, status)
            });
        }
        let mut statuses = Vec::new();
        while let Some(answered) = asked.join_next().await {
            match answered {
                Ok(status) => statuses.push(status),
                Err(error) => tracing::error!(%error, "a question about a session was cut off"),
            }
        }
        statuses
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
        let entry = self.known().entries.get(&key(session)).cloned();
        if let Some(entry) = entry {
            entry.saw(session.session, sign);
            drop(entry);
            self.tidy(&key(session));
        }
    }

    /// Where an agent is in its life, and its latest session.
    #[must_use]
    pub fn phase(&self, town: &TownId, agent: &AgentId) -> (Phase, Option<u64>) {
        let known = self.known();
        let entry = known.entries.get(&(town.clone(), agent.clone()));
        entry.map_or((Phase::Absent, None), |entry| entry.phase())
    }

    /// Stops a session, and an earlier one that still runs: one that was never begun took over
    /// from nobody. The caller has the agent's turn.
    async fn stop_up_to(&self, entry: &Entry, session: &SessionId, reason: &str) -> StopOutcome {
        if let Some(occupant) = entry.occupant().filter(|older| *older < session.session) {
            let older = SessionId {
                session: occupant,
                ..session.clone()
            };
            let stopped = self.stop_now(entry, &older, reason).await;
            if stopped != StopOutcome::Stopped {
                return stopped;
            }
        }
        self.stop_now(entry, session, reason).await
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

    fn known(&self) -> MutexGuard<'_, Known> {
        self.agents.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn entry(&self, session: &SessionId) -> Arc<Entry> {
        let mut known = self.known();
        Arc::clone(known.entries.entry(key(session)).or_default())
    }

    /// Announces a start, unless the town's starts are held: in one step, so that whoever holds
    /// them finds every start that was announced before.
    fn announce(&self, session: &SessionId) -> Result<(Arc<Entry>, Ticket), StartOutcome> {
        let mut known = self.known();
        if known.held.contains(&session.town_id) {
            return Err(StartOutcome::StartupAborted);
        }
        let entry = Arc::clone(known.entries.entry(key(session)).or_default());
        match Entry::announce(&entry, session.session) {
            Some(ticket) => Ok((entry, ticket)),
            None => Err(StartOutcome::Rejected {
                reason: "a later session of this agent was started since".into(),
            }),
        }
    }

    /// Forgets an agent of which nothing runs and nothing is under way.
    fn tidy(&self, key: &(TownId, AgentId)) {
        let mut known = self.known();
        // Whoever works on an entry holds it; new holders come only through the map.
        let unused = |entry: &Arc<Entry>| Arc::strong_count(entry) == 1 && entry.is_over();
        if known.entries.get(key).is_some_and(unused) {
            known.entries.remove(key);
        }
    }
}

fn key(session: &SessionId) -> (TownId, AgentId) {
    (session.town_id.clone(), session.agent_id.clone())
}

/// Past its deadline an operation's outcome is unknown, never "failed" (spec 6.3).
async fn within<T>(
    deadline: Duration,
    operation: impl Future<Output = Result<T, AgentRuntimeError>>,
) -> Result<T, AgentRuntimeError> {
    timeout(deadline, operation).await.unwrap_or_else(|_| {
        Err(AgentRuntimeError::Unknown {
            reason: format!("no answer within {} s", deadline.as_secs()),
        })
    })
}

#[cfg(test)]
mod tests;
