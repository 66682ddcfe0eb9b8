//! What has to happen in some run, else the runs show nothing.

use gastown_core::rules;

use super::{Figures, Settings};

/// Seeds among which everything that happens sometimes has to have happened.
pub const SEEDS_MANY: u64 = 1_000;
/// Hours of faults that each of them has at least.
pub const HOURS_MANY: u64 = 6;

/// What may happen by chance: the name of each such question, with how often it happens.
const HAPPENINGS: &[&str] = &[
    "a command",
    "a commit is overtaken",
    "a conflict",
    "a container of an earlier drain announces itself",
    "a heartbeat is lost",
    "a look fails",
    "a look is incomplete",
    "a merge fails",
    "a probe is asked for",
    "a push before the merge",
    "a refinery asks for changes",
    "a result is doubled",
    "a result is late",
    "a result is lost",
    "a reviewer acts",
    "a reviewer ends it",
    "a session crashes",
    "a session dawdles",
    "a session is slow",
    "a session lies",
    "a session quits",
    "a session vanishes",
    "a start is rejected",
    "a start is unknown",
    "a start leads to nothing",
    "a verification fails",
    "an agent escalates",
    "an effect fails",
    "an event is doubled",
    "an event is late",
    "an event is lost",
    "an eviction",
    "an outage",
    "can't be read",
    "checks fail",
    "checks never report",
    "falls behind",
    "looks take minutes",
    "no agent can be started",
    "the clock jumps",
    "the host crashes",
    "the host crashes amid an effect",
    "the new container is not announced",
    "work comes",
];

/// What agents and people ask for, and the engine grants now and then.
const COMMANDS: &[&str] = &[
    "acknowledge",
    "close_bead",
    "convoy_add",
    "convoy_remove",
    "delete_beads",
    "escalate",
    "fail_bead",
    "grant",
    "hold",
    "land_convoy",
    "probe",
    "release",
    "reopen_bead",
    "request_changes",
    "resolve_triage",
    "retry",
    "set_dependencies",
    "sling",
    "sling_convoy",
    "start_convoy",
    "update_bead",
];

/// Rules that act in no simulated town, or in too few to be asked for, and why.
const ELSEWHERE: &[(&str, &str)] = &[
    ("agents/double-hook", FOREIGN),
    ("agents/dangling-hook", FOREIGN),
    ("agents/dead-holder", FOREIGN),
    ("beads/unknown-assignee", FOREIGN),
    ("beads/stale-assignee", FOREIGN),
    ("beads/review-missing", FOREIGN),
    (
        "agents/collect",
        "agents are kept for a day, and runs are shorter or busy",
    ),
    ("molecules/complete", "nobody works by molecules"),
    ("molecules/fail", "nobody works by molecules"),
    (
        "container/renew-llm-token",
        "model and organization never change",
    ),
    ("review/serial", SELDOM),
    ("review/rework-failed", SELDOM),
    ("convoys/landing-exhausted", SELDOM),
    ("convoys/empty", SELDOM),
    ("convoys/all-failed", SELDOM),
    ("conditions/give-up", SELDOM),
];
const FOREIGN: &str = "it mends what comes from outside; no such row was seen in a simulated town";
const SELDOM: &str = "too seldom: in none of 320 seeds, or in few; not in each thousand";

/// What happens in every town that works, beside merges.
const WORK: [&str; 2] = ["work comes", "dispatch/issue"];

impl Settings {
    /// Whether so many seeds of it have to show everything that happens sometimes: a storm with
    /// everything in it, over towns of the simulator's own.
    #[must_use]
    pub fn must_show_all(&self, seeds: u64) -> bool {
        self.must_show_work(seeds) && self.policy.is_none() && self.config.is_none()
    }

    /// Whether so many seeds of it have to show at least that work comes, is given to agents, and is
    /// merged: the same, whatever the host's own thresholds and settings are.
    #[must_use]
    pub fn must_show_work(&self, seeds: u64) -> bool {
        seeds >= SEEDS_MANY
            && self.hours >= HOURS_MANY
            && self.rates.has_everything()
            && self.only.is_none()
    }
}

impl Figures {
    /// What never happened, of all that happens sometimes: by chance, by command, and by rule.
    #[must_use]
    pub fn never(&self) -> Vec<&'static str> {
        let elsewhere = |id: &str| ELSEWHERE.iter().any(|(rule, _)| *rule == id);
        let happenings = HAPPENINGS.iter().copied();
        let commands = COMMANDS.iter().copied();
        let rules = rules().map(|rule| rule.id).filter(|id| !elsewhere(id));
        (happenings.filter(|what| !self.happenings.contains_key(what)))
            .chain(commands.filter(|name| !self.taken.contains_key(name)))
            .chain(rules.filter(|id| !self.acted.contains_key(id)))
            .collect()
    }

    /// What the runs don't show, if that says that nothing was tested: they were none, or without
    /// faults, or something never happened among [many](Settings::must_show_all), or with a host's own
    /// thresholds and settings none of the [work](Settings::must_show_work).
    ///
    /// # Errors
    /// Why they are vacuous.
    pub fn show_something(&self, settings: &Settings, seeds: u64) -> Result<(), String> {
        if self.steps == 0 || settings.hours == 0 {
            return Err("vacuous: nothing was run".into());
        }
        if !settings.must_show_work(seeds) {
            return Ok(());
        }
        let mut never = self.never();
        if !settings.must_show_all(seeds) {
            never.retain(|what| WORK.contains(what));
        }
        if self.merged == 0 {
            never.push("a merge");
        }
        match never.is_empty() {
            true => Ok(()),
            false => Err(format!("vacuous: never: {}", never.join(", "))),
        }
    }

    /// What happened and has no name here.
    pub(super) fn unnamed(&self) -> Option<&'static str> {
        let mut happened = self.happenings.keys().copied();
        happened.find(|what| !HAPPENINGS.contains(what))
    }
}
