//! How fast the world is, next to a policy's thresholds: what is to lie on one side of a threshold does so
//! whatever a host has set.

use std::time::Duration;

use gastown_core::Policy;

/// Heartbeats are at most so far apart, in milliseconds.
const BEAT_MAX: u64 = 45_000;

/// Times of the world, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pace {
    /// Between two heartbeats: an agent is not lost for one of them (spec 3.6).
    pub(super) beat: u64,
    /// How long a look takes at least where looks are slow: longer than the usual interval, and with half of it
    /// more shorter than the gap between two green looks that ends a delay, and than the wait for an answer
    /// (spec 4.4, 7).
    pub(super) slow_look: u64,
}

impl Pace {
    pub(super) fn of(policy: &Policy) -> Self {
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let interval = millis(policy.pr_poll_interval);
        let slower = interval.saturating_add(interval / 6);
        Self {
            beat: BEAT_MAX.min(millis(policy.heartbeat_timeout) / 2).max(1),
            slow_look: slower.min(millis(policy.merge_outcome_timeout) / 2),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_world_keeps_to_the_sides_of_the_thresholds() {
        let usual = Pace::of(&Policy::default());
        assert_eq!((usual.beat, usual.slow_look), (45_000, 70_000));
        let hasty = Pace::of(&Policy {
            heartbeat_timeout: Duration::from_secs(5),
            pr_poll_interval: Duration::from_secs(15),
            ..Policy::default()
        });
        assert_eq!((hasty.beat, hasty.slow_look), (2_500, 17_500));
        let impatient = Pace::of(&Policy {
            merge_outcome_timeout: Duration::from_secs(60),
            ..Policy::default()
        });
        assert_eq!(impatient.slow_look, 30_000);
    }
}
