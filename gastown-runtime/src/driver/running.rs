//! Effects that run beside the loop.

use gastown_core::{Effect, EffectKey};
use tokio::task::JoinError;

use super::Driver;

/// The kind of the effects that start agents.
const START_AGENT: &str = "start_agent";

impl Driver {
    /// Runs an effect that is committed, unless it is under way.
    pub(super) fn spawn(&mut self, effect: Effect) {
        if self.state.in_flight.contains_key(&effect.key) {
            return;
        }
        let performer = self.performer.clone();
        let key = effect.key.clone();
        let task = self.state.effects.spawn(async move {
            let key = effect.key.clone();
            let finished = performer.perform(effect).await;
            // The loop has to hear of an effect that stays in the outbox, too.
            performer.inbox.store_has_news();
            (key, finished)
        });
        self.state.in_flight.insert(key, task.id());
    }

    /// Takes note of effects that have ended.
    pub(super) fn collect_effects(&mut self) {
        while let Some(ended) = self.state.effects.try_join_next() {
            self.note_effect(ended);
        }
    }

    /// Takes note of an effect that has ended, be it by a fault of its adapter.
    pub(super) fn note_effect(&mut self, ended: Result<(EffectKey, bool), JoinError>) {
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
                tracing::error!(town = %self.town_id, %error, "an effect was cut off");
                self.state.in_flight.retain(|_, task| *task != error.id());
                self.look_at_outbox_later();
            }
        }
    }

    /// An effect that could not be finished runs again, but not at once: whatever kept it from
    /// being finished needs time.
    pub(super) fn look_at_outbox_later(&mut self) {
        let later = self.monotonic().saturating_add(self.settings.retry_max);
        self.state.outbox_at.get_or_insert(later);
    }
}
