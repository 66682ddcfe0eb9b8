//! One start, from its turn to its outcome.

use std::sync::Arc;

use gastown_core::events::ProcessStatus;
use gastown_core::{AgentRuntimeError, SessionId, StartRequest};

use super::entry::{Entry, Ticket};
use super::{SessionContext, StartOutcome, StopOutcome, Supervisor, key, within};

impl Supervisor {
    pub(super) async fn start_as(&self, request: StartRequest, purpose: Purpose) -> StartOutcome {
        let session = request.session.clone();
        let (entry, ticket) = match self.announce(&session) {
            Ok(announced) => announced,
            Err(outcome) => return outcome,
        };
        let this = self.clone();
        let run = tokio::spawn(async move {
            let outcome = this.run_start(&entry, ticket, request, purpose).await;
            drop(entry);
            this.tidy(&key(&session));
            outcome
        });
        run.await.unwrap_or_else(|error| StartOutcome::Unknown {
            reason: format!("the start was cut off: {error}"),
        })
    }

    async fn run_start(
        &self,
        entry: &Arc<Entry>,
        ticket: Ticket,
        request: StartRequest,
        purpose: Purpose,
    ) -> StartOutcome {
        let _turn = entry.turn().await;
        if ticket.is_cancelled() {
            return StartOutcome::StartupAborted;
        }
        let session = request.session.clone();
        let occupant = entry.occupant();
        let is_own = occupant == Some(session.session);
        let runs = entry.is_running() && is_own;
        match occupant {
            _ if is_own && purpose != Purpose::Run => {
                let reason = "its model session is renewed";
                if let StopOutcome::Unknown { reason } =
                    self.stop_now(entry, &session, reason).await
                {
                    return StartOutcome::Unknown { reason };
                }
            }
            // It ended or was stopped meanwhile: whoever saw or did that tells it.
            _ if purpose.is_void(entry, session.session) => return StartOutcome::StartupAborted,
            Some(_) if runs => return StartOutcome::AlreadyRunning,
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
        entry.begin(session.session, SessionContext::from(&request));
        let start = self.runtime.start(request);
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
}

/// What a start is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// The session is to run; one that runs is left alone.
    Run,
    /// The session that runs is to begin anew.
    Renew,
    /// A start of the session that is under way is to begin anew.
    BeginAgain,
}

impl Purpose {
    /// Whether there is nothing more to begin anew.
    fn is_void(self, entry: &Entry, session: u64) -> bool {
        match self {
            Self::Run => false,
            Self::Renew => entry.exit_was_seen(session) || entry.was_stopped(session),
            // What the start before made was undone, and ended by that.
            Self::BeginAgain => entry.was_stopped(session),
        }
    }
}
