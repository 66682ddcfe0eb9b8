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
const EFFECT: &str =
    "INSERT INTO effects (town, kind, subject, attempt, version, place, body) VALUES";
const HISTORY: &str = "INSERT INTO history (town, sequence, kind, subject, at, body) VALUES";

#[test]
fn good_rows_are_taken() {
    let (_directory, connection) = file();
    for (insert, values) in [
        ("INSERT INTO towns (id, version) VALUES", "('t2', 1)"),
        (ROW, "('t1', 'bead', 'b1', 1, '{}')"),
        (ROW, r#"('t1', 'bead', 'b2', 0, '{"rig_id":null}')"#),
        (ROW, r#"('t1', 'bead', '_', 1, '{"rig_id":"r1"}')"#),
        (EVENT, "('t1', 'e1', 0, '{}')"),
        (EFFECT, "('t1', 'k', 's', 1, 1, 0, '{}')"),
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
        (EVENT, "('nowhere', 'e1', 0, '{}')"),
        (EVENT, "('t1', '', 0, '{}')"),
        (EVENT, "('t1', '__e__', 0, '{}')"),
        (EVENT, "('t1', 'e1', NULL, '{}')"),
        (EVENT, "('t1', 'e1', 'noon', '{}')"),
        (EVENT, "('t1', 'e1', 0, '7')"),
        (EFFECT, "('nowhere', 'k', 's', 1, 1, 0, '{}')"),
        (EFFECT, "('t1', '', 's', 1, 1, 0, '{}')"),
        (EFFECT, "('t1', 'k', '__s__', 1, 1, 0, '{}')"),
        (EFFECT, "('t1', 'k', 's', NULL, 1, 0, '{}')"),
        (EFFECT, "('t1', 'k', 's', 1, 0, 0, '{}')"),
        (EFFECT, "('t1', 'k', 's', 1, 1, -1, '{}')"),
        (EFFECT, "('t1', 'k', 's', 1, 1, 0, 'null')"),
        (HISTORY, "('nowhere', 1, 'tick', NULL, 0, '{}')"),
        (HISTORY, "('t1', 0, 'tick', NULL, 0, '{}')"),
        (HISTORY, "('t1', 1, 'rumour', NULL, 0, '{}')"),
        (HISTORY, "('t1', 1, 'tick', '', 0, '{}')"),
        (HISTORY, "('t1', 1, 'tick', NULL, 0, '[]')"),
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
        .execute(&format!("{EFFECT} ('t1', 'k', 's', 1, 1, 0, '{{}}')"), [])
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
