//! `resolve_triage`: the answer to a triage request (spec 3.8).

use alloc::format;
use alloc::string::String;

use serde_json::Map;

use super::check;
use super::data::{Escalate, Metadata, ResolveTriage};
use super::{Actor, CommandError, Did, Executed, Party};
use crate::agent::AgentStatus;
use crate::bead::BeadStatus;
use crate::escalation::Severity;
use crate::ids::{AgentId, BeadId, shown};
use crate::nudge::NudgePriority;
use crate::pass::triage_options;
use crate::reason::{Reason, ReasonCode};
use crate::town::Town;
use crate::work::{TriageRequest, Work};

/// What may be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Restart,
    RestartWithBackoff,
    CloseBead,
    ReassignBead,
    Nudge,
    EscalateToMayor,
    ProvideGuidance,
    Discard,
}

impl Answer {
    fn of(text: &str) -> Option<Self> {
        Some(match text {
            "RESTART" => Self::Restart,
            "RESTART_WITH_BACKOFF" => Self::RestartWithBackoff,
            "CLOSE_BEAD" => Self::CloseBead,
            "REASSIGN_BEAD" => Self::ReassignBead,
            "NUDGE" => Self::Nudge,
            "ESCALATE_TO_MAYOR" | "ESCALATE" => Self::EscalateToMayor,
            "PROVIDE_GUIDANCE" => Self::ProvideGuidance,
            "DISCARD" => Self::Discard,
            _ => return None,
        })
    }

    /// The word that is recorded.
    const fn as_str(self) -> &'static str {
        match self {
            Self::Restart => "RESTART",
            Self::RestartWithBackoff => "RESTART_WITH_BACKOFF",
            Self::CloseBead => "CLOSE_BEAD",
            Self::ReassignBead => "REASSIGN_BEAD",
            Self::Nudge => "NUDGE",
            Self::EscalateToMayor => "ESCALATE_TO_MAYOR",
            Self::ProvideGuidance => "PROVIDE_GUIDANCE",
            Self::Discard => "DISCARD",
        }
    }
}

/// The agent and the bead of *then*, which still belong together.
struct Case {
    agent: AgentId,
    bead: BeadId,
}

impl Town {
    pub(super) fn resolve_triage(&mut self, resolve: &ResolveTriage, actor: &Actor) -> Executed {
        let id = &resolve.request_id;
        if actor.party == Party::Person {
            self.bead_for("request_id", id, actor)?;
        } else if !self
            .agent(actor.agent()?)
            .is_some_and(|agent| self.is_on_triage(agent))
        {
            return Err(CommandError::forbidden(
                "triage requests are answered by the agent on the triage batch",
            ));
        }
        let bead = self
            .bead(id)
            .ok_or_else(|| CommandError::missing("request_id", "bead", id))?;
        let Some(Work::TriageRequest(request)) = bead.work() else {
            return Err(CommandError::invalid(
                "request_id",
                format!("\"{id}\" is no triage request"),
            ));
        };
        if !bead.is_live() {
            return Err(CommandError::conflict(
                "request_id",
                format!("\"{id}\" is resolved already"),
            ));
        }
        let Some(answer) = Answer::of(&resolve.action) else {
            return Err(CommandError::invalid(
                "action",
                format!(
                    "\"{}\" is unknown, expected one of {}",
                    shown(&resolve.action, 80),
                    triage_options().join(", ")
                ),
            ));
        };
        check::text("notes", &resolve.notes)?;
        let request = request.clone();
        let text = match self.case_of(&request) {
            Some(case) => self.answer(answer, &case, &request, &resolve.notes, actor)?,
            None if answer == Answer::EscalateToMayor && request.escalation_id.is_some() => {
                self.escalate_request(None, &request, &resolve.notes, actor)?
            }
            None => String::from("the agent is no longer on that bead; the request is closed"),
        };
        self.close_request(id, answer, &request, &resolve.notes, actor);
        Ok(Did::text(text))
    }

