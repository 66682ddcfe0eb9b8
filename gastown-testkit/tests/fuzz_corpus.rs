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

use gastown_core::{
    ActionKind, BeadKind, BreakerState, COMMANDS, Town, Work, check, event_schemas, wire,
};
use gastown_testkit::towns::now;
use gastown_testkit::{fuzzing, laws};
use serde_json::Value;

fn fuzz_directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz")
}

/// The committed inputs of a target, by file name.
fn seeds(target: &str) -> Vec<(String, Vec<u8>)> {
    let corpus = fuzz_directory().join("corpus").join(target);
    let mut seeds: Vec<(String, Vec<u8>)> = std::fs::read_dir(&corpus)
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            let name = entry.file_name().to_string_lossy().into_owned();
            (name, std::fs::read(entry.path()).unwrap())
        })
        .collect();
    seeds.sort();
    assert!(!seeds.is_empty(), "{} is empty", corpus.display());
    seeds
}

fn replay(target: &str, body: fn(&[u8])) {
    for (_, data) in seeds(target) {
        body(&data);
        // Every prefix is a malformed input of its own.
        for end in (0..data.len()).step_by(97) {
            body(&data[..end]);
        }
    }
}

/// A fuzzer knows no names of types: what no seed shows it, it never says, and a town that never takes
/// it learns nothing from it.
#[test]
fn every_event_has_a_seed_that_changes_a_town() {
    let (mut changing, mut answers, mut answers_there_are) =
        (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for (name, data) in seeds("event") {
        let event = wire::event_from_str(std::str::from_utf8(&data).unwrap());
        let event = event.unwrap_or_else(|error| panic!("{name} is no event: {error}"));
        let type_name = event.kind.type_name();
        if fuzzing::answers_an_effect(&event.kind) {
            answers_there_are.insert(type_name);
        }
        for mut town in fuzzing::towns() {
            if !town.observe(&event, now()).changed {
                continue;
            }
            changing.insert(type_name);
            if event.key.is_some() {
                answers.insert(type_name);
            }
        }
    }
    let every: BTreeSet<&str> = event_schemas().into_keys().collect();
    assert_eq!(changing, every, "accepted, and all that there are");
    // The check that no answer counts twice says something of each.
    assert_eq!(
        answers, answers_there_are,
        "accepted under a key, and all that answer an effect"
    );
}

#[test]
fn every_command_has_a_seed_that_is_accepted() {
    let mut accepted = BTreeSet::new();
    for (name, data) in seeds("command") {
        let command = wire::command_from_str(std::str::from_utf8(&data).unwrap());
        let command = command.unwrap_or_else(|error| panic!("{name} is no command: {error}"));
        for mut town in fuzzing::towns() {
            if town.execute(command.clone(), now()).is_ok() {
                accepted.insert(command.kind.type_name());
            }
        }
    }
    let every: BTreeSet<&str> = COMMANDS.iter().map(|info| info.type_name).collect();
    assert_eq!(accepted, every, "accepted, and all that there are");
}

/// Only of a town that breaks no invariant the full properties are demanded.
#[test]
fn the_towns_of_events_and_commands_break_no_invariant() {
    for town in fuzzing::towns() {
        assert_eq!(check(&town, now()), []);
    }
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

/// Of towns that break an invariant only rest is demanded: the full properties need others, and of
/// every sort.
#[test]
fn the_snapshots_keep_the_full_properties_and_have_something_of_each() {
    let mut seen = BTreeSet::new();
    for (name, data) in seeds("snapshot") {
        let town = wire::snapshot_from_str(std::str::from_utf8(&data).unwrap());
        let mut town = town.unwrap_or_else(|error| panic!("{name} is refused: {error}"));
        assert_eq!(check(&town, now()), [], "{name}");
        seen.extend(sorts(&town));
        laws::rests(&mut town, now()).unwrap_or_else(|broken| panic!("{name}: {broken}"));
    }
    let every = [
        "a breaker that is open",
        "a condition",
        "a convoy",
        "a drain",
        "a merge under way",
        "a molecule",
        "a nudge",
        "a review that is closed",
        "a review that is failed",
        "a review that is in_progress",
        "a review that is in_review",
        "a review that is open",
        "a triage request",
        "an escalation",
    ];
    let missing: Vec<&str> = every
        .into_iter()
        .filter(|sort| !seen.contains(*sort))
        .collect();
    assert!(missing.is_empty(), "none has {missing:?}");
}

/// What a town has that a rule could be about.
fn sorts(town: &Town) -> BTreeSet<String> {
    let of_town = [
        (town.is_draining(), "a drain"),
        (town.conditions().next().is_some(), "a condition"),
        (town.nudges().next().is_some(), "a nudge"),
        (
            town.state().breaker.state == BreakerState::Open,
            "a breaker that is open",
        ),
    ];
    let of_town = of_town
        .into_iter()
        .filter(|(has, _)| *has)
        .map(|(_, sort)| sort.to_owned());
    let of_beads = town.beads().filter_map(|bead| match &bead.kind {
        BeadKind::MergeRequest(_) => Some(format!("a review that is {}", bead.status.as_str())),
        _ if !bead.is_live() => None,
        BeadKind::Convoy(_) => Some("a convoy".into()),
        BeadKind::Molecule => Some("a molecule".into()),
        BeadKind::Escalation(_) => Some("an escalation".into()),
        BeadKind::Issue(Work::TriageRequest(_)) => Some("a triage request".into()),
        _ => None,
    });
    let merges = town
        .beads()
        .filter_map(|bead| bead.review()?.auto_merge.attempt.as_ref())
        .map(|_| "a merge under way".to_owned());
    of_town.chain(of_beads).chain(merges).collect()
}

/// The names that a schema has: of fields, and the words of enumerations.
fn names(schema: &Value, found: &mut BTreeSet<String>) {
    match schema {
        Value::Array(list) => list.iter().for_each(|entry| names(entry, found)),
        Value::Object(object) => {
            if let Some(fields) = object.get("properties").and_then(Value::as_object) {
                found.extend(fields.keys().cloned());
            }
            let word = object.get("const").into_iter();
            let words = object.get("enum").and_then(Value::as_array);
            let words = word.chain(words.into_iter().flatten());
            found.extend(words.filter_map(Value::as_str).map(str::to_owned));
            object.values().for_each(|entry| names(entry, found));
        }
        _ => {}
    }
}

#[test]
fn the_dictionary_has_every_name_of_events_and_commands() {
    let path = fuzz_directory().join("dictionaries/wire.dict");
    let dictionary = std::fs::read_to_string(path).unwrap();
    let known: BTreeSet<&str> = dictionary
        .lines()
        .map(|line| line.trim_matches('"'))
        .collect();
    let mut found = BTreeSet::new();
    for schema in event_schemas().values() {
        names(schema, &mut found);
    }
    for info in COMMANDS {
        found.insert(info.type_name.into());
        names(&info.input_schema(), &mut found);
    }
    // Words of three letters a fuzzer guesses.
    let missing: Vec<&String> = found
        .iter()
        .filter(|name| name.len() > 3 && !known.contains(name.as_str()))
        .collect();
    assert!(missing.is_empty(), "not in the dictionary: {missing:?}");
}

/// Without a merge nothing that is held of merges, of green heads and of what is unknown (I12, I13,
/// I19, P17) could fail.
#[test]
fn some_sequences_merge() {
    let (mut merges, mut looks) = (0, 0);
    for (_, data) in seeds("sequence") {
        let Some(world) = fuzzing::played(&data) else {
            continue;
        };
        looks += world.looks_that_merge();
        merges += world
            .actions
            .iter()
            .filter(|action| matches!(action.kind, ActionKind::MergePr(_)))
            .count();
    }
    assert!(merges > 0 && looks > 0, "{merges} merges, {looks} looks");
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
