//! A good look at the pull request of a live review, case by case (spec 4.4).

use alloc::format;
use alloc::string::{String, ToString};

use super::queue::still_queued;
use crate::certificate::age_max;
use crate::config::AutoMergeDelay;
use crate::forge::{MergeQueue, Mergeable, Observation, PrState};
use crate::green::{awaits_approval, green, identity_problem, other_way};
use crate::ids::BeadId;
use crate::reason::ReasonCode;
use crate::review::{AgentSession, Approval, Conflict, Review, Seen};
use crate::time::Timestamp;
use crate::town::Town;

/// What was known before this look, as far as it decides anything.
struct Before {
    last_ok_at: Option<Timestamp>,
    was_queued: bool,
    same_head: bool,
}

impl Town {
    pub(super) fn good_look(
        &mut self,
        id: &BeadId,
        seen: &Observation,
        taken_at: Timestamp,
        now: Timestamp,
    ) -> String {
        self.forge_answered(id, now);
        let known = self.bead(id).and_then(|mr| mr.review());
        let seen = &known.map_or_else(|| seen.clone(), |review| still_queued(review, seen));
        let Some(before) = self.take_note_of(id, seen, taken_at, now) else {
            return "the review is gone".to_string();
        };
        match seen.state {
            PrState::Merged => {
                if let Some(why) = self.other_work_was_merged(id, seen) {
                    self.tell_once(id, ReasonCode::PrIdentity, why.as_str(), now);
                    return format!("{id}: {why}");
                }
                let evidence = "its pull request was seen merged";
                self.merged(id, seen.merge_commit.as_deref(), evidence, now);
                return format!("{id} is merged");
            }
            PrState::Closed => {
                let why = "its pull request was closed without a merge";
                self.fail_review_and_reopen(id, ReasonCode::PrClosed, why, "pr_observed", now);
                return format!("{id}: {why}");
            }
            PrState::Open => {}
        }
        self.judge_identity(id, now);
        self.judge_queue(id, seen, before.was_queued && before.same_head, now);
        if seen.mergeable == Mergeable::Unknown {
            self.edit_review(id, |review| review.auto_merge.pending = false);
            return format!("{id}: whether it can be merged is not known yet");
        }
        self.judge_conflict(id, seen.mergeable, now);
        self.judge_green(id, before.last_ok_at, now);
        self.judge_approval(id, now);
        self.judge_feedback(id, now);
        format!("{id} was looked at")
    }

    /// Stores the look, and resets what belonged to another head.
    fn take_note_of(
        &mut self,
        id: &BeadId,
        seen: &Observation,
        taken_at: Timestamp,
        now: Timestamp,
    ) -> Option<Before> {
        let review = self.bead(id)?.review()?;
        let last = review.observation.as_ref().map(|last| &last.observation);
        let before = Before {
            last_ok_at: review.poll.last_ok_at,
            was_queued: last.is_some_and(|last| last.merge_queue == MergeQueue::Queued),
            same_head: last_head(review) == Some(&seen.head_sha),
        };
        let was_known = review.observation.as_ref().map(Seen::known);
        let known = filled(seen, was_known);
        let changed = was_known.is_none_or(|was| known != filled(was, None));
        let same_head = before.same_head;
        let at_work = self.holders(id).next().map(AgentSession::of);
        self.edit_review(id, |review| {
            if !same_head {
                review.head_changed_in = last_head(review).and(at_work);
                new_head(review, now);
            }
            review.head_sha = Some(seen.head_sha.clone());
            review.is_draft = seen.is_draft;
            let poll = &mut review.poll;
            poll.last_ok_at = Some(now);
            poll.pr_errors = 0;
            poll.transient_errors = 0;
            poll.credential_errors = 0;
            poll.invalid_responses = 0;
            poll.last_invalid_at = None;
            poll.last_error = None;
            if changed {
                poll.changed_at = Some(now);
                review.waiting = None;
            }
            review.observation = Some(Seen {
                at: now,
                taken_at: Some(taken_at).filter(|taken_at| *taken_at != now),
                known: Some(known).filter(|known| *known != filled(seen, None)),
                observation: seen.clone(),
            });
        });
        Some(before)
    }

