//! A host in miniature: it drives a world's town through a store, tick by tick, as a runner does,
//! but one call at a time. For tests of stores, of recovery and of replay.

use gastown_core::replay::is_recorded;
use gastown_core::{
    Command, Commit, EffectKey, Event, Finish, HistoryFilter, HistoryKind, RecallError, Row, Store,
    StoreError, TickInput, Town, recall, snapshot_entries, tick,
};

use crate::world::{Input, Step, World};

/// How many pending events one tick takes.
const EVENTS_PER_TICK_MAX: usize = 7;

/// What the store has acknowledged, one call after the other.
#[derive(Debug, Clone, PartialEq)]
pub enum Acknowledged {
    /// A commit made this version.
    Committed(u64),
    /// An event is in the inbox.
    Appended(String),
    /// An effect may be performed: a commit returned it, or the outbox still has it.
    Seen(EffectKey),
    /// An effect is finished.
    Finished(EffectKey),
}

/// Drives one town.
pub struct Host<'a> {
    store: &'a dyn Store,
    world: World,
    version: u64,
    loaded: bool,
    base: Option<Vec<Row>>,
    commands: Vec<Command>,
    tell: &'a mut dyn FnMut(Acknowledged),
}

impl std::fmt::Debug for Host<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Host")
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

impl<'a> Host<'a> {
    /// Creates the world's town in the store unless it is there, and loads it. `tell` hears of
    /// everything that the store has acknowledged, at once.
    ///
    /// # Errors
    /// Whatever the store says.
    pub async fn open(
        store: &'a dyn Store,
        mut world: World,
        tell: &'a mut dyn FnMut(Acknowledged),
    ) -> Result<Self, StoreError> {
        let mut changes = world.town.take_changes();
        let working = changes.put.iter().filter(|row| row.working).cloned();
        let base = snapshot_entries(1, world.now, working);
        changes.history.extend(base);
        let create = Commit {
            expected_version: 0,
            lease_token: None,
            changes,
            consumed: Vec::new(),
            effects: Vec::new(),
            at: world.now,
        };
        let was_there = match store.commit(world.town.id(), create).await {
            Ok(committed) => {
                tell(Acknowledged::Committed(committed.version()));
                false
            }
            Err(StoreError::Conflict { .. }) => true,
            Err(error) => return Err(error),
        };
        let mut host = Self {
            store,
            world,
            version: 0,
            loaded: true,
            base: None,
            commands: Vec::new(),
            tell,
        };
        // Making a town leaves a base; each later start leaves another.
        host.reload(was_there).await?;
        Ok(host)
    }

    /// The town as this host knows it.
    #[must_use]
    pub fn town(&self) -> &Town {
        &self.world.town
    }

    /// Forgets everything and loads again, as after a crash; `with_base` leaves a base for replays,
    /// and so does the first load that finds none, and one after a commit that no tick recorded.
    ///
    /// # Errors
    /// Whatever the store says; [`StoreError::Refused`] if its rows are no town.
    pub async fn reload(&mut self, with_base: bool) -> Result<(), StoreError> {
        let id = self.world.town.id().clone();
        let loaded = self.store.load(&id).await?;
        let any_base = HistoryFilter {
            kind: Some(HistoryKind::Snapshot),
            limit: 1,
            ..HistoryFilter::default()
        };
        let has_base = !self.store.history(&id, any_base).await?.is_empty();
        let is_recorded = is_recorded(self.store, &id, loaded.version).await?;
        let needs_base = with_base || !has_base || !is_recorded;
        self.base = needs_base.then(|| loaded.rows.clone());
        self.world.town = Town::from_rows(loaded.rows).map_err(|error| StoreError::Refused {
            operation: "load",
            reason: error.to_string(),
        })?;
        self.version = loaded.version;
        self.loaded = true;
        self.commands.clear();
        self.world.outbox = self.store.pending_effects(&id).await?;
        for effect in &self.world.outbox {
            (self.tell)(Acknowledged::Seen(effect.key.clone()));
        }
        Ok(())
    }

