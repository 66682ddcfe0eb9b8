//! The loop of one town: its only writer (spec 6.2).
//!
//! ```text
//! lease -> load -> [ take -> observe, execute, settle, check -> commit -> effects, answers -> sleep ]
//! ```

mod answers;
mod chores;
mod closing;
mod pauses;
mod renewal;
mod running;
mod storage;
mod ticking;
mod watching;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use gastown_core::events::Heartbeat;
use gastown_core::{AgentId, Effect, EffectKey, Event, Lease, Row, Timestamp, Town, TownId};
use metrics::counter;
use tokio::sync::{broadcast, watch};
use tokio::task::{self, JoinSet};

use self::answers::{Call, Calls};
use self::chores::Chores;
use crate::effects::{Performer, Prepared, prepare};
use crate::error::RuntimeError;
use crate::gap::Gaps;
use crate::inbox::{Inbox, Item, Taken};
use crate::outside::bounded;
use crate::runner::RunnerSettings;
use crate::telemetry::{self, TownShares};
use crate::tick::{Broken, TickReport};
use crate::town_handle::TownStatus;

/// The loop of one town.
pub(crate) struct Driver {
    pub(crate) town_id: TownId,
    pub(crate) performer: Performer,
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) settings: Arc<RunnerSettings>,
    pub(crate) holder: String,
    pub(crate) status: watch::Sender<TownStatus>,
    pub(crate) reports: broadcast::Sender<TickReport>,
    /// How often the loop woke.
    pub(crate) wakeups: Arc<AtomicU64>,
    pub(crate) state: State,
}

/// What the loop knows; all of it can be had again from the store.
#[derive(Default)]
pub(crate) struct State {
    town: Option<Town>,
    version: u64,
    /// The town was loaded since its last committed tick; the record of the next one says so.
    loaded: bool,
    /// What was loaded, when it is to be the base of later replays.
    base: Option<Base>,
    /// When the town is loaded anew, on the monotonic clock: it forgets what it no longer needs.
    reload_at: Option<Duration>,
    lease: Option<Lease>,
    /// Somebody else took the lease, and what runs here for the town is still to be seen to.
    overtaken: bool,
    /// When the lease is extended.
    renew_at: Option<Timestamp>,
    frozen: Option<Arc<Broken>>,
    /// Effects that run or wait for their place, each with its task.
    in_flight: BTreeMap<EffectKey, task::Id>,
    effects: JoinSet<(EffectKey, bool)>,
    /// What is done beside the ticks.
    chores: Chores,
    /// What this town adds to the gauges.
    shares: TownShares,
    /// Events that only this process knows, until they are committed.
    local: Vec<Event>,
    /// Commands that wait for their tick.
    calls: Calls,
    /// Sessions that ended, each with how many commands had come by then; appended once those are
    /// committed.
    exits: VecDeque<(u64, Event)>,
    /// The store's inbox is to be looked at.
    look: bool,
    looked_at: Option<Duration>,
    /// When the town acts next if nothing happens; none: never.
    wakeup: Option<Timestamp>,
    /// When heartbeats are taken, on the monotonic clock.
    heartbeats_at: Option<Duration>,
    /// When what is left in the outbox is looked at, on the monotonic clock; none: nothing is.
    outbox_at: Option<Duration>,
    gaps: Option<Gaps>,
    failures: u32,
}

/// The base for later replays that goes into the history with the next tick.
struct Base {
    rows: Vec<Row>,
    /// When the newest one before it was left.
    last: Option<Timestamp>,
}

impl Driver {
    /// Runs the town until its inbox is closed, and hands it back.
    pub(crate) async fn run(mut self) {
        self.state.shares.opened();
        loop {
            let with_heartbeats = self.heartbeats_are_due();
            let taken = self.inbox.take(with_heartbeats);
            if taken.closing {
                self.close(taken).await;
                return;
            }
            self.wakeups.fetch_add(1, Ordering::Relaxed);
            counter!(telemetry::WAKEUPS).increment(1);
            let pause = match self.round_until_next(taken).await {
                Ok(pause) => {
                    self.after_success();
                    pause
                }
                Err(error) => self.after_failure(&error),
            };
            self.sleep(pause).await;
        }
    }

