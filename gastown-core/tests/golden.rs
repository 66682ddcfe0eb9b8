//! Golden files of the wire formats (spec 8): what was once written is read, and written the same.
//! A change of one of these lines is a new version of the format with a migration.

// Helpers of tests may stop a test.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing
)]

#[path = "golden/validate.rs"]
mod validate;

use std::collections::{BTreeMap, BTreeSet};

use gastown_core::{
    ActionKind, CommandKind, EffectKind, EventKind, ForgeError, TownConfig, command_schemas,
    event_schemas, wire,
};
use serde_json::{Value, json};

const COMMANDS: &str = include_str!("golden/commands.jsonl");
const EVENTS: &str = include_str!("golden/events.jsonl");

/// Reads and writes each line; returns the types seen. All that differs is shown at once.
fn round_trip(
    lines: &str,
    again: fn(&str) -> Result<(String, String), wire::WireError>,
) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    let mut differences = Vec::new();
    for line in lines.lines() {
        match again(line) {
            Ok((type_name, written)) => {
                if written != line {
                    differences.push(format!("{line}\n  is written {written}"));
                }
                seen.insert(type_name);
            }
            Err(error) => differences.push(format!("{line}\n  {error}")),
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    seen
}

fn types(known: &[&str]) -> BTreeSet<String> {
    known.iter().map(|name| (*name).to_string()).collect()
}

#[test]
fn commands() {
    let seen = round_trip(COMMANDS, |line| {
        let command = wire::command_from_str(line)?;
        Ok((
            command.kind.type_name().into(),
            serde_json::to_string(&command).unwrap(),
        ))
    });
    assert_eq!(seen, types(CommandKind::TYPES));
}

#[test]
fn actions() {
    let seen = round_trip(include_str!("golden/actions.jsonl"), |line| {
        let action = wire::action_from_str(line)?;
        Ok((
            action.kind.type_name().into(),
            serde_json::to_string(&action).unwrap(),
        ))
    });
    assert_eq!(seen, types(ActionKind::TYPES));
}

#[test]
fn snapshot() {
    let text = include_str!("golden/snapshot.json");
    let town = wire::snapshot_from_str(text).unwrap();
    let written = wire::snapshot_to_value(&town).unwrap();
    let golden: Value = serde_json::from_str(text).unwrap();
    assert_eq!(written, golden);
    let seen: BTreeSet<&str> = golden["beads"]
        .as_array()
        .unwrap()
        .iter()
        .map(|bead| bead["type"].as_str().unwrap())
        .collect();
    assert_eq!(seen.len(), 6, "every type of bead: {seen:?}");
}

#[test]
fn every_error_of_the_forge_stands_in_the_golden_file() {
    // A new variant does not compile here before it has a line.
    let kind = |error: &ForgeError| match error {
        ForgeError::NoToken { .. } => "no_token",
        ForgeError::Unauthorized => "unauthorized",
        ForgeError::Forbidden => "forbidden",
        ForgeError::NotFound { .. } => "not_found",
        ForgeError::RateLimited { .. } => "rate_limited",
        ForgeError::Server { .. } => "server",
        ForgeError::Network => "network",
        ForgeError::InvalidResponse { .. } => "invalid_response",
        ForgeError::UnrecognizedUrl => "unrecognized_url",
        ForgeError::RepositoryMismatch => "repository_mismatch",
        ForgeError::HostNotAllowed => "host_not_allowed",
    };
    let seen: BTreeSet<&str> = EVENTS
        .lines()
        .filter_map(|line| {
            let EventKind::PrObserved(observed) = wire::event_from_str(line).unwrap().kind else {
                return None;
            };
            observed.error
        })
        .map(|error| kind(&error))
        .collect();
    assert_eq!(seen.len(), 11, "{seen:?}");
}

/// Every line is what the schema of its type describes; each way of breaking it is refused by the
/// parser and by the schema alike.
fn check_schemas(
    lines: &str,
    schemas: &BTreeMap<&'static str, Value>,
    read: fn(Value) -> Result<(), wire::WireError>,
) {
    for line in lines.lines() {
        let value: Value = serde_json::from_str(line).unwrap();
        let type_name = value["type"].as_str().unwrap();
        let schema = &schemas[type_name];
        assert!(validate::is_valid(schema, &value), "{line}\n{schema:#}");
        let object = value.as_object().unwrap();
        let mut broken = vec![with(&value, "surplus", json!(1))];
        for name in object.keys() {
            // Free data takes anything.
            if name != "data" {
                broken.push(with(&value, name, json!({"surplus": 1.5})));
                broken.push(with(&value, name, json!(["surplus", 1.5])));
            }
            let mut without = object.clone();
            without.remove(name);
            broken.push(Value::Object(without));
        }
        for broken in broken {
            // What is data of the host's, or settings whose merge is judged when they are applied,
            // is taken by both.
            let is_read = read(broken.clone()).is_ok();
            let is_valid = validate::is_valid(schema, &broken);
            assert!(
                is_read == is_valid || (is_read && broken.get("config").is_some()),
                "read: {is_read}, valid: {is_valid}\n{broken}\n{schema:#}"
            );
        }
    }
}

fn with(value: &Value, name: &str, of: Value) -> Value {
    let mut changed = value.clone();
    changed[name] = of;
    changed
}

#[test]
fn schemas_of_commands_describe_what_is_read_and_nothing_else() {
    check_schemas(COMMANDS, &command_schemas(), |value| {
        wire::command_from_value(value).map(|_| ())
    });
}

#[test]
fn schemas_of_events_describe_what_is_read_and_nothing_else() {
    check_schemas(EVENTS, &event_schemas(), |value| {
        wire::event_from_value(value).map(|_| ())
    });
}

/// Every property of an object's schema, however deep, with its path.
fn each_property(schema: &Value, path: &str, see: &mut dyn FnMut(&str, &Value)) {
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}.{name}");
        see(&path, property);
        each_property(property, &path, see);
    }
    for inner in schema["anyOf"].as_array().into_iter().flatten() {
        each_property(inner, path, see);
    }
}