    /// Something happens; the town hears of it in its next tick.
    ///
    /// # Errors
    /// Whatever the store says.
    pub async fn step(&mut self, step: &Step) -> Result<(), StoreError> {
        // What happens depends on the town, but only the tick changes it.
        let town = self.world.town.clone();
        let outbox = self.world.outbox.clone();
        let inputs = self.world.perform(step);
        self.world.town = town;
        let mut events: Vec<Event> = Vec::new();
        for input in inputs {
            match input {
                Input::Event(event) => events.push(event),
                Input::Command(command) => self.commands.push(command),
            }
        }
        let answered = outbox
            .iter()
            .find(|effect| !self.world.outbox.contains(effect));
        let ids: Vec<String> = events.iter().map(|event| event.id.to_string()).collect();
        let id = self.world.town.id();
        match answered {
            Some(effect) => {
                let (key, now) = (&effect.key, self.world.now);
                self.store
                    .finish_effect(id, key, Finish::Done, events, now)
                    .await?;
                (self.tell)(Acknowledged::Finished(key.clone()));
            }
            None if events.is_empty() => return Ok(()),
            None => {
                self.store.append_events(id, events).await?;
            }
        }
        ids.into_iter()
            .for_each(|id| (self.tell)(Acknowledged::Appended(id)));
        Ok(())
    }

    /// A command comes in; the next tick executes it.
    pub fn command(&mut self, command: Command) {
        self.commands.push(command);
    }

    /// Something happens that no tick records: a host that writes a commit of its own. The town is
    /// loaded again, as a runner does that was overtaken.
    ///
    /// # Errors
    /// Whatever the store says.
    pub async fn step_aside(&mut self, step: &Step) -> Result<(), StoreError> {
        self.world.perform(step);
        let commit = Commit {
            expected_version: self.version,
            lease_token: None,
            changes: self.world.town.take_changes(),
            consumed: Vec::new(),
            effects: Vec::new(),
            at: self.world.now,
        };
        let committed = self.store.commit(self.world.town.id(), commit).await?;
        (self.tell)(Acknowledged::Committed(committed.version()));
        self.reload(false).await
    }

    /// One tick; returns whether there was anything to commit.
    ///
    /// # Errors
    /// Whatever the store says. The host has to [`Host::reload`] before it goes on.
    pub async fn tick(&mut self) -> Result<bool, StoreError> {
        let id = self.world.town.id().clone();
        let stored = self.store.pending_events(&id, EVENTS_PER_TICK_MAX).await?;
        let commands = std::mem::take(&mut self.commands);
        let recalled = recall(self.store, &self.world.town, &commands).await;
        let recalled = recalled.map_err(refused_recall)?;
        let input = TickInput {
            number: self.version.saturating_add(1),
            now: self.world.now,
            loaded: self.loaded,
            recalled: &recalled,
            stored: &stored,
            local: &[],
            commands: &commands,
        };
        let ticked = tick(&mut self.world.town, &input);
        let record = ticked.record(&input, std::time::Duration::ZERO);
        let (mut changes, effects) = (ticked.changes, ticked.settled.effects);
        let all_accepted = ticked.answers.iter().all(Result::is_ok);
        if changes.is_empty() && effects.is_empty() && stored.is_empty() && all_accepted {
            return Ok(false);
        }
        changes.history.extend(record);
        if let Some(rows) = self.base.take() {
            let base = snapshot_entries(self.version, self.world.now, rows);
            changes.history.splice(0..0, base);
        }
        let commit = Commit {
            expected_version: self.version,
            lease_token: None,
            changes,
            consumed: stored.iter().map(|event| event.id.clone()).collect(),
            effects,
            at: self.world.now,
        };
        let committed = self.store.commit(&id, commit).await?;
        self.version = committed.version();
        self.loaded = false;
        (self.tell)(Acknowledged::Committed(self.version));
        for effect in committed.into_effects() {
            (self.tell)(Acknowledged::Seen(effect.key.clone()));
            self.world.outbox.push(effect);
        }
        Ok(true)
    }
}

fn refused_recall(error: RecallError) -> StoreError {
    match error {
        RecallError::Store(error) => error,
        RecallError::Unreadable(problem) => StoreError::Refused {
            operation: "recall",
            reason: problem.to_string(),
        },
    }
}
