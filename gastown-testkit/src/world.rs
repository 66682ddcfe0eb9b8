//! A small world around one town, driven by a sequence of steps: agents that work, dawdle, crash and
//! lie, a forge that answers anything, people who sling, hold and close, results that are lost, late
//! or double, clocks that jump and hosts that sleep.
//!
//! Every step ends with a tick, and every tick checks what must always hold.

mod answers;
mod people;
mod steps;
mod strange;

pub use self::answers::answer_to;
pub use self::steps::{Setup, Step, setups, steps};

use std::collections::BTreeSet;
use std::time::Duration;

use gastown_core::{
    Action, Cause, ChangeSet, Command, Effect, EffectKind, Event, Row, RowKey, Timestamp, Town,
    check, check_step, wire,
};
use serde_json::{Value, json};

use self::answers::pr_url;
use crate::budgets::Budgets;
use crate::laws;
use crate::towns::now;
use crate::unknown::unknown_look_is_not_yes;

/// What reaches a town.
#[derive(Debug, Clone)]
pub enum Input {
    /// A fact.
    Event(Event),
    /// A request.
    Command(Command),
}

/// A town and what is under way around it.
#[derive(Debug, Clone)]
pub struct World {
    /// The town.
    pub town: Town,
    /// The time.
    pub now: Timestamp,
    /// Effects that have no answer yet.
    pub outbox: Vec<Effect>,
    /// Every action so far.
    pub actions: Vec<Action>,
    delivered: Vec<Event>,
    sent: Vec<Input>,
    event_prefix: String,
    /// Events that a store would know as consumed.
    consumed: BTreeSet<String>,
    /// Keys of effects that were handed out: no key is handed out twice.
    keys: BTreeSet<String>,
    budgets: Budgets,
    /// Looks that led to a merge, each of whose facts was doubted (P17).
    looks_that_merge: usize,
    told: laws::Told,
    rows: std::collections::BTreeMap<RowKey, Row>,
    events: u64,
    /// Whether the town was loaded again: then only the store knows what was consumed.
    restarted: bool,
    /// What was wrong with an input.
    problem: Option<String>,
}

/// The entry of `list` that `which` chooses.
fn choose<T>(list: &[T], which: u8) -> Option<&T> {
    list.get(usize::from(which).checked_rem(list.len())?)
}

impl World {
    /// A town of two rigs.
    ///
    /// # Panics
    /// If the town that it starts from is refused: then the world is wrong.
    #[must_use]
    #[allow(clippy::panic)]
    pub fn new(setup: Setup) -> Self {
        let rig = |id: &str| {
            json!({"id": id, "name": id, "default_branch": "main", "created_at": now().to_string(),
                   "git_url": format!("https://github.com/acme/{id}.git")})
        };
        let town = wire::snapshot_from_value(json!({"format": wire::SNAPSHOT_FORMAT,
            "town": {"id": "world", "config": setup.config(), "policy": setup.policy()},
            "rigs": [rig("r1"), rig("r2")]}));
        match town {
            Ok(town) => Self {
                town,
                now: now(),
                outbox: Vec::new(),
                actions: Vec::new(),
                delivered: Vec::new(),
                sent: Vec::new(),
                event_prefix: "ev".into(),
                consumed: BTreeSet::new(),
                keys: BTreeSet::new(),
                budgets: Budgets::default(),
                looks_that_merge: 0,
                told: laws::Told::default(),
                rows: std::collections::BTreeMap::new(),
                events: 0,
                restarted: false,
                problem: None,
            },
            Err(error) => panic!("the world's town is refused: {error}"),
        }
    }

