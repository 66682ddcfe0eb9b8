//! Towns of a given size for the benchmarks, which measure ratios side by side in one run.

use std::ops::Range;

use gastown_core::{Row, RowKey, Timestamp, Town, settle, wire};
use serde_json::{Value, json};

/// The time at which the towns of the benchmarks are looked at.
#[must_use]
pub fn now() -> Timestamp {
    Timestamp::from_millis(1_775_304_000_000)
}

/// A settled town of `beads` issues in two rigs with a polecat limit, as a busy day leaves it: some
/// at work, the others waiting for them.
///
/// # Errors
/// If the snapshot that it is made from is refused.
pub fn town(beads: usize) -> Result<Town, wire::WireError> {
    let at = Value::from(now().to_string());
    let rig = |id: &str| {
        json!({"id": id, "name": id, "git_url": format!("https://github.com/acme/{id}.git"),
               "default_branch": "main", "created_at": at, "config": {"max_polecats_per_rig": 10}})
    };
    let issue = |n: usize| {
        json!({"id": format!("b{n}"), "type": "issue", "status": "open", "title": "Work",
               "rig_id": if n.is_multiple_of(2) { "r1" } else { "r2" }, "created_at": at})
    };
    let mut town = wire::snapshot_from_value(json!({
        "format": wire::SNAPSHOT_FORMAT, "town": {"id": "bench"},
        "rigs": [rig("r1"), rig("r2")],
        "beads": (0..beads).map(issue).collect::<Vec<_>>(),
    }))?;
    let _ = settle(&mut town, now());
    Ok(town)
}

/// Rows of beads with these numbers, each with a body of about that many bytes.
#[must_use]
pub fn rows(beads: Range<usize>, body_bytes: usize) -> Vec<Row> {
    beads
        .map(|n| Row {
            key: RowKey {
                kind: "bead".into(),
                id: format!("b{n}"),
            },
            working: true,
            body: json!({"title": format!("Work {n}"), "rig_id": "r1", "body": "x".repeat(body_bytes)})
                .to_string(),
        })
        .collect()
}
