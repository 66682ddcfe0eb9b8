//! History: order, pages, filters.

use gastown_core::{
    HistoryEntry, HistoryFilter, HistoryKind, HistoryOrder, Store, StoredHistory, Timestamp, TownId,
};

use super::samples::{ALL, at, empty, entry, history, new_town, put, row, tell};

async fn page(store: &dyn Store, town: &TownId, filter: HistoryFilter) -> Vec<StoredHistory> {
    store.history(town, filter).await.unwrap()
}

/// Text of each entry's body: what `samples::entry` was given.
fn texts(page: &[StoredHistory]) -> Vec<String> {
    page.iter()
        .map(|stored| {
            let body: serde_json::Value = serde_json::from_str(&stored.entry.body).unwrap();
            body["text"].as_str().unwrap().to_string()
        })
        .collect()
}

fn bead(subject: &str, text: &str) -> HistoryEntry {
    entry(HistoryKind::BeadEvent, Some(subject), text)
}

async fn mixed(store: &dyn Store) -> TownId {
    let town = new_town(store, "t1").await;
    let first = vec![
        bead("b1", "1"),
        entry(HistoryKind::Tick, None, "2"),
        bead("b2", "3"),
    ];
    let second = vec![entry(HistoryKind::Command, None, "4"), bead("b1", "5")];
    let _first = store.commit(&town, tell(1, first)).await.unwrap();
    let _between = store.commit(&town, empty(2)).await.unwrap();
    let _second = store.commit(&town, tell(3, second)).await.unwrap();
    town
}

/// History comes in the order of commit with growing sequences, whatever its times say.
pub async fn history_is_in_order_of_commit(store: &dyn Store) {
    let town = new_town(store, "t1").await;
    for (version, seconds) in (1..).zip([30, 10, 20]) {
        let entries = ["a", "b"].map(|text| HistoryEntry {
            at: at(seconds),
            ..bead("b1", &format!("{seconds}{text}"))
        });
        let _told = store
            .commit(&town, tell(version, entries.to_vec()))
            .await
            .unwrap();
    }
    let all = history(store, &town).await;
    assert_eq!(texts(&all), ["30a", "30b", "10a", "10b", "20a", "20b"]);
    assert!(all.is_sorted_by(|one, next| one.sequence < next.sequence));
    assert_eq!(all[2].entry.at, at(10));
}

/// An entry comes back as it was, to the millisecond.
pub async fn an_entry_comes_back_as_it_was(store: &dyn Store) {
    let town = new_town(store, "t1").await;
    let kinds = [
        HistoryKind::BeadEvent,
        HistoryKind::Tick,
        HistoryKind::Command,
        HistoryKind::Event,
        HistoryKind::Snapshot,
        HistoryKind::SnapshotRows,
    ];
    let times = [Timestamp::MIN, Timestamp::from_millis(1), Timestamp::MAX];
    let entries: Vec<_> = kinds
        .into_iter()
        .zip(times.into_iter().cycle())
        .map(|(kind, at)| HistoryEntry {
            at,
            ..entry(kind, Some("naïve 🦀 subject"), "\"quoted\"")
        })
        .collect();
    let _told = store.commit(&town, tell(1, entries.clone())).await.unwrap();
    let stored = history(store, &town)
        .await
        .into_iter()
        .map(|stored| stored.entry);
    assert_eq!(stored.collect::<Vec<_>>(), entries);
}

/// Filters by kind and by subject, alone and together.
pub async fn history_filters_by_kind_and_subject(store: &dyn Store) {
    let town = mixed(store).await;
    let cases: [(Option<HistoryKind>, Option<&str>, &[&str]); 8] = [
        (None, None, &["1", "2", "3", "4", "5"]),
        (Some(HistoryKind::BeadEvent), None, &["1", "3", "5"]),
        (Some(HistoryKind::Tick), None, &["2"]),
        (Some(HistoryKind::Command), None, &["4"]),
        (None, Some("b1"), &["1", "5"]),
        (Some(HistoryKind::BeadEvent), Some("b1"), &["1", "5"]),
        (Some(HistoryKind::Tick), Some("b1"), &[]),
        (None, Some("b"), &[]),
    ];
    for (kind, subject, expected) in cases {
        let filter = HistoryFilter {
            kind,
            subject: subject.map(Into::into),
            limit: ALL,
            ..HistoryFilter::default()
        };
        let found = page(store, &town, filter.clone()).await;
        assert_eq!(texts(&found), expected, "{kind:?} {subject:?}");
        let newest_first = HistoryFilter {
            order: HistoryOrder::NewestFirst,
            ..filter
        };
        let mut found = page(store, &town, newest_first).await;
        found.reverse();
        assert_eq!(
            texts(&found),
            expected,
            "newest first: {kind:?} {subject:?}"
        );
    }
}