    /// One round, and how long nothing has to be done after it. The lease covers that time, so
    /// that a quiet town is not woken for it.
    async fn round_until_next(&mut self, taken: Taken) -> Result<Duration, RuntimeError> {
        self.round(taken).await?;
        let pause = self.until_next();
        if self.state.lease.is_some() {
            self.cover(pause).await?;
        }
        // Somebody else may have driven the town meanwhile: the pause is that of a town of before.
        let is_stale = self.state.town.is_none() && self.state.frozen.is_none();
        Ok(if is_stale { Duration::ZERO } else { pause })
    }

    /// One round: whatever there is to do now.
    async fn round(&mut self, taken: Taken) -> Result<(), RuntimeError> {
        self.look_at_clocks();
        self.collect_effects();
        self.collect_chores();
        self.state.look |= taken.store_has_news;
        let ready = self.make_ready().await;
        // What waits is answered even when the town can't run.
        let mut heartbeats = self.sort(taken.items, taken.heartbeats);
        if let Err(error) = ready {
            self.inbox.put_back(heartbeats);
            self.state.calls.fail_all(&error);
            return Err(error);
        }
        if self.state.frozen.is_some() || self.state.town.is_none() {
            self.inbox.put_back(heartbeats);
            return Ok(());
        }
        if self.is_past(self.state.outbox_at)
            && let Err(error) = self.resume_outbox().await
        {
            self.inbox.put_back(heartbeats);
            return Err(error);
        }
        if self.is_due() {
            // Silence is judged now: what was said until now counts. After a failure, or where the
            // store took long, it has waited for longer than heartbeats are gathered.
            heartbeats.extend(self.inbox.take_heartbeats());
            self.state.heartbeats_at = None;
        }
        let ticked = self.tick_if_due(&heartbeats).await;
        if ticked.is_err() {
            self.inbox.put_back(heartbeats);
        }
        ticked?;
        self.append_exits().await?;
        self.tend();
        Ok(())
    }

    /// Sorts what waited; returns the heartbeats of current sessions.
    fn sort(
        &mut self,
        items: VecDeque<Item>,
        heartbeats: BTreeMap<AgentId, Heartbeat>,
    ) -> BTreeMap<AgentId, Heartbeat> {
        for item in items {
            match item {
                Item::Command {
                    command,
                    reply,
                    place,
                } => {
                    self.state.calls.push(command, Call::Host(reply), place);
                }
                Item::Tool {
                    session,
                    request,
                    place,
                } => {
                    let town = self.state.town.as_ref();
                    self.state.calls.push_tool(town, &session, request, place);
                }
                Item::Ended(kind) => {
                    let event = self.performer.workshop.event(bounded(*kind));
                    let came = self.state.calls.came();
                    self.state.exits.extend(event.map(|event| (came, event)));
                }
                Item::Look(look) => look(self.town()),
                Item::Ask { effect, reply } => {
                    // Who asked may have been given up.
                    let _ = reply.send(self.answer(&effect));
                }
            }
        }
        if let Some(broken) = &self.state.frozen {
            let error = RuntimeError::TownFrozen(Arc::clone(broken));
            self.state.calls.fail_all(&error);
        }
        heartbeats
    }

    fn town(&self) -> Result<&Town, RuntimeError> {
        match (&self.state.frozen, &self.state.town) {
            (Some(broken), _) => Err(RuntimeError::TownFrozen(Arc::clone(broken))),
            (None, Some(town)) => Ok(town),
            (None, None) => Err(RuntimeError::TownNotLoaded),
        }
    }

    /// Whether an effect whose turn has come is wanted. A holder whose lease has ended may not
    /// act: another one may by now.
    fn answer(&self, effect: &Effect) -> Prepared {
        let now = self.now();
        let holds = self
            .state
            .lease
            .as_ref()
            .is_some_and(|lease| now < lease.expires_at);
        match self.town() {
            Ok(town) if holds => prepare(town, effect),
            Ok(_) | Err(_) => Prepared::Later,
        }
    }

    fn monotonic(&self) -> Duration {
        self.performer.workshop.clock.monotonic()
    }

    fn is_past(&self, at: Option<Duration>) -> bool {
        at.is_some_and(|at| at <= self.monotonic())
    }

    /// Whether the town has something to decide by now.
    fn is_due(&self) -> bool {
        self.state.wakeup.is_some_and(|at| at <= self.now())
    }

    fn now(&self) -> Timestamp {
        self.performer.workshop.clock.now()
    }
}

#[cfg(test)]
mod tests;
