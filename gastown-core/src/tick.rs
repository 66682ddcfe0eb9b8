//! One tick of a town: events, commands, decisions; and what is recorded of it (spec 6.2).

mod record;

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::time::Duration;

pub(crate) use self::record::{
    CommandRecord, EventRecord, SnapshotRecord, SnapshotRowsRecord, TickRecord, effect_names,
    engine, import_entries, recorded_actions, to_json,
};
pub use self::record::{is_base_of_this_engine, snapshot_entries};

use crate::command::{Command, CommandError, Receipt};
use crate::event::{Event, Observed};
use crate::ids::EventId;
use crate::reconcile::{Settled, settle};
use crate::store::{ChangeSet, HistoryEntry, Row};
use crate::time::Timestamp;
use crate::town::Town;

/// What a tick is made of.
#[derive(Debug, Clone, Copy)]
pub struct TickInput<'a> {
    /// The version of the town that the tick will make.
    pub number: u64,
    /// The time.
    pub now: Timestamp,
    /// Whether the town was loaded since its last tick. A town that goes on remembers more than
    /// its working set, so a replay has to load where its model did.
    pub loaded: bool,
    /// What the commands name and the town has forgotten, from [`crate::recall`]; the tick begins
    /// by remembering it.
    pub recalled: &'a [Row],
    /// Events of the store's inbox; the commit consumes them.
    pub stored: &'a [Event],
    /// Events that only the host knows: heartbeats and gaps. Losing them in a crash does no harm.
    pub local: &'a [Event],
    /// Commands, in the order in which they came.
    pub commands: &'a [Command],
}

/// What a tick did.
#[derive(Debug, Clone)]
pub struct Ticked {
    /// What came of each event, in the order of (at, id).
    pub observed: Vec<Observed>,
    /// What came of each command, in order.
    pub answers: Vec<Result<Receipt, CommandError>>,
    /// What was decided.
    pub settled: Settled,
    /// What is to be committed.
    pub changes: ChangeSet,
    /// The commands as they go into the record: without secrets that the town had already.
    pub(crate) commands: Vec<Command>,
    /// The events that quoted secrets, as they go into the record.
    pub(crate) unquoted: BTreeMap<EventId, Event>,
}

/// Runs one tick: observes the events, executes the commands, settles, and takes the changes.
///
/// A host that does not want its own order of things ticks by this, so that [`crate::replay`] can
/// repeat what it did; the other half is [`Ticked::record`].
pub fn tick(town: &mut Town, input: &TickInput<'_>) -> Ticked {
    let now = input.now;
    town.remember(input.recalled);
    let mut events: Vec<&Event> = input.stored.iter().chain(input.local).collect();
    events.sort_by(|a, b| (a.at, &a.id).cmp(&(b.at, &b.id)));
    let quoting = events.iter().filter_map(|event| town.unquoted_event(event));
    let unquoted: BTreeMap<EventId, Event> =
        quoting.map(|event| (event.id.clone(), event)).collect();
    let observed = events
        .into_iter()
        .map(|event| unquoted.get(&event.id).unwrap_or(event))
        .map(|event| town.observe_unquoted(event, now))
        .collect();
    let mut commands = Vec::new();
    let mut answers = Vec::new();
    for command in input.commands {
        // Only now can it be told which of its secrets are new, and what it quotes.
        let known = command.without_known_secrets(&town.state().config);
        commands.push(town.unquoted_command(&known).unwrap_or(known));
        answers.push(town.execute(command.clone(), now));
    }
    let settled = settle(town, now);
    Ticked {
        observed,
        answers,
        settled,
        changes: town.take_changes(),
        commands,
        unquoted,
    }
}

impl Ticked {
    /// What the history keeps of the tick, for people and for replay: each event, each command with
    /// its receipt or why it was refused, then the tick with its actions and how long it took.
    #[must_use]
    pub fn record(&self, input: &TickInput<'_>, took: Duration) -> Vec<HistoryEntry> {
        record::entries(self, input, took)
    }
}
