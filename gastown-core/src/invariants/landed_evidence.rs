//! I20 landed-evidence: a source closes by a merge only with a merged observation or a verified
//! landing.
//!
//! A review becomes merged by such evidence and by nothing else; and what a pass or an event closes
//! out of its review has a merged one.

use alloc::vec::Vec;

use super::step::Cause;
use super::{Transition, Violation};
use crate::bead::{Bead, BeadStatus};
use crate::event::{Event, EventKind};
use crate::forge::{MergeOutcome, PrState, VerifyOutcome};
use crate::ids::BeadId;
use crate::town::is_merged;
use crate::work::Work;

pub(super) fn check_step(step: &Transition<'_>, out: &mut Vec<Violation>) {
    for old in step.before.live_beads() {
        let Some(new) = step.after.bead(&old.id) else {
            continue;
        };
        if old.review().is_some() && is_merged(new) && !shows_landing(step.cause, &old.id) {
            let message = "merged without a merged observation or a verified landing";
            out.push(Violation::new("I20", [&old.id], message));
        }
        if closes_out_of_review(step, old, new) {
            let message = "closed out of its review, but no review of it was merged";
            out.push(Violation::new("I20", [&old.id], message));
        }
    }
}

/// Whether what happened is evidence that the work of a review is on its target.
fn shows_landing(cause: Cause<'_>, mr: &BeadId) -> bool {
    let Cause::Event(Event { kind, .. }) = cause else {
        return false;
    };
    match kind {
        EventKind::PrObserved(seen) => {
            seen.bead_id == *mr
                && seen
                    .observation
                    .as_ref()
                    .is_some_and(|seen| seen.state == PrState::Merged)
        }
        EventKind::MergeAttempted(tried) => {
            tried.bead_id == *mr
                && match &tried.outcome {
                    MergeOutcome::Merged { .. } => true,
                    MergeOutcome::NotReady { observation } => observation.state == PrState::Merged,
                    MergeOutcome::Queued
                    | MergeOutcome::Refused { .. }
                    | MergeOutcome::Error { .. } => false,
                }
        }
        EventKind::MergeVerified(verified) => {
            verified.bead_id == *mr && matches!(verified.outcome, VerifyOutcome::Landed { .. })
        }
        EventKind::AgentStarted(_)
        | EventKind::DispatchFailed(_)
        | EventKind::Heartbeat(_)
        | EventKind::AgentExited(_)
        | EventKind::AgentDone(_)
        | EventKind::ContainerStatus(_)
        | EventKind::AgentGone(_)
        | EventKind::AgentStopped(_)
        | EventKind::Notified(_)
        | EventKind::ObservationGap(_)
        | EventKind::ContainerEviction(_)
        | EventKind::ContainerReady(_)
        | EventKind::MayorWaiting(_)
        | EventKind::MayorPrompted(_)
        | EventKind::Webhook(_)
        | EventKind::BranchCreated(_)
        | EventKind::NudgeDelivered(_)
        | EventKind::TokenRefreshed(_) => false,
    }
}

/// A person may close anything; a pass or an event closes an issue that is in review only by a
/// merge. Of other work only a loaded town has any in review, and no merge is its end.
fn closes_out_of_review(step: &Transition<'_>, old: &Bead, new: &Bead) -> bool {
    old.work() == Some(&Work::Plain)
        && old.status == BeadStatus::InReview
        && new.status == BeadStatus::Closed
        && !matches!(step.cause, Cause::Command)
        && !step.after.reviews_of(&old.id).into_iter().any(is_merged)
}

#[cfg(test)]
mod tests {
    use crate::testing::{event_violations, step_violations};

    const BEFORE: &str = "
        rig r1
        bead b1 issue in_review rig_id=r1
        bead m1 merge_request in_progress rig_id=r1 review.source=b1
        edge m1 tracks b1
    ";

    fn after() -> std::string::String {
        BEFORE
            .replace("issue in_review", "issue closed")
            .replace("merge_request in_progress", "merge_request closed")
    }

    #[test]
    fn i20_a_review_is_merged_by_evidence_only() {
        let landed = r#"{"type":"merge_verified","bead_id":"m1","outcome":{"kind":"landed","commit":"c0ffee"}}"#;
        assert_eq!(event_violations(BEFORE, landed, &after()), "");
        for no_evidence in [
            r#"{"type":"merge_verified","bead_id":"m1","outcome":{"kind":"unknown"}}"#,
            r#"{"type":"merge_verified","bead_id":"m2","outcome":{"kind":"landed","commit":"c0ffee"}}"#,
            r#"{"type":"agent_done","agent_id":"a1","branch":"work/m1","merge_commit":"c0ffee"}"#,
        ] {
            let found = event_violations(BEFORE, no_evidence, &after());
            assert!(found.contains("I20 m1: merged without"), "{no_evidence}");
        }
        assert!(step_violations(BEFORE, "[]", &after()).contains("I20 m1: merged without"));
    }

    #[test]
    fn i20_a_source_leaves_its_review_closed_only_with_a_merged_review() {
        let closed = BEFORE.replace("issue in_review", "issue closed");
        let found = step_violations(BEFORE, "[]", &closed);
        assert_eq!(
            found,
            "I20 b1: closed out of its review, but no review of it was merged"
        );
        let withdrawn = after().replace(
            "review.source=b1",
            "review.source=b1 review.outcome=withdrawn",
        );
        assert!(step_violations(BEFORE, "[]", &withdrawn).contains("I20 b1"));
    }
}
