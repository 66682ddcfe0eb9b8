//! Events: order, idempotence, many writers.

use std::thread;

use futures_executor::block_on;
use gastown_core::{Store, Timestamp};

use super::samples::{ALL, at, consume, event, event_ids, new_town, show};

/// Pending events come by time, then by id, however they were appended.
pub async fn events_come_by_time_and_id(store: &dyn Store) {
    let town = new_town(store, "t1").await;
    let batches = [
        vec![event("c", at(2)), event("b", at(2))],
        vec![event("z", at(1)), event("a", at(3))],
        vec![event("B", at(2)), event("é", at(2))],
    ];
    for batch in batches {
        store.append_events(&town, batch).await.unwrap();
    }
    assert_eq!(
        event_ids(store, &town).await,
        ["z", "B", "b", "c", "é", "a"]
    );
}

/// A limit gives the first ones; a limit of 0 gives none.
pub async fn a_limit_gives_the_first_events(store: &dyn Store) {
    let town = new_town(store, "t1").await;
    let events: Vec<_> = (0..10)
        .map(|n| event(&format!("e{n}"), at(20 - n)))
        .collect();
    store.append_events(&town, events.clone()).await.unwrap();
    for limit in [0, 1, 3, 10, 11, usize::MAX] {
        let pending = store.pending_events(&town, limit).await.unwrap();
        let expected: Vec<_> = events.iter().rev().take(limit).cloned().collect();
        assert_eq!(pending, expected, "limit {limit}");
    }
}

/// Reading takes nothing, and an event that is appended later comes first if its time is earlier.
pub async fn an_earlier_event_comes_before_what_was_read(store: &dyn Store) {
    let town = new_town(store, "t1").await;
    let append = |id: &str, seconds| store.append_events(&town, vec![event(id, at(seconds))]);
    append("e2", 2).await.unwrap();
    assert_eq!(event_ids(store, &town).await, ["e2"]);
    append("e1", 1).await.unwrap();
    append("e3", 2).await.unwrap();
    assert_eq!(event_ids(store, &town).await, ["e1", "e2", "e3"]);
}

/// An event whose id is pending already is ignored; the first one stays.
pub async fn an_event_that_is_pending_is_ignored(store: &dyn Store) {
    let town = new_town(store, "t1").await;
    let first = event("e1", at(1));
    assert_eq!(
        store
            .append_events(&town, vec![first.clone()])
            .await
            .unwrap(),
        1
    );
    let again = vec![event("e1", at(9)), event("e2", at(2)), event("e2", at(3))];
    assert_eq!(store.append_events(&town, again).await.unwrap(), 1);
    assert_eq!(
        store.pending_events(&town, ALL).await.unwrap(),
        [first, event("e2", at(2))]
    );
}

/// An event whose id was consumed already is ignored.
pub async fn an_event_that_was_consumed_is_ignored(store: &dyn Store) {
    let town = new_town(store, "t1").await;
    store
        .append_events(&town, vec![event("e1", at(1))])
        .await
        .unwrap();
    let _consumed = store.commit(&town, consume(1, &["e1"])).await.unwrap();
    assert_eq!(
        store
            .append_events(&town, vec![event("e1", at(1))])
            .await
            .unwrap(),
        0
    );
    assert_eq!(event_ids(store, &town).await, [""; 0]);
}

/// Only what a commit consumed is no longer pending, even if it names it twice.
pub async fn consumed_events_are_no_longer_pending(store: &dyn Store) {
    let town = new_town(store, "t1").await;
    let events = ["e1", "e2", "e3"].map(|id| event(id, at(1)));
    store.append_events(&town, events.to_vec()).await.unwrap();
    let _consumed = store
        .commit(&town, consume(1, &["e3", "e1", "e3"]))
        .await
        .unwrap();
    assert_eq!(event_ids(store, &town).await, ["e2"]);
}

/// Appending raises no version, so it never costs a tick its commit.
pub async fn appending_raises_no_version(store: &dyn Store) {
    let town = new_town(store, "t1").await;
    let before = show(store, &town).await;
    store
        .append_events(&town, vec![event("e1", at(1))])
        .await
        .unwrap();
    store.append_events(&town, vec![]).await.unwrap();
    let after = show(store, &town).await;
    assert_eq!(after.version, before.version);
    assert_eq!(after.events, [event("e1", at(1))]);
    assert_eq!(after.history, before.history);
}

/// Many writers append at once, some of them the same; nothing is lost and nothing comes twice.
pub async fn many_writers_append_at_once(store: &dyn Store) {
    const WRITERS: u64 = 8;
    const EACH: u64 = 25;
    let town = new_town(store, "t1").await;
    let town = &town;
    let new: usize = thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                scope.spawn(move || {
                    let append = |n| {
                        let own = event(&format!("w{writer}-{n:02}"), at(n));
                        let shared = event(&format!("all-{n:02}"), at(n));
                        block_on(store.append_events(town, vec![own, shared])).unwrap()
                    };
                    (0..EACH).map(append).sum::<usize>()
                })
            })
            .collect();
        writers
            .into_iter()
            .map(|writer| writer.join().unwrap())
            .sum()
    });
    let pending = store.pending_events(town, ALL).await.unwrap();
    assert_eq!(pending.len() as u64, (WRITERS + 1) * EACH);
    assert_eq!(new, pending.len(), "each was new to exactly one writer");
    let order = |event: &gastown_core::Event| (event.at, event.id.clone());
    assert!(pending.is_sorted_by_key(order));
}

/// Times keep their milliseconds, from the first year to the last.
pub async fn times_keep_their_milliseconds(store: &dyn Store) {
    let town = new_town(store, "t1").await;
    let times = [
        "2026-04-04T12:00:00.001Z",
        "2026-04-04T12:00:00.002Z",
        "1969-12-31T23:59:59.999Z",
    ];
    let mut times: Vec<Timestamp> = times.iter().map(|text| text.parse().unwrap()).collect();
    times.extend([Timestamp::MIN, Timestamp::MAX]);
    let events = (0..)
        .zip(&times)
        .map(|(n, at)| event(&format!("e{n}"), *at));
    store.append_events(&town, events.collect()).await.unwrap();
    times.sort();
    let pending = store.pending_events(&town, ALL).await.unwrap();
    let stored: Vec<Timestamp> = pending.iter().map(|event| event.at).collect();
    assert_eq!(stored, times);
}
