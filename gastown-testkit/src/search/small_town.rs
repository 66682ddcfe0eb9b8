//! A town that is small enough to search all of it, with the world around it.

use std::collections::{BTreeMap, BTreeSet};

use gastown_core::events::{EffectOutcome, Notified, ObservationGap};
use gastown_core::{
    AgentId, Bead, BeadId, Cause, Command, Effect, EffectKind, Event, EventId, EventKind, Outlook,
    RigId, Timestamp, Town, check, check_step, outlook,
};
use serde_json::{Value, json};

use super::canonical::{self, Digest, Horizon, Mark, Names};
use super::costs;
use super::moves::{Move, renamed};
use super::scenarios::{self, Scenario};
use super::{Model, Sometimes, sometimes};
use crate::events_judged::Facts;
use crate::laws::{no_sentinel, no_silent_stall, one_review_per_branch, restless};
use crate::waiting::{Resting, Turn, live_work};

/// Whether a pull request was merged or closed, and by whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Open,
    MergedByEngine,
    MergedByHand,
    Closed,
}

/// The world's own knowledge of one pull request.
#[derive(Debug, Clone)]
pub(crate) struct Pr {
    pub(crate) fate: Fate,
    pub(crate) heads: u32,
    pub(crate) branch: String,
    pub(crate) base: String,
}

/// Work that reached its target without a pull request: in which rig's repository, which it has
/// whatever the town knows, from which branch to which.
pub(crate) type Landing = (RigId, String, String);

/// A session that runs, and the bead that it was sent to.
#[derive(Debug, Clone, Default)]
pub(crate) struct Session {
    pub(crate) number: u64,
    pub(crate) bead: Option<BeadId>,
}

/// A town at rest, and what is under way around it.
#[derive(Debug, Clone)]
pub struct State {
    pub(crate) town: Town,
    pub(crate) now: Timestamp,
    /// When the engine would wake up; follows from the town and the time.
    pub(crate) wakeup: Option<Timestamp>,
    /// Effects that nobody has answered.
    pub(crate) outbox: Vec<Effect>,
    /// An event that comes later, or once more.
    pub(crate) late: Option<Event>,
    /// Sessions that run, by agent.
    pub(crate) sessions: BTreeMap<AgentId, Session>,
    pub(crate) prs: BTreeMap<String, Pr>,
    /// Branches that reached their target without a pull request.
    pub(crate) landed: BTreeSet<Landing>,
    /// How many more things may go wrong, or be done by people, on this path.
    pub(crate) faults_left: u8,
    /// Which of them happened; not part of what the state can do.
    pub(crate) happened: BTreeSet<&'static str>,
    pub(crate) events: u64,
    /// What did not hold of an input.
    pub(crate) broken: Option<String>,
}

/// The model of one scenario.
#[derive(Debug, Clone)]
pub struct SmallTown {
    scenario: Scenario,
    /// Faults and human acts along one path.
    faults: u8,
    /// What of the scenario's own thresholds and settings is another.
    policy: Value,
    config: Value,
    horizon: Horizon,
}

impl SmallTown {
    /// A scenario with so many faults and human acts along each path.
    #[must_use]
    pub fn new(scenario: Scenario, faults: u8) -> Self {
        let (policy, config) = (json!({}), json!({}));
        Self {
            scenario,
            faults,
            policy,
            config,
            horizon: Horizon::default(),
        }
    }

    /// With some thresholds of a host's own: an object as in `town.policy` of a snapshot, of which only
    /// what differs from the searched town's has to be there.
    ///
    /// Times have to lie on the grid of the search: one to four minutes, each less a millisecond
    /// (`PT1M59.999S`), zero, or the 3,000 days (`P3000D`) that stand for never. What counts in a policy
    /// is which of its times are shorter than which, and four are enough for most; numbers are taken
    /// as they are, and large ones make the search large.
    ///
    /// ```
    /// use gastown_testkit::search::{Limits, Order, Scenario, SmallTown, search};
    ///
    /// let town = SmallTown::new(Scenario::PullRequest, 1)
    ///     .with_policy(serde_json::json!({"failed_blocker": "release", "stuck_review": "PT3M59.999S"}))?
    ///     .with_config(serde_json::json!({"refinery": {"code_review": false}}))?;
    /// let limits = Limits { states_max: 200, moves_max: None, order: Order::BreadthFirst, calm_steps_max: 400 };
    /// let found = search(&town, limits);
    /// assert_eq!(found.broken, None);
    /// # Ok::<(), String>(())
    /// ```
    ///
    /// # Errors
    /// Which threshold is unknown or can't be taken, and what was expected.
    pub fn with_policy(mut self, policy: Value) -> Result<Self, String> {
        scenarios::check_times(&policy)?;
        self.policy = policy;
        self.horizon = Horizon::of(&self.scenario.town(&self.policy, &self.config)?)?;
        Ok(self)
    }

