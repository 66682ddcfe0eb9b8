//! A deterministic simulator of a whole town and its world, driven by one seed.
//!
//! The engine is the real one, and so is the way to it: a host that takes events from a [`Store`],
//! settles, commits, and only then performs effects (spec 6.2). Around it live agents that work,
//! dawdle, crash and lie; a forge that is slow, down, or limits; people who push, approve, merge and
//! close; a container that is evicted; a host that crashes between any two of its steps (never within
//! a call of the store); a clock that jumps.
//!
//! The *safety oracle* checks P2, P3, P10, P11, P15 and the invariants of steps after every pass and
//! every input, P5, P6, P9 and the invariants of states after every tick, and P10 whenever the town is
//! loaded. When the faults stop, agents answer, and the *liveness oracle* demands P7, and P8 within a
//! bound that follows from the policy. A panic is a failure as any other (P12).
//!
//! Every question to chance has a name (the `n`-th start of that agent fails), and its answer
//! depends on the seed and the name alone. The same seed gives the same run to the byte, and a
//! failing run is made small by letting fewer and fewer things happen ([`minimize`]). [`hold`] does
//! all of it for a range of seeds.
//!
//! ```no_run
//! use gastown_store_memory::MemoryStore;
//! use gastown_testkit::sim::{Rates, Settings, simulate};
//!
//! let settings = Settings { hours: 6, rates: Rates::STORM, ..Settings::default() };
//! let run = simulate(1, &settings, &|| {
//!     let store = MemoryStore::new();
//!     Box::new(move || Ok(Box::new(store.clone())))
//! });
//! assert!(run.failure.is_none(), "{:?}", run.failure);
//! assert!(run.figures.steps > 0);
//! ```

// Milliseconds and counts of a simulation stay far below what overflows.
#![allow(clippy::arithmetic_side_effects)]
// What a model or an oracle says nothing of is none of its business.
#![allow(clippy::wildcard_enum_match_arm)]

mod agents;
mod dice;
mod effects;
mod forge;
mod hold;
mod host;
mod liveness;
mod minimize;
mod oracle;
mod pace;
mod people;
mod rates;
mod reviewers;
mod setup;
mod sometimes;
mod trouble;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use gastown_core::{
    AgentId, Effect, EffectKey, Event, EventId, EventKind, Policy, Store, StoreError, Timestamp,
    Town,
};
use serde_json::Value;

pub use self::dice::Happening;
pub use self::hold::hold;
pub use self::minimize::{Minimal, minimize};
pub use self::rates::Rates;
pub use self::sometimes::{HOURS_MANY, SEEDS_MANY};

pub(crate) use self::dice::spread;

use self::agents::Session;
use self::dice::Dice;
use self::forge::Forge;
use self::host::Host;
use self::oracle::Oracle;
use self::pace::Pace;
use self::trouble::StartOutage;
use crate::panics::caught;

/// Opens the same store again, as after a crash; or says why it can't be opened.
pub type Reopen = Box<dyn Fn() -> Result<Box<dyn Store>, StoreError>>;

/// How a run is made.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Hours during which things go wrong.
    pub hours: u64,
    /// How often what goes wrong, and how much people do.
    pub rates: Rates,
    /// Whether each seed has its own weather instead of the rates as they are: each is taken a
    /// quarter, once, thrice or not at all, in half of the seeds much less happens in an hour, and
    /// there always is some work.
    pub weather: bool,
    /// Whether the run is told line by line.
    pub trace: bool,
    /// The only happenings that may happen, by key; none: all.
    pub only: Option<BTreeSet<u64>>,
    /// A host's own thresholds; none: each seed moves some of the defaults.
    pub policy: Option<Policy>,
    /// A host's own settings of a town, as its snapshot has them (`town.config`). What is not there each
    /// seed has of its own: merges by pull request or direct, say.
    pub config: Option<Value>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            hours: 24,
            rates: Rates::STORM,
            weather: true,
            trace: false,
            only: None,
            policy: None,
            config: None,
        }
    }
}

