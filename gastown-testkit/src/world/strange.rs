//! What no honest sender sends (P12): extreme times and numbers, long lists, names of nobody.

use gastown_core::Event;
use serde_json::{Value, json};

use super::{World, choose};

/// Times at and beyond what a clock may show.
const TIMES: &[&str] = &[
    "0001-01-01T00:00:00Z",
    "1969-12-31T23:59:59.999Z",
    "9999-12-31T23:59:59.999Z",
    "2026-04-04T12:00:00.000+14:00",
];

impl World {
    pub(super) fn strange(&mut self, which: u8, what: u8) {
        let time = choose(TIMES, what).copied().unwrap_or("");
        let agents: Vec<_> = self.town.agents().cloned().collect();
        let agent = choose(&agents, which);
        let agent_id = agent
            .map_or("nobody", |agent| agent.id.as_str())
            .to_string();
        let session = agent.map_or(0, |agent| agent.session);
        let reviews: Vec<_> = self
            .town
            .beads()
            .filter(|bead| bead.review().is_some())
            .map(|bead| bead.id.to_string())
            .collect();
        let review = choose(&reviews, which)
            .cloned()
            .unwrap_or_else(|| "nothing".into());
        let event: Value = match what % 8 {
            0 => json!({"type": "heartbeat", "agent_id": agent_id, "session": session,
                        "last_event_at": time, "active_tools": vec!["tool"; 1_000]}),
            1 => json!({"type": "heartbeat", "agent_id": agent_id, "session": u64::MAX}),
            2 => json!({"type": "observation_gap", "from": time, "to": "9999-12-31T23:59:59.999Z"}),
            3 => json!({"type": "pr_observed", "bead_id": review,
                        "error": {"kind": "rate_limited", "until": time}}),
            4 => json!({"type": "pr_observed", "bead_id": review, "observation": {
                "state": "open", "head_sha": "x".repeat(Event::NAME_BYTES_MAX - 2), "head_branch": "", "base_branch": "",
                "mergeable": "clean", "api_budget": {"remaining": u64::MAX, "resets_at": time},
                "feedback": {"unresolved_threads": u32::MAX, "threads_complete": true,
                    "checks_complete": true, "checks": {"state": "failing",
                        "failing": (0..2_000).map(|n| format!("check {n}")).collect::<Vec<_>>()}}}}),
            5 => json!({"type": "mayor_waiting", "agent_id": agent_id, "sent_at": time}),
            6 => {
                json!({"type": "token_refreshed", "token": "llm", "outcome": "done", "expires_at": time})
            }
            _ => json!({"type": "agent_done", "agent_id": agent_id, "session": session,
                        "branch": "..\u{0}\n", "pr_url": "javascript:alert(1)", "head_sha": ""}),
        };
        self.deliver_at(event, time);
    }
}
