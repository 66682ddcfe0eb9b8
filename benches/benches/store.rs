//! The SQLite store next to plain SQLite doing the same writes and reads by hand: what the port, the
//! thread and the checks cost. The two run one after the other in one group, with the same settings.
//!
//! By hand means what a program would do that has these tables and no store: the same rows in one
//! transaction, in as few statements as that takes. Its tables have the same columns, keys and indexes, and
//! no triggers: what those look at is the store's to check, and counts as its cost. The CHECKs and the columns
//! that are taken from the records stay, as they are part of the tables and the indexes need them.

use std::path::Path;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use futures_executor::block_on;
use gastown_benches::{now, rows};
use gastown_core::{
    ChangeSet, Commit, Effect, HistoryEntry, HistoryKind, Row, RowKey, Store, StoreError, TownId,
    effects,
};
use gastown_store_sqlite::{Options, SqliteStore, Synchronous};
use rusqlite::{Connection, TransactionBehavior, params};
use tempfile::TempDir;

type Failure = Box<dyn std::error::Error>;

/// A busy tick: ten changed beads, a line of history, an effect.
const ROWS_PER_COMMIT: usize = 10;
/// Beads that the commits write, in turn.
const BEADS: usize = 1_000;
const BODY_BYTES: usize = 500;

fn town() -> Result<TownId, Failure> {
    Ok(TownId::new("bench")?)
}

fn commit(version: u64) -> Commit {
    let first = usize::try_from(version)
        .unwrap_or(0)
        .wrapping_mul(ROWS_PER_COMMIT)
        % BEADS;
    let message = effects::NotifyMayor {
        topic: "bench".into(),
        message: "a message".into(),
    };
    Commit {
        expected_version: version,
        lease_token: None,
        changes: ChangeSet {
            put: rows(first..first.saturating_add(ROWS_PER_COMMIT), BODY_BYTES),
            delete: Vec::new(),
            history: vec![HistoryEntry {
                kind: HistoryKind::Tick,
                subject: None,
                at: now(),
                body: r#"{"number":1,"events":[],"actions":[]}"#.into(),
            }],
        },
        consumed: Vec::new(),
        effects: vec![Effect::new("bench", version, message)],
        at: now(),
    }
}

async fn open(path: &Path, synchronous: Synchronous) -> Result<SqliteStore, StoreError> {
    SqliteStore::open(path, Options::safe().synchronous(synchronous)).await
}

/// A file with a town of that many beads and that many more that ended, made by the store.
fn file(beads: usize, ended: usize) -> Result<TempDir, Failure> {
    let directory = tempfile::tempdir()?;
    let store = block_on(open(&directory.path().join("town.db"), Synchronous::Full))?;
    let mut first = commit(0);
    first.changes.put = rows(0..beads.saturating_add(ended), BODY_BYTES);
    for row in first.changes.put.iter_mut().skip(beads) {
        row.working = false;
    }
    let _created = block_on(store.commit(&town()?, first))?;
    Ok(directory)
}

