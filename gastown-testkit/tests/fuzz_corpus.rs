//! The bodies of the fuzz targets over their corpora, on stable; every target has one of each.

// Helpers of tests may stop a test.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]
#![allow(clippy::arithmetic_side_effects, clippy::wildcard_enum_match_arm)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use gastown_testkit::fuzzing;

fn fuzz_directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz")
}

fn replay(target: &str, body: fn(&[u8])) {
    let corpus = fuzz_directory().join("corpus").join(target);
    let mut count = 0;
    for entry in std::fs::read_dir(&corpus).unwrap() {
        let data = std::fs::read(entry.unwrap().path()).unwrap();
        body(&data);
        // Every prefix is a malformed input of its own.
        for end in (0..data.len()).step_by(97) {
            body(&data[..end]);
        }
        count += 1;
    }
    assert!(count > 0, "{} is empty", corpus.display());
}

#[test]
fn snapshot_corpus() {
    replay("snapshot", fuzzing::snapshot);
}

#[test]
fn event_corpus() {
    replay("event", fuzzing::event);
}

#[test]
fn command_corpus() {
    replay("command", fuzzing::command);
}

#[test]
fn config_update_corpus() {
    replay("config_update", fuzzing::config_update);
}

#[test]
fn pr_url_corpus() {
    replay("pr_url", fuzzing::pr_url);
}

#[test]
fn sequence_corpus() {
    replay("sequence", fuzzing::sequence);
}

#[test]
fn every_target_is_replayed_here() {
    let targets: BTreeSet<String> = std::fs::read_dir(fuzz_directory().join("fuzz_targets"))
        .unwrap()
        .map(|entry| {
            entry
                .unwrap()
                .path()
                .file_stem()
                .unwrap()
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    // What fuzzes an adapter is replayed by the adapter's own tests.
    let files = [
        include_str!("fuzz_corpus.rs"),
        include_str!("../../gastown-github/tests/all/fuzz_corpus.rs"),
        include_str!("../../gastown-runtime/tests/fuzz_corpus.rs"),
    ];
    for target in targets {
        assert!(
            files
                .iter()
                .any(|file| file.contains(&format!("replay(\"{target}\""))),
            "{target} is not replayed"
        );
    }
}
