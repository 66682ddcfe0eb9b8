//! P13: the recorded inputs of a town, replayed from its first snapshot, give its state to the byte.

// Helpers of tests may stop a test.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]
#![allow(clippy::arithmetic_side_effects, clippy::wildcard_enum_match_arm)]

use futures_executor::block_on;
use gastown_core::events::{AgentGone, ContainerEviction};
use gastown_core::report::Report;
use gastown_core::{Event, EventKind, Finish, HistoryKind, Store, StoreError};
use gastown_store_memory::MemoryStore;
use gastown_testkit::host::{Acknowledged, Host};
use gastown_testkit::lives::{SECRET, Then, live, lives, recalls, replays};
use gastown_testkit::world::{Setup, Step, World};
use proptest::prelude::*;

/// Sequences take long: fewer by default than proptest's 256, as many as `PROPTEST_CASES` says.
fn config() -> ProptestConfig {
    let mut config = ProptestConfig::default();
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = 24;
    }
    config
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn p13_what_is_recorded_gives_the_same_bytes((setup, steps) in lives(50)) {
        let (store, other) = (MemoryStore::new(), MemoryStore::new());
        let town = block_on(live(&store, setup, &steps)).unwrap();
        let replayed = block_on(replays(&store, &town, &other));
        prop_assert!(replayed.is_ok(), "{}", replayed.unwrap_err());
        let recalled = block_on(recalls(&store, &town));
        prop_assert!(recalled.is_ok(), "{}", recalled.unwrap_err());
    }
}

fn replayed_at() -> gastown_core::Timestamp {
    "2026-05-01T00:00:00Z".parse().unwrap()
}

/// A host that dies before its first tick leaves a town that can be replayed.
#[test]
fn a_town_that_was_only_made_replays() {
    let store = MemoryStore::new();
    let mut ignore = |_: Acknowledged| {};
    let host = block_on(Host::open(&store, World::new(Setup(0)), &mut ignore)).unwrap();
    let report = block_on(Report::export(&store, host.town().id())).unwrap();
    let replayed = report.replay().unwrap();
    assert_eq!((replayed.version, replayed.ticks), (1, 0));
    assert_eq!(report.first_difference(&replayed), None);
}

/// A town with some history, exported.
fn report() -> Report {
    let store = MemoryStore::new();
    let steps: Vec<(Step, Then)> = vec![
        (Step::Pass(1), Then::Tick),
        (
            Step::Answer {
                which: 0,
                how: 0,
                late: 0,
            },
            Then::Tick,
        ),
        (
            Step::Sling {
                rig: 1,
                depends_on: 0,
            },
            Then::Tick,
        ),
        (Step::Host { what: 2 }, Then::Tick),
    ];
    let town = block_on(live(&store, Setup(0), &steps)).unwrap();
    block_on(Report::export(&store, &town)).unwrap()
}

/// Nor does a report without secrets, if the town had none to show.
#[test]
fn a_town_quotes_its_secret_as_it_is_in_a_branch_and_cut() {
    let store = MemoryStore::new();
    let town = block_on(live(&store, Setup(0), &[])).unwrap();
    let loaded = block_on(store.load(&town)).unwrap();
    let told: Vec<&str> = loaded
        .rows
        .iter()
        .filter(|row| row.key.kind == "bead")
        .map(|row| row.body.as_str())
        .collect();
    let told = told.join("\n");
    let branch = format!("convoy/try-{}/", SECRET.to_lowercase().replace('_', "-"));
    let title = format!("xx{}\"", &SECRET[..20]);
    for text in [SECRET, &branch, &title] {
        assert!(told.contains(text), "{text} is not in {told}");
    }
}

