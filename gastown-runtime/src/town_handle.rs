//! How a host talks to a town that runs.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use gastown_core::{
    BeadId, Command, Event, EventId, EventKind, Explanation, HistoryFilter, HistoryKind, Receipt,
    RowKey, StoreError, Timestamp, Town, TownId, Violation, explain,
};
use serde::{Serialize, Serializer};
use serde_json::Value;
use tokio::sync::{broadcast, oneshot, watch};

use crate::effects::Workshop;
use crate::error::RuntimeError;
use crate::inbox::{Inbox, Item};
use crate::tick::{Broken, TickReport, panic_text};
use crate::view::{self, BeadView, DryRun, TownStatusView, TownView};

/// How many reports a watcher may be behind before it misses the oldest.
pub(crate) const REPORTS_KEPT_MAX: usize = 256;

/// How much of a bead's history is read at once.
const HISTORY_PAGE: usize = 500;
/// How many pages of it are read before the rest is left out.
const HISTORY_PAGES_MAX: usize = 100;

/// How a town fares.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum TownStatus {
    /// It is being loaded.
    Starting,
    /// Somebody else drives it.
    WaitingForLease {
        /// Who.
        holder: String,
        /// Until when, unless it is extended.
        until: Timestamp,
    },
    /// It runs.
    Running {
        /// Its version.
        version: u64,
        /// Invariants that do not hold; the rules are about to heal them.
        violations: Vec<Violation>,
        /// When it acts next if nothing happens.
        next_wakeup: Option<Timestamp>,
    },
    /// Its store does not work; it is tried again.
    Failing {
        /// What failed.
        error: String,
    },
    /// The engine broke one of its own invariants; the town stands still until it is opened anew.
    Frozen {
        /// What was broken, and by what; it is written without the evidence.
        #[serde(serialize_with = "as_text")]
        broken: Arc<Broken>,
    },
    /// It has ended.
    Closed,
}

fn as_text<S: Serializer>(broken: &Arc<Broken>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(broken)
}

/// A town that runs. Cheap to clone.
#[derive(Clone)]
pub struct TownHandle {
    pub(crate) town_id: TownId,
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) workshop: Arc<Workshop>,
    pub(crate) status: watch::Receiver<TownStatus>,
    pub(crate) reports: broadcast::Sender<TickReport>,
    pub(crate) wakeups: Arc<AtomicU64>,
}

impl std::fmt::Debug for TownHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TownHandle")
            .field("town_id", &self.town_id)
            .finish_non_exhaustive()
    }
}

impl TownHandle {
    /// The town.
    #[must_use]
    pub fn town_id(&self) -> &TownId {
        &self.town_id
    }

    /// How the town fares now.
    #[must_use]
    pub fn status(&self) -> TownStatus {
        self.status.borrow().clone()
    }

    /// Whether the town's loop has ended, in whatever way: the loop alone tells its status.
    pub(crate) fn has_ended(&self) -> bool {
        self.status.has_changed().is_err()
    }

    /// Waits for the end of the town's loop.
    pub(crate) async fn until_ended(&self) {
        let mut status = self.status.clone();
        while status.changed().await.is_ok() {}
    }

    /// How often the town's loop woke since it was opened: a quiet town's rarely does.
    #[must_use]
    pub fn wakeups(&self) -> u64 {
        self.wakeups.load(Ordering::Relaxed)
    }

    /// Follows how the town fares.
    #[must_use]
    pub fn watch_status(&self) -> watch::Receiver<TownStatus> {
        self.status.clone()
    }

    /// Follows what the town does, tick by tick, from now on.
    #[must_use]
    pub fn watch_ticks(&self) -> broadcast::Receiver<TickReport> {
        self.reports.subscribe()
    }

