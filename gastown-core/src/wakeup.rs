//! When to ask again (spec 2, properties P5 and P6).

use alloc::vec::Vec;

use crate::action::Action;
use crate::pass::Pass;
use crate::reconcile::decide;
use crate::time::Timestamp;
use crate::town::Town;

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
        at = pass.deadlines().into_iter().next()?;
    }
}
