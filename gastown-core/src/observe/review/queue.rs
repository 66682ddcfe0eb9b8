//! A pull request that is no longer in the merge queue (spec 4.5): thrown out is a refusal; taken
//! out by a person's hand, it stays out.

use alloc::format;
use alloc::string::ToString;

use super::good::last_head;
use crate::forge::{DequeueCause, Dequeued, MergeQueue, Mergeable, Observation};
use crate::ids::{BeadId, shown};
use crate::reason::ReasonCode;
use crate::review::{OFF_UNSEEN, Review};
use crate::time::Timestamp;
use crate::town::Town;

impl Town {
    /// `was_queued`: the look before, at this very head, saw it in the queue.
    pub(super) fn judge_queue(
        &mut self,
        id: &BeadId,
        seen: &Observation,
        was_queued: bool,
        now: Timestamp,
    ) {
        if seen.merge_queue == MergeQueue::Queued {
            return;
        }
        match seen.dequeued.as_ref().map(|it| (it, it.cause)) {
            Some((dequeued, DequeueCause::Person)) => self.hold_dequeued(id, dequeued, now),
            // Merged, and not yet shown as merged.
            Some((_, DequeueCause::Merge)) => {}
            Some((_, DequeueCause::Other)) | None if was_queued => {
                let words = "it left the merge queue without a merge";
                self.merge_was_refused(id, words, now);
            }
            Some((_, DequeueCause::Other)) | None => {}
        }
    }

    /// Every look says so again; only the first one changes anything.
    fn hold_dequeued(&mut self, id: &BeadId, dequeued: &Dequeued, now: Timestamp) {
        let Some(review) = self.bead(id).and_then(|mr| mr.review()) else {
            return;
        };
        let head = review.head_sha.clone();
        let head = head.unwrap_or_else(|| OFF_UNSEEN.to_string());
        if review.auto_merge.off_for_head.as_ref() == Some(&head) {
            return;
        }
        let reason = dequeued.reason.as_deref().unwrap_or("no reason given");
        let words = format!(
            "a person took it out of the merge queue at {}: {}",
            dequeued.at,
            shown(reason, 300)
        );
        self.merge_was_stopped(id, &words);
        self.edit_review(id, |review| review.auto_merge.off_for_head = Some(head));
        let message = format!(
            "{words}. The engine does not merge this head any more: put it into the queue again by \
             hand, or push"
        );
        self.tell_once(id, ReasonCode::Dequeued, message, now);
    }
}

/// The look, with what is not known to have left the queue still in it: while mergeability is not
/// known, nothing else is judged (spec 4.4, 4), and leaving must not be forgotten by then.
pub(super) fn still_queued(review: &Review, seen: &Observation) -> Observation {
    let mut seen = seen.clone();
    let last = review.observation.as_ref().map(|last| &last.observation);
    let was_queued = last.is_some_and(|last| last.merge_queue == MergeQueue::Queued);
    let same_head = last_head(review) == Some(&seen.head_sha);
    if was_queued && same_head && seen.mergeable == Mergeable::Unknown && seen.dequeued.is_none() {
        seen.merge_queue = MergeQueue::Queued;
    }
    seen
}

#[cfg(test)]
mod tests {
    use std::format;
    use std::string::String;

    use crate::testing::{GREEN, acts, observed};

    const OUT: &str = r#""state":"open","head_branch":"work/m1","head_repository":"acme/r1","base_branch":"main","mergeable":"clean","merge_queue":"required","feedback":{"unresolved_threads":0,"threads_complete":true,"checks":{"state":"passing"},"checks_complete":true}"#;

    fn queued() -> String {
        GREEN.replace(
            r#""base_branch":"main""#,
            r#""base_branch":"main","merge_queue":"queued""#,
        )
    }

    fn event(head: &str, more: &str) -> String {
        format!(
            r#"{{"type": "pr_observed", "bead_id": "m1", "observation": {{{OUT},"head_sha":"{head}"{more}}}}}"#
        )
    }

    fn by(cause: &str, reason: &str) -> String {
        format!(
            r#","dequeued":{{"at":"2026-04-04T11:59:58Z","cause":"{cause}","reason":"{reason}"}}"#
        )
    }

    #[test]
    fn queue_thrown_out_is_a_refusal() {
        for more in ["", &by("other", "failed_checks")] {
            let after = observed(&queued(), "0s", &event("h1", more));
            assert!(after.contains("refusals: 0 → 1"), "{after}");
            assert!(!after.contains("off_for_head"), "{after}");
            let other_head = observed(&queued(), "0s", &event("h2", more));
            assert!(!other_head.contains("refusals"), "{other_head}");
            let never_in = observed(GREEN, "0s", &event("h1", more));
            assert!(!never_in.contains("refusals"), "{never_in}");
        }
    }

    #[test]
    fn queue_taken_out_by_hand_is_told_once_and_off_for_this_head() {
        // Whether the engine saw it queued or not: both enqueued and taken out between two looks.
        for town in [queued(), GREEN.into()] {
            let after = observed(&town, "0s", &event("h1", &by("person", "manual")));
            assert!(after.contains(r#"off_for_head: - → "h1""#), "{after}");
            assert!(after.contains("m1.told.dequeued"), "{after}");
            assert!(after.contains("pending: true → false"), "{after}");
            assert!(!after.contains("refusals"), "{after}");
        }
        let held = queued().replace(
            "review.auto_merge.pending=true",
            "review.auto_merge.off_for_head=h1",
        );
        let again = observed(&held, "0s", &event("h1", &by("person", "manual")));
        assert!(
            !again.contains("told") && !again.contains("off_for"),
            "{again}"
        );
    }

    #[test]
    fn queue_in_it_again_by_hand_is_not_held() {
        let again = event("h1", &by("person", "manual"))
            .replace(r#""merge_queue":"required""#, r#""merge_queue":"queued""#);
        assert!(!observed(GREEN, "0s", &again).contains("off_for_head"));
    }

    /// A state from outside that knows of the hand and holds nothing back.
    #[test]
    fn queue_taken_out_by_hand_is_not_green() {
        let known = format!(
            r#""base_branch":"main"{}"#,
            by("person", "manual").replace(' ', "")
        );
        let town = GREEN.replace(r#""base_branch":"main""#, &known);
        assert!(acts(GREEN, "0s").contains("merge_pr"));
        let held = acts(&town, "0s");
        assert!(!held.contains("merge_pr"), "{held}");
    }

    #[test]
    fn queue_merged_is_no_refusal_although_the_merge_does_not_show_yet() {
        let after = observed(&queued(), "0s", &event("h1", &by("merge", "merged")));
        assert!(!after.contains("refusals"), "{after}");
        assert!(!after.contains("off_for_head"), "{after}");
    }

    #[test]
    fn queue_leaving_is_judged_when_mergeability_is_known() {
        let unknown = |more| event("h1", more).replace("clean", "unknown");
        let after = observed(&queued(), "0s", &unknown(""));
        assert!(!after.contains("refusals"), "{after}");
        let queue = "m1.review.observation.observation.merge_queue";
        assert!(!after.contains(queue), "still queued: {after}");
        // A hand is known at once.
        let held = observed(&queued(), "0s", &unknown(&by("person", "manual")));
        assert!(held.contains(r#"off_for_head: - → "h1""#), "{held}");
    }
}
