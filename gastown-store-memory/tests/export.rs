//! A town is exported while its runner goes on.

// Helpers of tests may stop a test.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures_executor::block_on;
use gastown_core::events::{AgentExited, AgentGone, ExitStatus};
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
    let id: TownId = "of-town-product1".parse().unwrap();
    named_by_a_secret(&store, &id);
    let report = block_on(Report::export(&store, &id)).unwrap();
    let text = report.to_text();
    assert!(!text.contains(SECRET), "{text}");
    let report = Report::from_text(&text).unwrap();
    let keys: Vec<String> = report.rows.iter().map(|row| shown(&row.key)).collect();
    for expected in [
        "rig/the-rig-[redacted]",
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

/// A town with a snapshot and a tick in which a secret of its environment is part of names. Agents are named by
/// the first eight characters of rig and town, so the secret comes later: it would be cut, and a replay would
/// cut its mask.
fn named_by_a_secret(store: &MemoryStore, id: &TownId) {
    let text = r#"town id=of-town-product1 config.env_vars={"DEPLOY_TOKEN":"product1"}
rig the-rig-product1
bead product1-b1 issue open rig_id=the-rig-product1
bead x2 issue open rig_id=the-rig-product1
bead x3 issue open rig_id=the-rig-product1
edge x2 blocks product1-b1
edge product1-b1 parent-child x3"#;
    made(store, id, text);
}

/// The rows of the town that a text describes.
fn rows_of(text: &str) -> Vec<Row> {
    let mut town = gastown_core::testing::town(text);
    town.take_changes().put
}

/// Makes the town that a text describes, with a snapshot and a tick that does something.
fn made(store: &MemoryStore, id: &TownId, text: &str) {
    let rows = rows_of(text);
    let changes = ChangeSet {
        history: snapshot_entries(1, Timestamp::MIN, rows.clone()),
        put: rows,
        ..ChangeSet::default()
    };
    let _made = block_on(store.commit(id, first(changes, Vec::new()))).unwrap();
    let actions = ticked(store, id, Vec::new());
    assert!(actions > 0, "the tick was to do something");
}

/// Loads the town and ticks it once; `before` comes before the tick in the history. Says how much it did.
fn ticked(store: &MemoryStore, id: &TownId, before: Vec<HistoryEntry>) -> usize {
    let loaded = block_on(store.load(id)).unwrap();
    let mut town = Town::from_rows(loaded.rows).unwrap();
    let input = TickInput {
        number: loaded.version.saturating_add(1),
        now: gastown_core::testing::at("0s"),
        loaded: true,
        recalled: &[],
        stored: &[],
        local: &[],
        commands: &[],
    };
    let ticked = tick(&mut town, &input);
    let record = ticked.record(&input, Duration::ZERO);
    let mut changes = ticked.changes;
    let events = core::mem::replace(&mut changes.history, before);
    changes.history.extend(events.into_iter().chain(record));
    let commit = Commit {
        expected_version: loaded.version,
        ..first(changes, ticked.settled.effects)
    };
    let _ticked = block_on(store.commit(id, commit)).unwrap();
    ticked.settled.actions.len()
}

/// Why a town of these rows with this history and these events is not exported.
fn refusal(rows: Vec<Row>, history: Vec<HistoryEntry>, events: Vec<Event>) -> String {
    let store = MemoryStore::new();
    let id: TownId = "t1".parse().unwrap();
    let changes = ChangeSet {
        put: rows,
        history,
        ..ChangeSet::default()
    };
    let _made = block_on(store.commit(&id, first(changes, Vec::new()))).unwrap();
    block_on(store.append_events(&id, events)).unwrap();
    let error = block_on(Report::export(&store, &id)).unwrap_err();
    std::error::Error::source(&error).unwrap().to_string()
}

fn kept(kind: HistoryKind, body: impl ToString) -> HistoryEntry {
    HistoryEntry {
        kind,
        subject: None,
        at: Timestamp::MIN,
        body: body.to_string(),
    }
}

/// Rows lie in entries of a MiB. A name that is masked may belong into another entry than it is in, and
/// the snapshot still shows what it showed.
#[test]
fn a_masked_snapshot_of_several_entries_replays() {
    let store = MemoryStore::new();
    let id: TownId = "t1".parse().unwrap();
    let long = "x".repeat(600_000);
    // Masked, the second sorts before the first.
    let text = format!(
        r#"town config.env_vars={{"DEPLOY_TOKEN":"product1"}}
rig r1
bead b1 issue open rig_id=r1 created_at=-40d body={long}
bead product1-b2 issue open rig_id=r1 body={long}"#
    );
    made(&store, &id, &text);
    let rows = block_on(store.load(&id)).unwrap().rows;
    let snapshot = snapshot_entries(2, Timestamp::MIN, rows);
    assert!(snapshot.len() > 2, "it was to have several entries of rows");
    ticked(&store, &id, snapshot);
    let report = block_on(Report::export(&store, &id)).unwrap();
    assert!(!report.to_text().contains("product1"));
    let replayed = report.replay().unwrap();
    assert_eq!((replayed.ticks, replayed.unrecorded), (2, 0));
    assert_eq!(report.first_difference(&replayed), None);
}

/// What the engine calls its fields everybody knows: as a value it is masked, as a field it stays.
#[test]
fn a_secret_that_is_the_name_of_a_field_is_masked_in_values_only() {
    let store = MemoryStore::new();
    let id: TownId = "t1".parse().unwrap();
    made(
        &store,
        &id,
        r#"town config.env_vars={"JIRA_KEY_FIELD":"priority","SECRET_STORE":"metadata"}
rig r1
bead b1 issue open rig_id=r1 metadata={"hint":"metadata, priority"}"#,
    );
    let report = block_on(Report::export(&store, &id)).unwrap();
    let bead = report.rows.iter().find(|row| row.key.kind == "bead");
    let body = &bead.unwrap().body;
    assert!(
        body.contains(r#""metadata":{"hint":"[redacted], [redacted]"}"#),
        "{body}"
    );
    assert!(body.contains(r#""priority":""#), "{body}");
    let replayed = report.replay().unwrap();
    assert_eq!(report.first_difference(&replayed), None);
}

/// A report that nobody could read is none: a word that the engine needs is a secret, two keys are one, or
/// a mask is too long.
#[test]
fn what_can_not_be_read_without_its_secrets_is_not_exported() {
    // What fits, and does not with masks that are longer.
    const SECRETS_IN_A_ROW: usize = Row::BODY_BYTES_MAX / 8 - 1_000;
    const SECRETS_IN_AN_EVENT: usize = Event::BYTES_MAX / 8 - 1_000;
    let town = |variables: &str, rest: &str| {
        rows_of(&format!("town config.env_vars={variables}\nrig r1\n{rest}"))
    };
    let product = r#"{"A_KEY":"product1","B_KEY":"product2"}"#;
    let word = refusal(
        town(
            r#"{"A_KEY":"in_progress"}"#,
            "bead b1 issue in_progress rig_id=r1",
        ),
        Vec::new(),
        Vec::new(),
    );
    assert!(word.contains("bead/b1.status"), "{word}");

    let field = rows_of(
        r#"town config.max_polecats_per_rig=3 config.env_vars={"A_KEY":"max_polecats_per_rig"}"#,
    );
    let field = refusal(field, Vec::new(), Vec::new());
    assert!(field.contains("town/town.config"), "{field}");

    let metadata = r#"bead b1 issue open rig_id=r1 metadata={"product1":1,"product2":2}"#;
    let keys = refusal(town(product, metadata), Vec::new(), Vec::new());
    let expected = "row bead/b1: without their secrets two of its keys are one";
    assert_eq!(keys, expected);

    let long = "product1".repeat(SECRETS_IN_A_ROW);
    let long = town(
        product,
        &format!("bead b1 issue open rig_id=r1 body={long}"),
    );
    let long = refusal(long, Vec::new(), Vec::new());
    assert!(long.starts_with("row bead/b1: a body of "), "{long}");

    let event = |id: &str, kind| Event {
        id: id.parse().unwrap(),
        at: Timestamp::MIN,
        key: None,
        kind,
    };
    let exited = EventKind::AgentExited(AgentExited {
        agent_id: "a1".parse().unwrap(),
        status: ExitStatus::Failed,
        session: None,
        bead_id: None,
        reason: None,
        note: Some("product1".repeat(SECRETS_IN_AN_EVENT)),
    });
    let exited = refusal(town(product, ""), Vec::new(), vec![event("e1", exited)]);
    assert!(exited.starts_with("event e1: "), "{exited}");

    // What a replay would stumble over.
    let gone = EventKind::AgentGone(AgentGone {
        agent_id: "a1".parse().unwrap(),
    });
    let record = serde_json::json!({"number": 2, "event": event("e1", gone)});
    let history = vec![kept(HistoryKind::Event, record)];
    let variables = r#"{"A_KEY":"agent_gone"}"#;
    let record = refusal(town(variables, ""), history, Vec::new());
    assert!(record.starts_with("history 1 (event)"), "{record}");
    assert!(record.contains("unknown type"), "{record}");
}

/// Also of what was there once: a replay would begin with one rig in the place of two.
#[test]
fn names_of_an_older_snapshot_that_are_only_secrets_are_not_made_one() {
    let rows = rows_of(
        r#"town config.env_vars={"A_KEY":"product1","B_KEY":"product2"}
rig product1
rig product2"#,
    );
    let (rigs, rows): (Vec<Row>, Vec<Row>) =
        rows.into_iter().partition(|row| row.key.kind == "rig");
    let base: Vec<Row> = rows.iter().chain(&rigs).cloned().collect();
    let mut history = vec![kept(
        HistoryKind::Snapshot,
        serde_json::json!({"number": 1, "rows": base.len()}),
    )];
    // An entry for each.
    history.extend(base.iter().map(|row| {
        let record = serde_json::json!({"number": 1, "rows": [row]});
        kept(HistoryKind::SnapshotRows, record)
    }));
    let cause = refusal(rows, history, Vec::new());
    let expected = "history 2 (snapshot_rows).row rig/[redacted]: without its secret it has the name of another";
    assert_eq!(cause, expected);
}

/// I17: nobody knows what in it is secret.
#[test]
fn rows_that_can_not_be_read_are_not_shown() {
    let rows = rows_of(r#"town config.env_vars={"A_KEY":"product1"}"#);
    let body = r#"{"number":1,"rows":[],"product1":"product1"}"#;
    let history = vec![kept(HistoryKind::SnapshotRows, body)];
    let cause = refusal(rows, history, Vec::new());
    assert_eq!(cause, "history 1 (snapshot_rows): its rows can't be read");
}
