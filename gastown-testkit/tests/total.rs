//! P12: no input, however malformed, panics, hangs, or allocates without bound.

// Helpers of tests may stop a test.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]
#![allow(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::wildcard_enum_match_arm
)]

use gastown_core::{Timestamp, check, explain, next_wakeup, settle, wire};
use gastown_testkit::cases::cases;
use gastown_testkit::fuzzing;
use gastown_testkit::towns::{now, seeds};
use proptest::prelude::*;
use serde_json::{Value, json};

/// Values that stand where others are expected.
const ODD: &[&str] = &[
    "null",
    "true",
    "0",
    "-1",
    "1e999",
    "18446744073709551615",
    "99999999999999999999999999",
    "-9223372036854775808",
    "0.5",
    "\"\"",
    "\"__null_rig__\"",
    "\"\\u0000\"",
    "\"0000-00-00T00:00:00Z\"",
    "\"0001-01-01T00:00:00Z\"",
    "\"9999-12-31T23:59:59.999Z\"",
    "\"2016-12-31T23:59:60Z\"",
    "\"PT99999999999999999999S\"",
    "[]",
    "{}",
    "[[[[[[]]]]]]",
];

/// Any JSON.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 64, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
            prop::collection::vec((".{0,8}", inner), 0..8)
                .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
        ]
    })
}

/// The places in a value, counted, so that one can be chosen.
fn places(value: &mut Value) -> usize {
    1 + match value {
        Value::Array(list) => list.iter_mut().map(places).sum::<usize>(),
        Value::Object(object) => object.values_mut().map(places).sum::<usize>(),
        _ => 0,
    }
}

/// Puts `odd` at a place of a value; the number says how many places are left before it.
fn put(value: &mut Value, left: &mut usize, odd: &Value) {
    if *left == 0 {
        *value = odd.clone();
        *left = usize::MAX;
        return;
    }
    *left -= 1;
    let entries: Vec<&mut Value> = match value {
        Value::Array(list) => list.iter_mut().collect(),
        Value::Object(object) => object.values_mut().collect(),
        _ => return,
    };
    for entry in entries {
        if *left > usize::MAX / 2 {
            return;
        }
        put(entry, left, odd);
    }
}

/// A valid event and a valid command of each sort, to be spoiled.
const EVENTS: &[&str] = &[
    r#"{"id":"e","at":"2026-04-04T12:00:00Z","type":"heartbeat","agent_id":"a1","session":1,"last_event_at":"2026-04-04T12:00:00Z","active_tools":["x"]}"#,
    r#"{"id":"e","at":"2026-04-04T12:00:00Z","type":"pr_observed","bead_id":"m1","pr_url":"https://github.com/acme/api/pull/1","observation":{"state":"open","head_sha":"h","head_branch":"b","base_branch":"main","mergeable":"clean","feedback":{"unresolved_threads":0,"threads_complete":true,"checks":{"state":"passing"},"checks_complete":true},"api_budget":{"remaining":1,"resets_at":"2026-04-04T13:00:00Z"}}}"#,
    r#"{"id":"e","at":"2026-04-04T12:00:00Z","type":"observation_gap","from":"2026-04-04T11:00:00Z","to":"2026-04-04T12:00:00Z"}"#,
    r#"{"id":"e","at":"2026-04-04T12:00:00Z","type":"agent_done","agent_id":"a1","branch":"b","pr_url":"https://github.com/acme/api/pull/1"}"#,
    r#"{"id":"e","at":"2026-04-04T12:00:00Z","type":"merge_attempted","bead_id":"m1","head_sha":"h","outcome":{"kind":"merged","commit":"c"}}"#,
];
const COMMANDS: &[&str] = &[
    r#"{"type":"sling","caller":{"kind":"mayor"},"rig_id":"r1","title":"t","metadata":{"a":{"b":[1]}},"labels":["x"]}"#,
    r#"{"type":"sling_convoy","caller":{"kind":"user","id":"ann"},"rig_id":"r1","title":"t","tasks":[{"title":"a"},{"title":"b","depends_on":[0]}]}"#,
    r#"{"type":"update_config","caller":{"kind":"user","id":"ann"},"config":{"refinery":{"auto_merge_delay_minutes":5},"env_vars":{"A":"b"}}}"#,
    r#"{"type":"nudge","caller":{"kind":"mayor"},"agent_id":"a1","message":"m","expires_at":"2026-04-04T12:00:00Z"}"#,
    r#"{"type":"grant","caller":{"kind":"user","id":"ann"},"bead_id":"b1","dispatches":4294967295}"#,
];

