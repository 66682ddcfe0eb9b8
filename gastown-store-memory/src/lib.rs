//! A Gastown store in memory: for tests, simulations and hosts that may forget.
//!
//! It keeps the whole contract of [`Store`] but one word: what is durable here is durable for as
//! long as one clone of the store lives.
//!
//! ```
//! # futures_executor::block_on(async {
//! use gastown_core::{ChangeSet, Commit, Row, RowKey, Store, Timestamp, TownId};
//! use gastown_store_memory::MemoryStore;
//!
//! let store = MemoryStore::new();
//! let town = TownId::new("t1")?;
//! let bead = Row {
//!     key: RowKey { kind: "bead".into(), id: "b1".into() },
//!     working: true,
//!     body: r#"{"title":"Fix the roof"}"#.into(),
//! };
//! let committed = store
//!     .commit(
//!         &town,
//!         Commit {
//!             expected_version: 0,
//!             lease_token: None,
//!             changes: ChangeSet { put: vec![bead.clone()], ..ChangeSet::default() },
//!             consumed: vec![],
//!             effects: vec![],
//!             at: "2026-04-04T12:00:00Z".parse::<Timestamp>()?,
//!         },
//!     )
//!     .await?;
//! assert_eq!(committed.version(), 1);
//! assert_eq!(store.load(&town).await?.rows, [bead]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```
#![cfg_attr(test, allow(clippy::arithmetic_side_effects))]

mod inbox;
mod lease;
mod outbox;
mod town;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use gastown_core::{
    Commit, Committed, Effect, EffectKey, Event, Finish, HistoryFilter, Lease, Loaded, PastFilter,
    Row, RowKey, Store, StoreError, StoredHistory, Timestamp, TownId,
};

use crate::town::MemoryTown;

/// A store in memory. Clones share what they hold.
#[derive(Debug, Clone, Default)]
pub struct MemoryStore {
    towns: Arc<Mutex<BTreeMap<TownId, MemoryTown>>>,
}

impl MemoryStore {
    /// A store that holds no town.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn with_towns<T>(&self, job: impl FnOnce(&mut BTreeMap<TownId, MemoryTown>) -> T) -> T {
        // Every job checks all of its input before its first change, so a thread that died while
        // it held the lock has left no half of anything.
        let mut towns = self.towns.lock().unwrap_or_else(PoisonError::into_inner);
        job(&mut towns)
    }

    fn with_town<T>(
        &self,
        id: &TownId,
        job: impl FnOnce(&mut MemoryTown) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.with_towns(|towns| match towns.get_mut(id) {
            Some(town) => job(town),
            None => Err(StoreError::UnknownTown { town: id.clone() }),
        })
    }
}

/// This store keeps events as they are, but takes no other ones than a store that writes them.
fn check_events(operation: &'static str, events: &[Event]) -> Result<(), StoreError> {
    events
        .iter()
        .try_for_each(|event| event.to_stored(operation).map(drop))
}

#[async_trait]
impl Store for MemoryStore {
    async fn towns(&self) -> Result<Vec<TownId>, StoreError> {
        Ok(self.with_towns(|towns| towns.keys().cloned().collect()))
    }

    async fn load(&self, town: &TownId) -> Result<Loaded, StoreError> {
        self.with_town(town, |town| Ok(town.load()))
    }

    async fn rows(&self, town: &TownId, keys: &[RowKey]) -> Result<Vec<Row>, StoreError> {
        self.with_town(town, |town| Ok(town.rows(keys)))
    }

    async fn past_rows(&self, town: &TownId, filter: PastFilter) -> Result<Vec<Row>, StoreError> {
        self.with_town(town, |town| Ok(town.past_rows(&filter)))
    }

    async fn commit(&self, town: &TownId, commit: Commit) -> Result<Committed, StoreError> {
        commit.validate()?;
        self.with_towns(|towns| match towns.get_mut(town) {
            Some(there) => there.commit(town, commit),
            None if commit.expected_version > 0 => {
                Err(StoreError::UnknownTown { town: town.clone() })
            }
            None => {
                let mut new = MemoryTown::default();
                let committed = new.commit(town, commit)?;
                towns.insert(town.clone(), new);
                Ok(committed)
            }
        })
    }

    async fn append_events(&self, town: &TownId, events: Vec<Event>) -> Result<usize, StoreError> {
        check_events("append_events", &events)?;
        self.with_town(town, |town| Ok(town.inbox.append(events)))
    }

    async fn pending_events(&self, town: &TownId, limit: usize) -> Result<Vec<Event>, StoreError> {
        self.with_town(town, |town| Ok(town.inbox.pending(limit)))
    }

    async fn pending_effects(&self, town: &TownId) -> Result<Vec<Effect>, StoreError> {
        self.with_town(town, |town| Ok(town.outbox.pending()))
    }

    async fn finish_effect(
        &self,
        town: &TownId,
        key: &EffectKey,
        // How it ended is for people who look into a database; no operation gives it back.
        _finish: Finish,
        results: Vec<Event>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        check_events("finish_effect", &results)?;
        self.with_town(town, |town| {
            if town.outbox.finish(key, now)? {
                town.inbox.append(results);
            }
            Ok(())
        })
    }

    async fn history(
        &self,
        town: &TownId,
        filter: HistoryFilter,
    ) -> Result<Vec<StoredHistory>, StoreError> {
        self.with_town(town, |town| Ok(town.history(&filter)))
    }

    async fn prune(&self, town: &TownId, before: Timestamp) -> Result<usize, StoreError> {
        self.with_town(town, |town| {
            let events = town.inbox.prune(before);
            let effects = town.outbox.prune(before);
            let history = town.prune_history(before);
            Ok(events.saturating_add(effects).saturating_add(history))
        })
    }

    async fn lease(
        &self,
        town: &TownId,
        holder: &str,
        ttl: Duration,
        now: Timestamp,
    ) -> Result<Lease, StoreError> {
        Lease::validate_holder(holder)?;
        self.with_town(town, |there| there.leases.take(town, holder, ttl, now))
    }

    async fn release(&self, town: &TownId, holder: &str) -> Result<(), StoreError> {
        self.with_town(town, |town| {
            town.leases.release(holder);
            Ok(())
        })
    }
}
