//! Generated towns: valid, dangling, without rigs, with skewed clocks, drained, breaker open, from
//! empty to hundreds of beads.
//!
//! A town is generated as a seed of small numbers, which shrinks well, and then written as a
//! snapshot: what is generated passes through the real reader.

use std::ops::RangeInclusive;
use std::time::Duration;

use gastown_core::{Timestamp, Town, wire};
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

/// The time around which everything in a generated town happened.
#[must_use]
pub fn now() -> Timestamp {
    Timestamp::from_millis(1_775_304_000_000)
}

/// What a bead is made from.
#[derive(Debug, Clone)]
pub struct BeadSeed {
    kind: u8,
    status: u8,
    rig: u8,
    agent: u8,
    other: u8,
    attempts: u8,
    age_seconds: i64,
    touched_seconds: i64,
    flags: u16,
}

/// What an agent is made from.
#[derive(Debug, Clone)]
pub struct AgentSeed {
    role: u8,
    status: u8,
    rig: u8,
    hook: u8,
    session: u8,
    attempts: u8,
    age_seconds: i64,
    flags: u8,
}

/// What a town is made from.
#[derive(Debug, Clone)]
pub struct TownSeed {
    rigs: u8,
    beads: Vec<BeadSeed>,
    agents: Vec<AgentSeed>,
    edges: Vec<(u8, u8, u8)>,
    flags: u16,
}

prop_compose! {
    fn bead_seed()(
        kind in 0u8..20, status in 0u8..10, rig in any::<u8>(), agent in any::<u8>(),
        other in any::<u8>(), attempts in 0u8..8, age_seconds in ages(), touched_seconds in ages(),
        flags in any::<u16>(),
    ) -> BeadSeed {
        BeadSeed { kind, status, rig, agent, other, attempts, age_seconds, touched_seconds, flags }
    }
}

prop_compose! {
    fn agent_seed()(
        role in 0u8..5, status in 0u8..8, rig in any::<u8>(), hook in any::<u8>(),
        session in 0u8..4, attempts in 0u8..8, age_seconds in ages(), flags in any::<u8>(),
    ) -> AgentSeed {
        AgentSeed { role, status, rig, hook, session, attempts, age_seconds, flags }
    }
}

/// Ages around the thresholds of the policy, and some in the future: a skewed clock.
fn ages() -> impl Strategy<Value = i64> {
    prop_oneof![
        4 => 0i64..600,
        3 => 0i64..20_000,
        1 => 0i64..4_000_000,
        1 => -7_200i64..0,
        2 => prop::sample::select(vec![30, 60, 90, 120, 180, 300, 900, 1_800, 3_600, 7_200, 9_000]),
    ]
}

/// Seeds of towns with that many beads.
pub fn seeds(beads: RangeInclusive<usize>) -> impl Strategy<Value = TownSeed> {
    (
        0u8..4,
        vec(bead_seed(), beads),
        vec(agent_seed(), 0..8),
        vec((any::<u8>(), any::<u8>(), 0u8..6), 0..12),
        any::<u16>(),
    )
        .prop_map(|(rigs, beads, agents, edges, flags)| TownSeed {
            rigs,
            beads,
            agents,
            edges,
            flags,
        })
}

/// Towns with that many beads.
pub fn towns(beads: RangeInclusive<usize>) -> impl Strategy<Value = Town> {
    seeds(beads).prop_map(|seed| seed.town())
}

fn time(age_seconds: i64) -> Value {
    let millis = now()
        .as_millis()
        .saturating_sub(age_seconds.saturating_mul(1_000));
    Timestamp::from_millis(millis).to_string().into()
}

/// A bit of `flags`.
fn flag(flags: impl Into<u32>, bit: u32) -> bool {
    flags.into().checked_shr(bit).unwrap_or(0) & 1 == 1
}

/// The name of one of `count` entities; sometimes of none, sometimes of one that is not there.
fn pick(prefix: &str, choice: u8, count: usize) -> Value {
    match usize::from(choice) {
        n if n < 24 => Value::Null,
        n if n < 32 => format!("{prefix}-gone").into(),
        n => match n.checked_rem(count) {
            None => Value::Null,
            Some(index) => format!("{prefix}{index}").into(),
        },
    }
}

/// Like [`pick`], but always a text.
fn pick_some(prefix: &str, choice: u8, count: usize) -> Value {
    let picked = pick(prefix, choice, count);
    match picked {
        Value::Null => format!("{prefix}-gone").into(),
        Value::Bool(_)
        | Value::Number(_)
        | Value::String(_)
        | Value::Array(_)
        | Value::Object(_) => picked,
    }
}

