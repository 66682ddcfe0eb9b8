//! The safety oracle: what must hold after every step, judged from what was seen and done and not
//! from the engine's own verdicts.

mod allowed;

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use gastown_core::actions::MergePr;
use gastown_core::events::DispatchOutcome;
use gastown_core::forges::{Mergeable, PrState};
use gastown_core::reviews::ReviewOutcome;
use gastown_core::{
    Action, ActionKind, AgentId, AutoMergeDelay, Bead, BeadId, BeadStatus, BreakerState, ChangeSet,
    Command, Effect, EffectKey, Event, EventId, EventKind, ForgeError, MergeOutcome, Observation,
    ReasonCode, Repository, Row, RowKey, Timestamp, Town,
};

use self::allowed::{is_wrong, nothing_blocks, nothing_holds};
use super::forge::{Forge, looks_green};
use super::host::invariants;
use super::{Held, Simulation};
use crate::budgets::Budgets;
use crate::laws::{has_no_stand_in, one_review_per_branch};
use crate::loaded::is_what_was_held;
use crate::waiting::KEEPS_OFF;

/// The oracle: what it remembers, and what of that is durable. A step that is lost in a crash never
/// happened to the town, so the oracle forgets it, too.
#[derive(Debug, Default)]
pub(crate) struct Oracle {
    memory: Memory,
    durable: Memory,
    /// When each session was last heard of, in milliseconds of the simulation.
    beats: BTreeMap<AgentId, (u64, u64)>,
    /// Every row that was committed and is in the working set.
    rows: BTreeMap<RowKey, Row>,
    /// The keys of all effects that were committed.
    keys: BTreeSet<EffectKey>,
    /// Those that nobody has finished, and events that nobody has consumed.
    outbox: BTreeSet<EffectKey>,
    inbox: BTreeSet<EventId>,
    consumed: BTreeSet<EventId>,
}

/// What the oracle remembers of the town's steps. It is copied with every commit, so its maps are
/// shared until one of them changes.
#[derive(Debug, Clone, Default)]
struct Memory {
    ended: Rc<BTreeMap<BeadId, BeadStatus>>,
    /// What each review was last seen to be, and since when it looks green without a break.
    seen: Rc<BTreeMap<BeadId, Rc<Seen>>>,
    budgets: Budgets,
    /// When starts were refused or never reported, and how many since the last that was reported.
    start_failures: Rc<Vec<Timestamp>>,
    failed_in_a_row: u32,
    /// Errors of each review's own pull request since it was last seen well.
    own_errors: Rc<BTreeMap<BeadId, u32>>,
    /// Reviews, with the head that the engine keeps off, as a person was told. A grant lets a bead
    /// forget what was told, not the person.
    told_of_heads: Rc<BTreeSet<(BeadId, Option<String>)>>,
    /// The keys of effects whose result was accepted.
    answered: Rc<BTreeSet<EffectKey>>,
    /// Review beads that ended as merged.
    merged: u64,
}

impl Memory {
    fn start_failed(&mut self, now: Timestamp) {
        Rc::make_mut(&mut self.start_failures).push(now);
        self.failed_in_a_row += 1;
    }

    /// 3.6: enough starts failed in a row, or within the window.
    fn may_trip(&self, town: &Town, now: Timestamp) -> Held {
        let policy = town.policy();
        let in_a_row = self.failed_in_a_row;
        let is_recent = |at: &&Timestamp| now.since(**at) <= policy.breaker_window;
        let recent = self.start_failures.iter().filter(is_recent).count();
        match in_a_row >= policy.breaker_in_a_row || recent >= policy.breaker_threshold as usize {
            true => Ok(()),
            false => Err(format!(
                "3.6: the breaker opened after {in_a_row} failed starts in a row, {recent} of late"
            )),
        }
    }
}

