//! Actions on beads.

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::vec::Vec;

use serde_json::json;

use super::{Applied, ApplyError, Performing};
use crate::action::{
    AddDependency, ClearAssignee, CloseConvoy, CreateBead, CreateLandingMr, FailConvoy,
    MarkAutoMerge, ReEscalate, SetAssignee, SetReadyToLand, Tell, TransitionBead, Untell,
    UpdateConvoyProgress,
};
use crate::bead::{Bead, BeadKind, BeadStatus, CreatedBy};
use crate::edge::EdgeKind;
use crate::ids::BeadId;
use crate::reason::{Reason, ReasonCode};
use crate::review::Review;
use crate::work::{Work, label};

impl Performing<'_> {
    /// The bead, if it is there.
    fn bead(&self, id: &BeadId) -> Result<&Bead, ApplyError> {
        self.town.bead(id).ok_or_else(|| self.missing(id))
    }

    pub(super) fn transition_bead(&mut self, action: &TransitionBead) -> Applied {
        let found = self.bead(&action.bead_id)?.status;
        if found != action.from {
            return Err(self.stale(&action.bead_id, action.from.as_str(), found.as_str()));
        }
        if !action.from.may_become(action.to) {
            return Err(self.stale(&action.bead_id, "a legal transition", action.to.as_str()));
        }
        self.town.set_status(
            &action.bead_id,
            action.to,
            &action.reason,
            self.rule,
            self.now,
        );
        // A source that reopens pauses first; one that waits is a person's to release (spec 3).
        if (action.from, action.to) == (BeadStatus::InReview, BeadStatus::Open)
            && action.reason.code != ReasonCode::SourceWaits
        {
            let now = self.now;
            self.town.edit_bead(&action.bead_id, |bead| {
                bead.last_dispatch_attempt_at = Some(now)
            });
        }
        Ok(Vec::new())
    }

    pub(super) fn set_assignee(&mut self, action: &SetAssignee) -> Applied {
        self.bead(&action.bead_id)?;
        let now = self.now;
        self.town.edit_bead(&action.bead_id, |bead| {
            bead.assignee = Some(action.agent_id.clone());
            bead.updated_at = now;
        });
        self.log(&action.bead_id, "assignee", json!({"to": action.agent_id}));
        Ok(Vec::new())
    }

    pub(super) fn clear_assignee(&mut self, action: &ClearAssignee) -> Applied {
        let from = self.bead(&action.bead_id)?.assignee.clone();
        self.town
            .edit_bead(&action.bead_id, |bead| bead.assignee = None);
        self.log(
            &action.bead_id,
            "assignee",
            json!({"from": from, "to": null}),
        );
        Ok(Vec::new())
    }

    pub(super) fn create_bead(&mut self, action: &CreateBead) -> Applied {
        if self.town.bead(&action.bead_id).is_some() {
            return Err(self.stale(&action.bead_id, "no such bead", "one"));
        }
        let bead = &action.bead;
        self.town.note_made(action.bead_id.as_str());
        if bead.created_by == Some(CreatedBy::Patrol) && bead.work() == Some(&Work::TriageBatch) {
            self.carry_triage_requests();
        }
        if let Some(Work::TriageRequest(request)) = bead.work()
            && request.triage_type == crate::work::TriageType::CrashLoop
            && let Some(agent) = &request.agent_id
        {
            let now = self.now;
            self.town
                .edit_agent(agent, |a| a.told.insert(ReasonCode::CrashLoop, now));
        }
        self.town.insert_bead((**bead).clone());
        self.log(&action.bead_id, "created", json!({"title": bead.title}));
        Ok(Vec::new())
    }

    /// A batch is a start for each line of work that it judges: an agent that asks again and again
    /// uses up its own line, and not one that begins with each batch (P15).
    fn carry_triage_requests(&mut self) {
        let is_request = |bead: &&Bead| matches!(bead.work(), Some(Work::TriageRequest(_)));
        let requests: Vec<BeadId> = (self.town.live_beads().filter(is_request))
            .map(|bead| bead.id.clone())
            .collect();
        let lines: BTreeSet<BeadId> = (self.town.live_beads().filter(is_request))
            .filter(|bead| !self.town.lineage_spent(bead))
            .map(|bead| bead.lineage().clone())
            .collect();
        for root in lines {
            self.town.edit_lineage(&root, |lineage| {
                lineage.used = lineage.used.saturating_add(1)
            });
        }
        for id in requests {
            self.town.edit_bead(&id, |bead| {
                if let Some(Work::TriageRequest(request)) = bead.work_mut() {
                    request.carries = request.carries.saturating_add(1);
                }
            });
        }
    }

    pub(super) fn add_dependency(&mut self, action: &AddDependency) -> Applied {
        self.town
            .insert_edge(&action.bead_id, &action.depends_on, action.kind);
        self.log(
            &action.bead_id,
            "dependency",
            json!({"on": action.depends_on, "kind": action.kind}),
        );
        Ok(Vec::new())
    }

    pub(super) fn set_label(&mut self, id: &BeadId, name: &str, present: bool) -> Applied {
        self.bead(id)?;
        let now = self.now;
        self.town.edit_bead(id, |bead| {
            if name == label::HELD {
                bead.held = present;
            } else if present {
                bead.labels.insert(name.into());
            } else {
                bead.labels.remove(name);
            }
            bead.updated_at = now;
        });
        self.log(id, "label", json!({"label": name, "present": present}));
        Ok(Vec::new())
    }

    pub(super) fn tell(&mut self, action: &Tell) -> Applied {
        self.bead(&action.bead_id)?;
        let now = self.now;
        self.town.edit_bead(&action.bead_id, |bead| {
            bead.told.insert(action.category, now)
        });
        self.log(
            &action.bead_id,
            "told",
            json!({"category": action.category, "escalation": action.escalation_id}),
        );
        Ok(Vec::new())
    }

    pub(super) fn untell(&mut self, action: &Untell) -> Applied {
        self.bead(&action.bead_id)?;
        self.town
            .edit_bead(&action.bead_id, |bead| bead.told.remove(&action.category));
        self.log(
            &action.bead_id,
            "untold",
            json!({"category": action.category}),
        );
        Ok(Vec::new())
    }

    pub(super) fn update_convoy_progress(&mut self, action: &UpdateConvoyProgress) -> Applied {
        self.edit_convoy(&action.convoy_id, |convoy, _| {
            convoy.total = action.total;
            convoy.closed = action.closed;
        })
    }

    pub(super) fn set_ready_to_land(&mut self, action: &SetReadyToLand) -> Applied {
        self.edit_convoy(&action.convoy_id, |convoy, _| {
            convoy.ready_to_land = action.ready
        })
    }

    pub(super) fn create_landing_mr(&mut self, action: &CreateLandingMr) -> Applied {
        let convoy = self.bead(&action.convoy_id)?;
        let mut review = Review::new(
            action.branch.clone(),
            action.target_branch.clone(),
            action.convoy_id.clone(),
        );
        review.convoy = Some(action.convoy_id.clone());
        review.landing_rig = Some(action.rig_id.clone());
        review.lands_all = Some(true);
        let mut mr = Bead::new(
            action.mr_id.clone(),
            BeadKind::MergeRequest(Box::new(review)),
            format!("Land convoy: {}", convoy.title),
            self.now,
        );
        mr.rig_id = Some(action.rig_id.clone());
        mr.priority = convoy.priority;
        mr.root = Some(convoy.lineage().clone());
        mr.created_by = Some(CreatedBy::System);
        self.town.note_made(action.mr_id.as_str());
        self.town.insert_bead(mr);
        self.town
            .insert_edge(&action.mr_id, &action.convoy_id, EdgeKind::Tracks);
        let rig = action.rig_id.clone();
        self.edit_convoy(&action.convoy_id, |convoy, now| {
            convoy.edit_landing(&rig, |landing| {
                landing.attempts = landing.attempts.saturating_add(1);
                landing.last_attempt_at = Some(now);
            });
        })
    }

    pub(super) fn close_convoy(&mut self, action: &CloseConvoy) -> Applied {
        let status = self.bead(&action.convoy_id)?.status;
        if status.is_terminal() {
            return Err(self.stale(&action.convoy_id, "a live convoy", status.as_str()));
        }
        let reason = Reason::new(
            ReasonCode::ConvoyLanded,
            "all of the convoy's work has landed",
        );
        self.town.set_status(
            &action.convoy_id,
            BeadStatus::Closed,
            &reason,
            self.rule,
            self.now,
        );
        self.edit_convoy(&action.convoy_id, |convoy, now| {
            convoy.landed_at = Some(now);
            convoy.ready_to_land = false;
        })
    }

    pub(super) fn fail_convoy(&mut self, action: &FailConvoy) -> Applied {
        let status = self.bead(&action.convoy_id)?.status;
        if status.is_terminal() {
            return Err(self.stale(&action.convoy_id, "a live convoy", status.as_str()));
        }
        self.town.set_status(
            &action.convoy_id,
            BeadStatus::Failed,
            &action.reason,
            self.rule,
            self.now,
        );
        self.edit_convoy(&action.convoy_id, |convoy, _| convoy.ready_to_land = false)
    }

    pub(super) fn edit_convoy(
        &mut self,
        id: &BeadId,
        edit: impl FnOnce(&mut crate::convoy::Convoy, crate::time::Timestamp),
    ) -> Applied {
        let now = self.now;
        let edited = self.town.edit_bead(id, |bead| {
            bead.convoy_mut().map(|convoy| edit(convoy, now)).is_some()
        });
        match edited {
            Some(true) => Ok(Vec::new()),
            Some(false) | None => Err(self.missing(id)),
        }
    }

    pub(super) fn mark_auto_merge(&mut self, action: &MarkAutoMerge) -> Applied {
        self.edit_review(&action.bead_id, |review, _| {
            let tried = review.auto_merge.attempt.as_ref();
            let is_of_head = tried.is_none_or(|attempt| review.is_at(&attempt.head_sha));
            let auto = &mut review.auto_merge;
            auto.pending = action.pending;
            auto.ready_since = action.ready_since;
            auto.head_sha.clone_from(&action.head_sha);
            if action.off_for_head.is_some() {
                auto.off_for_head.clone_from(&action.off_for_head);
            }
            if action.attempt_given_up {
                auto.attempt = None;
                // Another head than the one that was tried has not been refused.
                auto.refusals = auto.refusals.saturating_add(u32::from(is_of_head));
                // It may have merged: look before anything else.
                review.poll.due_now = true;
            }
        })?;
        self.log(
            &action.bead_id,
            "auto_merge",
            json!({"pending": action.pending, "ready_since": action.ready_since,
                   "off_for_head": action.off_for_head, "given_up": action.attempt_given_up}),
        );
        Ok(Vec::new())
    }

    pub(super) fn edit_review(
        &mut self,
        id: &BeadId,
        edit: impl FnOnce(&mut Review, crate::time::Timestamp),
    ) -> Applied {
        let now = self.now;
        let edited = self.town.edit_bead(id, |bead| {
            bead.review_mut().map(|review| edit(review, now)).is_some()
        });
        match edited {
            Some(true) => Ok(Vec::new()),
            Some(false) | None => Err(self.missing(id)),
        }
    }

    pub(super) fn re_escalate(&mut self, action: &ReEscalate) -> Applied {
        let found = self
            .bead(&action.bead_id)?
            .escalation()
            .map(|escalation| escalation.severity);
        let Some(found) = found else {
            return Err(self.missing(&action.bead_id));
        };
        if found != action.from {
            return Err(self.stale(&action.bead_id, action.from.as_str(), found.as_str()));
        }
        let now = self.now;
        self.town.edit_bead(&action.bead_id, |bead| {
            if action.to != action.from {
                bead.updated_at = now;
            }
            bead.priority = action.to.priority();
            if let Some(escalation) = bead.escalation_mut() {
                escalation.severity = action.to;
                escalation.re_escalations = escalation.re_escalations.saturating_add(1);
            }
        });
        self.log(
            &action.bead_id,
            "severity",
            json!({"from": action.from, "to": action.to}),
        );
        Ok(Vec::new())
    }

    pub(super) fn log(&mut self, bead: &BeadId, what: &str, detail: serde_json::Value) {
        self.town.log(bead, self.now, what, detail);
    }
}
