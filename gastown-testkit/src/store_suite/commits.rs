//! Commits: versions, conflicts, all or nothing.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Waker};
use std::thread;

use futures_executor::block_on;
use gastown_core::{Commit, HistoryKind, Store, StoreError};

use super::samples::{
    ALL, ask, assert_conflict, assert_refused, at, consume, effect, empty, entry, event,
    finished_row, key, new_town, put, row, show, town,
};

/// A commit that is wrong in several ways is refused for the first of them: its content, then its
/// lease, then its version, then what it consumes.
pub async fn refusals_come_in_order(store: &dyn Store) {
    let town = new_town(store, "t1").await;
    let ttl = std::time::Duration::from_secs(30);
    let old = store.lease(&town, "h1", ttl, at(0)).await.unwrap().token;
    let new = store.lease(&town, "h2", ttl, at(30)).await.unwrap().token;
    let mut wrong = consume(7, &["e1"]);
    wrong.changes.put = vec![row("", "b1", "x")];
    wrong.lease_token = Some(old);
    let before = show(store, &town).await;
    assert_refused(store.commit(&town, wrong.clone()).await, "commit");
    wrong.changes.put.clear();
    let said = store.commit(&town, wrong.clone()).await;
    assert!(matches!(said, Err(StoreError::Fenced { .. })), "{said:?}");
    wrong.lease_token = Some(new);
    assert_conflict(store.commit(&town, wrong.clone()).await, 7, 1);
    wrong.expected_version = 1;
    assert_refused(store.commit(&town, wrong.clone()).await, "commit");
    assert_eq!(show(store, &town).await, before);
    wrong.consumed.clear();
    assert_eq!(store.commit(&town, wrong).await.unwrap().version(), 2);
}

/// Version 0 creates a town that is not there yet.
pub async fn version_0_creates_the_town(store: &dyn Store) {
    let town = town("t1");
    let said = store.load(&town).await;
    assert!(
        matches!(said, Err(StoreError::UnknownTown { .. })),
        "{said:?}"
    );
    let committed = store
        .commit(&town, put(0, vec![row("bead", "b1", "x")]))
        .await;
    assert_eq!(committed.unwrap().version(), 1);
    let loaded = store.load(&town).await.unwrap();
    assert_eq!(loaded.version, 1);
    assert_eq!(loaded.rows, [row("bead", "b1", "x")]);
}

/// Each commit raises the version by one, even one that changes nothing.
pub async fn each_commit_raises_the_version_by_one(store: &dyn Store) {
    let town = town("t1");
    for version in 0..5 {
        let committed = store.commit(&town, empty(version)).await.unwrap();
        assert_eq!(committed.version(), version + 1);
        assert_eq!(store.load(&town).await.unwrap().version, version + 1);
    }
}

/// A commit at an older version is refused and writes none of its parts.
pub async fn a_commit_at_an_older_version_writes_nothing(store: &dyn Store) {
    let (town, commit) = a_commit_of_every_part(store, "t1").await;
    let before = show(store, &town).await;
    let stale = Commit {
        expected_version: 1,
        ..commit
    };
    assert_conflict(store.commit(&town, stale).await, 1, 2);
    assert_eq!(show(store, &town).await, before);
}

/// A commit at a version that is not there yet is refused and writes none of its parts.
pub async fn a_commit_at_a_later_version_writes_nothing(store: &dyn Store) {
    let (town, commit) = a_commit_of_every_part(store, "t1").await;
    let before = show(store, &town).await;
    for later in [3, u64::MAX] {
        let early = Commit {
            expected_version: later,
            ..commit.clone()
        };
        assert_conflict(store.commit(&town, early).await, later, 2);
    }
    assert_eq!(show(store, &town).await, before);
}

/// Version 0 does not create a town again.
pub async fn version_0_conflicts_with_a_town_that_is_there(store: &dyn Store) {
    let town = new_town(store, "t1").await;
    let said = store
        .commit(&town, put(0, vec![row("bead", "b1", "x")]))
        .await;
    assert_conflict(said, 0, 1);
    assert_eq!(store.load(&town).await.unwrap().rows, []);
}

/// A commit at a version on a town that is not there creates nothing.
pub async fn a_version_on_an_unknown_town_creates_nothing(store: &dyn Store) {
    let said = store.commit(&town("t1"), empty(1)).await;
    assert!(
        matches!(said, Err(StoreError::UnknownTown { .. })),
        "{said:?}"
    );
    assert_eq!(store.towns().await.unwrap(), []);
}

/// All parts of a commit are there once it returned.
pub async fn a_commit_writes_all_of_its_parts(store: &dyn Store) {
    let (town, commit) = a_commit_of_every_part(store, "t1").await;
    let effects = commit.effects.clone();
    let committed = store.commit(&town, commit).await.unwrap();
    assert_eq!(committed.version(), 3);
    assert_eq!(committed.into_effects(), effects);
    let shown = show(store, &town).await;
    assert_eq!(shown.version, 3);
    assert_eq!(shown.rows, [row("bead", "new", "x")]);
    assert_eq!(shown.events, [event("e2", at(2))]);
    assert_eq!(shown.effects, effects);
    assert_eq!(shown.history.len(), 1);
}

