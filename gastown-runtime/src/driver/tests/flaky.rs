//! A store that counts, and fails when it is told to.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use gastown_core::{
    BackendFailure, ChangeSet, Commit, Committed, Effect, EffectKey, Event, Finish, HistoryFilter,
    Lease, Loaded, PastFilter, Row, RowKey, Store, StoreError, StoredHistory, Timestamp, TownId,
};
use gastown_store_memory::MemoryStore;

const WELL: usize = 0;
const OVERTAKE: usize = 1;
const FAIL: usize = 2;
const HANG: usize = 3;
const PANIC: usize = 4;

#[derive(Default)]
struct Counts {
    commits: AtomicUsize,
    reads: AtomicUsize,
    next: AtomicUsize,
    no_leases: AtomicBool,
    no_commits: AtomicBool,
    /// How many reads of rows fail from now on.
    rows_to_fail: AtomicUsize,
    loads: AtomicUsize,
    /// Before the next lease that covers a sleep, somebody else has it and gives it back.
    lends: AtomicBool,
    /// How many results are not taken from now on.
    finishes_to_fail: AtomicUsize,
    /// The town of which nobody is told and to which nothing is written.
    hangs_in: std::sync::Mutex<Option<TownId>>,
    /// How long each commit takes.
    delay: std::sync::Mutex<Duration>,
}

#[derive(Clone, Default)]
pub(super) struct Flaky {
    inner: MemoryStore,
    counts: Arc<Counts>,
}

impl Flaky {
    /// The store itself, for the tests' own questions.
    pub(super) fn uncounted(&self) -> &MemoryStore {
        &self.inner
    }

    /// The same store, which fails on its own.
    pub(super) fn beside(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            counts: Arc::default(),
        }
    }

    pub(super) fn commits(&self) -> usize {
        self.counts.commits.load(Ordering::Relaxed)
    }

    pub(super) fn reads(&self) -> usize {
        self.counts.reads.load(Ordering::Relaxed)
    }

    pub(super) fn overtake_next_commit(&self) {
        self.counts.next.store(OVERTAKE, Ordering::Relaxed);
    }

    pub(super) fn fail_next_commit(&self) {
        self.counts.next.store(FAIL, Ordering::Relaxed);
    }

    pub(super) fn fail_finishes(&self, count: usize) {
        self.counts.finishes_to_fail.store(count, Ordering::Relaxed);
    }

    pub(super) fn refuse_leases(&self, refuse: bool) {
        self.counts.no_leases.store(refuse, Ordering::Relaxed);
    }

    pub(super) fn refuse_commits(&self, refuse: bool) {
        self.counts.no_commits.store(refuse, Ordering::Relaxed);
    }

    pub(super) fn fail_rows(&self, count: usize) {
        self.counts.rows_to_fail.store(count, Ordering::Relaxed);
    }

    pub(super) fn loads(&self) -> usize {
        self.counts.loads.load(Ordering::Relaxed)
    }

    pub(super) fn lend_next_long_lease(&self) {
        self.counts.lends.store(true, Ordering::Relaxed);
    }

    pub(super) fn hang_in(&self, town: TownId) {
        *self.counts.hangs_in.lock().unwrap() = Some(town);
    }

    pub(super) fn hang_next_commit(&self) {
        self.counts.next.store(HANG, Ordering::Relaxed);
    }

    pub(super) fn panic_at_next_commit(&self) {
        self.counts.next.store(PANIC, Ordering::Relaxed);
    }

    pub(super) fn delay_commits(&self, span: Duration) {
        *self.counts.delay.lock().unwrap() = span;
    }

    async fn may_answer(&self, town: &TownId) {
        let hangs_in = self.counts.hangs_in.lock().unwrap().clone();
        if hangs_in.as_ref() == Some(town) {
            std::future::pending::<()>().await;
        }
    }
}

#[async_trait]
impl Store for Flaky {
    async fn towns(&self) -> Result<Vec<TownId>, StoreError> {
        let hangs_in = self.counts.hangs_in.lock().unwrap().clone();
        if let Some(town) = hangs_in {
            self.may_answer(&town).await;
        }
        self.inner.towns().await
    }