    /// With some settings of a host's own: an object as in `town.config` of a snapshot, of which only
    /// what differs from the searched town's has to be there. The rigs' merge strategies stay the
    /// scenario's. A delay of merges has to be a number of whole minutes.
    ///
    /// # Errors
    /// Which setting is unknown or can't be taken, and what was expected.
    pub fn with_config(mut self, config: Value) -> Result<Self, String> {
        self.config = config;
        self.horizon = Horizon::of(&self.scenario.town(&self.policy, &self.config)?)?;
        Ok(self)
    }
}

impl State {
    pub(crate) fn event(&mut self, kind: impl Into<EventKind>) -> Option<Event> {
        self.events += 1;
        Some(Event {
            id: EventId::new(format!("ev{}", self.events)).ok()?,
            at: self.now,
            key: None,
            kind: kind.into(),
        })
    }

    /// Observes an event.
    pub(crate) fn observe(&mut self, event: Option<Event>) {
        if let Some(event) = event {
            let facts = Facts::before(&self.town, &event);
            let before = self.town.clone();
            let observed = self.town.observe(&event, self.now);
            self.judge(&before, Cause::Event(&event));
            let held = facts.judge(&before, &self.town, &event, observed.changed);
            self.broken = self.broken.take().or(held.err());
        }
    }

    /// A command of a person or an agent.
    pub(crate) fn execute(&mut self, command: Command) {
        let before = self.town.clone();
        let taken = self.town.execute(command, self.now).is_ok();
        if !taken && self.town != before {
            self.broken = Some("P2: a refused command changed the town".into());
        }
        self.judge(&before, Cause::Command);
    }

    /// The invariants of steps and P15, of an input.
    fn judge(&mut self, before: &Town, cause: Cause<'_>) {
        if let Some(first) = check_step(before, cause, &self.town, self.now).first() {
            let what = format!("{} by an input: {}", first.invariant, first.message);
            self.broken.get_or_insert(what);
        }
        let held = costs::of_a_step(before, &self.town);
        self.broken = self.broken.take().or(held.err());
    }

    pub(crate) fn tell(&mut self, kind: impl Into<EventKind>) {
        let event = self.event(kind);
        self.observe(event);
    }

    /// Silence until now means nothing.
    pub(crate) fn gap(&mut self) {
        let now = self.now;
        self.tell(ObservationGap { from: now, to: now });
    }

    /// Notices arrive at once: no rule depends on when they do. Says whether there were any.
    fn notices_arrive(&mut self) -> bool {
        let (notices, others) = core::mem::take(&mut self.outbox)
            .into_iter()
            .partition(|effect| matches!(effect.kind, EffectKind::NotifyMayor(_)));
        self.outbox = others;
        let notices: Vec<Effect> = notices;
        for effect in &notices {
            if let EffectKind::NotifyMayor(notice) = &effect.kind {
                let mut event = self.event(Notified {
                    topic: notice.topic.clone(),
                    outcome: EffectOutcome::Done,
                });
                if let Some(event) = &mut event {
                    event.key = Some(effect.key.clone());
                }
                self.observe(event);
            }
        }
        !notices.is_empty()
    }

    /// Lets the town come to rest, checking every pass (P2, P3, P15 and the invariants of steps).
    pub(crate) fn settle(&mut self) -> Result<(), String> {
        let limit = self.town.policy().settle_limit.max(1);
        let mut passes = 0_u32;
        loop {
            let actions = match outlook(&self.town, self.now) {
                Outlook::Due(actions) if passes >= limit => return Err(restless(limit, &actions)),
                Outlook::Due(actions) => actions,
                Outlook::Rest { .. } if self.notices_arrive() => continue,
                Outlook::Rest { until } => {
                    self.wakeup = until;
                    self.outbox.retain(|effect| self.town.wants(effect));
                    self.town.discard_changes();
                    return Ok(());
                }
            };
            no_sentinel(&actions)?;
            let before = self.town.clone();
            for action in &actions {
                match self.town.apply(action, self.now) {
                    Ok(effects) => self.outbox.extend(effects),
                    Err(error) => return Err(format!("P2: {}: {error}", action.rule)),
                }
            }
            if let Some(first) =
                check_step(&before, Cause::Pass(&actions), &self.town, self.now).first()
            {
                return Err(format!("{} by a pass: {}", first.invariant, first.message));
            }
            costs::of_a_pass(&before, &actions, &self.town)?;
            passes += 1;
        }
    }
}

impl Model for SmallTown {
    type State = State;
    type Move = Move;

    fn start(&self) -> Result<State, String> {
        let mut state = State {
            town: self.scenario.town(&self.policy, &self.config)?,
            now: crate::towns::now(),
            wakeup: None,
            outbox: Vec::new(),
            late: None,
            sessions: BTreeMap::new(),
            prs: BTreeMap::new(),
            landed: BTreeSet::new(),
            faults_left: self.faults,
            happened: BTreeSet::new(),
            events: 0,
            broken: None,
        };
        for mr in state.town.live_beads() {
            if let Some(review) = mr.review()
                && let Some(url) = &review.pr_url
            {
                let pr = Pr {
                    fate: Fate::Open,
                    heads: 1,
                    branch: review.branch.clone(),
                    base: review.target_branch.clone(),
                };
                state.prs.insert(url.clone(), pr);
            }
        }
        state.settle()?;
        Ok(state)
    }

