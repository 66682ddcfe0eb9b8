//! What agents and their container say (spec 3.6, 4.1).

mod done;
mod exit;

use alloc::format;
use alloc::string::{String, ToString};

use super::Outcome;
use crate::agent::{Agent, AgentStatus, Role};
use crate::bead::BeadStatus;
use crate::breaker::BreakerState;
use crate::effect::EffectKey;
use crate::event::{
    AgentGone, AgentStarted, AgentStopped, DispatchFailed, DispatchOutcome, EffectOutcome,
    Heartbeat, MayorPrompted, MayorWaiting,
};
use crate::ids::AgentId;
use crate::reason::{Reason, ReasonCode};
use crate::time::Timestamp;
use crate::town::Town;

impl Town {
    /// The agent that an event is about, if the event is of its current session. An event
    /// without a session is taken as of the current one (spec 8.2).
    pub(super) fn agent_in_session(
        &self,
        id: &AgentId,
        session: Option<u64>,
    ) -> Result<&Agent, String> {
        let agent = self
            .agent(id)
            .ok_or_else(|| "the agent is gone".to_string())?;
        match session {
            Some(session) if session != agent.session => Err(format!(
                "session {session} is not the current one, {}",
                agent.session
            )),
            Some(_) | None => Ok(agent),
        }
    }

    /// The session of an agent reported: it was not a failed start, and its polecat's own
    /// attempts are forgotten (spec 3.6).
    pub(in crate::observe) fn note_reported(&mut self, id: &AgentId) {
        let Some(agent) = self.agent(id) else { return };
        if agent.reported {
            return;
        }
        let session = agent.session;
        let is_polecat = agent.role == Role::Polecat;
        self.edit_agent(id, |agent| {
            agent.reported = true;
            if is_polecat {
                agent.dispatch_attempts = 0;
                agent.told.remove(&ReasonCode::CrashLoop);
            }
        });
        let breaker = &mut self.state_mut().breaker;
        breaker.in_a_row = 0;
        let started = breaker.state == BreakerState::HalfOpen
            && breaker.probe.as_ref().is_some_and(|probe| {
                probe.agent_id.as_ref() == Some(id) && probe.session == Some(session)
            });
        if started {
            breaker.probe_started = true;
        }
    }

    pub(super) fn agent_started(
        &mut self,
        event: &AgentStarted,
        _key: Option<&EffectKey>,
        now: Timestamp,
    ) -> Outcome {
        let agent = self.agent_in_session(&event.agent_id, event.session)?;
        if agent.reported {
            return Err("the session had reported already".to_string());
        }
        if !agent.status.is_running() {
            return Err("the agent is not meant to run".to_string());
        }
        self.note_reported(&event.agent_id);
        self.edit_agent(&event.agent_id, |agent| agent.last_activity_at = Some(now));
        self.see_container(event.container_instance.as_deref(), now);
        Ok("the session has started".to_string())
    }

    /// A heartbeat from another container instance than the known one ends a drain; one of the
    /// old container never does (spec 2.2, 6.4).
    fn see_container(&mut self, instance: Option<&str>, now: Timestamp) {
        let Some(instance) = instance else { return };
        let known = self.state().container.instance.clone();
        if known.as_deref() == Some(instance) {
            return;
        }
        self.state_mut().container.instance = Some(instance.to_string());
        if known.is_some() && self.is_draining() {
            self.end_drain(now);
        }
    }

    pub(super) fn heartbeat(&mut self, event: &Heartbeat, now: Timestamp) -> Outcome {
        let agent = self.agent_in_session(&event.agent_id, event.session)?;
        if agent.status == AgentStatus::Dead {
            return Err("the agent was given up".to_string());
        }
        if agent.stop_asked == Some(agent.session) && !agent.status.is_running() {
            return Err("the session was asked to stop".to_string());
        }
        let resumes = agent.status == AgentStatus::Idle && agent.hook.is_some();
        let hook = agent.hook.clone();
        self.note_reported(&event.agent_id);
        self.edit_agent(&event.agent_id, |agent| {
            agent.last_activity_at = Some(now);
            agent.last_event_type.clone_from(&event.last_event_type);
            agent.last_event_at = event.last_event_at.max(agent.last_event_at);
            agent.active_tools.clone_from(&event.active_tools);
            if event.container_instance.is_some() {
                agent
                    .container_instance
                    .clone_from(&event.container_instance);
            }
        });
        if resumes {
            self.set_agent_status(&event.agent_id, AgentStatus::Working, now);
            if let Some(hook) = hook
                && self
                    .bead(&hook)
                    .is_some_and(|bead| bead.status == BeadStatus::Open)
            {
                let reason = Reason::new(ReasonCode::HeartbeatSeen, "its agent was seen at work");
                self.set_status(&hook, BeadStatus::InProgress, &reason, "heartbeat", now);
            }
        }
        self.see_container(event.container_instance.as_deref(), now);
        Ok("the agent was heard of".to_string())
    }