/// One refused part keeps all the others from being written.
pub async fn a_refused_part_keeps_the_others_out(store: &dyn Store) {
    let (town, commit) = a_commit_of_every_part(store, "t1").await;
    let before = show(store, &town).await;
    let mut bad_row = commit.clone();
    bad_row.changes.put.push(row("bead", "", "x"));
    let mut bad_consumption = commit;
    bad_consumption.consumed = consume(2, &["e1", "never-appended"]).consumed;
    for bad in [bad_row, bad_consumption] {
        assert_refused(store.commit(&town, bad).await, "commit");
        assert_eq!(show(store, &town).await, before);
    }
}

/// A refused first commit leaves no town behind.
pub async fn a_refused_first_commit_creates_no_town(store: &dyn Store) {
    let said = store
        .commit(&town("t1"), consume(0, &["never-appended"]))
        .await;
    assert_refused(said, "commit");
    assert_eq!(store.towns().await.unwrap(), []);
}

/// An event that was consumed cannot be consumed again.
pub async fn an_event_is_consumed_once(store: &dyn Store) {
    let town = new_town(store, "t1").await;
    store
        .append_events(&town, vec![event("e1", at(1))])
        .await
        .unwrap();
    let _first = store.commit(&town, consume(1, &["e1"])).await.unwrap();
    assert_refused(store.commit(&town, consume(2, &["e1"])).await, "commit");
}

/// Of many commits at one version exactly one is written, and the others know it.
pub async fn of_many_commits_at_one_version_one_wins(store: &dyn Store) {
    let town = new_town(store, "t1").await;
    let town = &town;
    let winners: Vec<bool> = thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|writer| {
                let commit = put(1, vec![row("bead", &format!("b{writer}"), "x")]);
                scope.spawn(move || match block_on(store.commit(town, commit)) {
                    Ok(committed) => committed.version() == 2,
                    Err(StoreError::Conflict {
                        expected: 1,
                        actual: 2,
                        ..
                    }) => false,
                    Err(other) => panic!("writer {writer}: {other}"),
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    let loaded = store.load(town).await.unwrap();
    let won: BTreeSet<String> = (0..winners.len())
        .filter(|writer| winners[*writer])
        .map(|writer| format!("b{writer}"))
        .collect();
    let stored: BTreeSet<String> = loaded.rows.into_iter().map(|row| row.key.id).collect();
    assert_eq!((loaded.version, won.len()), (2, 1));
    assert_eq!(stored, won);
}

/// Writers that load and try again after a conflict lose no update.
pub async fn writers_that_reload_lose_no_update(store: &dyn Store) {
    const WRITERS: u64 = 4;
    const ROUNDS: u64 = 10;
    let town = new_town(store, "t1").await;
    let town = &town;
    thread::scope(|scope| {
        for _ in 0..WRITERS {
            scope.spawn(move || {
                for _ in 0..ROUNDS {
                    block_on(add_one(store, town));
                }
            });
        }
    });
    let loaded = store.load(town).await.unwrap();
    assert_eq!(loaded.version, 1 + WRITERS * ROUNDS);
    assert_eq!(
        loaded.rows[0].body,
        row("counter", "c", &(WRITERS * ROUNDS).to_string()).body
    );
}

/// Whoever reads beside commits, appends and pruning sees whole commits, and never an older one after a
/// newer; and of the events that come meanwhile none is lost.
pub async fn readers_see_whole_commits(store: &dyn Store) {
    const COMMITS: u64 = 40;
    const EVENTS: u64 = 40;
    let town = new_town(store, "t1").await;
    let _first = store.commit(&town, numbered(1, &[])).await.unwrap();
    let town = &town;
    let done = &AtomicBool::new(false);
    let consumed = thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(move || {
                let mut seen = 0;
                while !done.load(Ordering::Relaxed) {
                    seen = block_on(read_whole(store, town, seen));
                }
            });
        }
        scope.spawn(move || {
            for n in 0..EVENTS {
                let next = vec![event(&format!("e{n:02}"), at(n))];
                assert_eq!(block_on(store.append_events(town, next)).unwrap(), 1);
            }
        });
        scope.spawn(move || {
            while !done.load(Ordering::Relaxed) {
                let _removed = block_on(store.prune(town, at(ALL as u64))).unwrap();
            }
        });
        let writer = scope.spawn(move || {
            let mut consumed = 0;
            for version in 2..2 + COMMITS {
                let pending = block_on(store.pending_events(town, 3)).unwrap();
                let ids: Vec<_> = pending.iter().map(|event| event.id.as_str()).collect();
                let _done = block_on(store.commit(town, numbered(version, &ids))).unwrap();
                consumed += ids.len();
            }
            consumed
        });
        let consumed = writer.join();
        // Also where the writer failed: the others wait for it.
        done.store(true, Ordering::Relaxed);
        consumed.unwrap()
    });
    let left = store.pending_events(town, ALL).await.unwrap();
    assert_eq!((consumed + left.len()) as u64, EVENTS);
}