    /// Executes a command in the town's next tick; what it changed is durable when this returns.
    ///
    /// Whoever stops waiting takes nothing back: the command is executed all the same.
    ///
    /// # Errors
    /// [`RuntimeError::RefuseCommand`] names the field and the reason;
    /// [`RuntimeError::UseStore`] if it could not be stored (its source says whether it may have
    /// been all the same) or [`RuntimeError::AwaitStore`] if the store did not say in time (it may
    /// have been); [`RuntimeError::TownNotLoaded`], [`RuntimeError::TownBusy`],
    /// [`RuntimeError::TownFrozen`] or [`RuntimeError::TownClosed`]. Of a loop that is cut off in the
    /// middle, by a panic or a shutdown that takes too long, the last one does not say whether
    /// anything was changed.
    pub async fn execute(&self, command: Command) -> Result<Receipt, RuntimeError> {
        let (reply, answer) = oneshot::channel();
        let item = Item::Command {
            command,
            reply,
            place: self.inbox.place()?,
        };
        self.inbox.push(item).map_err(|refused| refused.1)?;
        answer.await.unwrap_or(Err(RuntimeError::TownClosed))
    }

    /// Reports a fact that the host saw now; it is durable when this returns. If it is dropped
    /// before, the fact may have been stored.
    ///
    /// # Errors
    /// [`RuntimeError::AppendEvents`], or [`RuntimeError::AwaitStore`]: it may have been stored.
    pub async fn report(&self, kind: EventKind) -> Result<(), RuntimeError> {
        let event = self.workshop.event(kind);
        self.append(event.into_iter().collect()).await
    }

    /// Reports a fact under an id of the host's: one that is reported again is ignored. If this is
    /// dropped before it returns, the fact may have been stored.
    ///
    /// # Errors
    /// [`RuntimeError::AppendEvents`], or [`RuntimeError::AwaitStore`]: it may have been stored.
    pub async fn report_as(&self, id: EventId, kind: EventKind) -> Result<(), RuntimeError> {
        let event = Event {
            id,
            at: self.now(),
            key: None,
            kind,
        };
        self.append(vec![event]).await
    }

    /// Appends events that carry ids of their own, webhooks for example: one that comes again is
    /// ignored. If this is dropped before it returns, they may have been stored, and are taken at
    /// the town's next look, which may be its idle tick interval away: append them again.
    ///
    /// # Errors
    /// [`RuntimeError::AppendEvents`], or [`RuntimeError::AwaitStore`]: it may have been stored.
    pub async fn append(&self, events: Vec<Event>) -> Result<(), RuntimeError> {
        let appended = self.workshop.store.append_events(&self.town_id, events);
        let appended = self.workshop.in_time(&self.town_id, appended).await?;
        appended.map_err(|source| RuntimeError::AppendEvents {
            town: self.town_id.clone(),
            source,
        })?;
        self.inbox.store_has_news();
        Ok(())
    }

