//! When to ask again (spec 2, properties P5 and P6).

use alloc::vec::Vec;

use crate::action::Action;
use crate::pass::Pass;
use crate::reconcile::decide;
use crate::time::Timestamp;
use crate::town::Town;

/// What a town does now, or, where nothing is due, when it will.
#[derive(Debug, Clone, PartialEq)]
pub enum Outlook {
    /// What [`crate::reconcile`] decides now; never empty.
    Due(Vec<Action>),
    /// The town is at rest.
    Rest {
        /// What [`next_wakeup`] gives: after the time of asking; none when only an event can change
        /// anything.
        until: Option<Timestamp>,
    },
}

/// [`crate::reconcile`] and [`next_wakeup`] in one, for loops of a host's own: a town at rest is
/// evaluated once instead of twice.
///
/// ```
/// use gastown_core::{Outlook, Policy, Timestamp, Town, TownConfig, TownId, outlook};
/// let town = Town::new(TownId::new("t1")?, TownConfig::seed(), Policy::default());
/// let now: Timestamp = "2026-04-04T12:00:00Z".parse()?;
/// assert!(matches!(outlook(&town, now), Outlook::Rest { .. }));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub fn outlook(town: &Town, now: Timestamp) -> Outlook {
    match next_decision(town, now) {
        Some((at, due)) if at == now => Outlook::Due(due),
        later => Outlook::Rest {
            until: later.map(|(at, _)| at),
        },
    }
}

/// The next time at which something is due if no event comes; none when only an event can change
/// anything. For a town with something due now: `now`.
///
/// Between `now` and that time [`crate::reconcile`] decides nothing (P5); at that time it does
/// (P6). Both hold by construction: every comparison with `now` records its deadline, so verdicts
/// can only change at recorded deadlines, and each is tried in turn.
#[must_use]
pub fn next_wakeup(town: &Town, now: Timestamp) -> Option<Timestamp> {
    next_decision(town, now).map(|(at, _)| at)
}

/// The next decision, and when it is due.
pub(crate) fn next_decision(town: &Town, now: Timestamp) -> Option<(Timestamp, Vec<Action>)> {
    let mut at = now;
    loop {
        let pass = Pass::new(town, at);
        let due = decide(&pass);
        if !due.is_empty() {
            return Some((at, due));
        }
        // Deadlines lie after `at`, and there are finitely many, so this ends.
        at = pass.first_deadline()?;
    }
}
