//! What always holds (spec 5.1), one file each: [`check`] finds what a single state can show,
//! [`check_step`] what needs two.

mod assignee_known;
mod attempts_capped;
mod breaker_closed;
mod certified;
mod convoy_state;
mod edges_known;
mod green_before_merge;
mod hook_mutual;
mod landed_evidence;
mod no_sentinel;
mod one_repair;
mod quiet_drain;
mod review_backed;
mod reviewed_before_merge;
mod same_pr;
mod secrets_out;
mod serial_merge;
mod step;
mod terminal_final;
mod told_once;
mod worker_hooked;

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde::Serialize;

pub use self::step::{Cause, check_step};

use self::step::Transition;

use crate::time::Timestamp;
use crate::town::Town;

/// An invariant that does not hold.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Violation {
    /// The invariant's id, `I1` to `I20`.
    pub invariant: &'static str,
    /// The beads and agents involved.
    pub subjects: Vec<String>,
    /// What is wrong, for a person.
    pub message: String,
}

impl Violation {
    fn new<S: ToString>(
        invariant: &'static str,
        subjects: impl IntoIterator<Item = S>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            invariant,
            subjects: subjects
                .into_iter()
                .map(|subject| subject.to_string())
                .collect(),
            message: message.into(),
        }
    }

    /// Whether it was there before, perhaps with more subjects, some of which have left it since.
    #[must_use]
    pub fn was_among(&self, before: &[Violation]) -> bool {
        before.iter().any(|old| {
            let all = |id| old.subjects.contains(id);
            old.invariant == self.invariant && self.subjects.iter().all(all)
        })
    }

    /// Whether the rules remove it: it may come from outside, but is never made by the engine.
    #[must_use]
    pub fn heals(&self) -> bool {
        matches!(self.invariant, "I2" | "I3" | "I4" | "I5" | "I6" | "I7")
    }
}

/// An invariant that one state can show.
struct Invariant {
    id: &'static str,
    check: fn(&Town, Timestamp, &mut Vec<Violation>),
}

const INVARIANTS: &[Invariant] = &[
    Invariant {
        id: "I2",
        check: hook_mutual::check,
    },
    Invariant {
        id: "I3",
        check: serial_merge::check,
    },
    Invariant {
        id: "I4",
        check: review_backed::check,
    },
    Invariant {
        id: "I5",
        check: convoy_state::check,
    },
    Invariant {
        id: "I6",
        check: worker_hooked::check,
    },
    Invariant {
        id: "I7",
        check: assignee_known::check,
    },
    Invariant {
        id: "I8",
        check: edges_known::check,
    },
    Invariant {
        id: "I9",
        check: no_sentinel::check,
    },
    Invariant {
        id: "I10",
        check: one_repair::check,
    },
    Invariant {
        id: "I14",
        check: same_pr::check,
    },
    Invariant {
        id: "I16",
        check: breaker_closed::check,
    },
    Invariant {
        id: "I17",
        check: secrets_out::check,
    },
    Invariant {
        id: "I18",
        check: told_once::check,
    },
];

/// Every invariant that does not hold in this state (spec 5.1). Those that need two states are
/// checked by [`check_step`].
///
/// ```
/// use gastown_core::{Policy, Timestamp, Town, TownConfig, TownId, check};
/// let town = Town::new(TownId::new("t1")?, TownConfig::seed(), Policy::default());
/// assert!(check(&town, Timestamp::MIN).is_empty());
/// # Ok::<(), gastown_core::IdError>(())
/// ```
#[must_use]
pub fn check(town: &Town, now: Timestamp) -> Vec<Violation> {
    let mut out = Vec::new();
    for invariant in INVARIANTS {
        let before = out.len();
        (invariant.check)(town, now, &mut out);
        debug_assert!(
            out.iter()
                .skip(before)
                .all(|found| found.invariant == invariant.id)
        );
    }
    out
}

#[cfg(test)]
pub(crate) mod tests {
    use std::string::String;

    use crate::reconcile::reconcile;
    use crate::testing::{at, step_violations, town};

    /// The merge that is due in a town, as a list of actions.
    pub(crate) fn merge_of(text: &str) -> String {
        let actions = reconcile(&town(text), at("0s"));
        let text = serde_json::to_string(&actions).unwrap();
        assert!(text.contains(r#""type":"merge_pr""#), "{text}");
        text
    }

    /// What is wrong with a merge in a town.
    pub(crate) fn merged(text: &str, actions: &str) -> String {
        step_violations(text, actions, text)
    }

    #[test]
    fn every_invariant_has_a_test_that_breaks_it() {
        let sources = concat!(
            include_str!("invariants/terminal_final.rs"),
            include_str!("invariants/hook_mutual.rs"),
            include_str!("invariants/serial_merge.rs"),
            include_str!("invariants/review_backed.rs"),
            include_str!("invariants/convoy_state.rs"),
            include_str!("invariants/worker_hooked.rs"),
            include_str!("invariants/assignee_known.rs"),
            include_str!("invariants/edges_known.rs"),
            include_str!("invariants/no_sentinel.rs"),
            include_str!("invariants/one_repair.rs"),
            include_str!("invariants/attempts_capped.rs"),
            include_str!("invariants/reviewed_before_merge.rs"),
            include_str!("invariants/green_before_merge.rs"),
            include_str!("invariants/same_pr.rs"),
            include_str!("invariants/quiet_drain.rs"),
            include_str!("invariants/breaker_closed.rs"),
            include_str!("invariants/secrets_out.rs"),
            include_str!("invariants/told_once.rs"),
            include_str!("invariants/certified.rs"),
            include_str!("invariants/landed_evidence.rs"),
        );
        for number in 1..=20 {
            assert!(
                sources.contains(&std::format!("fn i{number}_")),
                "I{number}"
            );
        }
    }
}