impl TownSeed {
    /// The town's snapshot.
    #[must_use]
    pub fn snapshot(&self) -> Value {
        let beads: Vec<Value> = (0..)
            .zip(&self.beads)
            .map(|(n, b)| self.bead(n, b))
            .collect();
        let agents: Vec<Value> = (0..)
            .zip(&self.agents)
            .map(|(n, a)| self.agent(n, a))
            .collect();
        json!({
            "format": wire::SNAPSHOT_FORMAT,
            "town": self.town_block(),
            "rigs": (0..self.rigs).map(|n| json!({
                "id": format!("r{n}"), "name": format!("rig {n}"), "default_branch": "main",
                "git_url": format!("https://github.com/acme/r{n}.git"), "created_at": time(1_000_000),
                "config": if flag(self.flags, 12) { json!({"max_polecats_per_rig": 1}) } else { json!({}) },
            })).collect::<Vec<_>>(),
            "agents": agents,
            "beads": beads,
            "dependencies": self.edges(),
        })
    }

    /// The town.
    ///
    /// # Panics
    /// If the reader refuses a generated snapshot: then the generator is wrong.
    #[must_use]
    #[allow(clippy::panic)]
    pub fn town(&self) -> Town {
        match wire::snapshot_from_value(self.snapshot()) {
            Ok(town) => town,
            Err(error) => panic!("the generator made a snapshot that is refused: {error}"),
        }
    }

    fn town_block(&self) -> Value {
        let mut town = json!({"id": "town", "config": {}, "breaker": {}});
        let Some(object) = town.as_object_mut() else {
            return town;
        };
        let mut refinery = Map::new();
        if flag(self.flags, 0) {
            refinery.insert("code_review".into(), false.into());
        }
        if flag(self.flags, 1) {
            refinery.insert("auto_merge_delay_minutes".into(), 1.into());
            refinery.insert("auto_resolve_pr_feedback".into(), true.into());
        }
        let strategy = if flag(self.flags, 2) { "pr" } else { "direct" };
        object.insert(
            "config".into(),
            json!({"refinery": refinery, "merge_strategy": strategy}),
        );
        // One town in eight drains, one in eight has an open breaker.
        if flag(self.flags, 3) && flag(self.flags, 4) && flag(self.flags, 5) {
            object.insert(
                "drain".into(),
                json!({"nonce": "n", "started_at": time(60)}),
            );
        }
        if !flag(self.flags, 3) && flag(self.flags, 4) && flag(self.flags, 5) {
            object.insert(
                "breaker".into(),
                json!({"state": "open", "opened_at": time(500), "in_a_row": 5}),
            );
        }
        if flag(self.flags, 6) && flag(self.flags, 7) {
            object.insert("judge_from".into(), time(45));
        }
        if flag(self.flags, 8) {
            object.insert(
                "container".into(),
                json!({"instance": "c1",
                "last_token_refresh_at": time(4_000), "llm_token_expires_at": time(-500_000)}),
            );
        }
        if flag(self.flags, 9) {
            object.insert("policy".into(), json!({"failed_blocker": "release"}));
        }
        if flag(self.flags, 10) && flag(self.flags, 11) {
            object.insert(
                "conditions".into(),
                json!([{"kind": "forge_unreachable",
                "subject": {"kind": "town"}, "since": time(900), "strikes": 3}]),
            );
        }
        town
    }

    fn edges(&self) -> Vec<Value> {
        let count = self.beads.len();
        let mut seen = std::collections::BTreeSet::new();
        let mut out = Vec::new();
        let mut add = |from: Value, to: Value, kind: &str| {
            if from != to && seen.insert(format!("{from} {kind} {to}")) {
                out.push(json!({"bead_id": from, "depends_on": to, "type": kind}));
            }
        };
        for (n, bead) in self.beads.iter().enumerate() {
            if bead.is_review() && !flag(bead.flags, 9) {
                add(
                    format!("b{n}").into(),
                    pick_some("b", bead.other, count),
                    "tracks",
                );
            }
        }
        for (from, to, kind) in &self.edges {
            let (from, to) = (pick_some("b", *from, count), pick_some("b", *to, count));
            // Blocks lead from a later bead to an earlier one, so that they stay acyclic.
            match kind {
                0..=2 if number(&from) > number(&to) => add(from, to, "blocks"),
                3 | 4 => add(from, to, "tracks"),
                _ => {}
            }
        }
        out
    }

    fn agent(&self, n: usize, seed: &AgentSeed) -> Value {
        let role = match seed.role {
            0..=2 => "polecat",
            3 => "refinery",
            _ => "mayor",
        };
        let status = match seed.status {
            0..=2 => "idle",
            3..=5 => "working",
            6 => "stalled",
            _ => "dead",
        };
        let rig = if role == "mayor" {
            Value::Null
        } else {
            pick("r", seed.rig, self.rigs.into())
        };
        json!({
            "id": format!("a{n}"), "role": role, "name": format!("agent {n}"),
            "identity": format!("agent{n}@town"), "status": status, "rig_id": rig,
            "hook": pick("b", seed.hook, self.beads.len()), "session": seed.session,
            "dispatch_attempts": seed.attempts, "reported": flag(seed.flags, 0),
            "dispatched_at": time(seed.age_seconds.saturating_add(30)),
            "last_activity_at": if flag(seed.flags, 1) { time(seed.age_seconds) } else { Value::Null },
            "last_event_at": if flag(seed.flags, 2) { time(seed.age_seconds.saturating_mul(2)) } else { Value::Null },
            "stalled_at": if status == "stalled" { time(seed.age_seconds) } else { Value::Null },
            "created_at": time(500_000),
        })
    }