    /// Looks at the town as it was last committed. `look` runs in the town's loop: keep it short.
    ///
    /// A `look` that panics is an error of whoever asked, and the town goes on; where panics abort
    /// the process, it ends with it. Whoever stops waiting changes nothing: `look` may still run.
    ///
    /// # Errors
    /// [`RuntimeError::InspectTown`] if `look` panics; [`RuntimeError::TownBusy`],
    /// [`RuntimeError::TownFrozen`], [`RuntimeError::TownNotLoaded`] or
    /// [`RuntimeError::TownClosed`].
    pub async fn inspect<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Town) -> T + Send + 'static,
    ) -> Result<T, RuntimeError> {
        let (reply, answer) = oneshot::channel();
        let town_id = self.town_id.clone();
        let look = move |town: Result<&Town, RuntimeError>| {
            let seen = town.and_then(|town| {
                // Nothing of the town can be changed by it, so nothing is left half done.
                let seen = catch_unwind(AssertUnwindSafe(|| look(town)));
                seen.map_err(|panic| RuntimeError::InspectTown {
                    town: town_id,
                    panic: panic_text(&*panic),
                })
            });
            // Whoever asked may be gone.
            let _ = reply.send(seen);
        };
        let item = Item::Look(Box::new(look));
        self.inbox.push(item).map_err(|refused| refused.1)?;
        answer.await.unwrap_or(Err(RuntimeError::TownClosed))
    }

    /// The time by the town's clock, which the views and the events of this town have.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.workshop.clock.now()
    }

    /// What a host serves as the status page of a town, also while the town can't be looked at:
    /// frozen, failing, or driven by somebody else.
    pub async fn town_status(&self) -> TownStatusView {
        let town = self.overview().await.ok();
        TownStatusView {
            status: self.status(),
            town,
        }
    }

    /// How the town fares, for people.
    ///
    /// # Errors
    /// As [`TownHandle::inspect`].
    pub async fn overview(&self) -> Result<TownView, RuntimeError> {
        let now = self.now();
        self.inspect(move |town| TownView::of(town, now)).await
    }

    /// Why a bead does not move, and what happens next; none when it is not in the working set.
    ///
    /// # Errors
    /// As [`TownHandle::inspect`].
    pub async fn explain(&self, bead_id: &BeadId) -> Result<Option<Explanation>, RuntimeError> {
        let (now, bead_id) = (self.now(), bead_id.clone());
        self.inspect(move |town| explain(town, now, &bead_id)).await
    }

    /// What would happen now; nothing is changed.
    ///
    /// # Errors
    /// As [`TownHandle::inspect`].
    pub async fn dry_run(&self) -> Result<DryRun, RuntimeError> {
        let now = self.now();
        self.inspect(move |town| view::dry_run(town, now)).await
    }

    /// All that is known of one bead, also of one that has left the working set; none when there
    /// never was such a bead.
    ///
    /// # Errors
    /// As [`TownHandle::inspect`], and [`RuntimeError::UseStore`] or [`RuntimeError::AwaitStore`].
    pub async fn bead_view(&self, bead_id: &BeadId) -> Result<Option<BeadView>, RuntimeError> {
        let (now, id) = (self.now(), bead_id.clone());
        let look = move |town: &Town| BeadView::of(town, &id, now);
        let view = match self.inspect(look).await? {
            Some(view) => Some(view),
            None => self.stored_bead(bead_id).await?.map(BeadView::of_record),
        };
        let Some(mut view) = view else {
            return Ok(None);
        };
        view.events = self.last_events(bead_id).await?;
        Ok(Some(view))
    }

    async fn stored_bead(&self, bead_id: &BeadId) -> Result<Option<Value>, RuntimeError> {
        let key = RowKey {
            kind: "bead".into(),
            id: bead_id.to_string(),
        };
        let keys = [key];
        let rows = self.workshop.store.rows(&self.town_id, &keys);
        let rows = self.read(rows).await?;
        let record = rows.first().map(|row| serde_json::from_str(&row.body));
        Ok(record.and_then(Result::ok))
    }

    async fn last_events(&self, bead_id: &BeadId) -> Result<Vec<Value>, RuntimeError> {
        let mut events = VecDeque::new();
        let mut after = None;
        for _ in 0..HISTORY_PAGES_MAX {
            let filter = HistoryFilter {
                kind: Some(HistoryKind::BeadEvent),
                subject: Some(bead_id.to_string()),
                after,
                limit: HISTORY_PAGE,
                ..HistoryFilter::default()
            };
            let page = self.workshop.store.history(&self.town_id, filter);
            let page = self.read(page).await?;
            let is_last = page.len() < HISTORY_PAGE;
            after = page.last().map(|stored| stored.sequence).or(after);
            for stored in page {
                if events.len() >= view::EVENTS_SHOWN_MAX {
                    events.pop_front();
                }
                events.push_back(view::event(&stored.entry));
            }
            if is_last {
                break;
            }
        }
        Ok(events.into())
    }

    async fn read<T>(
        &self,
        operation: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, RuntimeError> {
        let read = self.workshop.in_time(&self.town_id, operation).await?;
        read.map_err(|source| RuntimeError::UseStore {
            town: self.town_id.clone(),
            source: Arc::new(source),
        })
    }
}