#[test]
fn every_field_has_a_title_and_a_description() {
    let mut schemas: Vec<(String, Value)> = Vec::new();
    for (name, schema) in command_schemas().into_iter().chain(event_schemas()) {
        assert!(
            schema["title"].is_string() && schema["description"].is_string(),
            "{name}"
        );
        for (field, property) in schema["properties"].as_object().unwrap() {
            let path = format!("{name}.{field}");
            assert!(property["title"].is_string(), "{path} has no title");
            assert!(
                property["description"].is_string(),
                "{path} has no description"
            );
        }
        schemas.push((name.into(), schema));
    }
    // A host draws its settings page from this one.
    let update = command_schemas().remove("update_config").unwrap();
    let settings = &update["properties"]["config"];
    let mut seen = BTreeSet::new();
    each_property(settings, "config", &mut |path, property| {
        assert!(property["title"].is_string(), "{path} has no title");
        assert!(
            property["description"].is_string(),
            "{path} has no description"
        );
        seen.insert(path.to_string());
    });
    assert!(
        seen.contains("config.refinery.auto_merge_delay_minutes"),
        "{seen:?}"
    );
    assert_eq!(
        settings["properties"]["refinery"]["title"],
        json!("Refinery")
    );
}

#[test]
fn settings_that_are_seeded_and_written_are_valid_against_their_schema() {
    let schema = &command_schemas()["update_config"];
    let of = |config: Value| json!({"type": "update_config", "caller": {"kind": "host"}, "config": config});
    let seed = serde_json::to_value(TownConfig::seed()).unwrap();
    let golden: Value = serde_json::from_str(include_str!("golden/snapshot.json")).unwrap();
    for config in [
        seed,
        golden["town"]["config"].clone(),
        json!({"refinery": null}),
    ] {
        assert!(validate::is_valid(schema, &of(config.clone())), "{config}");
    }
    for config in [
        json!({"max_polecats_per_rig": 0}),
        json!({"max_polecats_per_rig": 51}),
        json!({"refinery": {"auto_merge_delay_minutes": "soon"}}),
        json!({"refinery": {"auto_merge_delay_minutes": -1}}),
        json!({"merge_strategy": "queue"}),
        json!({"speed": 1}),
    ] {
        assert!(!validate::is_valid(schema, &of(config.clone())), "{config}");
    }
}

