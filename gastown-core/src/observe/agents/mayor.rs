//! The mayor: prompted by a person, and waiting for one (spec 2.2).

use alloc::format;
use alloc::string::{String, ToString};

use crate::agent::{AgentStatus, Role};
use crate::event::{MayorPrompted, MayorWaiting};
use crate::ids::AgentId;
use crate::observe::Outcome;
use crate::time::Timestamp;
use crate::town::Town;

impl Town {
    pub(in crate::observe) fn mayor_waiting(
        &mut self,
        event: &MayorWaiting,
        now: Timestamp,
    ) -> Outcome {
        let late = "the mayor was prompted since";
        let (status, _) = self.mayor_said(&event.agent_id, event.sent_at, late, now)?;
        match status {
            AgentStatus::Idle | AgentStatus::Working | AgentStatus::Stalled => {}
            AgentStatus::Waiting | AgentStatus::Dead => {
                return Err(format!("the mayor is {} already", status.as_str()));
            }
        }
        self.edit_agent(&event.agent_id, |agent| agent.last_activity_at = Some(now));
        self.set_agent_status(&event.agent_id, AgentStatus::Waiting, now);
        Ok("the mayor waits for a person".to_string())
    }

    pub(in crate::observe) fn mayor_prompted(
        &mut self,
        event: &MayorPrompted,
        now: Timestamp,
    ) -> Outcome {
        let late = "a newer prompt is known";
        let (status, sent_at) = self.mayor_said(&event.agent_id, event.sent_at, late, now)?;
        self.edit_agent(&event.agent_id, |agent| {
            agent.prompted_at = Some(sent_at);
            agent.last_activity_at = Some(now);
        });
        if matches!(status, AgentStatus::Waiting | AgentStatus::Idle) {
            self.set_agent_status(&event.agent_id, AgentStatus::Working, now);
        }
        Ok("the mayor was prompted".to_string())
    }

    /// The mayor's status, and when what is said of it was sent: now at the latest. What is as old as the
    /// last prompt is `late` (spec 2.2); a prompt of a time to come was sent by a clock that has been set
    /// back since.
    fn mayor_said(
        &self,
        id: &AgentId,
        sent_at: Timestamp,
        late: &str,
        now: Timestamp,
    ) -> Result<(AgentStatus, Timestamp), String> {
        let agent = self.agent_in_session(id, None)?;
        if agent.role != Role::Mayor {
            return Err("the agent is no mayor".to_string());
        }
        let sent_at = sent_at.min(now);
        let prompted_at = agent.prompted_at.filter(|at| *at <= now);
        match prompted_at.is_some_and(|at| at >= sent_at) {
            true => Err(late.to_string()),
            false => Ok((agent.status, sent_at)),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::observed;

    const WAITING: &str =
        r#"{"type": "mayor_waiting", "agent_id": "m1", "sent_at": "2026-04-04T11:59:00Z"}"#;
    const PROMPTED: &str =
        r#"{"type": "mayor_prompted", "agent_id": "m1", "sent_at": "2026-04-04T11:59:00Z"}"#;

    #[test]
    fn mayor_prompted_in_a_time_to_come_was_prompted_now_at_the_latest() {
        let mayor = "agent a1 mayor working prompted_at=1d";
        let prompted = |at: &str| {
            std::format!(r#"{{"type": "mayor_prompted", "agent_id": "a1", "sent_at": "{at}"}}"#)
        };
        let told = observed(mayor, "0s", &prompted("2026-04-05T13:00:00Z"));
        assert!(told.contains(r#"→ "2026-04-04T12:00:00.000Z""#), "{told}");
        let waits =
            r#"{"type": "mayor_waiting", "agent_id": "a1", "sent_at": "2026-04-04T11:59:59Z"}"#;
        assert!(observed(mayor, "0s", waits).starts_with("observed"));
        let known = mayor.replace("=1d", "=-1s");
        assert!(observed(&known, "0s", waits).starts_with("ignored"));
    }

    #[test]
    fn mayor_waiting_is_alive_unless_it_was_given_up() {
        insta::assert_snapshot!(observed("agent m1 mayor working", "0s", WAITING), @r#"
        observed: the mayor waits for a person
        m1.last_activity_at: - → "2026-04-04T12:00:00.000Z"
        m1.status: "working" → "waiting"
        "#);
        for (agent, effect) in [
            ("mayor idle", "observed"),
            ("mayor stalled", "observed"),
            ("mayor dead", "ignored"),
            ("mayor waiting", "ignored"),
            ("polecat working", "ignored"),
            // A stale one never overrides a newer prompt.
            ("mayor working prompted_at=-59s", "ignored"),
            ("mayor working prompted_at=-61s", "observed"),
        ] {
            let outcome = observed(&std::format!("agent m1 {agent}"), "0s", WAITING);
            assert!(outcome.starts_with(effect), "{agent}: {outcome}");
        }
    }

    #[test]
    fn mayor_prompted_goes_to_work() {
        insta::assert_snapshot!(observed("agent m1 mayor waiting", "0s", PROMPTED), @r#"
        observed: the mayor was prompted
        m1.last_activity_at: - → "2026-04-04T12:00:00.000Z"
        m1.prompted_at: - → "2026-04-04T11:59:00.000Z"
        m1.status: "waiting" → "working"
        "#);
        let newer = observed("agent m1 mayor waiting prompted_at=-1s", "0s", PROMPTED);
        assert!(newer.starts_with("ignored"), "{newer}");
    }
}