    fn bead(&self, n: usize, seed: &BeadSeed) -> Value {
        let (bead_type, label) = seed.sort();
        let mut labels: Vec<&str> = label.into_iter().collect();
        if flag(seed.flags, 0) && flag(seed.flags, 1) && flag(seed.flags, 2) {
            labels.push("gt:held");
        }
        let mut bead = json!({
            "id": format!("b{n}"), "type": bead_type, "status": seed.status(), "title": format!("bead {n}"),
            "rig_id": if bead_type == "convoy" { Value::Null } else { pick("r", seed.rig, self.rigs.into()) },
            "assignee": pick("a", seed.agent, self.agents.len()),
            "priority": (["low", "medium", "high", "critical"].get(usize::from(seed.flags % 4))),
            "labels": labels, "dispatch_attempts": seed.attempts,
            "created_at": time(seed.age_seconds.saturating_add(seed.touched_seconds.max(0))),
            "updated_at": time(seed.touched_seconds),
            "last_dispatch_attempt_at": if seed.attempts > 0 { time(seed.age_seconds) } else { Value::Null },
        });
        let Some(object) = bead.as_object_mut() else {
            return bead;
        };
        if label.is_some_and(|l| ["gt:rework", "gt:pr-feedback", "gt:pr-conflict"].contains(&l)) {
            object.insert("parent_id".into(), pick("b", seed.other, self.beads.len()));
        }
        match bead_type {
            "merge_request" => {
                object.insert("review".into(), self.review(n, seed));
            }
            "convoy" => {
                object.insert(
                    "convoy".into(),
                    json!({"staged": flag(seed.flags, 4), "ready_to_land": flag(seed.flags, 5),
                           "feature_branch": if flag(seed.flags, 6) { json!(format!("convoy/x/b{n}/head")) } else { Value::Null }}),
                );
            }
            "escalation" => {
                object.insert("escalation".into(), json!({"severity": "medium"}));
            }
            "message" => {
                object.insert(
                    "message".into(),
                    json!({"to": pick_some("a", seed.agent, 3)}),
                );
            }
            _ => {}
        }
        bead
    }

    fn review(&self, n: usize, seed: &BeadSeed) -> Value {
        let rig = pick("r", seed.rig, self.rigs.into());
        let repository = rig.as_str().unwrap_or("r0");
        let mut review = json!({"branch": format!("work/{n}"), "target_branch": "main",
                                "source": pick_some("b", seed.other, self.beads.len())});
        let Some(object) = review.as_object_mut() else {
            return review;
        };
        if flag(seed.flags, 4) {
            let url = format!(
                "https://github.com/acme/{repository}/pull/{}",
                n.saturating_add(1)
            );
            object.insert("pr_url".into(), url.into());
            object.insert("head_sha".into(), "abc".into());
            if flag(seed.flags, 5) {
                object.insert(
                    "poll".into(),
                    json!({"last_at": time(seed.touched_seconds)}),
                );
            }
            if flag(seed.flags, 6) {
                object.insert(
                    "reviewed".into(),
                    json!({"head_sha": "abc", "at": time(60)}),
                );
            }
        }
        review
    }
}

/// The number in an entity's name.
fn number(name: &Value) -> usize {
    name.as_str()
        .and_then(|text| text.get(1..)?.parse().ok())
        .unwrap_or(0)
}

impl BeadSeed {
    fn is_review(&self) -> bool {
        self.sort().0 == "merge_request"
    }

    fn status(&self) -> &'static str {
        match self.status {
            0..=3 => "open",
            4 | 5 => "in_progress",
            6 | 7 if self.sort() == ("issue", None) => "in_review",
            6 | 7 => "open",
            8 => "closed",
            _ => "failed",
        }
    }

    fn sort(&self) -> (&'static str, Option<&'static str>) {
        match self.kind {
            0..=7 => ("issue", None),
            8..=11 => ("merge_request", None),
            12 => ("convoy", None),
            13 => ("issue", Some("gt:rework")),
            14 => ("issue", Some("gt:pr-feedback")),
            15 => ("issue", Some("gt:pr-conflict")),
            16 => ("issue", Some("gt:triage-request")),
            17 => ("issue", Some("gt:pr-fixup")),
            18 => ("escalation", None),
            _ => ("message", None),
        }
    }
}

/// The same town with its entities in the opposite order: what must make no difference.
#[must_use]
pub fn reversed(mut snapshot: Value) -> Value {
    for name in ["rigs", "agents", "beads", "dependencies", "nudges"] {
        if let Some(list) = snapshot.get_mut(name).and_then(Value::as_array_mut) {
            list.reverse();
        }
    }
    snapshot
}

/// A time after [`now`].
#[must_use]
pub fn after(seconds: u64) -> Timestamp {
    now().plus(Duration::from_secs(seconds))
}
