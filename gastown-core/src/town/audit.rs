//! What happened to each bead: who changed it, why, and from what to what (spec 6.1, history).
//!
//! One *unit* is one event, one command or one action. Whatever a unit does to a bead is one line
//! at least, so that no change of a bead can go unrecorded.

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

use serde_json::{Map, Value, json};

use crate::bead::Bead;
use crate::edge::Edge;
use crate::ids::BeadId;
use crate::store::{HistoryEntry, HistoryKind};
use crate::tick::to_json;
use crate::time::Timestamp;

/// What is not told of a bead: when it was last touched, and what was seen of its pull request.
/// The recorded events hold the latter whole, and every look would be a line that is kept for ever.
const NOT_TOLD: &[&str] = &[
    "updated_at",
    "review.head_seen_at",
    "review.observation",
    "review.poll",
];

/// Who did something, and what made them do it.
#[derive(Debug, Clone)]
pub(crate) struct Cause {
    /// The caller of a command, the agent that reports what it did, `engine` for a rule, or `host`
    /// for what the host saw.
    pub(crate) by: String,
    /// `rule`, `event` or `command`.
    pub(crate) kind: &'static str,
    /// The rule's id, or the type of the event or command.
    pub(crate) name: String,
    pub(crate) at: Timestamp,
}

/// A line about a bead, before it is written.
#[derive(Debug, Clone)]
struct Line {
    bead: BeadId,
    at: Timestamp,
    what: String,
    detail: Value,
    /// The unit that the line belongs to; none while that is under way.
    cause: Option<Cause>,
    /// The bead before and after the unit, in the unit's last line about it.
    changed: Option<Changed>,
}

#[derive(Debug, Clone, Default)]
struct Changed {
    before: Option<Arc<Bead>>,
    after: Option<Arc<Bead>>,
    edges_added: Vec<Edge>,
    edges_removed: Vec<Edge>,
}

/// The lines since the last commit, and what the unit under way found.
#[derive(Debug, Clone, Default)]
pub(super) struct Audit {
    lines: Vec<Line>,
    /// How many of the lines belong to units that have ended.
    ended: usize,
    /// Beads that the unit touched, as they were.
    beads: BTreeMap<BeadId, Option<Arc<Bead>>>,
    /// Edges that the unit touched: whether they were there.
    edges: BTreeMap<Edge, bool>,
}

impl Audit {
    pub(super) fn bead_was(&mut self, id: &BeadId, before: Option<&Arc<Bead>>) {
        if !self.beads.contains_key(id) {
            self.beads.insert(id.clone(), before.cloned());
        }
    }

    pub(super) fn edge_was(&mut self, edge: &Edge, before: bool) {
        if !self.edges.contains_key(edge) {
            self.edges.insert(edge.clone(), before);
        }
    }

    pub(super) fn log(&mut self, bead: &BeadId, at: Timestamp, what: &str, detail: Value) {
        self.lines.push(Line {
            bead: bead.clone(),
            at,
            what: what.into(),
            detail,
            cause: None,
            changed: None,
        });
    }

    /// Ends a unit. `bead` and `edge` say how things are now.
    pub(super) fn end_unit<'a>(
        &mut self,
        cause: &Cause,
        bead: impl Fn(&BeadId) -> Option<&'a Arc<Bead>>,
        edge: impl Fn(&Edge) -> bool,
    ) {
        let mut changes: BTreeMap<BeadId, Changed> = BTreeMap::new();
        for (id, before) in core::mem::take(&mut self.beads) {
            let after = bead(&id);
            if before.as_ref() != after {
                let changed = changes.entry(id).or_default();
                changed.before = before;
                changed.after = after.cloned();
            }
        }
        for (touched, before) in core::mem::take(&mut self.edges) {
            if edge(&touched) != before {
                let changed = changes.entry(touched.bead_id.clone()).or_default();
                let edges = if before {
                    &mut changed.edges_removed
                } else {
                    &mut changed.edges_added
                };
                edges.push(touched);
            }
        }
        for line in self.lines.iter_mut().skip(self.ended).rev() {
            line.cause = Some(cause.clone());
            line.changed = changes.remove(&line.bead);
        }
        for (bead, changed) in changes {
            self.lines.push(Line {
                bead,
                at: cause.at,
                what: CHANGED.into(),
                detail: json!({}),
                cause: Some(cause.clone()),
                changed: Some(changed),
            });
        }
        self.ended = self.lines.len();
    }

    /// The lines as they are stored. What was done outside of every unit, by reading a snapshot, is
    /// no event of a bead.
    pub(super) fn into_history(self) -> Vec<HistoryEntry> {
        self.lines.into_iter().filter_map(Line::written).collect()
    }
}

/// The line of a unit that has no other about a bead.
const CHANGED: &str = "changed";