#[derive(Debug)]
struct Seen {
    look: Observation,
    green_since: Option<Timestamp>,
    /// When it last looked green.
    green_at: Option<Timestamp>,
    /// For how long it had looked green when it was last seen.
    green_for: Option<Duration>,
}

impl Oracle {
    pub(crate) fn beat(&mut self, agent: &AgentId, session: u64, at: u64) {
        self.beats.insert(agent.clone(), (session, at));
    }

    /// An event was observed. P15: what it asks for and gives back.
    pub(crate) fn observed(
        &mut self,
        before: &Town,
        event: &Event,
        changed: bool,
        town: &Town,
        now: Timestamp,
    ) -> Held {
        if let Some(key) = event.key.as_ref().filter(|_| changed)
            && !Rc::make_mut(&mut self.memory.answered).insert(key.clone())
        {
            return Err(format!("P10: the result of {key} was applied twice"));
        }
        let gap_max = town.policy().pr_poll_interval.saturating_mul(2);
        match &event.kind {
            EventKind::PrObserved(seen) if changed => match &seen.observation {
                Some(look) => self.looked(&seen.bead_id, look, gap_max, now),
                None => {
                    if seen.error.as_ref().is_some_and(is_of_the_pull_request) {
                        let errors = Rc::make_mut(&mut self.memory.own_errors);
                        *errors.entry(seen.bead_id.clone()).or_default() += 1;
                    }
                }
            },
            EventKind::DispatchFailed(failed)
                if changed && failed.outcome == DispatchOutcome::Rejected =>
            {
                self.memory.start_failed(now);
            }
            EventKind::AgentStarted(_) if changed => self.memory.failed_in_a_row = 0,
            EventKind::MergeAttempted(attempt) if changed => {
                if let Some(seen) = Rc::make_mut(&mut self.memory.seen).get_mut(&attempt.bead_id) {
                    // Whatever came of it, it was green no longer for the whole delay.
                    *seen = Rc::new(Seen {
                        look: seen.look.clone(),
                        green_since: None,
                        green_at: None,
                        green_for: None,
                    });
                }
                if let MergeOutcome::NotReady { observation } = &attempt.outcome {
                    self.looked(&attempt.bead_id, observation, gap_max, now);
                }
            }
            _ => {}
        }
        self.memory.budgets.observed(before, event, town)
    }

    /// Green runs on from the last green look unless that is too long ago, or another look between
    /// them said something else; that nobody knows yet whether it can be merged says nothing
    /// (spec 4.4, 4).
    fn looked(&mut self, mr: &BeadId, look: &Observation, gap_max: Duration, now: Timestamp) {
        if self.memory.own_errors.contains_key(mr) {
            Rc::make_mut(&mut self.memory.own_errors).remove(mr);
        }
        let all = Rc::make_mut(&mut self.memory.seen);
        let before = all
            .remove(mr)
            .filter(|seen| seen.look.head_sha == look.head_sha);
        let (since, last) = before.map_or((None, None), |seen| (seen.green_since, seen.green_at));
        let says_nothing = look.mergeable == Mergeable::Unknown && look.state == PrState::Open;
        let (green_since, green_at) = if looks_green(look) {
            let unbroken = last.is_some_and(|last| now.since(last) <= gap_max);
            let since = since.filter(|_| unbroken).unwrap_or(now);
            (Some(since.min(now)), Some(now))
        } else if says_nothing {
            (since, last)
        } else {
            (None, None)
        };
        let seen = Seen {
            look: look.clone(),
            green_since,
            green_at,
            green_for: green_since.map(|since| now.since(since)),
        };
        all.insert(mr.clone(), Rc::new(seen));
    }

    /// I1 after an input: what has ended stays as it ended.
    pub(crate) fn input(&self, town: &Town) -> Held {
        for (id, status) in &*self.memory.ended {
            if let Some(bead) = town.bead(id).filter(|bead| bead.status != *status) {
                return Err(format!(
                    "I1: {id} had ended as {} and is {}",
                    status.as_str(),
                    bead.status.as_str()
                ));
            }
        }
        Ok(())
    }

