//! The town and its store: lease, load, commit, inbox and outbox.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use gastown_core::replay::is_recorded;
use gastown_core::{
    Commit, Effect, Event, HistoryEntry, HistoryFilter, HistoryKind, HistoryOrder, RecallError,
    Row, StoreError, StoredHistory, Timestamp, Town, is_base_of_this_engine, recall,
};
use tracing::Instrument;

use super::{Base, Driver};
use crate::error::RuntimeError;
use crate::gap::Gaps;
use crate::telemetry;
use crate::tick::Ticked;
use crate::town_handle::TownStatus;

/// How often a town is loaded anew, and leaves a base for replays in its history. What lies before
/// the base of [`gastown_core::Policy::event_retention`] ago can then be pruned.
const BASE_EVERY: Duration = Duration::from_secs(24 * 60 * 60);

/// A younger base is not followed by another. It is less than [`BASE_EVERY`] because a base is written
/// with the first tick after its load, which may come hours later.
const BASE_AGE_MIN: Duration = Duration::from_secs(12 * 60 * 60);

impl Driver {
    /// Has the lease and the town, or says why not.
    pub(super) async fn make_ready(&mut self) -> Result<(), RuntimeError> {
        let held = self.hold_lease().await;
        // Who has it back looks for sessions that are over when the town is loaded.
        if std::mem::take(&mut self.state.overtaken) && held.is_err() {
            self.leave_to_others().await;
        }
        held?;
        if self.state.frozen.is_some() {
            // A frozen town stays this runner's, so that no other one freezes over it again.
            return Ok(());
        }
        if self.is_past(self.state.reload_at) {
            self.forget_town();
        }
        if self.state.town.is_none() {
            self.load().await?;
        }
        Ok(())
    }

    /// Somebody else drives the town now and starts its agents anew: those that are this runner's
    /// alone end. Agents of a runtime that several runners share are the other one's from now on.
    async fn leave_to_others(&mut self) {
        if !self.performer.workshop.owns_agents {
            return;
        }
        tracing::warn!(town = %self.town_id, "another runner drives this town; its agents here end");
        // They stay in the outbox, for the other one.
        self.state.effects.shutdown().await;
        self.state.in_flight.clear();
        let supervisor = &self.performer.workshop.supervisor;
        let reason = "another host drives this town now";
        supervisor.stop_all(&self.town_id, reason).await;
        supervisor.release(&self.town_id);
    }

    /// Takes the lease, or extends it when a third of it is over.
    async fn hold_lease(&mut self) -> Result<(), RuntimeError> {
        self.cover(Duration::ZERO).await
    }

    /// Has the lease for a pause and for about as long as usual after it.
    pub(super) async fn cover(&mut self, pause: Duration) -> Result<(), RuntimeError> {
        let now = self.now();
        let end = now.plus(pause);
        // A town that slept and has work again needs no more than others: if its host is killed
        // now, nobody should wait for the end of a long sleep.
        let most = end.plus(self.settings.lease_ttl);
        let renew_at = self.state.renew_at;
        let is_right = renew_at.is_some_and(|at| end < at && (pause.is_zero() || at <= most));
        if self.state.lease.is_some() && is_right {
            return Ok(());
        }
        let ttl = self.settings.lease_ttl.saturating_add(pause);
        let store = Arc::clone(&self.performer.workshop.store);
        let lease = store.lease(&self.town_id, &self.holder, ttl, now);
        match self.in_time(lease).await {
            Ok(lease) => {
                let token = self.state.lease.as_ref().map(|lease| lease.token);
                if token.is_some_and(|token| token != lease.token) {
                    // Somebody else may have driven the town meanwhile.
                    self.forget_town();
                    self.state.gaps = None;
                }
                let until = pause.saturating_add(self.settings.renew_every());
                self.state.renew_at = Some(now.plus(until));
                self.state.lease = Some(lease);
                Ok(())
            }
            Err(error) => {
                if let RuntimeError::UseStore { source, .. } = &error
                    && let StoreError::Leased { holder, until, .. } = &**source
                {
                    self.lose_lease();
                    self.status.send_replace(TownStatus::WaitingForLease {
                        holder: holder.clone(),
                        until: *until,
                    });
                }
                Err(error)
            }
        }
    }

