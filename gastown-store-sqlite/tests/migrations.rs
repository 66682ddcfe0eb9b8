//! Files of every past schema open, with all that they hold, and end up like a new one.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod common;

use std::path::Path;
use std::time::Duration;

use common::{at, commit, effect, event, open, tick, town};
use futures_executor::block_on;
use gastown_core::{HistoryEntry, HistoryFilter, HistoryKind, Row, Store, StoreError, TownId};
use rusqlite::Connection;

/// One per published schema, in order: how a file of that time looks.
const SAMPLES: [&str; 4] = [
    include_str!("samples/0001.sql"),
    include_str!("samples/0002.sql"),
    include_str!("samples/0003.sql"),
    include_str!("samples/0004.sql"),
];

fn each_sample(check: impl Fn(&Path)) {
    for sample in SAMPLES {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("town.db");
        let connection = Connection::open(&path).unwrap();
        connection.execute_batch(sample).unwrap();
        drop(connection);
        check(&path);
    }
}

/// What SQLite keeps of the schema, and whose it is.
fn schema(path: &Path) -> (Vec<(String, String)>, i64) {
    let connection = Connection::open(path).unwrap();
    let mut statement = connection
        .prepare("SELECT name, coalesce(sql, '') FROM sqlite_schema ORDER BY name")
        .unwrap();
    let objects = statement
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap();
    let objects = objects.collect::<Result<_, _>>().unwrap();
    let version = connection.query_row("PRAGMA user_version", [], |row| row.get(0));
    (objects, version.unwrap())
}

/// A published migration that is edited, or one that forgets something, differs here.
#[test]
fn every_old_schema_becomes_the_new_one() {
    let directory = tempfile::tempdir().unwrap();
    let new = directory.path().join("new.db");
    drop(open(&new));
    let expected = schema(&new);
    assert_eq!(
        expected.1,
        i64::try_from(SAMPLES.len()).unwrap(),
        "a sample per schema"
    );
    each_sample(|path| {
        drop(open(path));
        assert_eq!(schema(path), expected);
    });
}

#[test]
fn every_old_file_keeps_what_it_holds() {
    each_sample(|path| {
        let store = open(path);
        let town = town();
        assert_eq!(block_on(store.integrity_check()).unwrap(), [""; 0]);
        let towns = block_on(store.towns()).unwrap();
        assert_eq!(towns, ["t1", "t2"].map(|id| TownId::new(id).unwrap()));

        let loaded = block_on(store.load(&town)).unwrap();
        let row = |kind, id, working, body: &str| Row {
            key: common::key(kind, id),
            working,
            body: body.into(),
        };
        let bead = row(
            "bead",
            "b1",
            true,
            r#"{"title":"Fix the roof","rig_id":"r1"}"#,
        );
        let agent = row("agent", "naïve 🦀", true, "{}");
        assert_eq!((loaded.version, loaded.rows), (7, vec![agent, bead]));
        let done = row(
            "bead",
            "b2",
            false,
            r#"{"title":"Done long ago","rig_id":null}"#,
        );
        assert_eq!(
            block_on(store.rows(&town, std::slice::from_ref(&done.key))).unwrap(),
            [done]
        );

        let mut pending = event("e2");
        pending.at = at(0).plus(Duration::from_millis(1));
        assert_eq!(block_on(store.pending_events(&town, 9)).unwrap(), [pending]);
        assert_eq!(
            block_on(store.append_events(&town, vec![event("e1")])).unwrap(),
            0
        );
        assert_eq!(block_on(store.pending_effects(&town)).unwrap(), [effect(2)]);

        let filter = HistoryFilter {
            limit: 9,
            ..HistoryFilter::default()
        };
        let history = block_on(store.history(&town, filter)).unwrap();
        let kinds: Vec<_> = history.iter().map(|stored| stored.entry.kind).collect();
        assert_eq!(
            kinds,
            [
                HistoryKind::BeadEvent,
                HistoryKind::Tick,
                HistoryKind::Command
            ]
        );
        assert_eq!(history[0].entry.subject.as_deref(), Some("b1"));
    });
}

