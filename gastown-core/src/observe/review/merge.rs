//! What came of a merge that the engine asked for (spec 4.5).

use alloc::format;
use alloc::string::{String, ToString};

use super::errors::advice;
use super::good::stop_clock;
use super::is_current;
use crate::bead::Bead;
use crate::condition::{ConditionKind, ConditionSubject};
use crate::effect::EffectKey;
use crate::event::MergeAttempted;
use crate::forge::{MergeOutcome, MergeQueue};
use crate::ids::BeadId;
use crate::observe::Outcome;
use crate::time::Timestamp;
use crate::town::Town;

impl Town {
    pub(in crate::observe) fn merge_attempted(
        &mut self,
        event: &MergeAttempted,
        at: Timestamp,
        key: Option<&EffectKey>,
        now: Timestamp,
    ) -> Outcome {
        let id = &event.bead_id;
        let review = self.live_review(id)?;
        let is_expected = match &review.auto_merge.attempt {
            Some(attempt) => {
                attempt.head_sha == event.head_sha
                    && is_current(key, id, "merge_pr", attempt.number)
            }
            // Without a key it is a fact, asked for or not (spec 8.2), unless of another head.
            None => key.is_none() && review.is_at(&event.head_sha),
        };
        let is_merged = key.is_none() && matches!(event.outcome, MergeOutcome::Merged { .. });
        if !is_expected && !is_merged {
            return Err("no such merge is under way".to_string());
        }
        self.edit_review(id, |review| {
            review.auto_merge.attempt = None;
            stop_clock(review);
        });
        Ok(self.merge_outcome(event, at.min(now), now))
    }

    fn merge_outcome(&mut self, event: &MergeAttempted, at: Timestamp, now: Timestamp) -> String {
        let id = &event.bead_id;
        match &event.outcome {
            MergeOutcome::Merged { commit } => {
                let evidence = format!("the forge merged it as {commit}");
                self.merged(id, Some(commit), &evidence, now);
                format!("{id} is merged")
            }
            MergeOutcome::Queued => {
                // Known before the next look says so: a pull request that leaves the queue
                // between two looks must not do so for nothing.
                self.edit_review(id, |review| {
                    if let Some(seen) = &mut review.observation {
                        seen.observation.merge_queue = MergeQueue::Queued;
                        review.poll.changed_at = Some(now);
                        review.waiting = None;
                    }
                });
                format!("{id} is in the merge queue")
            }
            MergeOutcome::NotReady { observation } => {
                let words = "a fresh look showed that it is not ready";
                self.merge_came_to_nothing(event, words, now);
                if self.is_older_look(id, at, now) {
                    return format!("{words}; a newer look is known");
                }
                let seen = self.good_look(id, observation, at, now);
                format!("{words}; {seen}")
            }
            MergeOutcome::Refused { status, message } => {
                let words = format!("{status}: {}", crate::ids::shown(message, 300));
                let no_method = says_no_method(*status, message);
                // What is known already costs this review nothing (spec 1.8).
                if no_method && self.no_method_is_known(id) {
                    self.merge_was_stopped(id, &words);
                } else {
                    self.merge_came_to_nothing(event, &words, now);
                }
                if no_method {
                    self.no_method_is_allowed(id, &words, now);
                }
                format!("the merge of {id} was refused: {words}")
            }
            MergeOutcome::Error { error } => {
                let words = advice(error);
                self.edit_review(id, |review| review.poll.due_now = true);
                // While the forge is in trouble, nothing of the review's is spent (spec 1.8).
                if self.merges_are_held(id) {
                    return format!("whether {id} was merged is not known: {words}");
                }
                self.merge_came_to_nothing(event, &words, now);
                format!("whether {id} was merged is not known: {words}")
            }
        }
    }

    /// A refusal of the head that was to be merged; another head was never tried.
    fn merge_came_to_nothing(&mut self, event: &MergeAttempted, words: &str, now: Timestamp) {
        let id = &event.bead_id;
        let review = self.bead(id).and_then(Bead::review);
        if review.is_some_and(|review| !review.is_at(&event.head_sha)) {
            self.merge_was_stopped(id, words);
        } else {
            self.merge_was_refused(id, words, now);
        }
    }

    /// Whether the condition that no method is allowed holds for the rig of a review.
    fn no_method_is_known(&self, id: &BeadId) -> bool {
        self.conditions_of(id)
            .any(|condition| condition.kind == ConditionKind::MergeMethodImpossible)
    }

    fn no_method_is_allowed(&mut self, id: &BeadId, words: &str, now: Timestamp) {
        let rig = self.bead(id).and_then(|mr| self.rig_of_review(mr));
        if let Some(rig) = rig.map(|rig| rig.id.clone()) {
            let evidence = super::conditions::Evidence {
                kind: ConditionKind::MergeMethodImpossible,
                subject: ConditionSubject::Rig(rig),
                words: words.into(),
                until: None,
                tried: alloc::vec::Vec::new(),
            };
            self.strike(evidence, None, now);
        }
    }
}

