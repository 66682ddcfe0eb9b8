//! Every threshold in one struct (spec 1.10).

use core::time::Duration;

use serde::{Deserialize, Serialize};

use crate::time::iso_duration;

/// Whether a failed blocker holds what builds on it (spec 1.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailedBlocker {
    /// What builds on failed work waits for a person.
    #[default]
    Block,
    /// A failed blocker counts as settled.
    Release,
}

macro_rules! policy {
    ($($(#[$doc:meta])* $name:ident: $type:ty = $default:expr, $with:tt;)*) => {
        /// Every threshold of the rules, with the defaults of spec 1.10.
        ///
        /// On the wire single thresholds are overridden by name; durations are ISO 8601.
        ///
        /// ```
        /// use gastown_core::Policy;
        /// let policy: Policy = serde_json::from_str(r#"{"heartbeat_timeout": "PT5S"}"#)?;
        /// assert_eq!(policy.heartbeat_timeout.as_secs(), 5);
        /// assert_eq!(policy.landing_attempts, Policy::default().landing_attempts);
        /// # Ok::<(), serde_json::Error>(())
        /// ```
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct Policy {
            $($(#[$doc])* #[serde(with = $with)] pub $name: $type,)*
        }

        impl Default for Policy {
            fn default() -> Self {
                Self { $($name: $default,)* }
            }
        }
    };
}

const fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}
const fn mins(n: u64) -> Duration {
    Duration::from_secs(n.saturating_mul(60))
}
const fn hours(n: u64) -> Duration {
    Duration::from_secs(n.saturating_mul(3600))
}

policy! {
    /// Silence after which a running agent counts as lost.
    heartbeat_timeout: Duration = secs(90), "iso_duration";
    /// From dispatch until an agent must have reported.
    start_grace: Duration = mins(3), "iso_duration";
    /// Pause before the next dispatch of a bead, by its attempts so far (≤1, 2, 3, 4, ≥5).
    dispatch_backoff: [Duration; 5] = [secs(30), mins(1), mins(2), mins(5), mins(10)], "iso_list";
    /// Quiet time after which an agent's own attempts at the cap are forgotten.
    attempts_reset_after: Duration = mins(30), "iso_duration";
    /// Failures within the window that open the breaker.
    breaker_threshold: u32 = 20, "plain";
    /// The window in which the breaker counts failures.
    breaker_window: Duration = mins(30), "iso_duration";
    /// Failed starts without a success between that open the breaker.
    breaker_in_a_row: u32 = 5, "plain";
    /// Pause before an open breaker probes; doubles with each failed probe, at most six hours.
    probe_interval: Duration = mins(10), "iso_duration";
    /// Probes after which only a person's `probe` goes on.
    probe_limit: u32 = 8, "plain";
    /// Time after which an untouched issue in progress without a fresh agent is recovered.
    stale_in_progress: Duration = mins(5), "iso_duration";
    /// How long an issue may be in review although nothing reviews it.
    settled_review_grace: Duration = mins(5), "iso_duration";
    /// Time after which an untouched review without an agent opens again.
    abandoned_review: Duration = mins(2), "iso_duration";
    /// Time after which an untouched review with an idle agent opens again.
    stuck_review: Duration = mins(30), "iso_duration";
    /// How long a stalled agent keeps its hook.
    stalled_timeout: Duration = mins(150), "iso_duration";
    /// Idle time of a working agent until a warning.
    gupp_warn: Duration = mins(15), "iso_duration";
    /// Idle time of a working agent until a triage request.
    gupp_escalate: Duration = hours(1), "iso_duration";
    /// Idle time of a working agent until it is stopped.
    gupp_stop: Duration = hours(2), "iso_duration";
    /// Pause between two nudges of one tier.
    nudge_repeat: Duration = mins(60), "iso_duration";
    /// How long an idle agent without a hook is kept.
    agent_retention: Duration = hours(24), "iso_duration";
    /// Open triage requests that may exist at once; escalations don't count.
    max_open_triage_requests: u32 = 5, "plain";
    /// Pause between two polls of an open pull request.
    pr_poll_interval: Duration = secs(60), "iso_duration";
    /// Pause between two polls of a pull request on which nothing happens.
    poll_quiet_interval: Duration = mins(10), "iso_duration";
    /// Strikes of a condition, or errors of one pull request, until a person is told.
    poll_transient_limit: u32 = 10, "plain";
    /// Errors of one pull request in a row after which its review fails.
    poll_invalid_limit: u32 = 3, "plain";
    /// First pause while the forge is in trouble; doubles up to `forge_backoff_max`.
    forge_backoff: Duration = mins(1), "iso_duration";
    /// Longest pause while the forge is in trouble.
    forge_backoff_max: Duration = mins(10), "iso_duration";
    /// After a condition was told: none waits for a person, zero fails the review and reopens its
    /// source, a time fails the review and holds its source.
    poll_give_up_after: Option<Duration> = None, "iso_option";
    /// Refused merges after which a person is asked; zero is as one.
    merge_refusal_limit: u32 = 5, "plain";
    /// Repair rounds per review and cause, after which a person is asked.
    repair_rounds: u32 = 5, "plain";
    /// All dispatches of one line of work.
    lineage_dispatches: u32 = 25, "plain";
    /// Batches that may carry a triage request before it becomes an escalation.
    triage_carries: u32 = 2, "plain";
    /// Pause between two triage batches.
    triage_pause: Duration = mins(10), "iso_duration";
    /// Time without any change of a pull request until the mayor hears of it.
    pr_waiting_notice: Duration = hours(24), "iso_duration";
    /// Whether a failed blocker holds what builds on it.
    failed_blocker: FailedBlocker = FailedBlocker::Block, "plain";
    /// Passes within which `settle` must come to rest.
    settle_limit: u32 = 16, "plain";
    /// How long a merge attempt or a verification may stay without an outcome.
    merge_outcome_timeout: Duration = mins(5), "iso_duration";
    /// How long a drain may last.
    drain_timeout: Duration = mins(7), "iso_duration";
    /// Landing reviews of one convoy and rig.
    landing_attempts: u32 = 5, "plain";
    /// Pause after a landing attempt, doubled per attempt, up to `landing_cooldown_max`.
    landing_cooldown: Duration = secs(30), "iso_duration";
    /// Longest pause after a landing attempt.
    landing_cooldown_max: Duration = mins(30), "iso_duration";
    /// Pause, times the number of repetitions, before an escalation is raised again.
    re_escalate_every: Duration = hours(4), "iso_duration";
    /// How often an escalation is raised again.
    re_escalations: u32 = 3, "plain";
    /// How often the container token is refreshed.
    token_refresh_every: Duration = hours(1), "iso_duration";
    /// How often the language-model token's expiry is looked at.
    llm_token_check_every: Duration = hours(24), "iso_duration";
    /// How long before its expiry the language-model token is renewed.
    renew_before_expiry: Duration = hours(168), "iso_duration";
    /// Quiet time after which an idle container is stopped.
    container_idle_stop: Duration = mins(5), "iso_duration";
    /// Pause between two stops of an idle container.
    container_idle_stop_throttle: Duration = mins(2), "iso_duration";
    /// How long processed events are kept.
    event_retention: Duration = hours(168), "iso_duration";
}

impl Policy {
    /// The pause before the next dispatch after `attempts` dispatches (spec 1.10).
    #[must_use]
    pub fn backoff(&self, attempts: u32) -> Duration {
        let [one, two, three, four, more] = self.dispatch_backoff;
        match attempts {
            0 | 1 => one,
            2 => two,
            3 => three,
            4 => four,
            _ => more,
        }
    }

    /// The pause after the `attempts`-th landing attempt (spec 1.10).
    #[must_use]
    pub fn landing_pause(&self, attempts: u32) -> Duration {
        doubled(self.landing_cooldown, attempts).min(self.landing_cooldown_max)
    }

    /// How often the merge of one head may be refused (spec 1.10): one refusal at least, since only who tries is
    /// refused.
    ///
    /// ```
    /// let policy = gastown_core::Policy { merge_refusal_limit: 0, ..Default::default() };
    /// assert_eq!(policy.refusals_max(), 1);
    /// ```
    #[must_use]
    pub fn refusals_max(&self) -> u32 {
        self.merge_refusal_limit.max(1)
    }

    /// The pause after `strikes` errors of the forge (spec 1.10).
    #[must_use]
    pub fn forge_pause(&self, strikes: u32) -> Duration {
        doubled(self.forge_backoff, strikes.saturating_sub(1)).min(self.forge_backoff_max)
    }

    /// The pause before the next probe after `probes` failed ones (spec 3.6).
    #[must_use]
    pub fn probe_pause(&self, probes: u32) -> Duration {
        doubled(self.probe_interval, probes).min(hours(6).max(self.probe_interval))
    }
}

/// `span` doubled `times` times; saturates.
fn doubled(span: Duration, times: u32) -> Duration {
    span.saturating_mul(2u32.checked_pow(times.min(31)).unwrap_or(u32::MAX))
}

/// Values that serialize as they are.
mod plain {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<T: Serialize, S: Serializer>(v: &T, out: S) -> Result<S::Ok, S::Error> {
        v.serialize(out)
    }
    pub(super) fn deserialize<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
        input: D,
    ) -> Result<T, D::Error> {
        T::deserialize(input)
    }
}

/// A duration that serializes through [`iso_duration`].
#[derive(Serialize, Deserialize)]
struct Iso(#[serde(with = "iso_duration")] Duration);

mod iso_option {
    use super::{Deserialize, Duration, Iso, Serialize};
    use serde::{Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(
        v: &Option<Duration>,
        out: S,
    ) -> Result<S::Ok, S::Error> {
        v.map(Iso).serialize(out)
    }
    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        input: D,
    ) -> Result<Option<Duration>, D::Error> {
        Ok(Option::<Iso>::deserialize(input)?.map(|Iso(span)| span))
    }
}

mod iso_list {
    use super::{Deserialize, Duration, Iso, Serialize};
    use serde::{Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(v: &[Duration; 5], out: S) -> Result<S::Ok, S::Error> {
        v.map(Iso).serialize(out)
    }
    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        input: D,
    ) -> Result<[Duration; 5], D::Error> {
        Ok(<[Iso; 5]>::deserialize(input)?.map(|Iso(span)| span))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_follows_the_table_at_its_borders() {
        let policy = Policy::default();
        let seconds: alloc::vec::Vec<u64> = [0, 1, 2, 3, 4, 5, 6, u32::MAX]
            .map(|n| policy.backoff(n).as_secs())
            .into();
        assert_eq!(seconds, [30, 30, 60, 120, 300, 600, 600, 600]);
    }

    #[test]
    fn pauses_double_up_to_their_limits() {
        let policy = Policy::default();
        let landing: alloc::vec::Vec<u64> = [0, 1, 5, 6, 200]
            .map(|n| policy.landing_pause(n).as_secs())
            .into();
        assert_eq!(landing, [30, 60, 960, 1800, 1800]);
        let forge: alloc::vec::Vec<u64> = [0, 1, 2, 4, 5, 200]
            .map(|n| policy.forge_pause(n).as_secs())
            .into();
        assert_eq!(forge, [60, 60, 120, 480, 600, 600]);
        assert_eq!(policy.probe_pause(40), hours(6));
    }

    #[test]
    fn round_trips_and_refuses_unknown_names() {
        let text = serde_json::to_string(&Policy::default()).unwrap();
        assert_eq!(
            serde_json::from_str::<Policy>(&text).unwrap(),
            Policy::default()
        );
        let error = serde_json::from_str::<Policy>(r#"{"heartbeat": "PT1S"}"#).unwrap_err();
        assert!(alloc::string::ToString::to_string(&error).contains("unknown field `heartbeat`"));
    }
}
