//! The host: the commit protocol of spec 6.2 over a real store, and crashes between its steps.

use std::borrow::Cow;
use std::collections::BTreeSet;

use futures_executor::block_on;
use gastown_core::events::ObservationGap;
use gastown_core::{
    Action, ActionKind, Cause, Command, Commit, Effect, EffectKey, Event, Finish, Outlook, Store,
    StoreError, TickInput, Timestamp, Town, TownId, check, check_step, outlook, reconcile, tick,
};

use super::setup::TOWN;
use super::{Held, Next, Reopen, Simulation};
use crate::events_judged::Facts;
use crate::laws::restless;

/// Events that one tick takes.
const EVENTS_PER_TICK_MAX: usize = 64;
/// More than an inbox ever holds.
const EVENTS_MAX: usize = 1_000_000;

/// What a host holds in memory; a crash takes all of it but the way to its store.
pub(crate) struct Host {
    reopen: Reopen,
    store: Option<Box<dyn Store>>,
    id: Option<TownId>,
    /// The town as it was committed; none amid a tick.
    pub(crate) town: Option<Town>,
    /// What a crash took, for the oracle.
    lost: Option<Town>,
    version: u64,
    pub(crate) local: Vec<Event>,
    pub(crate) commands: Vec<Command>,
    pub(crate) wakeup: Option<Timestamp>,
    /// When the town came to rest; none for one that was just loaded.
    settled_at: Option<Timestamp>,
    /// Whether the inbox may hold something.
    news: bool,
    /// When the host turns to what came in; it takes together what came until then.
    attends: Option<u64>,
    /// Whether the town was just loaded, so that a tick looks for what is due.
    loaded: bool,
    /// Grows with every crash: what was handed to an earlier life never comes back.
    life: u64,
    under_way: BTreeSet<EffectKey>,
}

impl Host {
    pub(crate) fn new(reopen: Reopen) -> Self {
        Self {
            reopen,
            store: None,
            id: None,
            town: None,
            lost: None,
            version: 0,
            local: Vec::new(),
            commands: Vec::new(),
            wakeup: None,
            settled_at: None,
            news: false,
            attends: None,
            loaded: true,
            life: 0,
            under_way: BTreeSet::new(),
        }
    }

    /// Opens the store, which nobody has open.
    fn opens(&mut self) -> Held {
        self.store = None;
        self.store = Some((self.reopen)().map_err(|error| broke(&error))?);
        Ok(())
    }

    pub(crate) fn is_up(&self) -> bool {
        self.store.is_some()
    }

    fn has_input(&self) -> bool {
        self.news || !self.local.is_empty() || !self.commands.is_empty()
    }

    fn parts(&self) -> Result<(&dyn Store, &TownId), String> {
        match (&self.store, &self.id) {
            (Some(store), Some(id)) => Ok((&**store, id)),
            _ => Err("the host is down".into()),
        }
    }
}

/// The parts of one tick in so many are compared with the engine's own.
const STEPS_PER_WHOLE_TICK: u64 = 16;

/// What a town did until it came to rest.
#[derive(Default)]
struct Settled {
    actions: u64,
    effects: Vec<Effect>,
    /// When it wakes up by itself.
    wakeup: Option<Timestamp>,
}

fn broke(error: &StoreError) -> String {
    format!("store: {error}")
}

impl Simulation {
    pub(super) fn host_begins(&mut self, mut town: Town) -> Held {
        self.host.id = Some(town.id().clone());
        debug_assert_eq!(town.id().as_str(), TOWN);
        self.host.opens()?;
        let changes = town.take_changes();
        self.oracle.committed(&changes);
        let commit = Commit {
            expected_version: 0,
            lease_token: None,
            changes,
            consumed: Vec::new(),
            effects: Vec::new(),
            at: self.wall(),
        };
        let (store, id) = self.host.parts()?;
        self.host.version = block_on(store.commit(id, commit))
            .map_err(|error| broke(&error))?
            .version();
        self.host.wakeup = Some(self.wall());
        self.host.town = Some(town);
        Ok(())
    }