    async fn load(&self, town: &TownId) -> Result<Loaded, StoreError> {
        self.counts.loads.fetch_add(1, Ordering::Relaxed);
        self.inner.load(town).await
    }

    async fn rows(&self, town: &TownId, keys: &[RowKey]) -> Result<Vec<Row>, StoreError> {
        self.may_answer(town).await;
        if takes_one(&self.counts.rows_to_fail) {
            return Err(broken("rows"));
        }
        self.inner.rows(town, keys).await
    }

    async fn past_rows(&self, town: &TownId, filter: PastFilter) -> Result<Vec<Row>, StoreError> {
        self.inner.past_rows(town, filter).await
    }

    async fn commit(&self, town: &TownId, commit: Commit) -> Result<Committed, StoreError> {
        self.may_answer(town).await;
        let delay = *self.counts.delay.lock().unwrap();
        tokio::time::sleep(delay).await;
        if self.counts.no_commits.load(Ordering::Relaxed) {
            return Err(broken("commit"));
        }
        match self.counts.next.swap(WELL, Ordering::Relaxed) {
            OVERTAKE => {
                let other = Commit {
                    changes: ChangeSet::default(),
                    consumed: Vec::new(),
                    effects: Vec::new(),
                    ..commit.clone()
                };
                let _ = self.inner.commit(town, other).await?;
            }
            FAIL => return Err(broken("commit")),
            HANG => std::future::pending().await,
            PANIC => panic!("a store with a fault"),
            _ => {}
        }
        self.counts.commits.fetch_add(1, Ordering::Relaxed);
        self.inner.commit(town, commit).await
    }

    async fn append_events(&self, town: &TownId, events: Vec<Event>) -> Result<usize, StoreError> {
        self.may_answer(town).await;
        self.inner.append_events(town, events).await
    }

    async fn pending_events(&self, town: &TownId, limit: usize) -> Result<Vec<Event>, StoreError> {
        self.counts.reads.fetch_add(1, Ordering::Relaxed);
        self.inner.pending_events(town, limit).await
    }

    async fn pending_effects(&self, town: &TownId) -> Result<Vec<Effect>, StoreError> {
        self.inner.pending_effects(town).await
    }

    async fn finish_effect(
        &self,
        town: &TownId,
        key: &EffectKey,
        finish: Finish,
        results: Vec<Event>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        if takes_one(&self.counts.finishes_to_fail) {
            return Err(broken("finish_effect"));
        }
        self.inner
            .finish_effect(town, key, finish, results, now)
            .await
    }

    async fn history(
        &self,
        town: &TownId,
        filter: HistoryFilter,
    ) -> Result<Vec<StoredHistory>, StoreError> {
        self.inner.history(town, filter).await
    }

    async fn prune(&self, town: &TownId, before: Timestamp) -> Result<usize, StoreError> {
        self.inner.prune(town, before).await
    }

    async fn lease(
        &self,
        town: &TownId,
        holder: &str,
        ttl: Duration,
        now: Timestamp,
    ) -> Result<Lease, StoreError> {
        if self.counts.no_leases.load(Ordering::Relaxed) {
            return Err(broken("lease"));
        }
        let is_long = ttl > Duration::from_secs(60);
        if is_long && self.counts.lends.swap(false, Ordering::Relaxed) {
            self.inner.release(town, holder).await?;
            self.inner.lease(town, "other", ttl, now).await?;
            self.inner.release(town, "other").await?;
        }
        self.inner.lease(town, holder, ttl, now).await
    }

    async fn release(&self, town: &TownId, holder: &str) -> Result<(), StoreError> {
        self.inner.release(town, holder).await
    }
}

/// Whether there was one left.
fn takes_one(count: &AtomicUsize) -> bool {
    let one_less = |count: usize| count.checked_sub(1);
    let taken = count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less);
    taken.is_ok()
}

fn broken(operation: &'static str) -> StoreError {
    StoreError::Backend {
        operation,
        place: "test".into(),
        class: BackendFailure::Other,
        outcome_unknown: false,
        source: None,
    }
}