    /// After a town has come to rest. What is said to be merged has to be so in the forge.
    pub(crate) fn settled(&mut self, town: &Town, forge: &Forge, now: Timestamp) -> Held {
        invariants(town, now)?;
        self.input(town)?;
        for bead in town.beads().filter(|bead| !bead.is_live()) {
            if !self.memory.ended.contains_key(&bead.id) {
                Rc::make_mut(&mut self.memory.ended).insert(bead.id.clone(), bead.status);
                self.memory.merged += u64::from(is_merged(bead));
                let rig = town.rig_of_review(bead);
                if is_merged(bead) && bead.review().is_some_and(|it| !forge.has_merged(it, rig)) {
                    return Err(format!("I20: {} ended as merged and is not", bead.id));
                }
                self.failed_rightly(town, bead)?;
            }
        }
        self.told_of_heads(town);
        one_review_per_branch(town)
    }

    /// Notes which heads a person was told of.
    fn told_of_heads(&mut self, town: &Town) {
        for mr in super::liveness::live_reviews(town) {
            if let Some(head) = kept_off(mr)
                && KEEPS_OFF.iter().any(|code| mr.told.contains_key(code))
                && !self.was_told_of_head(mr)
            {
                let told = Rc::make_mut(&mut self.memory.told_of_heads);
                told.insert((mr.id.clone(), head.clone()));
            }
        }
    }

    /// Whether the engine keeps off the head of a review, and a person was told so.
    pub(crate) fn was_told_of_head(&self, mr: &Bead) -> bool {
        let told = &self.memory.told_of_heads;
        kept_off(mr).is_some_and(|head| told.contains(&(mr.id.clone(), head.clone())))
    }

    /// 4.3: a pull request is failed for errors of its own, never for those of the world.
    fn failed_rightly(&self, town: &Town, mr: &Bead) -> Held {
        let code = mr.failure.as_ref().map(|failure| failure.code);
        if code != Some(ReasonCode::PrPollFailed) || town.policy().poll_give_up_after.is_some() {
            return Ok(());
        }
        let own = self.memory.own_errors.get(&mr.id).copied().unwrap_or(0);
        match own < town.policy().poll_invalid_limit {
            true => Err(format!(
                "4.3: {} failed after {own} errors of its own",
                mr.id
            )),
            false => Ok(()),
        }
    }

    /// After the actions of one pass.
    pub(crate) fn acted(
        &mut self,
        before: &Town,
        actions: &[Action],
        after: &Town,
        now: Timestamp,
    ) -> Held {
        self.memory.budgets.note(before, after, actions)?;
        for action in actions {
            match &action.kind {
                ActionKind::DispatchAgent(dispatch) => {
                    nothing_holds(before, dispatch)?;
                    nothing_blocks(before, dispatch)?;
                }
                ActionKind::TripBreaker(_) => {
                    let probing = before.state().breaker.state == BreakerState::HalfOpen;
                    if !probing {
                        self.memory.may_trip(before, now)?;
                    }
                }
                ActionKind::StopAgent(_) if action.rule == "agents/never-reported" => {
                    self.memory.start_failed(now);
                }
                ActionKind::VerifyMerge(verify) => has_no_stand_in(before, verify)?,
                ActionKind::MergePr(merge) => self.may_merge(before, merge)?,
                _ => {}
            }
        }
        Ok(())
    }

    /// A command was taken.
    pub(crate) fn helped(&mut self, before: &Town, command: &Command) {
        self.memory.budgets.helped(before, command);
    }

    /// P15 of a command: the repairs that it asks for.
    pub(crate) fn asked_for(&mut self, before: &Town, after: &Town) -> Held {
        self.memory.budgets.beads(before, after)
    }

