//! The end of a session (spec 4.1).

use alloc::format;
use alloc::string::{String, ToString};

use crate::agent::{Agent, AgentStatus, Role};
use crate::bead::{Bead, BeadStatus};
use crate::command::limits::{BODY_BYTES_MAX, TEXT_BYTES_MAX};
use crate::event::{AgentExited, CONTAINER_EVICTION, ContainerStatus, ExitStatus, ProcessStatus};
use crate::ids::{AgentId, BeadId, cut_bytes};
use crate::observe::Outcome;
use crate::reason::{Reason, ReasonCode};
use crate::time::Timestamp;
use crate::town::Town;

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
        // Whatever came of its stop, it has ended.
        let stop_failed = agent.stop_retry_at.is_some();
        if stop_failed {
            self.edit_agent(&agent.id, |agent| agent.stop_retry_at = None);
        }
        let stopped = agent.stop_asked == Some(agent.session);
        let evicted = event.reason.as_deref() == Some(CONTAINER_EVICTION);
        // The container may have said first that the session is gone; what the exit says of the
        // bead is news all the same.
        let holds_on = agent.status == AgentStatus::Idle
            && agent.hook.is_some()
            && (evicted || (agent.role == Role::Polecat && !stopped));
        if !agent.status.is_running() && !holds_on {
            return match stop_failed {
                true => Ok("the session has ended after all".to_string()),
                false => Err(format!("the agent is {} already", agent.status.as_str())),
            };
        }
        self.set_agent_status(&agent.id, AgentStatus::Idle, now);
        let Some(hook) = agent.hook.clone() else {
            return Ok("the session has ended".to_string());
        };
        match agent.role {
            // Its `done` may still be under way, so its hook stays.
            Role::Refinery | Role::Mayor if !evicted => {}
            Role::Refinery | Role::Mayor | Role::Polecat if evicted => {
                self.evicted(&agent, &hook, event.note.as_deref(), now);
            }
            // A stop that was asked for changes no bead.
            Role::Polecat if stopped => self.unhook(&agent.id),
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
        let at_work =
            |bead: &Bead| matches!(bead.status, BeadStatus::Open | BeadStatus::InProgress);
        if !self.bead(hook).is_some_and(at_work) {
            return;
        }
        let reason = Reason::new(ReasonCode::Evicted, "the container was evicted");
        self.set_status(hook, BeadStatus::Open, &reason, "agent_exited", now);
        self.edit_bead(hook, |bead| {
            bead.assignee = None;
            bead.dispatch_attempts = bead.dispatch_attempts.saturating_sub(1);
            if let Some(note) = note
                && append_note(bead.body.get_or_insert_with(String::new), note)
            {
                bead.updated_at = now;
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
        let settings = self.settings(bead.rig_id.as_ref());
        let at_cap = settings.attempts_spent(bead.dispatch_attempts);
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
            // The pause is of this session, also where its container was the first to say that it is gone.
            self.edit_agent(agent, |agent| agent.exited_at = Some(now));
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
                now.since(self.judged_since(since)) > self.policy().start_grace
            }
        };
        if !gone {
            return Err("the session may not have come up yet".to_string());
        }
        self.set_agent_status(&event.agent_id, AgentStatus::Idle, now);
        Ok("the session has ended".to_string())
    }
}

/// Appends a note as far as a body may grow: an event can't be refused, and a bead that is evicted
/// again and again must not outgrow what a store takes. Says whether anything was appended.
pub(super) fn append_note(body: &mut String, note: &str) -> bool {
    let gap = if body.is_empty() { "" } else { "\n\n" };
    let room = BODY_BYTES_MAX.saturating_sub(body.len().saturating_add(gap.len()));
    let note = cut_bytes(note, room.min(TEXT_BYTES_MAX));
    if note.is_empty() {
        return false;
    }
    body.push_str(gap);
    body.push_str(note);
    true
}

#[cfg(test)]
mod tests {
    use super::{BODY_BYTES_MAX, String, TEXT_BYTES_MAX, append_note};
    use crate::testing::observed;

    const TOWN: &str = "
        rig r1
        agent a1 polecat working rig_id=r1 hook=b1 session=2 dispatched_at=-3m last_activity_at=-1s
        bead b1 issue in_progress rig_id=r1 assignee=a1 dispatch_attempts=2
    ";

