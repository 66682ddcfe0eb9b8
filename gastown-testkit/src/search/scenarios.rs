//! The small towns that are searched.

use std::slice;
use std::time::Duration;

use gastown_core::{Policy, Town, wire};
use serde_json::{Value, json};

use crate::overlay::lay_over;
use crate::towns::now;

/// One small town.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scenario {
    /// One issue that becomes a pull request.
    PullRequest,
    /// A pull request under review, and an issue that waits for it.
    Blocked,
    /// A direct merge and an issue in the same rig.
    Direct,
    /// A review that has no rig, and nobody can say of which it is.
    NoRig,
    /// A convoy of two issues that lands.
    Convoy,
    /// All of it: two rigs, four issues, two agents of each role, a pull request, a direct merge, a
    /// review without a rig, and a convoy.
    Town,
}

/// Every scenario, with its name.
#[must_use]
pub fn scenarios() -> [(&'static str, Scenario); 6] {
    [
        ("pull-request", Scenario::PullRequest),
        ("blocked", Scenario::Blocked),
        ("direct", Scenario::Direct),
        ("no-rig", Scenario::NoRig),
        ("convoy", Scenario::Convoy),
        ("town", Scenario::Town),
    ]
}

/// Some minutes less a millisecond: what is *strictly older* lies on the grid then.
fn minutes(n: u32) -> String {
    format!("PT{}M59.999S", n.saturating_sub(1))
}

/// What no searched town waits for, unless nothing else is left.
const NEVER: &str = "P3000D";

/// Refuses times that do not lie on the grid of the search, however they are written.
pub(super) fn check_times(policy: &Value) -> Result<(), String> {
    let policy = policy.as_object().ok_or("policy: expected an object")?;
    let grid = [1, 2, 3, 4].map(minutes);
    let may_be = [NEVER, "PT0S"].map(String::from);
    let allowed: Vec<Duration> = (grid.iter().chain(&may_be))
        .filter_map(|text| time(text))
        .collect();
    for (name, value) in policy {
        let times = value
            .as_array()
            .map_or(slice::from_ref(value), Vec::as_slice);
        for text in times.iter().filter_map(Value::as_str) {
            // What is no time is refused where the policy is read.
            if time(text).is_some_and(|time| !allowed.contains(&time)) {
                return Err(format!(
                    "policy.{name}: {text} is not on the grid of the search; expected PT0S, {}, or {NEVER}",
                    grid.join(", ")
                ));
            }
        }
    }
    Ok(())
}

/// What a policy reads a text as.
fn time(text: &str) -> Option<Duration> {
    let policy = serde_json::from_value::<Policy>(json!({"start_grace": text}));
    policy.ok().map(|policy| policy.start_grace)
}

/// Thresholds on a grid of minutes, budgets of one or two, and nothing that comes by the hour.
fn policy() -> Value {
    let (one, two, three, four) = (minutes(1), minutes(2), minutes(3), minutes(4));
    let never = NEVER;
    json!({
        "heartbeat_timeout": one, "start_grace": one,
        "dispatch_backoff": [one, one, one, one, one], "attempts_reset_after": two,
        "breaker_threshold": 20, "breaker_window": two, "breaker_in_a_row": 2,
        "probe_interval": one, "probe_limit": 1,
        "stale_in_progress": two, "settled_review_grace": one,
        "abandoned_review": one, "stuck_review": two, "stalled_timeout": two,
        "gupp_warn": two, "gupp_escalate": three, "gupp_stop": four, "nudge_repeat": never,
        "agent_retention": never, "pr_poll_interval": one, "poll_quiet_interval": one,
        "poll_transient_limit": 2, "poll_invalid_limit": 2,
        "forge_backoff": one, "forge_backoff_max": one, "merge_refusal_limit": 2,
        "repair_rounds": 1, "lineage_dispatches": 6, "triage_carries": 1, "triage_pause": one,
        "pr_waiting_notice": never, "merge_outcome_timeout": two, "drain_timeout": two,
        "landing_attempts": 1, "landing_cooldown": one, "landing_cooldown_max": one,
        "re_escalate_every": never, "token_refresh_every": never, "llm_token_check_every": never,
        "container_idle_stop": never, "event_retention": never,
    })
}

/// How many names a searched town has used up. All that it makes have four digits, so that their order as
/// texts, which the engine goes by, is that in which they were made: states whose names have the same ranks
/// go on in the same way.
const SEQUENCE: u64 = 1_000;

impl Scenario {
    /// The town that the scenario begins with, with what of its thresholds and settings is another.
    pub(super) fn town(self, own_policy: &Value, own_config: &Value) -> Result<Town, String> {
        let at = now().to_string();
        let rig = |id: &str, strategy: &str| {
            json!({"id": id, "name": id, "default_branch": "main", "created_at": at,
                   "git_url": format!("https://github.com/acme/{id}.git"),
                   "config": {"merge_strategy": strategy}})
        };
        let (beads, edges) = self.beads();
        let mut config = json!({"max_dispatch_attempts": 2, "max_polecats_per_rig": 1, "refinery": {
            "auto_merge_delay_minutes": 0, "auto_resolve_pr_feedback": true}});
        let mut policy = policy();
        lay_over(&mut config, own_config);
        lay_over(&mut policy, own_policy);
        let rigs = match self {
            Scenario::PullRequest | Scenario::Blocked => json!([rig("r1", "pr")]),
            Scenario::Direct | Scenario::Convoy => json!([rig("r2", "direct")]),
            Scenario::NoRig | Scenario::Town => json!([rig("r1", "pr"), rig("r2", "direct")]),
        };
        let snapshot = json!({"format": wire::SNAPSHOT_FORMAT, "rigs": rigs,
            "town": {"id": "x", "config": config, "policy": policy, "sequence": SEQUENCE},
            "agents": self.agents(), "beads": beads, "dependencies": edges});
        wire::snapshot_from_value(snapshot)
            .map_err(|error| format!("the scenario is refused: {error}"))
    }

    fn agents(self) -> Value {
        let agent = |id: &str, role: &str, rig: &str| {
            json!({"id": id, "role": role, "name": id, "identity": format!("{id}@x"),
                   "status": "idle", "rig_id": rig, "created_at": now().to_string()})
        };
        match self {
            Scenario::NoRig => json!([agent("f1", "refinery", "r1")]),
            Scenario::Town => json!([
                agent("f1", "refinery", "r1"),
                agent("f2", "refinery", "r2"),
                agent("p1", "polecat", "r1"),
                agent("p2", "polecat", "r2"),
            ]),
            Scenario::PullRequest | Scenario::Blocked | Scenario::Direct | Scenario::Convoy => {
                json!([])
            }
        }
    }

    fn beads(self) -> (Value, Value) {
        let at = now().to_string();
        let issue = |id: &str, rig: Value, status: &str| {
            json!({"id": id, "type": "issue", "status": status, "title": id, "rig_id": rig,
                   "created_at": at})
        };
        let review = |id: &str, rig: Value, source: &str, url: Value| {
            json!({"id": id, "type": "merge_request", "status": "open", "title": id,
                   "rig_id": rig, "created_at": at,
                   "review": {"branch": format!("work/{source}"), "target_branch": "main",
                              "source": source, "pr_url": url}})
        };
        let convoy = |id: &str| {
            json!({"id": id, "type": "convoy", "status": "open", "title": id, "created_at": at,
                   "convoy": {"feature_branch": "convoy/c/c/head", "total": 2,
                              "branches": {"r2": {"state": "none"}}, "merge_mode": "review-then-land"}})
        };
        let edge = |from: &str, kind: &str, to: &str| json!({"bead_id": from, "depends_on": to, "type": kind});
        let pr = json!("https://github.com/acme/r1/pull/1");
        let none = Value::Null;
        match self {
            Scenario::PullRequest => (json!([issue("b1", json!("r1"), "open")]), json!([])),
            Scenario::Blocked => (
                json!([
                    issue("b1", json!("r1"), "in_review"),
                    issue("b2", json!("r1"), "open"),
                    review("m1", json!("r1"), "b1", pr),
                ]),
                json!([edge("m1", "tracks", "b1"), edge("b2", "blocks", "b1")]),
            ),
            Scenario::Direct => (
                json!([
                    issue("b1", json!("r2"), "in_review"),
                    issue("b2", json!("r2"), "open"),
                    review("m1", json!("r2"), "b1", none),
                ]),
                json!([edge("m1", "tracks", "b1")]),
            ),
            Scenario::NoRig => (
                json!([
                    issue("b1", none.clone(), "in_review"),
                    review("m1", none.clone(), "b1", none),
                ]),
                json!([edge("m1", "tracks", "b1")]),
            ),
            Scenario::Convoy => (
                json!([
                    convoy("c1"),
                    issue("b1", json!("r2"), "open"),
                    issue("b2", json!("r2"), "open"),
                ]),
                json!([
                    edge("b1", "tracks", "c1"),
                    edge("b2", "tracks", "c1"),
                    edge("b2", "blocks", "b1"),
                ]),
            ),
            Scenario::Town => (
                json!([
                    convoy("c1"),
                    issue("b1", json!("r1"), "in_review"),
                    issue("b2", json!("r2"), "in_review"),
                    issue("b3", json!("r2"), "open"),
                    issue("b4", none.clone(), "in_review"),
                    review("m1", json!("r1"), "b1", pr),
                    review("m2", json!("r2"), "b2", none.clone()),
                    review("m3", none.clone(), "b4", none),
                ]),
                json!([
                    edge("m1", "tracks", "b1"),
                    edge("m2", "tracks", "b2"),
                    edge("m3", "tracks", "b4"),
                    edge("b2", "tracks", "c1"),
                    edge("b3", "tracks", "c1"),
                ]),
            ),
        }
    }
}
