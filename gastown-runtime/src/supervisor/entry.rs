//! What the supervisor knows of one agent.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, watch};

use super::{Phase, SessionContext, Sign};

/// What is known of one agent.
#[derive(Debug, Default)]
pub(super) struct Entry {
    /// Starts and stops take turns, in the order in which they came.
    turn: tokio::sync::Mutex<()>,
    state: Mutex<State>,
    /// Something of the state changed.
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    phase: Phase,
    /// The session that was last begun or stopped.
    session: Option<u64>,
    /// Something of that session may run although it failed.
    may_run: bool,
    /// What that session was begun with; none: not known.
    context: Option<SessionContext>,
    /// The latest session whose end was seen; it may be seen before its start returns.
    exited: Option<u64>,
    /// The latest session that was stopped for good.
    stopped: Option<u64>,
    /// Starts that are under way or wait for their turn.
    starts: Vec<Announced>,
    /// Numbers the starts.
    announced: u64,
}

#[derive(Debug)]
struct Announced {
    number: u64,
    session: u64,
    cancel: watch::Sender<bool>,
}

/// The right to start, until it is cancelled.
#[derive(Debug)]
pub(super) struct Ticket {
    entry: Arc<Entry>,
    number: u64,
    cancel: watch::Receiver<bool>,
}

impl Ticket {
    pub(super) fn is_cancelled(&self) -> bool {
        *self.cancel.borrow()
    }

    pub(super) async fn cancelled(&mut self) {
        // The sender lives as long as the ticket, so an error can't come; it would only mean that
        // nobody can cancel any more.
        if self.cancel.wait_for(|cancel| *cancel).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for Ticket {
    /// Drops the entry of this start, and of no other.
    fn drop(&mut self) {
        let number = self.number;
        self.entry
            .state()
            .starts
            .retain(|start| start.number != number);
        self.entry.changed.notify_waiters();
    }
}

impl Entry {
    /// Announces a start and cancels those before it; none if a later session was begun already.
    pub(super) fn announce(entry: &Arc<Self>, session: u64) -> Option<Ticket> {
        let mut state = entry.state();
        let announced = state.starts.iter().map(|start| start.session);
        if announced.chain(state.session).any(|other| other > session) {
            return None;
        }
        for start in &state.starts {
            start.cancel.send_replace(true);
        }
        state.announced = state.announced.saturating_add(1);
        let number = state.announced;
        let (cancel, receiver) = watch::channel(false);
        state.starts.push(Announced {
            number,
            session,
            cancel,
        });
        drop(state);
        Some(Ticket {
            entry: Arc::clone(entry),
            number,
            cancel: receiver,
        })
    }

    /// Cancels the starts of this session and earlier ones.
    pub(super) fn cancel_up_to(&self, session: u64) {
        for start in &self.state().starts {
            if start.session <= session {
                start.cancel.send_replace(true);
            }
        }
    }

    pub(super) async fn turn(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.turn.lock().await
    }

    pub(super) fn phase(&self) -> (Phase, Option<u64>) {
        let state = self.state();
        (state.phase, state.session)
    }

    pub(super) fn is_running(&self) -> bool {
        self.state().phase.is_running()
    }

    /// Whether the session is to run: it starts, runs, or may run.
    pub(super) fn is_to_run(&self, session: u64) -> bool {
        let state = self.state();
        state.starts(session) || state.may_be_running(session)
    }

    /// Whether a start of the session is under way or waits for its turn.
    pub(super) fn starts(&self, session: u64) -> bool {
        self.state().starts(session)
    }

    /// Whether the session may run with another context than this one.
    pub(super) fn is_outdated(&self, session: u64, context: &SessionContext) -> bool {
        let state = self.state();
        state.may_be_running(session) && state.context.as_ref() != Some(context)
    }

    /// Takes over a session that an earlier host started, unless anything is known of the agent.
    pub(super) fn adopt(&self, session: u64, context: Option<SessionContext>) {
        let mut state = self.state();
        if state.session.is_some() || !state.starts.is_empty() {
            return;
        }
        state.session = Some(session);
        state.may_run = true;
        state.context = context;
        state.become_phase(Phase::Starting);
        state.become_phase(Phase::Running);
    }

    /// Waits until no start is under way or waits for its turn.
    pub(super) async fn until_nothing_starts(&self) {
        self.until(|state| state.starts.is_empty()).await;
    }

    /// The latest session that was begun or stopped.
    pub(super) fn latest(&self) -> Option<u64> {
        self.state().session
    }

    /// The session of which something may run.
    pub(super) fn occupant(&self) -> Option<u64> {
        let state = self.state();
        state.session.filter(|_| !state.is_over())
    }

    /// Waits until nothing of the session runs or is under way.
    pub(super) async fn until_over(&self, session: u64) {
        self.until(|state| {
            let is_later = state.session.is_some_and(|latest| latest > session);
            is_later || (state.is_over() && state.starts.is_empty())
        })
        .await;
    }

    async fn until(&self, is_true: impl Fn(&State) -> bool) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            // From here on no change is missed.
            changed.as_mut().enable();
            if is_true(&self.state()) {
                return;
            }
            changed.await;
        }
    }