/// A connection set up like the store's, to tables without the store's triggers.
fn by_hand(path: &Path, mode: &str) -> Result<Connection, Failure> {
    let connection = Connection::open(path)?;
    let triggers: Vec<String> = connection
        .prepare("SELECT name FROM sqlite_schema WHERE type = 'trigger'")?
        .query_map([], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    for trigger in triggers {
        connection.execute_batch(&format!("DROP TRIGGER {trigger}"))?;
    }
    connection.execute_batch(&format!(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = {mode}; PRAGMA foreign_keys = ON;"
    ))?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

/// The writes of one commit, and the check of its version. The town's record is read and written once, with
/// its version and the end of its history.
fn commit_by_hand(connection: &mut Connection, commit: &Commit) -> Result<u64, Failure> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let (version, end): (i64, i64) = transaction
        .prepare_cached("SELECT version, history_sequence FROM towns WHERE id = 'bench'")?
        .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    if u64::try_from(version)? != commit.expected_version {
        return Err("somebody else was first".into());
    }
    let next = version.saturating_add(1);
    let mut sequence = end;
    {
        let mut put = transaction.prepare_cached(
            "INSERT INTO rows (town, kind, id, working, body) VALUES ('bench', ?1, ?2, ?3, ?4)
             ON CONFLICT (town, kind, id) DO UPDATE
             SET working = excluded.working, body = excluded.body",
        )?;
        for Row { key, working, body } in &commit.changes.put {
            put.execute(params![key.kind, key.id, working, body])?;
        }
        let mut tell = transaction.prepare_cached(
            "INSERT INTO history (town, sequence, kind, subject, at, body)
             VALUES ('bench', ?1, ?2, ?3, ?4, ?5)",
        )?;
        for entry in &commit.changes.history {
            sequence = sequence.saturating_add(1);
            let (kind, at) = (entry.kind.as_str(), entry.at.as_millis());
            tell.execute(params![sequence, kind, entry.subject, at, entry.body])?;
        }
        let mut ask = transaction.prepare_cached(
            "INSERT INTO effects (town, kind, subject, attempt, version, place, body)
             VALUES ('bench', ?1, ?2, ?3, ?4, ?5, ?6)",
        )?;
        for (place, effect) in commit.effects.iter().enumerate() {
            let (key, body) = (&effect.key, serde_json::to_string(effect)?);
            let (attempt, place) = (key.attempt.cast_signed(), i64::try_from(place)?);
            ask.execute(params![key.kind, key.subject, attempt, next, place, body])?;
        }
    }
    transaction
        .prepare_cached("UPDATE towns SET version = ?1, history_sequence = ?2 WHERE id = 'bench'")?
        .execute([next, sequence])?;
    transaction.commit()?;
    Ok(u64::try_from(next)?)
}

/// The rows and the version of one moment.
fn load_by_hand(connection: &mut Connection) -> Result<(i64, Vec<Row>), Failure> {
    let transaction = connection.transaction()?;
    let version = transaction
        .prepare_cached("SELECT version FROM towns WHERE id = 'bench'")?
        .query_row([], |row| row.get(0))?;
    let mut statement = transaction.prepare_cached(
        "SELECT kind, id, body FROM rows INDEXED BY rows_working
         WHERE town = 'bench' AND working = 1 ORDER BY kind, id",
    )?;
    let rows = statement.query_map([], |row| {
        Ok(Row {
            key: RowKey {
                kind: row.get(0)?,
                id: row.get(1)?,
            },
            working: true,
            body: row.get(2)?,
        })
    })?;
    Ok((version, rows.collect::<Result<_, _>>()?))
}

/// A benchmark that can't be prepared says so and stops.
fn report(result: Result<(), Failure>) {
    if let Err(error) = result {
        eprintln!("a benchmark failed: {error}");
        std::process::exit(1);
    }
}

fn commits(c: &mut Criterion) -> Result<(), Failure> {
    for (name, synchronous, mode) in [
        ("commit, synced", Synchronous::Full, "FULL"),
        ("commit, not synced", Synchronous::Normal, "NORMAL"),
    ] {
        let mut group = c.benchmark_group(name);
        group.throughput(Throughput::Elements(1));
        let directory = file(BEADS, 0)?;
        let path = directory.path().join("town.db");
        let mut connection = by_hand(&path, mode)?;
        let mut version = 1;
        group.bench_function("by hand", |b| {
            b.iter(|| match commit_by_hand(&mut connection, &commit(version)) {
                Ok(made) => version = made,
                Err(error) => report(Err(error)),
            });
        });
        let directory = file(BEADS, 0)?;
        let store = block_on(open(&directory.path().join("town.db"), synchronous))?;
        let (town, mut version) = (town()?, 1);
        group.bench_function("store", |b| {
            b.iter(|| match block_on(store.commit(&town, commit(version))) {
                Ok(committed) => version = committed.version(),
                Err(error) => report(Err(error.into())),
            });
        });
        group.finish();
    }
    Ok(())
}

fn loads(c: &mut Criterion) -> Result<(), Failure> {
    let mut group = c.benchmark_group("load");
    for (beads, ended) in [(1_000, 0), (1_000, 100_000), (10_000, 0)] {
        let name = format!("{beads} beads, {ended} ended");
        let directory = file(beads, ended)?;
        let path = directory.path().join("town.db");
        // Reading wakes no trigger, so both read one file.
        let mut connection = by_hand(&path, "FULL")?;
        group.throughput(Throughput::Elements(u64::try_from(beads)?));
        group.bench_function(BenchmarkId::new("by hand", &name), |b| {
            b.iter(|| load_by_hand(&mut connection).map_err(|error| report(Err(error))));
        });
        let (store, town) = (block_on(open(&path, Synchronous::Full))?, town()?);
        group.bench_function(BenchmarkId::new("store", &name), |b| {
            b.iter(|| block_on(store.load(&town)).map_err(|error| report(Err(error.into()))));
        });
    }
    group.finish();
    Ok(())
}

fn store_next_to_plain_sqlite(c: &mut Criterion) {
    report(commits(c));
    report(loads(c));
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20);
    targets = store_next_to_plain_sqlite
}
criterion_main!(benches);
