//! P8: once faults cease and agents answer, every review, and every issue too, ends or waits for a
//! person who knows, within a bound that follows from the policy. And P7 for everything that is left.
//!
//! What the engine says of a review is not believed: a pull request that is ready in the forge has
//! to be merged, unless a setting says that people do it.

use std::time::Duration;

use gastown_core::{AutoMergeDelay, Bead, Policy, Town, waits_for};

use super::trouble::SKEW_MAX;
use super::{Held, Simulation};
use crate::laws::no_silent_stall;
use crate::waiting::{Resting, Turn, a_repair_failed, live_work};

const HOUR: u64 = 3_600_000;
/// Reminders that come later are not waited for.
const REMINDER_MAX: Duration = Duration::from_secs(3 * 3_600);
/// How late a reminder may be.
const REMINDER_LATE: Duration = Duration::from_secs(15 * 60);

pub(crate) fn live_reviews(town: &Town) -> impl Iterator<Item = &Bead> {
    town.live_beads().filter(|bead| bead.review().is_some())
}

impl Simulation {
    pub(super) fn demand_liveness(&mut self) -> Held {
        let stopped = self.now;
        let bound = match &self.host.town {
            Some(town) => bound(town),
            None => return Err("the host is down after the faults stopped".into()),
        };
        loop {
            self.until(self.now + HOUR)?;
            self.nobody_is_forgotten()?;
            let stuck = self.stuck_work();
            if stuck.is_empty() && self.sessions.is_empty() {
                return self.nothing_is_lost();
            }
            if self.now - stopped > bound {
                let hours = bound / HOUR;
                let running: Vec<&str> = self.sessions.keys().map(|id| id.as_str()).collect();
                return Err(format!(
                    "P8: {} hours after the faults stopped (the bound is {hours}), {}; sessions: {}",
                    (self.now - stopped) / HOUR,
                    stuck.join("; "),
                    running.join(", ")
                ));
            }
        }
    }

    /// P7: whoever a pull request waits for is reminded of it, where the policy does so soon enough to be seen.
    pub(super) fn demand_reminders(&mut self) -> Held {
        let notice = match &self.host.town {
            Some(town) => town.policy().pr_waiting_notice,
            None => return Ok(()),
        };
        if notice > REMINDER_MAX {
            return Ok(());
        }
        let enough = notice + REMINDER_LATE;
        self.until(self.now + u64::try_from(enough.as_millis()).unwrap_or(u64::MAX))?;
        let now = self.wall();
        // Nothing can be seen to change meanwhile, as after a rate limit that a clock ahead put far away.
        let mut conditions = self.host.town.iter().flat_map(Town::conditions);
        if conditions.any(|condition| condition.holds() && condition.kind.holds_polls()) {
            return Ok(());
        }
        let forgotten = self.host.town.iter().flat_map(live_reviews).find(|mr| {
            mr.review().is_some_and(|review| {
                let changed = review.poll.changed_at.unwrap_or(mr.created_at);
                let told = review.waiting.as_ref();
                review.pr_url.is_some()
                    && changed.plus(enough) < now
                    && told.is_none_or(|told| told.told_at < changed)
            })
        });
        match forgotten {
            None => Ok(()),
            Some(mr) => Err(format!(
                "P7: nobody was reminded of {}, whose pull request has not changed for long",
                mr.id
            )),
        }
    }

    /// Live reviews and issues that wait for nobody who could be asked.
    fn stuck_work(&self) -> Vec<String> {
        let Some(town) = &self.host.town else {
            return Vec::new();
        };
        let now = self.wall();
        let turn_of = |mr: &Bead, url: &str| {
            let settings = town.settings_of_review(mr);
            match self.forge.turn(url, mr.review(), &settings) {
                turn @ (Turn::Ended | Turn::OfOthers) => turn,
                Turn::ToRepair if !a_repair_failed(town, mr) => Turn::ToRepair,
                _ if self.oracle.was_told_of_head(mr) => Turn::People,
                turn => turn,
            }
        };
        let mut resting = Resting::of(town, now, &turn_of);
        let stuck = live_work(town).filter_map(|mr| {
            if resting.has(mr) {
                return None;
            }
            let waits = waits_for(town, now, &mr.id);
            let why: Vec<String> = waits
                .iter()
                .map(|wait| format!("{} ({}: {:?})", wait.text, wait.rule, wait.kind))
                .collect();
            Some(format!("{} waits: {}", mr.id, why.join(", ")))
        });
        stuck.collect()
    }

    /// P7 on every live bead.
    pub(super) fn nobody_is_forgotten(&self) -> Held {
        let Some(town) = &self.host.town else {
            return Ok(());
        };
        no_silent_stall(town, self.wall())
    }
}

/// How long it may take until every review has ended or waits for a person, in milliseconds.
///
/// First the world is found again: a drain, a stalled agent, an open breaker, a forge that was
/// out, clocks that agree again. Then each line of work, one after the other in the worst case,
/// has every round of repair, every refusal and every landing that the policy allows, each with
/// a session that dawdles.
fn bound(town: &Town) -> u64 {
    let policy = town.policy();
    // Each batch of what waits for judgement, and the last of them to be given up.
    let judged = (policy.triage_pause).saturating_mul(policy.triage_carries.saturating_add(1));
    let found = sum([
        policy.drain_timeout,
        policy.gupp_stop,
        policy.stalled_timeout,
        policy.stuck_review,
        policy.settled_review_grace,
        policy.probe_pause(policy.probe_limit),
        policy.forge_backoff_max,
        policy.attempts_reset_after,
        judged,
        Duration::from_millis(SKEW_MAX.unsigned_abs()),
    ]);
    let lines = u32::try_from(town.live_beads().count()).unwrap_or(u32::MAX);
    let each = line(policy, longest_delay(town)).saturating_mul(lines.saturating_add(1));
    let all = found.saturating_add(each);
    u64::try_from(all.as_millis()).unwrap_or(u64::MAX)
}

/// The longest delay before a merge that any settings of the town have.
fn longest_delay(town: &Town) -> Duration {
    let rigs = town.rigs().map(|rig| town.settings(Some(&rig.id)));
    rigs.chain([town.settings(None)])
        .filter_map(|settings| match settings.auto_merge_delay {
            AutoMergeDelay::After(delay) => Some(delay),
            AutoMergeDelay::Never => None,
        })
        .max()
        .unwrap_or_default()
}

fn line(policy: &Policy, delay: Duration) -> Duration {
    let work = Duration::from_secs(3_600);
    let attempt = sum([
        policy.start_grace,
        policy.heartbeat_timeout,
        policy.backoff(u32::MAX),
        policy.stale_in_progress,
        policy.abandoned_review,
        work,
    ]);
    let look = sum([
        policy.poll_quiet_interval,
        policy.pr_poll_interval.saturating_mul(4),
        policy.merge_outcome_timeout,
    ]);
    let rounds = (policy.repair_rounds.saturating_mul(4))
        .saturating_add(policy.merge_refusal_limit)
        .saturating_add(policy.landing_attempts)
        .saturating_add(6);
    // Each head has to be green for the whole delay.
    let merged = policy.merge_outcome_timeout;
    let round = sum([attempt, look, delay, merged, policy.landing_cooldown_max]);
    round.saturating_mul(rounds)
}

/// Thresholds that stand for never are as long as a time can be.
fn sum(times: impl IntoIterator<Item = Duration>) -> Duration {
    let times = times.into_iter();
    times.fold(Duration::ZERO, Duration::saturating_add)
}
