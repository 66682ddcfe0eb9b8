//! The port to storage (spec 6.1). The town is the unit of consistency.

mod body;
mod limits;

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::effect::{Effect, EffectKey};
use crate::event::Event;
use crate::ids::{EventId, TownId};
use crate::time::Timestamp;

/// Names one stored row of a town. A new kind of entity changes no adapter.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RowKey {
    /// The kind of entity, for example `bead`; not empty, not reserved, no control characters, at
    /// most [`RowKey::PART_BYTES_MAX`] bytes.
    pub kind: String,
    /// The entity within its kind; as the kind.
    pub id: String,
}

/// One stored entity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// Its name.
    pub key: RowKey,
    /// Whether [`Store::load`] returns it. History stays behind.
    pub working: bool,
    /// Its record: one JSON object of at most [`Row::BODY_BYTES_MAX`] bytes; its `rig_id`, if it
    /// has one, is a rig's identifier or null. The `id` of a bead, an agent, a rig or a nudge, if it has
    /// one, is that of the row.
    pub body: String,
}

/// What a mutation of a town changed (spec 2). It names each row at most once.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ChangeSet {
    /// Rows that are new or have a new body.
    pub put: Vec<Row>,
    /// Rows that are gone; one that is not there is left alone.
    pub delete: Vec<RowKey>,
    /// What happened, for people and replay; appended to the history.
    pub history: Vec<HistoryEntry>,
}

impl ChangeSet {
    /// Nothing changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.put.is_empty() && self.delete.is_empty() && self.history.is_empty()
    }
}

/// What a history entry is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HistoryKind {
    /// A change of one bead.
    BeadEvent,
    /// One tick: its inputs and its actions.
    Tick,
    /// A command with its receipt.
    Command,
    /// An event that a tick observed.
    Event,
    /// A base for replay begins here; its rows are in the entries that follow.
    Snapshot,
    /// Some of the rows of the snapshot before; or rows that the tick which follows read because a
    /// command named what had left the working set.
    SnapshotRows,
}

impl HistoryKind {
    /// Every kind.
    pub const ALL: [HistoryKind; 6] = [
        Self::BeadEvent,
        Self::Tick,
        Self::Command,
        Self::Event,
        Self::Snapshot,
        Self::SnapshotRows,
    ];

    /// The kind as it is stored.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            HistoryKind::BeadEvent => "bead_event",
            HistoryKind::Tick => "tick",
            HistoryKind::Command => "command",
            HistoryKind::Event => "event",
            HistoryKind::Snapshot => "snapshot",
            HistoryKind::SnapshotRows => "snapshot_rows",
        }
    }

    /// Whether entries of this kind are for replay alone: [`Store::prune`] takes those that lie
    /// before the newest snapshot that is old enough. What happened to beads is kept.
    #[must_use]
    pub const fn is_for_replay(self) -> bool {
        !matches!(self, HistoryKind::BeadEvent)
    }
}

/// One line of a town's history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HistoryEntry {
    /// What it is about.
    pub kind: HistoryKind,
    /// The bead, for bead events; else none.
    pub subject: Option<String>,
    /// When it happened.
    pub at: Timestamp,
    /// Its record: one JSON object.
    pub body: String,
}

/// A history entry with its place in the town's history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoredHistory {
    /// Grows with every entry of the town; never reused.
    pub sequence: u64,
    /// The entry.
    pub entry: HistoryEntry,
}

/// A page of history to read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HistoryFilter {
    /// Only this kind.
    pub kind: Option<HistoryKind>,
    /// Only this subject.
    pub subject: Option<String>,
    /// Which end comes first.
    pub order: HistoryOrder,
    /// Only entries that come after this sequence in that order: the last one of a page gives the
    /// next page.
    pub after: Option<u64>,
    /// At most this many; 0 reads none.
    pub limit: usize,
}

/// Which end of the history comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HistoryOrder {
    /// For replay.
    #[default]
    OldestFirst,
    /// For people.
    NewestFirst,
}

