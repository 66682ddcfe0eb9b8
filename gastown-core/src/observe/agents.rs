//! What agents and their container say (spec 3.6, 4.1).

mod done;
mod exit;
mod mayor;

use alloc::format;
use alloc::string::{String, ToString};

use super::Outcome;
use crate::agent::{Agent, AgentStatus, Role};
use crate::bead::BeadStatus;
use crate::breaker::BreakerState;
use crate::effect::EffectKey;
use crate::event::{
    AgentGone, AgentStarted, AgentStopped, DispatchFailed, DispatchOutcome, EffectOutcome,
    Heartbeat,
};
use crate::ids::AgentId;
use crate::reason::{Reason, ReasonCode};
use crate::time::Timestamp;
use crate::town::Town;

/// Whether the latest session is known to have started. Of one whose dispatch is not recorded,
/// `reported` is only what an absent field means (spec 1.5).
fn was_heard_of(agent: &Agent) -> bool {
    agent.reported && agent.dispatched_at.is_some()
}

/// A result that carries a key is of the start that it names (spec 2.4).
fn is_of_this_start(key: Option<&EffectKey>, agent: &Agent) -> Result<(), String> {
    match key {
        Some(key) if key.subject != agent.id.as_str() || key.attempt != agent.session => {
            Err(format!("{key} is not the key of the current start"))
        }
        Some(_) | None => Ok(()),
    }
}

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
        key: Option<&EffectKey>,
        now: Timestamp,
    ) -> Outcome {
        let agent = self.agent_in_session(&event.agent_id, event.session)?;
        is_of_this_start(key, agent)?;
        if agent.reported {
            return Err("the session had reported already".to_string());
        }
        if !agent.status.is_running() {
            return Err("the agent is not meant to run".to_string());
        }
        self.note_reported(&event.agent_id);
        self.edit_agent(&event.agent_id, |agent| agent.last_activity_at = Some(now));
        self.see_container(event.container_instance.as_deref(), event.session, now);
        Ok("the session has started".to_string())
    }

    /// A heartbeat from another container instance than the known one ends a drain; one of the
    /// old container, or of any before it, never does (spec 2.2, 6.4). Without a drain, one that
    /// was retired is known again when it names the current session, or when none is known. Says
    /// whether it was another one.
    fn see_container(
        &mut self,
        instance: Option<&str>,
        session: Option<u64>,
        now: Timestamp,
    ) -> bool {
        let Some(instance) = instance else {
            return false;
        };
        let container = &self.state().container;
        let known = container.instance.is_some();
        if container.instance.as_deref() == Some(instance) {
            return false;
        }
        let is_back = !self.is_draining() && (session.is_some() || !known);
        if container.is_retired(instance) && !is_back {
            return false;
        }
        self.state_mut().container.replace_instance(Some(instance));
        if known && self.is_draining() {
            self.end_drain(now);
        }
        true
    }

    pub(super) fn heartbeat(&mut self, event: &Heartbeat, now: Timestamp) -> Outcome {
        let agent = self.agent_in_session(&event.agent_id, event.session)?;
        let why = if agent.status == AgentStatus::Dead {
            "the agent was given up"
        } else if agent.stop_asked == Some(agent.session) && !agent.status.is_running() {
            "the session was asked to stop"
        } else {
            self.heard_of(event, now);
            return Ok("the agent was heard of".to_string());
        };
        // Whatever becomes of the agent: a new container ends the drain (spec 2.2).
        let instance = event.container_instance.as_deref();
        match self.is_draining() && self.see_container(instance, event.session, now) {
            true => Ok(format!("{why}, and its container is a new one")),
            false => Err(why.to_string()),
        }
    }

    fn heard_of(&mut self, event: &Heartbeat, now: Timestamp) {
        let Some(agent) = self.agent(&event.agent_id) else {
            return;
        };
        let resumes = agent.status == AgentStatus::Idle && agent.hook.is_some();
        let hook = agent.hook.clone();
        self.note_reported(&event.agent_id);
        self.edit_agent(&event.agent_id, |agent| {
            agent.last_activity_at = Some(now);
            // A heartbeat that came late, or says nothing of it, takes nothing back. Nor can the agent's
            // word, or a clock that was ahead, put its last event into a time to come: no silence is one.
            let known = agent.last_event_at.filter(|known| *known <= now);
            match event.last_event_at.map(|at| at.min(now)) {
                Some(at) if known.is_none_or(|known| at >= known) => {
                    agent.last_event_type.clone_from(&event.last_event_type);
                    agent.last_event_at = Some(at);
                }
                None if event.last_event_type.is_some() => {
                    agent.last_event_type.clone_from(&event.last_event_type);
                }
                Some(_) | None => {}
            }
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
        self.see_container(event.container_instance.as_deref(), event.session, now);
    }

    pub(super) fn dispatch_failed(
        &mut self,
        event: &DispatchFailed,
        key: Option<&EffectKey>,
        now: Timestamp,
    ) -> Outcome {
        let agent = self.agent_in_session(&event.agent_id, event.session)?;
        is_of_this_start(key, agent)?;
        match event.outcome {
            DispatchOutcome::Unknown => {
                return Err("the agent may run; its heartbeat decides".to_string());
            }
            DispatchOutcome::Rejected if was_heard_of(agent) => {
                return Err("the session has reported".to_string());
            }
            DispatchOutcome::Rejected if agent.status != AgentStatus::Working => {
                return Err("the dispatch is no longer under way".to_string());
            }
            DispatchOutcome::Rejected => {}
        }
        if let Some(bead) = &event.bead_id
            && agent.hook.as_ref() != Some(bead)
        {
            return Err(format!("the agent is not on {bead} by now"));
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
        if key.is_some() && agent.stop_answered {
            return Err("the stop is answered already".to_string());
        }
        if key.is_some() {
            self.edit_agent(&event.agent_id, |agent| agent.stop_answered = true);
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
}

#[cfg(test)]
mod tests {
    use crate::testing::observed;

    const TOWN: &str = "
        rig r1
        agent a1 polecat working rig_id=r1 hook=b1 session=2 reported=false dispatch_attempts=3 dispatched_at=-10s last_activity_at=-10s
        bead b1 issue in_progress rig_id=r1 assignee=a1 dispatch_attempts=2 last_dispatch_attempt_at=-10s
    ";
    const REJECTED: &str = r#"{"type": "dispatch_failed", "agent_id": "a1", "session": 2, "bead_id": "b1", "reason": "full", "outcome": "rejected"}"#;

    #[test]
    fn agent_started_reports_and_resets_a_polecats_own_count() {
        let event = r#"{"type": "agent_started", "agent_id": "a1", "session": 2}"#;
        insta::assert_snapshot!(observed(TOWN, "0s", event), @r#"
        observed: the session has started
        a1.dispatch_attempts: 3 → 0
        a1.last_activity_at: "2026-04-04T11:59:50.000Z" → "2026-04-04T12:00:00.000Z"
        a1.reported: false → true
        "#);
        let refinery = TOWN.replace("polecat", "refinery");
        assert!(!observed(&refinery, "0s", event).contains("dispatch_attempts"));
        let older = event.replace("\"session\": 2", "\"session\": 1");
        assert!(observed(TOWN, "0s", &older).starts_with("ignored"));
    }

    #[test]
    fn heartbeat_that_is_the_first_reports() {
        let event = r#"{"type": "heartbeat", "agent_id": "a1", "last_event_type": "edit", "last_event_at": "2026-04-04T11:59:58Z", "active_tools": ["cargo"]}"#;
        insta::assert_snapshot!(observed(TOWN, "0s", event), @r#"
        observed: the agent was heard of
        a1.active_tools: [] → ["cargo"]
        a1.dispatch_attempts: 3 → 0
        a1.last_activity_at: "2026-04-04T11:59:50.000Z" → "2026-04-04T12:00:00.000Z"
        a1.last_event_at: - → "2026-04-04T11:59:58.000Z"
        a1.last_event_type: - → "edit"
        a1.reported: false → true
        "#);
    }

    #[test]
    fn heartbeat_that_is_late_or_says_nothing_takes_no_event_back() {
        let known = TOWN.replace(
            "session=2",
            "session=2 last_event_type=edit last_event_at=-5s",
        );
        for event in [
            r#"{"type": "heartbeat", "agent_id": "a1"}"#,
            r#"{"type": "heartbeat", "agent_id": "a1", "last_event_type": "old", "last_event_at": "2026-04-04T11:59:50Z"}"#,
        ] {
            assert!(!observed(&known, "0s", event).contains("last_event"));
        }
    }

    /// Spec 2.2: ages count from the time of observing; no agent's word puts its silence off.
    #[test]
    fn heartbeat_with_an_event_of_a_time_to_come_happened_now_at_the_latest() {
        let event = r#"{"type": "heartbeat", "agent_id": "a1", "last_event_type": "edit", "last_event_at": "9999-01-01T00:00:00Z"}"#;
        let told = observed(TOWN, "0s", event);
        assert!(
            told.contains(r#"last_event_at: - → "2026-04-04T12:00:00.000Z""#),
            "{told}"
        );
        let ahead = TOWN.replace(
            "session=2",
            "session=2 last_event_type=edit last_event_at=1d",
        );
        let sane = event.replace("9999-01-01T00:00:00Z", "2026-04-04T11:59:58Z");
        let told = observed(&ahead, "0s", &sane);
        assert!(told.contains(r#"→ "2026-04-04T11:59:58.000Z""#), "{told}");
    }

    #[test]
    fn heartbeat_with_a_word_and_no_time_says_what_it_does() {
        let event = r#"{"type": "heartbeat", "agent_id": "a1", "last_event_type": "edit"}"#;
        let known = TOWN.replace(
            "session=2",
            "session=2 last_event_type=read last_event_at=-5s",
        );
        let observed = observed(&known, "0s", event);
        assert!(observed.contains(r#"a1.last_event_type: "read" → "edit""#));
        assert!(!observed.contains("last_event_at"), "{observed}");
    }

    #[test]
    fn heartbeat_of_an_idle_agent_sets_the_hooked_to_work_and_leaves_the_unhooked() {
        let idle = TOWN
            .replace("working", "idle")
            .replace("in_progress", "open")
            .replace("reported=false ", "");
        let event = r#"{"type": "heartbeat", "agent_id": "a1", "session": 2}"#;
        insta::assert_snapshot!(observed(&idle, "0s", event), @r#"
        observed: the agent was heard of
        a1.last_activity_at: "2026-04-04T11:59:50.000Z" → "2026-04-04T12:00:00.000Z"
        a1.status: "idle" → "working"
        b1.status: "open" → "in_progress"
        b1.status_changed_at: - → "2026-04-04T12:00:00.000Z"
        b1.updated_at: "2026-03-05T12:00:00.000Z" → "2026-04-04T12:00:00.000Z"
        "#);
        insta::assert_snapshot!(observed(&idle.replace("hook=b1", ""), "0s", event), @r#"
        observed: the agent was heard of
        a1.last_activity_at: "2026-04-04T11:59:50.000Z" → "2026-04-04T12:00:00.000Z"
        "#);
    }

    #[test]
    fn dispatch_failed_rejected_frees_both_and_gives_the_attempt_back() {
        insta::assert_snapshot!(observed(TOWN, "0s", REJECTED), @r#"
        observed: the dispatch was refused
        a1.exited_at: - → "2026-04-04T12:00:00.000Z"
        a1.hook: "b1" → -
        a1.status: "working" → "idle"
        b1.assignee: "a1" → -
        b1.dispatch_attempts: 2 → 1
        b1.status: "in_progress" → "open"
        b1.status_changed_at: - → "2026-04-04T12:00:00.000Z"
        b1.updated_at: "2026-03-05T12:00:00.000Z" → "2026-04-04T12:00:00.000Z"
        town.breaker.failures: [] → [{"at":"2026-04-04T12:00:00.000Z","bead_id":"b1"}]
        town.breaker.in_a_row: 0 → 1
        "#);
    }

    #[test]
    fn dispatch_failed_rejected_of_a_dispatch_that_nothing_is_recorded_of() {
        let bare = TOWN
            .replace("reported=false ", "")
            .replace("dispatched_at=-10s", "");
        assert!(observed(&bare, "0s", REJECTED).starts_with("observed"));
        let reported = TOWN.replace("reported=false ", "");
        assert!(observed(&reported, "0s", REJECTED).starts_with("ignored"));
    }

    #[test]
    fn dispatch_failed_under_a_condition_is_no_failure_of_the_breaker() {
        let town = std::format!(
            r#"town conditions=[{{"kind":"credentials_missing","subject":{{"kind":"rig","id":"r1"}},"since":"2026-04-04T11:00:00Z"}}]
            {TOWN}"#
        );
        let observed = observed(&town, "0s", REJECTED);
        assert!(observed.contains("b1.dispatch_attempts: 2 → 1"));
        assert!(!observed.contains("breaker"), "{observed}");
    }

    #[test]
    fn dispatch_failed_of_a_start_before_a_drain_ended_is_no_failure_of_the_breaker() {
        for drain in [
            "drain.nonce=n drain.started_at=-5s",
            "container.drained_until=-9s",
        ] {
            let observed = observed(&std::format!("town {drain}\n{TOWN}"), "0s", REJECTED);
            assert!(observed.contains("b1.dispatch_attempts: 2 → 1"));
            assert!(!observed.contains("breaker"), "{observed}");
        }
        let after = std::format!("town container.drained_until=-10s\n{TOWN}");
        assert!(observed(&after, "0s", REJECTED).contains("town.breaker.in_a_row: 0 → 1"));
    }

    /// Spec 6.4: heartbeats of the old container, or of one before it, never end a drain.
    #[test]
    fn heartbeat_of_an_older_container_never_ends_a_drain() {
        let heartbeat = |instance: &str, session: &str| {
            std::format!(
                r#"{{"type": "heartbeat", "agent_id": "a1"{session}, "container_instance": "{instance}"}}"#
            )
        };
        let session = r#", "session": 2"#;
        let drained = std::format!(
            r#"town container.instance=i2 container.retired=["i1"] drain.nonce=n drain.started_at=-1s
            {TOWN}"#
        );
        for (instance, of) in [("i1", ""), ("i1", session), ("i2", ""), ("i2", session)] {
            let after = observed(&drained, "0s", &heartbeat(instance, of));
            assert!(!after.contains("town."), "{after}");
        }
        let replaced = observed(&drained, "0s", &heartbeat("i3", ""));
        assert!(
            replaced.contains(r#"town.container.instance: "i2" → "i3""#),
            "{replaced}"
        );
        assert!(
            replaced.contains(r#"town.container.retired: ["i1"] → ["i1","i2"]"#),
            "{replaced}"
        );
        assert!(replaced.contains("town.drain"), "{replaced}");
        // Without a drain, what is late changes nothing; an instance that has come back is known
        // by the current session.
        let calm = drained.replace("drain.nonce=n drain.started_at=-1s", "");
        assert!(!observed(&calm, "0s", &heartbeat("i1", "")).contains("town."));
        let back = observed(&calm, "0s", &heartbeat("i1", session));
        assert!(
            back.contains(r#"town.container.retired: ["i1"] → ["i2"]"#),
            "{back}"
        );
    }

    #[test]
    fn dispatch_failed_unknown_or_of_an_older_session_changes_nothing() {
        for event in [
            REJECTED.replace("rejected", "unknown"),
            REJECTED.replace("\"session\": 2", "\"session\": 1"),
        ] {
            assert!(
                observed(TOWN, "0s", &event).starts_with("ignored"),
                "{event}"
            );
        }
    }

    #[test]
    fn agent_gone_is_dead() {
        let event = r#"{"type": "agent_gone", "agent_id": "a1"}"#;
        insta::assert_snapshot!(observed(TOWN, "0s", event), @r#"
        observed: the agent is given up
        a1.exited_at: - → "2026-04-04T12:00:00.000Z"
        a1.status: "working" → "dead"
        "#);
    }

    /// A result is of the start that its key names (spec 2.4), and of the bead that it names.
    #[test]
    fn dispatch_failed_and_agent_started_of_another_start_or_bead_are_ignored() {
        let keyed = |event: &str, subject: &str, attempt: u64| {
            let key = std::format!(
                r#"{{"key": {{"subject": "{subject}", "kind": "start_agent", "attempt": {attempt}}}, "#
            );
            event.replacen('{', &key, 1)
        };
        let rejected = REJECTED.replace(r#""session": 2, "#, "");
        let started = r#"{"type": "agent_started", "agent_id": "a1"}"#;
        for event in [rejected.as_str(), started] {
            assert!(observed(TOWN, "0s", &keyed(event, "a1", 2)).starts_with("observed"));
            assert!(observed(TOWN, "0s", &keyed(event, "a1", 1)).starts_with("ignored"));
            assert!(observed(TOWN, "0s", &keyed(event, "a2", 2)).starts_with("ignored"));
        }
        let other = REJECTED.replace("b1", "b2");
        assert!(observed(TOWN, "0s", &other).starts_with("ignored"));
    }

    /// Whatever became of its agent, the new container is there (spec 2.2).
    #[test]
    fn heartbeat_of_a_stopped_session_in_a_new_container_ends_the_drain() {
        let stopped = TOWN
            .replace("polecat working", "polecat idle stop_asked=2")
            .replace("rig r1", "town drain.nonce=n drain.started_at=-1m container.instance=c1 container.retired=[\"c0\"]\nrig r1");
        let beat = |instance: &str| {
            let event = std::format!(
                r#"{{"type": "heartbeat", "agent_id": "a1", "session": 2, "container_instance": "{instance}"}}"#
            );
            observed(&stopped, "0s", &event)
        };
        assert!(
            beat("c2").contains("drain.nonce: \"n\" → -"),
            "{}",
            beat("c2")
        );
        assert!(!beat("c2").contains("a1."), "{}", beat("c2"));
        for old in ["c1", "c0"] {
            assert!(beat(old).starts_with("ignored"), "{}", beat(old));
        }
    }
}
