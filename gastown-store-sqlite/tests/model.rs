//! Whatever is done to both, the SQLite store and the memory store say the same.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

mod common;

use std::fmt::Debug;
use std::time::Duration;

use common::{at, effect, event, key, row, tick};
use futures_executor::block_on;
use gastown_core::{
    ChangeSet, Commit, Event, EventId, Finish, HistoryEntry, HistoryFilter, HistoryKind,
    HistoryOrder, PastFilter, Row, Store, StoreError, TownId,
};
use gastown_store_memory::MemoryStore;
use gastown_store_sqlite::{Options, SqliteStore, Synchronous};
use proptest::collection::vec;
use proptest::prelude::*;
use tempfile::TempDir;

/// Names are few, so that operations meet.
#[derive(Debug, Clone)]
enum Step {
    Commit {
        /// Added to the right version.
        version_off: i64,
        /// Added to the token in force; none: no lease.
        token_off: Option<i64>,
        put: Vec<(u8, bool, u8)>,
        delete: Vec<u8>,
        consumed: Vec<u8>,
        effects: Vec<u64>,
        history: Vec<(HistoryKind, Option<u8>)>,
        seconds: u64,
    },
    Append(Vec<(u8, u64)>),
    Finish {
        attempt: u64,
        withdrawn: bool,
        results: Vec<u8>,
        seconds: u64,
    },
    Prune(u64),
    Lease {
        holder: u8,
        ttl: u64,
        seconds: u64,
    },
    Release(u8),
    Reopen,
}

fn few() -> std::ops::Range<u8> {
    0..6
}

fn off() -> impl Strategy<Value = i64> {
    prop_oneof![8 => Just(0), 1 => Just(-1), 1 => Just(1)]
}

fn commits() -> impl Strategy<Value = Step> {
    let kind = prop_oneof![
        Just(HistoryKind::BeadEvent),
        Just(HistoryKind::Tick),
        Just(HistoryKind::Command),
        Just(HistoryKind::Snapshot)
    ];
    (
        off(),
        proptest::option::of(off()),
        vec((few(), any::<bool>(), few()), 0..3),
        vec(few(), 0..2),
        vec(few(), 0..2),
        vec(0..6_u64, 0..3),
        vec((kind, proptest::option::of(few())), 0..3),
        0..100_u64,
    )
        .prop_map(
            |(version_off, token_off, put, delete, consumed, effects, history, seconds)| {
                Step::Commit {
                    version_off,
                    token_off,
                    put,
                    delete,
                    consumed,
                    effects,
                    history,
                    seconds,
                }
            },
        )
}

fn steps() -> impl Strategy<Value = (u8, Step)> {
    let step = prop_oneof![
        6 => commits(),
        3 => vec((few(), 0..4_u64), 0..4).prop_map(Step::Append),
        3 => (0..6_u64, any::<bool>(), vec(few(), 0..3), 0..100_u64).prop_map(
            |(attempt, withdrawn, results, seconds)| {
                Step::Finish { attempt, withdrawn, results, seconds }
            }
        ),
        1 => (0..100_u64).prop_map(Step::Prune),
        2 => (0..3_u8, 0..40_u64, 0..100_u64)
            .prop_map(|(holder, ttl, seconds)| Step::Lease { holder, ttl, seconds }),
        1 => (0..3_u8).prop_map(Step::Release),
        1 => Just(Step::Reopen),
    ];
    (0..2_u8, step)
}

fn events(which: &[u8]) -> Vec<Event> {
    which.iter().map(|n| event(&format!("e{n}"))).collect()
}

fn shifted(number: u64, off: i64) -> u64 {
    number.saturating_add_signed(off)
}

/// What a step says, as text; the two stores must agree on every word.
fn said<T: Debug>(answer: Result<T, StoreError>) -> String {
    match answer {
        Ok(answer) => format!("{answer:?}"),
        Err(error @ StoreError::Backend { .. }) => panic!("{error:?}"),
        Err(error) => error.to_string(),
    }
}

/// Where both are, so that the same commit can be offered to both.
struct Place {
    town: TownId,
    version: u64,
    token: u64,
}

fn perform(store: &dyn Store, place: &Place, step: &Step) -> String {
    let town = &place.town;
    match step {
        Step::Commit { .. } => said(block_on(store.commit(town, commit_of(place, step)))),
        Step::Append(which) => {
            let events = which
                .iter()
                .map(|(n, seconds)| Event {
                    at: at(*seconds),
                    ..event(&format!("e{n}"))
                })
                .collect();
            said(block_on(store.append_events(town, events)))
        }
        Step::Finish {
            attempt,
            withdrawn,
            results,
            seconds,
        } => {
            let how = if *withdrawn {
                Finish::Withdrawn
            } else {
                Finish::Done
            };
            let key = effect(*attempt).key;
            let results = events(results);
            said(block_on(store.finish_effect(
                town,
                &key,
                how,
                results,
                at(*seconds),
            )))
        }
        Step::Prune(seconds) => said(block_on(store.prune(town, at(*seconds)))),
        Step::Lease {
            holder,
            ttl,
            seconds,
        } => {
            let ttl = Duration::from_secs(*ttl);
            said(block_on(store.lease(
                town,
                &format!("h{holder}"),
                ttl,
                at(*seconds),
            )))
        }
        Step::Release(holder) => said(block_on(store.release(town, &format!("h{holder}")))),
        Step::Reopen => String::new(),
    }
}

