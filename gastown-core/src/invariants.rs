//! What always holds (spec 5.1): one file each for what a state can show, and the steps of the
//! engine for what needs two.

mod assignee_known;
mod breaker_closed;
mod convoy_state;
mod edges_known;
mod hook_mutual;
mod no_sentinel;
mod one_repair;
mod review_backed;
mod same_pr;
mod serial_merge;
mod step;
mod told_once;
mod worker_hooked;

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde::Serialize;

pub use self::step::check_step;

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
