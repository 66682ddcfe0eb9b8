//! A seed, written as a snapshot.

use std::collections::{BTreeMap, BTreeSet};

use gastown_core::{Timestamp, wire};
use serde_json::{Map, Value, json};

use super::beads::Shape;
use super::dice::Dice;
use super::{AgentSeed, TownSeed, now};

pub(super) fn time(age_seconds: i64) -> Value {
    let millis = now()
        .as_millis()
        .saturating_sub(age_seconds.saturating_mul(1_000));
    Timestamp::from_millis(millis).to_string().into()
}

/// A bit of `flags`.
pub(super) fn flag(flags: impl Into<u32>, bit: u32) -> bool {
    flags.into().checked_shr(bit).unwrap_or(0) & 1 == 1
}

/// A value, or null.
pub(super) fn when(holds: bool, value: Value) -> Value {
    if holds { value } else { Value::Null }
}

/// The name of one of `count` entities; sometimes of none, sometimes of one that is not there.
pub(super) fn pick(prefix: &str, choice: u16, count: usize) -> Value {
    match usize::from(choice) {
        n if n < 6_000 => Value::Null,
        n if n < 8_000 => format!("{prefix}-gone").into(),
        n => match n.checked_rem(count) {
            None => Value::Null,
            Some(index) => format!("{prefix}{index}").into(),
        },
    }
}

/// Like [`pick`], but always a text.
pub(super) fn pick_some(prefix: &str, choice: u16, count: usize) -> Value {
    let picked = pick(prefix, choice, count);
    if picked.is_null() {
        format!("{prefix}-gone").into()
    } else {
        picked
    }
}

/// Edges so far, in which nothing waits for itself: `blocks` stays acyclic, counting a source as
/// waiting for its reviews and a convoy for its issues (spec 1.7).
#[derive(Default)]
struct Edges {
    written: Vec<Value>,
    seen: BTreeSet<String>,
    waits: BTreeMap<String, BTreeSet<String>>,
}

impl Edges {
    /// Adds an edge, once, unless something would wait for itself.
    fn add(&mut self, from: &Value, to: &Value, kind: &str) {
        let edge = json!({"bead_id": from, "depends_on": to, "type": kind});
        let sound = match kind {
            "blocks" => self.waits(from, to),
            "tracks" => self.waits(to, from),
            _ => from != to,
        };
        if sound && self.seen.insert(edge.to_string()) {
            self.written.push(edge);
        }
    }

    /// Lets one wait for the other; not where the other waits for the one already.
    fn waits(&mut self, one: &Value, other: &Value) -> bool {
        let (one, other) = (name(one), name(other));
        let closes = self.reaches(&other, &one);
        if !closes {
            self.waits.entry(one).or_default().insert(other);
        }
        !closes
    }

    fn reaches(&self, from: &str, to: &str) -> bool {
        let mut seen = BTreeSet::new();
        let mut left = vec![from];
        while let Some(next) = left.pop() {
            if next == to {
                return true;
            }
            if seen.insert(next) {
                left.extend(
                    self.waits
                        .get(next)
                        .into_iter()
                        .flatten()
                        .map(String::as_str),
                );
            }
        }
        false
    }
}

fn name(id: &Value) -> String {
    id.as_str().unwrap_or_default().into()
}

impl TownSeed {
    /// Whether it hangs together: names lead to what is there, reviews to issues in review.
    pub(super) fn is_coherent(&self) -> bool {
        self.flags.count_ones() < 9
    }

    /// The town's snapshot.
    #[must_use]
    pub fn snapshot(&self) -> Value {
        let shapes = self.shapes();
        let beads: Vec<Value> = self
            .beads
            .iter()
            .enumerate()
            .map(|(n, bead)| self.bead(n, bead, &shapes))
            .collect();
        let agents: Vec<Value> = self
            .agents
            .iter()
            .enumerate()
            .map(|(n, agent)| self.agent(n, agent, &shapes))
            .collect();
        let nudges: Vec<Value> = self
            .nudges
            .iter()
            .enumerate()
            .map(|(n, more)| self.nudge(n, Dice::new(*more)))
            .collect();
        json!({
            "format": wire::SNAPSHOT_FORMAT,
            "town": self.town_block(&shapes),
            "rigs": (0..self.rigs).map(|n| self.rig(n)).collect::<Vec<_>>(),
            "agents": agents,
            "beads": beads,
            "dependencies": self.edges(&shapes),
            "nudges": nudges,
        })
    }

