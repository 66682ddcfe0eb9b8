//! Beads: none is forgotten, and a person hears of what only a person can help (spec 3.3).
//!
//! Steps of molecules are worked on through their molecule's bead, and triage requests are
//! carried by batches: neither is dispatched, so what dispatches spend does not concern them.

mod agent_lost;
mod attempts_exhausted;
mod blocked_by_failed;
mod lineage_spent;
mod no_rig;
mod review_missing;
mod review_settled;
mod stale_assignee;
mod unknown_assignee;

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use super::Rule;
use crate::action::{ActionKind, ClearAssignee, TransitionBead};
use crate::bead::{Bead, BeadStatus};
use crate::pass::Pass;
use crate::reason::{Reason, ReasonCode};
use crate::verdict::{Verdict, Wait, WaitFor};
use crate::work::Work;

pub(super) const RULES: &[Rule] = &[
    agent_lost::RULE,
    unknown_assignee::RULE,
    stale_assignee::RULE,
    review_settled::RULE,
    review_missing::RULE,
    attempts_exhausted::RULE,
    lineage_spent::RULE,
    blocked_by_failed::RULE,
    no_rig::RULE,
];

/// Whether the bead is an issue that agents are dispatched to.
fn is_dispatched_work(bead: &Bead) -> bool {
    match bead.work() {
        Some(
            Work::Plain
            | Work::Rework(_)
            | Work::PrFeedback(_)
            | Work::PrConflict(_)
            | Work::PrFixup(_)
            | Work::TriageBatch,
        ) => true,
        Some(Work::TriageRequest(_) | Work::MoleculeStep) | None => false,
    }
}

/// Whether the bead is an open issue that agents would be dispatched to, if no person holds it.
/// Who holds one knows of it, and it may be finished work that must not fail meanwhile.
fn is_open_work(bead: &Bead) -> bool {
    is_dispatched_work(bead) && bead.status == BeadStatus::Open && !bead.held
}

fn transition(bead: &Bead, to: BeadStatus, reason: Reason) -> ActionKind {
    TransitionBead {
        bead_id: bead.id.clone(),
        from: bead.status,
        to,
        reason,
    }
    .into()
}

fn clear_assignee(bead: &Bead) -> Option<ActionKind> {
    bead.assignee.as_ref()?;
    Some(
        ClearAssignee {
            bead_id: bead.id.clone(),
        }
        .into(),
    )
}

/// *Source reopens*: an issue in review becomes open, unassigned, its backoff starting now.
fn reopen(bead: &Bead, reason: Reason) -> Verdict {
    let mut actions = vec![transition(bead, BeadStatus::Open, reason)];
    actions.extend(clear_assignee(bead));
    Verdict::Act(actions)
}

/// Tells once, then waits for a person.
fn tell_and_wait(
    pass: &Pass<'_>,
    bead: &Bead,
    category: ReasonCode,
    message: impl Into<String>,
) -> Verdict {
    let message = message.into();
    let told_at = bead.told.get(&category).copied();
    match told_at {
        None => Verdict::Act(pass.tell_once(bead, category, message)),
        Some(at) => Verdict::wait(Wait::on(WaitFor::Person, message).since(at)),
    }
}

/// At the cap the bead fails and a person is told.
fn fail_exhausted(pass: &Pass<'_>, bead: &Bead, message: &str) -> Vec<ActionKind> {
    let code = ReasonCode::AttemptsExhausted;
    let mut actions = vec![transition(
        bead,
        BeadStatus::Failed,
        Reason::new(code, message),
    )];
    actions.extend(pass.tell_once(bead, code, message));
    actions
}
