//! The registry of rules (spec 3): one rule, one file; groups and rows in the spec's order.

mod agents;
mod beads;
mod breaker;
mod collect;
mod conditions;
mod convoys;
mod dispatch;
mod drain;
mod escalations;
mod gupp;
mod review;
pub(crate) mod triage;

use crate::agent::Agent;
use crate::bead::Bead;
use crate::condition::Condition;
use crate::nudge::Nudge;
use crate::pass::Pass;
use crate::verdict::Verdict;

/// One rule of spec 3.
#[derive(Clone, Copy)]
pub struct Rule {
    /// Its stable id, `group/name`: used in reasons, metrics, explanations and test names.
    pub id: &'static str,
    /// What it does, for the catalogue.
    pub text: &'static str,
    /// What it looks at.
    pub(crate) on: On,
}

impl core::fmt::Debug for Rule {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.id)
    }
}

/// What a rule looks at, and the function that judges it.
#[derive(Clone, Copy)]
pub(crate) enum On {
    /// The town as a whole.
    Town(fn(&Pass<'_>) -> Verdict),
    /// Each live bead, by priority, age and id.
    LiveBead(fn(&Pass<'_>, &Bead) -> Verdict),
    /// Each live bead, repairs of a branch before all others.
    RepairsFirst(fn(&Pass<'_>, &Bead) -> Verdict),
    /// Each agent, by age and id.
    Agent(fn(&Pass<'_>, &Agent) -> Verdict),
    /// Each condition.
    Condition(fn(&Pass<'_>, &Condition) -> Verdict),
    /// Each nudge, by id.
    Nudge(fn(&Pass<'_>, &Nudge) -> Verdict),
}

/// A group of rules: a section of spec 3.
#[derive(Debug, Clone, Copy)]
pub struct Group {
    /// Its name, the first part of its rules' ids.
    pub name: &'static str,
    /// Whether it recovers: what it decides comes before everything else (spec 3).
    pub recovers: bool,
    /// Its rules, in order.
    pub rules: &'static [Rule],
}

/// Every group, in order. Those that recover are evaluated first; if they decide anything, nothing
/// else is decided in that pass.
pub const GROUPS: &[Group] = &[
    Group {
        name: "conditions",
        recovers: false,
        rules: conditions::RULES,
    },
    Group {
        name: "drain",
        recovers: true,
        rules: drain::RULES,
    },
    Group {
        name: "agents",
        recovers: true,
        rules: agents::RULES,
    },
    Group {
        name: "beads",
        recovers: true,
        rules: beads::RULES,
    },
    Group {
        name: "review",
        recovers: true,
        rules: review::RECOVER,
    },
    Group {
        name: "convoys",
        recovers: true,
        rules: convoys::RULES,
    },
    Group {
        name: "breaker",
        recovers: false,
        rules: breaker::RULES,
    },
    Group {
        name: "dispatch",
        recovers: false,
        rules: dispatch::RULES,
    },
    Group {
        name: "gupp",
        recovers: false,
        rules: gupp::RULES,
    },
    Group {
        name: "triage",
        recovers: false,
        rules: triage::RULES,
    },
    Group {
        name: "escalations",
        recovers: false,
        rules: escalations::RULES,
    },
    Group {
        name: "watch",
        recovers: false,
        rules: review::WATCH,
    },
    Group {
        name: "collect",
        recovers: false,
        rules: collect::RULES,
    },
];

/// Every rule, in order.
///
/// ```
/// let mut ids: Vec<_> = gastown_core::rules().map(|rule| rule.id).collect();
/// ids.sort();
/// ids.dedup();
/// assert_eq!(ids.len(), gastown_core::rules().count());
/// ```
pub fn rules() -> impl Iterator<Item = &'static Rule> {
    GROUPS.iter().flat_map(|group| group.rules)
}