    /// What a pull request of another branch, or into another one, brought somewhere is not the work of the
    /// review: its source doesn't close for it (I20). Who gave its address, or retargeted it, only a person knows.
    fn other_work_was_merged(&self, id: &BeadId, seen: &Observation) -> Option<String> {
        let problem = other_way(self.bead(id)?.review()?, seen)?;
        Some(format!("its pull request was merged, but {problem}"))
    }

    /// A pull request that is not the one of the review is told once, and is never green.
    fn judge_identity(&mut self, id: &BeadId, now: Timestamp) {
        let problem = self
            .bead(id)
            .and_then(|mr| identity_problem(self, mr, mr.review()?));
        // Without a rig there is nothing to compare with; that is another matter.
        let rig_known = self
            .bead(id)
            .is_some_and(|mr| self.rig_of_review(mr).is_some());
        if let (Some(problem), true) = (problem, rig_known) {
            let message = format!("the pull request is not the one of this review: {problem}");
            self.tell_once(id, ReasonCode::PrIdentity, message, now);
        }
    }

    /// Dirty or behind: the clock stops, and a repair is due. Neither: a conflict has ended.
    fn judge_conflict(&mut self, id: &BeadId, mergeable: Mergeable, now: Timestamp) {
        let behind = match mergeable {
            Mergeable::Dirty => false,
            Mergeable::Behind => true,
            Mergeable::Clean
            | Mergeable::Blocked
            | Mergeable::Unstable
            | Mergeable::HasHooks
            | Mergeable::Unknown => {
                self.edit_review(id, |review| review.conflict = None);
                return;
            }
        };
        self.edit_review(id, |review| {
            stop_clock(review);
            review.conflict.get_or_insert(Conflict {
                since: now,
                last_repair_closed_at: None,
            });
        });
        self.repair_conflict(id, behind, now);
    }

    /// Green starts the clock, or lets it run; not green stops it. Only here is a merge made
    /// pending.
    fn judge_green(&mut self, id: &BeadId, last_ok_at: Option<Timestamp>, now: Timestamp) {
        let Some(mr) = self.bead(id) else { return };
        let settings = self.settings_of_review(mr);
        let is_green = green(self, mr, &settings).is_some_and(|green| green.holds());
        let gap_max = age_max(self.policy());
        self.edit_review(id, |review| {
            if !is_green {
                stop_clock(review);
                return;
            }
            let auto = &mut review.auto_merge;
            let seen_before = auto.last_green_at.or(last_ok_at);
            let unbroken = seen_before.is_some_and(|at| now.since(at) <= gap_max)
                && auto.head_sha == review.head_sha;
            let since = auto.ready_since.filter(|_| unbroken).unwrap_or(now);
            auto.ready_since = Some(since);
            auto.head_sha.clone_from(&review.head_sha);
            auto.last_green_at = Some(now);
            auto.pending = match settings.auto_merge_delay {
                AutoMergeDelay::Never => false,
                AutoMergeDelay::After(delay) => now.since(since) >= delay,
            };
        });
    }

    /// Since when an approval is awaited.
    fn judge_approval(&mut self, id: &BeadId, now: Timestamp) {
        let Some(mr) = self.bead(id) else { return };
        let awaits = awaits_approval(self, mr, &self.settings_of_review(mr));
        self.edit_review(id, |review| {
            let since = review
                .approval
                .as_ref()
                .and_then(|known| known.awaiting_since);
            let feedback = review
                .observation
                .as_ref()
                .and_then(|seen| seen.observation.feedback.as_ref());
            let approval = Approval {
                awaiting_since: awaits.then(|| since.unwrap_or(now)),
                decision: feedback.and_then(|said| said.decision),
            };
            review.approval = Some(approval).filter(|known| *known != Approval::default());
        });
    }