    /// The same world whose events have other names: for a store that remembers those of another.
    #[must_use]
    pub fn with_event_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.event_prefix = prefix.into();
        self
    }

    /// How many looks led to a merge so far: with none, P17 says nothing.
    #[must_use]
    pub fn looks_that_merge(&self) -> usize {
        self.looks_that_merge
    }

    /// One step, then a tick.
    ///
    /// # Errors
    /// What must hold and does not.
    pub fn step(&mut self, step: &Step) -> Result<(), String> {
        let slept = matches!(step, Step::Sleep(_));
        let quiet: &[&str] = if slept { laws::SILENCE } else { &[] };
        self.perform(step);
        if let Some(problem) = self.problem.take() {
            return Err(problem);
        }
        let actions = self.tick()?;
        let jumped_back = matches!(step, Step::Pass(seconds) if *seconds < 0);
        let judged = |action: &&Action| jumped_back || quiet.contains(&&*action.rule);
        match actions.iter().find(judged) {
            None => Ok(()),
            Some(action) => Err(format!("P11: {} after {step:?}", action.rule)),
        }
    }

    /// One step without a tick; returns what reached the town.
    pub fn perform(&mut self, step: &Step) -> Vec<Input> {
        self.sent.clear();
        match step {
            Step::Pass(seconds) => self.pass(*seconds),
            Step::Sleep(seconds) => self.sleep(*seconds),
            Step::Sling { rig, depends_on } => self.sling(*rig, *depends_on),
            Step::SlingConvoy { rig, tasks } => self.sling_convoy(*rig, *tasks),
            Step::Answer { which, how, late } => self.answer(*which, *how, *late),
            Step::Again { which, new_id } => self.again(*which, *new_id),
            Step::Agent {
                which,
                what,
                old_session,
            } => self.agent(*which, *what, *old_session),
            Step::Tool { which, what, other } => self.tool(*which, *what, *other),
            Step::Person { which, what, other } => self.person(*which, *what, *other),
            Step::Host { what } => self.host(*what),
            Step::Strange { which, what } => self.strange(*which, *what),
        }
        std::mem::take(&mut self.sent)
    }

    /// Settles pass by pass, checking each; says what was done.
    ///
    /// # Errors
    /// What must hold and does not.
    pub fn tick(&mut self) -> Result<Vec<Action>, String> {
        let before = self.town.clone();
        let rested = laws::rests(&mut self.town, self.now)?;
        self.budgets.note(&before, &self.town, &rested.actions)?;
        for effect in &rested.effects {
            if !self.keys.insert(format!("{:?}", effect.key)) {
                return Err(format!("P10: a key is handed out twice: {:?}", effect.key));
            }
        }
        self.outbox.extend(rested.effects);
        self.actions.extend(rested.actions.iter().cloned());
        self.check()?;
        let changes = self.town.take_changes();
        laws::no_sentinel_in_changes(&changes)?;
        self.told.follows(&changes)?;
        self.store(changes);
        Ok(rested.actions)
    }

    fn check(&self) -> Result<(), String> {
        laws::none(&check(&self.town, self.now), "a settled town")?;
        for bead in self.town.live_beads().filter(|bead| bead.work().is_some()) {
            let mut branches: Vec<&str> = self
                .town
                .reviews_of(&bead.id)
                .into_iter()
                .filter(|mr| mr.is_live())
                .filter_map(|mr| mr.review())
                .map(|review| review.branch.as_str())
                .collect();
            let all = branches.len();
            branches.sort_unstable();
            branches.dedup();
            if branches.len() < all {
                return Err(format!(
                    "P9: {} has two live reviews of one branch",
                    bead.id
                ));
            }
        }
        Ok(())
    }

    /// What a store would do with a commit.
    fn store(&mut self, changes: ChangeSet) {
        for row in changes.put {
            self.rows.insert(row.key.clone(), row);
        }
        for key in &changes.delete {
            self.rows.remove(key);
        }
    }

    /// The town as its stored rows have it, read in another order: what a restarted host goes on
    /// with.
    ///
    /// # Errors
    /// If they are refused.
    pub fn reload(&mut self) -> Result<(), String> {
        let rows: Vec<Row> = self.rows.values().rev().cloned().collect();
        let reloaded = Town::from_rows(rows).map_err(|error| error.to_string())?;
        if reloaded != self.town {
            return Err("P10: stored rows make another town".into());
        }
        self.town = reloaded;
        self.restarted = true;
        Ok(())
    }

    fn pass(&mut self, seconds: i32) {
        let span = Duration::from_secs(seconds.unsigned_abs().into());
        self.now = if seconds < 0 {
            self.now.minus(span)
        } else {
            self.now.plus(span)
        };
    }

    fn sleep(&mut self, seconds: u32) {
        let from = self.now;
        self.now = from.plus(Duration::from_secs(seconds.into()));
        self.deliver(json!({"type": "observation_gap", "from": from.to_string(),
                            "to": self.now.to_string()}));
    }

    /// Delivers an event made of a type and fields.
    fn deliver(&mut self, event: Value) {
        let at = self.now.to_string();
        self.deliver_at(event, &at);
    }

    /// The same, with a time of its own.
    fn deliver_at(&mut self, mut event: Value, at: &str) {
        self.events = self.events.saturating_add(1);
        if let Some(object) = event.as_object_mut() {
            object.insert(
                "id".into(),
                format!("{}{}", self.event_prefix, self.events).into(),
            );
            object.insert("at".into(), at.into());
        }
        match wire::event_from_value(event) {
            Ok(event) => {
                self.observe(&event);
                self.delivered.push(event);
            }
            Err(error) => self.problem = Some(format!("the world made no event: {error}")),
        }
    }

    /// Each id once, as a store's inbox does it.
    fn observe(&mut self, event: &Event) {
        self.sent.push(Input::Event(event.clone()));
        if !self.consumed.insert(event.id.to_string()) {
            // The town itself knows that it has seen it, if it was not loaded since.
            return;
        }
        let before = self.town.clone();
        self.town.observe(event, self.now);
        let step = check_step(&before, Cause::Event(event), &self.town, self.now);
        let within = Duration::from_secs(90);
        let doubted = laws::none(&step, "an event")
            .and_then(|()| unknown_look_is_not_yes(&before, event, self.now, within));
        match doubted {
            Ok(merged) => {
                self.looks_that_merge = self.looks_that_merge.saturating_add(merged.min(1));
            }
            Err(problem) => self.problem = self.problem.take().or(Some(problem)),
        }
        let cost = self.budgets.observed(&before, event, &self.town);
        self.problem = self.problem.take().or(cost.err());
    }

    fn command(&mut self, command: Value) {
        // What is no command at all is refused by the reader.
        let Ok(command) = wire::command_from_value(command) else {
            return;
        };
        let before = self.town.clone();
        self.sent.push(Input::Command(command.clone()));
        let taken = self.town.execute(command.clone(), self.now).is_ok();
        if taken {
            self.budgets.helped(&before, &command);
        } else if self.town != before {
            self.problem = Some("P2: a refused command changed something".into());
        }
        let step = check_step(&before, Cause::Command, &self.town, self.now);
        let checked =
            laws::none(&step, "a command").and_then(|()| self.budgets.beads(&before, &self.town));
        self.problem = self.problem.take().or(checked.err());
    }

    fn sling(&mut self, rig: u8, depends_on: u8) {
        let issues: Vec<String> = self
            .town
            .beads()
            .filter(|bead| bead.work().is_some())
            .map(|bead| bead.id.to_string())
            .collect();
        let depends_on: Vec<&String> = if depends_on < 128 {
            Vec::new()
        } else {
            choose(&issues, depends_on).into_iter().collect()
        };
        self.command(
            json!({"type": "sling", "caller": {"kind": "mayor"}, "title": "work",
            "rig_id": if rig < 128 { "r1" } else { "r2" }, "depends_on": depends_on}),
        );
    }

    fn sling_convoy(&mut self, rig: u8, tasks: u8) {
        let tasks: Vec<Value> = (0..tasks)
            .map(|n| json!({"title": format!("task {n}")}))
            .collect();
        self.command(
            json!({"type": "sling_convoy", "caller": {"kind": "mayor"}, "title": "convoy",
            "rig_id": if rig < 128 { "r1" } else { "r2" }, "tasks": tasks, "staged": false}),
        );
    }

    fn answer(&mut self, which: u8, how: u8, late: u16) {
        // Nobody carries out what is no longer wanted.
        self.outbox.retain(|effect| self.town.wants(effect));
        // Each third answer is of a pull request, if one is asked about: else the many small effects
        // around a town keep its looks from coming one after the other, and nothing is ever merged.
        let of_forge =
            |effect: &Effect| matches!(effect.kind, EffectKind::PollPr(_) | EffectKind::MergePr(_));
        let indices: Vec<usize> = (0..self.outbox.len()).collect();
        let of_forge: Vec<usize> = (indices.iter().copied())
            .filter(|index| self.outbox.get(*index).is_some_and(of_forge))
            .collect();
        let among = match which % 3 {
            0 if !of_forge.is_empty() => of_forge,
            _ => indices,
        };
        let Some(index) = choose(&among, which / 3) else {
            return;
        };
        let effect = self.outbox.remove(*index);
        if let Some(mut event) = answer_to(&self.town, &effect, how) {
            if let Some(object) = event.as_object_mut() {
                object.insert("key".into(), json!(effect.key));
            }
            let at = self.now.minus(Duration::from_secs(late.into()));
            self.deliver_at(event, &at.to_string());
        }
    }

    fn again(&mut self, which: u8, new_id: bool) {
        let Some(mut event) = choose(&self.delivered, which).cloned() else {
            return;
        };
        if new_id && let Ok(id) = format!("{}x", event.id).parse() {
            event.id = id;
            self.observe(&event);
            return;
        }
        if self.restarted {
            return;
        }
        let before = self.town.clone();
        self.sent.push(Input::Event(event.clone()));
        let again = self.town.observe(&event, self.now);
        if again.changed || self.town != before {
            self.problem = Some(format!("P9: {} was observed twice", event.id));
        }
    }

    fn agent(&mut self, which: u8, what: u8, old_session: bool) {
        let agents: Vec<_> = self.town.agents().cloned().collect();
        let Some(agent) = choose(&agents, which) else {
            return;
        };
        let session = agent.session.saturating_sub(u64::from(old_session));
        let id = agent.id.as_str();
        let caller = json!({"kind": "agent", "id": id});
        match what % 10 {
            0..=2 => self.deliver(json!({"type": "heartbeat", "agent_id": id, "session": session,
                "container_instance": "c1", "last_event_at": self.now.to_string()})),
            3 | 4 => self.deliver(json!({"type": "agent_done", "agent_id": id, "session": session,
                "branch": format!("work/{}", agent.hook.as_ref().map_or("none", |hook| hook.as_str())),
                "merge_commit": "c0ffee", "pr_url": pr_url(agent, what)})),
            5 => self.deliver(json!({"type": "agent_exited", "agent_id": id, "session": session, "status": "failed"})),
            6 => self.deliver(json!({"type": "agent_exited", "agent_id": id, "session": session, "status": "completed"})),
            7 => self.command(json!({"type": "request_changes", "caller": caller, "feedback": "more tests"})),
            8 => self.command(json!({"type": "escalate", "caller": caller, "severity": "medium", "message": "help"})),
            _ => self.deliver(json!({"type": "container_status", "agent_id": id, "session": session, "status": "exited"})),
        }
    }

    fn host(&mut self, what: u8) {
        match what % 5 {
            0 => self.deliver(json!({"type": "container_eviction", "nonce": format!("n{what}")})),
            1 => {
                let nonce = self
                    .town
                    .state()
                    .drain
                    .as_ref()
                    .map(|drain| drain.nonce.clone());
                let nonce = nonce.unwrap_or_else(|| "n".into());
                self.deliver(json!({"type": "container_ready", "nonce": nonce}));
            }
            2 => self.deliver(
                json!({"type": "observation_gap", "to": self.now.to_string(),
                "from": self.now.minus(Duration::from_secs(600)).to_string()}),
            ),
            3 => self.command(json!({"type": "probe", "caller": {"kind": "user", "id": "ann"}})),
            _ => {
                self.deliver(json!({"type": "webhook", "repository": "acme/r1", "pr_number": what}))
            }
        }
    }
}