fn spoiled(text: &str, place: usize, odd: &str) -> String {
    let mut value: Value = serde_json::from_str(text).unwrap();
    let mut left = place % places(&mut value);
    // What is no number for a reader of JSON is put in as text.
    match serde_json::from_str(odd) {
        Ok(odd) => {
            put(&mut value, &mut left, &odd);
            value.to_string()
        }
        Err(_) => {
            put(&mut value, &mut left, &json!("@odd@"));
            value.to_string().replace("\"@odd@\"", odd)
        }
    }
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn p12_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        fuzzing::snapshot(&bytes);
        fuzzing::event(&bytes);
        fuzzing::command(&bytes);
    }

    #[test]
    fn p12_any_json(value in any_json()) {
        let _ = wire::snapshot_from_value(value.clone());
        let _ = wire::event_from_value(value.clone());
        let _ = wire::command_from_value(value.clone());
        let _ = wire::action_from_value(value.clone());
        let _ = wire::effect_from_value(value);
    }

    #[test]
    fn p12_events_and_commands_with_one_odd_value(
        which in any::<prop::sample::Index>(), place in any::<usize>(),
        odd in prop::sample::select(ODD),
    ) {
        fuzzing::event(spoiled(which.get::<&str>(EVENTS), place, odd).as_bytes());
        fuzzing::command(spoiled(which.get::<&str>(COMMANDS), place, odd).as_bytes());
    }

    #[test]
    fn p12_towns_with_odd_values_at_any_time(
        seed in seeds(0..=12),
        odd in prop::collection::vec((any::<usize>(), prop::sample::select(ODD)), 1..4),
        at in prop::sample::select(vec![Timestamp::MIN, Timestamp::from_millis(0), now(),
                                        Timestamp::from_millis(i64::MAX), Timestamp::from_millis(i64::MIN)]),
    ) {
        let mut text = seed.snapshot().to_string();
        for (place, odd) in odd {
            let next = spoiled(&text, place, odd);
            // One that no reader of JSON takes ends it.
            if serde_json::from_str::<Value>(&next).is_ok() {
                text = next;
            }
        }
        // What is not refused and breaks no invariant breaks none while it comes to rest.
        fuzzing::snapshot(text.as_bytes());
        let Ok(mut town) = wire::snapshot_from_str(&text) else { return Ok(()) };
        let settled = settle(&mut town, at);
        prop_assert!(settled.fault.is_none(), "P3: {:?}: {text}", settled.fault);
        let _ = next_wakeup(&town, at);
        let _ = check(&town, at);
        let first = town.live_beads().next().map(|bead| bead.id.clone());
        let _ = first.map(|id| explain(&town, at, &id));
    }
}

#[test]
fn p12_deep_nesting_is_refused_or_read() {
    for depth in [100, 1_000, 100_000] {
        let nested = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        let metadata = EVENTS[0].replace("[\"x\"]", &nested);
        let _ = wire::event_from_str(&metadata);
        let sling = COMMANDS[0].replace("[1]", &nested);
        let _ = wire::command_from_str(&sling);
        let _ = wire::snapshot_from_str(&nested);
    }
}

#[test]
fn p12_giant_lists_and_texts_are_refused_or_read() {
    let many = |n: usize| vec![json!({"title": "t"}); n];
    let convoy = |tasks: Vec<Value>| {
        json!({"type": "sling_convoy", "caller": {"kind": "user", "id": "ann"}, "rig_id": "r1",
               "title": "t", "tasks": tasks})
    };
    fuzzing::command(convoy(many(200)).to_string().as_bytes());
    fuzzing::command(convoy(many(100_000)).to_string().as_bytes());
    let title = "x".repeat(1_000_000);
    fuzzing::command(
        COMMANDS[0]
            .replace("\"t\"", &format!("\"{title}\""))
            .as_bytes(),
    );
    let labels = format!("[{}]", vec!["\"x\""; 100_000].join(","));
    fuzzing::command(COMMANDS[0].replace("[\"x\"]", &labels).as_bytes());
    let tools = format!("[{}]", vec!["\"x\""; 100_000].join(","));
    fuzzing::event(EVENTS[0].replace("[\"x\"]", &tools).as_bytes());
}