    fn moves(&self, state: &State) -> Vec<Move> {
        Move::all(state)
    }

    fn is_fault(&self, step: &Move) -> bool {
        step.is_bounded()
    }

    fn take(&self, state: &State, step: &Move) -> Result<State, String> {
        let mut after = state.clone();
        step.take(&mut after)?;
        if let Some(what) = after.broken.take() {
            return Err(what);
        }
        for bead in state.town.beads().filter(|bead| !bead.is_live()) {
            if after
                .town
                .bead(&bead.id)
                .is_some_and(|now| now.status != bead.status)
            {
                return Err(format!("I1: {} had ended and changed", bead.id));
            }
        }
        after.settle()?;
        Ok(after)
    }

    fn digest(&self, state: &State) -> Result<u128, String> {
        let names = Names::of(&state.town, state.now, self.horizon);
        let mut out = Digest::new();
        canonical::town(&state.town, &names, &mut out)?;
        for effect in &state.outbox {
            canonical::effect(effect, &state.town, &names, &mut out);
        }
        out.mark(Mark::End);
        if let Some(late) = &state.late {
            names.text(&late.digest_text(), &mut out);
            out.yes_or_no(is_of_the_current_session(&state.town, late));
            // Whether it still says something, and how old it is: what is too late stays too late.
            let arrives = renamed(late.clone());
            let says = state.town.clone().observe(&arrives, state.now).changed;
            out.yes_or_no(says);
            names.text(&late.at.to_string(), &mut out);
        }
        out.mark(Mark::End);
        for (agent, session) in &state.sessions {
            names.text(agent.as_str(), &mut out);
            let current = names.session_of(agent.as_str());
            out.number(canonical::behind(current, session.number));
            if let Some(bead) = &session.bead {
                names.text(bead.as_str(), &mut out);
            }
            // Which of the stops that are under way end it.
            for effect in &state.outbox {
                if let EffectKind::StopAgent(stop) = &effect.kind {
                    out.yes_or_no(stop.agent_id == *agent && stop.session == session.number);
                }
            }
        }
        out.mark(Mark::End);
        for (url, pr) in &state.prs {
            names.text(url, &mut out);
            out.number(pr.fate as u64);
            out.number(pr.heads.into());
        }
        out.mark(Mark::End);
        for (rig, branch, target) in &state.landed {
            names.text(rig.as_str(), &mut out);
            names.text(branch, &mut out);
            names.text(target, &mut out);
        }
        out.mark(Mark::End);
        out.number(state.faults_left.into());
        Ok(out.end())
    }

    fn always(&self, state: &State) -> Result<(), String> {
        if let Some(first) = check(&state.town, state.now).first() {
            return Err(format!("{}: {}", first.invariant, first.message));
        }
        if state.wakeup.is_some_and(|wakeup| wakeup <= state.now) {
            return Err("P5: a town at rest wakes up at once".into());
        }
        no_silent_stall(&state.town, state.now)?;
        one_review_per_branch(&state.town)
    }

    fn calm(&self, state: &State) -> Result<Option<State>, String> {
        let Some(step) = Move::calm(state) else {
            return Ok(None);
        };
        let mut after = self.take(state, &step)?;
        after.faults_left = 0;
        Ok(Some(after))
    }

    fn is_settled(&self, state: &State) -> bool {
        // A pull request is ready here as soon as it is open.
        let turn_of = |_: &Bead, url: &str| match state.prs.get(url) {
            Some(pr) if pr.fate == Fate::Open => Turn::ToMerge,
            _ => Turn::Ended,
        };
        let mut resting = Resting::of(&state.town, state.now, &turn_of);
        live_work(&state.town).all(|bead| resting.has(bead))
    }

    fn sometimes(&self) -> Vec<Sometimes<State>> {
        sometimes::of(self.scenario, self.faults)
    }
}

/// What an event says, without what differs between equal ones.
trait DigestText {
    fn digest_text(&self) -> String;
}

impl DigestText for Event {
    fn digest_text(&self) -> String {
        let subject = self.key.as_ref().map_or("", |key| key.subject.as_str());
        let mut kind = self.kind.clone();
        if let EventKind::AgentExited(exit) = &mut kind {
            exit.session = None;
        }
        format!("{} {subject} {kind:?}", self.kind.type_name())
    }
}

/// Whether a late exit is of the session that its agent has; an older one never becomes current.
pub(crate) fn is_of_the_current_session(town: &Town, event: &Event) -> bool {
    match &event.kind {
        EventKind::AgentExited(exit) => town
            .agent(&exit.agent_id)
            .is_some_and(|agent| Some(agent.session) == exit.session),
        _ => true,
    }
}
