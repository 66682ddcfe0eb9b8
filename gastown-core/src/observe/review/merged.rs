//! What a merge means, however it became known (spec 4.6).

use alloc::vec::Vec;

use serde_json::json;

use crate::bead::{Bead, BeadStatus, CreatedBy};
use crate::condition::{ConditionKind, ConditionSubject};
use crate::ids::{BeadId, RigId};
use crate::reason::{Reason, ReasonCode};
use crate::review::ReviewOutcome;
use crate::time::Timestamp;
use crate::town::Town;

impl Town {
    /// The work of a live MR bead is on its target: it closes, and what hangs on it follows. The
    /// only way in which a merge closes, settles or lands anything (invariant I20).
    pub(super) fn merged(
        &mut self,
        id: &BeadId,
        commit: Option<&str>,
        evidence: &str,
        now: Timestamp,
    ) {
        let Some(mr) = self.bead(id).cloned() else {
            return;
        };
        let rig = self.rig_of_review(&mr).map(|rig| rig.id.clone());
        self.end_review(id, ReviewOutcome::Merged, evidence, now);
        self.edit_review(id, |review| {
            review.merge_commit = commit.map(Into::into);
        });
        if mr.review().is_some_and(|review| review.convoy.is_some()) {
            self.record_landing(&mr, rig.as_ref(), now);
        } else {
            self.close_source(&mr, evidence, now);
        }
        self.supersede_others(&mr, rig.as_ref(), now);
        // A merge by the forge shows that a method is allowed after all (spec 1.8).
        if let (Some(rig), true) = (rig, mr.review().is_some_and(|r| r.pr_url.is_some())) {
            let subject = ConditionSubject::Rig(rig);
            self.end_condition(ConditionKind::MergeMethodImpossible, &subject, now);
        }
    }

    /// Closes a review; nothing is merged, verified or awaited for it any more.
    fn end_review(&mut self, id: &BeadId, outcome: ReviewOutcome, why: &str, now: Timestamp) {
        let code = match outcome {
            ReviewOutcome::Merged => ReasonCode::Merged,
            ReviewOutcome::Superseded => ReasonCode::Superseded,
            ReviewOutcome::Withdrawn => ReasonCode::ByCommand,
        };
        self.set_status(
            id,
            BeadStatus::Closed,
            &Reason::new(code, why),
            "review",
            now,
        );
        self.edit_review(id, |review| {
            review.outcome = Some(outcome);
            review.verify = None;
            review.auto_merge.pending = false;
            review.auto_merge.ready_since = None;
            review.auto_merge.attempt = None;
        });
    }

    /// A landing review has landed its convoy in one rig; `convoys/close` does the rest. Its attempt
    /// is given back, also where a later issue has outdated it: it did not fail.
    fn record_landing(&mut self, mr: &Bead, rig: Option<&RigId>, now: Timestamp) {
        let Some(review) = mr.review() else { return };
        let rig = review.landing_rig.as_ref().or(rig).cloned();
        let (Some(convoy), Some(rig)) = (&review.convoy, rig) else {
            return;
        };
        let lands_all = review.lands_all != Some(false);
        // A retry is a person's, and has cost none.
        let cost = u32::from(mr.created_by == Some(CreatedBy::System));
        self.edit_bead(convoy, |bead| {
            let Some(convoy) = bead.convoy_mut() else {
                return;
            };
            convoy.edit_landing(&rig, |landing| {
                landing.attempts = landing.attempts.saturating_sub(cost);
                if lands_all {
                    landing.landed_at = Some(now);
                }
            });
        });
        self.log(convoy, now, "landed", json!({"rig": rig, "review": mr.id}));
    }

    /// The source closes only if it is in review: one that was reopened meanwhile stays, and its
    /// history says that a stale merge was seen.
    fn close_source(&mut self, mr: &Bead, evidence: &str, now: Timestamp) {
        let Some(source) = self.source_of(mr).cloned() else {
            return;
        };
        let issue = self.bead(&source).filter(|bead| bead.work().is_some());
        let Some(status) = issue.map(|bead| bead.status) else {
            return;
        };
        match status {
            BeadStatus::InReview => {
                let reason = Reason::new(ReasonCode::Merged, evidence);
                self.set_status(&source, BeadStatus::Closed, &reason, "review", now);
            }
            BeadStatus::Open | BeadStatus::InProgress => {
                let what = ReasonCode::StaleMerge.as_str();
                self.log(
                    &source,
                    now,
                    what,
                    json!({"review": mr.id, "status": status}),
                );
            }
            BeadStatus::Closed | BeadStatus::Failed => {}
        }
    }

    /// Every other live review of the same source and rig is pointless now; its refinery is
    /// stopped by `agents/stop-terminal`.
    fn supersede_others(&mut self, mr: &Bead, rig: Option<&RigId>, now: Timestamp) {
        let Some(source) = self.source_of(mr) else {
            return;
        };
        let others: Vec<BeadId> = self
            .reviews_of(source)
            .into_iter()
            .filter(|other| other.id != mr.id && other.is_live())
            .filter(|other| other.review().is_some_and(|review| !review.is_landing()))
            .filter(|other| self.rig_of_review(other).map(|rig| &rig.id) == rig)
            .map(|other| other.id.clone())
            .collect();
        for other in others {
            let why = alloc::format!("{} of the same source was merged", mr.id);
            self.end_review(&other, ReviewOutcome::Superseded, &why, now);
        }
    }
}
