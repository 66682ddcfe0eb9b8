//! The schema refuses what the engine would never write, whoever tries.

#![allow(clippy::unwrap_used, clippy::arithmetic_side_effects)]

mod common;

use common::{commit, open, town};
use futures_executor::block_on;
use gastown_core::{Event, Store, Timestamp};
use rusqlite::{Connection, ErrorCode};
use tempfile::TempDir;

/// A file with the town `t1`, opened as any other program would.
fn file() -> (TempDir, Connection) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("town.db");
    let _created = block_on(open(&path).commit(&town(), commit(0))).unwrap();
    let connection = Connection::open(path).unwrap();
    connection
        .execute_batch("PRAGMA foreign_keys = ON; UPDATE towns SET history_sequence = 99999999")
        .unwrap();
    (directory, connection)
}

const ROW: &str = "INSERT INTO rows (town, kind, id, working, body) VALUES";
const EVENT: &str = "INSERT INTO events (town, id, at, body) VALUES";
const EVENT_ROW: &str = r#"('t1', 'e1', 1775304000000, '{"id":"e1","at":"2026-04-04T12:00:00.000Z","type":"agent_gone"}')"#;
const EFFECT: &str =
    "INSERT INTO effects (town, kind, subject, attempt, version, place, body) VALUES";
const EFFECT_ROW: &str =
    r#"('t1', 'k', 's', 1, 1, 0, '{"key":{"kind":"k","subject":"s","attempt":1}}')"#;
const HISTORY: &str = "INSERT INTO history (town, sequence, kind, subject, at, body) VALUES";

