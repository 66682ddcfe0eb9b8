//! Pruning: what is done with, and nothing else.

use gastown_core::{Commit, Finish, Store, Timestamp};

use super::samples::{
    ask, at, consume, effect, effect_keys, event, event_ids, finished_row, key, new_town, put, row,
    show,
};

/// Consumed events go by the time of the commit that consumed them, not by their own.
pub async fn consumed_events_are_pruned_by_the_time_of_commit(store: &dyn Store) {
    let town = new_town(store, "t1").await;
    let events = vec![
        event("early", at(500)),
        event("late", at(1)),
        event("pending", at(0)),
    ];
    store.append_events(&town, events).await.unwrap();
    for (version, (id, seconds)) in (1..).zip([("early", 10), ("late", 20)]) {
        let commit = Commit {
            at: at(seconds),
            ..consume(version, &[id])
        };
        let _consumed = store.commit(&town, commit).await.unwrap();
    }
    assert_eq!(
        store.prune(&town, at(10)).await.unwrap(),
        0,
        "strictly before"
    );
    assert_eq!(store.prune(&town, at(20)).await.unwrap(), 1);
    assert_eq!(event_ids(store, &town).await, ["pending"]);
    let again = vec![event("early", at(1)), event("late", at(1))];
    assert_eq!(
        store.append_events(&town, again).await.unwrap(),
        1,
        "late is remembered"
    );
}

/// Finished effects go by the time when they were finished.
pub async fn finished_effects_are_pruned_by_the_time_of_finish(store: &dyn Store) {
    let town = new_town(store, "t1").await;
    let asked = vec![effect("n1", 1), effect("n2", 1), effect("n3", 1)];
    let _asked = store.commit(&town, ask(1, asked.clone())).await.unwrap();
    for (effect, seconds) in asked.iter().zip([10, 20]) {
        store
            .finish_effect(&town, &effect.key, Finish::Done, vec![], at(seconds))
            .await
            .unwrap();
    }
    assert_eq!(
        store.prune(&town, at(10)).await.unwrap(),
        0,
        "strictly before"
    );
    assert_eq!(store.prune(&town, at(20)).await.unwrap(), 1);
    assert_eq!(effect_keys(store, &town).await, [asked[2].key.clone()]);
    let again = store.commit(&town, ask(2, asked.clone())).await.unwrap();
    assert_eq!(
        again.into_effects(),
        [asked[0].clone()],
        "only the pruned key is forgotten"
    );
}

/// Nothing but consumed events and finished effects is pruned, however late.
pub async fn nothing_else_is_pruned(store: &dyn Store) {
    let town = new_town(store, "t1").await;
    let rows = vec![row("bead", "b1", "x"), finished_row("bead", "b2", "x")];
    let mut commit = put(1, rows.clone());
    commit.effects = vec![effect("n1", 1)];
    let _put = store.commit(&town, commit).await.unwrap();
    store
        .append_events(&town, vec![event("e1", at(0))])
        .await
        .unwrap();
    let before = show(store, &town).await;
    assert_eq!(store.prune(&town, Timestamp::MAX).await.unwrap(), 0);
    assert_eq!(show(store, &town).await, before);
    let keys = [key("bead", "b1"), key("bead", "b2")];
    assert_eq!(store.rows(&town, &keys).await.unwrap(), rows);
}

/// Pruning again removes nothing more, and events and effects are counted together.
pub async fn pruning_counts_and_ends(store: &dyn Store) {
    let town = new_town(store, "t1").await;
    store
        .append_events(&town, vec![event("e1", at(0)), event("e2", at(0))])
        .await
        .unwrap();
    let mut commit = consume(1, &["e1", "e2"]);
    commit.effects = vec![effect("n1", 1)];
    let _committed = store.commit(&town, commit).await.unwrap();
    store
        .finish_effect(
            &town,
            &effect("n1", 1).key,
            Finish::Withdrawn,
            vec![],
            at(0),
        )
        .await
        .unwrap();
    assert_eq!(store.prune(&town, at(1)).await.unwrap(), 3);
    assert_eq!(store.prune(&town, at(1)).await.unwrap(), 0);
}