/// A page of rows that left the working set: terminal beads and what belonged to them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PastFilter {
    /// Only rows of this kind.
    pub kind: Option<String>,
    /// Only rows whose record says this in its `depends_on`: the edges that lead to a bead.
    pub depends_on: Option<String>,
    /// Only rows after this key: the last one of a page gives the next page.
    pub after: Option<RowKey>,
    /// At most this many; 0 reads none.
    pub limit: usize,
}

/// A town as it was loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// The rows of its working set, by key.
    pub rows: Vec<Row>,
    /// The version that a commit must name.
    pub version: u64,
}

/// Whoever may drive a town; a later lease has a larger token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// Who holds it.
    pub holder: String,
    /// Grows with every holder; a commit with an older one is refused.
    pub token: u64,
    /// When it ends, unless taken again.
    pub expires_at: Timestamp,
}

/// Everything that one tick or command changes: all of it or nothing.
#[derive(Debug, Clone, PartialEq)]
pub struct Commit {
    /// The version that the change set was made from; 0 creates the town.
    pub expected_version: u64,
    /// The fencing token of the lease under which it was made. Without one the version alone
    /// decides.
    pub lease_token: Option<u64>,
    /// What changed.
    pub changes: ChangeSet,
    /// Events that were observed; they are no longer pending. Each was pending before.
    pub consumed: Vec<EventId>,
    /// Effects that were asked for; they are pending until finished. A key that the outbox has
    /// already is left as it is.
    pub effects: Vec<Effect>,
    /// The time of the commit, for pruning.
    pub at: Timestamp,
}

/// The proof that a commit is durable: the only way to its effects.
#[derive(Debug, Clone, PartialEq)]
#[must_use = "effects run only after they are committed"]
pub struct Committed {
    version: u64,
    effects: Vec<Effect>,
}

impl Committed {
    /// Made by an adapter once everything is durable.
    pub fn new(version: u64, effects: Vec<Effect>) -> Self {
        Self { version, effects }
    }

    /// The town's new version.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The effects that may now be performed: those of the commit that the outbox did not have.
    #[must_use]
    pub fn into_effects(self) -> Vec<Effect> {
        self.effects
    }
}

/// How a finished effect ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Finish {
    /// It ran, and its result was appended as an event.
    Done,
    /// The town no longer wanted it.
    Withdrawn,
}

/// What could not be done to a store, and whether a retry can help.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Somebody else committed first. Nothing was written; load again.
    #[error("town {town}: commit at version {expected} refused, the store is at {actual}")]
    Conflict {
        /// The town.
        town: TownId,
        /// The version that the commit named.
        expected: u64,
        /// The version that the store has.
        actual: u64,
    },
    /// Another holder took the lease since. Nothing was written.
    #[error("town {town}: commit with lease token {token} refused, token {current} is in force")]
    Fenced {
        /// The town.
        town: TownId,
        /// The token that the commit named.
        token: u64,
        /// The token in force.
        current: u64,
    },
    /// The town is not there.
    #[error("town {town}: not in this store")]
    UnknownTown {
        /// The town.
        town: TownId,
    },
    /// Another holder has the lease.
    #[error("town {town}: leased to {holder} until {until}")]
    Leased {
        /// The town.
        town: TownId,
        /// Who has it.
        holder: String,
        /// Until when.
        until: Timestamp,
    },
    /// The stored data is of a newer format than this program knows.
    #[error(
        "{place}: schema {found} is newer than {supported}, the newest that this program knows"
    )]
    TooNew {
        /// The file or database.
        place: String,
        /// The schema found.
        found: i64,
        /// The newest schema known.
        supported: i64,
    },
    /// Something that the contract forbids was asked for. Nothing was written.
    #[error("{operation}: refused: {reason}")]
    Refused {
        /// The operation.
        operation: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// The medium failed. Nothing was written, unless `outcome_unknown`.
    #[error("{operation} failed on {place}: {class}")]
    Backend {
        /// The operation.
        operation: &'static str,
        /// The file or database.
        place: String,
        /// What sort of failure it is.
        class: BackendFailure,
        /// Whether the change may have been written all the same.
        outcome_unknown: bool,
        /// What the medium said.
        #[source]
        source: Option<Box<dyn core::error::Error + Send + Sync>>,
    },
}