    /// An event becomes durable, or finds nobody and comes again.
    pub(super) fn arrives(&mut self, event: Event) -> Held {
        if !self.host.is_up() {
            self.plan(30_000, Next::Arrives(event));
            return Ok(());
        }
        let (store, id) = self.host.parts()?;
        block_on(store.append_events(id, vec![event.clone()])).map_err(|error| broke(&error))?;
        self.oracle.appended([&event]);
        self.host.news = true;
        Ok(())
    }

    /// Whether the host crashes here; then all that it held is gone.
    fn crashes(&mut self, step: &str) -> bool {
        let n = self.next_of("crash points");
        if !self
            .dice
            .happens(self.rates.crashes, "the host crashes", step, n)
        {
            return false;
        }
        self.tell(|| format!("the host crashes {step}"));
        self.crash(n);
        true
    }

    pub(super) fn crash(&mut self, n: u64) {
        self.figures.crashes += 1;
        let host = &mut self.host;
        host.store = None;
        host.lost = host.town.take();
        host.local.clear();
        host.commands.clear();
        host.wakeup = None;
        host.under_way.clear();
        host.life += 1;
        let down = self
            .dice
            .span(5 * 60_000, "the host is down", "host", n)
            .max(1_000);
        if self.dice.below(3, "sessions die with it", "host", n) == 0 {
            self.sessions.clear();
        }
        self.plan(down, Next::HostIsUp);
    }

    pub(super) fn host_is_up(&mut self) -> Held {
        if self.host.is_up() {
            return Ok(());
        }
        self.host.opens()?;
        self.load()?;
        let now = self.wall();
        self.gap(now, now);
        let (store, id) = self.host.parts()?;
        let outbox = block_on(store.pending_effects(id)).map_err(|error| broke(&error))?;
        self.hand_out(outbox);
        Ok(())
    }

    /// Loads the town. What was committed is all there (P10).
    fn load(&mut self) -> Held {
        let (store, id) = self.host.parts()?;
        let loaded = block_on(store.load(id)).map_err(|error| broke(&error))?;
        let town = Town::from_rows(loaded.rows.clone())
            .map_err(|error| format!("P10: the stored town can't be read: {error}"))?;
        if loaded.version != self.host.version {
            return Err(format!(
                "P10: version {} was committed, {} was loaded",
                self.host.version, loaded.version
            ));
        }
        let held = self.host.lost.take().or(self.host.town.take());
        self.oracle.loaded(&loaded.rows, &town, held.as_ref())?;
        let (store, id) = self.host.parts()?;
        let effects = block_on(store.pending_effects(id)).map_err(|error| broke(&error))?;
        let events = block_on(store.pending_events(id, EVENTS_MAX)).map_err(|e| broke(&e))?;
        self.oracle.pending(&effects, &events)?;
        self.host.news = true;
        self.host.loaded = true;
        self.host.settled_at = None;
        self.host.wakeup = Some(self.wall());
        self.host.town = Some(town);
        Ok(())
    }

    /// The store is opened once more at the end, and what was committed is all there (P10).
    pub(super) fn all_is_there(&mut self) -> Held {
        self.host.opens()?;
        self.load()
    }

    /// Silence from `from` to `to` means nothing.
    pub(super) fn gap(&mut self, from: Timestamp, to: Timestamp) {
        let event = self.event(ObservationGap { from, to }, None);
        self.host.local.extend(event);
    }

