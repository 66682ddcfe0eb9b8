//! Replay: what was recorded of a town, from its first snapshot, gives its state to the byte (P13).
//!
//! A replay reads the history in order. It begins at the first snapshot that it finds; from there
//! it runs each tick again, with the events, the commands and the time that are recorded, and
//! compares what comes of it with what came of it then: bead events, receipts, actions, effects.
//! Later snapshots are compared with the state. Whatever differs is named with the tick.
//!
//! Another version of the engine may decide otherwise: what follows the snapshot of another one is
//! passed over, and a history that holds no others is [`ReplayError::OtherEngine`].
//!
//! What a host commits beside its ticks can't be repeated. A snapshot that follows it is where the
//! replay goes on; without one [`ReplayError::Gap`] names the versions between.
//!
//! ```
//! use gastown_core::replay::Replay;
//! use gastown_core::{Policy, Town, TownConfig, TownId, TickInput, snapshot_entries, tick, wire};
//! let now = "2026-04-04T12:00:00Z".parse()?;
//! let mut town = Town::new(TownId::new("t1")?, TownConfig::seed(), Policy::default());
//! let mut replay = Replay::new();
//! for entry in snapshot_entries(1, now, town.take_changes().put) {
//!     replay.take(&entry)?;
//! }
//! let command = wire::command_from_str(
//!     r#"{"type": "add_rig", "caller": {"kind": "user", "id": "ann"}, "rig_id": "r1",
//!         "name": "api", "git_url": "https://github.com/acme/api.git", "default_branch": "main"}"#,
//! )?;
//! let input = TickInput { number: 2, now, loaded: false, recalled: &[], stored: &[], local: &[],
//!     commands: &[command] };
//! let ticked = tick(&mut town, &input);
//! let entries = ticked.changes.history.iter().cloned().chain(ticked.record(&input, core::time::Duration::ZERO));
//! for entry in entries {
//!     replay.take(&entry)?;
//! }
//! assert_eq!(replay.finish()?.town, town);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod compare;

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use serde::de::DeserializeOwned;
use serde_json::Value;

use self::compare::{compare, first_difference, shown_row};
use crate::command::CommandKind;
use crate::event::Event;
use crate::ids::TownId;
use crate::store::{
    ChangeSet, HistoryEntry, HistoryFilter, HistoryKind, HistoryOrder, Row, RowKey, Store,
    StoreError,
};
use crate::tick::{
    CommandRecord, EventRecord, SnapshotRecord, SnapshotRowsRecord, TickInput, TickRecord, engine,
    tick,
};
use crate::town::{Town, is_secret_row};
use crate::wire::{self, WireError};

/// Why a replay did not give what was recorded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReplayError {
    /// An entry of the history can't be read.
    #[error("a record of kind {kind} can't be read: {problem}")]
    Unreadable {
        /// The entry's kind.
        kind: &'static str,
        /// What is wrong with it, and where.
        problem: WireError,
    },
    /// The town's rows can't be read.
    #[error("after tick {number} the town can't be read: {problem}")]
    BadRows {
        /// The last tick before.
        number: u64,
        /// What is wrong, and where.
        problem: WireError,
    },
    /// The history holds no snapshot to begin at.
    #[error("the history holds no snapshot to begin at")]
    NoSnapshot,
    /// All of the history, or its end, was decided by another version of the engine.
    #[error("this is version {ours} of the engine, and version {theirs} decided what is recorded")]
    OtherEngine {
        /// The version that the newest snapshot names.
        theirs: String,
        /// The version that replays.
        ours: String,
    },
    /// A version of the town was made by no recorded tick.
    #[error("after version {after} comes tick {found}: something between them is not recorded")]
    Gap {
        /// The last version that was replayed.
        after: u64,
        /// The number of the next tick or snapshot.
        found: u64,
    },
    /// The records of a tick do not belong together, or the history ends within one.
    #[error("the records of tick {number} do not belong together: {problem}")]
    Incomplete {
        /// The tick.
        number: u64,
        /// What is missing or too much.
        problem: String,
    },
    /// The engine did something else than what is recorded.
    #[error("tick {number}: {what} differ: recorded {recorded}, replayed {replayed}")]
    Differs {
        /// The tick.
        number: u64,
        /// What differs.
        what: &'static str,
        /// What is recorded.
        recorded: String,
        /// What the replay gave.
        replayed: String,
    },
}

/// A replay under way.
#[derive(Debug, Default)]
pub struct Replay {
    /// All rows that are known, as a store would have them.
    rows: BTreeMap<RowKey, Row>,
    /// None until the first snapshot.
    town: Option<Town>,
    version: u64,
    ticks: u64,
    unrecorded: u64,
    snapshot: Option<Snapshot>,
    waiting: Waiting,
    /// The version of the engine that is passed over, until a snapshot of this one comes.
    other_engine: Option<String>,
}

