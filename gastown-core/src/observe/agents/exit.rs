//! The end of a session (spec 4.1).

use alloc::format;
use alloc::string::{String, ToString};

use crate::agent::{Agent, AgentStatus, Role};
use crate::bead::BeadStatus;
use crate::event::{AgentExited, ContainerStatus, ExitStatus, ProcessStatus};
use crate::ids::{AgentId, BeadId};
use crate::observe::Outcome;
use crate::reason::{Reason, ReasonCode};
use crate::time::Timestamp;
use crate::town::Town;

/// The reason of an exit whose work was saved because the container is being evicted (spec 6.4).
const EVICTION: &str = "container eviction";

impl Town {
    pub(in crate::observe) fn agent_exited(
        &mut self,
        event: &AgentExited,
        now: Timestamp,
    ) -> Outcome {
        let agent = self
            .agent_in_session(&event.agent_id, event.session)?
            .clone();
        if event.bead_id.is_some() && agent.hook.is_some() && event.bead_id != agent.hook {
            return Err("the agent is on another bead by now".to_string());
        }
        if !agent.status.is_running() {
            return Err(format!("the agent is {} already", agent.status.as_str()));
        }
        self.set_agent_status(&agent.id, AgentStatus::Idle, now);
        let stopped = agent.stop_asked == Some(agent.session);
        let evicted = event.reason.as_deref() == Some(EVICTION);
        let Some(hook) = agent.hook.clone() else {
            return Ok("the session has ended".to_string());
        };
        match agent.role {
            // Its `done` may still be under way, so its hook stays.
            Role::Refinery | Role::Mayor if !evicted => {}
            Role::Refinery | Role::Mayor | Role::Polecat if evicted => {
                self.evicted(&agent, &hook, event.note.as_deref(), now);
            }
            Role::Polecat if stopped => {}
            Role::Refinery | Role::Mayor | Role::Polecat => {
                self.unhook(&agent.id);
                self.polecat_left(&agent.id, &hook, event.status, now);
            }
        }
        Ok("the session has ended".to_string())
    }

    /// The worktree was saved: the bead is open again and gets its attempt back.
    fn evicted(&mut self, agent: &Agent, hook: &BeadId, note: Option<&str>, now: Timestamp) {
        self.unhook(&agent.id);
        let reason = Reason::new(ReasonCode::Evicted, "the container was evicted");
        self.set_status(hook, BeadStatus::Open, &reason, "agent_exited", now);
        self.edit_bead(hook, |bead| {
            bead.assignee = None;
            bead.dispatch_attempts = bead.dispatch_attempts.saturating_sub(1);
            if let Some(note) = note {
                let body = bead.body.get_or_insert_with(String::new);
                if !body.is_empty() {
                    body.push_str("\n\n");
                }
                body.push_str(note);
            }
        });
    }

    /// A polecat's session ended by itself although its bead is in progress.
    fn polecat_left(&mut self, agent: &AgentId, hook: &BeadId, status: ExitStatus, now: Timestamp) {
        let Some(bead) = self
            .bead(hook)
            .filter(|bead| bead.status == BeadStatus::InProgress)
        else {
            return;
        };
        let cap = self.settings(bead.rig_id.as_ref()).max_dispatch_attempts;
        let at_cap = bead.dispatch_attempts >= cap;
        if status == ExitStatus::Failed && at_cap {
            let message = format!("agent {agent} failed, and every attempt was made");
            self.fail_and_tell(hook, ReasonCode::AgentFailed, &message, "agent_exited", now);
        } else {
            let text = match status {
                ExitStatus::Failed => "its agent failed",
                ExitStatus::Completed => "its agent ended without saying done",
            };
            let reason = Reason::new(ReasonCode::AgentExited, text);
            self.set_status(hook, BeadStatus::Open, &reason, "agent_exited", now);
            self.edit_bead(hook, |bead| {
                bead.assignee = None;
                bead.last_dispatch_attempt_at = Some(now);
            });
        }
    }

    pub(in crate::observe) fn container_status(
        &mut self,
        event: &ContainerStatus,
        now: Timestamp,
    ) -> Outcome {
        let agent = self.agent_in_session(&event.agent_id, event.session)?;
        if !agent.status.is_running() {
            return Err(format!("the agent is {} already", agent.status.as_str()));
        }
        let gone = match event.status {
            ProcessStatus::Running | ProcessStatus::Unknown => {
                return Err("this says nothing new".to_string());
            }
            ProcessStatus::Exited => true,
            // Right after a dispatch the container may not know it yet.
            ProcessStatus::NotFound => {
                let since = agent.dispatched_at.unwrap_or(agent.created_at);
                now.since(since) > self.policy().start_grace
            }
        };
        if !gone {
            return Err("the session may not have come up yet".to_string());
        }
        self.set_agent_status(&event.agent_id, AgentStatus::Idle, now);
        Ok("the session has ended".to_string())
    }
}