impl Line {
    fn written(self) -> Option<HistoryEntry> {
        let changed = self
            .changed
            .as_ref()
            .map(Changed::fields)
            .unwrap_or_default();
        if self.what == CHANGED && changed.is_empty() {
            return None;
        }
        let mut body = json!({"what": self.what, "detail": self.detail});
        if let Some(body) = body.as_object_mut() {
            if let Some(cause) = self.cause {
                body.insert("by".into(), cause.by.into());
                body.insert("because".into(), json!({cause.kind: cause.name}));
            }
            if !changed.is_empty() {
                body.insert("changed".into(), changed.into());
            }
        }
        Some(HistoryEntry {
            kind: HistoryKind::BeadEvent,
            subject: Some(self.bead.as_str().into()),
            at: self.at,
            body: body.to_string(),
        })
    }
}

impl Changed {
    /// Old and new value of each field that changed, by its path.
    fn fields(&self) -> Map<String, Value> {
        let mut out = Map::new();
        match (&self.before, &self.after) {
            (None, None) => {}
            (Some(before), Some(after)) => {
                if !same_but_for_looks(before, after) {
                    let (before, after) = (to_json(&**before), to_json(&**after));
                    differences("", &before, &after, &mut out);
                }
            }
            (before, after) => {
                let (before, after) = (before.as_deref(), after.as_deref());
                out.insert("bead".into(), old_new(&to_json(&before), &to_json(&after)));
            }
        }
        if !(self.edges_added.is_empty() && self.edges_removed.is_empty()) {
            let edges = old_new(&to_json(&self.edges_removed), &to_json(&self.edges_added));
            out.insert("edges".into(), edges);
        }
        out
    }
}

/// Whether nothing differs that [`NOT_TOLD`] does not leave out. Most changes are looks, and writing
/// both beads to find that out would take longer than the rest of a tick.
fn same_but_for_looks(before: &Bead, after: &Bead) -> bool {
    let mut before = before.clone();
    before.updated_at = after.updated_at;
    if let (Some(before), Some(after)) = (before.review_mut(), after.review()) {
        before.head_seen_at = after.head_seen_at;
        before.observation.clone_from(&after.observation);
        before.poll.clone_from(&after.poll);
    }
    before == *after
}

/// What is told of by path has a path that leads there alone, and `null` for what is not there.
fn differences(path: &str, old: &Value, new: &Value, out: &mut Map<String, Value>) {
    if old == new || NOT_TOLD.contains(&path) {
        return;
    }
    let (Value::Object(olds), Value::Object(news)) = (old, new) else {
        out.insert(path.to_string(), old_new(old, new));
        return;
    };
    // In what people write there may be a `null`; elsewhere it is what is not there.
    let is_free = path.split('.').next() == Some("metadata");
    let is_unclear = |side: &Map<String, Value>| {
        let mut entries = side.iter();
        entries.any(|(key, value)| key.contains('.') || is_free && value.is_null())
    };
    if is_unclear(olds) || is_unclear(news) {
        out.insert(path.to_string(), old_new(old, new));
        return;
    }
    let added = news.keys().filter(|key| !olds.contains_key(*key));
    for key in olds.keys().chain(added) {
        let path = if path.is_empty() {
            key.clone()
        } else {
            alloc::format!("{path}.{key}")
        };
        let value = |side: &Map<String, Value>| side.get(key).cloned().unwrap_or(Value::Null);
        differences(&path, &value(olds), &value(news), out);
    }
}

fn old_new(old: &Value, new: &Value) -> Value {
    json!({"old": old, "new": new})
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The differences, and what a reader makes of them.
    fn told(old: &Value, new: &Value) -> String {
        let mut out = Map::new();
        differences("metadata", old, new, &mut out);
        Value::from(out).to_string()
    }

    #[test]
    fn changes_are_told_by_a_path_that_leads_there_alone() {
        let (old, new) = (
            json!({"a": {"b": 1, "c": 1}, "d": 1}),
            json!({"a": {"b": 2, "c": 1}, "e": 1}),
        );
        insta::assert_snapshot!(told(&old, &new), @r#"{"metadata.a.b":{"new":2,"old":1},"metadata.d":{"new":null,"old":1},"metadata.e":{"new":1,"old":null}}"#);
    }

    /// `a.b` and `b` in `a` have one path, and a `null` looks like nothing.
    #[test]
    fn what_has_no_clear_path_is_told_whole() {
        let (old, new) = (
            json!({"a.b": 1, "a": {"b": 1}}),
            json!({"a.b": 2, "a": {"b": 3}}),
        );
        insta::assert_snapshot!(told(&old, &new), @r#"{"metadata":{"new":{"a":{"b":3},"a.b":2},"old":{"a":{"b":1},"a.b":1}}}"#);
        let (old, new) = (json!({"x": {"y": 1}}), json!({"x": {"y": 1, "z": null}}));
        insta::assert_snapshot!(told(&old, &new), @r#"{"metadata.x":{"new":{"y":1,"z":null},"old":{"y":1}}}"#);
    }
}
