//! The schema refuses what the engine would never write, whoever tries.

#![allow(clippy::unwrap_used)]

mod common;

use common::{commit, open, town};
use futures_executor::block_on;
use gastown_core::Store;
use rusqlite::{Connection, ErrorCode};
use tempfile::TempDir;

/// A file with the town `t1`, opened as any other program would.
fn file() -> (TempDir, Connection) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("town.db");
    let _created = block_on(open(&path).commit(&town(), commit(0))).unwrap();
    let connection = Connection::open(path).unwrap();
    connection
        .execute_batch("PRAGMA foreign_keys = ON")
        .unwrap();
    (directory, connection)
}

const ROW: &str = "INSERT INTO rows (town, kind, id, working, body) VALUES";
const EVENT: &str = "INSERT INTO events (town, id, at, body) VALUES";
const EVENT_ROW: &str =
    r#"('t1', 'e1', 0, '{"id":"e1","at":"2026-04-04T12:00:00.000Z","type":"agent_gone"}')"#;
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
        (HISTORY, "('t1', 1, 'tick', NULL, 0, '{}')"),
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
            r#"('nowhere', 'e1', 0, '{"id":"e1","at":"2026-04-04T12:00:00.000Z","type":"agent_gone"}')"#,
        ),
        (
            EVENT,
            r#"('t1', '', 0, '{"id":"","at":"2026-04-04T12:00:00.000Z","type":"agent_gone"}')"#,
        ),
        (
            EVENT,
            r#"('t1', '__e__', 0, '{"id":"__e__","at":"2026-04-04T12:00:00.000Z","type":"agent_gone"}')"#,
        ),
        (
            EVENT,
            r#"('t1', 'e1', NULL, '{"id":"e1","at":"2026-04-04T12:00:00.000Z","type":"agent_gone"}')"#,
        ),
        (
            EVENT,
            r#"('t1', 'e1', 'noon', '{"id":"e1","at":"2026-04-04T12:00:00.000Z","type":"agent_gone"}')"#,
        ),
        (EVENT, "('t1', 'e1', 0, '7')"),
        (EVENT, "('t1', 'e1', 0, '{}')"),
        (EVENT, r#"('t1', 'e1', 0, '{"id":"e1"}')"#),
        (
            EVENT,
            r#"('t1', 'e1', 0, '{"id":"e1","at":"2026-04-04T12:00:00.000Z"}')"#,
        ),
        (
            EVENT,
            r#"('t1', 'e1', 0, '{"id":"e1","at":0,"type":"agent_gone"}')"#,
        ),
        (
            EVENT,
            r#"('t1', 'e1', 0, '{"id":"e1","type":"agent_gone"}')"#,
        ),
        (
            EVENT,
            r#"('t1', 'e1', 0, '{"id":"e2","at":"2026-04-04T12:00:00.000Z","type":"agent_gone"}')"#,
        ),
        (
            EVENT,
            r#"('t1', 'e1', 0, '{"id":"e1","id":"e2","at":"2026-04-04T12:00:00.000Z","type":"agent_gone"}')"#,
        ),
        (
            EVENT,
            r#"('t1', '1', 0, '{"id":1,"at":"2026-04-04T12:00:00.000Z","type":"agent_gone"}')"#,
        ),
        (
            EVENT,
            r#"('t1', 'e 1', 0, '{"id":"e 1","at":"2026-04-04T12:00:00.000Z","type":"agent_gone"}')"#,
        ),
        (
            EVENT,
            r#"('t1', 'e' || char(10), 0, '{"id":"e\n","at":"2026-04-04T12:00:00.000Z","type":"agent_gone"}')"#,
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

/// No town goes while something of it is there.
#[test]
fn a_town_with_rows_stays() {
    let (_directory, connection) = file();
    connection
        .execute(&format!("{ROW} ('t1', 'bead', 'b1', 1, '{{}}')"), [])
        .unwrap();
    assert!(connection.execute("DELETE FROM towns", []).is_err());
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