    /// The recorded agent and bead, if the agent still is on that bead in that session, and the
    /// bead is neither in review nor terminal.
    fn case_of(&self, request: &TriageRequest) -> Option<Case> {
        let agent = self.agent(request.agent_id.as_ref()?)?;
        let bead = self.bead(request.hooked_bead_id.as_ref()?)?;
        let same_session = request
            .session
            .is_none_or(|session| session == agent.session);
        let workable = matches!(bead.status, BeadStatus::Open | BeadStatus::InProgress);
        (agent.hook.as_ref() == Some(&bead.id) && same_session && workable).then(|| Case {
            agent: agent.id.clone(),
            bead: bead.id.clone(),
        })
    }

    fn answer(
        &mut self,
        answer: Answer,
        case: &Case,
        request: &TriageRequest,
        notes: &str,
        actor: &Actor,
    ) -> Result<String, CommandError> {
        Ok(match answer {
            Answer::Restart => self.restart(case, false, actor),
            Answer::RestartWithBackoff => self.restart(case, true, actor),
            Answer::CloseBead => self.fail_case(case, notes, actor),
            Answer::ReassignBead => self.reassign(case, notes, actor),
            Answer::Nudge => {
                self.say_to(&case.agent, notes, NudgePriority::Urgent, actor);
                format!("{} is nudged", case.agent)
            }
            Answer::ProvideGuidance => {
                let subject = String::from("Guidance from triage");
                self.deliver_mail(case.agent.clone(), subject, notes, actor)?;
                self.say_to(&case.agent, notes, NudgePriority::Normal, actor);
                format!("{} gets the guidance", case.agent)
            }
            Answer::EscalateToMayor => {
                self.escalate_request(Some(&case.bead), request, notes, actor)?
            }
            Answer::Discard => String::from("nothing is done"),
        })
    }

    /// The agent's session ends and its bead is dispatched anew: at once, or after its backoff.
    fn restart(&mut self, case: &Case, with_backoff: bool, actor: &Actor) -> String {
        let runs = self
            .agent(&case.agent)
            .is_some_and(|agent| agent.status.is_running());
        if runs {
            self.set_agent_status(&case.agent, AgentStatus::Idle, actor.now);
            // The session may still run: the stop goes out with the next pass.
            self.edit_agent(&case.agent, |agent| {
                agent.stop_asked = Some(agent.session);
                agent.stop_retry_at = Some(actor.now);
            });
        }
        self.edit_bead(&case.bead, |bead| {
            bead.last_dispatch_attempt_at = with_backoff.then_some(actor.now);
        });
        format!("{} starts again on {}", case.agent, case.bead)
    }

    /// The bead fails with the notes. A person's own answer tells that person nothing new.
    fn fail_case(&mut self, case: &Case, notes: &str, actor: &Actor) -> String {
        let (code, source) = (ReasonCode::ByCommand, "resolve_triage");
        if actor.party == Party::Person {
            let reason = Reason::new(code, notes);
            self.set_status(&case.bead, BeadStatus::Failed, &reason, source, actor.now);
        } else {
            self.fail_and_tell(&case.bead, code, notes, source, actor.now);
        }
        format!("{} has failed", case.bead)
    }

    fn reassign(&mut self, case: &Case, notes: &str, actor: &Actor) -> String {
        let Some(bead) = self.bead(&case.bead) else {
            return String::new();
        };
        let settings = self.settings(bead.rig_id.as_ref());
        let at_cap = settings.attempts_spent(bead.dispatch_attempts);
        self.unhook(&case.agent);
        if at_cap {
            let message = format!("every attempt was made; triage said: {notes}");
            let (code, source) = (ReasonCode::AttemptsExhausted, "resolve_triage");
            self.fail_and_tell(&case.bead, code, &message, source, actor.now);
            return format!("{} has failed: every attempt was made", case.bead);
        }
        let reason = Reason::new(ReasonCode::ByCommand, notes);
        self.set_status(
            &case.bead,
            BeadStatus::Open,
            &reason,
            "resolve_triage",
            actor.now,
        );
        self.edit_bead(&case.bead, |bead| bead.assignee = None);
        format!("{} is open for another agent", case.bead)
    }

