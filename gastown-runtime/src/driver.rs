//! The loop of one town: its only writer (spec 6.2).
//!
//! ```text
//! lease -> load -> [ take -> observe, execute, settle, check -> commit -> effects, answers -> sleep ]
//! ```

mod answers;
mod chores;
mod renewal;
mod storage;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use gastown_core::events::{ContainerStatus, Heartbeat, ProcessStatus};
use gastown_core::{
    AgentId, Effect, EffectKey, EffectKind, Event, EventKind, Lease, Row, StoreError, TickInput,
    Timestamp, Town, TownId, next_wakeup, snapshot_entries,
};
use metrics::counter;
use tokio::sync::{broadcast, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tracing::Instrument;

use self::answers::{Call, Calls};
use self::chores::Chores;
use crate::effects::{Performer, Prepared, prepare};
use crate::error::RuntimeError;
use crate::gap::Gaps;
use crate::inbox::{Inbox, Item, Taken};
use crate::runner::RunnerSettings;
use crate::telemetry::{self, TownShares};
use crate::tick::{self, Broken, TickReport};
use crate::town_handle::TownStatus;

/// How often a commit that somebody else overtook is made again from a fresh load.
const RELOADS_MAX: u32 = 5;
/// The shortest sleep: a clock with coarse steps can't make the loop spin.
const SLEEP_MIN: Duration = Duration::from_millis(1);
/// The tick intervals of a town that sets none (spec 1.9).
const TICK_INTERVAL_ACTIVE: Duration = Duration::from_secs(5);
const TICK_INTERVAL_IDLE: Duration = Duration::from_secs(5 * 60);
/// The kind of the effects that start agents.
const START_AGENT: &str = "start_agent";
/// Heartbeats are taken at least this many times within the time after which silence counts.
const HEARTBEATS_PER_TIMEOUT: u32 = 4;

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
    base: Option<Vec<Row>>,
    /// When the town is loaded anew, on the monotonic clock: it forgets what it no longer needs.
    reload_at: Option<Duration>,
    lease: Option<Lease>,
    /// When the lease is extended.
    renew_at: Option<Timestamp>,
    frozen: Option<Arc<Broken>>,
    /// Effects that run or wait for their place.
    in_flight: BTreeSet<EffectKey>,
    effects: JoinSet<(EffectKey, bool)>,
    /// What is done beside the ticks.
    chores: Chores,
    /// What this town adds to the gauges.
    shares: TownShares,
    /// Events that only this process knows, until they are committed.
    local: Vec<Event>,
    /// Commands that wait for their tick.
    calls: Calls,
    /// Sessions that ended; appended once what they said before is committed.
    exits: Vec<Event>,
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
                    self.state.failures = 0;
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
        Ok(pause)
    }

    /// One round: whatever there is to do now.
    async fn round(&mut self, taken: Taken) -> Result<(), RuntimeError> {
        self.look_at_clocks();
        self.collect_effects();
        self.collect_chores();
        self.state.look |= taken.store_has_news;
        let ready = self.make_ready().await;
        // What waits is answered even when the town can't run.
        let heartbeats = self.sort(taken.items, taken.heartbeats);
        if let Err(error) = ready {
            self.inbox.put_back(heartbeats);
            self.state.calls.fail_all(&error);
            return Err(error);
        }
        if self.state.frozen.is_some() || self.state.town.is_none() {
            self.inbox.put_back(heartbeats);
            return Ok(());
        }
        if self.is_past(self.state.outbox_at) {
            self.resume_outbox().await?;
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
                Item::Command { command, reply } => {
                    self.state.calls.push(command, Call::Host(reply));
                }
                Item::Tool { session, request } => {
                    let town = self.state.town.as_ref();
                    self.state.calls.push_tool(town, &session, request);
                }
                Item::Ended(kind) => {
                    let event = self.performer.workshop.event(*kind);
                    self.state.exits.extend(event);
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

    /// Ticks if there is anything to tick for. Repeats what somebody else overtook.
    async fn tick_if_due(
        &mut self,
        heartbeats: &BTreeMap<AgentId, Heartbeat>,
    ) -> Result<(), RuntimeError> {
        let mut local = std::mem::take(&mut self.state.local);
        let beats = heartbeats.values().cloned().map(EventKind::from);
        local.extend(beats.filter_map(|kind| self.performer.workshop.event(kind)));
        let result = self.tick_with(&local).await;
        if result.is_err() {
            // Heartbeats go back to the inbox; the rest waits here.
            local.retain(|event| !matches!(event.kind, EventKind::Heartbeat(_)));
            self.state.local = local;
        }
        result
    }

    async fn tick_with(&mut self, local: &[Event]) -> Result<(), RuntimeError> {
        let mut reloads = 0_u32;
        loop {
            let stored = self.take_stored().await?;
            let now = self.now();
            let is_due = self.state.wakeup.is_some_and(|wakeup| wakeup <= now);
            let nothing = stored.is_empty() && local.is_empty() && self.state.calls.is_empty();
            if nothing && !is_due {
                return Ok(());
            }
            match self.tick(&stored, local, now).await {
                Err(RuntimeError::UseStore { source, .. })
                    if is_conflict(&source) && reloads < RELOADS_MAX =>
                {
                    reloads = reloads.saturating_add(1);
                    counter!(telemetry::CONFLICTS).increment(1);
                    self.make_ready().await?;
                    self.state.look = true;
                }
                Err(error) => {
                    self.state.calls.fail_all(&error);
                    return Err(error);
                }
                Ok(()) => return Ok(()),
            }
        }
    }

    /// One tick, in its span.
    async fn tick(
        &mut self,
        stored: &[Event],
        local: &[Event],
        now: Timestamp,
    ) -> Result<(), RuntimeError> {
        let number = self.state.version.saturating_add(1);
        let span = tracing::info_span!("tick", town = %self.town_id, number);
        self.decide_and_commit(stored, local, now)
            .instrument(span)
            .await
    }

    /// One tick: decide, commit, and only then act and answer.
    async fn decide_and_commit(
        &mut self,
        stored: &[Event],
        local: &[Event],
        now: Timestamp,
    ) -> Result<(), RuntimeError> {
        let recalled = self.recall().await?;
        let Some(mut town) = self.state.town.take() else {
            return Err(RuntimeError::TownNotLoaded);
        };
        let commands = self.state.calls.next_batch();
        let clock = Arc::clone(&self.performer.workshop.clock);
        let input = TickInput {
            number: self.state.version.saturating_add(1),
            now,
            loaded: self.state.loaded,
            recalled: &recalled,
            stored,
            local,
            commands,
        };
        let mut ticked = match tick::run(&mut town, &input, &*clock) {
            Ok(ticked) => ticked,
            Err(broken) => {
                self.freeze(broken);
                return Ok(());
            }
        };
        // Until the commit is through, the store's town counts: a failure drops this one.
        let is_recorded = !ticked.is_empty();
        let answers = std::mem::take(&mut ticked.answers);
        let report = ticked.report.clone();
        let base = self.state.base.take_if(|_| is_recorded);
        let has_base = base.is_some();
        if let Some(rows) = base {
            let entries = snapshot_entries(self.state.version, now, rows);
            ticked.changes.history.splice(0..0, entries);
        }
        let effects = self.commit(ticked, now).await?;
        self.state.loaded &= !is_recorded;
        self.state.wakeup = next_wakeup(&town, now);
        self.state.shares.show(&town);
        self.state.town = Some(town);
        telemetry::commanded(&answers);
        self.state.calls.answer(answers);
        self.tend_after(&report);
        for effect in effects {
            self.spawn(effect);
        }
        self.tell(&report);
        if has_base {
            self.prune(now).await;
        }
        // A full batch may have left more behind.
        self.state.look |= stored.len() >= self.settings.events_per_tick_max;
        Ok(())
    }

    /// Nothing of the tick is committed, and the town stands still with the evidence.
    fn freeze(&mut self, broken: Box<Broken>) {
        let broken = Arc::<Broken>::from(broken);
        counter!(telemetry::FROZEN).increment(1);
        tracing::error!(town = %self.town_id, %broken, evidence = broken.evidence, "town frozen");
        let error = RuntimeError::TownFrozen(Arc::clone(&broken));
        self.state.calls.fail_all(&error);
        self.status.send_replace(TownStatus::Frozen {
            broken: Arc::clone(&broken),
        });
        self.state.frozen = Some(broken);
    }

    fn tell(&self, report: &TickReport) {
        telemetry::ticked(report);
        show_rules(report);
        self.status.send_replace(TownStatus::Running {
            version: self.state.version,
            violations: report.violations.clone(),
            next_wakeup: self.state.wakeup,
        });
        tracing::debug!(
            town = %self.town_id,
            number = report.number,
            events = report.observed.len(),
            commands = report.commands,
            actions = report.actions.len(),
            effects = report.effects.len(),
            "tick"
        );
        // Without watchers there is nobody to tell.
        let _ = self.reports.send(report.clone());
    }

    /// Runs an effect that is committed, unless it is under way.
    fn spawn(&mut self, effect: Effect) {
        if !self.state.in_flight.insert(effect.key.clone()) {
            return;
        }
        let performer = self.performer.clone();
        self.state.effects.spawn(async move {
            let key = effect.key.clone();
            let finished = performer.perform(effect).await;
            // The loop has to hear of an effect that stays in the outbox, too.
            performer.inbox.store_has_news();
            (key, finished)
        });
    }

    /// Takes note of effects that have ended.
    fn collect_effects(&mut self) {
        while let Some(ended) = self.state.effects.try_join_next() {
            match ended {
                Ok((key, finished)) => {
                    self.state.in_flight.remove(&key);
                    if key.kind == START_AGENT {
                        // The settings may have changed since it was asked for.
                        self.renewals_are_due();
                    }
                    if !finished {
                        self.look_at_outbox_later();
                    }
                }
                Err(error) => {
                    // Which one it was can't be told: the outbox knows what is left.
                    tracing::error!(town = %self.town_id, %error, "an effect was cut off");
                    self.look_at_outbox_later();
                }
            }
        }
        if self.state.effects.is_empty() {
            self.state.in_flight.clear();
        }
    }

    /// An effect that could not be finished runs again, but not at once: whatever kept it from
    /// being finished needs time.
    fn look_at_outbox_later(&mut self) {
        let later = self.monotonic().saturating_add(self.settings.retry_max);
        self.state.outbox_at.get_or_insert(later);
    }

    fn monotonic(&self) -> Duration {
        self.performer.workshop.clock.monotonic()
    }

    fn is_past(&self, at: Option<Duration>) -> bool {
        at.is_some_and(|at| at <= self.monotonic())
    }

    /// Asks the runtime about every session that should run: a crash may have lost its end.
    /// A session whose start is still in the outbox is not missed.
    async fn ask_about_sessions(&mut self, outbox: &[Effect]) {
        // In a drain the evacuation asks, and saves what they left.
        let Some(town) = self.state.town.as_ref().filter(|town| !town.is_draining()) else {
            return;
        };
        let starting = |agent: &AgentId, session: u64| {
            outbox.iter().any(|effect| {
                matches!(&effect.kind, EffectKind::StartAgent(start)
                    if start.agent_id == *agent && start.session == session)
            })
        };
        let (mut silent, mut running) = (Vec::new(), Vec::new());
        for agent in town.agents().filter(|agent| agent.status.is_running()) {
            let session = self.session_of(agent);
            if starting(&agent.id, agent.session) {
                continue;
            }
            match self.performer.workshop.supervisor.status(&session).await {
                ProcessStatus::Running => running.push(session),
                ProcessStatus::Unknown => {}
                status @ (ProcessStatus::Exited | ProcessStatus::NotFound) => {
                    silent.push(ContainerStatus {
                        agent_id: session.agent_id,
                        status,
                        session: Some(session.session),
                        exit_reason: Some("it no longer ran when the host came back".into()),
                    });
                }
            }
        }
        let workshop = &self.performer.workshop;
        let events = silent.into_iter().map(EventKind::from);
        self.state
            .local
            .extend(events.filter_map(|kind| workshop.event(kind)));
        self.adopt(running).await;
    }

    /// Reports a gap when the clocks drifted apart.
    fn look_at_clocks(&mut self) {
        let (now, monotonic) = (self.now(), self.monotonic());
        let gaps = &mut self.state.gaps;
        let gap = gaps.as_mut().and_then(|gaps| gaps.look(now, monotonic));
        if let Some(gap) = gap {
            tracing::info!(town = %self.town_id, from = %gap.from, to = %gap.to, "observation gap");
            let event = self.performer.workshop.event(gap.into());
            self.state.local.extend(event);
        }
    }

    fn now(&self) -> Timestamp {
        self.performer.workshop.clock.now()
    }

    fn heartbeats_are_due(&mut self) -> bool {
        let due = self.is_past(self.state.heartbeats_at);
        if due {
            self.state.heartbeats_at = None;
        }
        due
    }

    /// How long nothing has to be done if nothing comes.
    fn until_next(&mut self) -> Duration {
        let now = self.now();
        let monotonic = self.monotonic();
        let since_look = self.state.looked_at.map(|at| monotonic.saturating_sub(at));
        let mut pause = self
            .longest_pause()
            .saturating_sub(since_look.unwrap_or_default());
        let planned = [self.state.outbox_at, self.state.chores.renew_at];
        for at in planned.into_iter().flatten() {
            pause = pause.min(at.saturating_sub(monotonic));
        }
        if self.inbox.has_heartbeats() {
            // Planned once, so that a stream of heartbeats does not put it off.
            let delay = self.heartbeat_delay();
            let at = *self
                .state
                .heartbeats_at
                .get_or_insert_with(|| monotonic.saturating_add(delay));
            pause = pause.min(at.saturating_sub(monotonic));
        }
        if !self.state.calls.is_empty() || self.state.look || !self.state.exits.is_empty() {
            pause = Duration::ZERO;
        }
        if let Some(at) = self.state.wakeup {
            pause = pause.min(at.since(now));
        }
        if self.state.frozen.is_some() {
            return self.settings.renew_every();
        }
        pause.max(SLEEP_MIN)
    }

    /// The town's tick interval: an upper bound within which other writers' events are found.
    fn longest_pause(&self) -> Duration {
        let Some(town) = &self.state.town else {
            return self.settings.renew_every();
        };
        let config = &town.state().config;
        let is_active = !self.state.in_flight.is_empty()
            || town.agents().any(|agent| agent.status.is_running());
        match is_active {
            true => config.tick_interval_active.unwrap_or(TICK_INTERVAL_ACTIVE),
            false => config.tick_interval_idle.unwrap_or(TICK_INTERVAL_IDLE),
        }
    }

    /// How long heartbeats are gathered: well below the time after which silence counts.
    fn heartbeat_delay(&self) -> Duration {
        let Some(town) = &self.state.town else {
            return Duration::ZERO;
        };
        let timeout = town.policy().heartbeat_timeout;
        let share = timeout
            .checked_div(HEARTBEATS_PER_TIMEOUT)
            .unwrap_or_default();
        let interval = town.state().config.tick_interval_active;
        share.min(interval.unwrap_or(TICK_INTERVAL_ACTIVE))
    }

    /// Backs off; what failed is made again from a fresh load.
    fn after_failure(&mut self, error: &RuntimeError) -> Duration {
        self.state.failures = self.state.failures.saturating_add(1);
        let shift = self.state.failures.min(16);
        let pause = self
            .settings
            .retry_min
            .saturating_mul(2_u32.saturating_pow(shift));
        let pause = pause.min(self.settings.retry_max);
        let waits = matches!(error, RuntimeError::UseStore { source, .. }
            if matches!(**source, StoreError::Leased { .. }));
        if !waits {
            counter!(telemetry::FAILURES).increment(1);
            tracing::warn!(town = %self.town_id, %error, ?pause, "town fails");
            self.status.send_replace(TownStatus::Failing {
                error: error.to_string(),
            });
        }
        pause
    }

    /// Sleeps until something comes or `pause` is over. After a failure only time helps, but what
    /// waits still is answered.
    async fn sleep(&self, pause: Duration) {
        tokio::select! {
            () = self.inbox.woken() => {}
            () = sleep(pause) => {}
        }
    }

    /// Ends the town: nothing more begins, what runs may finish, the rest stays in the outbox.
    async fn close(mut self, taken: Taken) {
        self.state.calls.fail_all(&RuntimeError::TownClosed);
        let heartbeats = self.sort_at_end(taken);
        if timeout(self.settings.close_wait, self.all_ended())
            .await
            .is_err()
        {
            self.hand_back().await;
        }
        let ends = self.inbox.take(true);
        self.sort_at_end(ends);
        self.state.look = true;
        let may_commit = self.state.frozen.is_none() && self.state.town.is_some();
        if may_commit {
            // The last commit: results that came meanwhile, heartbeats, ends of sessions.
            let ticked = self.tick_if_due(&heartbeats).await;
            let appended = self.append_exits().await;
            if let Err(error) = ticked.and(appended) {
                tracing::warn!(town = %self.town_id, %error, "could not commit at the end");
            }
        }
        self.performer.workshop.supervisor.release(&self.town_id);
        self.release().await;
        self.status.send_replace(TownStatus::Closed);
    }

    /// Waits until everything that runs beside the loop has ended.
    async fn all_ended(&mut self) {
        while !self.state.effects.is_empty() || !self.state.chores.is_empty() {
            tokio::select! {
                Some(_) = self.state.effects.join_next() => {}
                () = self.state.chores.next() => {}
            }
        }
    }

    /// Ends what did not end in time; it stays in the outbox. Starts go on by themselves, so they
    /// are undone: whoever has the town next starts these sessions again.
    async fn hand_back(&mut self) {
        self.state.effects.shutdown().await;
        self.state.chores.give_up().await;
        let supervisor = &self.performer.workshop.supervisor;
        supervisor.withdraw_starts(&self.town_id).await;
    }

    fn sort_at_end(&mut self, taken: Taken) -> BTreeMap<AgentId, Heartbeat> {
        let mut ends = VecDeque::new();
        for item in taken.items {
            match item {
                Item::Ended(_) => ends.push_back(item),
                Item::Look(look) => look(Err(RuntimeError::TownClosed)),
                Item::Ask { reply, .. } => {
                    let _ = reply.send(Prepared::Later);
                }
                Item::Command { reply, .. } => {
                    let _ = reply.send(Err(RuntimeError::TownClosed));
                }
                Item::Tool { request, .. } => {
                    request.reply.refuse(".", "the host is about to end");
                }
            }
        }
        self.sort(ends, taken.heartbeats)
    }
}

/// A span for each rule that decided something, with what it decided.
fn show_rules(report: &TickReport) {
    let mut rest = report.actions.as_slice();
    while let Some(first) = rest.first() {
        let count = rest
            .iter()
            .take_while(|action| action.rule == first.rule)
            .count();
        let (of_rule, others) = rest.split_at_checked(count).unwrap_or((rest, &[]));
        let span = tracing::debug_span!("rule", rule = %first.rule, actions = count);
        let _entered = span.enter();
        for action in of_rule {
            tracing::debug!(action = action.kind.type_name(), subjects = ?action.kind, "decided");
        }
        rest = others;
    }
}

fn is_conflict(error: &StoreError) -> bool {
    matches!(error, StoreError::Conflict { .. })
}

#[cfg(test)]
mod tests;