    fn rig(&self, n: u8) -> Value {
        let config = match (flag(self.flags, 12), n) {
            (false, _) => json!({}),
            (true, 0) => json!({"max_polecats_per_rig": 1}),
            (true, 1) => json!({"merge_strategy": "pr", "refinery": {"code_review": false}}),
            (true, _) => json!({"refinery": {"auto_merge_delay_minutes": "never"}}),
        };
        json!({
            "id": format!("r{n}"), "name": format!("rig {n}"), "default_branch": "main",
            "git_url": format!("https://github.com/acme/r{n}.git"), "created_at": time(1_000_000),
            "config": config,
        })
    }

    fn town_block(&self, shapes: &[Shape]) -> Value {
        let mut town = Map::new();
        let mut add = |name: &str, holds: bool, value: Value| {
            if holds {
                town.insert(name.into(), value);
            }
        };
        let mut dice = Dice::new(self.more);
        add("id", true, "town".into());
        add("config", true, self.config(&mut dice));
        // One town in eight drains, one in eight has a breaker that is not closed.
        let rare = flag(self.flags, 4) && flag(self.flags, 5);
        let started = dice.age(&[60, 60, 500, -30]);
        add(
            "drain",
            rare && flag(self.flags, 3),
            json!({"nonce": "n", "started_at": time(started)}),
        );
        let breaker = breaker(&mut dice, shapes);
        add("breaker", rare && !flag(self.flags, 3), breaker);
        let gap = flag(self.flags, 6) && flag(self.flags, 7);
        add("judge_from", gap, time(dice.age(&[45, 3_000, 100_000])));
        add("container", flag(self.flags, 8), container(&mut dice));
        let mut policy = Map::new();
        if flag(self.flags, 9) {
            policy.insert("failed_blocker".into(), "release".into());
        }
        if dice.one_in(6) {
            policy.insert("poll_give_up_after".into(), "PT10M".into());
        }
        if dice.one_in(6) {
            policy.insert("lineage_dispatches".into(), 3.into());
        }
        add("policy", true, Value::Object(policy));
        let conditions = self.conditions(&mut dice);
        let trouble = flag(self.flags, 10) && flag(self.flags, 11);
        add("conditions", trouble, conditions);
        let spent = dice.one_in(5);
        add(
            "lineages",
            spent,
            json!({"b0": {"used": 25, "granted": 0}, "b1": {"used": 2, "granted": 1}}),
        );
        let notice = dice.one_in(4);
        let next = dice.age(&[10, -40]);
        add("notices", notice, 3.into());
        add(
            "notices_under_way",
            notice,
            json!({"escalation:b1": {"message": "look", "number": 2, "next_at": time(next)}}),
        );
        add("triage_ended_at", dice.one_in(4), time(300));
        Value::Object(town)
    }

    fn config(&self, dice: &mut Dice) -> Value {
        let mut refinery = Map::new();
        let mut add = |name: &str, holds: bool, value: Value| {
            if holds {
                refinery.insert(name.into(), value);
            }
        };
        add("code_review", flag(self.flags, 0), false.into());
        let delay = dice.pick(&[json!(1), json!(0), json!(5)]).cloned();
        let merges = flag(self.flags, 1);
        add("auto_merge_delay_minutes", merges, delay.into());
        add("auto_resolve_pr_feedback", merges, true.into());
        add("auto_resolve_merge_conflicts", dice.one_in(3), false.into());
        add("review_every_head", dice.one_in(3), false.into());
        add("require_fresh_approval", dice.one_in(3), false.into());
        add("require_checks", dice.one_in(4), true.into());
        let strategy = if flag(self.flags, 2) { "pr" } else { "direct" };
        json!({"refinery": refinery, "merge_strategy": strategy})
    }

