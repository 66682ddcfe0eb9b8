//! Facts: what observing an event changes, or why it changes nothing (spec 2.2).

mod agents;
mod effects;
mod review;
mod town;

use alloc::string::{String, ToString};

use crate::event::{Event, EventKind, Observed};
use crate::time::Timestamp;
use crate::town::{Cause, Town};

/// Who says so: the agent that speaks for itself, else the host that saw it.
fn reporter(event: &EventKind) -> String {
    if let EventKind::AgentDone(done) = event {
        done.agent_id.to_string()
    } else if let EventKind::MayorWaiting(waiting) = event {
        waiting.agent_id.to_string()
    } else {
        "host".into()
    }
}

/// What an event changed, or why it changed nothing; both for a person.
pub(crate) type Outcome = Result<String, String>;

impl Town {
    /// Takes note of a fact. Never refuses: an event that is late, twice, or about something that
    /// is gone is ignored with a reason, so that it can't block the queue (spec 2.2).
    pub fn observe(&mut self, event: &Event, now: Timestamp) -> Observed {
        let unquoted = self.unquoted_event(event);
        self.observe_unquoted(unquoted.as_ref().unwrap_or(event), now)
    }

    /// As [`Self::observe`], of an event that quotes no secret.
    pub(crate) fn observe_unquoted(&mut self, event: &Event, now: Timestamp) -> Observed {
        let outcome = if self.first_seen(&event.id) {
            self.take_note(event, now)
        } else {
            Err("this event was observed before".to_string())
        };
        self.end_unit(&Cause {
            by: reporter(&event.kind),
            kind: "event",
            name: event.kind.type_name().into(),
            at: now,
        });
        let (changed, why) = match outcome {
            Ok(what) => (true, what),
            Err(why) => (false, why),
        };
        Observed {
            id: event.id.clone(),
            changed,
            why,
        }
    }

    fn take_note(&mut self, event: &Event, now: Timestamp) -> Outcome {
        use EventKind as E;
        let key = event.key.as_ref();
        match &event.kind {
            E::AgentStarted(e) => self.agent_started(e, key, now),
            E::DispatchFailed(e) => self.dispatch_failed(e, key, now),
            E::Heartbeat(e) => self.heartbeat(e, now),
            E::AgentExited(e) => self.agent_exited(e, now),
            E::AgentDone(e) => self.agent_done(e, now),
            E::ContainerStatus(e) => self.container_status(e, now),
            E::AgentGone(e) => self.agent_gone(e, now),
            E::AgentStopped(e) => self.agent_stopped(e, key, now),
            E::MayorWaiting(e) => self.mayor_waiting(e, now),
            E::MayorPrompted(e) => self.mayor_prompted(e, now),
            E::ObservationGap(e) => self.observation_gap(e, now),
            E::ContainerEviction(e) => self.container_eviction(e, now),
            E::ContainerReady(e) => self.container_ready(e, now),
            E::PrObserved(e) => self.pr_observed(e, event.at, key, now),
            E::MergeAttempted(e) => self.merge_attempted(e, event.at, key, now),
            E::MergeVerified(e) => self.merge_verified(e, key, now),
            E::Webhook(e) => self.webhook(e),
            E::BranchCreated(e) => self.branch_created(e, key, now),
            E::Notified(e) => self.notified(e, key, now),
            E::NudgeDelivered(e) => self.nudge_delivered(e, key, now),
            E::TokenRefreshed(e) => self.token_refreshed(e, key, now),
        }
    }
}
