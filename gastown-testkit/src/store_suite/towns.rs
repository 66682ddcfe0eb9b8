//! Towns: which are there, and that they know nothing of each other.

use std::time::Duration;

use gastown_core::{Finish, HistoryFilter, HistoryKind, PastFilter, Store, StoreError, TownId};

use super::samples::{
    ask, at, consume, effect, empty, entry, event, history, key, new_town, row, show, town,
};

/// The towns that are there, by id.
pub async fn towns_come_by_id(store: &dyn Store) {
    assert_eq!(store.towns().await.unwrap(), []);
    for id in ["t2", "T", "t10", "é"] {
        new_town(store, id).await;
    }
    let ids = ["T", "t10", "t2", "é"].map(town);
    assert_eq!(store.towns().await.unwrap(), ids);
}

/// Every operation on a town that is not there says so, and creates none.
pub async fn an_unknown_town_is_named_by_every_operation(store: &dyn Store) {
    new_town(store, "t1").await;
    let missing = town("t2");
    let effect_key = effect("n1", 1).key;
    let unknown = |error: Option<StoreError>, operation: &str| match error {
        Some(StoreError::UnknownTown { town }) => assert_eq!(town, missing, "{operation}"),
        other => panic!("{operation}: expected an unknown town, got {other:?}"),
    };
    unknown(store.load(&missing).await.err(), "load");
    unknown(
        store.rows(&missing, &[key("bead", "b1")]).await.err(),
        "rows",
    );
    unknown(store.rows(&missing, &[]).await.err(), "rows of no key");
    unknown(
        store.past_rows(&missing, PastFilter::default()).await.err(),
        "past_rows",
    );
    unknown(store.commit(&missing, empty(3)).await.err(), "commit");
    let events = vec![event("e1", at(0))];
    unknown(store.append_events(&missing, events).await.err(), "append");
    unknown(
        store.append_events(&missing, vec![]).await.err(),
        "append nothing",
    );
    unknown(
        store.pending_events(&missing, 0).await.err(),
        "pending_events",
    );
    unknown(
        store.pending_effects(&missing).await.err(),
        "pending_effects",
    );
    let finished = store
        .finish_effect(&missing, &effect_key, Finish::Done, vec![], at(0))
        .await;
    unknown(finished.err(), "finish_effect");
    unknown(
        store
            .history(&missing, HistoryFilter::default())
            .await
            .err(),
        "history",
    );
    unknown(store.prune(&missing, at(0)).await.err(), "prune");
    let leased = store
        .lease(&missing, "h1", Duration::from_secs(1), at(0))
        .await;
    unknown(leased.err(), "lease");
    unknown(store.release(&missing, "h1").await.err(), "release");
    assert_eq!(store.towns().await.unwrap(), [town("t1")]);
}

/// The same names in two towns are different things.
pub async fn towns_do_not_see_each_other(store: &dyn Store) {
    let one = fill(store, "t1", "one").await;
    let two = fill(store, "t2", "two").await;
    let (first, second) = (show(store, &one).await, show(store, &two).await);
    assert_eq!(first.rows, [row("bead", "b1", "one")]);
    assert_eq!(second.rows, [row("bead", "b1", "two")]);
    assert_eq!(first.events, second.events);
    assert_eq!(
        history(store, &two).await[0].entry,
        entry(HistoryKind::Tick, None, "two")
    );

    let mut commit = consume(2, &["e1"]);
    commit.changes.delete = vec![key("bead", "b1")];
    let _consumed = store.commit(&one, commit).await.unwrap();
    let effect_key = effect("n1", 1).key;
    store
        .finish_effect(&one, &effect_key, Finish::Done, vec![], at(0))
        .await
        .unwrap();
    assert_eq!(store.prune(&one, at(9)).await.unwrap(), 2);
    assert_eq!(show(store, &two).await, second);
    assert_eq!(store.prune(&two, at(9)).await.unwrap(), 0);
}

/// Pruning one town leaves what another is done with.
pub async fn pruning_is_of_one_town(store: &dyn Store) {
    let towns = [
        fill(store, "t1", "one").await,
        fill(store, "t2", "two").await,
    ];
    let effect_key = effect("n1", 1).key;
    for town in &towns {
        let _consumed = store.commit(town, consume(2, &["e1"])).await.unwrap();
        store
            .finish_effect(town, &effect_key, Finish::Done, vec![], at(0))
            .await
            .unwrap();
    }
    for town in &towns {
        assert_eq!(store.prune(town, at(9)).await.unwrap(), 2, "{town}");
    }
}

/// The lease of one town says nothing about another's.
pub async fn leases_are_of_one_town(store: &dyn Store) {
    let ttl = Duration::from_secs(30);
    let (one, two) = (new_town(store, "t1").await, new_town(store, "t2").await);
    let first = store.lease(&one, "h1", ttl, at(0)).await.unwrap();
    let second = store.lease(&two, "h2", ttl, at(0)).await.unwrap();
    assert_eq!((first.holder, second.holder), ("h1".into(), "h2".into()));
    store.release(&two, "h1").await.unwrap();
    let said = store.lease(&two, "h3", ttl, at(1)).await;
    assert!(matches!(said, Err(StoreError::Leased { .. })), "{said:?}");
}

async fn fill(store: &dyn Store, id: &str, text: &str) -> TownId {
    let town = new_town(store, id).await;
    let mut commit = ask(1, vec![effect("n1", 1)]);
    commit.changes.put = vec![row("bead", "b1", text)];
    commit.changes.history = vec![entry(HistoryKind::Tick, None, text)];
    let _committed = store.commit(&town, commit).await.unwrap();
    store
        .append_events(&town, vec![event("e1", at(0))])
        .await
        .unwrap();
    town
}