    fn conditions(&self, dice: &mut Dice) -> Value {
        let mut out = Vec::new();
        for kind in [
            "forge_unreachable",
            "rate_limited",
            "credentials_missing",
            "permission_missing",
            "api_drift",
            "merge_method_impossible",
        ] {
            if !dice.one_in(3) {
                continue;
            }
            let of_town = ["forge_unreachable", "rate_limited", "api_drift"].contains(&kind);
            let subject = if of_town {
                json!({"kind": "town"})
            } else {
                json!({"kind": "rig", "id": format!("r{}", dice.of(3))})
            };
            let told = dice.of(3) == 1;
            out.push(json!({
                "kind": kind, "subject": subject, "since": time(900), "strikes": dice.of(13),
                "told_at": when(told, time(800)), "next_probe_at": when(dice.one_in(2), time(-30)),
                "until": when(kind == "rate_limited", time(dice.age(&[30, -600]))),
                "ended_at": when(told && dice.one_in(3), time(5)),
            }));
        }
        Value::Array(out)
    }

    fn nudge(&self, n: usize, mut dice: Dice) -> Value {
        let sent = dice.one_in(3);
        json!({
            "id": format!("n{n}"),
            "agent_id": format!("a{}", dice.of(u64::try_from(self.agents.len()).unwrap_or(0).saturating_add(1))),
            "tier": dice.pick(&["message", "warn", "escalate"]),
            "mode": dice.pick(&["immediate", "when_idle", "queue"]), "message": "go on",
            "created_at": time(dice.age(&[20, 4_000, 700_000])),
            "sent_at": when(sent, time(100)),
            "attempts": u8::from(sent),
            "next_at": when(sent && dice.one_in(2), time(dice.age(&[10, -50]))),
            "delivered_at": when(sent && dice.one_in(3), time(90)),
            "expires_at": when(dice.one_in(4), time(dice.age(&[10, -3_000]))),
        })
    }

    fn edges(&self, shapes: &[Shape]) -> Vec<Value> {
        let count = self.beads.len();
        let mut edges = Edges::default();
        for (n, (shape, seed)) in shapes.iter().zip(&self.beads).enumerate() {
            let id = Value::from(format!("b{n}"));
            if shape.is_review() {
                edges.waits(&shape.other, &id);
                if self.is_coherent() || !flag(seed.flags, 9) {
                    edges.add(&id, &shape.other, "tracks");
                }
            }
            if let Some(convoy) = &shape.convoy {
                edges.add(&id, convoy, "tracks");
            }
            if shape.is_step() && !shape.other.is_null() {
                edges.add(&id, &shape.other, "parent-child");
            }
        }
        for (n, (shape, seed)) in shapes.iter().zip(&self.beads).enumerate() {
            // What repairs a review blocks it.
            if shape.is_repair() && !shape.other.is_null() && !flag(seed.flags, 9) {
                edges.add(&shape.other, &format!("b{n}").into(), "blocks");
            }
        }
        for (from, to, kind) in &self.edges {
            let (from, to) = (pick_some("b", *from, count), pick_some("b", *to, count));
            match kind {
                0..=2 => edges.add(&from, &to, "blocks"),
                3 | 4 if !self.is_coherent() => edges.add(&from, &to, "tracks"),
                5 if !self.is_coherent() => edges.add(&from, &to, "parent-child"),
                _ => {}
            }
        }
        edges.written
    }

