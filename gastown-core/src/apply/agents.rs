//! Actions on agents, the breaker, the drain and conditions.

use alloc::vec::Vec;

use serde_json::json;

use super::{Applied, ApplyError, Performing};
use crate::action::{
    ClearCheckpoint, ClearCondition, CreateAgent, DeleteAgent, EndDrain, ExpireNudge, HookAgent,
    ProbeBreaker, ResetAttempts, SetCondition, TransitionAgent, TripBreaker, UnhookAgent,
};
use crate::agent::{Agent, AgentStatus};
use crate::bead::BeadStatus;
use crate::breaker::{BreakerState, Probe};
use crate::ids::{AgentId, BeadId};
use crate::reason::{Reason, ReasonCode};
use crate::time::Timestamp;

impl Performing<'_> {
    /// The agent, if it is there.
    pub(super) fn agent(&self, id: &AgentId) -> Result<&Agent, ApplyError> {
        self.town.agent(id).ok_or_else(|| self.missing(id))
    }

    pub(super) fn transition_agent(&mut self, action: &TransitionAgent) -> Applied {
        let agent = self.agent(&action.agent_id)?;
        if agent.status != action.from {
            return Err(self.stale(
                &action.agent_id,
                action.from.as_str(),
                agent.status.as_str(),
            ));
        }
        if !action.from.may_become(action.to) {
            return Err(self.stale(&action.agent_id, "a legal transition", action.to.as_str()));
        }
        if action.reason.code == ReasonCode::NeverReported {
            self.town.record_start_failure(&action.agent_id, self.now);
        }
        self.town
            .set_agent_status(&action.agent_id, action.to, self.now);
        Ok(Vec::new())
    }

    pub(super) fn create_agent(&mut self, action: &CreateAgent) -> Applied {
        if self.town.agent(&action.agent_id).is_some() {
            return Err(self.stale(&action.agent_id, "no such agent", "one"));
        }
        self.town.note_made(action.agent_id.as_str());
        self.town.insert_agent(Agent::new(
            action.agent_id.clone(),
            action.role,
            action.name.clone(),
            action.identity.clone(),
            action.rig_id.clone(),
            self.now,
        ));
        Ok(Vec::new())
    }

    pub(super) fn hook_agent(&mut self, action: &HookAgent) -> Applied {
        if let Some(hook) = self.agent(&action.agent_id)?.hook.clone() {
            return Err(self.stale(&action.agent_id, "no hook", hook));
        }
        if self.town.bead(&action.bead_id).is_none() {
            return Err(self.missing(&action.bead_id));
        }
        let now = self.now;
        self.town.edit_agent(&action.agent_id, |agent| {
            agent.hook = Some(action.bead_id.clone());
            agent.hooked_at = Some(now);
        });
        self.town
            .edit_bead(&action.bead_id, |bead| bead.updated_at = now);
        self.log(&action.bead_id, "hooked", json!({"agent": action.agent_id}));
        Ok(Vec::new())
    }

    pub(super) fn unhook_agent(&mut self, action: &UnhookAgent) -> Applied {
        let agent = self.agent(&action.agent_id)?;
        if agent.hook.as_ref() != Some(&action.bead_id) {
            let found = agent.hook.as_ref().map_or("none", BeadId::as_str);
            return Err(self.stale(&action.agent_id, &action.bead_id, found));
        }
        self.town.unhook(&action.agent_id);
        self.log(
            &action.bead_id,
            "unhooked",
            json!({"agent": action.agent_id, "reason": action.reason}),
        );
        Ok(Vec::new())
    }

    pub(super) fn clear_checkpoint(&mut self, action: &ClearCheckpoint) -> Applied {
        self.agent(&action.agent_id)?;
        self.town
            .edit_agent(&action.agent_id, |agent| agent.checkpoint = None);
        Ok(Vec::new())
    }

    pub(super) fn reset_attempts(&mut self, action: &ResetAttempts) -> Applied {
        self.agent(&action.agent_id)?;
        self.town.edit_agent(&action.agent_id, |agent| {
            agent.dispatch_attempts = 0;
            agent.told.remove(&ReasonCode::CrashLoop);
        });
        Ok(Vec::new())
    }

    pub(super) fn delete_agent(&mut self, action: &DeleteAgent) -> Applied {
        if let Some(hook) = self.agent(&action.agent_id)?.hook.clone() {
            return Err(self.stale(&action.agent_id, "no hook", hook));
        }
        self.town.delete_agent(&action.agent_id, self.now);
        Ok(Vec::new())
    }

    pub(super) fn expire_nudge(&mut self, action: &ExpireNudge) -> Applied {
        match self.town.remove_nudge(&action.nudge_id) {
            Some(_) => Ok(Vec::new()),
            None => Err(self.missing(&action.nudge_id)),
        }
    }

    fn breaker_may_become(&self, to: BreakerState) -> Result<(), ApplyError> {
        let from = self.town.state().breaker.state;
        if from.may_become(to) {
            return Ok(());
        }
        let legal = alloc::format!("a state that may become {to:?}");
        Err(self.stale("breaker", legal, alloc::format!("{from:?}")))
    }

    pub(super) fn trip_breaker(&mut self, _: &TripBreaker) -> Applied {
        self.breaker_may_become(BreakerState::Open)?;
        let now = self.now;
        let breaker = &mut self.town.state_mut().breaker;
        // A probe that came to nothing opens it again; its probes go on counting.
        if breaker.state == BreakerState::Closed {
            breaker.probes = 0;
            breaker.told_at = Some(now);
        }
        breaker.state = BreakerState::Open;
        breaker.opened_at = Some(now);
        breaker.probe = None;
        Ok(Vec::new())
    }

    pub(super) fn probe_breaker(&mut self, action: &ProbeBreaker) -> Applied {
        if self.town.bead(&action.bead_id).is_none() {
            return Err(self.missing(&action.bead_id));
        }
        self.breaker_may_become(BreakerState::HalfOpen)?;
        let now = self.now;
        let breaker = &mut self.town.state_mut().breaker;
        breaker.state = BreakerState::HalfOpen;
        breaker.probes = breaker.probes.saturating_add(1);
        breaker.probe_asked = false;
        breaker.probe_started = false;
        breaker.probe = Some(Probe {
            bead_id: action.bead_id.clone(),
            agent_id: None,
            session: None,
            at: now,
        });
        Ok(Vec::new())
    }

    pub(super) fn reset_breaker(&mut self) -> Applied {
        self.breaker_may_become(BreakerState::Closed)?;
        self.town.state_mut().breaker = crate::breaker::Breaker::default();
        Ok(Vec::new())
    }

    pub(super) fn end_drain(&mut self, _: &EndDrain) -> Applied {
        if !self.town.is_draining() {
            return Err(self.stale("drain", "a drain", "none"));
        }
        self.town.end_drain(self.now);
        Ok(Vec::new())
    }

    pub(super) fn set_condition(&mut self, action: &SetCondition) -> Applied {
        let now = self.now;
        self.town
            .edit_condition(action.kind, &action.subject, |condition| {
                condition.told_at = Some(now)
            })
            .map(|()| Vec::new())
            .ok_or_else(|| self.missing(action.kind.as_str()))
    }

    pub(super) fn clear_condition(&mut self, action: &ClearCondition) -> Applied {
        let Some(condition) = self.town.remove_condition(action.kind, &action.subject) else {
            return Err(self.missing(action.kind.as_str()));
        };
        if condition.holds() {
            self.town
                .attempts_go_on(action.kind, &action.subject, self.now);
        }
        Ok(Vec::new())
    }
}