    /// Loads the town. What this process saw and did before does not count any more, but what
    /// runs goes on.
    async fn load(&mut self) -> Result<(), RuntimeError> {
        let store = Arc::clone(&self.performer.workshop.store);
        let loaded = self.in_time(store.load(&self.town_id)).await?;
        let last = self.newest(HistoryKind::Snapshot).await?;
        let is_enough = match &last {
            Some(base) => self.is_enough(base, loaded.version).await?,
            None => false,
        };
        self.state.base = (!is_enough).then(|| Base {
            rows: loaded.rows.clone(),
            last: last.map(|base| base.at),
        });
        self.state.loaded = true;
        self.state.reload_at = Some(self.monotonic().saturating_add(BASE_EVERY));
        let town = Town::from_rows(loaded.rows).map_err(|source| RuntimeError::ReadTown {
            town: self.town_id.clone(),
            source,
        })?;
        self.state.town = Some(town);
        self.state.version = loaded.version;
        self.state.look = true;
        self.state.outbox_at = Some(self.monotonic());
        let now = self.now();
        // Whatever is due is found by a tick at once.
        self.state.wakeup = Some(now);
        self.end_hold();
        self.renewals_are_due();
        if self.state.gaps.is_none() {
            self.begin_watching(now).await;
            self.forget_strangers().await;
        }
        Ok(())
    }

    /// What the commands of the next tick name and the town has forgotten.
    pub(super) async fn recall(&mut self) -> Result<Vec<Row>, RuntimeError> {
        let store = Arc::clone(&self.performer.workshop.store);
        let commands = self.state.calls.next_batch().to_vec();
        let Some(town) = self.state.town.as_ref().filter(|_| !commands.is_empty()) else {
            return Ok(Vec::new());
        };
        let recalled = async {
            match recall(&*store, town, &commands).await {
                Ok(rows) => Ok(Ok(rows)),
                Err(RecallError::Unreadable(source)) => Ok(Err(source)),
                Err(RecallError::Store(error)) => Err(error),
            }
        };
        let recalled = self.in_time(recalled).await?;
        recalled.map_err(|source| RuntimeError::ReadTown {
            town: self.town_id.clone(),
            source,
        })
    }

    /// Whether no base is needed after this one, the newest: it is not too old, it is this engine's, and
    /// nobody has changed the town since without recording how.
    async fn is_enough(&self, base: &HistoryEntry, version: u64) -> Result<bool, RuntimeError> {
        let now = self.now();
        // One that a clock wrote which has been set back would stay the newest for as long.
        let is_of_now = base.at <= now && now.since(base.at) < BASE_AGE_MIN;
        if !is_of_now || !is_base_of_this_engine(base) {
            return Ok(false);
        }
        let store = Arc::clone(&self.performer.workshop.store);
        let recorded = self.in_time(is_recorded(&*store, &self.town_id, version));
        recorded.await
    }

    /// The newest entry of a kind in the town's history.
    async fn newest(&self, kind: HistoryKind) -> Result<Option<HistoryEntry>, RuntimeError> {
        let filter = HistoryFilter {
            kind: Some(kind),
            order: HistoryOrder::NewestFirst,
            limit: 1,
            ..HistoryFilter::default()
        };
        let page = self.history(filter).await?;
        Ok(page.into_iter().next().map(|stored| stored.entry))
    }

    /// A page of the town's history.
    pub(super) async fn history(
        &self,
        filter: HistoryFilter,
    ) -> Result<Vec<StoredHistory>, RuntimeError> {
        let store = Arc::clone(&self.performer.workshop.store);
        self.in_time(store.history(&self.town_id, filter)).await
    }

    /// Removes what is past its retention, with a base that follows the one of `last`. It is tried again
    /// with the next base.
    pub(super) async fn prune(&self, now: Timestamp, last: Option<Timestamp>) {
        let Some(town) = &self.state.town else {
            return;
        };
        let retention = town.policy().event_retention;
        // After a town slept for long, or a clock was set forward and may be set back, what is past
        // its retention all at once is left until the next base.
        let longest = retention.max(BASE_EVERY.saturating_mul(2));
        if last.is_none_or(|at| at > now || now.since(at) > longest) {
            tracing::debug!(town = %self.town_id, "nothing pruned: too long since the last base");
            return;
        }
        let before = now.minus(retention);
        let store = Arc::clone(&self.performer.workshop.store);
        match self.in_time(store.prune(&self.town_id, before)).await {
            Ok(pruned) => tracing::debug!(town = %self.town_id, pruned, "pruned"),
            Err(error) => tracing::warn!(town = %self.town_id, %error, "could not prune"),
        }
    }

    /// The first load: what was silent while nobody watched means nothing (spec 1.8).
    async fn begin_watching(&mut self, now: Timestamp) {
        let workshop = Arc::clone(&self.performer.workshop);
        self.state.gaps = Some(Gaps::new(now, workshop.clock.monotonic()));
        let gap = gastown_core::events::ObservationGap { from: now, to: now };
        self.state.local.extend(workshop.event(gap.into()));
        let outbox = workshop.store.pending_effects(&self.town_id);
        match self.in_time(outbox).await {
            Ok(outbox) => {
                self.stop_strays();
                self.ask_about_sessions(&outbox).await;
            }
            // The heartbeat timeout finds them later.
            Err(error) => {
                tracing::warn!(town = %self.town_id, %error, "could not ask about sessions")
            }
        }
    }