/// A snapshot of which not all rows have come.
#[derive(Debug)]
struct Snapshot {
    number: u64,
    /// The version of the history before it; another than `number` where a report was imported.
    shows: u64,
    expected: usize,
    rows: Vec<Row>,
}

/// What belongs to the next tick.
#[derive(Debug, Default)]
struct Waiting {
    recalled: Vec<Row>,
    bead_events: Vec<HistoryEntry>,
    events: Vec<EventRecord>,
    commands: Vec<CommandRecord>,
}

/// What a replay gave.
#[derive(Debug)]
pub struct Replayed {
    /// The town.
    pub town: Town,
    /// Its rows, as far as the replay knows them: all but what had left the working set before the
    /// snapshot at which it began. Without secrets.
    pub rows: Vec<Row>,
    /// Its version.
    pub version: u64,
    /// How many ticks were replayed.
    pub ticks: u64,
    /// How many versions were made by commits that no tick recorded, and are made up for by a
    /// snapshot that follows them; 0 where everything was repeated.
    pub unrecorded: u64,
}

impl Replay {
    /// A replay that waits for its first snapshot.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next entry of the history. Entries before the first snapshot are passed over.
    ///
    /// # Errors
    /// [`ReplayError`] says what differs from what is recorded, or why an entry can't be taken.
    pub fn take(&mut self, entry: &HistoryEntry) -> Result<(), ReplayError> {
        match entry.kind {
            HistoryKind::Snapshot => {
                let record: SnapshotRecord = read(entry)?;
                if record.engine != engine() {
                    self.town = None;
                    self.snapshot = None;
                    self.waiting = Waiting::default();
                    self.other_engine = Some(record.engine);
                    return Ok(());
                }
                self.other_engine = None;
                self.snapshot = Some(Snapshot {
                    number: record.number,
                    shows: record.imported_from.unwrap_or(record.number),
                    expected: record.rows,
                    rows: Vec::new(),
                });
                Ok(())
            }
            HistoryKind::SnapshotRows if self.other_engine.is_some() => Ok(()),
            HistoryKind::SnapshotRows => self.take_rows(read(entry)?),
            HistoryKind::BeadEvent | HistoryKind::Event | HistoryKind::Command
                if self.town.is_none() =>
            {
                Ok(())
            }
            HistoryKind::BeadEvent => {
                self.waiting.bead_events.push(entry.clone());
                Ok(())
            }
            HistoryKind::Event => {
                self.waiting.events.push(read(entry)?);
                Ok(())
            }
            HistoryKind::Command => {
                self.waiting.commands.push(read(entry)?);
                Ok(())
            }
            HistoryKind::Tick => match self.town.take() {
                Some(town) => self.take_tick(town, &read(entry)?),
                None => Ok(()),
            },
        }
    }

    /// After the last entry: goes on at the rows of the store if it has a later version than the last tick
    /// that is recorded. The records of half a tick are no such commit, and stay an error.
    pub(crate) fn go_on_at(&mut self, version: u64, rows: &[Row]) -> Result<(), ReplayError> {
        let unrecorded = version.saturating_sub(self.version);
        let Waiting {
            recalled,
            bead_events: _,
            events,
            commands,
        } = &self.waiting;
        let is_within = self.snapshot.is_some()
            || !(recalled.is_empty() && events.is_empty() && commands.is_empty());
        if self.town.is_none() || unrecorded == 0 || is_within {
            return Ok(());
        }
        let working: Vec<Row> = rows.iter().filter(|row| row.working).cloned().collect();
        self.begin_at(&working);
        self.unrecorded = self.unrecorded.saturating_add(unrecorded);
        self.version = version;
        self.load()
    }

    /// The state after the last entry.
    ///
    /// # Errors
    /// [`ReplayError::NoSnapshot`] where there was nothing to begin at,
    /// [`ReplayError::Incomplete`] if the history ends within a tick.
    pub fn finish(self) -> Result<Replayed, ReplayError> {
        let Some(town) = self.town else {
            return Err(match self.other_engine {
                Some(theirs) => ReplayError::OtherEngine {
                    theirs,
                    ours: engine(),
                },
                None => ReplayError::NoSnapshot,
            });
        };
        let Waiting {
            recalled,
            bead_events,
            events,
            commands,
        } = &self.waiting;
        let is_between = recalled.is_empty()
            && bead_events.is_empty()
            && events.is_empty()
            && commands.is_empty();
        if self.snapshot.is_some() || !is_between {
            return Err(incomplete(self.version.saturating_add(1), "it has no end"));
        }
        Ok(Replayed {
            town,
            rows: self.rows.into_values().collect(),
            version: self.version,
            ticks: self.ticks,
            unrecorded: self.unrecorded,
        })
    }

