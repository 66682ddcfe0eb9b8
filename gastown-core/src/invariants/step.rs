//! What may lead from one state to the next, and what must hold of it (spec 5.1).

use alloc::vec::Vec;

use super::{
    Violation, attempts_capped, breaker_closed, certified, green_before_merge, landed_evidence,
    quiet_drain, reviewed_before_merge, same_pr, terminal_final, told_once,
};
use crate::action::{Action, ActionKind, DispatchAgent, MergePr};
use crate::event::Event;
use crate::time::Timestamp;
use crate::town::Town;

/// What led from one state to the next.
#[derive(Debug, Clone, Copy)]
pub enum Cause<'a> {
    /// The actions of one pass, in the order in which they were applied.
    Pass(&'a [Action]),
    /// An event that was observed.
    Event(&'a Event),
    /// A command that was executed.
    Command,
}

/// Two states, and what led from the one to the other.
pub(super) struct Transition<'a> {
    pub(super) before: &'a Town,
    pub(super) cause: Cause<'a>,
    pub(super) after: &'a Town,
    pub(super) now: Timestamp,
}

impl<'a> Transition<'a> {
    /// The actions of a pass; none for an event or a command.
    pub(super) fn actions(&self) -> &'a [Action] {
        match self.cause {
            Cause::Pass(actions) => actions,
            Cause::Event(_) | Cause::Command => &[],
        }
    }

    pub(super) fn dispatches(&self) -> impl Iterator<Item = &'a DispatchAgent> {
        self.actions().iter().filter_map(|action| {
            if let ActionKind::DispatchAgent(dispatch) = &action.kind {
                Some(dispatch)
            } else {
                None
            }
        })
    }

    pub(super) fn merges(&self) -> impl Iterator<Item = &'a MergePr> {
        self.actions().iter().filter_map(|action| {
            if let ActionKind::MergePr(merge) = &action.kind {
                Some(merge)
            } else {
                None
            }
        })
    }

    /// Whether the pass sends the breaker's probe.
    pub(super) fn probes(&self) -> bool {
        self.actions()
            .iter()
            .any(|action| matches!(action.kind, ActionKind::ProbeBreaker(_)))
    }
}

/// An invariant that needs two states.
struct StepInvariant {
    id: &'static str,
    check: fn(&Transition<'_>, &mut Vec<Violation>),
}

const STEP_INVARIANTS: &[StepInvariant] = &[
    StepInvariant {
        id: "I1",
        check: terminal_final::check_step,
    },
    StepInvariant {
        id: "I11",
        check: attempts_capped::check_step,
    },
    StepInvariant {
        id: "I12",
        check: reviewed_before_merge::check_step,
    },
    StepInvariant {
        id: "I13",
        check: green_before_merge::check_step,
    },
    StepInvariant {
        id: "I14",
        check: same_pr::check_step,
    },
    StepInvariant {
        id: "I15",
        check: quiet_drain::check_step,
    },
    StepInvariant {
        id: "I16",
        check: breaker_closed::check_step,
    },
    StepInvariant {
        id: "I18",
        check: told_once::check_step,
    },
    StepInvariant {
        id: "I19",
        check: certified::check_step,
    },
    StepInvariant {
        id: "I20",
        check: landed_evidence::check_step,
    },
];

/// What one pass, one event or one command did that it must not do (spec 5.1): the invariants that
/// need two states.
///
/// ```
/// use gastown_core::{Cause, Policy, Timestamp, Town, TownConfig, TownId, check_step, reconcile};
/// let mut town = Town::new(TownId::new("t1")?, TownConfig::seed(), Policy::default());
/// let before = town.clone();
/// let actions = reconcile(&town, Timestamp::MIN);
/// for action in &actions {
///     town.apply(action, Timestamp::MIN)?;
/// }
/// assert!(check_step(&before, Cause::Pass(&actions), &town, Timestamp::MIN).is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub fn check_step(before: &Town, cause: Cause<'_>, after: &Town, now: Timestamp) -> Vec<Violation> {
    let transition = Transition {
        before,
        cause,
        after,
        now,
    };
    let mut out = Vec::new();
    for invariant in STEP_INVARIANTS {
        let found = out.len();
        (invariant.check)(&transition, &mut out);
        debug_assert!(
            out.iter()
                .skip(found)
                .all(|violation| violation.invariant == invariant.id)
        );
    }
    out
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::{Cause, check_step};
    use crate::action::{ActionKind, MergePr};
    use crate::reconcile::reconcile;
    use crate::testing::{GREEN, at, town};

    /// What is wrong with the merge of a green pull request, changed, in a town like this.
    fn wrong(text: &str, change: impl Fn(&mut MergePr)) -> Vec<&'static str> {
        let mut actions = reconcile(&town(GREEN), at("0s"));
        for action in &mut actions {
            if let ActionKind::MergePr(merge) = &mut action.kind {
                change(merge);
            }
        }
        let town = town(text);
        let found = check_step(&town, Cause::Pass(&actions), &town, at("0s"));
        found.into_iter().map(|it| it.invariant).collect()
    }

    #[test]
    fn i12_to_i19_a_merge_is_reviewed_green_its_own_and_certified() {
        assert_eq!(wrong(GREEN, |_| {}), Vec::<&str>::new());
        let unreviewed = GREEN.replace("reviewed.head_sha=h1", "reviewed.head_sha=h0");
        assert_eq!(wrong(&unreviewed, |_| {}), ["I12"]);
        let other_head = wrong(GREEN, |it| it.head_sha = "h2".into());
        assert_eq!(other_head, ["I12", "I13", "I19"]);
        let sooner = |it: &mut MergePr| it.certificate.ready_since = at("-1m");
        assert_eq!(wrong(GREEN, sooner), ["I13"]);
        let foreign = |it: &mut MergePr| it.pr_url = "https://github.com/acme/r2/pull/1".into();
        assert_eq!(wrong(GREEN, foreign), ["I14"]);
        let elsewhere = |it: &mut MergePr| it.certificate.base_branch = "dev".into();
        assert_eq!(wrong(GREEN, elsewhere), ["I14"]);
        let empty = |it: &mut MergePr| it.certificate.conditions.clear();
        assert_eq!(wrong(GREEN, empty), ["I19"]);
    }
}