    pub(super) fn hand_out(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            if self.host.under_way.insert(effect.key.clone()) {
                let name = effect.key.to_string();
                let after = self.dice.span(1_500, "an effect waits", &name, 0);
                self.plan(after, Next::Performs(effect, self.host.life));
            }
        }
    }

    /// When the host turns to what came in: at once, or, in other towns, when more has come.
    pub(super) fn attends_at(&mut self) -> Option<u64> {
        if !self.host.is_up() || !self.host.has_input() {
            return None;
        }
        if self.host.attends.is_none() {
            let n = self.next_of("turns to the inbox");
            let patience = 1_500 * self.dice.below(3, "how patient the host is", "host", 0);
            let after = self
                .dice
                .span(patience, "the host turns to its inbox", "host", n);
            self.host.attends = Some(self.now + after);
        }
        self.host.attends
    }

    /// One tick, if there is anything to tick for.
    pub(super) fn tick(&mut self) -> Held {
        if !self.host.is_up() {
            return Ok(());
        }
        let now = self.wall();
        let due = self.host.wakeup.is_some_and(|wakeup| wakeup <= now);
        let host = &mut self.host;
        let asked = host.has_input();
        if !due && !asked {
            return Ok(());
        }
        host.attends = None;
        let stored = match host.news {
            true => {
                let (store, id) = host.parts()?;
                block_on(store.pending_events(id, EVENTS_PER_TICK_MAX))
                    .map_err(|error| broke(&error))?
            }
            false => Vec::new(),
        };
        if self.crashes("before a tick") {
            return Ok(());
        }
        let Some(mut town) = self.host.town.take() else {
            return Err("the host has no town".into());
        };
        self.nothing_was_due(&town, now)?;
        let whole = self.ticked_whole(&town, &stored, now);
        self.observe(&mut town, &stored, now)?;
        self.execute(&mut town, now)?;
        let settled = self.settle(&mut town, now)?;
        let differs = |(other, effects)| other != town || effects != settled.effects;
        if whole.is_some_and(differs) {
            return Err("P1: `tick` does something else than its parts".into());
        }
        let loaded = std::mem::take(&mut self.host.loaded);
        if !asked && !loaded && settled.actions == 0 {
            return Err("P6: the town woke up and had nothing to do".into());
        }
        self.figures.steps += 1;
        self.figures.actions += settled.actions;
        self.oracle.settled(&town, &self.forge, now)?;
        self.commit(town, &stored, settled, now)
    }

    /// Now and then, what the engine's own tick makes of the same, town and effects.
    fn ticked_whole(
        &self,
        town: &Town,
        stored: &[Event],
        now: Timestamp,
    ) -> Option<(Town, Vec<Effect>)> {
        if !self.figures.steps.is_multiple_of(STEPS_PER_WHOLE_TICK) {
            return None;
        }
        let mut town = town.clone();
        let input = TickInput {
            number: self.figures.steps,
            now,
            loaded: self.host.loaded,
            recalled: &[],
            stored,
            local: &self.host.local,
            commands: &self.host.commands,
        };
        let effects = tick(&mut town, &input).settled.effects;
        Some((town, effects))
    }

    /// P5: before the next wake-up nothing is due, whenever somebody looks.
    fn nothing_was_due(&self, town: &Town, now: Timestamp) -> Held {
        // A clock that jumped back may be before what was settled.
        let asleep = self.host.settled_at.is_some_and(|at| at <= now)
            && self.host.wakeup.is_none_or(|wakeup| now < wakeup);
        if !asleep {
            return Ok(());
        }
        match reconcile(town, now).first() {
            None => Ok(()),
            Some(due) => Err(format!("P5: {} was due before the wake-up", due.rule)),
        }
    }

    fn observe(&mut self, town: &mut Town, stored: &[Event], now: Timestamp) -> Held {
        let mut events: Vec<&Event> = stored.iter().collect();
        let local = self.host.local.clone();
        events.extend(&local);
        events.sort_by(|a, b| (a.at, &a.id).cmp(&(b.at, &b.id)));
        for event in events {
            let facts = Facts::before(town, event);
            let before = town.clone();
            let observed = town.observe(event, now);
            let violations = check_step(&before, Cause::Event(event), town, now);
            oracle_of_step(&violations, event.kind.type_name())?;
            self.figures.events += 1;
            self.note(&observed.why);
            self.tell(|| {
                let changed = if observed.changed { "" } else { "(ignored) " };
                let key = event.key.as_ref().map(ToString::to_string);
                let kind = event.kind.type_name();
                format!(
                    "event {kind} {} {changed}{}",
                    key.unwrap_or_default(),
                    observed.why
                )
            });
            self.oracle
                .observed(&before, event, observed.changed, town, now)?;
            facts.judge(&before, town, event, observed.changed)?;
        }
        self.oracle.input(town)
    }

    fn execute(&mut self, town: &mut Town, now: Timestamp) -> Held {
        for command in std::mem::take(&mut self.host.commands) {
            self.figures.commands += 1;
            let before = town.clone();
            let name = command.kind.type_name();
            let asked = command.clone();
            let text = match town.execute(command, now) {
                Ok(receipt) => {
                    *self.figures.taken.entry(name).or_default() += 1;
                    self.oracle.helped(&before, &asked);
                    receipt.text
                }
                Err(_) if *town != before => {
                    return Err(format!("P2: {name} was refused and changed the town"));
                }
                Err(error) => format!("(refused) {error}"),
            };
            self.note(&text);
            self.tell(|| format!("command {name}: {text}"));
            let violations = check_step(&before, Cause::Command, town, now);
            oracle_of_step(&violations, name)?;
            self.oracle.asked_for(&before, town)?;
        }
        Ok(())
    }

    /// Settles pass by pass, checking each (P2, P3 and the invariants of steps).
    fn settle(&mut self, town: &mut Town, now: Timestamp) -> Result<Settled, String> {
        let mut settled = Settled::default();
        let limit = town.policy().settle_limit.max(1);
        let mut passes = 0_u32;
        loop {
            let actions = match outlook(town, now) {
                Outlook::Due(actions) if passes >= limit => return Err(restless(limit, &actions)),
                Outlook::Due(actions) => actions,
                Outlook::Rest { until } => {
                    settled.wakeup = until;
                    return Ok(settled);
                }
            };
            let before = town.clone();
            for action in &actions {
                match town.apply(action, now) {
                    Ok(asked) => settled.effects.extend(asked),
                    Err(error) => return Err(format!("P2: {}: {error}", action.rule)),
                }
                if let Cow::Borrowed(rule) = action.rule {
                    *self.figures.acted.entry(rule).or_default() += 1;
                }
                self.note(&action.rule);
                self.tell(|| format!("{}: {:?}", action.rule, action.kind));
            }
            oracle_of_step(
                &check_step(&before, Cause::Pass(&actions), town, now),
                "a pass",
            )?;
            stale_actions_are_refused(&actions, town, now)?;
            self.oracle.acted(&before, &actions, town, now)?;
            self.judges_fairly(&before, &actions)?;
            settled.actions += actions.len() as u64;
            passes += 1;
        }
    }

    fn commit(
        &mut self,
        mut town: Town,
        stored: &[Event],
        settled: Settled,
        now: Timestamp,
    ) -> Held {
        let Settled {
            effects, wakeup, ..
        } = settled;
        if wakeup.is_some_and(|wakeup| wakeup <= now) {
            return Err("P5: a town at rest wakes up at once".into());
        }
        let changes = town.take_changes();
        if self.crashes("before a commit") {
            return Ok(());
        }
        let n = self.next_of("commits");
        if self.dice.happens(
            self.rates.conflicts_of_commits,
            "a commit is overtaken",
            "host",
            n,
        ) {
            return self.overtaken();
        }
        // No crash from here on takes what is not committed.
        self.host.town = Some(town);
        if !changes.is_empty() || !stored.is_empty() || !effects.is_empty() {
            self.oracle.asked(&effects)?;
            self.oracle.consumed(stored)?;
            self.oracle.committed(&changes);
            let commit = Commit {
                expected_version: self.host.version,
                lease_token: None,
                changes,
                consumed: stored.iter().map(|event| event.id.clone()).collect(),
                effects,
                at: now,
            };
            let (store, id) = self.host.parts()?;
            let committed = block_on(store.commit(id, commit)).map_err(|error| broke(&error))?;
            self.host.version = committed.version();
            let effects = committed.into_effects();
            if self.crashes("after a commit") {
                return Ok(());
            }
            self.hand_out(effects);
        }
        self.host.local.clear();
        self.host.news = stored.len() >= EVENTS_PER_TICK_MAX;
        self.host.settled_at = Some(now);
        self.host.wakeup = wakeup;
        Ok(())
    }

    /// Another writer was faster: an empty commit raises the version, ours is refused, and the host
    /// begins again from what is stored.
    fn overtaken(&mut self) -> Held {
        let empty = |version, at| Commit {
            expected_version: version,
            lease_token: None,
            changes: Default::default(),
            consumed: Vec::new(),
            effects: Vec::new(),
            at,
        };
        let now = self.wall();
        let version = self.host.version;
        let (store, id) = self.host.parts()?;
        let theirs = block_on(store.commit(id, empty(version, now))).map_err(|e| broke(&e))?;
        match block_on(store.commit(id, empty(version, now))) {
            Err(StoreError::Conflict { .. }) => {}
            Err(error) => return Err(broke(&error)),
            Ok(_) => return Err("P10: a commit at an old version was taken".into()),
        }
        self.host.version = theirs.version();
        self.load()
    }

    pub(super) fn finishes(&mut self, key: &EffectKey, results: Vec<Event>, life: u64) -> Held {
        if life != self.host.life || !self.host.is_up() {
            return Ok(());
        }
        if self.crashes("before an effect is finished") {
            return Ok(());
        }
        let now = self.wall();
        let (store, id) = self.host.parts()?;
        block_on(store.finish_effect(id, key, Finish::Done, results.clone(), now))
            .map_err(|e| broke(&e))?;
        self.oracle.appended(&results);
        self.oracle.finished(key);
        self.host.under_way.remove(key);
        self.host.news = true;
        self.crashes("after an effect is finished");
        Ok(())
    }

    pub(super) fn withdraws(&mut self, key: &EffectKey) -> Held {
        let now = self.wall();
        let (store, id) = self.host.parts()?;
        block_on(store.finish_effect(id, key, Finish::Withdrawn, Vec::new(), now))
            .map_err(|e| broke(&e))?;
        self.oracle.finished(key);
        self.host.under_way.remove(key);
        Ok(())
    }

    /// P10: every effect in the outbox is in somebody's hands, and no event is left behind.
    pub(super) fn nothing_is_lost(&self) -> Held {
        let (store, id) = self.host.parts()?;
        let outbox = block_on(store.pending_effects(id)).map_err(|error| broke(&error))?;
        if let Some(lost) = outbox
            .iter()
            .find(|effect| !self.host.under_way.contains(&effect.key))
        {
            return Err(format!("P10: nobody performs {}", lost.key));
        }
        let inbox = block_on(store.pending_events(id, 1)).map_err(|error| broke(&error))?;
        match inbox.first().filter(|_| !self.host.news) {
            Some(event) => Err(format!("P10: nobody observes {}", event.id)),
            None => Ok(()),
        }
    }

    pub(super) fn life(&self) -> u64 {
        self.host.life
    }
}