    fn take_rows(&mut self, record: SnapshotRowsRecord) -> Result<(), ReplayError> {
        if record.recalled {
            // Before the first snapshot they belong to a tick that is passed over.
            if self.town.is_some() {
                self.waiting.recalled.extend(record.rows);
            }
            return Ok(());
        }
        let Some(mut snapshot) = self.snapshot.take() else {
            return Err(incomplete(record.number, "rows of no snapshot"));
        };
        snapshot.rows.extend(record.rows);
        if snapshot.rows.len() < snapshot.expected {
            self.snapshot = Some(snapshot);
            return Ok(());
        }
        let Snapshot {
            number,
            shows,
            rows,
            ..
        } = snapshot;
        let unrecorded = match self.town {
            Some(_) => shows.saturating_sub(self.version),
            None => 0,
        };
        if self.town.is_some() && unrecorded == 0 {
            self.compare_snapshot(number, &rows)?;
        } else {
            self.begin_at(&rows);
        }
        self.unrecorded = self.unrecorded.saturating_add(unrecorded);
        self.version = number;
        self.load()
    }

    /// The first snapshot, or one after commits that no tick recorded: what they did can't be
    /// repeated, but from here on it can. A snapshot stands before the records of its tick, so what
    /// waits is theirs, and what had left the working set may be another now.
    fn begin_at(&mut self, rows: &[Row]) {
        self.waiting = Waiting::default();
        self.rows = rows
            .iter()
            .map(|row| (row.key.clone(), row.clone()))
            .collect();
    }

    /// A later snapshot shows the state that the replay has come to.
    fn compare_snapshot(&self, number: u64, rows: &[Row]) -> Result<(), ReplayError> {
        let working: Vec<&Row> = self.rows.values().filter(|row| row.working).collect();
        // In a report names are masked, and may sort otherwise than where their entries have them.
        let mut recorded: Vec<&Row> = rows.iter().collect();
        recorded.sort_by(|a, b| a.key.cmp(&b.key));
        let differing = first_difference(&recorded, &working);
        differing.map_or(Ok(()), |(recorded, replayed)| {
            Err(ReplayError::Differs {
                number,
                what: "the rows of the snapshot",
                recorded,
                replayed,
            })
        })
    }

    /// What a host does when it loads: it knows the working set and nothing else.
    fn load(&mut self) -> Result<(), ReplayError> {
        let working = self.rows.values().filter(|row| row.working).cloned();
        let town = Town::from_rows(working.collect()).map_err(|problem| ReplayError::BadRows {
            number: self.version,
            problem,
        })?;
        self.town = Some(town);
        Ok(())
    }

    fn take_tick(&mut self, town: Town, record: &TickRecord) -> Result<(), ReplayError> {
        let number = record.number;
        if number != self.version.saturating_add(1) {
            return Err(ReplayError::Gap {
                after: self.version,
                found: number,
            });
        }
        self.town = Some(town);
        if record.loaded {
            self.load()?;
        }
        let waiting = core::mem::take(&mut self.waiting);
        self.recall(record, &waiting.recalled)?;
        let stored = events_of(record, waiting.events)?;
        let (commands, receipts) = commands_of(record, waiting.commands)?;
        let input = TickInput {
            number,
            now: record.now,
            loaded: record.loaded,
            recalled: &waiting.recalled,
            stored: &stored,
            local: &record.local,
            commands: &commands,
        };
        let Some(town) = &mut self.town else {
            return Err(ReplayError::NoSnapshot);
        };
        let ticked = tick(town, &input);
        compare(record, &ticked, &receipts, &waiting.bead_events)?;
        self.apply(ticked.changes);
        self.version = number;
        self.ticks = self.ticks.saturating_add(1);
        Ok(())
    }

    /// Rows that a tick recalled are those that the replay knows, or older than its first snapshot.
    fn recall(&mut self, record: &TickRecord, recalled: &[Row]) -> Result<(), ReplayError> {
        if recalled.len() != record.recalled {
            let problem = format!("it recalled {} rows", record.recalled);
            return Err(incomplete(record.number, problem));
        }
        for row in recalled {
            let known = self.rows.entry(row.key.clone());
            let known = &*known.or_insert_with(|| row.clone());
            if known != row {
                return Err(ReplayError::Differs {
                    number: record.number,
                    what: "the rows that it recalled",
                    recorded: shown_row(Some(row)),
                    replayed: shown_row(Some(known)),
                });
            }
        }
        Ok(())
    }