/// Nobody waits for a commit any more: it is made whole or not at all, and whoever commits next knows which.
pub async fn a_dropped_commit_takes_all_effect_or_none(store: &dyn Store) {
    let town = new_town(store, "t1").await;
    for version in 1..20 {
        let mut dropped = store.commit(&town, numbered(version, &[]));
        let mut nobody = Context::from_waker(Waker::noop());
        let _unheard = dropped.as_mut().poll(&mut nobody);
        drop(dropped);
        let rows = match store.commit(&town, empty(version)).await {
            Ok(committed) => {
                assert_eq!(committed.version(), version + 1);
                None
            }
            Err(StoreError::Conflict { actual, .. }) => {
                assert_eq!(actual, version + 1);
                Some(version + 1)
            }
            Err(other) => panic!("{other}"),
        };
        let shown = show(store, &town).await;
        assert_eq!(shown.version, version + 1);
        if let Some(made) = rows {
            let body = row("numbered", "r0", &made.to_string()).body;
            assert!(shown.rows.iter().all(|row| row.body == body));
            assert_eq!(shown.rows.len(), 8);
            assert_eq!(shown.history.last().unwrap().entry.body, body);
        }
        assert!(shown.history.len().is_multiple_of(2));
    }
}

/// A commit all parts of which name the version that it makes.
fn numbered(version: u64, consumed: &[&str]) -> Commit {
    let text = (version + 1).to_string();
    let mut commit = consume(version, consumed);
    commit.changes.put = (0..8)
        .map(|n| row("numbered", &format!("r{n}"), &text))
        .collect();
    commit.changes.history = (0..2)
        .map(|_| entry(HistoryKind::BeadEvent, Some("r0"), &text))
        .collect();
    commit
}

/// Reads in every way, and returns the newest version that was seen.
async fn read_whole(store: &dyn Store, town: &gastown_core::TownId, seen: u64) -> u64 {
    let keys: Vec<_> = (0..8).map(|n| key("numbered", &format!("r{n}"))).collect();
    let loaded = store.load(town).await.unwrap();
    let mut newest = loaded.version;
    assert!(newest >= seen, "{newest} was loaded after {seen}");
    let expected = row("numbered", "r0", &newest.to_string()).body;
    assert!(loaded.rows.iter().all(|row| row.body == expected));
    assert_eq!(loaded.rows.len(), 8);

    let rows = store.rows(town, &keys).await.unwrap();
    assert_eq!(rows.len(), 8);
    assert!(rows.iter().all(|row| row.body == rows[0].body), "{rows:?}");
    let of_row: serde_json::Value = serde_json::from_str(&rows[0].body).unwrap();
    let of_row: u64 = of_row["text"].as_str().unwrap().parse().unwrap();
    assert!(of_row >= newest, "{of_row} was read after {newest}");
    newest = of_row;

    let told = super::samples::history(store, town).await;
    let last = told.last().map(|kept| kept.entry.body.clone());
    let versions = told.len() as u64 / 2 + 1;
    assert_eq!(told.len() % 2, 0, "half of a commit is told of");
    assert_eq!(last, Some(row("", "", &versions.to_string()).body));
    assert!(versions >= newest, "{versions} was told of after {newest}");
    versions
}

async fn add_one(store: &dyn Store, town: &gastown_core::TownId) {
    loop {
        let loaded = store.load(town).await.unwrap();
        let count: u64 = loaded.rows.first().map_or(0, |row| {
            let body: serde_json::Value = serde_json::from_str(&row.body).unwrap();
            body["text"].as_str().unwrap().parse().unwrap()
        });
        let next = put(
            loaded.version,
            vec![row("counter", "c", &(count + 1).to_string())],
        );
        match store.commit(town, next).await {
            Ok(_) => return,
            Err(StoreError::Conflict { .. }) => {}
            Err(other) => panic!("{other}"),
        }
    }
}

/// A town at version 2 with a row, two events and a finished row, and a commit that touches all.
async fn a_commit_of_every_part(store: &dyn Store, id: &str) -> (gastown_core::TownId, Commit) {
    let town = new_town(store, id).await;
    let rows = vec![row("bead", "old", "x"), finished_row("bead", "done", "x")];
    let _second = store.commit(&town, put(1, rows)).await.unwrap();
    let events = vec![event("e1", at(1)), event("e2", at(2))];
    store.append_events(&town, events).await.unwrap();
    let mut commit = ask(2, vec![effect("n1", 1), effect("n2", 1)]);
    commit.changes.put = vec![row("bead", "new", "x")];
    commit.changes.delete = vec![key("bead", "old"), key("bead", "done")];
    commit.changes.history = vec![entry(HistoryKind::BeadEvent, Some("new"), "created")];
    commit.consumed = consume(2, &["e1"]).consumed;
    (town, commit)
}
