//! One town's effects: pending, or finished and remembered until they are pruned.

use std::collections::BTreeMap;

use gastown_core::{Effect, EffectKey, StoreError, Timestamp};

#[derive(Debug, Default)]
pub(crate) struct Outbox {
    pending: BTreeMap<u64, Effect>,
    known: BTreeMap<EffectKey, State>,
    last: u64,
}

#[derive(Debug)]
enum State {
    /// Pending, at this place in the order of commit.
    Pending(u64),
    /// Finished at this time.
    Finished(Timestamp),
}

impl Outbox {
    /// Returns those that were not known: they may be performed.
    pub(crate) fn add(&mut self, effects: Vec<Effect>) -> Vec<Effect> {
        let mut new = Vec::new();
        for effect in effects {
            if self.known.contains_key(&effect.key) {
                continue;
            }
            self.last = self.last.saturating_add(1);
            self.known
                .insert(effect.key.clone(), State::Pending(self.last));
            self.pending.insert(self.last, effect.clone());
            new.push(effect);
        }
        new
    }

    pub(crate) fn pending(&self) -> Vec<Effect> {
        self.pending.values().cloned().collect()
    }

    /// Whether this finish is the first, and hence counts.
    pub(crate) fn finish(&mut self, key: &EffectKey, at: Timestamp) -> Result<bool, StoreError> {
        match self.known.get_mut(key) {
            None => Err(StoreError::Refused {
                operation: "finish_effect",
                reason: format!("effect {key} is not in the outbox"),
            }),
            Some(State::Finished(_)) => Ok(false),
            Some(state) => {
                if let State::Pending(place) = state {
                    self.pending.remove(place);
                }
                *state = State::Finished(at);
                Ok(true)
            }
        }
    }

    pub(crate) fn prune(&mut self, before: Timestamp) -> usize {
        let all = self.known.len();
        self.known.retain(|_, state| match state {
            State::Pending(_) => true,
            State::Finished(at) => *at >= before,
        });
        all.saturating_sub(self.known.len())
    }
}
