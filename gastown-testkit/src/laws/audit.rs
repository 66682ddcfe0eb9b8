//! The audit log alone, read from its beginning, gives every bead.

use std::collections::BTreeMap;

use gastown_core::{ChangeSet, HistoryEntry, HistoryKind};
use serde_json::{Map, Value, json};

/// What bead events leave out: the recorded events of looks hold it.
const NOT_TOLD: &[&[&str]] = &[
    &["updated_at"],
    &["review", "head_seen_at"],
    &["review", "observation"],
    &["review", "poll"],
];

/// Beads as their events tell of them.
#[derive(Debug, Clone, Default)]
pub struct Told {
    beads: BTreeMap<String, Value>,
}

impl Told {
    /// Reads the bead events of a commit, and compares what they tell with the rows of the beads.
    ///
    /// # Errors
    /// The line that lacks something, whose old value was not told before, or the bead that changed
    /// without being told of.
    pub fn follows(&mut self, changes: &ChangeSet) -> Result<(), String> {
        let lines = changes.history.iter();
        for line in lines.filter(|line| line.kind == HistoryKind::BeadEvent) {
            self.read(line)
                .map_err(|problem| format!("audit: {problem}: {line:?}"))?;
        }
        for row in changes.put.iter().filter(|row| row.key.kind == "bead") {
            let bead: Value = serde_json::from_str(&row.body).map_err(|e| e.to_string())?;
            let (bead, told) = (plain(bead), self.beads.get(&row.key.id));
            if told != Some(&bead) {
                return Err(format!("audit: told {told:?}, stored {bead}"));
            }
        }
        Ok(())
    }

    fn read(&mut self, line: &HistoryEntry) -> Result<(), String> {
        let id = line.subject.clone().ok_or("no subject")?;
        let body: Value = serde_json::from_str(&line.body).map_err(|e| e.to_string())?;
        for (name, is_there) in [
            ("by", body.get("by").is_some_and(Value::is_string)),
            ("because", body.get("because").is_some_and(Value::is_object)),
            ("what", body.get("what").is_some_and(Value::is_string)),
        ] {
            if !is_there {
                return Err(format!("lacks `{name}`"));
            }
        }
        let Some(changed) = body.get("changed").and_then(Value::as_object) else {
            return Ok(());
        };
        for (path, values) in changed {
            let of = |name: &str| values.get(name).cloned().unwrap_or_default();
            let (old, new) = (of("old"), of("new"));
            match path.as_str() {
                "edges" => {}
                "bead" => {
                    let before = self.beads.remove(&id).unwrap_or(Value::Null);
                    if before != plain(old) {
                        return Err(format!("it was {before}"));
                    }
                    if !new.is_null() {
                        self.beads.insert(id.clone(), plain(new));
                    }
                }
                path => {
                    let bead = self.beads.get_mut(&id).ok_or("a bead not told of")?;
                    let before = replace(bead, path, new);
                    let is_empty = |value: &Value| value.is_null() || *value == json!({});
                    let both_empty = is_empty(&before) && is_empty(&old);
                    if !both_empty && plain(before.clone()) != plain(old) {
                        return Err(format!("{path} was {before}"));
                    }
                }
            }
        }
        let bead = self.beads.remove(&id);
        self.beads.extend(bead.map(|bead| (id, plain(bead))));
        Ok(())
    }
}

/// Puts a value where the path leads, or nothing, and gives back what was there.
fn replace(bead: &mut Value, path: &str, new: Value) -> Value {
    let (way, last) = match path.rsplit_once('.') {
        Some((way, last)) => (Some(way), last),
        None => (None, path),
    };
    let mut place = bead;
    for name in way.into_iter().flat_map(|way| way.split('.')) {
        if !place.is_object() {
            *place = Value::Object(Map::new());
        }
        place = &mut place[name];
    }
    if new.is_null() {
        let object = place.as_object_mut();
        return object
            .and_then(|object| object.remove(last))
            .unwrap_or_default();
    }
    std::mem::replace(&mut place[last], new)
}

/// A record without what is not told, and without what is as good as absent. What people write into
/// its metadata stays as it is.
fn plain(mut bead: Value) -> Value {
    for path in NOT_TOLD {
        let (last, way) = path.split_last().unwrap_or((&"", &[]));
        let place = way.iter().try_fold(&mut bead, |at, name| at.get_mut(name));
        if let Some(place) = place.and_then(Value::as_object_mut) {
            place.remove(*last);
        }
    }
    let metadata = bead.get_mut("metadata").map(Value::take);
    without_empty(&mut bead);
    if let Some(bead) = bead.as_object_mut() {
        let metadata = metadata.filter(|metadata| *metadata != json!({}));
        bead.extend(metadata.map(|metadata| ("metadata".to_string(), metadata)));
    }
    bead
}

fn without_empty(value: &mut Value) {
    if let Some(object) = value.as_object_mut() {
        object.values_mut().for_each(without_empty);
        object.retain(|_, value| {
            let is_empty_object = value.as_object().is_some_and(Map::is_empty);
            !value.is_null() && !is_empty_object
        });
    }
}