fn commit_of(place: &Place, step: &Step) -> Commit {
    let Step::Commit {
        version_off,
        token_off,
        put,
        delete,
        consumed,
        effects,
        history,
        seconds,
    } = step
    else {
        panic!("{step:?}");
    };
    let put = put.iter().map(|(n, working, text)| Row {
        working: *working,
        ..row("bead", &format!("b{n}"), &text.to_string())
    });
    let history = history.iter().map(|(kind, subject)| HistoryEntry {
        kind: *kind,
        subject: subject.map(|n| format!("b{n}")),
        at: at(*seconds),
        ..tick("x")
    });
    Commit {
        expected_version: shifted(place.version, *version_off),
        lease_token: token_off.map(|off| shifted(place.token, off)),
        changes: ChangeSet {
            put: put.collect(),
            delete: delete
                .iter()
                .map(|n| key("bead", &format!("b{n}")))
                .collect(),
            history: history.collect(),
        },
        consumed: consumed
            .iter()
            .map(|n| EventId::new(format!("e{n}")).unwrap())
            .collect(),
        effects: effects.iter().map(|attempt| effect(*attempt)).collect(),
        at: at(*seconds),
    }
}

/// All that the port shows of a town.
fn shown(store: &dyn Store, town: &TownId) -> String {
    let mut out = vec![
        said(block_on(store.towns())),
        said(block_on(store.load(town))),
    ];
    for limit in [1, 3, 99] {
        out.push(said(block_on(store.pending_events(town, limit))));
    }
    out.push(said(block_on(store.pending_effects(town))));
    let keys: Vec<_> = few().rev().map(|n| key("bead", &format!("b{n}"))).collect();
    out.push(said(block_on(store.rows(town, &keys))));
    for (after, limit) in [(None, 99), (Some(key("bead", "b2")), 2)] {
        let filter = PastFilter {
            after,
            limit,
            ..PastFilter::default()
        };
        out.push(said(block_on(store.past_rows(town, filter))));
    }
    use HistoryOrder::{NewestFirst, OldestFirst};
    for kind in [None, Some(HistoryKind::Tick)] {
        for subject in [None, Some("b1".to_string())] {
            let pages = [
                (OldestFirst, None, 99),
                (OldestFirst, Some(2), 2),
                (NewestFirst, Some(4), 2),
            ];
            for (order, after, limit) in pages {
                let filter = HistoryFilter {
                    kind,
                    subject: subject.clone(),
                    order,
                    after,
                    limit,
                };
                out.push(said(block_on(store.history(town, filter))));
            }
        }
    }
    out.join("\n")
}

fn open(directory: &TempDir) -> SqliteStore {
    let options = Options::safe().synchronous(Synchronous::Normal);
    block_on(SqliteStore::open(directory.path().join("town.db"), options)).unwrap()
}

/// Each case makes a file, so fewer than usual, unless `PROPTEST_CASES` says how many.
fn config() -> ProptestConfig {
    let default = ProptestConfig::default();
    if common::is_long() || std::env::var_os("PROPTEST_CASES").is_some() {
        return default;
    }
    ProptestConfig {
        cases: 64,
        ..default
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn sqlite_and_memory_say_the_same(steps in vec(steps(), 1..40)) {
        let directory = tempfile::tempdir().unwrap();
        let memory = MemoryStore::new();
        let mut sqlite = open(&directory);
        let mut places = ["t1", "t2"].map(|id| Place {
            town: TownId::new(id).unwrap(),
            version: 0,
            token: 0,
        });
        for (which, step) in &steps {
            let place = &mut places[usize::from(*which)];
            if let Step::Reopen = step {
                drop(sqlite);
                sqlite = open(&directory);
                prop_assert_eq!(shown(&sqlite, &place.town), shown(&memory, &place.town));
            }
            let expected = perform(&memory, place, step);
            prop_assert_eq!(perform(&sqlite, place, step), expected, "{:?}", step);
            place.version = block_on(memory.load(&place.town)).map_or(0, |loaded| loaded.version);
            if let Step::Lease { holder, ttl: _, seconds } = step {
                let again = block_on(memory.lease(
                    &place.town, &format!("h{holder}"), Duration::from_secs(1), at(*seconds)));
                let same = block_on(sqlite.lease(
                    &place.town, &format!("h{holder}"), Duration::from_secs(1), at(*seconds)));
                place.token = again.as_ref().map_or(place.token, |lease| lease.token);
                prop_assert_eq!(said(same), said(again));
            }
        }
        for Place { town, .. } in &places {
            prop_assert_eq!(shown(&sqlite, town), shown(&memory, town));
        }
        prop_assert_eq!(block_on(sqlite.integrity_check()).unwrap(), [""; 0]);
    }
}