#[test]
fn every_old_file_goes_on() {
    each_sample(|path| {
        let store = open(path);
        let town = town();
        let said = block_on(store.lease(&town, "host 2", Duration::from_secs(1), at(29)));
        assert!(matches!(said, Err(StoreError::Leased { .. })), "{said:?}");
        let lease = block_on(store.lease(&town, "host 2", Duration::from_secs(1), at(30)));
        assert_eq!(lease.unwrap().token, 4);
        let mut next = commit(7);
        next.lease_token = Some(4);
        next.effects = vec![effect(1), effect(2), effect(3)];
        next.changes.history = vec![HistoryEntry {
            kind: HistoryKind::Event,
            ..tick("new")
        }];
        let committed = block_on(store.commit(&town, next)).unwrap();
        assert_eq!(committed.version(), 8);
        assert_eq!(committed.into_effects(), [effect(3)]);
        let filter = HistoryFilter {
            after: Some(3),
            limit: 9,
            ..HistoryFilter::default()
        };
        let told = block_on(store.history(&town, filter)).unwrap();
        assert_eq!(told.len(), 1);
        assert_eq!(
            (told[0].sequence, told[0].entry.kind),
            (4, HistoryKind::Event)
        );
    });
}

/// Rows that another program put into a file before schema 4: no town is kept from going on by them, what
/// can be read is read, and the check names each.
#[test]
fn bad_rows_of_an_old_file_stay_and_are_named() {
    for sample in &SAMPLES[..3] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("town.db");
        let connection = Connection::open(&path).unwrap();
        connection.execute_batch(sample).unwrap();
        connection.execute_batch(BAD_ROWS).unwrap();
        drop(connection);

        let store = open(&path);
        let loaded = block_on(store.load(&town())).unwrap();
        assert_eq!(loaded.rows.len(), 4);
        assert_eq!(loaded.rows[2].body, r#"{"rig_id":" "}"#);
        let problems = block_on(store.integrity_check()).unwrap();
        assert_eq!(problems.join("\n"), NAMED.trim());

        // The engine may take them out, and nobody may put one in.
        let mut next = commit(7);
        next.changes.delete = vec![common::key("bead", "b3"), common::key("bead", "b4")];
        next.changes.history = vec![tick("after the entry that somebody put at the end")];
        let _committed = block_on(store.commit(&town(), next)).unwrap();
        let connection = Connection::open(&path).unwrap();
        let error = connection.execute_batch(BAD_ROWS).unwrap_err().to_string();
        assert_eq!(error, "rows.rig_id is no identifier");
    }
}

const BAD_ROWS: &str = r#"
INSERT INTO rows (town, kind, id, working, body) VALUES
    ('t1', 'bead', 'b3', 1, '{"rig_id":" "}'),
    ('t1', 'bead', 'b4', 1, '{"id":"b5"}');
INSERT INTO rows (town, kind, id, working, body) VALUES
    ('t1', 'bead', 'b' || char(10), 0, '{}');
INSERT INTO events (town, id, at, body) VALUES
    ('t1', 'e3', 0, '{"id":"e4","at":"2026-04-04T12:00:00Z","type":"agent_gone","agent_id":"a1"}');
INSERT INTO effects (town, kind, subject, attempt, version, place, body) VALUES
    ('t1', 'notify_mayor', 'n1', 3, 7, 1, '{"key":{"subject":"n1","kind":"notify_mayor","attempt":4},"type":"notify_mayor","topic":"n1","message":"m"}');
INSERT INTO history (town, sequence, kind, subject, at, body) VALUES
    ('t1', 4, 'tick', NULL, 0, '{"rig_id":"__none__"}');
"#;

const NAMED: &str = r#"
town 't1': row 'bead'/'b�': row id "b\n" holds a control character
town 't1': row 'bead'/'b3': not a valid rig id: " " holds white space or a control character
town 't1': row 'bead'/'b4': `id` is b5, not that of the row
town 't1': event 'e3': its record is that of event e4
town 't1': effect 'notify_mayor' of 'n1' #3: its record is that of effect notify_mayor/n1/4
town 't1': history 4: not a valid rig id: "__none__" is a reserved word (it begins and ends with two underscores)
"#;
