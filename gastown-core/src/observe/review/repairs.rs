//! Beads that repair the branch of a pull request (spec 4.4, 5 and 8).

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde_json::json;

use crate::bead::{Bead, BeadKind, BeadStatus, CreatedBy, Priority};
use crate::edge::EdgeKind;
use crate::forge::{ChecksState, Decision, Feedback};
use crate::green::{check_names, needs_feedback_repair};
use crate::ids::{BeadId, IdKind, RigId};
use crate::reason::ReasonCode;
use crate::review::Review;
use crate::time::Timestamp;
use crate::town::Town;
use crate::work::{PrConflict, PrFeedback, Work};

impl Town {
    /// The pull request conflicts with its target, or is behind it: a repair, or a person.
    pub(super) fn repair_conflict(&mut self, id: &BeadId, behind: bool, now: Timestamp) {
        let Some(mr) = self.bead(id).cloned() else {
            return;
        };
        let Some(review) = mr.review() else { return };
        let target = &review.target_branch;
        let what = if behind {
            "is behind"
        } else {
            "conflicts with"
        };
        if !self.settings_of_review(&mr).auto_resolve_merge_conflicts {
            let message = format!("the pull request {what} {target}; a person has to resolve it");
            self.tell_once(id, ReasonCode::MergeConflict, message, now);
            return;
        }
        if let Some(feedback) = self.live_repair(id, |work| matches!(work, Work::PrFeedback(_))) {
            self.edit_bead(&feedback, |bead| {
                if let Some(Work::PrFeedback(work)) = bead.work_mut() {
                    work.has_conflicts = true;
                    work.conflict_target_branch = Some(target.clone());
                }
            });
            return;
        }
        let has_live = self.live_repair(id, |work| matches!(work, Work::PrConflict(_)));
        if has_live.is_some()
            || !self.conflict_repair_is_due(&mr, review, now)
            || self.failed_repair_for_head(&mr).is_some()
        {
            return;
        }
        let rounds = &review.repair_rounds;
        let made = if behind {
            rounds.behind
        } else {
            rounds.conflict
        };
        if made >= self.policy().repair_rounds {
            let message =
                format!("{made} repairs were made, and the pull request still {what} {target}");
            self.tell_once(id, ReasonCode::MergeConflict, message, now);
            return;
        }
        self.make_conflict_repair(&mr, review, behind, now);
        self.edit_review(id, |review| {
            let rounds = &mut review.repair_rounds;
            let count = if behind {
                &mut rounds.behind
            } else {
                &mut rounds.conflict
            };
            *count = count.saturating_add(1);
        });
    }

    fn make_conflict_repair(&mut self, mr: &Bead, review: &Review, behind: bool, now: Timestamp) {
        let (branch, target) = (&review.branch, &review.target_branch);
        let work = PrConflict {
            pr_url: review.pr_url.clone(),
            branch: Some(branch.clone()),
            head_sha: review.head_sha.clone(),
            target_branch: Some(target.clone()),
            mr_bead_id: Some(mr.id.clone()),
            source_bead_id: self.source_of(mr).cloned(),
            has_feedback: false,
        };
        let title = if behind {
            format!("Bring {branch} up to date with {target}")
        } else {
            format!("Resolve the conflicts of {branch} with {target}")
        };
        let url = review.pr_url.as_deref().unwrap_or("the pull request");
        let body = format!(
            "{url} can't be merged into `{target}`. Check out `{branch}`, rebase onto \
             `{target}`, resolve what conflicts, keep the intent of both sides, run the checks, \
             and push to `{branch}`. Open no new pull request."
        );
        self.make_repair(mr, Work::PrConflict(work), title, body, Priority::High, now);
    }

    /// The head changed since the last repair, or a poll interval passed since it closed.
    fn conflict_repair_is_due(&self, mr: &Bead, review: &Review, now: Timestamp) -> bool {
        let newest = self.newest_repair(&mr.id, |work| {
            matches!(work, Work::PrConflict(_))
                || matches!(work, Work::PrFeedback(work) if work.has_conflicts)
        });
        let noted = review
            .conflict
            .as_ref()
            .and_then(|conflict| conflict.last_repair_closed_at);
        // The record ends with the conflict, and the bead may be gone: whichever knows more.
        let closed_at = noted.max(newest.and_then(|repair| repair.closed_at));
        let newest = newest
            .and_then(|repair| repair.work())
            .and_then(Work::head_sha);
        newest.is_some_and(|head| Some(head) != review.head_sha.as_deref())
            || closed_at.is_none_or(|at| now.since(at) > self.policy().pr_poll_interval)
    }

