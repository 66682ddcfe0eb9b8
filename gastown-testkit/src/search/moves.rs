//! What may happen next in a small town, and what comes of it.

use gastown_core::commands::{CloseBead, Hold, RequestChanges};
use gastown_core::effects::{MergePr, PollPr, StartAgent};
use gastown_core::events::{
    AgentDone, AgentExited, AgentStarted, AgentStopped, BranchCreated, ContainerEviction,
    ContainerReady, DispatchFailed, DispatchOutcome, EffectOutcome, ExitStatus, Heartbeat,
    MergeAttempted, MergeVerified, Notified, NudgeDelivered, PrObserved,
};
use gastown_core::forges::{Checks, ChecksState, Feedback, MergeQueue, Mergeable, PrState};
use gastown_core::{
    AgentId, BeadId, Caller, Command, Effect, EffectKind, Event, EventId, EventKind, ForgeError,
    MergeOutcome, MergeStrategy, Observation, Role, Town, VerifyOutcome, Work,
};

use super::canonical::GRID;
use super::small_town::{Fate, Pr, State};

/// One thing that may happen. Those that count as a fault or a human act are bounded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Move {
    /// Time passes until the engine wakes up; agents that run are heard of.
    TimePasses,
    /// The same, but nobody is heard of. A fault.
    SilentTimePasses,
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
    /// A refinery asks for changes, and is done. A fault.
    AsksForChanges(AgentId),
    /// The container is evicted, and its sessions say so. A fault.
    Evicted,
    /// Its successor is announced.
    Ready,
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
    /// Everything that may happen next.
    pub(crate) fn all(state: &State) -> Vec<Move> {
        let mut out = Vec::new();
        let faults = state.faults_left > 0;
        if state.wakeup.is_some() {
            out.push(Move::TimePasses);
            if faults && !state.sessions.is_empty() {
                out.push(Move::SilentTimePasses);
            }
        }
        for n in 0..state.outbox.len() {
            out.push(Move::Done(n));
            if faults {
                out.extend([Move::Fails(n), Move::Lost(n), Move::Crash(n)]);
                if state.late.is_none() {
                    out.extend([Move::Late(n), Move::Twice(n)]);
                }
            }
        }
        if state.late.is_some() {
            out.push(Move::Arrives);
        }
        for agent in state.sessions.keys() {
            out.push(Move::AgentDone(agent.clone()));
            if faults {
                out.push(Move::AgentFails(agent.clone()));
                out.push(Move::AgentDies(agent.clone()));
                if is_refinery(&state.town, agent) {
                    out.push(Move::AsksForChanges(agent.clone()));
                }
            }
        }
        match state.town.is_draining() {
            true => out.push(Move::Ready),
            false if faults => out.push(Move::Evicted),
            false => {}
        }
        if faults {
            out.extend(human_acts(state));
        }
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

    fn is_bounded(&self) -> bool {
        match self {
            Move::TimePasses | Move::Done(_) | Move::Arrives | Move::AgentDone(_) | Move::Ready => {
                false
            }
            Move::SilentTimePasses
            | Move::Fails(_)
            | Move::Lost(_)
            | Move::Late(_)
            | Move::Twice(_)
            | Move::Crash(_)
            | Move::AgentFails(_)
            | Move::AgentDies(_)
            | Move::AsksForChanges(_)
            | Move::Evicted
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
            Move::TimePasses => time_passes(state, true),
            Move::SilentTimePasses => {
                state.happened.insert("silent");
                time_passes(state, false);
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
                state.observe(event);
            }
            Move::Crash(n) => return crash(state, *n),
            Move::Arrives => {
                let late = state.late.take().map(renamed);
                state.observe(late);
            }
            Move::AgentDone(agent) => agent_done(state, agent, false),
            Move::AsksForChanges(agent) => agent_done(state, agent, true),
            Move::AgentFails(agent) => agent_exits(state, agent, ExitStatus::Failed, None),
            Move::AgentDies(agent) => {
                state.happened.insert("dies");
                state.sessions.remove(agent);
            }
            Move::Evicted => evicted(state),
            Move::Ready => state.tell(ContainerReady {
                nonce: "nonce".into(),
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
fn time_passes(state: &mut State, heard: bool) {
    let Some(wakeup) = state.wakeup else {
        return;
    };
    let ahead = wakeup.as_millis() - state.now.as_millis();
    let steps = ahead.div_euclid(GRID) + i64::from(ahead.rem_euclid(GRID) > 0);
    let millis = u64::try_from(steps.max(1) * GRID).unwrap_or(0);
    state.now = state.now.plus(std::time::Duration::from_millis(millis));
    if !heard {
        return;
    }
    for (agent_id, session) in state.sessions.clone() {
        let now = state.now;
        state.tell(Heartbeat {
            agent_id,
            session: Some(session),
            container_instance: None,
            last_event_type: None,
            last_event_at: Some(now),
            active_tools: Vec::new(),
        });
    }
}

/// The same event once more, under a name of its own.
fn renamed(mut event: Event) -> Event {
    if let Ok(id) = EventId::new(format!("{}x", event.id)) {
        event.id = id;
    }
    event
}

fn command(state: &mut State, kind: impl Into<gastown_core::CommandKind>) {
    let command = Command::new(Caller::user("ann"), kind);
    // What is refused changes nothing, and is one state less.
    drop(state.town.execute(command, state.now));
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
    let same = state.town.live_beads().eq(loaded.live_beads())
        && state.town.agents().eq(loaded.agents())
        && state.town.state() == loaded.state();
    if !same {
        return Err("P10: the loaded town is not the one that was stored".into());
    }
    state.town = loaded;
    state.gap();
    Ok(())
}

fn evicted(state: &mut State) {
    state.happened.insert("evicted");
    state.tell(ContainerEviction {
        nonce: "nonce".into(),
    });
    for agent in state.sessions.keys().cloned().collect::<Vec<_>>() {
        agent_exits(
            state,
            &agent,
            ExitStatus::Completed,
            Some("container eviction"),
        );
    }
}

fn agent_exits(state: &mut State, agent: &AgentId, status: ExitStatus, reason: Option<&str>) {
    if let Some(session) = state.sessions.remove(agent) {
        state.tell(AgentExited {
            agent_id: agent.clone(),
            status,
            session: Some(session),
            bead_id: None,
            reason: reason.map(Into::into),
            note: None,
        });
    }
}

/// A session is done with the bead that its agent holds.
fn agent_done(state: &mut State, agent: &AgentId, asks_for_changes: bool) {
    let Some(session) = state.sessions.remove(agent) else {
        return;
    };
    if asks_for_changes {
        let asked = RequestChanges {
            feedback: "more tests".into(),
            files: Vec::new(),
        };
        let command = Command::new(Caller::agent(agent.clone()), asked);
        drop(state.town.execute(command, state.now));
    }
    let held = state.town.agent(agent).and_then(|agent| agent.hook.clone());
    let bead = held.and_then(|id| state.town.bead(&id)).cloned();
    let mut done = AgentDone {
        agent_id: agent.clone(),
        branch: bead
            .as_ref()
            .map_or_else(|| "work/none".into(), |bead| format!("work/{}", bead.id)),
        session: Some(session),
        bead_id: None,
        pr_url: None,
        head_sha: None,
        merge_commit: None,
        summary: None,
    };
    if let Some(bead) = bead {
        match bead.work() {
            Some(Work::Plain) => opens_pr(state, &bead, &mut done),
            Some(work) if work.is_repair() => pushes(state, &bead),
            Some(_) => {}
            None => merges_or_passes(state, &bead, &mut done),
        }
    }
    state.tell(done);
}

fn opens_pr(state: &mut State, bead: &gastown_core::Bead, done: &mut AgentDone) {
    let Some(rig) = state.town.rig_of(bead) else {
        return;
    };
    let settings = state.town.settings(Some(&rig.id));
    if settings.merge_strategy != MergeStrategy::Pr || state.town.convoy_of(&bead.id).is_some() {
        return;
    }
    let url = format!(
        "https://github.com/acme/{}/pull/{}",
        rig.id,
        10 + state.prs.len()
    );
    let known = state
        .prs
        .iter()
        .find(|(_, pr)| pr.branch == done.branch && pr.fate == Fate::Open);
    let url = known.map_or(url, |(url, _)| url.clone());
    let pr = Pr {
        fate: Fate::Open,
        heads: 1,
        branch: done.branch.clone(),
        base: rig.default_branch.clone(),
    };
    let pr = state.prs.entry(url.clone()).or_insert(pr);
    done.head_sha = Some(format!("head{}", pr.heads));
    done.pr_url = Some(url);
}

fn pushes(state: &mut State, repair: &gastown_core::Bead) {
    let mr = state
        .town
        .repaired_mr(repair)
        .and_then(|mr| state.town.bead(mr));
    let url = mr
        .and_then(|mr| mr.review())
        .and_then(|review| review.pr_url.clone());
    if let Some(pr) = url.and_then(|url| state.prs.get_mut(&url)) {
        pr.heads += 1;
    }
}

fn merges_or_passes(state: &mut State, mr: &gastown_core::Bead, done: &mut AgentDone) {
    let Some(review) = mr.review() else { return };
    done.branch.clone_from(&review.branch);
    match &review.pr_url {
        Some(url) => {
            done.pr_url = Some(url.clone());
            done.head_sha = state.prs.get(url).map(|pr| format!("head{}", pr.heads));
        }
        None => {
            state
                .landed
                .insert((review.branch.clone(), review.target_branch.clone()));
            done.merge_commit = Some("landed".into());
        }
    }
}

/// An effect fails, and its adapter says so.
fn failed(state: &mut State, n: usize) -> Option<Event> {
    let effect = state.outbox.remove(n);
    let outcome = EffectOutcome::Failed;
    let server = ForgeError::Server { status: 502 };
    let kind: EventKind = match &effect.kind {
        EffectKind::StartAgent(start) => DispatchFailed {
            agent_id: start.agent_id.clone(),
            outcome: DispatchOutcome::Rejected,
            session: Some(start.session),
            bead_id: Some(start.bead_id.clone()),
            reason: "no room".into(),
        }
        .into(),
        EffectKind::PollPr(poll) => observed(poll, Err(server)),
        EffectKind::MergePr(merge) => MergeAttempted {
            bead_id: merge.bead_id.clone(),
            head_sha: merge.head_sha.clone(),
            outcome: MergeOutcome::Refused {
                status: 405,
                message: "not now".into(),
            },
        }
        .into(),
        EffectKind::VerifyMerge(verify) => MergeVerified {
            bead_id: verify.bead_id.clone(),
            outcome: VerifyOutcome::Unknown,
        }
        .into(),
        _ => plain_result(&effect, outcome)?,
    };
    keyed(state, &effect, kind)
}

/// Does what an effect asks for, and says what its adapter reports.
fn performed(state: &mut State, n: usize) -> Option<Event> {
    let effect = state.outbox.remove(n);
    let kind: EventKind = match &effect.kind {
        EffectKind::StartAgent(start) => started(state, start),
        EffectKind::PollPr(poll) => {
            let look = look(state, &poll.pr_url);
            observed(poll, look)
        }
        EffectKind::MergePr(merge) => merged(state, merge),
        EffectKind::VerifyMerge(verify) => {
            let way = (verify.branch.clone(), verify.target_branch.clone());
            let outcome = match state.landed.contains(&way) {
                true => VerifyOutcome::Landed {
                    commit: "landed".into(),
                },
                false => VerifyOutcome::Absent,
            };
            MergeVerified {
                bead_id: verify.bead_id.clone(),
                outcome,
            }
            .into()
        }
        EffectKind::StopAgent(stop) => {
            if state.sessions.get(&stop.agent_id) == Some(&stop.session) {
                state.sessions.remove(&stop.agent_id);
            }
            plain_result(&effect, EffectOutcome::Done)?
        }
        _ => plain_result(&effect, EffectOutcome::Done)?,
    };
    keyed(state, &effect, kind)
}

fn keyed(state: &mut State, effect: &Effect, kind: EventKind) -> Option<Event> {
    let mut event = state.event(kind)?;
    event.key = Some(effect.key.clone());
    Some(event)
}

fn plain_result(effect: &Effect, outcome: EffectOutcome) -> Option<EventKind> {
    Some(match &effect.kind {
        EffectKind::StopAgent(stop) => AgentStopped {
            agent_id: stop.agent_id.clone(),
            session: Some(stop.session),
            outcome: Some(outcome),
        }
        .into(),
        EffectKind::CreateBranch(create) => BranchCreated {
            convoy_id: create.convoy_id.clone(),
            branch: create.branch.clone(),
            outcome,
            rig_id: Some(create.rig_id.clone()),
        }
        .into(),
        EffectKind::DeliverNudge(nudge) => NudgeDelivered {
            nudge_id: nudge.nudge_id.clone(),
            outcome,
        }
        .into(),
        EffectKind::NotifyMayor(notice) => Notified {
            topic: notice.topic.clone(),
            outcome,
        }
        .into(),
        _ => return None,
    })
}

fn started(state: &mut State, start: &StartAgent) -> EventKind {
    let running = state.sessions.entry(start.agent_id.clone()).or_default();
    *running = start.session.max(*running);
    AgentStarted {
        agent_id: start.agent_id.clone(),
        session: Some(start.session),
        container_instance: None,
    }
    .into()
}

fn observed(poll: &PollPr, look: Result<Observation, ForgeError>) -> EventKind {
    let (observation, error) = match look {
        Ok(look) => (Some(look), None),
        Err(error) => (None, Some(error)),
    };
    PrObserved {
        bead_id: poll.bead_id.clone(),
        pr_url: Some(poll.pr_url.clone()),
        observation,
        error,
    }
    .into()
}

fn merged(state: &mut State, merge: &MergePr) -> EventKind {
    let look = look(state, &merge.pr_url);
    let commit = || MergeOutcome::Merged {
        commit: "merge".into(),
    };
    let outcome = match (state.prs.get_mut(&merge.pr_url), look) {
        (Some(pr), _) if matches!(pr.fate, Fate::MergedByEngine | Fate::MergedByHand) => commit(),
        (Some(pr), Ok(look)) if pr.fate == Fate::Open && look.head_sha == merge.head_sha => {
            pr.fate = Fate::MergedByEngine;
            commit()
        }
        (_, Ok(look)) => MergeOutcome::NotReady {
            observation: Box::new(look),
        },
        (_, Err(error)) => MergeOutcome::Error { error },
    };
    MergeAttempted {
        bead_id: merge.bead_id.clone(),
        head_sha: merge.head_sha.clone(),
        outcome,
    }
    .into()
}

fn look(state: &State, url: &str) -> Result<Observation, ForgeError> {
    let pr = state.prs.get(url).ok_or(ForgeError::NotFound {
        repository_readable: true,
    })?;
    let (pr_state, commit) = match pr.fate {
        Fate::Open => (PrState::Open, None),
        Fate::MergedByEngine | Fate::MergedByHand => (PrState::Merged, Some("merge".into())),
        Fate::Closed => (PrState::Closed, None),
    };
    let repository = url.trim_start_matches("https://github.com/");
    Ok(Observation {
        state: pr_state,
        merge_commit: commit,
        head_sha: format!("head{}", pr.heads),
        head_branch: pr.branch.clone(),
        head_repository: repository.split("/pull/").next().map(Into::into),
        base_branch: pr.base.clone(),
        is_draft: false,
        stacked: false,
        mergeable: Mergeable::Clean,
        merge_queue: MergeQueue::None,
        dequeued: None,
        feedback: Some(Feedback {
            unresolved_threads: 0,
            threads_complete: true,
            checks: Checks {
                state: ChecksState::Passing,
                failing: Vec::new(),
                pending: Vec::new(),
                required_missing: Vec::new(),
            },
            checks_complete: true,
            decision: None,
            decision_head: None,
        }),
        api_budget: None,
    })
}