impl crate::town::Town {
    /// Moves an agent to another status and stamps what that stamps.
    pub(crate) fn set_agent_status(&mut self, id: &AgentId, to: AgentStatus, now: Timestamp) {
        self.edit_agent(id, |agent| {
            if agent.status.is_running() && matches!(to, AgentStatus::Idle | AgentStatus::Dead) {
                agent.exited_at = Some(now);
                agent.active_tools.clear();
            }
            agent.stalled_at = (to == AgentStatus::Stalled).then_some(now);
            agent.status = to;
        });
    }

    /// Detaches an agent from its hook; leaves the bead's `updated_at` alone (spec 1.10).
    pub(crate) fn unhook(&mut self, id: &AgentId) {
        self.edit_agent(id, |agent| {
            agent.hook = None;
            agent.hooked_at = None;
        });
    }

    /// Removes an agent; beads lose it as assignee, and no status changes (spec 3.11) but that of
    /// mail that nobody can read any more.
    pub(crate) fn delete_agent(&mut self, id: &AgentId, now: Timestamp) {
        let assigned: Vec<BeadId> = self
            .beads()
            .filter(|bead| bead.assignee.as_ref() == Some(id))
            .map(|bead| bead.id.clone())
            .collect();
        for bead in assigned {
            self.edit_bead(&bead, |bead| bead.assignee = None);
        }
        let unread: Vec<BeadId> = self.unread_mail(id).map(|bead| bead.id.clone()).collect();
        let gone = Reason::new(ReasonCode::Retired, "its reader is gone; it was not read");
        for mail in unread {
            self.set_status(&mail, BeadStatus::Closed, &gone, "delete_agent", now);
        }
        let nudges: Vec<_> = self
            .nudges()
            .filter(|n| n.agent_id == *id)
            .map(|n| n.id.clone())
            .collect();
        for nudge in nudges {
            self.remove_nudge(&nudge);
        }
        self.remove_agent(id);
    }

