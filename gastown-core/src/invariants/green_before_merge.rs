//! I13 green-before-merge: every merge names the head that was green for the whole delay.

use alloc::vec::Vec;

use super::{Transition, Violation};
use crate::config::AutoMergeDelay;

pub(super) fn check_step(step: &Transition<'_>, out: &mut Vec<Violation>) {
    for merge in step.merges() {
        let Some(mr) = step.before.bead(&merge.bead_id) else {
            continue;
        };
        let Some(review) = mr.review() else { continue };
        let auto = &review.auto_merge;
        let settings = step.before.settings_of_review(mr);
        let AutoMergeDelay::After(delay) = settings.auto_merge_delay else {
            let message = "merged although the engine is not to merge";
            out.push(Violation::new("I13", [&mr.id], message));
            continue;
        };
        // Only a look can show that it still is green, so the delay ends at the last one.
        let long_enough = auto
            .ready_since
            .zip(review.observation.as_ref())
            .is_some_and(|(since, seen)| {
                let since = since.max(merge.certificate.ready_since);
                seen.at.since(since) >= delay
            });
        if auto.head_sha.as_ref() != Some(&merge.head_sha) {
            let message = "merged at another head than the green one";
            out.push(Violation::new("I13", [&mr.id], message));
        } else if !auto.pending || !long_enough {
            let message = "merged before its head was green for the whole delay";
            out.push(Violation::new("I13", [&mr.id], message));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{merge_of, merged};
    use crate::testing::GREEN;

    #[test]
    fn i13_the_head_that_was_green_for_the_whole_delay() {
        assert_eq!(merged(GREEN, &merge_of(GREEN)), "");
        let other = GREEN.replace("auto_merge.head_sha=h1", "auto_merge.head_sha=h0");
        let found = merged(&other, &merge_of(GREEN));
        assert!(found.contains("I13 m1: merged at another head"), "{found}");
        // The last look that saw it green was ten seconds ago: at, and just under, the delay.
        let at = GREEN.replace("ready_since=-6m", "ready_since=-310s");
        assert_eq!(merged(&at, &merge_of(GREEN)), "");
        let under = GREEN.replace("ready_since=-6m", "ready_since=-309999ms");
        let found = merged(&under, &merge_of(GREEN));
        assert!(found.contains("I13 m1: merged before"), "{found}");
        let not_pending = GREEN.replace("auto_merge.pending=true", "");
        assert!(merged(&not_pending, &merge_of(GREEN)).contains("I13 m1: merged before"));
    }

    #[test]
    fn i13_never_means_never() {
        let never = GREEN.replace(
            "auto_merge_delay_minutes=5",
            r#"auto_merge_delay_minutes="never""#,
        );
        let found = merged(&never, &merge_of(GREEN));
        assert!(found.contains("I13 m1: merged although"), "{found}");
    }
}
