//! How far times and counters of a searched town have to be told apart: as far as its thresholds and
//! settings go, and what the engine makes of them.

use std::time::Duration;

use gastown_core::{AutoMergeDelay, Policy, Settings, Town};

use super::GRID;

/// Beyond what counts as the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Horizon {
    /// The oldest age that a threshold tells from older ones, in steps of the grid.
    pub(crate) old: i64,
    /// Failed dispatches of an agent beyond which no more count.
    pub(crate) attempts: u64,
}

/// Ages are written as small numbers; searches of towns that need more would not end anyway.
const OLD_MAX: i64 = 100;

/// What no searched town waits for, unless nothing else is left, is longer than this.
const NEVER: Duration = Duration::from_secs(1_000 * 86_400);

impl Default for Horizon {
    /// That of the searched towns' own thresholds.
    fn default() -> Self {
        Self {
            old: 6,
            attempts: 3,
        }
    }
}

impl Horizon {
    /// That of a town. Single times of its policy lie on the grid already, which ends before six steps.
    ///
    /// # Errors
    /// Which threshold or setting reaches too far, or lies beside the grid.
    pub(crate) fn of(town: &Town) -> Result<Self, String> {
        let mut horizon = Self::default();
        for (name, time) in compounds(town.policy()) {
            horizon.reaches(&format!("policy.{name}"), time)?;
        }
        let policy = town.policy();
        // What is quiet is so after an hour, and a reminder comes after ever longer times.
        if policy.poll_quiet_interval > policy.pr_poll_interval {
            return Err(
                "policy.poll_quiet_interval: longer than pr_poll_interval; the search does not wait \
                 the hour after which a pull request is quiet"
                    .into(),
            );
        }
        if policy.pr_waiting_notice < NEVER {
            return Err(
                "policy.pr_waiting_notice: reminders come after ever longer times; expected P3000D"
                    .into(),
            );
        }
        if policy.forge_backoff < NEVER && policy.forge_backoff_max >= NEVER {
            return Err(
                "policy.forge_backoff: doubled without end; expected a forge_backoff_max".into(),
            );
        }
        let of_rigs = town.rigs().map(|rig| town.settings(Some(&rig.id)));
        for settings in of_rigs.chain([town.settings(None)]) {
            horizon.holds(&settings)?;
        }
        Ok(horizon)
    }

    fn holds(&mut self, settings: &Settings) -> Result<(), String> {
        self.attempts = self.attempts.max(settings.max_dispatch_attempts.into());
        if let AutoMergeDelay::After(delay) = settings.auto_merge_delay {
            self.reaches("config.refinery.auto_merge_delay_minutes", delay)?;
        }
        Ok(())
    }

    /// A time that counts; two steps more than it lasts are told apart.
    fn reaches(&mut self, name: &str, time: Duration) -> Result<(), String> {
        if time >= NEVER {
            return Ok(());
        }
        let millis = i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
        // Some are less a millisecond for each time of which they are made.
        let beside = millis.rem_euclid(GRID);
        let steps = millis.div_euclid(GRID) + i64::from(beside > 0);
        if beside > 0 && GRID - beside > 1_000 {
            return Err(format!(
                "{name}: {millis} ms are not on the grid of the search"
            ));
        }
        if steps > OLD_MAX {
            return Err(format!(
                "{name}: it comes to {steps} minutes, and the search tells {OLD_MAX} apart"
            ));
        }
        self.old = self.old.max(steps + 2);
        Ok(())
    }
}

/// The times that the engine makes of several.
fn compounds(policy: &Policy) -> [(&'static str, Duration); 5] {
    let repeated = policy
        .re_escalate_every
        .saturating_mul(policy.re_escalations.max(1));
    [
        // How long a look counts, and how long may lie between two that are green.
        (
            "pr_poll_interval",
            policy.pr_poll_interval.saturating_mul(2),
        ),
        ("probe_interval", policy.probe_pause(policy.probe_limit)),
        (
            "landing_cooldown",
            policy.landing_pause(policy.landing_attempts),
        ),
        ("forge_backoff", policy.forge_pause(u32::MAX)),
        ("re_escalate_every", repeated),
    ]
}