    /// Ends a drain; silence during it means nothing (spec 1.8, 3.1).
    pub(crate) fn end_drain(&mut self, now: Timestamp) {
        let state = self.state_mut();
        state.drain = None;
        state.judge_from = Some(now);
        state.container.drained_until = Some(now);
    }

    /// A dispatch of the agent was rejected or never reported: a failure of the breaker, unless
    /// something else explains it; the bead gets its attempt back, the lineage does not (spec 3.6).
    pub(crate) fn record_start_failure(&mut self, agent_id: &AgentId, now: Timestamp) {
        let Some(agent) = self.agent(agent_id) else {
            return;
        };
        let session = agent.session;
        let explained = self.start_failure_is_explained(agent);
        let Some(bead_id) = agent.last_bead.clone().or_else(|| agent.hook.clone()) else {
            return;
        };
        let probe = self.state().breaker.probe.as_ref();
        let was_probe = probe.is_some_and(|probe| {
            probe.agent_id.as_ref() == Some(agent_id) && probe.session == Some(session)
        });
        if was_probe {
            let breaker = &mut self.state_mut().breaker;
            breaker.state = BreakerState::Open;
            breaker.opened_at = Some(now);
            breaker.probe = None;
            return;
        }
        self.edit_bead(&bead_id, |bead| {
            bead.dispatch_attempts = bead.dispatch_attempts.saturating_sub(1);
        });
        if !explained {
            let keep = self.policy().breaker_threshold.saturating_mul(2).max(1);
            let breaker = &mut self.state_mut().breaker;
            breaker.in_a_row = breaker.in_a_row.saturating_add(1);
            breaker
                .failures
                .push(crate::breaker::StartFailure { bead_id, at: now });
            let excess = breaker.failures.len().saturating_sub(keep as usize);
            breaker.failures.drain(..excess);
        }
    }

    /// Whether a condition or a drain explains that a start failed. One that was asked for before
    /// a drain ended was withdrawn, or went down with the old container: that says nothing of
    /// whether starts work.
    fn start_failure_is_explained(&self, agent: &Agent) -> bool {
        let rig = agent.rig_id.as_ref();
        let by_condition = self.conditions_around(rig).next().is_some();
        let drained_until = self.state().container.drained_until;
        by_condition
            || self.is_draining()
            || agent
                .dispatched_at
                .is_some_and(|at| Some(at) < drained_until)
    }
}
