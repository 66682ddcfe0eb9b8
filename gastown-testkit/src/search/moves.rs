//! What may happen next in a small town, and what comes of it.

mod agents;
mod effects;
mod forge;

use std::time::Duration;

use gastown_core::commands::{CloseBead, Hold};
use gastown_core::events::{ContainerReady, ExitStatus, Heartbeat};
use gastown_core::{AgentId, BeadId, Caller, Command, Event, EventId, Role, Town, Work};

use self::agents::{agent_done, agent_exits, evicted};
use self::effects::{failed, performed};
use super::canonical::GRID;
use super::small_town::{Fate, State};
use crate::loaded::is_what_was_held;

/// One step of the grid.
const STEP: Duration = Duration::from_millis(GRID.unsigned_abs());

/// One thing that may happen. Those that count as a fault or a human act are bounded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Move {
    /// Time passes until the engine wakes up; agents that run are heard of.
    TimePasses,
    /// The same, but nobody is heard of. A fault.
    SilentTimePasses,
    /// One step of the grid passes, where the engine wakes up later.
    StepPasses,
    /// An effect is done and its result arrives.
    Done(usize),
    /// An effect fails. A fault.
    Fails(usize),
    /// An effect is done, and nobody hears of it. A fault.
    Lost(usize),
    /// An effect is done, and its result comes later. A fault.
    Late(usize),
    /// An effect is done, and its result comes now and once more later. A fault.
    Twice(usize),
    /// The host crashes after an effect was done and before that was written down. A fault.
    Crash(usize),
    /// What was late arrives.
    Arrives,
    /// A session says that it is done.
    AgentDone(AgentId),
    /// A session ends with a failure. A fault.
    AgentFails(AgentId),
    /// A session ends and nobody says so. A fault.
    AgentDies(AgentId),
    /// A session ends with a failure, and its exit comes later. A fault.
    AgentFailsLate(AgentId),
    /// A refinery asks for changes, and is done. A fault.
    AsksForChanges(AgentId),
    /// The container is evicted, and its sessions say so. A fault.
    Evicted,
    /// Its successor is announced.
    Ready,
    /// A container of an earlier drain is announced. A fault.
    OldReady,
    /// A person merges a pull request. A human act.
    HumanMerges(String),
    /// A person closes a pull request. A human act.
    HumanCloses(String),
    /// A person pushes to a pull request. A human act.
    HumanPushes(String),
    /// A person closes a bead. A human act.
    ClosesBead(BeadId),
    /// A person holds a bead. A human act.
    Holds(BeadId),
}

impl Move {
    /// Everything that may happen next: first what counts as a fault or a human act, then what does
    /// not. Depth first, the last comes first: faults are then tried from the ends of lives on, and
    /// not used up at their beginning.
    pub(crate) fn all(state: &State) -> Vec<Move> {
        let mut out = Vec::new();
        if state.faults_left > 0 {
            out.extend(faults(state));
            out.extend(human_acts(state));
        }
        if state.town.is_draining() {
            out.push(Move::Ready);
        }
        if state
            .wakeup
            .is_none_or(|wakeup| wakeup > state.now.plus(STEP))
        {
            out.push(Move::StepPasses);
        }
        if state.wakeup.is_some() {
            out.push(Move::TimePasses);
        }
        if state.late.is_some() {
            out.push(Move::Arrives);
        }
        out.extend(state.sessions.keys().cloned().map(Move::AgentDone));
        out.extend((0..state.outbox.len()).map(Move::Done));
        out
    }

    /// The step of a world in which nothing goes wrong: the container comes back, effects are done
    /// in order, agents are done, and only then time passes.
    pub(crate) fn calm(state: &State) -> Option<Move> {
        if state.town.is_draining() {
            return Some(Move::Ready);
        }
        if !state.outbox.is_empty() {
            return Some(Move::Done(0));
        }
        if let Some(agent) = state.sessions.keys().next() {
            return Some(Move::AgentDone(agent.clone()));
        }
        if state.late.is_some() {
            return Some(Move::Arrives);
        }
        state.wakeup.map(|_| Move::TimePasses)
    }

