//! A report goes into a store.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::{Report, history_of, names, past_rows};
use crate::store::{ChangeSet, Commit, HistoryEntry, HistoryKind, Row, Store, StoreError};
use crate::tick::{SnapshotRecord, import_entries};
use crate::time::Timestamp;
use crate::town::Town;
use crate::wire;

const OPERATION: &str = "import";

impl Report {
    /// Puts the town into a store that does not have it. Its version there is 1; a snapshot at the
    /// end of its history lets a replay go on from there.
    ///
    /// Events come after all else, in a second step. An import that ended between the two, or in an error
    /// that does not say how it ended, may be made again until the town has its next commit: it appends
    /// what is missing.
    ///
    /// # Errors
    /// - [`StoreError::Refused`] for what no store takes, two events of one id, two effects of one key, and
    ///   rows that make no town of this name: nothing is written then.
    /// - [`StoreError::Conflict`] if another town is there, or this one has gone on.
    /// - Whatever else the store says.
    pub async fn import(&self, store: &dyn Store, now: Timestamp) -> Result<(), StoreError> {
        self.check_import()?;
        let mut history: Vec<_> = self.history.iter().map(|kept| kept.entry.clone()).collect();
        history.extend(import_entries(self.version, now, self.working()));
        let commit = Commit {
            expected_version: 0,
            lease_token: None,
            changes: ChangeSet {
                put: self.rows.clone(),
                delete: Vec::new(),
                history,
            },
            consumed: Vec::new(),
            effects: self.effects.clone(),
            at: now,
        };
        match store.commit(&self.town, commit).await {
            Ok(_) => {}
            Err(StoreError::Conflict { .. }) if self.is_begun(store).await? => {}
            Err(error) => return Err(error),
        }
        store.append_events(&self.town, self.events.clone()).await?;
        Ok(())
    }

    /// What the commit would not find: events are no part of it, and rows need not be a town.
    fn check_import(&self) -> Result<(), StoreError> {
        for event in &self.events {
            event.to_stored(OPERATION)?;
        }
        if let Some(name) = names::twice_pending(self) {
            return Err(refused(format!("{name} is in the report twice")));
        }
        let town = Town::from_rows(self.working().collect());
        let town = town.map_err(|error| refused(format!("its rows make no town: {error}")))?;
        if *town.id() != self.town {
            let reason = format!("its rows are those of town {}", town.id());
            return Err(refused(reason));
        }
        Ok(())
    }

    /// Whether the store has what the first step leaves, and no more.
    async fn is_begun(&self, store: &dyn Store) -> Result<bool, StoreError> {
        let loaded = store.load(&self.town).await?;
        if loaded.version != 1 {
            return Ok(false);
        }
        let past = past_rows(store, &self.town).await?;
        let found = sorted(loaded.rows.iter().chain(&past));
        if found != sorted(&self.rows) {
            return Ok(false);
        }
        let snapshots = history_of(store, &self.town, Some(HistoryKind::Snapshot)).await?;
        let newest = snapshots.last().and_then(|kept| imported_from(&kept.entry));
        Ok(newest == Some(self.version))
    }

    fn working(&self) -> impl Iterator<Item = Row> + '_ {
        self.rows.iter().filter(|row| row.working).cloned()
    }
}

fn sorted<'a>(rows: impl IntoIterator<Item = &'a Row>) -> Vec<&'a Row> {
    let mut rows: Vec<&Row> = rows.into_iter().collect();
    rows.sort_by(|a, b| a.key.cmp(&b.key));
    rows
}

fn imported_from(entry: &HistoryEntry) -> Option<u64> {
    let record: SnapshotRecord = wire::read_value(wire::parse(&entry.body).ok()?).ok()?;
    record.imported_from
}

fn refused(reason: String) -> StoreError {
    StoreError::Refused {
        operation: OPERATION,
        reason,
    }
}
