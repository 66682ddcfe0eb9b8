//! Golden files of the wire formats (spec 8): what was once written is read, and written the same.
//! A change of one of these lines is a new version of the format with a migration.

// Helpers of tests may stop a test.
#![allow(clippy::panic, clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeSet;

use gastown_core::{EffectKind, EventKind, wire};

/// Reads and writes each line; returns the types seen.
fn round_trip(
    lines: &str,
    again: fn(&str) -> Result<(String, String), wire::WireError>,
) -> BTreeSet<String> {
    lines
        .lines()
        .map(|line| {
            let (type_name, written) =
                again(line).unwrap_or_else(|error| panic!("{line}: {error}"));
            assert_eq!(written, line);
            type_name
        })
        .collect()
}

#[test]
fn events() {
    let seen = round_trip(include_str!("golden/events.jsonl"), |line| {
        let event = wire::event_from_str(line)?;
        Ok((
            event.kind.type_name().into(),
            serde_json::to_string(&event).unwrap(),
        ))
    });
    assert_eq!(
        seen.iter().map(String::as_str).collect::<BTreeSet<_>>(),
        EventKind::TYPES.iter().copied().collect()
    );
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
    assert_eq!(
        seen.iter().map(String::as_str).collect::<BTreeSet<_>>(),
        EffectKind::TYPES.iter().copied().collect()
    );
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
        r#"beads[1]: duplicate of "b1""#
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