impl StoreError {
    /// Whether the same operation may succeed later without anybody's help.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            StoreError::Conflict { .. } | StoreError::Leased { .. } => true,
            StoreError::Backend { class, .. } => match class {
                BackendFailure::Busy | BackendFailure::Full => true,
                BackendFailure::ReadOnly
                | BackendFailure::Corrupt
                | BackendFailure::Unavailable
                | BackendFailure::Other => false,
            },
            StoreError::Fenced { .. }
            | StoreError::UnknownTown { .. }
            | StoreError::TooNew { .. }
            | StoreError::Refused { .. } => false,
        }
    }
}

/// What sort of failure a medium had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BackendFailure {
    /// Somebody else holds it.
    #[error("it is busy")]
    Busy,
    /// There is no room left.
    #[error("there is no room left")]
    Full,
    /// It can't be written.
    #[error("it can't be written")]
    ReadOnly,
    /// What is stored is damaged, or not ours.
    #[error("what is stored is damaged or not a gastown store")]
    Corrupt,
    /// It can't be opened or reached.
    #[error("it can't be opened")]
    Unavailable,
    /// Anything else.
    #[error("it reported an error")]
    Other,
}

/// The port to storage, town by town (spec 6.1).
///
/// A store keeps, for each town: *rows*, the state, of which [`load`](Self::load) gives the working
/// set; an *inbox* of events that nobody has observed yet; an *outbox* of effects that were asked for and
/// are not finished; a *history* for people and replay; and one *lease*. The town is the unit of
/// consistency: nothing spans two of them.
///
/// # How a host uses it
/// 1. [`lease`](Self::lease) the town, [`load`](Self::load) it, remember the version. Perform again what an
///    earlier life left in [`pending_effects`](Self::pending_effects), if the town wants it still.
/// 2. Take [`pending_events`](Self::pending_events), decide, [`commit`](Self::commit) at that version.
/// 3. Perform what the commit returns; nothing is performed before its commit. Each ends by
///    [`finish_effect`](Self::finish_effect), with its results, or as [`Finish::Withdrawn`].
/// 4. After [`StoreError::Conflict`], an unknown outcome, or a dropped future: load again. Whoever
///    has to say what happened meanwhile may [`append_events`](Self::append_events) at any time.
///
/// # To ensure correctness
/// Whoever writes an adapter keeps these sentences. All but the power failure have cases in
/// `gastown_testkit::store_suite`, which every adapter passes.
///
/// *Atomicity.* Each operation that writes does all of what it says, or nothing. An error means
/// nothing, unless it is a [`StoreError::Backend`] whose `outcome_unknown` is set: then all or nothing.
///
/// *Durability.* What returned `Ok` survives the end of the process at any moment, and a power
/// failure where the adapter promises that (SQLite with `Synchronous::Full` does; memory keeps
/// nothing beyond its last clone). Nothing of what was not asked for is ever there.
///
/// *Isolation.* Operations on one town happen as if one after the other: each sees all of what
/// returned before it began, and of what runs beside it all or nothing. One call is one moment;
/// two calls are two, so a page may come from a later version than the page before.
///
/// *Towns.* Operations on one town never see or touch another's data.
///
/// *Cancellation.* A dropped future may still take effect. A caller that does not know loads again.
///
/// *Time.* No adapter has a clock. `now` and `at` are the caller's, to the millisecond, and are
/// compared with nothing but each other.
///
/// # Errors
/// Every operation may fail with [`StoreError::Backend`]. Those on a town that is not there fail with
/// [`StoreError::UnknownTown`], `commit` at version 0 excepted. What the contract forbids is
/// [`StoreError::Refused`], before anything is written. [`StoreError::is_retryable`] says whether the
/// same call may succeed later.
#[async_trait]
pub trait Store: Send + Sync {
    /// The towns that are there, by id.
    ///
    /// A town is there from its first commit on, and for ever: no operation removes one.
    async fn towns(&self) -> Result<Vec<TownId>, StoreError>;