    pub(crate) fn is_bounded(&self) -> bool {
        match self {
            Move::TimePasses
            | Move::StepPasses
            | Move::Done(_)
            | Move::Arrives
            | Move::AgentDone(_)
            | Move::Ready => false,
            Move::SilentTimePasses
            | Move::Fails(_)
            | Move::Lost(_)
            | Move::Late(_)
            | Move::Twice(_)
            | Move::Crash(_)
            | Move::AgentFails(_)
            | Move::AgentDies(_)
            | Move::AgentFailsLate(_)
            | Move::AsksForChanges(_)
            | Move::Evicted
            | Move::OldReady
            | Move::HumanMerges(_)
            | Move::HumanCloses(_)
            | Move::HumanPushes(_)
            | Move::ClosesBead(_)
            | Move::Holds(_) => true,
        }
    }

    /// Changes the world and the town; the town is not at rest then.
    pub(crate) fn take(&self, state: &mut State) -> Result<(), String> {
        if self.is_bounded() {
            state.faults_left = state.faults_left.saturating_sub(1);
        }
        match self {
            Move::TimePasses => {
                until_wakeup(state);
                all_are_heard_of(state);
            }
            Move::SilentTimePasses => {
                state.happened.insert("silent");
                until_wakeup(state);
            }
            Move::StepPasses => {
                state.now = state.now.plus(STEP);
                all_are_heard_of(state);
            }
            Move::Done(n) => {
                let event = performed(state, *n);
                state.observe(event);
            }
            Move::Fails(n) => {
                let event = failed(state, *n);
                state.observe(event);
            }
            Move::Lost(n) => {
                state.happened.insert("lost");
                performed(state, *n);
            }
            Move::Late(n) => {
                state.happened.insert("late");
                state.late = performed(state, *n);
            }
            Move::Twice(n) => {
                let event = performed(state, *n);
                state.late.clone_from(&event);
                state.happened.insert("twice");
                state.observe(event);
            }
            Move::Crash(n) => return crash(state, *n),
            Move::Arrives => {
                let late = state.late.take().map(renamed);
                let before = state.town.clone();
                state.observe(late);
                if state.happened.remove("twice") && state.town == before {
                    state.happened.insert("ignored");
                }
            }
            Move::AgentDone(agent) => agent_done(state, agent, false),
            Move::AsksForChanges(agent) => agent_done(state, agent, true),
            Move::AgentFails(agent) => {
                let exit = agent_exits(state, agent, ExitStatus::Failed, None);
                state.observe(exit);
            }
            Move::AgentFailsLate(agent) => {
                state.late = agent_exits(state, agent, ExitStatus::Failed, None);
            }
            Move::AgentDies(agent) => {
                state.happened.insert("dies");
                state.sessions.remove(agent);
            }
            Move::Evicted => evicted(state),
            Move::Ready => state.tell(ContainerReady {
                nonce: "nonce".into(),
            }),
            Move::OldReady => state.tell(ContainerReady {
                nonce: "older".into(),
            }),
            Move::HumanMerges(url) => ended_by_hand(state, url, Fate::MergedByHand),
            Move::HumanCloses(url) => ended_by_hand(state, url, Fate::Closed),
            Move::HumanPushes(url) => {
                if let Some(pr) = state.prs.get_mut(url) {
                    pr.heads += 1;
                }
            }
            Move::ClosesBead(bead_id) => command(
                state,
                CloseBead {
                    bead_id: bead_id.clone(),
                    reason: None,
                },
            ),
            Move::Holds(bead_id) => command(
                state,
                Hold {
                    bead_id: bead_id.clone(),
                },
            ),
        }
        Ok(())
    }
}

fn is_refinery(town: &Town, agent: &AgentId) -> bool {
    town.agent(agent)
        .is_some_and(|agent| agent.role == Role::Refinery)
}

