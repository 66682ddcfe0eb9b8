//! A good look at the pull request of a live review, case by case (spec 4.4).

use alloc::format;
use alloc::string::{String, ToString};

use super::queue::still_queued;
use crate::certificate::age_max;
use crate::config::AutoMergeDelay;
use crate::forge::{MergeQueue, Mergeable, Observation, PrState};
use crate::green::{awaits_approval, green, identity_problem};
use crate::ids::BeadId;
use crate::reason::ReasonCode;
use crate::review::{Approval, Conflict, Review, Seen};
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
        let changed = last.is_none_or(|last| !says_the_same(last, seen));
        let same_head = before.same_head;
        self.edit_review(id, |review| {
            if !same_head {
                new_head(review, now);
            }
            review.head_sha = Some(seen.head_sha.clone());
            review.is_draft = seen.is_draft;
            let poll = &mut review.poll;
            poll.last_ok_at = Some(now);
            poll.pr_errors = 0;
            poll.transient_errors = 0;
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
                observation: seen.clone(),
            });
        });
        Some(before)
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
        let limit = self.policy().merge_refusal_limit;
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

/// Whether two looks say the same; what is left of the rate limit is no news.
fn says_the_same(last: &Observation, seen: &Observation) -> bool {
    let mut last = last.clone();
    last.api_budget = seen.api_budget;
    last == *seen
}

#[cfg(test)]
mod tests {
    use std::format;
    use std::string::String;

    use crate::testing::{GREEN, observed};

    const SEEN: &str = r#""state":"open","head_branch":"work/m1","head_repository":"acme/r1","base_branch":"main""#;
    const FEEDBACK: &str = r#""unresolved_threads":0,"threads_complete":true,"checks":{"state":"passing"},"checks_complete":true"#;