    /// The town's working set, in order of key, and its version, both of one moment.
    ///
    /// What has left the working set is not read; [`rows`](Self::rows) and
    /// [`past_rows`](Self::past_rows) reach it. After a crash it gives what the last commit that is
    /// there left, whoever made it.
    async fn load(&self, town: &TownId) -> Result<Loaded, StoreError>;

    /// Rows by key, whether they are in the working set or not, each once and in order of key.
    ///
    /// Keys that are not there are left out; a key that is named twice counts once. All are of one
    /// moment, which may be later than that of a load before.
    async fn rows(&self, town: &TownId, keys: &[RowKey]) -> Result<Vec<Row>, StoreError>;

    /// A page of the rows that [`load`](Self::load) leaves behind, in order of key: of all kinds or of one,
    /// all or those that lead to one bead.
    ///
    /// The last key of a page is the `after` of the next. A row that comes back to the working set
    /// between two pages is missing from the second; one that leaves it may be there.
    async fn past_rows(&self, town: &TownId, filter: PastFilter) -> Result<Vec<Row>, StoreError>;

    /// Writes all of `commit`, or nothing.
    ///
    /// - Version 0 creates a town that is not there yet. Each commit raises the version by one, even
    ///   an empty one; no other operation does.
    /// - Rows are put and deleted; a put replaces the row, its place in the working set included.
    /// - Consumed events are no longer pending. Each must have been: two drivers can't both observe it.
    /// - History entries come after all that are there, in their order.
    /// - Effects become pending. One whose key the outbox has already, pending or finished, is left
    ///   as it was; the [`Committed`] has only the others, so that whoever commits again after an
    ///   unknown outcome performs nothing twice.
    ///
    /// Of several commits at one version exactly one succeeds. It is not idempotent: the second of
    /// two equal calls is a conflict, by which a caller learns that the first went through.
    ///
    /// # Errors
    /// In this order, each without writing anything:
    /// - [`StoreError::Refused`] for what [`Commit::validate`] forbids;
    /// - [`StoreError::UnknownTown`] for a version above 0 of a town that is not there;
    /// - [`StoreError::Fenced`] for a lease token below the last that was given, whatever the
    ///   version: its holder has been replaced; [`StoreError::Refused`] for one that was never given;
    /// - [`StoreError::Conflict`] at another version than the store's: load, and decide anew;
    /// - [`StoreError::Refused`] for the consumption of an event that is not pending.
    ///
    /// A [`StoreError::Backend`] with `outcome_unknown` means all or nothing, and only a load tells
    /// which holds now. After a failed write, a crash before the next commit may still bring the commit
    /// about: the mark of it may be on the medium.
    async fn commit(&self, town: &TownId, commit: Commit) -> Result<Committed, StoreError>;

    /// Adds events to the inbox; returns how many were new.
    ///
    /// Allowed for many writers at once, with or without a lease, while somebody else commits: it
    /// raises no version. Idempotent by event id: one that the town has seen, pending or consumed and
    /// not yet pruned, is ignored, also if it now says something else. After an error, or a crash
    /// before the answer, append the same again.
    ///
    /// # Errors
    /// [`StoreError::Refused`] for an event that is longer than [`Event::BYTES_MAX`], or in which
    /// [`Event::problem`] finds something; none is appended then.
    async fn append_events(&self, town: &TownId, events: Vec<Event>) -> Result<usize, StoreError>;