/// What a run was made of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Figures {
    /// Milliseconds of the town's life.
    pub simulated_ms: u64,
    /// Ticks: each one observes, decides, checks and commits.
    pub steps: u64,
    /// Events observed.
    pub events: u64,
    /// Commands executed.
    pub commands: u64,
    /// Actions applied.
    pub actions: u64,
    /// Effects performed.
    pub effects: u64,
    /// Things that happened by chance: faults, and what agents and people did.
    pub happened: u64,
    /// Crashes of the host.
    pub crashes: u64,
    /// Review beads that ended as merged.
    pub merged: u64,
    /// Live review beads at the end; each waits for a person, or for the people of its pull request.
    pub waiting: u64,
    /// What happened by chance, and how often.
    pub happenings: BTreeMap<&'static str, u64>,
    /// Commands that were taken, and how often.
    pub taken: BTreeMap<&'static str, u64>,
    /// Rules that acted, and in how many actions.
    pub acted: BTreeMap<&'static str, u64>,
}

impl Figures {
    /// Adds another run's.
    pub fn add(&mut self, other: &Figures) {
        self.simulated_ms += other.simulated_ms;
        self.steps += other.steps;
        self.events += other.events;
        self.commands += other.commands;
        self.actions += other.actions;
        self.effects += other.effects;
        self.happened += other.happened;
        self.crashes += other.crashes;
        self.merged += other.merged;
        self.waiting += other.waiting;
        add_each(&mut self.happenings, &other.happenings);
        add_each(&mut self.taken, &other.taken);
        add_each(&mut self.acted, &other.acted);
    }
}

fn add_each(all: &mut BTreeMap<&'static str, u64>, other: &BTreeMap<&'static str, u64>) {
    for (name, count) in other {
        *all.entry(*name).or_default() += count;
    }
}

/// What did not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// When, in milliseconds of the simulation.
    pub at: u64,
    /// The invariant or property, and what broke it.
    pub what: String,
}

/// A run and what came of it.
#[derive(Debug)]
pub struct Run {
    /// What it was made of.
    pub figures: Figures,
    /// What did not hold, if anything.
    pub failure: Option<Failure>,
    /// What happened by chance, in order.
    pub happened: Vec<Happening>,
    /// A digest of everything that was observed and decided.
    pub digest: u64,
    /// The run line by line, if it was asked for.
    pub trace: Vec<String>,
}

/// Runs one seed.
///
/// `fresh` makes an empty store and says how to open it again after a crash; the town in it is always
/// called `sim`. The store's futures are polled on this thread by an executor that drives no timers
/// and no sockets: a store of tokio's keeps the handle of a runtime of several threads and does its
/// work by `handle.spawn(…).await`. An error of the store fails the run (`store: …`), and so do what
/// is refused of [`Settings`] and a panic, the store's or the engine's (`P12: panic: …`).
#[must_use]
pub fn simulate(seed: u64, settings: &Settings, fresh: &dyn Fn() -> Reopen) -> Run {
    let begun = caught(|| Simulation::begin(seed, settings, fresh));
    let (mut simulation, town) = match begun {
        Ok(begun) => begun,
        Err(what) => return Run::refused(what),
    };
    let ends = settings.hours.saturating_mul(3_600_000);
    let outcome = caught(|| simulation.run(town, ends));
    simulation.finish(outcome)
}

/// What is to come.
#[derive(Debug)]
enum Next {
    /// An event reaches the inbox.
    Arrives(Event),
    /// An effect's turn comes, in the life of the host that it was handed to.
    Performs(Effect, u64),
    /// An effect has ended with these results.
    Finishes(EffectKey, Vec<Event>, u64),
    /// All sessions are heard of.
    Beats,
    /// A session comes to the end of its plan.
    Ends(AgentId, u64),
    /// Somebody has work, or wants something of the town.
    PeopleAct,
    /// A reviewer turns to a pull request.
    ReviewersAct(String),
    /// Somebody adds something to a pull request that is ready to be merged.
    PushesAgain(String),
    /// A pull request leaves the merge queue.
    LeavesQueue(String),
    /// Something happens to the host, the container, the forge or the clock.
    Trouble,
    /// The host is up again.
    HostIsUp,
    /// The container of that nonce has a successor.
    ContainerIsReady(String),
}