fn faults(state: &State) -> Vec<Move> {
    let mut out = Vec::new();
    match state.town.is_draining() {
        true => out.push(Move::OldReady),
        false => out.push(Move::Evicted),
    }
    if state.wakeup.is_some() && !state.sessions.is_empty() {
        out.push(Move::SilentTimePasses);
    }
    for n in 0..state.outbox.len() {
        out.extend([Move::Fails(n), Move::Lost(n), Move::Crash(n)]);
        if state.late.is_none() {
            out.extend([Move::Late(n), Move::Twice(n)]);
        }
    }
    for agent in state.sessions.keys() {
        out.push(Move::AgentFails(agent.clone()));
        out.push(Move::AgentDies(agent.clone()));
        if state.late.is_none() {
            out.push(Move::AgentFailsLate(agent.clone()));
        }
        if is_refinery(&state.town, agent) {
            out.push(Move::AsksForChanges(agent.clone()));
        }
    }
    out
}

/// People merge, push to and close what is open; they close and hold the issues and reviews that
/// the town began with.
fn human_acts(state: &State) -> Vec<Move> {
    let mut out = Vec::new();
    for (url, pr) in &state.prs {
        if pr.fate == Fate::Open {
            out.push(Move::HumanMerges(url.clone()));
            out.push(Move::HumanCloses(url.clone()));
            if pr.heads < 3 {
                out.push(Move::HumanPushes(url.clone()));
            }
        }
    }
    for bead in state.town.live_beads() {
        if bead.review().is_some() || matches!(bead.work(), Some(Work::Plain)) {
            out.push(Move::ClosesBead(bead.id.clone()));
            if !bead.held {
                out.push(Move::Holds(bead.id.clone()));
            }
        }
    }
    out
}

/// To the next moment on the grid at which the engine would wake up.
fn until_wakeup(state: &mut State) {
    let Some(wakeup) = state.wakeup else {
        return;
    };
    let ahead = wakeup.as_millis() - state.now.as_millis();
    let steps = ahead.div_euclid(GRID) + i64::from(ahead.rem_euclid(GRID) > 0);
    let millis = u64::try_from(steps.max(1) * GRID).unwrap_or(0);
    state.now = state.now.plus(Duration::from_millis(millis));
}

fn all_are_heard_of(state: &mut State) {
    for (agent_id, session) in state.sessions.clone() {
        let now = state.now;
        state.tell(Heartbeat {
            agent_id,
            session: Some(session.number),
            container_instance: None,
            last_event_type: None,
            last_event_at: Some(now),
            active_tools: Vec::new(),
        });
    }
}

/// The same event once more, under a name of its own.
pub(crate) fn renamed(mut event: Event) -> Event {
    if let Ok(id) = EventId::new(format!("{}x", event.id)) {
        event.id = id;
    }
    event
}

fn command(state: &mut State, kind: impl Into<gastown_core::CommandKind>) {
    let command = Command::new(Caller::user("ann"), kind);
    // What is refused changes nothing, and is one state less.
    state.execute(command);
}

fn ended_by_hand(state: &mut State, url: &str, fate: Fate) {
    if let Some(pr) = state.prs.get_mut(url) {
        pr.fate = fate;
    }
}

/// The host is gone and comes back: the effect stays in the outbox, the town is what was stored.
fn crash(state: &mut State, n: usize) -> Result<(), String> {
    state.happened.insert("crash");
    let effect = state.outbox.get(n).cloned();
    performed(state, n);
    state.outbox.extend(effect);
    let written = gastown_core::wire::snapshot_to_value(&state.town)
        .map_err(|error| format!("P10: the town can't be written: {error}"))?;
    let mut stored = gastown_core::wire::snapshot_from_value(written)
        .map_err(|error| format!("P10: the town can't be written and read: {error}"))?;
    let rows = stored.take_changes().put;
    let loaded = Town::from_rows(rows.into_iter().filter(|row| row.working).collect())
        .map_err(|error| format!("P10: the stored town can't be read: {error}"))?;
    if !is_what_was_held(&state.town, &loaded) {
        return Err("P10: the loaded town is not the one that was stored".into());
    }
    state.town = loaded;
    state.gap();
    Ok(())
}