    fn apply(&mut self, changes: ChangeSet) {
        for row in changes.put {
            if !is_secret_row(&row.key) {
                self.rows.insert(row.key.clone(), row);
            }
        }
        for key in changes.delete {
            self.rows.remove(&key);
        }
    }
}

/// Whether the history of a town tells how it came to its `version`: by its newest tick, or because
/// its newest snapshot shows it. Where it does not, somebody committed without a record, and a
/// replay needs a snapshot to go on from.
///
/// # Errors
/// As [`Store::history`].
pub async fn is_recorded(
    store: &dyn Store,
    town: &TownId,
    version: u64,
) -> Result<bool, StoreError> {
    for kind in [HistoryKind::Tick, HistoryKind::Snapshot] {
        let newest = HistoryFilter {
            kind: Some(kind),
            order: HistoryOrder::NewestFirst,
            limit: 1,
            ..HistoryFilter::default()
        };
        let page = store.history(town, newest).await?;
        let number = page.first().and_then(|kept| {
            let record: Value = serde_json::from_str(&kept.entry.body).ok()?;
            record.get("number")?.as_u64()
        });
        if number == Some(version) {
            return Ok(true);
        }
    }
    Ok(false)
}

impl Replayed {
    /// The first row in which a store differs from the replay, for people; none if it has the
    /// same bytes. `working` is what [`crate::Store::load`] gives, `past` what it leaves behind;
    /// past rows that the replay does not know are older than its first snapshot.
    #[must_use]
    pub fn first_difference(&self, working: &[Row], past: &[Row]) -> Option<String> {
        let not_secret = |row: &&Row| !is_secret_row(&row.key);
        let stored: BTreeMap<&RowKey, &Row> = working
            .iter()
            .chain(past)
            .filter(not_secret)
            .map(|row| (&row.key, row))
            .collect();
        let known: BTreeMap<&RowKey, &Row> = self.rows.iter().map(|row| (&row.key, row)).collect();
        let differs = |key: &RowKey, stored: Option<&Row>, replayed: Option<&Row>| {
            format!(
                "row {}/{}: stored {}, replayed {}",
                key.kind,
                key.id,
                shown_row(stored),
                shown_row(replayed)
            )
        };
        let changed = self.rows.iter().find_map(|row| {
            let found = stored.get(&row.key).copied();
            (found != Some(row)).then(|| differs(&row.key, found, Some(row)))
        });
        changed.or_else(|| {
            let unknown = working.iter().filter(not_secret);
            let mut unknown = unknown.filter(|row| !known.contains_key(&row.key));
            unknown.next().map(|row| differs(&row.key, Some(row), None))
        })
    }
}

fn read<T: DeserializeOwned>(entry: &HistoryEntry) -> Result<T, ReplayError> {
    let value = wire::parse(&entry.body).and_then(wire::read_value);
    value.map_err(|problem| ReplayError::Unreadable {
        kind: entry.kind.as_str(),
        problem,
    })
}

fn incomplete(number: u64, problem: impl Into<String>) -> ReplayError {
    ReplayError::Incomplete {
        number,
        problem: problem.into(),
    }
}

/// The stored events of a tick, which its record names.
fn events_of(record: &TickRecord, events: Vec<EventRecord>) -> Result<Vec<Event>, ReplayError> {
    let ids = events.iter().map(|found| &found.event.id);
    if !ids.eq(&record.events) || events.iter().any(|found| found.number != record.number) {
        let problem = "the events before it are not those that it names";
        return Err(incomplete(record.number, problem));
    }
    Ok(events.into_iter().map(|found| found.event).collect())
}

/// The commands of a tick, and their receipts.
fn commands_of(
    record: &TickRecord,
    records: Vec<CommandRecord>,
) -> Result<(Vec<crate::command::Command>, Vec<Value>), ReplayError> {
    let misplaced = records.iter().any(|found| found.number != record.number);
    let accepted: Vec<(Value, Value)> = records
        .into_iter()
        .filter_map(|found| Some((found.command, found.receipt?)))
        .collect();
    if misplaced || accepted.len() != record.commands {
        let problem = format!("it had {} commands", record.commands);
        return Err(incomplete(record.number, problem));
    }
    let mut commands = Vec::new();
    let mut receipts = Vec::new();
    for (place, (command, receipt)) in accepted.into_iter().enumerate() {
        let read = wire::command_from_value(command);
        let mut command = read.map_err(|problem| ReplayError::Unreadable {
            kind: HistoryKind::Command.as_str(),
            problem,
        })?;
        if let CommandKind::UpdateConfig(update) = &mut command.kind {
            update.config = update
                .config
                .with_stand_ins(&format!("tick {}, command {place}", record.number));
        }
        commands.push(command);
        receipts.push(receipt);
    }
    Ok((commands, receipts))
}