    /// The request becomes an escalation for people, or raises the one that it came from.
    fn escalate_request(
        &mut self,
        about: Option<&BeadId>,
        request: &TriageRequest,
        notes: &str,
        actor: &Actor,
    ) -> Result<String, CommandError> {
        let linked = request
            .escalation_id
            .as_ref()
            .filter(|id| self.bead(id).is_some_and(|bead| bead.is_live()))
            .cloned();
        if let Some(id) = linked {
            self.add_to_escalation(&id, Severity::High, notes, actor)?;
            return Ok(format!("escalation {id} is raised"));
        }
        let escalate = Escalate {
            severity: Severity::High,
            message: notes.into(),
            category: Some(request.triage_type.as_str().into()),
            metadata: Metadata(Map::new()),
        };
        let id = self.new_escalation(&escalate, about, actor);
        Ok(format!("made escalation {id}"))
    }

    fn close_request(
        &mut self,
        id: &BeadId,
        answer: Answer,
        request: &TriageRequest,
        notes: &str,
        actor: &Actor,
    ) {
        self.edit_bead(id, |bead| {
            if let Some(Work::TriageRequest(request)) = bead.work_mut() {
                request.action = Some(answer.as_str().into());
                request.notes = Some(notes.into());
                request.resolver = Some(actor.name.clone());
            }
        });
        let message = format!("{} by {}", answer.as_str(), actor.name);
        let reason = Reason::new(ReasonCode::TriageResolved, message);
        let source = "resolve_triage";
        self.set_status(id, BeadStatus::Closed, &reason, source, actor.now);
        let linked = request.escalation_id.as_ref().filter(|id| {
            let escalation = self.bead(id).filter(|bead| bead.is_live());
            escalation
                .and_then(|bead| bead.escalation())
                .is_some_and(|escalation| escalation.severity <= Severity::Medium)
        });
        // High and critical close only by `acknowledge`.
        if let Some(linked) = linked.cloned() {
            self.set_status(&linked, BeadStatus::Closed, &reason, source, actor.now);
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::String;

    use crate::testing::executes;

    const TOWN: &str = r#"
        rig r1
        agent a1 polecat working rig_id=r1 hook=b1 session=2
        agent a2 polecat working rig_id=r1 hook=t1 session=1
        bead b1 issue in_progress rig_id=r1 assignee=a1 dispatch_attempts=2 last_dispatch_attempt_at=-1m
        bead t1 issue in_progress rig_id=r1 created_by=patrol labels=["gt:triage"]
        bead e1 escalation open escalation.severity=medium
        bead q1 issue open title="stuck agent" rig_id=r1 labels=["gt:triage-request"] metadata.triage_type=stuck_agent metadata.agent_id=a1 metadata.hooked_bead_id=b1 metadata.session=2 metadata.escalation_id=e1
    "#;

    fn resolve(town: &str, action: &str) -> String {
        executes(
            town,
            &alloc::format!(
                r#"{{"type": "resolve_triage", "caller": {{"kind": "agent", "id": "a2"}}, "request_id": "q1", "action": "{action}", "notes": "because"}}"#
            ),
        )
    }

    #[test]
    fn restart_stops_the_agent_and_clears_the_backoff() {
        insta::assert_snapshot!(resolve(TOWN, "RESTART"), @r#"
        resolve_triage []: a1 starts again on b1
          a1.exited_at: - → "2026-04-04T12:00:00.000Z"
          a1.status: "working" → "idle"
          a1.stop_asked: - → 2
          a1.stop_retry_at: - → "2026-04-04T12:00:00.000Z"
          b1.last_dispatch_attempt_at: "2026-04-04T11:59:00.000Z" → -
          e1.status: "open" → "closed"
          q1.metadata.action: - → "RESTART"
          q1.metadata.notes: - → "because"
          q1.metadata.resolver: - → "a2"
          q1.status: "open" → "closed"
        "#);
    }

    #[test]
    fn restart_with_backoff_starts_it_now() {
        assert!(resolve(TOWN, "RESTART_WITH_BACKOFF").contains(
            "b1.last_dispatch_attempt_at: \"2026-04-04T11:59:00.000Z\" → \"2026-04-04T12:00:00.000Z\""
        ));
    }

    #[test]
    fn close_bead_fails_it_with_the_notes() {
        insta::assert_snapshot!(resolve(TOWN, "CLOSE_BEAD"), @r#"
        resolve_triage []: b1 has failed
          b1.failure.code: - → "by_command"
          b1.failure.message: - → "because"
          b1.failure.source: - → "resolve_triage"
          b1.status: "in_progress" → "failed"
          b1.told.by_command: - → "2026-04-04T12:00:00.000Z"
          e1.status: "open" → "closed"
          q1.metadata.action: - → "CLOSE_BEAD"
          q1.metadata.notes: - → "because"
          q1.metadata.resolver: - → "a2"
          q1.status: "open" → "closed"
          t1-e1.body: - → "because"
          t1-e1.created_by: - → "system"
          t1-e1.escalation.category: - → "by_command"
          t1-e1.escalation.severity: - → "high"
          t1-e1.labels: - → ["gt:escalation","severity:high"]
          t1-e1.priority: - → "high"
          t1-e1.rig_id: - → "r1"
          t1-e1.root: - → "b1"
          t1-e1.status: - → "open"
          t1-e1.title: - → "by command: b1"
          t1-e1.type: - → "escalation"
        "#);
    }

    #[test]
    fn reassign_opens_the_bead_and_at_the_cap_fails_it() {
        insta::assert_snapshot!(resolve(TOWN, "REASSIGN_BEAD"), @r#"
        resolve_triage []: b1 is open for another agent
          a1.hook: "b1" → -
          b1.assignee: "a1" → -
          b1.status: "in_progress" → "open"
          e1.status: "open" → "closed"
          q1.metadata.action: - → "REASSIGN_BEAD"
          q1.metadata.notes: - → "because"
          q1.metadata.resolver: - → "a2"
          q1.status: "open" → "closed"
        "#);
        let at_cap = TOWN.replace("dispatch_attempts=2", "dispatch_attempts=5");
        assert!(
            resolve(&at_cap, "REASSIGN_BEAD").contains("b1.status: \"in_progress\" → \"failed\"")
        );
    }

    #[test]
    fn nudge_and_guidance_reach_the_agent() {
        insta::assert_snapshot!(resolve(TOWN, "NUDGE"), @r#"
        resolve_triage []: a1 is nudged
          e1.status: "open" → "closed"
          q1.metadata.action: - → "NUDGE"
          q1.metadata.notes: - → "because"
          q1.metadata.resolver: - → "a2"
          q1.status: "open" → "closed"
          t1-n1.agent_id: - → "a1"
          t1-n1.message: - → "because"
          t1-n1.mode: - → "immediate"
          t1-n1.priority: - → "urgent"
          t1-n1.tier: - → "message"
        "#);
        insta::assert_snapshot!(resolve(TOWN, "PROVIDE_GUIDANCE"), @r#"
        resolve_triage []: a1 gets the guidance
          e1.status: "open" → "closed"
          q1.metadata.action: - → "PROVIDE_GUIDANCE"
          q1.metadata.notes: - → "because"
          q1.metadata.resolver: - → "a2"
          q1.status: "open" → "closed"
          t1-n2.agent_id: - → "a1"
          t1-n2.message: - → "because"
          t1-n2.mode: - → "immediate"
          t1-n2.priority: - → "normal"
          t1-n2.tier: - → "message"
          t1-s1.body: - → "because"
          t1-s1.created_by: - → "a2"
          t1-s1.message.from: - → "a2"
          t1-s1.message.to: - → "a1"
          t1-s1.priority: - → "medium"
          t1-s1.status: - → "open"
          t1-s1.title: - → "Guidance from triage"
          t1-s1.type: - → "message"
        "#);
    }

    #[test]
    fn escalate_raises_the_escalation_that_it_came_from_or_makes_one() {
        insta::assert_snapshot!(resolve(TOWN, "ESCALATE"), @r#"
        resolve_triage []: escalation e1 is raised
          e1.body: - → "because"
          e1.escalation.severity: "medium" → "high"
          e1.labels: ["gt:escalation","severity:medium"] → ["gt:escalation","severity:high"]
          e1.priority: "medium" → "high"
          q1.metadata.action: - → "ESCALATE_TO_MAYOR"
          q1.metadata.notes: - → "because"
          q1.metadata.resolver: - → "a2"
          q1.status: "open" → "closed"
        "#);
        let alone = TOWN.replace("metadata.escalation_id=e1", "");
        insta::assert_snapshot!(resolve(&alone, "ESCALATE_TO_MAYOR"), @r#"
        resolve_triage []: made escalation t1-e1
          q1.metadata.action: - → "ESCALATE_TO_MAYOR"
          q1.metadata.notes: - → "because"
          q1.metadata.resolver: - → "a2"
          q1.status: "open" → "closed"
          t1-e1.body: - → "because"
          t1-e1.created_by: - → "a2"
          t1-e1.escalation.category: - → "stuck_agent"
          t1-e1.escalation.severity: - → "high"
          t1-e1.labels: - → ["gt:escalation","severity:high"]
          t1-e1.priority: - → "high"
          t1-e1.rig_id: - → "r1"
          t1-e1.root: - → "b1"
          t1-e1.status: - → "open"
          t1-e1.title: - → "stuck_agent: because"
          t1-e1.type: - → "escalation"
        "#);
    }

    #[test]
    fn discard_closes_the_request_and_a_mild_escalation() {
        insta::assert_snapshot!(resolve(TOWN, "DISCARD"), @r#"
        resolve_triage []: nothing is done
          e1.status: "open" → "closed"
          q1.metadata.action: - → "DISCARD"
          q1.metadata.notes: - → "because"
          q1.metadata.resolver: - → "a2"
          q1.status: "open" → "closed"
        "#);
        let grave = TOWN.replace("severity=medium", "severity=high");
        assert!(!resolve(&grave, "DISCARD").contains("e1.status"));
    }

    #[test]
    fn an_answer_that_comes_late_only_closes_the_request() {
        for late in [
            TOWN.replace("hook=b1 session=2", "hook=b1 session=3"),
            TOWN.replace("hook=b1", ""),
            TOWN.replace("bead b1 issue in_progress", "bead b1 issue in_review"),
        ] {
            let text = resolve(&late, "CLOSE_BEAD");
            assert!(text.contains("q1.status: \"open\" → \"closed\""), "{text}");
            assert!(!text.contains("b1."), "{text}");
        }
    }

    #[test]
    fn what_can_not_be_answered_is_refused() {
        insta::assert_snapshot!(executes(TOWN, r#"
            {"type": "resolve_triage", "caller": {"kind": "agent", "id": "a2"}, "request_id": "q1", "action": "SHRUG", "notes": "x"}
            {"type": "resolve_triage", "caller": {"kind": "agent", "id": "a1"}, "request_id": "q1", "action": "DISCARD", "notes": "x"}
            {"type": "resolve_triage", "caller": {"kind": "agent", "id": "a2"}, "request_id": "b1", "action": "DISCARD", "notes": "x"}
            {"type": "resolve_triage", "caller": {"kind": "user", "id": "ann"}, "request_id": "q1", "action": "DISCARD", "notes": ""}
            {"type": "resolve_triage", "caller": {"kind": "user", "id": "ann"}, "request_id": "q1", "action": "DISCARD", "notes": "fine"}
            {"type": "resolve_triage", "caller": {"kind": "user", "id": "ann"}, "request_id": "q1", "action": "DISCARD", "notes": "fine"}
        "#), @r#"
        refused Invalid: action: "SHRUG" is unknown, expected one of RESTART, RESTART_WITH_BACKOFF, CLOSE_BEAD, REASSIGN_BEAD, NUDGE, ESCALATE_TO_MAYOR, PROVIDE_GUIDANCE, DISCARD
        refused Forbidden: caller: triage requests are answered by the agent on the triage batch
        refused Invalid: request_id: "b1" is no triage request
        refused Invalid: notes: is empty
        resolve_triage []: nothing is done
          e1.status: "open" → "closed"
          q1.metadata.action: - → "DISCARD"
          q1.metadata.notes: - → "fine"
          q1.metadata.resolver: - → "ann"
          q1.status: "open" → "closed"
        refused Conflict: request_id: "q1" is resolved already
        "#);
    }
}