/// Pages follow each other without gap or overlap, with and without a filter.
pub async fn pages_follow_each_other(store: &dyn Store) {
    let town = mixed(store).await;
    let orders = [HistoryOrder::OldestFirst, HistoryOrder::NewestFirst];
    let kinds = [None, Some(HistoryKind::BeadEvent)];
    for (order, kind) in orders.iter().flat_map(|o| kinds.map(|kind| (*o, kind))) {
        let all = HistoryFilter {
            kind,
            order,
            limit: ALL,
            ..HistoryFilter::default()
        };
        let all = page(store, &town, all).await;
        for limit in 1..4 {
            let (mut paged, mut after) = (Vec::new(), None);
            loop {
                let filter = HistoryFilter {
                    kind,
                    order,
                    after,
                    limit,
                    ..HistoryFilter::default()
                };
                let next = page(store, &town, filter).await;
                assert!(next.len() <= limit);
                let Some(last) = next.last() else { break };
                after = Some(last.sequence);
                paged.extend(next);
                assert!(paged.len() <= all.len(), "pages overlap: {paged:?}");
            }
            assert_eq!(paged, all, "{order:?} {kind:?} by {limit}");
        }
    }
}

/// A limit of 0 reads none; a page after the end is empty.
pub async fn a_page_may_be_empty(store: &dyn Store) {
    let town = mixed(store).await;
    assert_eq!(page(store, &town, HistoryFilter::default()).await, []);
    for after in [5, u64::MAX] {
        let filter = HistoryFilter {
            after: Some(after),
            limit: 10,
            ..HistoryFilter::default()
        };
        assert_eq!(page(store, &town, filter).await, [], "after {after}");
    }
    let before_the_first = HistoryFilter {
        order: HistoryOrder::NewestFirst,
        after: Some(1),
        limit: 10,
        ..HistoryFilter::default()
    };
    assert_eq!(page(store, &town, before_the_first).await, []);
}

/// History stays whatever becomes of the rows that it is about, and without a snapshot pruning
/// leaves it alone.
pub async fn history_never_changes(store: &dyn Store) {
    let town = mixed(store).await;
    let before = history(store, &town).await;
    let _put = store
        .commit(&town, put(4, vec![row("bead", "b1", "x")]))
        .await
        .unwrap();
    let mut delete = empty(5);
    delete.changes.delete = vec![row("bead", "b1", "x").key];
    let _deleted = store.commit(&town, delete).await.unwrap();
    store.prune(&town, Timestamp::MAX).await.unwrap();
    assert_eq!(history(store, &town).await, before);
}

/// Whoever pages from the oldest end misses nothing that is committed meanwhile.
pub async fn pages_reach_what_comes_meanwhile(store: &dyn Store) {
    let town = new_town(store, "t1").await;
    let (mut told, mut read, mut after) = (Vec::new(), Vec::new(), None);
    for version in 1..6 {
        let entries = ["a", "b", "c"]
            .map(|text| entry(HistoryKind::Tick, None, &format!("{text} of {version}")));
        told.extend(entries.clone());
        let commit = tell(version, entries.to_vec());
        let _told = store.commit(&town, commit).await.unwrap();
        let filter = HistoryFilter {
            after,
            limit: 2,
            ..HistoryFilter::default()
        };
        read.extend(page(store, &town, filter).await);
        after = read.last().map(|last: &StoredHistory| last.sequence);
    }
    let rest = HistoryFilter {
        after,
        limit: ALL,
        ..HistoryFilter::default()
    };
    read.extend(page(store, &town, rest).await);
    let read: Vec<HistoryEntry> = read.into_iter().map(|stored| stored.entry).collect();
    assert_eq!(read, told);
}