struct Simulation {
    rates: Rates,
    pace: Pace,
    dice: Dice,
    /// Milliseconds since the beginning, by a clock that never jumps.
    now: u64,
    /// What the wall clock is ahead, in milliseconds.
    skew: i64,
    queue: BTreeMap<(u64, u64), Next>,
    queued: u64,
    events: u64,
    host: Host,
    forge: Forge,
    sessions: BTreeMap<AgentId, Session>,
    /// Whether the next round of heartbeats is planned.
    beating: bool,
    /// The number of the container that runs; 0: none does.
    container: u64,
    /// Until when no agent can be started, if that is so.
    start_outage: Option<StartOutage>,
    counts: BTreeMap<&'static str, u64>,
    oracle: Oracle,
    figures: Figures,
    digest: u64,
    trace: Option<Vec<String>>,
}

/// What an oracle says of a step.
type Held = Result<(), String>;

impl Run {
    fn refused(what: String) -> Self {
        Self {
            figures: Figures::default(),
            failure: Some(Failure { at: 0, what }),
            happened: Vec::new(),
            digest: 0,
            trace: Vec::new(),
        }
    }
}

impl Simulation {
    fn begin(
        seed: u64,
        settings: &Settings,
        fresh: &dyn Fn() -> Reopen,
    ) -> Result<(Self, Town), String> {
        let mut dice = Dice::new(seed, settings.only.clone());
        let town = setup::town(&dice, settings)?;
        dice.set_now(0);
        let simulation = Self {
            rates: match settings.weather {
                true => settings.rates.of_seed(seed),
                false => settings.rates,
            },
            pace: Pace::of(town.policy()),
            dice,
            now: 0,
            skew: 0,
            queue: BTreeMap::new(),
            queued: 0,
            events: 0,
            host: Host::new(fresh()),
            forge: Forge::default(),
            sessions: BTreeMap::new(),
            beating: false,
            container: 1,
            start_outage: None,
            counts: BTreeMap::new(),
            oracle: Oracle::default(),
            figures: Figures::default(),
            digest: seed,
            trace: settings.trace.then(Vec::new),
        };
        Ok((simulation, town))
    }

    fn run(&mut self, town: Town, ends: u64) -> Held {
        self.host_begins(town)?;
        self.plan(60_000, Next::PeopleAct);
        self.plan(120_000, Next::Trouble);
        self.until(ends)?;
        self.calm_down()?;
        self.demand_liveness()?;
        self.demand_reminders()?;
        self.all_is_there()
    }

    fn finish(mut self, outcome: Held) -> Run {
        self.figures.simulated_ms = self.now;
        self.figures.happened = self.dice.count();
        self.figures.happenings = self.dice.kinds();
        debug_assert_eq!(
            self.figures.unnamed(),
            None,
            "it has no name in `sometimes`"
        );
        if let Some(town) = &self.host.town {
            self.figures.waiting = liveness::live_reviews(town).count() as u64;
            self.figures.merged = self.oracle.merged();
        }
        Run {
            figures: self.figures,
            failure: outcome.err().map(|what| Failure { at: self.now, what }),
            happened: self.dice.into_happened(),
            digest: self.digest,
            trace: self.trace.unwrap_or_default(),
        }
    }

    /// Lets the world go on until `ends`.
    fn until(&mut self, ends: u64) -> Held {
        loop {
            let planned = self.queue.first_key_value().map(|((at, _), _)| *at);
            let due = match (self.wakes_at(), self.attends_at()) {
                (Some(wakes), Some(attends)) => Some(wakes.min(attends)),
                (one, other) => one.or(other),
            };
            let next = match (planned, due) {
                (Some(a), Some(b)) => a.min(b),
                (Some(at), None) | (None, Some(at)) => at,
                (None, None) => ends,
            };
            if next >= ends {
                self.set_now(ends);
                return Ok(());
            }
            self.set_now(next.max(self.now));
            if planned.is_some_and(|at| at <= self.now)
                && let Some((_, next)) = self.queue.pop_first()
            {
                self.happens_now(next)?;
            }
            let attends = self.attends_at().is_some_and(|at| at <= self.now);
            if attends || self.wakes_at().is_some_and(|at| at <= self.now) {
                self.tick()?;
            }
        }
    }

