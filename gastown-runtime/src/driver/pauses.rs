//! How long the loop sleeps: nothing is polled that does not have to be (spec 6.2).

use std::sync::Arc;
use std::time::Duration;

use gastown_core::{StoreError, check};
use metrics::counter;
use tokio::time::sleep;

use super::Driver;
use crate::error::RuntimeError;
use crate::runner::RunnerSettings;
use crate::telemetry;
use crate::town_handle::TownStatus;

/// The shortest sleep: a clock with coarse steps can't make the loop spin.
const SLEEP_MIN: Duration = Duration::from_millis(1);
/// The tick intervals of a town that sets none (spec 1.9).
const TICK_INTERVAL_ACTIVE: Duration = Duration::from_secs(5);
const TICK_INTERVAL_IDLE: Duration = Duration::from_secs(5 * 60);
/// Heartbeats are taken at least this many times within the time after which silence counts.
const HEARTBEATS_PER_TIMEOUT: u32 = 4;

impl Driver {
    pub(super) fn heartbeats_are_due(&mut self) -> bool {
        let due = self.is_past(self.state.heartbeats_at);
        if due {
            self.state.heartbeats_at = None;
        }
        due
    }

    /// How long nothing has to be done if nothing comes.
    pub(super) fn until_next(&mut self) -> Duration {
        let now = self.now();
        let monotonic = self.monotonic();
        let since_look = self.state.looked_at.map(|at| monotonic.saturating_sub(at));
        let mut pause = self
            .longest_pause()
            .saturating_sub(since_look.unwrap_or_default());
        let planned = [self.state.outbox_at, self.state.chores.renew_at];
        for at in planned.into_iter().flatten() {
            pause = pause.min(at.saturating_sub(monotonic));
        }
        if self.inbox.has_heartbeats() {
            // Planned once, so that a stream of heartbeats does not put it off.
            let delay = self.heartbeat_delay();
            let at = *self
                .state
                .heartbeats_at
                .get_or_insert_with(|| monotonic.saturating_add(delay));
            pause = pause.min(at.saturating_sub(monotonic));
        }
        if !self.state.calls.is_empty() || self.state.look || !self.state.exits.is_empty() {
            pause = Duration::ZERO;
        }
        if let Some(at) = self.state.wakeup {
            pause = pause.min(at.since(now));
        }
        if self.state.frozen.is_some() {
            return self.settings.renew_every();
        }
        pause.max(SLEEP_MIN)
    }

    /// The town's tick interval: an upper bound within which other writers' events are found.
    pub(super) fn longest_pause(&self) -> Duration {
        let Some(town) = &self.state.town else {
            return self.settings.renew_every();
        };
        let config = &town.state().config;
        let is_active = !self.state.in_flight.is_empty()
            || town.agents().any(|agent| agent.status.is_running());
        match is_active {
            true => config.tick_interval_active.unwrap_or(TICK_INTERVAL_ACTIVE),
            false => config.tick_interval_idle.unwrap_or(TICK_INTERVAL_IDLE),
        }
    }

    /// How long heartbeats are gathered: well below the time after which silence counts.
    pub(super) fn heartbeat_delay(&self) -> Duration {
        let Some(town) = &self.state.town else {
            return Duration::ZERO;
        };
        let timeout = town.policy().heartbeat_timeout;
        let share = timeout
            .checked_div(HEARTBEATS_PER_TIMEOUT)
            .unwrap_or_default();
        let interval = town.state().config.tick_interval_active;
        share.min(interval.unwrap_or(TICK_INTERVAL_ACTIVE))
    }

    /// Backs off; what failed is made again from a fresh load.
    pub(super) fn after_failure(&mut self, error: &RuntimeError) -> Duration {
        self.state.failures = self.state.failures.saturating_add(1);
        let pause = pause_after(self.state.failures, &self.settings);
        let waits = matches!(error, RuntimeError::UseStore { source, .. }
            if matches!(**source, StoreError::Leased { .. }));
        if !waits {
            counter!(telemetry::FAILURES).increment(1);
            tracing::warn!(town = %self.town_id, %error, ?pause, "town fails");
            self.status.send_replace(TownStatus::Failing {
                error: error.to_string(),
            });
        }
        pause
    }

    /// After a round in which nothing failed: what failed before is over, also if nothing was to be
    /// done that would show it.
    pub(super) fn after_success(&mut self) {
        self.state.failures = 0;
        if let Some(broken) = &self.state.frozen {
            // What it could not do meanwhile has hidden it.
            self.status.send_if_modified(|status| {
                let is_shown = matches!(status, TownStatus::Frozen { .. });
                if !is_shown {
                    let broken = Arc::clone(broken);
                    *status = TownStatus::Frozen { broken };
                }
                !is_shown
            });
            return;
        }
        let failed = matches!(&*self.status.borrow(), TownStatus::Failing { .. });
        if let Ok(town) = self.town()
            && failed
        {
            self.status.send_replace(TownStatus::Running {
                version: self.state.version,
                violations: check(town, self.now()),
                next_wakeup: self.state.wakeup,
            });
        }
    }

    /// Sleeps until something comes or `pause` is over. After a failure only time helps, but what
    /// waits still is answered.
    pub(super) async fn sleep(&mut self, pause: Duration) {
        tokio::select! {
            biased;
            () = self.inbox.woken() => {}
            // An effect that was cut off tells nobody else.
            Some(ended) = self.state.effects.join_next() => self.note_effect(ended),
            () = sleep(pause) => {}
        }
    }
}

/// How long to wait after so many failures in a row.
fn pause_after(failures: u32, settings: &RunnerSettings) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    let pause = settings
        .retry_min
        .saturating_mul(2_u32.saturating_pow(doublings));
    pause.min(settings.retry_max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_begin_at_the_least_double_and_end_at_the_most() {
        let settings = RunnerSettings {
            retry_min: Duration::from_millis(100),
            retry_max: Duration::from_secs(30),
            ..RunnerSettings::usual()
        };
        let millis = |failures| pause_after(failures, &settings).as_millis();
        let first = [1, 2, 3, 8, 9].map(millis);
        assert_eq!(first, [100, 200, 400, 12_800, 25_600]);
        assert_eq!([10, 17, u32::MAX].map(millis), [30_000; 3]);
    }
}