    fn agent(&self, n: usize, seed: &AgentSeed, shapes: &[Shape]) -> Value {
        let role = match seed.role {
            0..=2 => "polecat",
            3 | 4 => "refinery",
            _ => "mayor",
        };
        let status = match (seed.status, role) {
            (0..=2, _) => "idle",
            (3..=5, _) => "working",
            (6, _) => "stalled",
            (7, "mayor") => "waiting",
            _ => "dead",
        };
        let mut dice = Dice::new(seed.more);
        let hook = self.hook(seed, role, shapes);
        let rig = match (role, hook.1) {
            ("mayor", _) => Value::Null,
            (_, Some(rig)) => rig,
            (_, None) => pick("r", seed.rig, self.rigs.into()),
        };
        let session = u64::from(seed.session);
        // Half of the agents are heard of, whatever they do or do not do.
        let heard = if dice.one_in(2) { 20 } else { seed.age_seconds };
        json!({
            "id": format!("a{n}"), "role": role, "name": format!("agent {n}"),
            "identity": format!("agent{n}@town"), "status": status, "rig_id": rig,
            "hook": hook.0, "hooked_at": when(dice.one_in(2), time(seed.age_seconds)),
            "session": session,
            "dispatch_attempts": seed.attempts, "reported": flag(seed.flags, 0),
            "dispatched_at": time(seed.age_seconds.saturating_add(30)),
            "last_activity_at": when(flag(seed.flags, 1), time(heard)),
            "last_event_at": when(flag(seed.flags, 2), time(seed.age_seconds.saturating_mul(2))),
            "active_tools": if dice.one_in(4) { json!(["bash"]) } else { json!([]) },
            "stalled_at": when(status == "stalled", time(seed.age_seconds)),
            "stop_asked": when(dice.one_in(5), session.into()),
            "stop_retry_at": when(dice.one_in(5), time(dice.age(&[5, -50]))),
            "exited_at": when(dice.one_in(4), time(seed.age_seconds)),
            "checkpoint": when(dice.one_in(5), json!({"step": 3, "done": 1.016_244_102_842_024_6e74})),
            "created_at": time(500_000),
        })
    }

    /// What an agent is hooked to, and the rig that it has for it: in a coherent town mostly
    /// something that fits it.
    fn hook(&self, seed: &AgentSeed, role: &str, shapes: &[Shape]) -> (Value, Option<Value>) {
        let fits = |shape: &&(usize, &Shape)| {
            shape.1.is_open()
                && match role {
                    "polecat" => shape.1.is_issue(),
                    "refinery" => shape.1.is_review(),
                    _ => false,
                }
        };
        let numbered: Vec<(usize, &Shape)> = shapes.iter().enumerate().collect();
        let fitting: Vec<_> = numbered.iter().filter(fits).collect();
        let chosen = usize::from(seed.hook).checked_rem(fitting.len().max(1));
        let chosen = chosen.and_then(|at| fitting.get(at));
        match chosen {
            Some((n, shape)) if self.is_coherent() && flag(seed.flags, 4) => {
                (format!("b{n}").into(), Some(shape.rig.clone()))
            }
            _ => (pick("b", seed.hook, self.beads.len()), None),
        }
    }
}

fn breaker(dice: &mut Dice, shapes: &[Shape]) -> Value {
    let failures: Vec<Value> = (0..dice.of(3).saturating_mul(10))
        .map(|n| json!({"bead_id": "b0", "at": time(i64::try_from(n).unwrap_or(0).saturating_mul(20))}))
        .collect();
    let opened = dice.age(&[500, 601, 30_000]);
    match dice.of(4) {
        0 => {
            json!({"state": "open", "opened_at": time(opened), "in_a_row": 5, "told_at": time(opened),
                    "probes": dice.of(9)})
        }
        1 => json!({"state": "closed", "failures": failures, "in_a_row": dice.age(&[4, 5])}),
        2 => json!({"state": "half_open", "opened_at": time(opened), "in_a_row": 5, "probes": 1,
                    "told_at": time(opened), "probe_started": true,
                    "probe": {"bead_id": "b0", "at": time(60)}}),
        _ => {
            let bead = dice.of(u64::try_from(shapes.len()).unwrap_or(0).saturating_add(1));
            json!({"state": "half_open", "opened_at": time(opened), "in_a_row": 5, "probes": dice.of(9),
                   "told_at": time(opened), "probe": {"bead_id": format!("b{bead}"), "at": time(60)}})
        }
    }
}

fn container(dice: &mut Dice) -> Value {
    json!({
        "instance": when(!dice.one_in(4), "c1".into()),
        "last_token_refresh_at": time(dice.age(&[4_000, 100])),
        "refresh_asked_at": when(dice.one_in(3), time(dice.age(&[30, 700]))),
        "llm_token_expires_at": time(dice.age(&[-500_000, -5_000_000])),
        "last_llm_check_at": when(dice.one_in(2), time(90_000)),
        "last_idle_stop_at": when(dice.one_in(3), time(60)),
    })
}