    fn set_now(&mut self, now: u64) {
        self.now = now;
        self.dice.set_now(now);
    }

    /// When the host wakes up by itself.
    fn wakes_at(&self) -> Option<u64> {
        let wakeup = self.host.wakeup.filter(|_| self.host.is_up())?;
        let real = wakeup.as_millis() - crate::towns::now().as_millis() - self.skew;
        Some(u64::try_from(real).unwrap_or(0).max(self.now))
    }

    fn happens_now(&mut self, next: Next) -> Held {
        match next {
            Next::Arrives(event) => self.arrives(event),
            Next::Performs(effect, life) => self.performs(effect, life),
            Next::Finishes(key, results, life) => self.finishes(&key, results, life),
            Next::Beats => {
                self.beats();
                Ok(())
            }
            Next::Ends(agent, session) => {
                self.session_ends(&agent, session);
                Ok(())
            }
            Next::PeopleAct => {
                self.people_act();
                Ok(())
            }
            Next::ReviewersAct(url) => {
                self.reviewers_act(&url);
                Ok(())
            }
            Next::PushesAgain(url) => {
                self.pushes_again(&url);
                Ok(())
            }
            Next::LeavesQueue(url) => {
                self.leaves_queue(&url);
                Ok(())
            }
            Next::Trouble => self.trouble(),
            Next::HostIsUp => self.host_is_up(),
            Next::ContainerIsReady(nonce) => {
                self.container_is_ready(nonce);
                Ok(())
            }
        }
    }

    // ---- what all parts use ----

    /// The time on the host's wall.
    fn wall(&self) -> Timestamp {
        let real = i64::try_from(self.now).unwrap_or(i64::MAX);
        Timestamp::from_millis(crate::towns::now().as_millis() + real + self.skew)
    }

    fn plan(&mut self, after: u64, next: Next) {
        self.queued += 1;
        self.queue
            .insert((self.now.saturating_add(after), self.queued), next);
    }

    /// A number that grows with every question for `what`.
    fn next_of(&mut self, what: &'static str) -> u64 {
        let count = self.counts.entry(what).or_default();
        *count += 1;
        *count
    }

    fn tell(&mut self, line: impl FnOnce() -> String) {
        let at = self.now;
        if let Some(trace) = &mut self.trace {
            let seconds = at / 1_000;
            let clock = format!(
                "{:>4}:{:02}:{:02}",
                seconds / 3_600,
                seconds / 60 % 60,
                seconds % 60
            );
            trace.push(format!("{clock} {}", line()));
        }
    }

    fn note(&mut self, text: &str) {
        self.digest = dice::digest(self.digest, text.as_bytes());
    }

    fn event(&mut self, kind: impl Into<EventKind>, key: Option<&EffectKey>) -> Option<Event> {
        self.events += 1;
        let id = EventId::new(format!("ev{}", self.events)).ok()?;
        Some(Event {
            id,
            at: self.wall(),
            key: key.cloned(),
            kind: kind.into(),
        })
    }

    /// An event sets out for the inbox: it may be lost, late or double.
    fn send(&mut self, name: &str, kind: impl Into<EventKind>, after: u64) {
        let Some(event) = self.event(kind, None) else {
            return;
        };
        let n = self.next_of("events sent");
        if self
            .dice
            .happens(self.rates.event_lost, "an event is lost", name, n)
        {
            return;
        }
        let late = if self
            .dice
            .happens(self.rates.event_late, "an event is late", name, n)
        {
            self.dice.span(20 * 60_000, "how late", name, n)
        } else {
            0
        };
        if self
            .dice
            .happens(self.rates.event_doubled, "an event is doubled", name, n)
        {
            let mut again = event.clone();
            let renamed = EventId::new(format!("{}x", event.id));
            if let (Ok(id), 0) = (renamed, self.dice.below(2, "is renamed", name, n)) {
                again.id = id;
            }
            let apart = self.dice.span(10 * 60_000, "how far apart", name, n);
            self.plan(after + late + apart, Next::Arrives(again));
        }
        self.plan(after + late, Next::Arrives(event));
    }
}

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}