    /// Comments, failing checks, or either unread: a repair, or a person (spec 4.4, 8).
    pub(super) fn judge_feedback(&mut self, id: &BeadId, now: Timestamp) {
        let Some(mr) = self.bead(id).cloned() else {
            return;
        };
        let Some(review) = mr.review() else { return };
        let wanted = self.settings_of_review(&mr).auto_resolve_pr_feedback;
        if !wanted || !needs_feedback_repair(review) {
            return;
        }
        if let Some(conflict) = self.live_repair(id, |work| matches!(work, Work::PrConflict(_))) {
            self.edit_bead(&conflict, |bead| {
                if let Some(Work::PrConflict(work)) = bead.work_mut() {
                    work.has_feedback = true;
                }
            });
            return;
        }
        let has_live = self.live_repair(id, |work| matches!(work, Work::PrFeedback(_)));
        if has_live.is_some() || self.failed_repair_for_head(&mr).is_some() {
            return;
        }
        let made = review.repair_rounds.feedback;
        let said = review
            .observation
            .as_ref()
            .and_then(|seen| seen.observation.feedback.as_ref());
        let wrong = said.map(what_is_wrong).unwrap_or_default().join("; ");
        if made >= self.policy().repair_rounds {
            let message =
                format!("{made} repairs were made, and the pull request still has: {wrong}");
            self.tell_once(id, ReasonCode::RepairRoundsSpent, message, now);
            return;
        }
        self.make_feedback_repair(&mr, review, &wrong, now);
        self.edit_review(id, |review| {
            let count = &mut review.repair_rounds.feedback;
            *count = count.saturating_add(1);
        });
    }

    fn make_feedback_repair(&mut self, mr: &Bead, review: &Review, wrong: &str, now: Timestamp) {
        let branch = &review.branch;
        let work = PrFeedback {
            pr_feedback_for: Some(mr.id.clone()),
            pr_url: review.pr_url.clone(),
            branch: Some(branch.clone()),
            head_sha: review.head_sha.clone(),
            has_conflicts: false,
            conflict_target_branch: None,
        };
        let title = format!("Address the feedback on {branch}: {wrong}");
        let url = review.pr_url.as_deref().unwrap_or("the pull request");
        let body = format!(
            "{url} needs work: {wrong}. Check out `{branch}`, look at each of these on the pull \
             request itself, answer and resolve the threads that you settle, make the checks \
             pass, and push to `{branch}`. Open no new pull request."
        );
        self.make_repair(mr, Work::PrFeedback(work), title, body, mr.priority, now);
    }

    /// A new repair of the branch of an MR bead, which blocks it. Its rig is the MR's, else
    /// inferred, else that of the refinery that has it.
    pub(crate) fn make_repair(
        &mut self,
        mr: &Bead,
        work: Work,
        title: String,
        body: String,
        priority: Priority,
        now: Timestamp,
    ) -> BeadId {
        let rig: Option<RigId> = self
            .rig_of_review(mr)
            .map(|rig| rig.id.clone())
            .or_else(|| self.holders(&mr.id).find_map(|agent| agent.rig_id.clone()));
        let id = self.next_bead_id(IdKind::Bead);
        let mut repair = Bead::new(id.clone(), BeadKind::Issue(work), title, now);
        repair.body = Some(body);
        repair.rig_id = rig;
        repair.priority = priority;
        repair.parent_id = Some(mr.id.clone());
        repair.root = Some(mr.lineage().clone());
        repair.created_by = Some(CreatedBy::System);
        self.insert_bead(repair);
        self.insert_edge(&id, &mr.id, EdgeKind::ParentChild);
        self.insert_edge(&mr.id, &id, EdgeKind::Blocks);
        self.log(&id, now, "created", json!({"repairs": mr.id}));
        id
    }

    /// The live repair of an MR bead that `sort` picks.
    fn live_repair(&self, mr: &BeadId, sort: impl Fn(&Work) -> bool) -> Option<BeadId> {
        self.repairs_of(mr)
            .into_iter()
            .find(|repair| repair.is_live() && repair.work().is_some_and(&sort))
            .map(|repair| repair.id.clone())
    }

    /// The newest repair of an MR bead among those that `sort` picks.
    pub(crate) fn newest_repair(&self, mr: &BeadId, sort: impl Fn(&Work) -> bool) -> Option<&Bead> {
        self.repairs_of(mr)
            .into_iter()
            .filter(|repair| repair.work().is_some_and(&sort))
            .max_by_key(|repair| (repair.created_at, &repair.id))
    }

    /// The newest feedback or conflict bead of a review, if it was made for the current head and
    /// failed: no other is made for this head.
    pub(crate) fn failed_repair_for_head(&self, mr: &Bead) -> Option<&Bead> {
        let head = mr.review()?.head_sha.as_deref();
        let feedback = self.newest_repair(&mr.id, |work| {
            matches!(work, Work::PrFeedback(_)) && work.head_sha() == head
        });
        let conflict = self.newest_repair(&mr.id, |work| {
            matches!(work, Work::PrConflict(_)) && work.head_sha() == head
        });
        [feedback, conflict]
            .into_iter()
            .flatten()
            .find(|repair| repair.status == BeadStatus::Failed)
    }
}

/// What a repair has to deal with, in words; names of checks are the forge's.
fn what_is_wrong(said: &Feedback) -> Vec<String> {
    let mut wrong = Vec::new();
    match said.unresolved_threads {
        0 => {}
        1 => wrong.push("1 unresolved comment thread".to_string()),
        more => wrong.push(format!("{more} unresolved comment threads")),
    }
    if !said.threads_complete {
        wrong.push("comment threads that could not be read".to_string());
    }
    if said.checks.state == ChecksState::Failing || !said.checks.failing.is_empty() {
        let names = check_names(&said.checks.failing);
        wrong.push(format!("failing checks ({names})"));
    }
    if !said.checks_complete {
        wrong.push("checks that could not be inspected".to_string());
    }
    if said.decision == Some(Decision::ChangesRequested) {
        wrong.push("a reviewer asks for changes".to_string());
    }
    wrong
}
