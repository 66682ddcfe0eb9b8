//! The recorded data beside the workspace, when it is there.

use std::path::{Path, PathBuf};

use serde_json::Value;

/// Where a file of the recorded data is, if the data is there at all.
fn place(path: &str) -> Option<PathBuf> {
    let all = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/github-data");
    if all.is_dir() {
        return Some(all.join(path));
    }
    println!("skipped: no recorded data at {}", all.display());
    None
}

/// One file as text.
pub(crate) fn text(path: &str) -> Option<String> {
    let place = place(path)?;
    Some(std::fs::read_to_string(&place).unwrap_or_else(|it| panic!("{}: {it}", place.display())))
}

/// One file as JSON.
pub(crate) fn json(path: &str) -> Option<Value> {
    Some(serde_json::from_str(&text(path)?).unwrap())
}

/// All JSON files below a directory, by their path from there.
pub(crate) fn all(directory: &str) -> Vec<(String, Value)> {
    let Some(root) = place(directory) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    let mut open = vec![root.clone()];
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|it| it == "json") {
                let name = path
                    .strip_prefix(&root)
                    .unwrap()
                    .to_string_lossy()
                    .into_owned();
                found.push((
                    name,
                    serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap(),
                ));
            }
        }
    }
    found.sort_by(|a, b| a.0.cmp(&b.0));
    assert!(!found.is_empty(), "{directory} is empty");
    found
}

/// The recorded exchanges of one scenario.
pub(crate) fn exchanges(name: &str) -> Vec<Value> {
    let scenario = json(&format!("rest-recorded/{name}.json"));
    scenario
        .map(|it| it["exchanges"].as_array().unwrap().clone())
        .unwrap_or_default()
}

/// Every way to damage a value a little, down to this depth: each member dropped, each member
/// null, each text an unknown word. With each comes the path of the member.
pub(crate) fn damaged(value: &Value, depth: usize) -> Vec<(String, Value)> {
    let mut pointers = Vec::new();
    collect(value, String::new(), depth, &mut pointers);
    let mut all = Vec::new();
    for pointer in pointers {
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        let mut dropped = value.clone();
        if let Some(members) = dropped.pointer_mut(parent).unwrap().as_object_mut() {
            members.remove(key);
            all.push((pointer.clone(), dropped));
        }
        for damage in [Value::Null, Value::from("invented_word")] {
            let is_text = value.pointer(&pointer).is_some_and(Value::is_string);
            if damage.is_null() || is_text {
                let mut changed = value.clone();
                *changed.pointer_mut(&pointer).unwrap() = damage;
                all.push((pointer.clone(), changed));
            }
        }
    }
    all
}

fn collect(value: &Value, at: String, depth: usize, pointers: &mut Vec<String>) {
    let members: Vec<(String, &Value)> = match value {
        Value::Object(members) => members.iter().map(|(key, it)| (key.clone(), it)).collect(),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .map(|(index, it)| (index.to_string(), it))
            .collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    };
    for (key, member) in members {
        // A name with a slash would need escaping, and none that matters has one.
        if depth > 0 && !key.contains(['/', '~']) {
            let pointer = format!("{at}/{key}");
            pointers.push(pointer.clone());
            collect(member, pointer, depth - 1, pointers);
        }
    }
}