#[test]
fn a_variant_without_fields_refuses_what_stands_beside_its_tag() {
    let event = |kind: &str, rest: Value| {
        let mut event =
            json!({"id": "e", "at": "2026-04-04T12:00:00Z", "type": kind, "bead_id": "m1"});
        event
            .as_object_mut()
            .unwrap()
            .extend(rest.as_object().unwrap().clone());
        wire::event_from_value(event).unwrap_err().path
    };
    assert_eq!(
        event(
            "pr_observed",
            json!({"error": {"kind": "network", "status": 1}})
        ),
        "error.status"
    );
    let outcome = json!({"head_sha": "h", "outcome": {"kind": "queued", "position": 1}});
    assert_eq!(event("merge_attempted", outcome), "outcome.position");
    let command = json!({"type": "probe", "caller": {"kind": "mayor", "id": "a1"}});
    assert_eq!(
        wire::command_from_value(command).unwrap_err().path,
        "caller.id"
    );
}

#[test]
fn events() {
    let seen = round_trip(EVENTS, |line| {
        let event = wire::event_from_str(line)?;
        Ok((
            event.kind.type_name().into(),
            serde_json::to_string(&event).unwrap(),
        ))
    });
    assert_eq!(seen, types(EventKind::TYPES));
}

#[test]
fn effects() {
    let seen = round_trip(include_str!("golden/effects.jsonl"), |line| {
        let effect = wire::effect_from_str(line)?;
        Ok((
            effect.kind.type_name().into(),
            serde_json::to_string(&effect).unwrap(),
        ))
    });
    assert_eq!(seen, types(EffectKind::TYPES));
}