    /// Up to `limit` events that were appended and not consumed, by (at, id).
    ///
    /// It takes nothing: the same events come again until a commit consumes them. An event that is
    /// appended later may come before one that was read already, if it has an earlier time.
    async fn pending_events(&self, town: &TownId, limit: usize) -> Result<Vec<Event>, StoreError>;

    /// Effects that were committed and are not finished, in the order of commit, then in that of
    /// the commit's list.
    ///
    /// After a crash these are what may have been performed or not; who goes on performs them again
    /// if the town still wants them. Each is there until it is finished: at least once, not exactly
    /// once.
    async fn pending_effects(&self, town: &TownId) -> Result<Vec<Effect>, StoreError>;

    /// Marks an effect as finished and appends its results to the inbox, both or neither.
    ///
    /// The first finish of a key counts: a later one changes nothing and its results are dropped,
    /// so a result is applied at most once however often an effect was performed. Results are appended as by
    /// [`append_events`](Self::append_events). A finished key never becomes pending again until it is
    /// pruned. It raises no version.
    ///
    /// # Errors
    /// [`StoreError::Refused`] for a key that the outbox does not have, and for a result that
    /// [`append_events`](Self::append_events) refuses, which is looked at before anything else: the effect is
    /// pending still.
    async fn finish_effect(
        &self,
        town: &TownId,
        key: &EffectKey,
        finish: Finish,
        results: Vec<Event>,
        now: Timestamp,
    ) -> Result<(), StoreError>;

    /// A page of the history, from either end, in the order of commit.
    ///
    /// Entries never change, and go only by [`prune`](Self::prune). Sequences grow and are never given
    /// again, over pruning and restarts; gaps mean nothing. Paging from the oldest end misses nothing
    /// that is committed meanwhile.
    async fn history(
        &self,
        town: &TownId,
        filter: HistoryFilter,
    ) -> Result<Vec<StoredHistory>, StoreError>;

    /// Removes what is past its time; returns how many events, effects and entries that were.
    ///
    /// - Events that a commit at a time before `before` consumed. From then on their ids are new again.
    /// - Effects that were finished before `before`. From then on their keys are new again.
    /// - What the history holds for replay alone ([`HistoryKind::is_for_replay`]) before the newest
    ///   snapshot of a time before `before`; without such a snapshot nothing of it. So a replay always finds
    ///   where to begin.
    ///
    /// Rows, bead events, and whatever is pending stay. It raises no version, and doing it twice does
    /// no more.
    async fn prune(&self, town: &TownId, before: Timestamp) -> Result<usize, StoreError>;

    /// Takes or extends the lease of a town until `now` + `ttl`.
    ///
    /// - A holder that has it keeps its token; a shorter `ttl` shortens it.
    /// - One that ended (`now` is at or after its end) or was released goes to whoever asks, with a
    ///   larger token, even to the same holder.
    /// - Tokens only grow, over releases and restarts. From the moment at which a larger one is
    ///   given, a commit with the smaller one is [`StoreError::Fenced`]: a holder that was cut off can
    ///   do no harm, however wrong its clock is.
    ///
    /// It keeps drivers from getting in each other's way. What keeps data whole is the version. Two
    /// processes that give the same `holder` share a lease and its token, so it does not part them.
    ///
    /// # Errors
    /// [`StoreError::Leased`] while another holder has it; [`StoreError::Refused`] for what
    /// [`Lease::validate_holder`] forbids.
    async fn lease(
        &self,
        town: &TownId,
        holder: &str,
        ttl: Duration,
        now: Timestamp,
    ) -> Result<Lease, StoreError>;

    /// Gives a lease back; one that `holder` does not have is left alone, so it may be done twice.
    ///
    /// The token stays in force until the next is given.
    ///
    /// It is the way out, too, where a lease was taken by a clock that was far ahead and its holder is
    /// gone: [`StoreError::Leased`] names the holder, and a person who knows that it runs no more
    /// releases it by that name.
    async fn release(&self, town: &TownId, holder: &str) -> Result<(), StoreError>;
}