/// A replay that can't fail shows nothing: whatever is changed in a record is found.
#[test]
fn whatever_is_changed_in_a_record_is_found() {
    let report = report();
    report.replay().unwrap();
    let place = |kind: HistoryKind| {
        let found = report
            .history
            .iter()
            .rposition(|kept| kept.entry.kind == kind);
        found.unwrap_or_else(|| panic!("the history has no {kind:?}"))
    };
    let changed = |at: usize, from: &str, to: &str| {
        let mut report = report.clone();
        let body = &mut report.history[at].entry.body;
        assert!(body.contains(from), "{body}");
        *body = body.replacen(from, to, 1);
        report.replay().unwrap_err().to_string()
    };
    let without = |at: usize| {
        let mut report = report.clone();
        report.history.remove(at);
        report.replay().unwrap_err().to_string()
    };
    let said = [
        changed(place(HistoryKind::Tick), "\"passes\":", "\"passes\":1"),
        changed(place(HistoryKind::Command), "\"work\"", "\"play\""),
        changed(place(HistoryKind::BeadEvent), "\"what\":\"", "\"what\":\"x"),
        changed(place(HistoryKind::Tick), "\"number\":", "\"number\":1"),
        changed(place(HistoryKind::Tick), "\"passes\":", "\"pass\":"),
        without(place(HistoryKind::Event)),
        without(place(HistoryKind::Command)),
        without(place(HistoryKind::SnapshotRows)),
        without(place(HistoryKind::Snapshot)),
    ];
    let expected = [
        "passes differ",
        "differ",
        "bead events differ",
        "something between them is not recorded",
        "unknown field `pass`",
        "the events before it are not those that it names",
        "it had 1 commands",
        "the history holds no snapshot to begin at",
        "rows of no snapshot",
    ];
    for (said, expected) in said.iter().zip(expected) {
        assert!(said.contains(expected), "{expected}: {said}");
    }
}

/// Half a file, another format and an unknown line are refused, with the line.
#[test]
fn a_damaged_report_is_refused() {
    let text = report().to_text();
    let lines = text.lines().count();
    let cases = [
        (String::new(), "line 1: the text is empty".to_string()),
        (
            text.replacen("gastown.report/1", "gastown.report/9", 1),
            "line 1.format: unknown format \"gastown.report/9\"".into(),
        ),
        (
            text.lines()
                .take(lines - 1)
                .map(|line| format!("{line}\n"))
                .collect(),
            ".: the last line, `end`, is missing".into(),
        ),
        (
            text.lines()
                .enumerate()
                .filter(|(n, _)| *n != 1)
                .map(|(_, line)| format!("{line}\n"))
                .collect(),
            format!(
                "line {}.end: {} lines were written, {} are here",
                lines - 1,
                lines - 1,
                lines - 2
            ),
        ),
        (
            format!("{text}{{}}\n"),
            format!("line {}: nothing may follow the end", lines + 1),
        ),
        (
            text.replacen("{\"row\":", "{\"raw\":", 1),
            "line 2.raw: expected `row`".into(),
        ),
        (
            text.replacen("\"working\":true", "\"working\":1", 1),
            "line 2.row.working: invalid type".into(),
        ),
        (
            text.replacen("\"kind\":\"town\"", "\"kind\":\"secrets\"", 1),
            "a report holds no secrets".into(),
        ),
    ];
    for (text, expected) in cases {
        let error = Report::from_text(&text).unwrap_err().to_string();
        assert!(error.contains(&expected), "{expected}: {error}");
    }
}

/// What no tick recorded is in the rows of the report, and in the snapshot that an import leaves, so a
/// replay goes on there.
#[test]
fn a_town_that_was_changed_beside_its_ticks_replays_where_it_is_imported() {
    let (store, other) = (MemoryStore::new(), MemoryStore::new());
    let mut ignore = |_: Acknowledged| {};
    let mut host = block_on(Host::open(&store, World::new(Setup(0)), &mut ignore)).unwrap();
    let sling = |depends_on| Step::Sling { rig: 1, depends_on };
    block_on(host.step(&sling(0))).unwrap();
    block_on(host.tick()).unwrap();
    block_on(host.step_aside(&sling(0))).unwrap();
    let town = host.town().id().clone();
    let report = block_on(Report::export(&store, &town)).unwrap();
    // What was done beside the ticks changed a bead, and no tick says how.
    let read = Report::from_text(&report.to_text()).unwrap();
    let replayed = read.replay().unwrap();
    assert_eq!((replayed.version, replayed.unrecorded), (report.version, 1));
    assert_eq!(read.first_difference(&replayed), None);
    // Half a tick is not taken for such a change.
    let mut cut = report.clone();
    let last = report
        .history
        .iter()
        .rposition(|kept| kept.entry.kind == HistoryKind::Tick);
    cut.history.truncate(last.unwrap());
    let error = cut.replay().unwrap_err().to_string();
    assert!(error.contains("it has no end"), "{error}");

    block_on(report.import(&other, replayed_at())).unwrap();
    let imported = block_on(Report::export(&other, &town)).unwrap();
    let replayed = imported.replay().unwrap();
    assert_eq!((replayed.version, replayed.unrecorded), (1, 1));
    assert_eq!(imported.first_difference(&replayed), None);
}