    #[test]
    fn exit_of_a_polecat_that_failed_opens_its_bead() {
        insta::assert_snapshot!(observed(TOWN, "0s", r#"{"type": "agent_exited", "agent_id": "a1", "session": 2, "status": "failed"}"#), @r#"
        observed: the session has ended
        a1.exited_at: - → "2026-04-04T12:00:00.000Z"
        a1.hook: "b1" → -
        a1.status: "working" → "idle"
        b1.assignee: "a1" → -
        b1.last_dispatch_attempt_at: - → "2026-04-04T12:00:00.000Z"
        b1.status: "in_progress" → "open"
        b1.status_changed_at: - → "2026-04-04T12:00:00.000Z"
        b1.updated_at: "2026-03-05T12:00:00.000Z" → "2026-04-04T12:00:00.000Z"
        "#);
    }

    #[test]
    fn exit_of_a_polecat_that_failed_at_the_cap_fails_its_bead_and_tells() {
        let town = TOWN.replace("dispatch_attempts=2", "dispatch_attempts=5");
        insta::assert_snapshot!(observed(&town, "0s", r#"{"type": "agent_exited", "agent_id": "a1", "session": 2, "status": "failed"}"#), @r#"
        observed: the session has ended
        a1.exited_at: - → "2026-04-04T12:00:00.000Z"
        a1.hook: "b1" → -
        a1.status: "working" → "idle"
        b1.closed_at: - → "2026-04-04T12:00:00.000Z"
        b1.failure.code: - → "agent_failed"
        b1.failure.message: - → "agent a1 failed, and every attempt was made"
        b1.failure.source: - → "agent_exited"
        b1.status: "in_progress" → "failed"
        b1.status_changed_at: - → "2026-04-04T12:00:00.000Z"
        b1.told.agent_failed: - → "2026-04-04T12:00:00.000Z"
        b1.updated_at: "2026-03-05T12:00:00.000Z" → "2026-04-04T12:00:00.000Z"
        t1-e1.body: - → "agent a1 failed, and every attempt was made"
        t1-e1.created_at: - → "2026-04-04T12:00:00.000Z"
        t1-e1.created_by: - → "system"
        t1-e1.escalation.bead_id: - → "b1"
        t1-e1.escalation.category: - → "agent_failed"
        t1-e1.escalation.severity: - → "high"
        t1-e1.id: - → "t1-e1"
        t1-e1.labels: - → ["gt:escalation","severity:high"]
        t1-e1.priority: - → "high"
        t1-e1.rig_id: - → "r1"
        t1-e1.root: - → "b1"
        t1-e1.status: - → "open"
        t1-e1.status_changed_at: - → "2026-04-04T12:00:00.000Z"
        t1-e1.title: - → "agent failed: b1"
        t1-e1.type: - → "escalation"
        t1-e1.updated_at: - → "2026-04-04T12:00:00.000Z"
        town.sequence: 0 → 1
        "#);
    }

    #[test]
    fn exit_that_was_asked_for_changes_no_bead() {
        let town = TOWN.replace("session=2", "session=2 stop_asked=2");
        insta::assert_snapshot!(observed(&town, "0s", r#"{"type": "agent_exited", "agent_id": "a1", "session": 2, "status": "failed"}"#), @r#"
        observed: the session has ended
        a1.exited_at: - → "2026-04-04T12:00:00.000Z"
        a1.hook: "b1" → -
        a1.status: "working" → "idle"
        "#);
    }

    #[test]
    fn exit_of_a_refinery_keeps_its_hook() {
        let town = TOWN
            .replace("polecat", "refinery")
            .replace("issue", "merge_request");
        for status in ["completed", "failed"] {
            let event = std::format!(
                r#"{{"type": "agent_exited", "agent_id": "a1", "session": 2, "status": "{status}"}}"#
            );
            insta::allow_duplicates! {
                insta::assert_snapshot!(observed(&town, "0s", &event), @r#"
                observed: the session has ended
                a1.exited_at: - → "2026-04-04T12:00:00.000Z"
                a1.status: "working" → "idle"
                "#);
            }
        }
    }

    #[test]
    fn exit_by_eviction_leaves_a_bead_alone_that_has_ended() {
        let town = TOWN.replace("in_progress", "closed");
        insta::assert_snapshot!(observed(&town, "0s", r#"{"type": "agent_exited", "agent_id": "a1", "status": "failed", "reason": "container eviction", "note": "x"}"#), @r#"
        observed: the session has ended
        a1.exited_at: - → "2026-04-04T12:00:00.000Z"
        a1.hook: "b1" → -
        a1.status: "working" → "idle"
        "#);
    }

    #[test]
    fn exit_by_eviction_gives_the_attempt_back() {
        insta::assert_snapshot!(observed(TOWN, "0s", r#"{"type": "agent_exited", "agent_id": "a1", "session": 2, "status": "failed", "reason": "container eviction", "note": "resume branch x"}"#), @r#"
        observed: the session has ended
        a1.exited_at: - → "2026-04-04T12:00:00.000Z"
        a1.hook: "b1" → -
        a1.status: "working" → "idle"
        b1.assignee: "a1" → -
        b1.body: - → "resume branch x"
        b1.dispatch_attempts: 2 → 1
        b1.status: "in_progress" → "open"
        b1.status_changed_at: - → "2026-04-04T12:00:00.000Z"
        b1.updated_at: "2026-03-05T12:00:00.000Z" → "2026-04-04T12:00:00.000Z"
        "#);
    }

    #[test]
    fn notes_of_evictions_are_cut_where_a_body_may_not_grow_further() {
        let mut body = String::new();
        append_note(&mut body, &"é".repeat(TEXT_BYTES_MAX));
        assert_eq!(body.len(), TEXT_BYTES_MAX);
        for _ in 0..3 {
            append_note(&mut body, &"é".repeat(TEXT_BYTES_MAX));
        }
        assert_eq!(body.len(), BODY_BYTES_MAX);
    }

    /// The container may say first that the session is gone.
    #[test]
    fn exit_after_the_container_said_so_still_says_what_becomes_of_the_bead() {
        let town = TOWN.replace("polecat working", "polecat idle");
        let event = |fields: &str| {
            let event = std::format!(
                r#"{{"type": "agent_exited", "agent_id": "a1", "session": 2, "status": "failed"{fields}}}"#
            );
            observed(&town, "0s", &event)
        };
        insta::assert_snapshot!(event(""), @r#"
        observed: the session has ended
        a1.exited_at: - → "2026-04-04T12:00:00.000Z"
        a1.hook: "b1" → -
        b1.assignee: "a1" → -
        b1.last_dispatch_attempt_at: - → "2026-04-04T12:00:00.000Z"
        b1.status: "in_progress" → "open"
        b1.status_changed_at: - → "2026-04-04T12:00:00.000Z"
        b1.updated_at: "2026-03-05T12:00:00.000Z" → "2026-04-04T12:00:00.000Z"
        "#);
        let evicted = event(r#", "reason": "container eviction", "note": "resume branch x""#);
        assert!(evicted.contains("dispatch_attempts: 2 → 1"), "{evicted}");
        assert!(evicted.contains("resume branch x"), "{evicted}");
        let stopped = town.replace("session=2", "session=2 stop_asked=2");
        let event =
            r#"{"type": "agent_exited", "agent_id": "a1", "session": 2, "status": "failed"}"#;
        assert!(observed(&stopped, "0s", event).starts_with("ignored"));
    }

    #[test]
    fn exit_of_an_older_session_is_ignored() {
        assert!(
            observed(
                TOWN,
                "0s",
                r#"{"type": "agent_exited", "agent_id": "a1", "session": 1, "status": "failed"}"#
            )
            .starts_with("ignored")
        );
    }

    #[test]
    fn container_status_not_found_counts_after_the_start_grace_only() {
        let event = r#"{"type": "container_status", "agent_id": "a1", "status": "not_found"}"#;
        assert!(
            observed(TOWN, "0s", event).starts_with("ignored"),
            "at the threshold"
        );
        assert!(observed(TOWN, "1ms", event).contains(r#"a1.status: "working" → "idle""#));
        for (status, effect) in [
            ("running", "ignored"),
            ("unknown", "ignored"),
            ("exited", "observed"),
        ] {
            let event = std::format!(
                r#"{{"type": "container_status", "agent_id": "a1", "status": "{status}"}}"#
            );
            assert!(observed(TOWN, "0s", &event).starts_with(effect), "{status}");
        }
    }

    /// The note is new text, even where the status stays.
    #[test]
    fn exit_by_an_eviction_with_a_note_touches_an_open_bead() {
        let town = TOWN
            .replace("in_progress", "open")
            .replace("working", "idle");
        let exited = observed(
            &town,
            "0s",
            r#"{"type": "agent_exited", "agent_id": "a1", "session": 2, "status": "completed", "reason": "container eviction", "note": "saved"}"#,
        );
        assert!(exited.contains("b1.body: - → \"saved\""), "{exited}");
        assert!(exited.contains("b1.updated_at"), "{exited}");
    }

    /// What passed unseen is no age (spec 1.8).
    #[test]
    fn container_status_not_found_counts_from_the_end_of_a_gap() {
        let town = "rig r1\nagent a1 polecat working rig_id=r1 hook=b1 session=2 reported=false dispatched_at=-10m\nbead b1 issue in_progress rig_id=r1 assignee=a1";
        let event = r#"{"type": "container_status", "agent_id": "a1", "session": 2, "status": "not_found"}"#;
        assert!(observed(town, "0s", event).starts_with("observed"));
        let gap = std::format!("town judge_from=-10s\n{town}");
        assert!(observed(&gap, "0s", event).starts_with("ignored"));
    }
}
