//! Dependencies point to the core only; no adapter knows another adapter or the runtime (design).

// Helpers of tests may stop a test.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]
#![allow(clippy::arithmetic_side_effects, clippy::wildcard_enum_match_arm)]

use std::process::Command;

use serde_json::Value;

fn metadata() -> Value {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--no-deps", "--offline"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn crates_know_only_what_they_may() {
    let allowed: [(&str, &[&str]); 6] = [
        ("gastown-core", &[]),
        ("gastown-github", &["gastown-core"]),
        ("gastown-store-memory", &["gastown-core"]),
        ("gastown-store-sqlite", &["gastown-core"]),
        ("gastown-runtime", &["gastown-core"]),
        ("gastown-testkit", &["gastown-core"]),
    ];
    let metadata = metadata();
    for (name, may_know) in allowed {
        let packages = metadata["packages"].as_array().unwrap();
        let package = packages.iter().find(|p| p["name"] == name).unwrap();
        for dependency in package["dependencies"].as_array().unwrap() {
            let known = dependency["name"].as_str().unwrap();
            let is_ours = known.starts_with("gastown-");
            // Tests may put the parts together.
            if is_ours && dependency["kind"].is_null() {
                assert!(may_know.contains(&known), "{name} must not know {known}");
            }
        }
    }
}

#[test]
fn the_core_asks_nobody_for_time_or_chance() {
    let metadata = metadata();
    let packages = metadata["packages"].as_array().unwrap();
    let core = packages
        .iter()
        .find(|p| p["name"] == "gastown-core")
        .unwrap();
    for dependency in core["dependencies"].as_array().unwrap() {
        if dependency["kind"].is_null() {
            let name = dependency["name"].as_str().unwrap();
            let features = dependency["features"].as_array().unwrap();
            assert!(
                !["rand", "tokio", "getrandom", "fastrand"].contains(&name),
                "{name}"
            );
            let std_free = dependency["uses_default_features"] == false
                || ["async-trait", "serde_path_to_error"].contains(&name);
            assert!(std_free, "{name} is used with its default features");
            for banned in ["std", "clock", "now"] {
                assert!(
                    !features.iter().any(|f| f == banned),
                    "{name} has feature {banned}"
                );
            }
        }
    }
}
