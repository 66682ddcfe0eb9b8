//! A town as what it can still do: the same digest for states that differ only in what no rule can
//! tell apart.

use std::collections::BTreeMap;

use gastown_core::{Effect, EffectKind, Timestamp, Town, wire};
use serde_json::Value;

/// The grid of all times, in milliseconds.
pub(crate) const GRID: i64 = 60_000;
/// The oldest age that a threshold of a searched town tells from older ones, in steps of the grid.
pub(crate) const OLD: i64 = 6;

/// FNV-1a over 128 bits.
pub(crate) struct Digest(u128);

impl Digest {
    pub(crate) fn new() -> Self {
        Self(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d)
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u128::from(*byte)).wrapping_mul(0x0100_0000_0000_0000_0000_013b);
        }
    }

    pub(crate) fn number(&mut self, number: i64) {
        self.bytes(&number.to_le_bytes());
    }

    pub(crate) fn end(self) -> u128 {
        self.0 ^ self.0 >> 61
    }
}

/// What names and sessions mean in one state.
pub(crate) struct Names {
    now: Timestamp,
    ranks: BTreeMap<String, usize>,
    sessions: BTreeMap<String, u64>,
}

impl Names {
    pub(crate) fn of(town: &Town, now: Timestamp) -> Self {
        let beads = town.beads().map(|bead| bead.id.as_str());
        let agents = town.agents().map(|agent| agent.id.as_str());
        let nudges = town.nudges().map(|nudge| nudge.id.as_str());
        let mut made: Vec<(u64, &str)> = beads
            .chain(agents)
            .chain(nudges)
            .filter_map(|id| Some((id.strip_prefix("x-")?.get(1..)?.parse().ok()?, id)))
            .collect();
        made.sort_unstable();
        Self {
            now,
            ranks: (0..)
                .zip(made)
                .map(|(rank, (_, id))| (id.to_string(), rank))
                .collect(),
            sessions: town
                .agents()
                .map(|agent| (agent.id.to_string(), agent.session))
                .collect(),
        }
    }

    /// A text, with engine-made names replaced by their ranks and times by ages.
    pub(crate) fn text(&self, text: &str, out: &mut Digest) {
        let is_time = text.len() == 24 && text.ends_with('Z') && text.get(10..11) == Some("T");
        if is_time && let Ok(at) = text.parse::<Timestamp>() {
            return self.time(at, out);
        }
        let mut rest = text;
        while let Some(at) = rest.find("x-") {
            let (before, from) = rest.split_at(at);
            out.bytes(before.as_bytes());
            let length = from
                .char_indices()
                .skip(3)
                .find(|(_, c)| !c.is_ascii_digit())
                .map_or(from.len(), |(end, _)| end);
            let (name, after) = from.split_at(length.max(2));
            match self.ranks.get(name) {
                Some(rank) => {
                    out.bytes(name.get(2..3).unwrap_or_default().as_bytes());
                    out.number(*rank as i64);
                }
                None => out.bytes(name.as_bytes()),
            }
            rest = after;
        }
        out.bytes(rest.as_bytes());
        out.bytes(&[0]);
    }

    fn time(&self, at: Timestamp, out: &mut Digest) {
        let age = (self.now.as_millis() - at.as_millis()).div_euclid(GRID);
        out.number(age.clamp(-OLD, OLD));
    }

    /// A session, as how far it lies behind the agent's current one.
    fn session(&self, agent: &str, session: u64, out: &mut Digest) {
        let current = self.sessions.get(agent).copied().unwrap_or(0);
        let behind = i64::try_from(current.saturating_sub(session)).unwrap_or(i64::MAX);
        out.number(behind.min(2));
    }
}

/// Texts for people, and counters that only grow: no rule decides by them.
const SAYS_NOTHING: [&str; 24] = [
    "body",
    "message",
    "title",
    "text",
    "context",
    "notes",
    "name",
    "identity",
    "sequence",
    "notices",
    "notices_under_way",
    "stops",
    "refreshes",
    "llm_renewals",
    "idle_stops",
    "verifications",
    "number",
    "session",
    "created_by",
    "resolver",
    "config_hash",
    "last_error",
    "last_refusal",
    "options",
];

