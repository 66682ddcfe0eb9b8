//! `docs/rules.md` is generated from the registry; `UPDATE_DOCS=1` writes it.

// Helpers of tests may stop a test.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]
#![allow(clippy::arithmetic_side_effects, clippy::wildcard_enum_match_arm)]

use std::fmt::Write;
use std::path::Path;

use gastown_core::GROUPS;

fn catalogue() -> String {
    let mut out = String::from(
        "# Rules\n\nGenerated from the registry in `gastown-core/src/rules.rs`. In one pass the groups that recover come first; if they \
         decide anything,\nnothing else is decided in that pass. Where two rules would change the same bead or agent, the earlier wins.\n",
    );
    for group in GROUPS {
        let recovers = if group.recovers { " (recovers)" } else { "" };
        write!(
            out,
            "\n## {}{recovers}\n\n| rule | what it does |\n| --- | --- |\n",
            group.name
        )
        .unwrap();
        for rule in group.rules {
            writeln!(out, "| `{}` | {} |", rule.id, rule.text).unwrap();
        }
    }
    out
}

#[test]
fn docs_rules_md_is_what_the_registry_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/rules.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, catalogue()).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(
        written,
        catalogue(),
        "run UPDATE_DOCS=1 cargo test -p gastown-core --test catalogue"
    );
}

#[test]
fn every_rule_has_an_id_of_its_group_s_kind_and_a_text() {
    for rule in gastown_core::rules() {
        let (group, name) = rule.id.split_once('/').expect("group/name");
        assert!(!group.is_empty() && !name.is_empty(), "{}", rule.id);
        assert!(
            rule.text.ends_with('.') && rule.text.len() > 20,
            "{}: {}",
            rule.id,
            rule.text
        );
    }
}

/// Every rule is shown by tests that carry its id (`agents/heartbeat-lost` → `agents_heartbeat_lost_…`).
#[test]
fn every_rule_is_shown_by_tests_that_carry_its_id() {
    let mut sources = String::new();
    read_all(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("src/rules"),
        &mut sources,
    );
    for rule in gastown_core::rules() {
        let name = rule.id.replace(['/', '-'], "_");
        assert!(
            sources.contains(&format!("fn {name}")),
            "no test is named after {}",
            rule.id
        );
    }
}

fn read_all(directory: &Path, out: &mut String) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read_all(&path, out);
        } else {
            out.push_str(&std::fs::read_to_string(&path).unwrap());
        }
    }
}