    /// What a look changes, aside from the look itself and the record of looking.
    fn look(town: &str, after: &str, fields: &str) -> String {
        let event =
            format!(r#"{{"type": "pr_observed", "bead_id": "m1", "observation": {{{fields}}}}}"#);
        let changes = observed(town, after, &event);
        let kept = changes.lines().filter(|line| {
            !line.contains(".review.observation.") && !line.contains("review.poll.")
        });
        kept.collect::<std::vec::Vec<_>>().join("\n")
    }

    fn green(head: &str) -> String {
        format!(r#"{SEEN},"head_sha":"{head}","mergeable":"clean","feedback":{{{FEEDBACK}}}"#)
    }

    fn fresh() -> String {
        GREEN
            .replace("review.auto_merge.ready_since=-6m review.auto_merge.head_sha=h1 review.auto_merge.pending=true review.auto_merge.last_green_at=-10s ", "")
    }

    #[test]
    fn good_green_starts_the_clock() {
        insta::assert_snapshot!(look(&fresh(), "0s", &green("h1")), @r#"
        observed: m1 was looked at
        m1.review.auto_merge.head_sha: - → "h1"
        m1.review.auto_merge.last_green_at: - → "2026-04-04T12:00:00.000Z"
        m1.review.auto_merge.ready_since: - → "2026-04-04T12:00:00.000Z"
        "#);
    }

    #[test]
    fn good_green_for_the_delay_makes_the_merge_pending() {
        let waiting = |since: &str| {
            GREEN
                .replace("pending=true", "pending=false")
                .replace("ready_since=-6m", &format!("ready_since={since}"))
        };
        assert!(!look(&waiting("-299999ms"), "0s", &green("h1")).contains("pending"));
        let at_the_delay = look(&waiting("-5m"), "0s", &green("h1"));
        assert!(
            at_the_delay.contains("pending: false → true"),
            "{at_the_delay}"
        );
        assert!(!at_the_delay.contains("ready_since"), "{at_the_delay}");
    }

    #[test]
    fn good_without_a_delay_is_pending_at_once() {
        let town = fresh().replace("auto_merge_delay_minutes=5", "auto_merge_delay_minutes=0");
        assert!(look(&town, "0s", &green("h1")).contains("pending: false → true"));
    }

    #[test]
    fn good_a_gap_of_more_than_two_intervals_restarts_the_clock() {
        let gap = |ago: &str| {
            let town = GREEN.replace("last_green_at=-10s", &format!("last_green_at={ago}"));
            look(&town, "0s", &green("h1"))
        };
        assert!(!gap("-2m").contains("ready_since"));
        let restarted = gap("-120001ms");
        assert!(
            restarted.contains(
                r#"ready_since: "2026-04-04T11:54:00.000Z" → "2026-04-04T12:00:00.000Z""#
            ),
            "{restarted}"
        );
        assert!(restarted.contains("pending: true → false"), "{restarted}");
    }

    /// The head of a snapshot that names none is the one that its clock or its last look names.
    #[test]
    fn good_the_head_of_the_clock_is_no_other_head() {
        let town = GREEN.replace("review.head_sha=h1 review.head_seen_at=-1h ", "");
        insta::assert_snapshot!(look(&town, "0s", &green("h1")), @r#"
        observed: m1 was looked at
        m1.review.auto_merge.last_green_at: "2026-04-04T11:59:50.000Z" → "2026-04-04T12:00:00.000Z"
        m1.review.head_sha: - → "h1"
        "#);
    }

    #[test]
    fn good_no_checks_are_green_unless_the_head_is_new() {
        let none = green("h1").replace(r#""state":"passing""#, r#""state":"none""#);
        let seen = |ago: &str| {
            let town = fresh().replace("head_seen_at=-1h", &format!("head_seen_at={ago}"));
            look(&town, "0s", &none).contains("ready_since")
        };
        assert!(!seen("-59999ms"));
        assert!(seen("-60s"));
        // Not known when: a missing time counts from the creation (spec 1.10).
        let unknown = fresh().replace("review.head_seen_at=-1h ", "");
        assert!(look(&unknown, "0s", &none).contains("ready_since"));
        let another = none.replace("h1", "h2");
        assert!(!look(&unknown, "0s", &another).contains("ready_since"));
    }

    #[test]
    fn good_not_green_stops_the_clock() {
        let blocked = green("h1").replace("clean", "blocked");
        insta::assert_snapshot!(look(GREEN, "0s", &blocked), @r#"
        observed: m1 was looked at
        m1.review.approval.awaiting_since: - → "2026-04-04T12:00:00.000Z"
        m1.review.auto_merge.head_sha: "h1" → -
        m1.review.auto_merge.pending: true → false
        m1.review.auto_merge.ready_since: "2026-04-04T11:54:00.000Z" → -
        "#);
    }

    #[test]
    fn good_another_head_resets_what_belonged_to_the_old_one() {
        let town = GREEN.replace(
            "review.auto_merge.pending=true",
            r#"review.auto_merge.pending=true review.auto_merge.refusals=4 review.auto_merge.off_for_head=h1 review.conflict={"since":"2026-04-04T11:00:00Z"}"#,
        );
        insta::assert_snapshot!(look(&town, "0s", &green("h2")), @r#"
        observed: m1 was looked at
        m1.review.auto_merge.head_sha: "h1" → -
        m1.review.auto_merge.last_green_at: "2026-04-04T11:59:50.000Z" → -
        m1.review.auto_merge.off_for_head: "h1" → -
        m1.review.auto_merge.pending: true → false
        m1.review.auto_merge.ready_since: "2026-04-04T11:54:00.000Z" → -
        m1.review.auto_merge.refusals: 4 → 0
        m1.review.conflict.since: "2026-04-04T11:00:00.000Z" → -
        m1.review.head_seen_at: "2026-04-04T11:00:00.000Z" → "2026-04-04T12:00:00.000Z"
        m1.review.head_sha: "h1" → "h2"
        "#);
    }

    #[test]
    fn good_unknown_clears_pending_and_judges_nothing_else() {
        let unknown = green("h1")
            .replace("clean", "unknown")
            .replace(r#""unresolved_threads":0"#, r#""unresolved_threads":3"#);
        let town = GREEN.replace(
            "config.refinery",
            "config.refinery.auto_resolve_pr_feedback=true config.refinery",
        );
        insta::assert_snapshot!(look(&town, "0s", &unknown), @"
        observed: m1: whether it can be merged is not known yet
        m1.review.auto_merge.pending: true → false
        ");
    }

    #[test]
    fn good_merged_closes_review_and_source() {
        let merged = green("h1").replace(
            r#""state":"open""#,
            r#""state":"merged","merge_commit":"c1""#,
        );
        let after = look(GREEN, "0s", &merged);
        for line in [
            r#"b1.status: "in_review" → "closed""#,
            r#"m1.review.merge_commit: - → "c1""#,
            r#"m1.review.outcome: - → "merged""#,
            r#"m1.status: "in_progress" → "closed""#,
        ] {
            assert!(after.contains(line), "{line}: {after}");
        }
    }

    #[test]
    fn good_closed_fails_the_review_and_reopens_the_source() {
        let closed = green("h1").replace(r#""state":"open""#, r#""state":"closed""#);
        insta::assert_snapshot!(look(GREEN, "0s", &closed), @r#"
        observed: m1: its pull request was closed without a merge
        b1.last_dispatch_attempt_at: - → "2026-04-04T12:00:00.000Z"
        b1.status: "in_review" → "open"
        b1.status_changed_at: - → "2026-04-04T12:00:00.000Z"
        b1.updated_at: "2026-03-05T12:00:00.000Z" → "2026-04-04T12:00:00.000Z"
        m1.closed_at: - → "2026-04-04T12:00:00.000Z"
        m1.failure.code: - → "pr_closed"
        m1.failure.message: - → "its pull request was closed without a merge"
        m1.failure.source: - → "pr_observed"
        m1.status: "in_progress" → "failed"
        m1.status_changed_at: - → "2026-04-04T12:00:00.000Z"
        m1.told.pr_closed: - → "2026-04-04T12:00:00.000Z"
        m1.updated_at: "2026-03-05T12:00:00.000Z" → "2026-04-04T12:00:00.000Z"
        t1-e1.body: - → "its pull request was closed without a merge"
        t1-e1.created_at: - → "2026-04-04T12:00:00.000Z"
        t1-e1.created_by: - → "system"
        t1-e1.escalation.bead_id: - → "m1"
        t1-e1.escalation.category: - → "pr_closed"
        t1-e1.escalation.severity: - → "high"
        t1-e1.id: - → "t1-e1"
        t1-e1.labels: - → ["gt:escalation","severity:high"]
        t1-e1.priority: - → "high"
        t1-e1.rig_id: - → "r1"
        t1-e1.root: - → "m1"
        t1-e1.status: - → "open"
        t1-e1.status_changed_at: - → "2026-04-04T12:00:00.000Z"
        t1-e1.title: - → "pr closed: m1"
        t1-e1.type: - → "escalation"
        t1-e1.updated_at: - → "2026-04-04T12:00:00.000Z"
        town.sequence: 0 → 1
        "#);
    }

    #[test]
    fn good_identity_is_told_once_and_never_green() {
        let other = green("h1").replace("work/m1", "other");
        let after = look(GREEN, "0s", &other);
        assert!(after.contains("m1.told.pr_identity"), "{after}");
        assert!(after.contains("pending: true → false"), "{after}");
        let told = GREEN.replace(
            "m1 merge_request in_progress",
            r#"m1 merge_request in_progress told={"pr_identity":"2026-04-04T11:00:00Z"}"#,
        );
        assert!(!look(&told, "0s", &other).contains("escalation"));
    }

    #[test]
    fn good_dirty_makes_one_conflict_repair() {
        let dirty = green("h1").replace("clean", "dirty");
        insta::assert_snapshot!(look(GREEN, "0s", &dirty), @r#"
        observed: m1 was looked at
        m1 blocks t1-b1.bead_id: - → "m1"
        m1 blocks t1-b1.depends_on: - → "t1-b1"
        m1 blocks t1-b1.type: - → "blocks"
        m1.review.auto_merge.head_sha: "h1" → -
        m1.review.auto_merge.pending: true → false
        m1.review.auto_merge.ready_since: "2026-04-04T11:54:00.000Z" → -
        m1.review.conflict.since: - → "2026-04-04T12:00:00.000Z"
        m1.review.repair_rounds.conflict: 0 → 1
        t1-b1 parent-child m1.bead_id: - → "t1-b1"
        t1-b1 parent-child m1.depends_on: - → "m1"
        t1-b1 parent-child m1.type: - → "parent-child"
        t1-b1.body: - → "https://github.com/acme/r1/pull/1 can't be merged into `main`. Check out `work/m1`, rebase onto `main`, resolve what conflicts, keep the intent of both sides, run the checks, and push to `work/m1`. Open no new pull request."
        t1-b1.created_at: - → "2026-04-04T12:00:00.000Z"
        t1-b1.created_by: - → "system"
        t1-b1.id: - → "t1-b1"
        t1-b1.labels: - → ["gt:pr-conflict"]
        t1-b1.metadata.branch: - → "work/m1"
        t1-b1.metadata.head_sha: - → "h1"
        t1-b1.metadata.mr_bead_id: - → "m1"
        t1-b1.metadata.pr_url: - → "https://github.com/acme/r1/pull/1"
        t1-b1.metadata.source_bead_id: - → "b1"
        t1-b1.metadata.target_branch: - → "main"
        t1-b1.parent_id: - → "m1"
        t1-b1.priority: - → "high"
        t1-b1.rig_id: - → "r1"
        t1-b1.root: - → "m1"
        t1-b1.status: - → "open"
        t1-b1.status_changed_at: - → "2026-04-04T12:00:00.000Z"
        t1-b1.title: - → "Resolve the conflicts of work/m1 with main"
        t1-b1.type: - → "issue"
        t1-b1.updated_at: - → "2026-04-04T12:00:00.000Z"
        town.sequence: 0 → 1
        "#);
    }

    #[test]
    fn good_dirty_without_auto_resolve_tells_once() {
        let dirty = green("h1").replace("clean", "dirty");
        let town = GREEN.replace(
            "config.refinery",
            "config.refinery.auto_resolve_merge_conflicts=false config.refinery",
        );
        let after = look(&town, "0s", &dirty);
        assert!(after.contains("m1.told.merge_conflict"), "{after}");
        assert!(!after.contains("gt:pr-conflict"), "{after}");
    }

    fn with_repair(label: &str, status: &str, more: &str) -> String {
        format!(
            r#"{GREEN}
            bead w1 issue {status} rig_id=r1 labels=["gt:{label}"] metadata={{"head_sha":"h1"}} parent_id=m1 {more}
            edge m1 blocks w1"#
        )
    }

    #[test]
    fn good_dirty_joins_a_live_feedback_repair() {
        let dirty = green("h1").replace("clean", "dirty");
        let after = look(&with_repair("pr-feedback", "in_progress", ""), "0s", &dirty);
        assert!(
            after.contains("w1.metadata.has_conflicts: - → true"),
            "{after}"
        );
        assert!(
            after.contains(r#"w1.metadata.conflict_target_branch: - → "main""#),
            "{after}"
        );
        assert!(!after.contains("t1-b"), "{after}");
    }

    #[test]
    fn good_dirty_again_only_after_a_poll_interval_or_for_another_head() {
        let dirty = |head: &str| green(head).replace("clean", "dirty");
        let closed = |ago: &str| {
            with_repair("pr-conflict", "closed", "").replace(
                "review.auto_merge.pending=true",
                &format!(
                    r#"review.conflict.since=-1h review.conflict.last_repair_closed_at={ago}"#
                ),
            )
        };
        assert!(!look(&closed("-60s"), "0s", &dirty("h1")).contains("gt:pr-conflict"));
        assert!(look(&closed("-60001ms"), "0s", &dirty("h1")).contains("gt:pr-conflict"));
        assert!(look(&closed("0s"), "0s", &dirty("h2")).contains("gt:pr-conflict"));
    }

    #[test]
    fn good_dirty_knows_a_repair_by_what_it_blocks() {
        let town = format!(
            r#"{GREEN}
            bead p1 issue open rig_id=r1 labels=["gt:pr-conflict"] metadata.mr_bead_id=m1
            edge m1 blocks p1"#
        );
        let after = look(&town, "0s", &green("h1").replace("clean", "dirty"));
        assert!(after.contains("m1.review.conflict.since"), "{after}");
        assert!(!after.contains("t1-b1"), "{after}");
    }

    /// The record of the last repair ends with the conflict; the bead itself still knows.
    #[test]
    fn good_dirty_again_waits_for_an_interval_since_the_repair_that_is_known() {
        let dirty = green("h1").replace("clean", "dirty");
        let closed = |ago: &str| {
            let town = format!(
                r#"{GREEN}
                bead p1 issue closed rig_id=r1 parent_id=m1 closed_at={ago} labels=["gt:pr-conflict"] metadata.mr_bead_id=m1 metadata.head_sha=h1
                edge p1 parent-child m1"#
            );
            look(&town, "0s", &dirty).contains("gt:pr-conflict")
        };
        assert!(!closed("-60s"));
        assert!(closed("-60001ms"));
    }

    #[test]
    fn good_no_second_repair_after_one_failed_for_this_head() {
        let dirty = green("h1").replace("clean", "dirty");
        let after = look(&with_repair("pr-conflict", "failed", ""), "0s", &dirty);
        assert!(!after.contains("gt:pr-conflict"), "{after}");
    }

    #[test]
    fn good_repair_rounds_are_spent_per_cause() {
        let spent = GREEN.replace(
            "review.auto_merge.pending=true",
            "review.repair_rounds.conflict=5",
        );
        let dirty = look(&spent, "0s", &green("h1").replace("clean", "dirty"));
        assert!(dirty.contains("m1.told.repair_rounds_spent"), "{dirty}");
        let behind = look(&spent, "0s", &green("h1").replace("clean", "behind"));
        assert!(
            behind.contains("m1.review.repair_rounds.behind: 0 → 1"),
            "{behind}"
        );
    }

    fn feedback_town() -> String {
        GREEN.replace(
            "config.refinery",
            "config.refinery.auto_resolve_pr_feedback=true config.refinery",
        )
    }

    #[test]
    fn good_feedback_makes_one_repair_that_says_what_is_wrong() {
        let wrong = green("h1")
            .replace(r#""unresolved_threads":0"#, r#""unresolved_threads":2"#)
            .replace(
                r#""state":"passing""#,
                r#""state":"failing","failing":["build","lint"]"#,
            );
        let after = look(&feedback_town(), "0s", &wrong);
        insta::assert_snapshot!(after, @r#"
        observed: m1 was looked at
        m1 blocks t1-b1.bead_id: - → "m1"
        m1 blocks t1-b1.depends_on: - → "t1-b1"
        m1 blocks t1-b1.type: - → "blocks"
        m1.review.auto_merge.head_sha: "h1" → -
        m1.review.auto_merge.pending: true → false
        m1.review.auto_merge.ready_since: "2026-04-04T11:54:00.000Z" → -
        m1.review.repair_rounds.feedback: 0 → 1
        t1-b1 parent-child m1.bead_id: - → "t1-b1"
        t1-b1 parent-child m1.depends_on: - → "m1"
        t1-b1 parent-child m1.type: - → "parent-child"
        t1-b1.body: - → "https://github.com/acme/r1/pull/1 needs work: 2 unresolved comment threads; failing checks (build, lint). Check out `work/m1`, look at each of these on the pull request itself, answer and resolve the threads that you settle, make the checks pass, and push to `work/m1`. Open no new pull request."
        t1-b1.created_at: - → "2026-04-04T12:00:00.000Z"
        t1-b1.created_by: - → "system"
        t1-b1.id: - → "t1-b1"
        t1-b1.labels: - → ["gt:pr-feedback"]
        t1-b1.metadata.branch: - → "work/m1"
        t1-b1.metadata.head_sha: - → "h1"
        t1-b1.metadata.pr_feedback_for: - → "m1"
        t1-b1.metadata.pr_url: - → "https://github.com/acme/r1/pull/1"
        t1-b1.parent_id: - → "m1"
        t1-b1.priority: - → "medium"
        t1-b1.rig_id: - → "r1"
        t1-b1.root: - → "m1"
        t1-b1.status: - → "open"
        t1-b1.status_changed_at: - → "2026-04-04T12:00:00.000Z"
        t1-b1.title: - → "Address the feedback on work/m1: 2 unresolved comment threads; failing checks (build, lint)"
        t1-b1.type: - → "issue"
        t1-b1.updated_at: - → "2026-04-04T12:00:00.000Z"
        town.sequence: 0 → 1
        "#);
        assert!(!look(GREEN, "0s", &wrong).contains("gt:pr-feedback"));
    }

    #[test]
    fn good_pending_checks_are_no_feedback() {
        let pending = green("h1").replace(r#""state":"passing""#, r#""state":"pending""#);
        assert!(!look(&feedback_town(), "0s", &pending).contains("gt:pr-feedback"));
        let unread = green("h1").replace(r#""checks_complete":true"#, r#""checks_complete":false"#);
        let after = look(&feedback_town(), "0s", &unread);
        assert!(
            after.contains("checks that could not be inspected"),
            "{after}"
        );
    }

    #[test]
    fn good_feedback_joins_a_live_conflict_repair() {
        let town = with_repair("pr-conflict", "open", "").replace(
            "config.refinery",
            "config.refinery.auto_resolve_pr_feedback=true config.refinery",
        );
        let wrong = green("h1").replace(r#""unresolved_threads":0"#, r#""unresolved_threads":2"#);
        let after = look(&town, "0s", &wrong);
        assert!(
            after.contains("w1.metadata.has_feedback: - → true"),
            "{after}"
        );
        assert!(!after.contains("gt:pr-feedback"), "{after}");
    }

    #[test]
    fn good_approval_is_awaited_since_the_first_such_look() {
        let required = green("h1").replace(
            r#""checks_complete":true"#,
            r#""checks_complete":true,"decision":"review_required""#,
        );
        let after = look(GREEN, "0s", &required);
        assert!(
            after.contains(r#"m1.review.approval.awaiting_since: - → "2026-04-04T12:00:00.000Z""#),
            "{after}"
        );
        let blocked = green("h1").replace("clean", "blocked");
        assert!(look(GREEN, "0s", &blocked).contains("awaiting_since"));
        let awaited = GREEN.replace(
            "review.head_sha=h1",
            "review.head_sha=h1 review.approval.awaiting_since=-1h",
        );
        assert!(!look(&awaited, "0s", &required).contains("awaiting_since"));
        assert!(look(&awaited, "0s", &green("h1")).contains("awaiting_since"));
    }

    /// A merge that the forge blocks waits for an approval only where nothing else is missing.
    #[test]
    fn good_approval_is_not_awaited_while_something_else_is_missing() {
        let blocked = green("h1").replace("clean", "blocked");
        assert!(look(GREEN, "0s", &blocked).contains("awaiting_since"));
        for (from, to) in [
            (r#""base_branch":"main""#, r#""base_branch":"x""#),
            (
                r#""state":"passing""#,
                r#""state":"passing","pending":["a"]"#,
            ),
            (
                r#""state":"passing""#,
                r#""state":"passing","failing":["a"]"#,
            ),
            (
                r#""mergeable":"blocked""#,
                r#""mergeable":"blocked","merge_queue":"queued""#,
            ),
        ] {
            let other = blocked.replace(from, to);
            assert_ne!(other, blocked, "{from}");
            assert!(
                !look(GREEN, "0s", &other).contains("awaiting_since"),
                "{to}"
            );
        }
        let held = GREEN.replace("review.source=b1", r#"review.source=b1 labels=["gt:held"]"#);
        assert_ne!(held, GREEN);
        assert!(!look(&held, "0s", &blocked).contains("awaiting_since"));
    }

    #[test]
    fn good_looks_that_are_older_or_foreign_are_ignored() {
        let event = |more: &str| {
            let fields = green("h1");
            format!(
                r#"{{"type": "pr_observed", {more} "bead_id": "m1", "observation": {{{fields}}}}}"#
            )
        };
        let older = event(r#""key": {"subject": "m1", "kind": "poll_pr", "attempt": 6},"#);
        insta::assert_snapshot!(observed(GREEN, "0s", &older), @"ignored: the result of an older look");
        let foreign = event(r#""pr_url": "https://github.com/acme/r1/pull/2","#);
        insta::assert_snapshot!(observed(GREEN, "0s", &foreign), @"ignored: the review has another pull request by now");
        insta::assert_snapshot!(observed(GREEN, "-11s", &event("")), @"ignored: a newer look is known");
        let current = event(r#""key": {"subject": "m1", "kind": "poll_pr", "attempt": 7},"#);
        assert!(observed(GREEN, "0s", &current).starts_with("observed"));
    }

    #[test]
    fn good_resets_strikes_and_ends_conditions() {
        let town = GREEN
            .replace("town config", r#"town conditions=[{"kind":"credentials_rejected","subject":{"kind":"rig","id":"r1"},"since":"2026-04-04T11:00:00Z"},{"kind":"forge_unreachable","subject":{"kind":"town"},"since":"2026-04-04T11:00:00Z","told_at":"2026-04-04T11:10:00Z"},{"kind":"rate_limited","subject":{"kind":"town"},"since":"2026-04-04T11:00:00Z","until":"2026-04-04T13:00:00Z"}] config"#)
            .replace("review.poll.attempts=7", "review.poll.attempts=7 review.poll.pr_errors=1 review.poll.transient_errors=3 review.poll.invalid_responses=1");
        let event = format!(
            r#"{{"type": "pr_observed", "bead_id": "m1", "observation": {{{}}}}}"#,
            green("h1")
        );
        let after = observed(&town, "0s", &event);
        assert!(
            after.contains("pr_errors: 1 → 0")
                && after.contains("transient_errors: 3 → 0")
                && after.contains("invalid_responses: 1 → 0"),
            "{after}"
        );
        let conditions = after
            .lines()
            .find(|line| line.starts_with("town.conditions"))
            .unwrap();
        assert!(
            !conditions
                .split('→')
                .nth(1)
                .unwrap()
                .contains("credentials_rejected"),
            "{conditions}"
        );
        assert!(
            conditions.contains(r#""ended_at":"2026-04-04T12:00:00.000Z""#),
            "{conditions}"
        );
    }
}
