//! Pruning: what is done with, and nothing else.

use gastown_core::{Commit, Finish, HistoryEntry, HistoryKind, Store, Timestamp};

use super::samples::{
    ask, at, consume, effect, effect_keys, entry, event, event_ids, finished_row, history, key,
    new_town, put, row, show, tell,
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

/// One commit per list: entries of these kinds, 10 seconds after the commit before.
async fn told(store: &dyn Store, town: &gastown_core::TownId, commits: &[&[HistoryKind]]) {
    for (version, (n, kinds)) in (1..).zip((1..).zip(commits)) {
        let entries = kinds.iter().map(|kind| HistoryEntry {
            at: at(10 * n),
            ..entry(*kind, None, &n.to_string())
        });
        let _told = store
            .commit(town, tell(version, entries.collect()))
            .await
            .unwrap();
    }
}

/// What is only for replay goes up to the newest snapshot that is old enough; what happened to beads
/// stays, and so does every sequence.
pub async fn a_base_for_replay_is_kept(store: &dyn Store) {
    use HistoryKind::{BeadEvent, Command, Event, Snapshot, SnapshotRows, Tick};
    let town = new_town(store, "t1").await;
    let commits: [&[HistoryKind]; 6] = [
        &[Snapshot, SnapshotRows, BeadEvent, Tick],
        &[BeadEvent, Event, Command, Tick],
        &[Snapshot, SnapshotRows, SnapshotRows, Tick],
        &[BeadEvent, Event, Tick],
        &[Snapshot, SnapshotRows, Tick],
        &[Tick],
    ];
    told(store, &town, &commits).await;
    let before = history(store, &town).await;
    let count = |seconds| async move { store.prune(&town_id(), at(seconds)).await.unwrap() };
    assert_eq!(count(10).await, 0, "strictly before");
    assert_eq!(
        count(30).await,
        0,
        "the first snapshot is the newest of before"
    );
    assert_eq!(count(31).await, 6, "all of before but two bead events");
    assert_eq!(count(31).await, 0);
    let kept: Vec<_> = before
        .iter()
        .enumerate()
        .filter(|(n, stored)| *n >= 8 || stored.entry.kind == BeadEvent)
        .map(|(_, stored)| stored.clone())
        .collect();
    assert_eq!(history(store, &town).await, kept);
    let _next = store
        .commit(&town, tell(7, vec![entry(Tick, None, "next")]))
        .await
        .unwrap();
    assert_eq!(count(1_000).await, 6);
    let sequences: Vec<u64> = history(store, &town)
        .await
        .iter()
        .map(|stored| stored.sequence)
        .collect();
    assert_eq!(sequences, [3, 5, 13, 16, 17, 18, 19, 20]);
}

/// Without a snapshot nothing could be replayed if anything were taken.
pub async fn without_a_snapshot_history_is_not_pruned(store: &dyn Store) {
    let town = new_town(store, "t1").await;
    told(store, &town, &[&[HistoryKind::Event, HistoryKind::Tick]]).await;
    assert_eq!(store.prune(&town, Timestamp::MAX).await.unwrap(), 0);
    assert_eq!(history(store, &town).await.len(), 2);
}

fn town_id() -> gastown_core::TownId {
    super::samples::town("t1")
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