    pub(super) fn dispatch_failed(
        &mut self,
        event: &DispatchFailed,
        _key: Option<&EffectKey>,
        now: Timestamp,
    ) -> Outcome {
        let agent = self.agent_in_session(&event.agent_id, event.session)?;
        match event.outcome {
            DispatchOutcome::Unknown => {
                return Err("the agent may run; its heartbeat decides".to_string());
            }
            DispatchOutcome::Rejected if agent.reported => {
                return Err("the session has reported".to_string());
            }
            DispatchOutcome::Rejected if agent.status != AgentStatus::Working => {
                return Err("the dispatch is no longer under way".to_string());
            }
            DispatchOutcome::Rejected => {}
        }
        let hook = agent.hook.clone();
        self.record_start_failure(&event.agent_id, now);
        self.set_agent_status(&event.agent_id, AgentStatus::Idle, now);
        self.unhook(&event.agent_id);
        if let Some(hook) = hook
            && self
                .bead(&hook)
                .is_some_and(|bead| bead.status == BeadStatus::InProgress)
        {
            let reason = Reason::new(
                ReasonCode::DispatchRejected,
                format!("the dispatch was refused: {}", event.reason),
            );
            self.set_status(&hook, BeadStatus::Open, &reason, "dispatch_failed", now);
            self.edit_bead(&hook, |bead| bead.assignee = None);
        }
        Ok("the dispatch was refused".to_string())
    }

    pub(super) fn agent_gone(&mut self, event: &AgentGone, now: Timestamp) -> Outcome {
        let agent = self.agent_in_session(&event.agent_id, None)?;
        if agent.status == AgentStatus::Dead {
            return Err("the agent was given up already".to_string());
        }
        self.set_agent_status(&event.agent_id, AgentStatus::Dead, now);
        Ok("the agent is given up".to_string())
    }

    pub(super) fn agent_stopped(
        &mut self,
        event: &AgentStopped,
        key: Option<&EffectKey>,
        now: Timestamp,
    ) -> Outcome {
        let agent = self.agent_in_session(&event.agent_id, event.session)?;
        if key.is_some_and(|key| key.attempt != agent.stops) {
            return Err("the result of an older stop".to_string());
        }
        match event.outcome {
            None | Some(EffectOutcome::Done) => {
                self.edit_agent(&event.agent_id, |agent| agent.stop_retry_at = None);
                Ok("the session has ended".to_string())
            }
            Some(EffectOutcome::Failed | EffectOutcome::Unknown) => {
                let again = now.plus(self.policy().forge_backoff);
                self.edit_agent(&event.agent_id, |agent| agent.stop_retry_at = Some(again));
                Ok("the session may still run and is stopped again".to_string())
            }
        }
    }

    /// A stale `waiting` never overrides a newer prompt (spec 2.2).
    pub(super) fn mayor_waiting(&mut self, event: &MayorWaiting, now: Timestamp) -> Outcome {
        let agent = self.agent_in_session(&event.agent_id, None)?;
        if agent.role != Role::Mayor {
            return Err("the agent is no mayor".to_string());
        }
        if agent.prompted_at.is_some_and(|at| at >= event.sent_at) {
            return Err("the mayor was prompted since".to_string());
        }
        if agent.status != AgentStatus::Working {
            return Err(format!("the mayor is {}", agent.status.as_str()));
        }
        self.edit_agent(&event.agent_id, |agent| agent.last_activity_at = Some(now));
        self.set_agent_status(&event.agent_id, AgentStatus::Waiting, now);
        Ok("the mayor waits for a person".to_string())
    }

    pub(super) fn mayor_prompted(&mut self, event: &MayorPrompted, now: Timestamp) -> Outcome {
        let agent = self.agent_in_session(&event.agent_id, None)?;
        if agent.role != Role::Mayor {
            return Err("the agent is no mayor".to_string());
        }
        if agent.prompted_at.is_some_and(|at| at >= event.sent_at) {
            return Err("a newer prompt is known".to_string());
        }
        let wakes = matches!(agent.status, AgentStatus::Waiting | AgentStatus::Idle);
        self.edit_agent(&event.agent_id, |agent| {
            agent.prompted_at = Some(event.sent_at);
            agent.last_activity_at = Some(now);
        });
        if wakes {
            self.set_agent_status(&event.agent_id, AgentStatus::Working, now);
        }
        Ok("the mayor was prompted".to_string())
    }
}
