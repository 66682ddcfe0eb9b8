//! Small pieces to build cases from.

use std::time::Duration;

use gastown_core::effects::NotifyMayor;
use gastown_core::events::AgentGone;
use gastown_core::{
    AgentId, ChangeSet, Commit, Committed, Effect, EffectKey, Event, EventId, EventKind,
    HistoryEntry, HistoryFilter, HistoryKind, Row, RowKey, Store, StoreError, StoredHistory,
    Timestamp, TownId,
};

/// More than any case has of anything.
pub(crate) const ALL: usize = 1_000_000;

pub(crate) fn town(id: &str) -> TownId {
    TownId::new(id).unwrap()
}

/// `seconds` after the suite's first moment.
pub(crate) fn at(seconds: u64) -> Timestamp {
    let start: Timestamp = "2026-04-04T12:00:00Z".parse().unwrap();
    start.plus(Duration::from_secs(seconds))
}

pub(crate) fn key(kind: &str, id: &str) -> RowKey {
    RowKey {
        kind: kind.into(),
        id: id.into(),
    }
}

/// A row of the working set.
pub(crate) fn row(kind: &str, id: &str, text: &str) -> Row {
    Row {
        key: key(kind, id),
        working: true,
        body: serde_json::json!({ "text": text }).to_string(),
    }
}

/// A row that `load` leaves behind.
pub(crate) fn finished_row(kind: &str, id: &str, text: &str) -> Row {
    Row {
        working: false,
        ..row(kind, id, text)
    }
}

pub(crate) fn event(id: &str, at: Timestamp) -> Event {
    Event {
        id: EventId::new(id).unwrap(),
        at,
        key: None,
        kind: EventKind::AgentGone(AgentGone {
            agent_id: AgentId::new("a1").unwrap(),
        }),
    }
}

/// An event that says that `effect` was performed.
pub(crate) fn result_of(effect: &Effect, id: &str, at: Timestamp) -> Event {
    Event {
        key: Some(effect.key.clone()),
        ..event(id, at)
    }
}

pub(crate) fn effect(subject: &str, attempt: u64) -> Effect {
    let kind = NotifyMayor {
        topic: subject.into(),
        message: format!("message {attempt} about {subject}"),
    };
    Effect::new(subject, attempt, kind)
}

pub(crate) fn entry(kind: HistoryKind, subject: Option<&str>, text: &str) -> HistoryEntry {
    HistoryEntry {
        kind,
        subject: subject.map(Into::into),
        at: at(0),
        body: serde_json::json!({ "text": text }).to_string(),
    }
}

/// A commit without content.
pub(crate) fn empty(expected_version: u64) -> Commit {
    Commit {
        expected_version,
        lease_token: None,
        changes: ChangeSet::default(),
        consumed: Vec::new(),
        effects: Vec::new(),
        at: at(0),
    }
}

pub(crate) fn put(expected_version: u64, rows: Vec<Row>) -> Commit {
    let mut commit = empty(expected_version);
    commit.changes.put = rows;
    commit
}

pub(crate) fn consume(expected_version: u64, ids: &[&str]) -> Commit {
    Commit {
        consumed: ids.iter().map(|id| EventId::new(id).unwrap()).collect(),
        ..empty(expected_version)
    }
}

pub(crate) fn ask(expected_version: u64, effects: Vec<Effect>) -> Commit {
    Commit {
        effects,
        ..empty(expected_version)
    }
}

pub(crate) fn tell(expected_version: u64, history: Vec<HistoryEntry>) -> Commit {
    let mut commit = empty(expected_version);
    commit.changes.history = history;
    commit
}

/// Creates a town and returns its id.
pub(crate) async fn new_town(store: &dyn Store, id: &str) -> TownId {
    let town = town(id);
    let _created = store.commit(&town, empty(0)).await.unwrap();
    town
}

/// Everything of a town that the port can show; equal before and after means nothing was written.
#[derive(Debug, PartialEq)]
pub(crate) struct Shown {
    pub(crate) version: u64,
    pub(crate) rows: Vec<Row>,
    pub(crate) events: Vec<Event>,
    pub(crate) effects: Vec<Effect>,
    pub(crate) history: Vec<StoredHistory>,
}

pub(crate) async fn show(store: &dyn Store, town: &TownId) -> Shown {
    let loaded = store.load(town).await.unwrap();
    Shown {
        version: loaded.version,
        rows: loaded.rows,
        events: store.pending_events(town, ALL).await.unwrap(),
        effects: store.pending_effects(town).await.unwrap(),
        history: history(store, town).await,
    }
}

pub(crate) async fn history(store: &dyn Store, town: &TownId) -> Vec<StoredHistory> {
    let filter = HistoryFilter {
        limit: ALL,
        ..HistoryFilter::default()
    };
    store.history(town, filter).await.unwrap()
}

pub(crate) async fn event_ids(store: &dyn Store, town: &TownId) -> Vec<String> {
    let events = store.pending_events(town, ALL).await.unwrap();
    events.iter().map(|event| event.id.to_string()).collect()
}

pub(crate) async fn effect_keys(store: &dyn Store, town: &TownId) -> Vec<EffectKey> {
    let effects = store.pending_effects(town).await.unwrap();
    effects.into_iter().map(|effect| effect.key).collect()
}

pub(crate) fn keys(effects: &[Effect]) -> Vec<EffectKey> {
    effects.iter().map(|effect| effect.key.clone()).collect()
}

#[track_caller]
pub(crate) fn assert_conflict(said: Result<Committed, StoreError>, stale: u64, stored: u64) {
    match said {
        Err(StoreError::Conflict {
            expected, actual, ..
        }) => assert_eq!((expected, actual), (stale, stored)),
        other => panic!("expected a conflict, got {other:?}"),
    }
}

#[track_caller]
pub(crate) fn assert_refused<T: std::fmt::Debug>(said: Result<T, StoreError>, operation: &str) {
    match said {
        Err(error @ StoreError::Refused { operation: at, .. }) => {
            assert_eq!(at, operation, "{error}");
            assert!(!error.is_retryable(), "{error}");
        }
        other => panic!("expected {operation} to be refused, got {other:?}"),
    }
}
