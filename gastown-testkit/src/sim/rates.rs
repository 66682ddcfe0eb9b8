//! How often what goes wrong.

/// How often what happens. Probabilities lie between 0 and 1; what is `per_hour` is an average over
/// simulated hours.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rates {
    /// Issues and convoys that people sling, per hour.
    pub work_per_hour: f64,
    /// Other commands of people, per hour.
    pub commands_per_hour: f64,
    /// A start is refused.
    pub start_rejected: f64,
    /// Nobody knows whether a start succeeded.
    pub start_unknown: f64,
    /// A start leads to nothing, and nobody says so.
    pub start_silent: f64,
    /// A session ends with a failure.
    pub session_crashes: f64,
    /// A session ends and nobody says so.
    pub session_vanishes: f64,
    /// A session ends in order without being done.
    pub session_quits: f64,
    /// A session is alive and does nothing.
    pub session_dawdles: f64,
    /// A session takes up to ten times as long.
    pub session_slow: f64,
    /// A session says that it is done and reports what is not true.
    pub session_lies: f64,
    /// A refinery asks for changes.
    pub changes_requested: f64,
    /// An agent escalates.
    pub escalations: f64,
    /// A heartbeat is lost.
    pub beat_lost: f64,
    /// The result of an effect, or another event, is lost.
    pub event_lost: f64,
    /// An event comes twice.
    pub event_doubled: f64,
    /// An event comes late, by at most 80 minutes.
    pub event_late: f64,
    /// An effect fails or its outcome is unknown.
    pub effect_fails: f64,
    /// One look at a pull request fails.
    pub poll_fails: f64,
    /// One look at a pull request leaves something unknown.
    pub poll_incomplete: f64,
    /// A pull request can't be read for hours, while others can.
    pub pr_down: f64,
    /// Each look at a pull request takes longer than the usual time between two of them, also after the
    /// faults stopped.
    pub pr_slow: f64,
    /// The forge is down, limits or rejects, per hour.
    pub outages_per_hour: f64,
    /// No agent can be started for a while, per hour.
    pub start_outages_per_hour: f64,
    /// A merge is refused, queued, or errs.
    pub merge_fails: f64,
    /// Checks fail.
    pub checks_fail: f64,
    /// Checks never report.
    pub checks_silent: f64,
    /// A pull request conflicts with, or falls behind, its target when another one merges.
    pub conflicts: f64,
    /// People of the forge do something to a pull request: push, comment, approve, object, draft.
    pub reviewers_act: f64,
    /// People of the forge merge or close a pull request.
    pub reviewers_end: f64,
    /// Evictions of the container, per hour.
    pub evictions_per_hour: f64,
    /// The container's replacement is never announced.
    pub ready_lost: f64,
    /// A container that should be gone says during a drain that it is ready.
    pub old_ready: f64,
    /// The host crashes, at each of the steps of a tick and of an effect.
    pub crashes: f64,
    /// A commit is overtaken by another writer.
    pub conflicts_of_commits: f64,
    /// The wall clock jumps, per hour.
    pub clock_jumps_per_hour: f64,
}

impl Rates {
    /// Nothing goes wrong; work comes in.
    pub const CALM: Rates = Rates {
        work_per_hour: 2.0,
        commands_per_hour: 0.0,
        start_rejected: 0.0,
        start_unknown: 0.0,
        start_silent: 0.0,
        session_crashes: 0.0,
        session_vanishes: 0.0,
        session_quits: 0.0,
        session_dawdles: 0.0,
        session_slow: 0.0,
        session_lies: 0.0,
        changes_requested: 0.0,
        escalations: 0.0,
        beat_lost: 0.0,
        event_lost: 0.0,
        event_doubled: 0.0,
        event_late: 0.0,
        effect_fails: 0.0,
        poll_fails: 0.0,
        poll_incomplete: 0.0,
        pr_down: 0.0,
        pr_slow: 0.0,
        outages_per_hour: 0.0,
        start_outages_per_hour: 0.0,
        merge_fails: 0.0,
        checks_fail: 0.0,
        checks_silent: 0.0,
        conflicts: 0.0,
        reviewers_act: 0.0,
        reviewers_end: 0.0,
        evictions_per_hour: 0.0,
        ready_lost: 0.0,
        old_ready: 0.0,
        crashes: 0.0,
        conflicts_of_commits: 0.0,
        clock_jumps_per_hour: 0.0,
    };