    /// I13, I14, P17: nothing but what was seen makes a merge right.
    fn may_merge(&self, town: &Town, merge: &MergePr) -> Held {
        let id = &merge.bead_id;
        let Some(mr) = town.bead(id) else {
            return Err(format!("I13: {id} is merged and is not there"));
        };
        let Some(seen) = self.memory.seen.get(id) else {
            return Err(format!("I13: {id} is merged and was never seen"));
        };
        if seen.look.head_sha != merge.head_sha || !looks_green(&seen.look) {
            return Err(format!(
                "I13: {id} is merged at {} and was last seen as {:?}",
                merge.head_sha, seen.look
            ));
        }
        let settings = town.settings_of_review(mr);
        if let Some(why) = is_wrong(town, mr, &seen.look, &settings) {
            return Err(format!("I13: {id} is merged, and {why}"));
        }
        let delay = match settings.auto_merge_delay {
            AutoMergeDelay::Never => return Err(format!("I13: {id} is merged and is never to be")),
            AutoMergeDelay::After(delay) => delay,
        };
        if seen.green_for.is_none_or(|green_for| green_for < delay) {
            return Err(format!(
                "I13: {id} is merged and was green only since {:?}",
                seen.green_since
            ));
        }
        let held = |id: &BeadId| town.bead(id).is_some_and(|bead| bead.held);
        if mr.held || town.source_of(mr).is_some_and(held) {
            return Err(format!("I13: {id} is merged and is held"));
        }
        let repository = Repository::of_pr_url(&merge.pr_url).map(|(repository, _)| repository);
        let rig = town.rig_of_review(mr).and_then(|rig| rig.repository());
        if rig.is_none() || rig != repository {
            return Err(format!("I14: {id} is merged in {}", merge.pr_url));
        }
        Ok(())
    }

    /// Review beads that ended as merged.
    pub(crate) fn merged(&self) -> u64 {
        self.memory.merged
    }

    pub(crate) fn committed(&mut self, changes: &ChangeSet) {
        for row in &changes.put {
            match row.working {
                true => self.rows.insert(row.key.clone(), row.clone()),
                false => self.rows.remove(&row.key),
            };
        }
        for key in &changes.delete {
            self.rows.remove(key);
        }
        self.durable = self.memory.clone();
    }

    /// Events reached the inbox; one that was there before, or was consumed, changes nothing.
    pub(crate) fn appended<'a>(&mut self, events: impl IntoIterator<Item = &'a Event>) {
        let new = events.into_iter().map(|event| event.id.clone());
        let new = new.filter(|id| !self.consumed.contains(id));
        self.inbox.extend(new);
    }

    /// P10: an event is consumed once.
    pub(crate) fn consumed(&mut self, events: &[Event]) -> Held {
        for event in events {
            if !self.inbox.remove(&event.id) || !self.consumed.insert(event.id.clone()) {
                return Err(format!("P10: {} was applied twice", event.id));
            }
        }
        Ok(())
    }

    /// An effect was finished, or withdrawn.
    pub(crate) fn finished(&mut self, key: &EffectKey) {
        self.outbox.remove(key);
    }

    /// P10: every effect and every event that was committed and nobody is through with is there.
    pub(crate) fn pending(&self, effects: &[Effect], events: &[Event]) -> Held {
        let outbox: BTreeSet<&EffectKey> = effects.iter().map(|effect| &effect.key).collect();
        let inbox: BTreeSet<&EventId> = events.iter().map(|event| &event.id).collect();
        if !self.outbox.iter().eq(outbox) {
            return Err("P10: the outbox is not what was committed".into());
        }
        match self.inbox.iter().eq(inbox) {
            true => Ok(()),
            false => Err("P10: the inbox is not what was appended and not consumed".into()),
        }
    }

    /// 2.4: a key names one effect; its attempt comes from the state and only grows.
    pub(crate) fn asked(&mut self, effects: &[Effect]) -> Held {
        for effect in effects {
            if !self.keys.insert(effect.key.clone()) {
                return Err(format!("2.4: two effects have the key {}", effect.key));
            }
            self.outbox.insert(effect.key.clone());
        }
        Ok(())
    }

    /// P10: what was committed is what is loaded, to the byte. What the host held in memory, if it
    /// held what it had committed, was all in it.
    pub(crate) fn loaded(&mut self, rows: &[Row], town: &Town, held: Option<&Town>) -> Held {
        self.memory = self.durable.clone();
        if !self.rows.values().eq(rows) {
            return Err("P10: the loaded rows are not those that were committed".into());
        }
        let Some(held) = held else { return Ok(()) };
        match is_what_was_held(held, town) {
            true => Ok(()),
            false => Err("P10: the loaded town is not the one that was committed".into()),
        }
    }
}