#[test]
fn good_rows_are_taken() {
    let (_directory, connection) = file();
    for (insert, values) in [
        ("INSERT INTO towns (id, version) VALUES", "('t2', 1)"),
        (ROW, "('t1', 'bead', 'b1', 1, '{}')"),
        (ROW, r#"('t1', 'bead', 'b2', 0, '{"rig_id":null}')"#),
        (ROW, r#"('t1', 'bead', '_', 1, '{"rig_id":"r1"}')"#),
        (
            ROW,
            r#"('t1', 'bead', 'b3', 1, '{"id":"b3","\u0072":"\u0072"}')"#,
        ),
        (ROW, r#"('t1', 'town', 'town', 1, '{"id":"t1"}')"#),
        (EVENT, EVENT_ROW),
        (EFFECT, EFFECT_ROW),
        (
            EFFECT,
            r#"('t1', 'k', 's', -1, 1, 0, '{"key":{"kind":"k","subject":"s","attempt":18446744073709551615}}')"#,
        ),
        (
            EFFECT,
            r#"('t1', 'k', 's', -9223372036854775808, 1, 0, '{"key":{"kind":"k","subject":"s","attempt":9223372036854775808}}')"#,
        ),
        (
            EFFECT,
            r#"('t1', 'k', 's', 9223372036854775807, 1, 0, '{"key":{"kind":"k","subject":"s","attempt":9223372036854775807}}')"#,
        ),
        (HISTORY, "('t1', 99999999, 'tick', NULL, 0, '{}')"),
    ] {
        connection
            .execute(&format!("{insert} {values}"), [])
            .unwrap();
    }
}

#[test]
fn bad_rows_are_impossible() {
    let (_directory, connection) = file();
    let bad = [
        ("INSERT INTO towns (id, version) VALUES", "('', 1)"),
        ("INSERT INTO towns (id, version) VALUES", "('__t__', 1)"),
        ("INSERT INTO towns (id, version) VALUES", "(NULL, 1)"),
        ("INSERT INTO towns (id, version) VALUES", "('t2', 0)"),
        ("UPDATE towns SET lease_holder =", "'h1'"),
        (
            "UPDATE towns SET lease_expires_at = 0, lease_holder =",
            "''",
        ),
        (
            "UPDATE towns SET lease_expires_at = 0, lease_holder =",
            "'h' || char(10)",
        ),
        ("INSERT INTO towns (id, version) VALUES", "('t 2', 1)"),
        (
            "INSERT INTO towns (id, version) VALUES",
            "('t2' || char(0), 1)",
        ),
        ("UPDATE towns SET lease_token =", "-1"),
        ("UPDATE towns SET version =", "'one'"),
        (ROW, "('', 'bead', 'b1', 1, '{}')"),
        (ROW, "('nowhere', 'bead', 'b1', 1, '{}')"),
        (ROW, "('t1', '', 'b1', 1, '{}')"),
        (ROW, "('t1', '__x__', 'b1', 1, '{}')"),
        (ROW, "('t1', 'bead', '', 1, '{}')"),
        (ROW, "('t1', 'bead', NULL, 1, '{}')"),
        (ROW, "('t1', 'bead', '__', 1, '{}')"),
        (ROW, "('t1', 'bead', '__null__', 1, '{}')"),
        (ROW, "('t1', 'bead', 'b1', 2, '{}')"),
        (ROW, "('t1', 'bead', 'b1', NULL, '{}')"),
        (ROW, "('t1', 'bead', 'b1', 1, NULL)"),
        (ROW, "('t1', 'bead', 'b1', 1, '[]')"),
        (ROW, "('t1', 'bead', 'b1', 1, x'7b7d')"),
        (ROW, r#"('t1', 'bead', 'b1', 1, '{"rig_id":""}')"#),
        (
            ROW,
            r#"('t1', 'bead', 'b1', 1, '{"rig_id":"__null_rig__"}')"#,
        ),
        (ROW, r#"('t1', 'bead', 'b1', 1, '{"rig_id":["r1"]}')"#),
        (ROW, r#"('t1', 'bead', 'b1', 1, '{"rig_id":7}')"#),
        (ROW, r#"('t1', 'bead', 'b1', 1, '{"rig_id":" "}')"#),
        (ROW, r#"('t1', 'bead', 'b1', 1, '{"rig_id":"a b"}')"#),
        (ROW, r#"('t1', 'bead', 'b1', 1, '{"rig_id":"a\u0000"}')"#),
        (
            ROW,
            r#"('t1', 'bead', 'b1', 1, '{"rig_id":"r1","rig_id":"r2"}')"#,
        ),
        (
            ROW,
            r#"('t1', 'bead', 'b1', 1, '{"rig_id":"r1","\u0072ig_id":"r2"}')"#,
        ),
        (ROW, r#"('t1', 'bead', 'b1', 1, '{"id":"b1","id":"b1"}')"#),
        (ROW, r#"('t1', 'bead', 'b1', 1, '{"id":"b2"}')"#),
        (ROW, r#"('t1', 'agent', '1', 1, '{"id":1}')"#),
        (ROW, "('t1', 'bead', 'b' || char(10), 1, '{}')"),
        (ROW, "('t1', 'bead', 'b1' || char(0), 1, '{}')"),
        (ROW, "('t1', 'be' || char(127) || 'ad', 'b1', 1, '{}')"),
        (
            EVENT,
            r#"('nowhere', 'e1', 1775304000000, '{"id":"e1","at":"2026-04-04T12:00:00.000Z","type":"agent_gone"}')"#,
        ),
        (
            EVENT,
            r#"('t1', '', 1775304000000, '{"id":"","at":"2026-04-04T12:00:00.000Z","type":"agent_gone"}')"#,
        ),
        (
            EVENT,
            r#"('t1', '__e__', 1775304000000, '{"id":"__e__","at":"2026-04-04T12:00:00.000Z","type":"agent_gone"}')"#,
        ),
        (
            EVENT,
            r#"('t1', 'e1', NULL, '{"id":"e1","at":"2026-04-04T12:00:00.000Z","type":"agent_gone"}')"#,
        ),
        (
            EVENT,
            r#"('t1', 'e1', 'noon', '{"id":"e1","at":"2026-04-04T12:00:00.000Z","type":"agent_gone"}')"#,
        ),
        (EVENT, "('t1', 'e1', 1775304000000, '7')"),
        (EVENT, "('t1', 'e1', 1775304000000, '{}')"),
        (EVENT, r#"('t1', 'e1', 1775304000000, '{"id":"e1"}')"#),
        (
            EVENT,
            r#"('t1', 'e1', 1775304000000, '{"id":"e1","at":"2026-04-04T12:00:00.000Z"}')"#,
        ),
        (
            EVENT,
            r#"('t1', 'e1', 1775304000000, '{"id":"e1","at":0,"type":"agent_gone"}')"#,
        ),
        (
            EVENT,
            r#"('t1', 'e1', 1775304000000, '{"id":"e1","type":"agent_gone"}')"#,
        ),
        (
            EVENT,
            r#"('t1', 'e1', 1775304000000, '{"id":"e2","at":"2026-04-04T12:00:00.000Z","type":"agent_gone"}')"#,
        ),
        (
            EVENT,
            r#"('t1', 'e1', 1775304000000, '{"id":"e1","id":"e2","at":"2026-04-04T12:00:00.000Z","type":"agent_gone"}')"#,
        ),
        (
            EVENT,
            r#"('t1', '1', 1775304000000, '{"id":1,"at":"2026-04-04T12:00:00.000Z","type":"agent_gone"}')"#,
        ),
        (
            EVENT,
            r#"('t1', 'e 1', 1775304000000, '{"id":"e 1","at":"2026-04-04T12:00:00.000Z","type":"agent_gone"}')"#,
        ),
        (
            EVENT,
            r#"('t1', 'e' || char(10), 1775304000000, '{"id":"e\n","at":"2026-04-04T12:00:00.000Z","type":"agent_gone"}')"#,
        ),
        (
            EFFECT,
            r#"('nowhere', 'k', 's', 1, 1, 0, '{"key":{"kind":"k","subject":"s","attempt":1}}')"#,
        ),
        (
            EFFECT,
            r#"('t1', '', 's', 1, 1, 0, '{"key":{"kind":"","subject":"s","attempt":1}}')"#,
        ),
        (
            EFFECT,
            r#"('t1', 'k', '__s__', 1, 1, 0, '{"key":{"kind":"k","subject":"__s__","attempt":1}}')"#,
        ),
        (
            EFFECT,
            r#"('t1', 'k', 's', NULL, 1, 0, '{"key":{"kind":"k","subject":"s","attempt":null}}')"#,
        ),
        (
            EFFECT,
            r#"('t1', 'k', 's', 1, 0, 0, '{"key":{"kind":"k","subject":"s","attempt":1}}')"#,
        ),
        (
            EFFECT,
            r#"('t1', 'k', 's', 1, 1, -1, '{"key":{"kind":"k","subject":"s","attempt":1}}')"#,
        ),
        (EFFECT, "('t1', 'k', 's', 1, 1, 0, 'null')"),
        (EFFECT, "('t1', 'k', 's', 1, 1, 0, '{}')"),
        (
            EFFECT,
            r#"('t1', 'k', 's', 1, 1, 0, '{"key":{"kind":"l","subject":"s","attempt":1}}')"#,
        ),
        (
            EFFECT,
            r#"('t1', 'k', 's', 1, 1, 0, '{"key":{"kind":"k","subject":"t","attempt":1}}')"#,
        ),
        (
            EFFECT,
            r#"('t1', 'k', 's', 1, 1, 0, '{"key":{"kind":"k","subject":"s","attempt":2}}')"#,
        ),
        (
            EFFECT,
            r#"('t1', 'k', 's', 1, 1, 0, '{"key":{"kind":"k","subject":"s","attempt":"1"}}')"#,
        ),
        (
            EFFECT,
            r#"('t1', 'k', 's', 1, 1, 0, '{"key":{"kind":"k","subject":"s","attempt":1.0}}')"#,
        ),
        (
            EFFECT,
            r#"('t1', 'k', 's' || char(9), 1, 1, 0, '{"key":{"kind":"k","subject":"s\t","attempt":1}}')"#,
        ),
        (
            EVENT,
            r#"('t1', 'e1', 1775304000001, '{"id":"e1","at":"2026-04-04T12:00:00.000Z","type":"agent_gone"}')"#,
        ),
        (
            EVENT,
            r#"('t1', 'e1', 1775304000000, '{"id":"e1","at":"noon","type":"agent_gone"}')"#,
        ),
        (
            EVENT,
            r#"('t1', 'e1', 1775304000000, '{"id":"e1","at":"now","type":"agent_gone"}')"#,
        ),
        (
            EVENT,
            r#"('t1', 'e1', 1775304000000, '{"id":"e1","at":"2026-04-04T12:00:00.000Z","at":"2026-04-04T12:00:00.000Z","type":"agent_gone"}')"#,
        ),
        (
            EVENT,
            r#"('t1', 'e1', 1775304000000, '{"id":"e1","at":"2026-04-04T12:00:00.000Z","type":"agent_gone","type":"agent_gone"}')"#,
        ),
        (
            EFFECT,
            r#"('t1', 'k', 's', -5, 1, 0, '{"key":{"kind":"k","subject":"s","attempt":7}}')"#,
        ),
        (
            EFFECT,
            r#"('t1', 'k', 's', -5, 1, 0, '{"key":{"kind":"k","subject":"s","attempt":-5}}')"#,
        ),
        (
            EFFECT,
            r#"('t1', 'k', 's', -1, 1, 0, '{"key":{"kind":"k","subject":"s","attempt":18446744073709551614}}')"#,
        ),
        (
            EFFECT,
            r#"('t1', 'k', 's', 1, 1, 0, '{"key":{"kind":"k","subject":"s","attempt":1},"key":{"kind":"l","subject":"s","attempt":1}}')"#,
        ),
        (
            EFFECT,
            r#"('t1', 'k', 's', 1, 1, 0, '{"key":{"kind":"k","subject":"s","attempt":1,"attempt":2}}')"#,
        ),
        (
            EFFECT,
            r#"('t1', 'k', 's', 1, 1, 0, '{"key":{"kind":"k","subject":"s","attempt":1,"\u006bind":"l"}}')"#,
        ),
        (HISTORY, "('t1', 100000000, 'tick', NULL, 0, '{}')"),
        (HISTORY, "('nowhere', 1, 'tick', NULL, 0, '{}')"),
        (HISTORY, "('t1', 0, 'tick', NULL, 0, '{}')"),
        (HISTORY, "('t1', 1, 'rumour', NULL, 0, '{}')"),
        (HISTORY, "('t1', 1, 'tick', '', 0, '{}')"),
        (HISTORY, "('t1', 1, 'tick', NULL, 0, '[]')"),
        (HISTORY, "('t1', 1, 'tick', 'a' || char(10), 0, '{}')"),
        (HISTORY, r#"('t1', 1, 'tick', NULL, 0, '{"rig_id":"a b"}')"#),
        (
            HISTORY,
            r#"('t1', 1, 'tick', NULL, 0, '{"rig_id":"__none__"}')"#,
        ),
        (HISTORY, r#"('t1', 1, 'tick', NULL, 0, '{"rig_id":7}')"#),
        (
            HISTORY,
            r#"('t1', 1, 'tick', NULL, 0, '{"rig_id":"r1","rig_id":"r1"}')"#,
        ),
    ];
    for (insert, values) in bad {
        let sql = format!("{insert} {values}");
        let error = connection.execute(&sql, []).expect_err(&sql);
        let code = error.sqlite_error_code();
        assert_eq!(code, Some(ErrorCode::ConstraintViolation), "{sql}: {error}");
    }
    // Text that is no JSON at all fails in the generated column, before any constraint.
    for body in ["", "{", "{''a'':1}"] {
        let sql = format!("{ROW} ('t1', 'bead', 'b1', 1, '{body}')");
        assert!(connection.execute(&sql, []).is_err(), "{sql}");
    }
}

#[test]
fn a_finished_effect_says_how_and_when() {
    let (_directory, connection) = file();
    connection
        .execute(&format!("{EFFECT} {EFFECT_ROW}"), [])
        .unwrap();
    for set in [
        "finished_at = 1",
        "finish = 'done'",
        "finished_at = 1, finish = 'maybe'",
    ] {
        let sql = format!("UPDATE effects SET {set}");
        assert!(connection.execute(&sql, []).is_err(), "{sql}");
    }
    connection
        .execute(
            "UPDATE effects SET finished_at = 1, finish = 'withdrawn'",
            [],
        )
        .unwrap();
}

/// No town goes, and nothing is there without one, also where nobody looks at foreign keys.
#[test]
fn a_town_stays_and_what_is_there_has_one() {
    let (_directory, connection) = file();
    connection
        .execute_batch("PRAGMA foreign_keys = OFF")
        .unwrap();
    let event = EVENT_ROW.replace("t1", "t2");
    let effect = EFFECT_ROW.replace("t1", "t2");
    for (sql, expected) in [
        ("DELETE FROM towns".into(), "a town stays"),
        (
            format!("{ROW} ('t2', 'bead', 'b1', 1, '{{}}')"),
            "rows.town is not there",
        ),
        (format!("{EVENT} {event}"), "events.town is not there"),
        (format!("{EFFECT} {effect}"), "effects.town is not there"),
        (
            format!("{HISTORY} ('t2', 1, 'tick', NULL, 0, '{{}}')"),
            "history.town is not there, or history.sequence is beyond its history_sequence",
        ),
    ] {
        let error = connection.execute(&sql, []).expect_err(&sql);
        assert_eq!(error.to_string(), expected);
    }
}

/// Numbers only grow, and what is over stays over.
#[test]
fn nothing_goes_back() {
    let (_directory, connection) = file();
    for (insert, values) in [(EVENT, EVENT_ROW), (EFFECT, EFFECT_ROW)] {
        connection
            .execute(&format!("{insert} {values}"), [])
            .unwrap();
    }
    connection
        .execute_batch(
            "UPDATE towns SET version = 7, lease_token = 7, history_sequence = history_sequence + 1;
            UPDATE towns SET version = 7, lease_token = 7;
            UPDATE events SET consumed_at = 7;
            UPDATE effects SET finished_at = 7, finish = 'done'",
        )
        .unwrap();
    let back = "towns.version, lease_token or history_sequence goes back";
    for (sql, expected) in [
        ("UPDATE towns SET version = 6", back),
        ("UPDATE towns SET lease_token = 6", back),
        ("UPDATE towns SET history_sequence = 99999999", back),
        (
            "UPDATE events SET consumed_at = NULL",
            "a consumed event stays consumed",
        ),
        (
            "UPDATE effects SET finished_at = NULL, finish = NULL",
            "a finished effect stays finished",
        ),
    ] {
        let error = connection.execute(sql, []).expect_err(sql);
        assert_eq!(error.to_string(), expected);
    }
}

/// `OR REPLACE` deletes without a trigger of a deletion.
#[test]
fn what_is_there_is_not_replaced() {
    let (_directory, connection) = file();
    let replace = |insert: &str, values: &str| {
        let sql = format!("{insert} {values}").replace("INSERT", "INSERT OR REPLACE");
        connection.execute(&sql, []).map_err(|e| e.to_string())
    };
    let entry = "('t1', 1, 'tick', NULL, 0, '{}')";
    for (insert, values) in [(EVENT, EVENT_ROW), (EFFECT, EFFECT_ROW), (HISTORY, entry)] {
        assert_eq!(replace(insert, values), Ok(1));
    }
    // What the store appends or asks for once more is passed over, whoever does.
    let event = EVENT_ROW.replace("agent_gone", "agent_came");
    assert_eq!(replace(EVENT, &event), Ok(0));
    let effect = EFFECT_ROW.replace("1, 1, 0", "1, 2, 0");
    assert_eq!(replace(EFFECT, &effect), Ok(0));
    let changes = Err("the history never changes".to_string());
    assert_eq!(replace(HISTORY, &entry.replace("tick", "command")), changes);
    let town = "INSERT INTO towns (id, version) VALUES";
    let again = Err("the town is there already".to_string());
    assert_eq!(replace(town, "('t1', 1)"), again);
    let unchanged: bool = connection
        .query_row(
            "SELECT (SELECT body->>'type' FROM events) = 'agent_gone' AND (SELECT version FROM effects) = 1
                AND (SELECT kind FROM history) = 'tick'",
            [],
            |row| row.get(0),
        )
        .unwrap();
    assert!(unchanged);
}

/// The time of an event is that of its record, over all of the range that there is.
#[test]
fn every_time_of_an_event_is_taken() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory.path().join("town.db"));
    let _created = block_on(store.commit(&town(), commit(0))).unwrap();
    let (first, last) = (Timestamp::MIN.as_millis(), Timestamp::MAX.as_millis());
    // A step that is no round number of milliseconds meets every sort of fraction.
    let step = usize::try_from((last - first) / 20_000).unwrap() | 1;
    let steps = (first..=last).step_by(step);
    let near = [first, -1_000, 0, 1_775_304_000_000, last - 1_000];
    let near = near.into_iter().flat_map(|start| start..=start + 1_000);
    let times = steps.chain(near.filter(|time| *time <= last));
    let events: Vec<_> = times
        .enumerate()
        .map(|(n, time)| Event {
            at: Timestamp::from_millis(time),
            ..common::event(&format!("e{n}"))
        })
        .collect();
    let count = events.len();
    assert_eq!(
        block_on(store.append_events(&town(), events)).unwrap(),
        count
    );
}

/// Whatever character stands in a name, the file and the engine say the same of it.
#[test]
fn names_are_held_to_what_the_engine_holds_them_to() {
    let (_directory, mut connection) = file();
    let transaction = connection.transaction().unwrap();
    let insert = "INSERT INTO rows (town, kind, id, working, body) VALUES ('t1', 'bead', ?1, 1, ?2)
        ON CONFLICT (town, kind, id) DO UPDATE SET body = excluded.body";
    let mut insert = transaction.prepare(insert).unwrap();
    let is_special = |c: char| c.is_whitespace() || c.is_control();
    let mut refused: u32 = 0;
    for c in '\0'..=char::MAX {
        let near = [
            u32::from(c).saturating_sub(1),
            u32::from(c).saturating_add(1),
        ];
        let at_a_border = near.into_iter().filter_map(char::from_u32).any(is_special);
        if !is_special(c) && !at_a_border && u32::from(c) % 997 > 0 {
            continue;
        }
        let name = format!("a{c}b");
        // A row that is new, and one that gets a new record.
        for (id, body) in [
            (name.as_str(), serde_json::json!({})),
            ("new", serde_json::json!({ "rig_id": name })),
            ("old", serde_json::json!({})),
            ("old", serde_json::json!({ "rig_id": name })),
        ] {
            let mut row = common::row("bead", id, "");
            row.body = body.to_string();
            let taken = insert.execute([&row.key.id, &row.body]);
            assert_eq!(taken.is_ok(), row.problem().is_none(), "{row:?}: {taken:?}");
            refused = refused.saturating_add(u32::from(taken.is_err()));
            transaction
                .execute("DELETE FROM rows WHERE id = 'new'", [])
                .unwrap();
        }
    }
    assert!(refused > 100, "{refused}");
}

/// Lengths are in bytes, whatever the characters.
#[test]
fn lengths_are_held_to_what_the_engine_holds_them_to() {
    let (_directory, connection) = file();
    let insert = |kind: &str, id: &str, body: String| {
        let mut row = common::row(kind, id, "");
        row.body = body;
        let sql = format!("{ROW} ('t1', ?1, ?2, 1, ?3)");
        let taken = connection.execute(&sql, [&row.key.kind, &row.key.id, &row.body]);
        assert_eq!(taken.is_ok(), row.problem().is_none(), "{taken:?}");
        taken.is_ok()
    };
    let rig = |bytes: usize| serde_json::json!({ "rig_id": "é".repeat(bytes / 2) }).to_string();
    assert!(insert("bead", "b1", rig(128)));
    assert!(!insert("bead", "b2", rig(130)));
    assert!(insert("bead", &"é".repeat(512), "{}".into()));
    assert!(!insert("bead", &"é".repeat(513), "{}".into()));
    assert!(insert(&"é".repeat(512), "b1", "{}".into()));
    assert!(!insert(&"é".repeat(513), "b1", "{}".into()));
    let body = |bytes: usize| serde_json::json!({ "t": "é".repeat(bytes / 2) }).to_string();
    let most = gastown_core::Row::BODY_BYTES_MAX - body(0).len();
    assert!(insert("bead", "b3", body(most)));
    assert!(!insert("bead", "b4", body(most + 2)));
    let record = |bytes: usize| {
        let body = body(bytes - body(0).len());
        let sql = format!("{HISTORY} ('t1', ?1, 'tick', NULL, 0, ?2)");
        let taken = connection.execute(&sql, (i64::try_from(bytes).unwrap(), &body));
        let entry = gastown_core::HistoryEntry {
            kind: gastown_core::HistoryKind::Tick,
            subject: None,
            at: gastown_core::Timestamp::MIN,
            body,
        };
        assert_eq!(taken.is_ok(), entry.problem().is_none(), "{taken:?}");
        taken.is_ok()
    };
    let most = gastown_core::HistoryEntry::BODY_BYTES_MAX;
    assert!(record(most));
    assert!(!record(most + 2));
}

/// What is written once: another key of a row, another event, effect or past.
#[test]
fn what_never_changes_is_not_changed() {
    let (_directory, connection) = file();
    for (insert, values) in [
        (ROW, "('t1', 'bead', 'b1', 1, '{}')"),
        (EVENT, EVENT_ROW),
        (EFFECT, EFFECT_ROW),
        (HISTORY, "('t1', 1, 'tick', NULL, 0, '{}')"),
    ] {
        connection
            .execute(&format!("{insert} {values}"), [])
            .unwrap();
    }
    for (sql, expected) in [
        ("UPDATE towns SET id = 't2'", "a town keeps its id"),
        ("UPDATE rows SET id = 'b2'", "a row keeps its key"),
        ("UPDATE events SET at = 1", "an event never changes"),
        (
            "UPDATE effects SET subject = 't'",
            "an effect never changes",
        ),
        ("UPDATE history SET at = 1", "the history never changes"),
    ] {
        let error = connection.execute(sql, []).expect_err(sql);
        assert_eq!(error.to_string(), expected);
    }
}
