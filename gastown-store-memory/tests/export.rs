//! A town is exported while its runner goes on.

// Helpers of tests may stop a test.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures_executor::block_on;
use gastown_core::events::AgentGone;
use gastown_core::report::Report;
use gastown_core::{
    ChangeSet, Commit, Committed, Effect, EffectKey, Event, EventKind, Finish, HistoryEntry,
    HistoryFilter, HistoryKind, Lease, Loaded, PastFilter, Row, RowKey, Store, StoreError,
    StoredHistory, TickInput, Timestamp, Town, TownId, snapshot_entries, tick,
};
use gastown_store_memory::MemoryStore;
use gastown_testkit::lives::{Then, live};
use gastown_testkit::world::{Setup, Step};

/// A store in which something happens once while it is read: its effects are finished right after either
/// half of what is pending was read, or it is pruned after the first page of its history.
struct Restless {
    inner: MemoryStore,
    meanwhile: Meanwhile,
    is_done: AtomicBool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Meanwhile {
    Performed,
    Pruned,
}

impl Restless {
    fn new(inner: MemoryStore, meanwhile: Meanwhile) -> Self {
        Self {
            inner,
            meanwhile,
            is_done: AtomicBool::new(false),
        }
    }

    async fn perform(&self, town: &TownId) -> Result<(), StoreError> {
        if self.meanwhile != Meanwhile::Performed || self.is_done.swap(true, Ordering::SeqCst) {
            return Ok(());
        }
        for (n, effect) in self.inner.pending_effects(town).await?.iter().enumerate() {
            let result = Event {
                id: format!("result-{n}").parse().unwrap(),
                at: Timestamp::MIN,
                key: Some(effect.key.clone()),
                kind: EventKind::AgentGone(AgentGone {
                    agent_id: "a1".parse().unwrap(),
                }),
            };
            self.inner
                .finish_effect(
                    town,
                    &effect.key,
                    Finish::Done,
                    vec![result],
                    Timestamp::MIN,
                )
                .await?;
        }
        Ok(())
    }
}

#[async_trait]
impl Store for Restless {
    async fn towns(&self) -> Result<Vec<TownId>, StoreError> {
        self.inner.towns().await
    }
    async fn load(&self, town: &TownId) -> Result<Loaded, StoreError> {
        self.inner.load(town).await
    }
    async fn rows(&self, town: &TownId, keys: &[RowKey]) -> Result<Vec<Row>, StoreError> {
        self.inner.rows(town, keys).await
    }
    async fn past_rows(&self, town: &TownId, filter: PastFilter) -> Result<Vec<Row>, StoreError> {
        self.inner.past_rows(town, filter).await
    }
    async fn commit(&self, town: &TownId, commit: Commit) -> Result<Committed, StoreError> {
        self.inner.commit(town, commit).await
    }
    async fn append_events(&self, town: &TownId, events: Vec<Event>) -> Result<usize, StoreError> {
        self.inner.append_events(town, events).await
    }
    async fn pending_events(&self, town: &TownId, limit: usize) -> Result<Vec<Event>, StoreError> {
        let events = self.inner.pending_events(town, limit).await?;
        self.perform(town).await?;
        Ok(events)
    }
    async fn pending_effects(&self, town: &TownId) -> Result<Vec<Effect>, StoreError> {
        let effects = self.inner.pending_effects(town).await?;
        self.perform(town).await?;
        Ok(effects)
    }
    async fn finish_effect(
        &self,
        town: &TownId,
        key: &EffectKey,
        finish: Finish,
        results: Vec<Event>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.inner
            .finish_effect(town, key, finish, results, now)
            .await
    }
    async fn history(
        &self,
        town: &TownId,
        filter: HistoryFilter,
    ) -> Result<Vec<StoredHistory>, StoreError> {
        let is_page = filter.limit > 1 && self.meanwhile == Meanwhile::Pruned;
        let page = self.inner.history(town, filter).await?;
        if is_page && !self.is_done.swap(true, Ordering::SeqCst) {
            self.inner.prune(town, Timestamp::MAX).await?;
        }
        Ok(page)
    }
    async fn prune(&self, town: &TownId, before: Timestamp) -> Result<usize, StoreError> {
        self.inner.prune(town, before).await
    }
    async fn lease(
        &self,
        town: &TownId,
        holder: &str,
        ttl: Duration,
        now: Timestamp,
    ) -> Result<Lease, StoreError> {
        self.inner.lease(town, holder, ttl, now).await
    }
    async fn release(&self, town: &TownId, holder: &str) -> Result<(), StoreError> {
        self.inner.release(town, holder).await
    }
}

/// P10 also of a copy: each effect that was committed is in it, or what came of it is.
#[test]
fn no_effect_is_lost_together_with_its_result() {
    let inner = MemoryStore::new();
    let steps = [(Step::Pass(1), Then::Tick)];
    let town = block_on(live(&inner, Setup(0), &steps)).unwrap();
    let asked = block_on(inner.pending_effects(&town)).unwrap();
    assert!(
        !asked.is_empty(),
        "the town was to have asked for something"
    );
    let store = Restless::new(inner, Meanwhile::Performed);
    let report = block_on(Report::export(&store, &town)).unwrap();
    assert!(store.is_done.load(Ordering::SeqCst));
    for effect in asked {
        let is_there = report.effects.contains(&effect)
            || report
                .events
                .iter()
                .any(|event| event.key.as_ref() == Some(&effect.key));
        assert!(is_there, "{} is lost", effect.key);
    }
}

/// Two pages of ticks lie before the only snapshot. Pruned after the first page was read, they are not half
/// in the report.
#[test]
fn what_is_pruned_between_two_pages_is_not_half_there() {
    let inner = MemoryStore::new();
    let town: TownId = "t1".parse().unwrap();
    let entry = |kind, subject: Option<&str>| HistoryEntry {
        kind,
        subject: subject.map(Into::into),
        at: Timestamp::MIN,
        body: "{}".into(),
    };
    let mut history = vec![entry(HistoryKind::BeadEvent, Some("b1"))];
    history.extend((0..1_500).map(|_| entry(HistoryKind::Tick, None)));
    history.push(entry(HistoryKind::Snapshot, None));
    history.push(entry(HistoryKind::Tick, None));
    let commit = Commit {
        expected_version: 0,
        lease_token: None,
        changes: ChangeSet {
            history,
            ..ChangeSet::default()
        },
        consumed: Vec::new(),
        effects: Vec::new(),
        at: Timestamp::MIN,
    };
    let _made = block_on(inner.commit(&town, commit)).unwrap();
    let store = Restless::new(inner, Meanwhile::Pruned);
    let report = block_on(Report::export(&store, &town)).unwrap();
    assert!(store.is_done.load(Ordering::SeqCst));
    let kinds: Vec<HistoryKind> = report.history.iter().map(|kept| kept.entry.kind).collect();
    assert_eq!(
        kinds,
        [
            HistoryKind::BeadEvent,
            HistoryKind::Snapshot,
            HistoryKind::Tick
        ]
    );
}

/// I17 also where a secret is a name: it is hidden in keys and subjects as in records, whose lengths are
/// part of a key, and the town goes on as what the file calls it.
#[test]
fn a_secret_that_is_a_name_is_hidden_and_the_town_replays() {
    const SECRET: &str = "product1";
    let store = MemoryStore::new();
    let id: TownId = "product1".parse().unwrap();
    named_by_a_secret(&store, &id);
    let report = block_on(Report::export(&store, &id)).unwrap();
    let text = report.to_text();
    assert!(!text.contains(SECRET), "{text}");
    let report = Report::from_text(&text).unwrap();
    let keys: Vec<String> = report.rows.iter().map(|row| shown(&row.key)).collect();
    for expected in [
        "rig/[redacted]",
        "bead/[redacted]-b1",
        "edge/blocks.2.x2.[redacted]-b1",
        "edge/parent-child.13.[redacted]-b1.x3",
    ] {
        assert!(keys.iter().any(|key| key == expected), "{keys:#?}");
    }
    let subjects = report
        .history
        .iter()
        .filter_map(|kept| kept.entry.subject.as_deref());
    let subjects: Vec<&str> = subjects.collect();
    assert!(subjects.contains(&"[redacted]-b1"), "{subjects:?}");

    let other = MemoryStore::new();
    block_on(report.import(&other, Timestamp::MAX)).unwrap();
    let imported = block_on(Report::export(&other, &report.town)).unwrap();
    assert_eq!(imported.rows, report.rows);
    for report in [report, imported] {
        let replayed = report.replay().unwrap();
        assert_eq!(report.first_difference(&replayed), None);
    }
}

/// Two names that differ in nothing but their secrets are not made one.
#[test]
fn a_town_whose_names_are_only_secrets_is_not_exported_by_halves() {
    let store = MemoryStore::new();
    let id: TownId = "t1".parse().unwrap();
    let body = r#"{"env_vars":{"A_KEY":"product1","B_KEY":"product2"}}"#;
    let row = |kind: &str, id: &str, body: &str| Row {
        key: RowKey {
            kind: kind.into(),
            id: id.into(),
        },
        working: true,
        body: body.into(),
    };
    let put = vec![
        row("rig", "product1", "{}"),
        row("rig", "product2", "{}"),
        row("town", "town", body),
    ];
    let changes = ChangeSet {
        put,
        ..ChangeSet::default()
    };
    let _made = block_on(store.commit(&id, first(changes, Vec::new()))).unwrap();
    let error = block_on(Report::export(&store, &id)).unwrap_err();
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.contains("row rig/[redacted]"), "{cause}");
    assert!(!cause.contains("product"), "{cause}");
}

