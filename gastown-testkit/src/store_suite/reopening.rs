//! What survives when a store is closed and opened again.

use std::time::Duration;

use gastown_core::{Commit, Finish, HistoryKind, Store, StoreError, Timestamp};

use super::samples::{
    ask, at, consume, effect, entry, event, finished_row, key, new_town, put, row, show, town,
};

/// Everything that the port can show is there after reopening.
pub async fn everything_survives<F: AsyncFn() -> Box<dyn Store>>(store: Box<dyn Store>, reopen: F) {
    let town = new_town(&*store, "t1").await;
    new_town(&*store, "t2").await;
    let events = ["e1", "e2"].map(|id| event(id, at(1)));
    store.append_events(&town, events.to_vec()).await.unwrap();
    let mut commit = ask(1, vec![effect("n1", 1), effect("n2", 1)]);
    commit.consumed = consume(1, &["e1"]).consumed;
    commit.changes = put(
        1,
        vec![row("bead", "b1", "x"), finished_row("bead", "b2", "x")],
    )
    .changes;
    commit.changes.history = vec![entry(HistoryKind::Tick, None, "x")];
    let _committed = store.commit(&town, commit).await.unwrap();
    let before = show(&*store, &town).await;
    drop(store);

    let store = reopen().await;
    assert_eq!(show(&*store, &town).await, before);
    assert_eq!(
        store.towns().await.unwrap(),
        [town.clone(), super::samples::town("t2")]
    );
    let behind = store.rows(&town, &[key("bead", "b2")]).await.unwrap();
    assert_eq!(behind, [finished_row("bead", "b2", "x")]);
}

/// What was consumed and finished stays so.
pub async fn what_is_done_with_stays_so<F: AsyncFn() -> Box<dyn Store>>(
    store: Box<dyn Store>,
    reopen: F,
) {
    let town = new_town(&*store, "t1").await;
    store
        .append_events(&town, vec![event("e1", at(1))])
        .await
        .unwrap();
    let commit = Commit {
        effects: vec![effect("n1", 1)],
        ..consume(1, &["e1"])
    };
    let _committed = store.commit(&town, commit).await.unwrap();
    let key = effect("n1", 1).key;
    store
        .finish_effect(&town, &key, Finish::Done, vec![], at(2))
        .await
        .unwrap();
    drop(store);

    let store = reopen().await;
    assert_eq!(
        store
            .append_events(&town, vec![event("e1", at(1))])
            .await
            .unwrap(),
        0
    );
    let again = store
        .commit(&town, ask(2, vec![effect("n1", 1)]))
        .await
        .unwrap();
    assert_eq!(again.into_effects(), []);
    assert_eq!(store.pending_effects(&town).await.unwrap(), []);
}

/// History goes on where it was: no sequence comes twice.
pub async fn sequences_go_on<F: AsyncFn() -> Box<dyn Store>>(store: Box<dyn Store>, reopen: F) {
    let town = town("t1");
    let mut stores = Some(store);
    for version in 0..3 {
        let store = match stores.take() {
            Some(store) => store,
            None => reopen().await,
        };
        let mut commit = ask(version, vec![effect("n1", version)]);
        commit.changes.history = vec![
            entry(HistoryKind::Tick, None, "x"),
            entry(HistoryKind::Snapshot, None, "x"),
        ];
        let _committed = store.commit(&town, commit).await.unwrap();
        store.prune(&town, Timestamp::MAX).await.unwrap();
    }
    let shown = show(&*reopen().await, &town).await;
    let sequences = shown.history.iter().map(|stored| stored.sequence);
    assert_eq!(sequences.collect::<Vec<_>>(), [6], "none is given twice");
    let attempts: Vec<u64> = shown
        .effects
        .iter()
        .map(|effect| effect.key.attempt)
        .collect();
    assert_eq!(attempts, [0, 1, 2]);
}

/// A lease and its fencing survive: a restart is no way around them.
pub async fn leases_survive<F: AsyncFn() -> Box<dyn Store>>(store: Box<dyn Store>, reopen: F) {
    let ttl = Duration::from_secs(30);
    let town = new_town(&*store, "t1").await;
    let old = store.lease(&town, "h1", ttl, at(0)).await.unwrap().token;
    let new = store.lease(&town, "h2", ttl, at(30)).await.unwrap().token;
    drop(store);

    let store = reopen().await;
    let said = store.lease(&town, "h1", ttl, at(31)).await;
    assert!(matches!(said, Err(StoreError::Leased { .. })), "{said:?}");
    let stale = Commit {
        lease_token: Some(old),
        ..put(1, vec![])
    };
    let said = store.commit(&town, stale).await;
    assert!(matches!(said, Err(StoreError::Fenced { .. })), "{said:?}");
    store.release(&town, "h2").await.unwrap();
    assert!(store.lease(&town, "h3", ttl, at(32)).await.unwrap().token > new);
}