    /// Nothing runs and nothing is under way.
    pub(super) fn is_over(&self) -> bool {
        let state = self.state();
        state.is_over() && state.starts.is_empty()
    }

    pub(super) fn begin(&self, session: u64, context: SessionContext) {
        let mut state = self.state();
        state.session = Some(session);
        state.may_run = true;
        state.context = Some(context);
        // An aborted start of this same session has ended before.
        state.exited = state.exited.filter(|exited| *exited != session);
        state.become_phase(Phase::Starting);
    }

    /// Whether an end of the session was seen since it was begun.
    pub(super) fn exit_was_seen(&self, session: u64) -> bool {
        self.state().exited.is_some_and(|exited| exited >= session)
    }

    /// The session is not to run any more, whoever wanted it renewed.
    pub(super) fn stopped_for_good(&self, session: u64) {
        let mut state = self.state();
        state.stopped = state.stopped.max(Some(session));
    }

    pub(super) fn was_stopped(&self, session: u64) -> bool {
        let stopped = self.state().stopped;
        stopped.is_some_and(|stopped| stopped >= session)
    }

    pub(super) fn started(&self, runs: bool) {
        let phase = if runs { Phase::Running } else { Phase::Exited };
        self.state().become_phase(phase);
        self.changed.notify_waiters();
    }

    pub(super) fn failed(&self, may_run: bool) {
        let mut state = self.state();
        state.may_run = may_run;
        state.become_phase(Phase::Failed);
        drop(state);
        self.changed.notify_waiters();
    }

    pub(super) fn stopping(&self, session: u64) {
        let mut state = self.state();
        state.session = Some(session);
        state.become_phase(Phase::Stopping);
    }

    pub(super) fn stopped(&self) {
        let mut state = self.state();
        state.may_run = false;
        state.become_phase(Phase::Exited);
        drop(state);
        self.changed.notify_waiters();
    }

    pub(super) fn saw(&self, session: u64, sign: Sign) {
        let mut state = self.state();
        if sign == Sign::Exited {
            state.exited = state.exited.max(Some(session));
        }
        if state.session != Some(session) {
            return;
        }
        let lives = state.phase.is_running() || (state.phase == Phase::Failed && state.may_run);
        // A start or stop that is under way tells its own end.
        if !lives {
            return;
        }
        let to = match sign {
            Sign::Active => Phase::Running,
            Sign::Idle => Phase::Idle,
            Sign::Exited => Phase::Exited,
        };
        state.may_run = sign != Sign::Exited;
        if state.phase != to {
            state.become_phase(to);
        }
        drop(state);
        self.changed.notify_waiters();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn starts(&self, session: u64) -> bool {
        self.starts.iter().any(|start| start.session == session)
    }

    fn may_be_running(&self, session: u64) -> bool {
        self.session == Some(session) && !self.is_over() && self.phase != Phase::Stopping
    }

    fn is_over(&self) -> bool {
        match self.phase {
            Phase::Absent | Phase::Exited => true,
            Phase::Failed => !self.may_run,
            Phase::Starting | Phase::Running | Phase::Idle | Phase::Stopping => false,
        }
    }

    fn become_phase(&mut self, to: Phase) {
        if !self.phase.may_become(to) {
            // Tests fail on it; in a host it is worth a look, not the town.
            #[cfg(test)]
            assert_eq!((self.phase, to), (to, to), "not a legal transition");
            #[cfg(not(test))]
            tracing::error!(from = ?self.phase, ?to, "a session took a turn it must not take");
        }
        self.phase = to;
    }
}
