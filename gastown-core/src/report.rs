//! A town as one file, `gastown.report/1`: to report a bug with, and to look into one.
//!
//! A report holds everything that a store has of a town but its lease and its secrets: rows,
//! pending events, pending effects, history. It is text, one JSON object per line:
//!
//! ```text
//! {"format":"gastown.report/1","town":"t1","version":57}
//! {"row":{"key":{"kind":"bead","id":"b1"},"working":true,"body":"{…}"}}
//! {"event":{…}}
//! {"effect":{…}}
//! {"history":{"sequence":9,"entry":{"kind":"tick","subject":null,"at":"…","body":"{…}"}}}
//! {"end":5}
//! ```
//!
//! The last line says how many lines come before it, so that half a file is not taken for a whole
//! one.
//!
//! # Guarantees
//! - Secrets are out (I17): the row that has them is left out, their texts and each line of them are masked
//!   wherever else they stand, and so are credentials in URLs and the tokens of common services ([`Masker`]).
//!   Those that others took the place of are secrets as before ([`RetiredSecrets`]).
//! - The values of `env_vars` are masked, each distinct one by a mask of its own (`[redacted 1]`); what a
//!   variable with the name of a credential (`API_KEY`, `DB_PASSWORD`) holds, also wherever else it stands.
//! - Names are masked as records are: the keys of rows, subjects, the town's own identifier.
//! - What is masked is masked everywhere in the same way, so a report can be replayed:
//!   [`Report::replay`] ends with the rows that the report holds.
//! - What could be read with its secrets can be read without them, or nothing is exported
//!   ([`ExportError::Masked`]): rows, history, what is pending, the town, each snapshot.
//!
//! # Caveats
//! - Of retired secrets a town keeps the newest only, and none of those that were replaced by other ways than
//!   its commands.
//! - A key that is the name of a field stays, also where a secret is the same word. A town in whose records
//!   another word of the engine (`in_progress`) is a secret can't be exported.
//! - What could not be read before is in the report as it was, without secrets. Only a snapshot's rows have to be
//!   readable: nobody knows what in them is secret otherwise.
//! - Of what the engine made of a secret its branch names are known, and its first eight bytes and more where a
//!   text ends or was cut. A replay of the masked text may cut elsewhere, and says that it differs.
//! - Encoded forms are not known, but those of JSON and URLs: a secret in base64 stays.
//! - Masked names may sort otherwise than they did; where a rule goes by that order, a replay says that it differs.

mod check;
mod form;
mod hide;
mod import;
mod names;

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::config::TownConfig;
use crate::effect::Effect;
use crate::event::Event;
use crate::ids::TownId;
#[cfg(doc)]
use crate::mask::Masker;
use crate::replay::{Replay, ReplayError, Replayed};
#[cfg(doc)]
use crate::secret::RetiredSecrets;
use crate::store::{HistoryFilter, HistoryKind, PastFilter, Row, Store, StoreError, StoredHistory};
use crate::tick::to_json;
use crate::town::is_secret_row;

/// The newest format of reports; the only one so far.
pub const REPORT_FORMAT: &str = "gastown.report/1";
/// How many entries and rows are read at once.
const PAGE: usize = 1_000;
/// How often a town that changes while it is read is read again.
const TRIES_MAX: u32 = 5;

/// A town as one file.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// The town.
    pub town: TownId,
    /// Its version in the store that it was exported from.
    pub version: u64,
    /// All rows but secrets: those of the working set, then those of the past.
    pub rows: Vec<Row>,
    /// Pending events, by (at, id).
    pub events: Vec<Event>,
    /// Pending effects, in the order of commit.
    pub effects: Vec<Effect>,
    /// The history, oldest first.
    pub history: Vec<StoredHistory>,
}