fn shown(key: &RowKey) -> String {
    format!("{}/{}", key.kind, key.id)
}

fn first(changes: ChangeSet, effects: Vec<Effect>) -> Commit {
    Commit {
        expected_version: 0,
        lease_token: None,
        changes,
        consumed: Vec::new(),
        effects,
        at: Timestamp::MIN,
    }
}

/// A town with a snapshot and a tick in which a secret of its environment is part of names.
fn named_by_a_secret(store: &MemoryStore, id: &TownId) {
    let mut town = gastown_core::testing::town(
        r#"town id=product1 config.env_vars={"DEPLOY_TOKEN":"product1"}
rig product1
bead product1-b1 issue open rig_id=product1
bead x2 issue open rig_id=product1
bead x3 issue open rig_id=product1
edge x2 blocks product1-b1
edge product1-b1 parent-child x3"#,
    );
    let mut changes = town.take_changes();
    let rows = changes.put.clone();
    changes
        .history
        .extend(snapshot_entries(1, Timestamp::MIN, rows.clone()));
    let _made = block_on(store.commit(id, first(changes, Vec::new()))).unwrap();

    let mut town = Town::from_rows(rows).unwrap();
    let input = TickInput {
        number: 2,
        now: gastown_core::testing::at("0s"),
        loaded: true,
        recalled: &[],
        stored: &[],
        local: &[],
        commands: &[],
    };
    let ticked = tick(&mut town, &input);
    assert!(
        !ticked.settled.actions.is_empty(),
        "the tick was to do something"
    );
    let record = ticked.record(&input, Duration::ZERO);
    let mut changes = ticked.changes;
    changes.history.extend(record);
    let commit = Commit {
        expected_version: 1,
        ..first(changes, ticked.settled.effects)
    };
    let _ticked = block_on(store.commit(id, commit)).unwrap();
}
