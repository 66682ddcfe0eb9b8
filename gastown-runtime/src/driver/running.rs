//! Effects that run beside the loop.

use gastown_core::Effect;

use super::Driver;

/// The kind of the effects that start agents.
const START_AGENT: &str = "start_agent";

impl Driver {
    /// Runs an effect that is committed, unless it is under way.
    pub(super) fn spawn(&mut self, effect: Effect) {
        if !self.state.in_flight.insert(effect.key.clone()) {
            return;
        }
        let performer = self.performer.clone();
        self.state.effects.spawn(async move {
            let key = effect.key.clone();
            let finished = performer.perform(effect).await;
            // The loop has to hear of an effect that stays in the outbox, too.
            performer.inbox.store_has_news();
            (key, finished)
        });
    }

    /// Takes note of effects that have ended.
    pub(super) fn collect_effects(&mut self) {
        while let Some(ended) = self.state.effects.try_join_next() {
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
                    // Which one it was can't be told: the outbox knows what is left.
                    tracing::error!(town = %self.town_id, %error, "an effect was cut off");
                    self.look_at_outbox_later();
                }
            }
        }
        if self.state.effects.is_empty() {
            self.state.in_flight.clear();
        }
    }

    /// An effect that could not be finished runs again, but not at once: whatever kept it from
    /// being finished needs time.
    pub(super) fn look_at_outbox_later(&mut self) {
        let later = self.monotonic().saturating_add(self.settings.retry_max);
        self.state.outbox_at.get_or_insert(later);
    }
}