/// An effect that a crash left in the outbox is in the report, and finishing it goes on elsewhere.
#[test]
fn what_is_pending_travels_with_the_report() {
    let report = report();
    assert!(
        !report.effects.is_empty(),
        "the town was to have something in its outbox"
    );
    let store = MemoryStore::new();
    block_on(report.import(&store, replayed_at())).unwrap();
    let key = report.effects[0].key.clone();
    let finished = store.finish_effect(&report.town, &key, Finish::Done, vec![], replayed_at());
    block_on(finished).unwrap();
    let left = block_on(store.pending_effects(&report.town)).unwrap();
    assert_eq!(left, report.effects[1..]);
}

fn gone(id: &str) -> Event {
    Event {
        id: id.parse().unwrap(),
        at: replayed_at(),
        key: None,
        kind: EventKind::AgentGone(AgentGone {
            agent_id: "a1".parse().unwrap(),
        }),
    }
}

/// Half a town would be worse than none: its good events would be lost, and a second import a conflict.
#[test]
fn what_no_store_would_take_whole_is_not_begun() {
    let mut report = report();
    report.events.push(gone("e1"));
    let refused = |change: &dyn Fn(&mut Report)| {
        let (store, mut report) = (MemoryStore::new(), report.clone());
        change(&mut report);
        let error = block_on(report.import(&store, replayed_at())).unwrap_err();
        assert!(matches!(error, StoreError::Refused { .. }), "{error:?}");
        assert!(block_on(store.towns()).unwrap().is_empty(), "{error}");
        error.to_string()
    };
    let long = refused(&|report| {
        let mut event = gone("e2");
        event.kind = EventKind::ContainerEviction(ContainerEviction {
            nonce: "x".repeat(9_000),
        });
        report.events.push(event);
    });
    assert!(long.contains("event e2: `nonce`"), "{long}");
    let event = refused(&|report| report.events.push(gone("e1")));
    assert_eq!(event, "import: refused: event e1 is in the report twice");
    let effect = refused(&|report| report.effects.push(report.effects[0].clone()));
    let key = &report.effects[0].key;
    let expected = format!("import: refused: effect {key} is in the report twice");
    assert_eq!(effect, expected);
    let town = refused(&|report| report.rows.retain(|row| row.key.kind != "town"));
    let expected = "import: refused: its rows make no town: town: the town's own row is missing";
    assert_eq!(town, expected);
    let other = refused(&|report| report.town = "other".parse().unwrap());
    let expected = format!(
        "import: refused: its rows are those of town {}",
        report.town
    );
    assert_eq!(other, expected);
    block_on(report.import(&MemoryStore::new(), replayed_at())).unwrap();
}

/// The town is there, and its events are not: made again, an import brings them. It brings none into another
/// town.
#[test]
fn an_import_that_was_interrupted_is_made_again() {
    let mut report = report();
    report.events.push(gone("e1"));
    let begun = |report: &Report| {
        let mut begun = report.clone();
        let store = MemoryStore::new();
        begun.events.clear();
        block_on(begun.import(&store, replayed_at())).unwrap();
        store
    };
    let pending = |store: &MemoryStore| block_on(store.pending_events(&report.town, 9)).unwrap();
    let store = begun(&report);
    assert!(pending(&store).is_empty());
    block_on(report.import(&store, replayed_at())).unwrap();
    assert_eq!(pending(&store), report.events);

    let mut another = report.clone();
    let bead = another.rows.iter().position(|row| row.key.kind == "bead");
    another.rows.remove(bead.unwrap());
    let mut earlier = report.clone();
    earlier.version -= 1;
    for there in [another, earlier] {
        let store = begun(&there);
        let error = block_on(report.import(&store, replayed_at())).unwrap_err();
        assert!(matches!(error, StoreError::Conflict { .. }), "{error:?}");
        assert!(pending(&store).is_empty());
    }
}