    /// Much of everything.
    pub const STORM: Rates = Rates {
        work_per_hour: 2.0,
        commands_per_hour: 1.0,
        start_rejected: 0.06,
        start_unknown: 0.04,
        start_silent: 0.04,
        session_crashes: 0.08,
        session_vanishes: 0.05,
        session_quits: 0.05,
        session_dawdles: 0.05,
        session_slow: 0.1,
        session_lies: 0.1,
        changes_requested: 0.15,
        escalations: 0.05,
        beat_lost: 0.05,
        event_lost: 0.04,
        event_doubled: 0.05,
        event_late: 0.04,
        effect_fails: 0.08,
        poll_fails: 0.05,
        poll_incomplete: 0.08,
        pr_down: 0.04,
        pr_slow: 0.1,
        outages_per_hour: 0.06,
        start_outages_per_hour: 0.06,
        merge_fails: 0.25,
        checks_fail: 0.2,
        checks_silent: 0.03,
        conflicts: 0.25,
        reviewers_act: 0.4,
        reviewers_end: 0.06,
        evictions_per_hour: 0.06,
        ready_lost: 0.2,
        old_ready: 0.3,
        crashes: 0.001,
        conflicts_of_commits: 0.002,
        clock_jumps_per_hour: 0.03,
    };

    /// Each seed has its own weather: every rate of these is taken a quarter, once, thrice or not
    /// at all, so that what hides behind another fault is seen, too.
    #[must_use]
    pub(crate) fn of_seed(mut self, seed: u64) -> Rates {
        let mut n = 0;
        for rate in self.all() {
            n += 1;
            let factor = match super::dice::spread(seed ^ (n << 32)) % 8 {
                0 | 1 => 0.0,
                2 | 3 => 0.25,
                4..=6 => 1.0,
                _ => 3.0,
            };
            *rate *= factor;
        }
        self.work_per_hour = self.work_per_hour.max(Self::CALM.work_per_hour / 4.0);
        // Towns differ in how much happens in them: what comes after hours and days of waiting is
        // seen only where nothing else comes before it.
        let pace = match super::dice::spread(seed ^ (33 << 32)) % 4 {
            0 => 0.05,
            1 => 0.25,
            _ => 1.0,
        };
        for per_hour in self.per_hour() {
            *per_hour *= pace;
        }
        self
    }

    /// Whether each of them is more than nothing.
    pub(crate) fn has_everything(mut self) -> bool {
        self.all().into_iter().all(|rate| *rate > 0.0)
    }

    fn per_hour(&mut self) -> [&mut f64; 6] {
        [
            &mut self.work_per_hour,
            &mut self.commands_per_hour,
            &mut self.outages_per_hour,
            &mut self.evictions_per_hour,
            &mut self.clock_jumps_per_hour,
            &mut self.start_outages_per_hour,
        ]
    }

    fn all(&mut self) -> [&mut f64; 36] {
        [
            &mut self.work_per_hour,
            &mut self.commands_per_hour,
            &mut self.start_rejected,
            &mut self.start_unknown,
            &mut self.start_silent,
            &mut self.session_crashes,
            &mut self.session_vanishes,
            &mut self.session_quits,
            &mut self.session_dawdles,
            &mut self.session_slow,
            &mut self.session_lies,
            &mut self.changes_requested,
            &mut self.escalations,
            &mut self.beat_lost,
            &mut self.event_lost,
            &mut self.event_doubled,
            &mut self.event_late,
            &mut self.effect_fails,
            &mut self.poll_fails,
            &mut self.poll_incomplete,
            &mut self.outages_per_hour,
            &mut self.merge_fails,
            &mut self.checks_fail,
            &mut self.checks_silent,
            &mut self.conflicts,
            &mut self.reviewers_act,
            &mut self.reviewers_end,
            &mut self.evictions_per_hour,
            &mut self.ready_lost,
            &mut self.crashes,
            &mut self.conflicts_of_commits,
            &mut self.clock_jumps_per_hour,
            &mut self.pr_down,
            &mut self.old_ready,
            &mut self.pr_slow,
            &mut self.start_outages_per_hour,
        ]
    }
}