    /// The engine's merge was refused, in the forge's own words; too often, a person is told and
    /// the engine keeps its hands off this head (spec 4.5).
    pub(super) fn merge_was_refused(&mut self, id: &BeadId, words: &str, now: Timestamp) {
        self.merge_was_stopped(id, words);
        let limit = self.policy().refusals_max();
        let Some(refusals) = self.bead(id).and_then(|mr| mr.review()).map(|review| {
            let refusals = review.auto_merge.refusals;
            refusals.saturating_add(1)
        }) else {
            return;
        };
        let spent = refusals >= limit;
        self.edit_review(id, |review| {
            let head = review.head_sha.clone();
            let auto = &mut review.auto_merge;
            auto.refusals = refusals;
            if spent {
                let unseen = || crate::review::OFF_UNSEEN.to_string();
                auto.off_for_head = Some(head.unwrap_or_else(unseen));
            }
        });
        if spent {
            let message = format!(
                "the merge was refused {refusals} times; the engine does not merge this head any \
                 more. The forge says: {words}"
            );
            self.tell_once(id, ReasonCode::MergeRefused, message, now);
        }
    }

    /// A merge came to nothing: its clock starts anew with the next green look.
    pub(super) fn merge_was_stopped(&mut self, id: &BeadId, words: &str) {
        self.edit_review(id, |review| {
            stop_clock(review);
            review.auto_merge.last_refusal = Some(words.into());
        });
    }
}

/// The head that was known before this look.
pub(super) fn last_head(review: &Review) -> Option<&String> {
    let seen = review.observation.as_ref();
    let seen = seen.map(|seen| &seen.observation.head_sha);
    let noted = review.head_sha.as_ref();
    noted.or(seen).or(review.auto_merge.head_sha.as_ref())
}

/// What belonged to another head is over (spec 4.4, 2).
fn new_head(review: &mut Review, now: Timestamp) {
    review.head_seen_at = Some(now);
    review.conflict = None;
    stop_clock(review);
    let auto = &mut review.auto_merge;
    auto.last_green_at = None;
    auto.off_for_head = None;
    auto.refusals = 0;
    auto.last_refusal = None;
}

/// Not green: neither ready nor to be merged.
pub(super) fn stop_clock(review: &mut Review) {
    let auto = &mut review.auto_merge;
    auto.ready_since = None;
    auto.head_sha = None;
    auto.pending = false;
}

/// A look with what could not be read as it was known before of the same head: that something could not be
/// read this time, or could be again, is no news, and looks that alternate would be news for ever, so that
/// nobody would hear that the pull request waits.
fn filled(seen: &Observation, known: Option<&Observation>) -> Observation {
    let mut filled = seen.clone();
    // What is left of the rate limit is no news, either.
    filled.api_budget = None;
    let Some(known) = known.filter(|known| known.head_sha == seen.head_sha) else {
        return filled;
    };
    if filled.mergeable == Mergeable::Unknown {
        filled.mergeable = known.mergeable;
    }
    match (&mut filled.feedback, &known.feedback) {
        (Some(has), Some(had)) => {
            let (threads, checks) = (has.threads_complete, has.checks_complete);
            if !threads {
                has.unresolved_threads = had.unresolved_threads;
                has.threads_complete = had.threads_complete;
            }
            if !checks {
                has.checks.clone_from(&had.checks);
                has.checks_complete = had.checks_complete;
            }
            // Of what was read of another head nothing is known.
            if !threads && !checks {
                has.decision = had.decision;
                has.decision_head.clone_from(&had.decision_head);
            }
        }
        (has @ None, had) => has.clone_from(had),
        (Some(_), None) => {}
    }
    filled
}

#[cfg(test)]
mod tests;
