//! What several test files need: small commits, and this test binary run again as a child.

// Each test file is a crate of its own and uses its part of this.
#![allow(dead_code, clippy::unwrap_used)]

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use futures_executor::block_on;
use gastown_core::effects::NotifyMayor;
use gastown_core::events::AgentGone;
use gastown_core::{
    AgentId, ChangeSet, Commit, Effect, Event, EventId, EventKind, HistoryEntry, HistoryKind, Row,
    RowKey, Timestamp, TownId,
};
use gastown_store_sqlite::{Options, SqliteStore};

/// Where a child finds its file.
pub(crate) const FILE_VARIABLE: &str = "GASTOWN_TEST_FILE";

/// Long runs for nights: `GASTOWN_LONG=1`.
pub(crate) fn is_long() -> bool {
    std::env::var_os("GASTOWN_LONG").is_some_and(|value| value == "1")
}

pub(crate) fn open(path: &Path) -> SqliteStore {
    block_on(SqliteStore::open(path, Options::safe())).unwrap()
}

pub(crate) fn town() -> TownId {
    TownId::new("t1").unwrap()
}

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

pub(crate) fn row(kind: &str, id: &str, text: &str) -> Row {
    Row {
        key: key(kind, id),
        working: true,
        body: serde_json::json!({ "text": text }).to_string(),
    }
}

pub(crate) fn event(id: &str) -> Event {
    Event {
        id: EventId::new(id).unwrap(),
        at: at(0),
        key: None,
        kind: EventKind::AgentGone(AgentGone {
            agent_id: AgentId::new("a1").unwrap(),
        }),
    }
}

pub(crate) fn effect(attempt: u64) -> Effect {
    let kind = NotifyMayor {
        topic: "n1".into(),
        message: format!("message {attempt}"),
    };
    Effect::new("n1", attempt, kind)
}

pub(crate) fn tick(text: &str) -> HistoryEntry {
    HistoryEntry {
        kind: HistoryKind::Tick,
        subject: None,
        at: at(0),
        body: serde_json::json!({ "text": text }).to_string(),
    }
}

pub(crate) fn commit(expected_version: u64) -> Commit {
    Commit {
        expected_version,
        lease_token: None,
        changes: ChangeSet::default(),
        consumed: vec![],
        effects: vec![],
        at: at(0),
    }
}

/// This test binary again, to run only the ignored test `name` on the file at `path`.
pub(crate) fn child(name: &str, path: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args([
            "--exact",
            name,
            "--ignored",
            "--nocapture",
            "--test-threads=1",
        ])
        .env(FILE_VARIABLE, path)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

/// The file that this child works on.
pub(crate) fn file_of_child() -> std::path::PathBuf {
    std::env::var_os(FILE_VARIABLE).unwrap().into()
}

/// A child ran its test to the end.
#[track_caller]
pub(crate) fn assert_passed(output: &Output) {
    let said = String::from_utf8_lossy(&output.stdout);
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{complained}");
    assert!(said.contains("1 passed"), "the child did nothing: {said}");
}
