//! How a host talks to a town that runs.

use std::sync::Arc;

use gastown_core::{Command, Event, EventKind, Receipt, Timestamp, Town, TownId, Violation};
use tokio::sync::{broadcast, oneshot, watch};

use crate::effects::Workshop;
use crate::error::RuntimeError;
use crate::inbox::{Inbox, Item};
use crate::tick::{Broken, TickReport};

/// How many reports a watcher may be behind before it misses the oldest.
pub(crate) const REPORTS_KEPT_MAX: usize = 256;

/// How a town fares.
#[derive(Debug, Clone)]
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
        /// What was broken, and by what.
        broken: Arc<Broken>,
    },
    /// It has ended.
    Closed,
}

/// A town that runs. Cheap to clone.
#[derive(Clone)]
pub struct TownHandle {
    pub(crate) town_id: TownId,
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) workshop: Arc<Workshop>,
    pub(crate) status: watch::Receiver<TownStatus>,
    pub(crate) reports: broadcast::Sender<TickReport>,
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
    /// # Errors
    /// [`RuntimeError::RefuseCommand`] names the field and the reason;
    /// [`RuntimeError::UseStore`] if it could not be stored (its source says whether it may have
    /// been all the same); [`RuntimeError::TownBusy`], [`RuntimeError::TownFrozen`] or
    /// [`RuntimeError::TownClosed`].
    pub async fn execute(&self, command: Command) -> Result<Receipt, RuntimeError> {
        let (reply, answer) = oneshot::channel();
        let item = Item::Command { command, reply };
        self.inbox.push(item).map_err(|refused| refused.1)?;
        answer.await.unwrap_or(Err(RuntimeError::TownClosed))
    }

    /// Reports a fact that the host saw now; it is durable when this returns.
    ///
    /// # Errors
    /// [`RuntimeError::AppendEvents`].
    pub async fn report(&self, kind: EventKind) -> Result<(), RuntimeError> {
        let event = self.workshop.event(kind);
        self.append(event.into_iter().collect()).await
    }

    /// Appends events that carry ids of their own, webhooks for example: one that comes again is
    /// ignored.
    ///
    /// # Errors
    /// [`RuntimeError::AppendEvents`].
    pub async fn append(&self, events: Vec<Event>) -> Result<(), RuntimeError> {
        let appended = self.workshop.store.append_events(&self.town_id, events);
        appended
            .await
            .map_err(|source| RuntimeError::AppendEvents {
                town: self.town_id.clone(),
                source,
            })?;
        self.inbox.store_has_news();
        Ok(())
    }

    /// Looks at the town as it was last committed. `look` runs in the town's loop: keep it short.
    ///
    /// # Errors
    /// [`RuntimeError::TownBusy`], [`RuntimeError::TownFrozen`], [`RuntimeError::TownNotLoaded`]
    /// or [`RuntimeError::TownClosed`].
    pub async fn inspect<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Town) -> T + Send + 'static,
    ) -> Result<T, RuntimeError> {
        let (reply, answer) = oneshot::channel();
        let look = move |town: Result<&Town, RuntimeError>| {
            // Whoever asked may be gone.
            let _ = reply.send(town.map(look));
        };
        let item = Item::Look(Box::new(look));
        self.inbox.push(item).map_err(|refused| refused.1)?;
        answer.await.unwrap_or(Err(RuntimeError::TownClosed))
    }
}
