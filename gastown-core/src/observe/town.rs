//! What happens to the place where agents run (spec 1.8, 2.2, 3.1).

use alloc::format;
use alloc::string::ToString;

use super::Outcome;
use crate::drain::Drain;
use crate::event::{ContainerEviction, ContainerReady, ObservationGap};
use crate::time::Timestamp;
use crate::town::Town;

impl Town {
    /// Silence before the end of a gap means nothing. A gap that ends in the future ends now, and one
    /// that is known to end in the future ended with the clock that was set back since: a clock that was
    /// ahead must not hold judgement back.
    pub(super) fn observation_gap(&mut self, event: &ObservationGap, now: Timestamp) -> Outcome {
        let to = event.to.min(now);
        let known = self.state().judge_from.filter(|from| *from <= now);
        if known.is_some_and(|from| from >= to) {
            return Err("a later gap is known".to_string());
        }
        self.state_mut().judge_from = Some(to);
        Ok(format!("silence is judged from {to}"))
    }

    pub(super) fn container_eviction(
        &mut self,
        event: &ContainerEviction,
        now: Timestamp,
    ) -> Outcome {
        if self
            .state()
            .drain
            .as_ref()
            .is_some_and(|drain| drain.nonce == event.nonce)
        {
            return Err("this eviction is known".to_string());
        }
        // Another eviction replaces the nonce only: who evicts again and again must not hold
        // dispatch back for ever (spec 2.2, 3.1).
        let drain = self.state_mut().drain.get_or_insert_with(|| Drain {
            nonce: event.nonce.clone(),
            started_at: now,
        });
        drain.nonce.clone_from(&event.nonce);
        Ok("draining".to_string())
    }

    pub(super) fn container_ready(&mut self, event: &ContainerReady, now: Timestamp) -> Outcome {
        match &self.state().drain {
            None => Err("there is no drain".to_string()),
            Some(drain) if drain.nonce != event.nonce => {
                Err("the nonce is not that of the eviction".to_string())
            }
            Some(_) => {
                self.end_drain(now);
                Ok("the drain has ended".to_string())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::observed;

    /// Another eviction replaces the nonce: drain_timeout is that of the first.
    #[test]
    fn container_eviction_replaces_the_nonce_and_not_the_beginning() {
        let town = "town drain.nonce=n1 drain.started_at=-1m";
        let event = r#"{"type": "container_eviction", "nonce": "n2"}"#;
        let told = observed(town, "0s", event);
        assert!(told.contains(r#"drain.nonce: "n1" → "n2""#), "{told}");
        assert!(!told.contains("started_at"), "{told}");
    }

    /// P11: a clock that was ahead, and was set right, does not hold judgement back until its time comes.
    #[test]
    fn observation_gap_after_a_clock_that_was_ahead() {
        let gap = r#"{"type": "observation_gap", "from": "2026-04-04T11:00:00Z", "to": "2026-04-04T12:00:00Z"}"#;
        let ahead = "town judge_from=1d";
        let told = observed(ahead, "0s", gap);
        assert!(told.contains(r#"→ "2026-04-04T12:00:00.000Z""#), "{told}");
        let later = "town judge_from=0s";
        assert!(observed(later, "0s", gap).starts_with("ignored"));
        let ready = r#"{"type": "container_ready", "nonce": "n1"}"#;
        let drained = "town judge_from=1d drain.nonce=n1 drain.started_at=-1m";
        let told = observed(drained, "0s", ready);
        assert!(told.contains("judge_from"), "{told}");
    }
}