/// An action whose `from` does not hold any more is refused and changes nothing (spec 2.3).
fn stale_actions_are_refused(actions: &[Action], town: &Town, now: Timestamp) -> Held {
    let stale = actions.iter().find(|action| match &action.kind {
        ActionKind::TransitionBead(step) => {
            let bead = town.bead(&step.bead_id);
            bead.is_some_and(|bead| bead.status != step.from)
        }
        ActionKind::TransitionAgent(step) => {
            let agent = town.agent(&step.agent_id);
            agent.is_some_and(|agent| agent.status != step.from)
        }
        _ => false,
    });
    let Some(stale) = stale else { return Ok(()) };
    let mut copy = town.clone();
    match copy.apply(stale, now) {
        Err(_) if copy == *town => Ok(()),
        Err(_) => Err(format!(
            "P2: a stale action of {} changed the town",
            stale.rule
        )),
        Ok(_) => Err(format!("P2: a stale action of {} was applied", stale.rule)),
    }
}

pub(super) fn oracle_of_step(violations: &[gastown_core::Violation], of: &str) -> Held {
    match violations.first() {
        None => Ok(()),
        Some(first) => Err(format!("{} by {of}: {}", first.invariant, first.message)),
    }
}

/// Every invariant that one state can show.
pub(super) fn invariants(town: &Town, now: Timestamp) -> Held {
    oracle_of_step(&check(town, now), "a settled town")
}