/// Whether the forge refused because of the merge method: its own words for one method, or the
/// adapter's for all of them.
fn says_no_method(status: u16, message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    let says = |part: &str| message.contains(part);
    status == 405
        && (says("merge commits are not allowed")
            || says("squash merges are not allowed")
            || says("rebase merges are not allowed")
            || says("no such merge method")
            || (says("merge method") && says("allowed")))
}

#[cfg(test)]
mod tests {
    use std::format;
    use std::string::String;

    use crate::testing::{GREEN, observed, settled};

    fn town() -> String {
        GREEN.replace(
            "review.auto_merge.pending=true",
            r#"review.auto_merge.pending=true review.auto_merge.attempts=3 review.auto_merge.attempt={"number":3,"head_sha":"h1","at":"2026-04-04T12:00:00Z"}"#,
        )
    }

    fn outcome(town: &str, outcome: &str) -> String {
        let key = r#""key": {"subject": "m1", "kind": "merge_pr", "attempt": 3}"#;
        let event = format!(
            r#"{{"type": "merge_attempted", {key}, "bead_id": "m1", "head_sha": "h1", "outcome": {outcome}}}"#
        );
        observed(town, "0s", &event)
    }

    #[test]
    fn merge_merged() {
        let after = outcome(&town(), r#"{"kind": "merged", "commit": "c1"}"#);
        assert!(
            after.contains(r#"m1.status: "in_progress" → "closed""#),
            "{after}"
        );
        assert!(
            after.contains(r#"b1.status: "in_review" → "closed""#),
            "{after}"
        );
    }

    #[test]
    fn merge_queued_is_seen_to_its_end_by_polling() {
        insta::assert_snapshot!(outcome(&town(), r#"{"kind": "queued"}"#), @r#"
        observed: m1 is in the merge queue
        m1.review.auto_merge.attempt.at: "2026-04-04T12:00:00.000Z" → -
        m1.review.auto_merge.attempt.head_sha: "h1" → -
        m1.review.auto_merge.attempt.number: 3 → -
        m1.review.auto_merge.head_sha: "h1" → -
        m1.review.auto_merge.pending: true → false
        m1.review.auto_merge.ready_since: "2026-04-04T11:54:00.000Z" → -
        m1.review.observation.observation.merge_queue: "none" → "queued"
        m1.review.poll.changed_at: "2026-04-04T11:54:00.000Z" → "2026-04-04T12:00:00.000Z"
        "#);
    }

    #[test]
    fn merge_refused_counts_and_keeps_the_words() {
        insta::assert_snapshot!(outcome(&town(), r#"{"kind": "refused", "status": 409, "message": "head was modified"}"#), @r#"
        observed: the merge of m1 was refused: 409: head was modified
        m1.review.auto_merge.attempt.at: "2026-04-04T12:00:00.000Z" → -
        m1.review.auto_merge.attempt.head_sha: "h1" → -
        m1.review.auto_merge.attempt.number: 3 → -
        m1.review.auto_merge.head_sha: "h1" → -
        m1.review.auto_merge.last_refusal: - → "409: head was modified"
        m1.review.auto_merge.pending: true → false
        m1.review.auto_merge.ready_since: "2026-04-04T11:54:00.000Z" → -
        m1.review.auto_merge.refusals: 0 → 1
        "#);
    }

    #[test]
    fn merge_refused_at_the_limit_tells_once_and_is_off_for_this_head() {
        let town = town().replace("attempts=3", "attempts=3 review.auto_merge.refusals=4");
        let after = outcome(
            &town,
            r#"{"kind": "refused", "status": 405, "message": "no"}"#,
        );
        assert!(after.contains(r#"off_for_head: - → "h1""#), "{after}");
        assert!(after.contains("m1.told.merge_refused"), "{after}");
    }

    #[test]
    fn merge_refused_for_its_method_begins_a_condition() {
        let after = outcome(
            &town(),
            r#"{"kind": "refused", "status": 405, "message": "Squash merges are not allowed on this repository."}"#,
        );
        assert!(after.contains("merge_method_impossible"), "{after}");
        assert!(after.contains("refusals: 0 → 1"), "{after}");
    }

    /// A second pull request of the rig spends nothing on what is known already.
    #[test]
    fn merge_refused_for_its_method_under_its_condition_is_no_refusal() {
        let known = r#"town conditions=[{"kind":"merge_method_impossible","subject":{"kind":"rig","id":"r1"},"since":"2026-04-04T11:00:00Z"}] config"#;
        let after = outcome(
            &town().replace("town config", known),
            r#"{"kind": "refused", "status": 405, "message": "Squash merges are not allowed on this repository."}"#,
        );
        assert!(after.contains("pending: true → false"), "{after}");
        assert!(!after.contains("refusals"), "{after}");
    }

    #[test]
    fn merge_error_is_unknown_so_that_it_is_looked_at_first() {
        insta::assert_snapshot!(outcome(&town(), r#"{"kind": "error", "error": {"kind": "network"}}"#), @r#"
        observed: whether m1 was merged is not known: the forge could not be reached
        m1.review.auto_merge.attempt.at: "2026-04-04T12:00:00.000Z" → -
        m1.review.auto_merge.attempt.head_sha: "h1" → -
        m1.review.auto_merge.attempt.number: 3 → -
        m1.review.auto_merge.head_sha: "h1" → -
        m1.review.auto_merge.last_refusal: - → "the forge could not be reached"
        m1.review.auto_merge.pending: true → false
        m1.review.auto_merge.ready_since: "2026-04-04T11:54:00.000Z" → -
        m1.review.auto_merge.refusals: 0 → 1
        m1.review.poll.due_now: false → true
        "#);
    }

    #[test]
    fn merge_not_ready_takes_the_fresh_look() {
        let seen = r#"{"state":"open","head_sha":"h2","head_branch":"work/m1","head_repository":"acme/r1","base_branch":"main","mergeable":"blocked"}"#;
        let after = outcome(
            &town(),
            &format!(r#"{{"kind": "not_ready", "observation": {seen}}}"#),
        );
        assert!(
            after.contains(r#"m1.review.head_sha: "h1" → "h2""#),
            "{after}"
        );
        assert!(after.contains("pending: true → false"), "{after}");
    }

    #[test]
    fn merge_results_of_other_attempts_are_ignored() {
        let older = town().replace(r#""number":3"#, r#""number":4"#);
        assert!(outcome(&older, r#"{"kind": "queued"}"#).starts_with("ignored"));
        let other = town().replace(
            r#""number":3,"head_sha":"h1""#,
            r#""number":3,"head_sha":"h9""#,
        );
        assert!(outcome(&other, r#"{"kind": "queued"}"#).starts_with("ignored"));
        let fact = r#"{"type": "merge_attempted", "bead_id": "m1", "head_sha": "h1", "outcome": {"kind": "merged", "commit": "c1"}}"#;
        assert!(observed(GREEN, "0s", fact).starts_with("observed"));
    }

    /// Without a key an outcome is a fact in its own right, asked for or not (spec 8.2).
    #[test]
    fn merge_results_without_a_key_are_facts_unless_of_another_head() {
        let said = |head: &str, outcome: &str| {
            let event = format!(
                r#"{{"type": "merge_attempted", "bead_id": "m1", "head_sha": "{head}", "outcome": {outcome}}}"#
            );
            observed(GREEN, "0s", &event)
        };
        let refused = said(
            "h1",
            r#"{"kind": "refused", "status": 405, "message": "no"}"#,
        );
        assert!(refused.contains("refusals: 0 → 1"), "{refused}");
        assert!(refused.contains("pending: true → false"), "{refused}");
        let queued = said("h1", r#"{"kind": "queued"}"#);
        assert!(queued.contains("pending: true → false"), "{queued}");
        assert!(said("h0", r#"{"kind": "queued"}"#).starts_with("ignored"));
    }

    #[test]
    fn merge_rests_after_a_refusal() {
        assert!(settled(&town(), "0s").contains("at rest"));
    }

    /// Spec 4.2: a look that was taken before the last good one is ignored, whoever brings it.
    #[test]
    fn merge_not_ready_takes_no_look_that_is_older_than_the_last_good_one() {
        let seen = r#"{"state":"closed","head_sha":"h1","head_branch":"work/m1","head_repository":"acme/r1","base_branch":"main","mergeable":"clean"}"#;
        let late = format!(
            r#"{{"type": "merge_attempted", "at": "2026-04-04T11:59:49Z", "key": {{"subject": "m1", "kind": "merge_pr", "attempt": 3}}, "bead_id": "m1", "head_sha": "h1", "outcome": {{"kind": "not_ready", "observation": {seen}}}}}"#
        );
        let after = observed(&town(), "0s", &late);
        assert!(after.contains("a newer look is known"), "{after}");
        assert!(
            after.contains("refusals: 0 → 1") && !after.contains("m1.status"),
            "{after}"
        );
    }

    /// What was tried is not what there is: no head pays for another one.
    #[test]
    fn merge_refused_of_a_head_that_is_gone_costs_the_new_one_nothing() {
        let town = town().replace(r#""head_sha":"h1""#, r#""head_sha":"h0""#);
        let event = r#"{"type": "merge_attempted", "key": {"subject": "m1", "kind": "merge_pr", "attempt": 3}, "bead_id": "m1", "head_sha": "h0", "outcome": {"kind": "refused", "status": 409, "message": "head was modified"}}"#;
        let after = observed(&town, "0s", event);
        assert!(after.contains("pending: true → false"), "{after}");
        assert!(!after.contains("refusals"), "{after}");
    }
}