/// Adds a town to a digest.
pub(crate) fn town(town: &Town, names: &Names, out: &mut Digest) {
    // A town that was checked can be written.
    let snapshot = wire::snapshot_to_value(town).unwrap_or(Value::Null);
    let Value::Object(snapshot) = snapshot else {
        return;
    };
    for (name, part) in &snapshot {
        out.bytes(name.as_bytes());
        match (name.as_str(), part) {
            // Names by rank keep their order; lists are ordered by id.
            ("agents", Value::Array(agents)) => {
                for agent in agents {
                    agent_sessions(agent, names, out);
                    value(agent, names, out);
                }
            }
            ("town", Value::Object(state)) => {
                for (name, part) in state {
                    if name != "config"
                        && name != "policy"
                        && !SAYS_NOTHING.contains(&name.as_str())
                    {
                        out.bytes(name.as_bytes());
                        value(part, names, out);
                    }
                }
            }
            _ => value(part, names, out),
        }
    }
}

/// Sessions that an agent remembers, as how far they lie behind.
fn agent_sessions(agent: &Value, names: &Names, out: &mut Digest) {
    let id = agent.get("id").and_then(Value::as_str).unwrap_or_default();
    for name in ["done_session", "stop_asked"] {
        match agent.get(name).and_then(Value::as_u64) {
            Some(session) => names.session(id, session, out),
            None => out.number(-1),
        }
    }
}

fn value(value_of: &Value, names: &Names, out: &mut Digest) {
    match value_of {
        Value::Null => out.bytes(b"n"),
        Value::Bool(yes) => out.bytes(&[u8::from(*yes)]),
        Value::Number(number) => out.number(number.as_i64().unwrap_or(i64::MAX)),
        Value::String(text) => names.text(text, out),
        Value::Array(list) => {
            out.bytes(b"[");
            list.iter().for_each(|entry| value(entry, names, out));
            out.bytes(b"]");
        }
        Value::Object(object) => {
            out.bytes(b"{");
            for (name, entry) in object {
                field(object, name, entry, names, out);
            }
            out.bytes(b"}");
        }
    }
}

fn field(
    object: &serde_json::Map<String, Value>,
    name: &str,
    entry: &Value,
    names: &Names,
    out: &mut Digest,
) {
    let empty = match entry {
        Value::Null => true,
        Value::Array(list) => list.is_empty(),
        Value::Object(object) => object.is_empty(),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    };
    // `attempts` of a poll, an automatic merge and a nudge only grow and name keys; those of a
    // landing are a budget.
    let names_keys = name == "attempts"
        && ["last_ok_at", "pending", "agent_id"]
            .iter()
            .any(|sibling| object.contains_key(*sibling));
    if empty || names_keys || name == "done_session" || name == "stop_asked" {
        return;
    }
    if name == "session"
        && let (Some(agent), Some(session)) = (
            object.get("agent_id").and_then(Value::as_str),
            entry.as_u64(),
        )
    {
        out.bytes(b"session");
        return names.session(agent, session, out);
    }
    if SAYS_NOTHING.contains(&name) {
        return;
    }
    names.text(name, out);
    // Only whether an agent's own attempts are at the cap decides anything.
    if name == "dispatch_attempts" && object.contains_key("role") {
        return out.number(entry.as_i64().unwrap_or(0).min(3));
    }
    value(entry, names, out);
}

/// Adds an effect under way to a digest: what it is for, and whether it is current.
pub(crate) fn effect(effect: &Effect, town: &Town, names: &Names, out: &mut Digest) {
    names.text(&effect.key.kind, out);
    names.text(&effect.key.subject, out);
    out.bytes(&[u8::from(town.wants(effect))]);
    if let EffectKind::StopAgent(stop) = &effect.kind {
        names.session(stop.agent_id.as_str(), stop.session, out);
        let current = town.agent(&stop.agent_id).map(|agent| agent.stops);
        out.bytes(&[u8::from(current == Some(effect.key.attempt))]);
    }
}