/// Whether an error is of this pull request and not of the world around it (spec 4.3).
fn is_of_the_pull_request(error: &ForgeError) -> bool {
    match error {
        ForgeError::NotFound {
            repository_readable,
        } => *repository_readable,
        ForgeError::UnrecognizedUrl
        | ForgeError::RepositoryMismatch
        | ForgeError::HostNotAllowed
        | ForgeError::InvalidResponse { .. } => true,
        ForgeError::NoToken { .. }
        | ForgeError::Unauthorized
        | ForgeError::Forbidden
        | ForgeError::RateLimited { .. }
        | ForgeError::Server { .. }
        | ForgeError::Network => false,
    }
}

/// The head of a review that the engine keeps off.
fn kept_off(mr: &Bead) -> Option<&Option<String>> {
    let review = mr.review()?;
    let is_off = review.auto_merge.off_for_head.is_some();
    is_off.then_some(&review.head_sha)
}

fn is_merged(bead: &Bead) -> bool {
    let outcome = bead.review().map(|review| review.outcome);
    bead.status == BeadStatus::Closed && outcome == Some(Some(ReviewOutcome::Merged))
}

impl Simulation {
    /// P11: no session that was heard of in time is taken for lost, whatever the clocks say.
    pub(super) fn judges_fairly(&self, town: &Town, actions: &[Action]) -> Held {
        for action in actions.iter().filter(|a| a.rule == "agents/heartbeat-lost") {
            let ActionKind::StopAgent(stop) = &action.kind else {
                continue;
            };
            let silence = self
                .oracle
                .beats
                .get(&stop.agent_id)
                .filter(|(session, _)| *session == stop.session)
                .map(|(_, at)| self.now - at);
            let timeout = town.policy().heartbeat_timeout.as_millis();
            if silence.is_some_and(|silence| u128::from(silence) <= timeout) {
                return Err(format!(
                    "P11: {} was heard of {} ms ago and is taken for lost",
                    stop.agent_id,
                    silence.unwrap_or_default()
                ));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use gastown_core::{Policy, TownConfig, TownId};

    use super::*;

    fn town(settle_limit: u32) -> Town {
        let policy = Policy {
            settle_limit,
            ..Policy::default()
        };
        Town::new(TownId::new("t1").unwrap(), TownConfig::seed(), policy)
    }

    #[test]
    fn p10_rows_that_are_not_as_they_were_committed_are_found() {
        let mut oracle = Oracle::default();
        let mut committed = town(10);
        let changes = committed.take_changes();
        oracle.committed(&changes);
        let mut rows = changes.put;
        rows.sort_by(|a, b| a.key.cmp(&b.key));
        assert_eq!(oracle.loaded(&rows, &committed, Some(&committed)), Ok(()));
        let another = oracle.loaded(&rows, &committed, Some(&town(11)));
        assert!(
            another.is_err(),
            "the host held a change that no row tells of"
        );
        assert!(
            oracle.loaded(&[], &committed, None).is_err(),
            "a row is lost"
        );
        if let Some(row) = rows.first_mut() {
            row.body.push(' ');
        }
        let changed = oracle.loaded(&rows, &committed, None);
        assert!(changed.is_err(), "a row is another");
    }
}
