//! I12 reviewed-before-merge: with code review on, no merge of a head that no refinery passed; with
//! review_every_head off, of a review that none passed.

use alloc::vec::Vec;

use super::{Transition, Violation};
use crate::eligible::is_reviewed;

pub(super) fn check_step(step: &Transition<'_>, out: &mut Vec<Violation>) {
    for merge in step.merges() {
        let Some(mr) = step.before.bead(&merge.bead_id) else {
            continue;
        };
        let settings = step.before.settings_of_review(mr);
        let passed = mr.review().and_then(|review| review.reviewed.as_ref());
        let this_head = passed
            .and_then(|reviewed| reviewed.head_sha.as_ref())
            .is_some_and(|head| *head == merge.head_sha);
        let fits = is_reviewed(mr, &settings) && (this_head || !settings.review_every_head);
        if settings.code_review && !fits {
            let message = "merged although no refinery passed it";
            out.push(Violation::new("I12", [&mr.id], message));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{merge_of, merged};
    use crate::testing::GREEN;

    #[test]
    fn i12_the_merged_head_was_passed() {
        assert_eq!(merged(GREEN, &merge_of(GREEN)), "");
        let other = GREEN.replace("review.reviewed.head_sha=h1", "review.reviewed.head_sha=h0");
        let found = merged(&other, &merge_of(GREEN));
        assert_eq!(found, "I12 m1: merged although no refinery passed it");
    }

    #[test]
    fn i12_one_pass_is_enough_without_review_every_head_and_none_without_code_review() {
        let other = GREEN.replace("review.reviewed.head_sha=h1", "review.reviewed.head_sha=h0");
        let once = std::format!("{other}\ntown config.refinery.review_every_head=false");
        assert_eq!(merged(&once, &merge_of(GREEN)), "");
        let never = once
            .replace("review.reviewed.head_sha=h0", "")
            .replace("review.reviewed.at=-1h", "");
        assert!(merged(&never, &merge_of(GREEN)).contains("I12 m1"));
        let off = never.replace("review_every_head", "code_review");
        assert_eq!(merged(&off, &merge_of(GREEN)), "");
    }
}