    /// Commits a tick and returns the effects that may run now. On an error the town is loaded
    /// again before anything else.
    pub(super) async fn commit(
        &mut self,
        ticked: Ticked,
        now: Timestamp,
    ) -> Result<Vec<Effect>, RuntimeError> {
        if ticked.is_empty() {
            return Ok(Vec::new());
        }
        let commit = Commit {
            expected_version: self.state.version,
            lease_token: self.state.lease.as_ref().map(|lease| lease.token),
            changes: ticked.changes,
            consumed: ticked.consumed,
            effects: ticked.effects,
            at: now,
        };
        let store = Arc::clone(&self.performer.workshop.store);
        let span =
            tracing::debug_span!("commit", town = %self.town_id, version = commit.expected_version);
        let begin = self.monotonic();
        let committed = self.in_time(store.commit(&self.town_id, commit));
        let committed = committed.instrument(span).await;
        let took = self.monotonic().saturating_sub(begin);
        telemetry::seconds(telemetry::COMMIT_SECONDS, took);
        match committed {
            Ok(committed) => {
                self.state.version = committed.version();
                Ok(committed.into_effects())
            }
            Err(error) => {
                self.forget_town();
                if let RuntimeError::UseStore { source, .. } = &error
                    && matches!(**source, StoreError::Fenced { .. })
                {
                    self.lose_lease();
                }
                Err(error)
            }
        }
    }

    /// Events that are not consumed, if there may be any.
    pub(super) async fn take_stored(&mut self) -> Result<Vec<Event>, RuntimeError> {
        let monotonic = self.monotonic();
        let looked = self.state.looked_at;
        let overdue = looked.is_none_or(|at| monotonic.saturating_sub(at) >= self.longest_pause());
        if !self.state.look && !overdue {
            return Ok(Vec::new());
        }
        let store = Arc::clone(&self.performer.workshop.store);
        let limit = self.settings.events_per_tick_max;
        let events = self
            .in_time(store.pending_events(&self.town_id, limit))
            .await?;
        self.state.look = false;
        self.state.looked_at = Some(monotonic);
        Ok(events)
    }

    /// Runs what is in the outbox and not under way: it may have been left by a crash.
    pub(super) async fn resume_outbox(&mut self) -> Result<(), RuntimeError> {
        let store = Arc::clone(&self.performer.workshop.store);
        let outbox = self.in_time(store.pending_effects(&self.town_id)).await?;
        self.state.outbox_at = None;
        for effect in outbox {
            self.spawn(effect);
        }
        Ok(())
    }

    /// Appends the ends of sessions of which everything that they said before is committed.
    pub(super) async fn append_exits(&mut self) -> Result<(), RuntimeError> {
        let went = self.state.calls.went();
        let exits = self.state.exits.iter();
        let exits: Vec<_> = exits
            .take_while(|(came, _)| *came <= went)
            .map(|(_, event)| event.clone())
            .collect();
        if exits.is_empty() {
            return Ok(());
        }
        let count = exits.len();
        let store = Arc::clone(&self.performer.workshop.store);
        // Appending is idempotent, so what fails is simply appended again.
        self.in_time(store.append_events(&self.town_id, exits))
            .await?;
        self.state.exits.drain(..count);
        self.state.look = true;
        Ok(())
    }

    pub(super) async fn release(&mut self) {
        if self.state.lease.take().is_none() {
            return;
        }
        let store = Arc::clone(&self.performer.workshop.store);
        let holder = self.holder.clone();
        let released = store.release(&self.town_id, &holder);
        if let Err(error) = self.in_time(released).await {
            tracing::warn!(town = %self.town_id, %error, "could not give the lease back");
        }
    }

    fn forget_town(&mut self) {
        self.state.town = None;
    }

    fn lose_lease(&mut self) {
        self.forget_town();
        // Until that is seen to: the next look finds no lease to lose.
        self.state.overtaken |= self.state.lease.take().is_some();
        self.state.renew_at = None;
        // What happened while another one drove the town was not seen here.
        self.state.gaps = None;
    }

    /// Waits for the store, but not forever: a store that hangs must show.
    async fn in_time<T>(
        &self,
        operation: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, RuntimeError> {
        let workshop = &self.performer.workshop;
        let done = workshop.in_time(&self.town_id, operation).await?;
        done.map_err(|source| RuntimeError::UseStore {
            town: self.town_id.clone(),
            source: Arc::new(source),
        })
    }
}
