//! What the supervisor knows of one agent.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, watch};

use super::{Phase, Sign};

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
    /// The latest session whose end was seen; it may be seen before its start returns.
    exited: Option<u64>,
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

    /// Whether the session runs or is about to.
    pub(super) fn is_about(&self, session: u64) -> bool {
        let state = self.state();
        let starts = state.starts.iter().any(|start| start.session == session);
        starts || (state.phase.is_running() && state.session == Some(session))
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
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            // From here on no change is missed.
            changed.as_mut().enable();
            let is_over = {
                let state = self.state();
                let is_later = state.session.is_some_and(|latest| latest > session);
                is_later || (state.is_over() && state.starts.is_empty())
            };
            if is_over {
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

    pub(super) fn begin(&self, session: u64) {
        let mut state = self.state();
        state.session = Some(session);
        state.may_run = true;
        // An aborted start of this same session has ended before.
        state.exited = state.exited.filter(|exited| *exited != session);
        state.become_phase(Phase::Starting);
    }

    /// Whether an end of the session was seen since it was begun.
    pub(super) fn exit_was_seen(&self, session: u64) -> bool {
        self.state().exited.is_some_and(|exited| exited >= session)
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
