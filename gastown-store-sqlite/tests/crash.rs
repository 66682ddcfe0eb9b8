//! A process is killed while it commits: nothing that it was told is durable is lost (P10).
//!
//! A few lives by default, 200 with `GASTOWN_LONG=1`.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

mod common;

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use common::{child, commit, effect, event, file_of_child, is_long, key, open, row, tick, town};
use futures_executor::block_on;
use gastown_core::{Effect, Event, EventId, Finish, HistoryFilter, Row, Store, StoreError};

/// What a child was told is durable, each line synced before it goes on.
struct SideLog(File);

impl SideLog {
    fn path(database: &Path) -> PathBuf {
        database.with_extension("log")
    }

    fn tell(&mut self, line: &str) {
        self.0.write_all(format!("{line}\n").as_bytes()).unwrap();
        self.0.sync_data().unwrap();
    }
}

/// Everything acknowledged so far; a last line without its end was not.
#[derive(Default)]
struct Acknowledged {
    commits: u64,
    events: Vec<String>,
    finished: BTreeSet<u64>,
}

impl Acknowledged {
    fn read(database: &Path) -> Self {
        let text = fs::read_to_string(SideLog::path(database)).unwrap_or_default();
        let mut all = Self::default();
        for line in text
            .split_inclusive('\n')
            .filter_map(|line| line.strip_suffix('\n'))
        {
            let (what, which) = line.split_once(' ').unwrap();
            match what {
                "commit" => all.commits = which.parse().unwrap(),
                "event" => all.events.push(which.to_string()),
                "finish" => {
                    all.finished.insert(which.parse().unwrap());
                }
                other => panic!("{other}"),
            }
        }
        all
    }
}

fn result_of(effect: &Effect) -> Event {
    let id = format!("result-{}", effect.key.attempt);
    Event {
        id: EventId::new(id).unwrap(),
        key: Some(effect.key.clone()),
        ..event("x")
    }
}

/// A town without rules: it commits, is told of events, and finishes every other effect at once.
#[test]
#[ignore = "the child of `a_killed_process_loses_nothing`"]
fn a_busy_town() {
    let path = file_of_child();
    let log = OpenOptions::new()
        .create(true)
        .append(true)
        .open(SideLog::path(&path));
    let mut log = SideLog(log.unwrap());
    let store = open(&path);
    let town = town();
    let mut version = match block_on(store.load(&town)) {
        Ok(loaded) => loaded.version,
        Err(StoreError::UnknownTown { .. }) => 0,
        Err(other) => panic!("{other}"),
    };
    let finish = |effect: &Effect, log: &mut SideLog| {
        let results = vec![result_of(effect)];
        let now = common::at(0);
        block_on(store.finish_effect(&town, &effect.key, Finish::Done, results, now)).unwrap();
        log.tell(&format!("finish {}", effect.key.attempt));
    };
    if version > 0 {
        for effect in block_on(store.pending_effects(&town)).unwrap() {
            finish(&effect, &mut log);
        }
    }
    loop {
        let mut next = commit(version);
        version += 1;
        next.changes.put = vec![
            Row {
                working: false,
                ..row("commit", &version.to_string(), "done")
            },
            row("last", "one", &version.to_string()),
        ];
        next.changes.history = vec![tick(&version.to_string())];
        next.effects = vec![effect(version)];
        if version > 1 {
            let pending = block_on(store.pending_events(&town, 3)).unwrap();
            next.consumed = pending.into_iter().map(|event| event.id).collect();
        }
        let committed = block_on(store.commit(&town, next)).unwrap();
        assert_eq!(committed.version(), version);
        log.tell(&format!("commit {version}"));
        let id = format!("event-{version}");
        block_on(store.append_events(&town, vec![event(&id)])).unwrap();
        log.tell(&format!("event {id}"));
        if version.is_multiple_of(2) {
            finish(&effect(version), &mut log);
        }
    }
}

/// Starts a child, lets it be told of at least one commit, and kills it later.
fn live_and_die(path: &Path, delay: Duration) {
    let before = Acknowledged::read(path).commits;
    let mut process = child("a_busy_town", path).spawn().unwrap();
    while Acknowledged::read(path).commits == before {
        assert_eq!(
            process.try_wait().unwrap(),
            None,
            "the child ended by itself"
        );
        sleep(Duration::from_millis(1));
    }
    sleep(delay);
    process.kill().unwrap();
    process.wait().unwrap();
}

fn check(path: &Path, lives: usize, told: &Acknowledged) -> u64 {
    let store = open(path);
    let town = town();
    assert_eq!(block_on(store.integrity_check()).unwrap(), [""; 0]);

    let loaded = block_on(store.load(&town)).unwrap();
    let version = loaded.version;
    assert!(
        version == told.commits || version == told.commits + 1,
        "acknowledged {}, stored {version}",
        told.commits
    );
    assert_eq!(loaded.rows, [row("last", "one", &version.to_string())]);
    let keys: Vec<_> = (1..=version)
        .map(|n| key("commit", &n.to_string()))
        .collect();
    assert_eq!(
        block_on(store.rows(&town, &keys)).unwrap().len(),
        keys.len()
    );
    let filter = HistoryFilter {
        limit: usize::MAX,
        ..HistoryFilter::default()
    };
    let history = block_on(store.history(&town, filter)).unwrap();
    let expected: Vec<_> = (1..=version).map(|n| tick(&n.to_string())).collect();
    let entries: Vec<_> = history.into_iter().map(|stored| stored.entry).collect();
    assert_eq!(entries, expected);

    for id in &told.events {
        let seen = block_on(store.append_events(&town, vec![event(id)])).unwrap();
        assert_eq!(seen, 0, "{id} was acknowledged and is lost");
    }
    let pending = block_on(store.pending_effects(&town)).unwrap();
    let pending: BTreeSet<u64> = pending.iter().map(|effect| effect.key.attempt).collect();
    assert_eq!(
        pending.intersection(&told.finished).next(),
        None,
        "finished, and pending again"
    );
    let finished: Vec<u64> = (1..=version).filter(|n| !pending.contains(n)).collect();
    let unsaid = finished
        .iter()
        .filter(|n| !told.finished.contains(n))
        .count();
    assert!(
        unsaid <= lives,
        "{unsaid} effects are gone of which nobody said that they ran"
    );
    for attempt in finished {
        let result = vec![result_of(&effect(attempt))];
        let seen = block_on(store.append_events(&town, result)).unwrap();
        assert_eq!(seen, 0, "effect {attempt} is finished, its result is lost");
    }
    version
}

#[test]
fn a_killed_process_loses_nothing() {
    let lives = if is_long() { 200 } else { 5 };
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("town.db");
    let mut last = 0;
    // A fixed sequence of delays: the process it meets is random enough.
    let mut random: u64 = 0x9e37_79b9_7f4a_7c15;
    for life in 1..=lives {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        live_and_die(&path, Duration::from_micros(random >> 48));
        let version = check(&path, life, &Acknowledged::read(&path));
        assert!(
            version > last,
            "life {life}: version {last}, then {version}"
        );
        last = version;
    }
}