#[test]
fn a_bare_word_is_read_as_the_outcome_of_a_verification() {
    let read = |rest: &str| {
        wire::event_from_str(&format!(
            r#"{{"id":"e","at":"2026-04-04T12:00:00Z","type":"merge_verified","bead_id":"m1",{rest}}}"#
        ))
    };
    assert_eq!(
        read(r#""outcome":"absent""#).unwrap(),
        read(r#""outcome":{"kind":"absent"}"#).unwrap()
    );
    assert_eq!(
        read(r#""outcome":"landed","commit":"c""#).unwrap(),
        read(r#""outcome":{"kind":"landed","commit":"c"}"#).unwrap()
    );
    assert!(read(r#""outcome":"landed""#).is_err());
    assert!(read(r#""outcome":"perhaps""#).is_err());
}

#[test]
fn what_can_not_be_read_is_refused_with_its_path() {
    let cases = [
        (
            r#"{"id":"e","at":"yesterday","type":"agent_gone","agent_id":"a"}"#,
            "at",
        ),
        (
            r#"{"id":"","at":"2026-04-04T12:00:00Z","type":"agent_gone","agent_id":"a"}"#,
            "id",
        ),
        (
            r#"{"id":"e","at":"2026-04-04T12:00:00Z","type":"nonsense"}"#,
            "type",
        ),
        (
            r#"{"id":"e","at":"2026-04-04T12:00:00Z","type":"agent_gone","agent_id":"__none__"}"#,
            "agent_id",
        ),
        (
            r#"{"id":"e","at":"2026-04-04T12:00:00Z","type":"agent_gone","agent_id":"a","rig":"r"}"#,
            "rig",
        ),
        (
            r#"{"id":"e","at":"2026-04-04T12:00:00Z","type":"pr_observed","bead_id":"m"}"#,
            ".",
        ),
        ("[]", "."),
        ("{", "."),
    ];
    for (line, path) in cases {
        assert_eq!(wire::event_from_str(line).unwrap_err().path, path, "{line}");
    }
}

#[test]
fn snapshots_are_refused_with_path_and_expectation() {
    let bead = |rest: &str| {
        format!(
            r#"{{"format":"gastown.town/1","town":{{"id":"t"}},"beads":[{{"id":"b1","type":"issue","status":"open","title":"t","created_at":"2026-04-04T12:00:00Z"{rest}}}]}}"#
        )
    };
    let cases = [
        (r#"{"town":{"id":"t"}}"#.to_string(), "format"),
        (
            r#"{"format":"gastown.town/9","town":{"id":"t"}}"#.to_string(),
            "format",
        ),
        (
            r#"{"format":"gastown.town/1","town":{"id":"t"},"extra":1}"#.to_string(),
            "extra",
        ),
        (
            r#"{"format":"gastown.town/1","town":{"id":"t","policy":{"start_grace":"soon"}}}"#
                .to_string(),
            "town.policy.start_grace",
        ),
        (
            r#"{"format":"gastown.town/1","town":{"id":"t","config":{"max_polecats_per_rig":0}}}"#
                .to_string(),
            "town.config.max_polecats_per_rig",
        ),
        (bead(r#","rig_id":"""#), "beads[0].rig_id"),
        (bead(r#","priority":"urgent""#), "beads[0].priority"),
        (
            bead(r#","labels":["gt:rework","gt:triage"]"#),
            "beads[0].labels",
        ),
        (
            bead(r#","labels":["gt:rework"],"metadata":{"branch":7}"#),
            "beads[0].metadata.branch",
        ),
        (bead(r#","metadata":"{}""#), "beads[0].metadata"),
    ];
    for (text, path) in cases {
        let error = wire::snapshot_from_str(&text).unwrap_err();
        assert_eq!(error.path, path, "{text}: {error}");
    }
    let twice = bead("").replace("}]}", r#"},{"id":"b1","type":"issue","status":"open","title":"t","created_at":"2026-04-04T12:00:00Z"}]}"#);
    assert_eq!(
        wire::snapshot_from_str(&twice).unwrap_err().to_string(),
        r#"beads[1].id: duplicate of "b1", expected each once"#
    );
}

#[test]
fn a_snapshot_shows_no_secret_and_keeps_it_out_of_all_but_one_row() {
    let text = r#"{"format":"gastown.town/1","town":{"id":"t","config":{"git_auth":{"github_token":"ghp_verysecret"},"llm_token":"sk-verysecret"}}}"#;
    let mut town = wire::snapshot_from_str(text).unwrap();
    assert!(
        !wire::snapshot_to_value(&town)
            .unwrap()
            .to_string()
            .contains("verysecret")
    );
    let rows = town.take_changes().put;
    for row in &rows {
        assert_eq!(
            row.body.contains("verysecret"),
            gastown_core::is_secret_row(&row.key),
            "{}",
            row.key.kind
        );
    }
    let again = gastown_core::Town::from_rows(rows).unwrap();
    assert_eq!(
        again.state().config.llm_token.as_ref().unwrap().expose(),
        Some("sk-verysecret")
    );
}

/// I17: neither what is stored, nor what is answered, nor a refusal shows what may be a secret, also
/// where it stands in the wrong place.
#[test]
fn no_update_and_no_refusal_shows_a_secret() {
    const SECRET: &str = "verysecret1234";
    let now = "2026-04-04T12:00:00Z".parse().unwrap();
    let mut town =
        wire::snapshot_from_str(r#"{"format":"gastown.town/1","town":{"id":"t"}}"#).unwrap();
    let configs = [
        json!({"llm_token": SECRET, "github_cli_pat": SECRET, "git_auth": {"github_token": SECRET}}),
        json!({"llm_token": {"value": SECRET}}),
        json!({"llm_token": [SECRET]}),
        json!({"git_auth": SECRET}),
        json!({"git_auth": [SECRET]}),
        json!({"git_auth": {"token": SECRET}}),
        json!({"git_auth": {"github_token": [SECRET]}}),
        json!({"llm_token": SECRET, "max_polecats_per_rig": 51}),
        json!({"llm_token": SECRET, "speed": 1}),
    ];
    let mut refused = 0;
    for config in configs {
        let command =
            json!({"type": "update_config", "caller": {"kind": "host"}, "config": config});
        let command = wire::command_from_value(command).unwrap();
        let mut shown = format!("{command:?} {}", serde_json::to_string(&command).unwrap());
        match town.execute(command, now) {
            Ok(receipt) => shown += &format!("{receipt:?}"),
            Err(error) => {
                refused += 1;
                shown += &format!("{error} {error:?}");
            }
        }
        shown += &wire::snapshot_to_value(&town).unwrap().to_string();
        shown += &format!("{:?}", town.state().config);
        assert!(!shown.contains(SECRET), "{shown}");
        let snapshot = json!({"format": "gastown.town/1", "town": {"id": "t", "config": config}});
        let request = json!({"now": "2026-04-04T12:00:00Z", "snapshot": snapshot}).to_string();
        let answer = match gastown_core::dry_run(&request) {
            Ok(answer) => answer,
            Err(error) => error.to_string(),
        };
        assert!(!answer.contains(SECRET), "{answer}");
    }
    assert_eq!(refused, 8, "all but the first");
    let stored = &town.state().config;
    assert_eq!(stored.llm_token.as_ref().unwrap().expose(), Some(SECRET));
}