/// Why a town could not be exported.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// The store could not be read.
    #[error("the store could not be read")]
    Store(#[from] StoreError),
    /// The town was changed again and again while it was read. A backup stands still.
    #[error("town {town} was changed {tries} times while it was read: export it from a backup")]
    Busy {
        /// The town.
        town: TownId,
        /// How often it was tried.
        tries: u32,
    },
    /// What is left without secrets is no town that could be read again: masked, a name or a body that holds
    /// one is too long, a name or a key is that of another, a word that records are written with is gone.
    /// Nothing is exported then; the source says what, without its secrets.
    #[error("the town can't be told without its secrets")]
    Masked(#[source] crate::wire::WireError),
}

impl Report {
    /// Reads everything of a town without its secrets: rows and history of one version. Events and
    /// effects come and go without raising it; they are read so that whatever was pending all the
    /// while is there, and of an effect that is finished meanwhile the effect, its result, or both.
    ///
    /// # Errors
    /// [`ExportError`].
    pub async fn export(store: &dyn Store, town: &TownId) -> Result<Self, ExportError> {
        for _ in 0..TRIES_MAX {
            let loaded = store.load(town).await?;
            let oldest = oldest_for_replay(store, town).await?;
            let past = past_rows(store, town).await?;
            let secrets: Vec<Row> = loaded
                .rows
                .iter()
                .filter(|row| is_secret_row(&row.key))
                .cloned()
                .collect();
            // Effects come first: one that is finished between the two is then there with its result,
            // and done once more. The other way round both would be missing.
            let effects = store.pending_effects(town).await?;
            let events = store.pending_events(town, usize::MAX).await?;
            let rows = loaded.rows.into_iter().chain(past);
            let report = Report {
                town: town.clone(),
                version: loaded.version,
                rows: rows.filter(|row| !is_secret_row(&row.key)).collect(),
                events,
                effects,
                history: history(store, town).await?,
            };
            // Whatever was read before is of this version, if it still is, and if nothing was pruned.
            let is_unchanged = store.load(town).await?.version == report.version
                && oldest_for_replay(store, town).await? == oldest;
            if is_unchanged {
                return form::hidden(&report, &secrets).map_err(ExportError::Masked);
            }
        }
        Err(ExportError::Busy {
            town: town.clone(),
            tries: TRIES_MAX,
        })
    }

    /// Replays the history from its first snapshot. Where commits that no tick recorded came last, it goes on
    /// at the rows of the report, as [`Replayed::unrecorded`] says.
    ///
    /// # Errors
    /// [`ReplayError`] names the first tick that gives something else than what is recorded.
    pub fn replay(&self) -> Result<Replayed, ReplayError> {
        let mut replay = Replay::new();
        for kept in &self.history {
            replay.take(&kept.entry)?;
        }
        replay.go_on_at(self.version, &self.rows)?;
        replay.finish()
    }

    /// The first row of the report in which a replay of it differs, for people; none if they are
    /// the same to the byte.
    #[must_use]
    pub fn first_difference(&self, replayed: &Replayed) -> Option<String> {
        let (working, past): (Vec<Row>, Vec<Row>) =
            self.rows.iter().cloned().partition(|row| row.working);
        replayed.first_difference(&working, &past)
    }
}

/// A JSON text of a town's, as a report would have it: without the secrets of these settings and without
/// the values of their `env_vars` and its own.
#[must_use]
pub fn hide_secrets<'a>(
    settings: impl IntoIterator<Item = &'a TownConfig> + Clone,
    json: &str,
) -> String {
    let secrets = settings.clone().into_iter().flat_map(|config| {
        let retired = config.retired_secrets.exposed().map(ToString::to_string);
        config.exposed_secrets().into_values().chain(retired)
    });
    let shown: Vec<String> = settings
        .into_iter()
        .map(|config| to_json(config).to_string())
        .collect();
    let texts = shown.iter().map(String::as_str).chain([json]);
    hide::Hider::new(secrets, texts).hide(json)
}

/// Where the oldest entry of each kind stands that pruning takes: whatever it takes, it takes from the oldest
/// on.
async fn oldest_for_replay(
    store: &dyn Store,
    town: &TownId,
) -> Result<Vec<Option<u64>>, StoreError> {
    let mut oldest = Vec::new();
    for kind in HistoryKind::ALL
        .into_iter()
        .filter(|kind| kind.is_for_replay())
    {
        let filter = HistoryFilter {
            kind: Some(kind),
            limit: 1,
            ..HistoryFilter::default()
        };
        let page = store.history(town, filter).await?;
        oldest.push(page.first().map(|kept| kept.sequence));
    }
    Ok(oldest)
}

async fn past_rows(store: &dyn Store, town: &TownId) -> Result<Vec<Row>, StoreError> {
    let mut rows: Vec<Row> = Vec::new();
    loop {
        let filter = PastFilter {
            after: rows.last().map(|row| row.key.clone()),
            limit: PAGE,
            ..PastFilter::default()
        };
        let page = store.past_rows(town, filter).await?;
        let is_last = page.len() < PAGE;
        rows.extend(page);
        if is_last {
            return Ok(rows);
        }
    }
}

/// All of a town's history, oldest first.
///
/// # Errors
/// As [`Store::history`].
pub async fn history(store: &dyn Store, town: &TownId) -> Result<Vec<StoredHistory>, StoreError> {
    history_of(store, town, None).await
}

/// The same of one kind.
async fn history_of(
    store: &dyn Store,
    town: &TownId,
    kind: Option<HistoryKind>,
) -> Result<Vec<StoredHistory>, StoreError> {
    let mut all: Vec<StoredHistory> = Vec::new();
    loop {
        let filter = HistoryFilter {
            kind,
            after: all.last().map(|kept| kept.sequence),
            limit: PAGE,
            ..HistoryFilter::default()
        };
        let page = store.history(town, filter).await?;
        let is_last = page.len() < PAGE;
        all.extend(page);
        if is_last {
            return Ok(all);
        }
    }
}
