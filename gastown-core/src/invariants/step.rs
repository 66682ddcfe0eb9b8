//! Invariants of a step: what actions may do, and what may change between two states.

use alloc::format;
use alloc::vec::Vec;

use super::Violation;
use crate::action::{Action, ActionKind, DispatchAgent, MergePr};
use crate::breaker::BreakerState;
use crate::pass::Pass;
use crate::rig::Repository;
use crate::time::Timestamp;
use crate::town::Town;

/// What one pass, or one event or command, must not do (spec 5.1): I1, I11 to I16 and I19. `actions` are those that led from `before` to `after`; none for an event or a command.
#[must_use]
pub fn check_step(
    before: &Town,
    actions: &[Action],
    after: &Town,
    now: Timestamp,
) -> Vec<Violation> {
    let mut out = Vec::new();
    terminal_final(before, after, &mut out);
    let probes = actions
        .iter()
        .any(|a| matches!(a.kind, ActionKind::ProbeBreaker(_)));
    let mut dispatches: usize = 0;
    for action in actions {
        if let ActionKind::DispatchAgent(dispatch) = &action.kind {
            dispatches = dispatches.saturating_add(1);
            if !probes {
                attempts_capped(before, dispatch, now, &mut out);
            }
        }
        if let ActionKind::MergePr(merge) = &action.kind {
            certified(before, merge, now, &mut out);
        }
        let is_loud = matches!(
            action.kind,
            ActionKind::DispatchAgent(_) | ActionKind::CreateAgent(_) | ActionKind::SendNudge(_)
        );
        if is_loud {
            quiet_drain(before, action, &mut out);
        }
    }
    let closed = before.state().breaker.state == BreakerState::Closed;
    let allowed = if closed {
        usize::MAX
    } else {
        usize::from(probes)
    };
    if dispatches > allowed {
        let message = format!("{dispatches} dispatches while the breaker is not closed");
        out.push(Violation::new("I16", [before.id()], message));
    }
    out
}

/// I1: a terminal bead never changes status.
fn terminal_final(before: &Town, after: &Town, out: &mut Vec<Violation>) {
    for old in before.beads().filter(|bead| !bead.is_live()) {
        if let Some(new) = after.bead(&old.id).filter(|new| new.status != old.status) {
            let message = format!(
                "{} was {} and is {}",
                old.id,
                old.status.as_str(),
                new.status.as_str()
            );
            out.push(Violation::new("I1", [&old.id], message));
        }
    }
}

/// I11: no dispatch of a bead at its cap or with a spent lineage.
fn attempts_capped(
    before: &Town,
    dispatch: &DispatchAgent,
    now: Timestamp,
    out: &mut Vec<Violation>,
) {
    let Some(bead) = before.bead(&dispatch.bead_id) else {
        return;
    };
    if Pass::new(before, now).attempts_spent(bead) || before.lineage_spent(bead) {
        let message = format!("{} was dispatched without budget", bead.id);
        out.push(Violation::new("I11", [&bead.id], message));
    }
}

/// I15: while draining no dispatch, no new agent, no nudge.
fn quiet_drain(before: &Town, action: &Action, out: &mut Vec<Violation>) {
    if before.is_draining() {
        let message = format!("{} while draining", action.kind.type_name());
        out.push(Violation::new("I15", [&action.rule], message));
    }
}

/// I12, I13, I14 and I19: a merge names the head that was green for the whole delay and reviewed,
/// and the pull request of its rig, branch and target, by a valid certificate.
fn certified(before: &Town, merge: &MergePr, now: Timestamp, out: &mut Vec<Violation>) {
    let Some(mr) = before.bead(&merge.bead_id) else {
        return;
    };
    let Some(review) = mr.review() else { return };
    let mut note = |invariant, wrong: bool, message: &str| {
        if wrong {
            out.push(Violation::new(invariant, [&mr.id], message));
        }
    };
    let settings = before.settings_of_review(mr);
    let reviewed = crate::eligible::is_reviewed(mr, &settings);
    note(
        "I12",
        settings.code_review && !reviewed,
        "merged although no refinery passed it",
    );
    let certificate = &merge.certificate;
    let green_head = review.auto_merge.head_sha.as_ref();
    let seen = review.observation.as_ref();
    let was_green_for = seen.map(|seen| seen.at.since(certificate.ready_since).as_secs());
    note(
        "I13",
        green_head != Some(&merge.head_sha) || was_green_for < Some(certificate.delay),
        "merged at another head than the one that was green for the delay",
    );
    let rig = before.rig_of_review(mr);
    let is_of_rig = rig.is_some_and(|rig| {
        let repository = rig.repository();
        let named = Repository::of_pr_url(&merge.pr_url).map(|(repository, _)| repository);
        rig.id == certificate.rig_id && named.is_some() && named == repository
    });
    let goes_to_target = certificate.base_branch == review.target_branch
        && seen.is_some_and(|seen| seen.observation.head_branch == review.branch);
    note(
        "I14",
        !is_of_rig || !goes_to_target,
        "merged a pull request that is not its own",
    );
    note(
        "I19",
        certificate.head_sha != merge.head_sha || !certificate.is_valid(before.policy(), now),
        "merged without a valid certificate for its head",
    );
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::check_step;
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
        let found = check_step(&town, &actions, &town, at("0s"));
        found.into_iter().map(|it| it.invariant).collect()
    }

    #[test]
    fn i12_to_i19_a_merge_is_reviewed_green_its_own_and_certified() {
        assert_eq!(wrong(GREEN, |_| {}), Vec::<&str>::new());
        let unreviewed = GREEN.replace("reviewed.head_sha=h1", "reviewed.head_sha=h0");
        assert_eq!(wrong(&unreviewed, |_| {}), ["I12"]);
        assert_eq!(wrong(GREEN, |it| it.head_sha = "h2".into()), ["I13", "I19"]);
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
