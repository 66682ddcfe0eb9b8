//! What people do to beads: change, hold, end, reopen, grant, delete, order (spec 2.1).

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use serde_json::json;

use super::check::{self, limits};
use super::data::{Grant, ReopenBead, UpdateBead};
use super::{Actor, CommandError, Did, Executed, Refusal};
use crate::bead::{Bead, BeadKind, BeadStatus, BeadType, Priority};
use crate::ids::{AgentId, BeadId, RigId};
use crate::reason::{Reason, ReasonCode};
use crate::review::ReviewOutcome;
use crate::town::Town;
use crate::work::{Work, label};

/// How a person ends a bead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Closed,
    Failed,
}

impl Town {
    pub(super) fn update_bead(&mut self, update: UpdateBead, actor: &Actor) -> Executed {
        let bead = self.live_bead_for("bead_id", &update.bead_id, actor)?;
        if let Some(title) = &update.title {
            check::title("title", title)?;
        }
        check::optional_text(
            "body",
            update.body.as_ref().and_then(|body| body.as_deref()),
        )?;
        if let Some(labels) = &update.labels {
            let own = engine_labels(bead);
            let own: Vec<&str> = own.iter().map(String::as_str).collect();
            check::labels(labels, &own)?;
        }
        if let Some(metadata) = &update.metadata {
            check::metadata(&metadata.0)?;
        }
        if let Some(rig) = &update.rig_id {
            self.check_new_rig(bead, rig.as_ref(), actor)?;
        }
        let id = update.bead_id.clone();
        let keys = bead.work().map_or(&[][..], engine_keys);
        self.edit_bead(&id, |bead| {
            let before = shown(bead);
            if let Some(title) = update.title {
                bead.title = title;
            }
            if let Some(body) = update.body {
                bead.body = body;
            }
            if let Some(priority) = update.priority {
                bead.priority = priority;
            }
            if let Some(labels) = update.labels {
                let is_ours = |name: &String| {
                    !name.starts_with(label::PREFIX) && !name.starts_with(label::SEVERITY_PREFIX)
                };
                bead.labels = labels.into_iter().filter(is_ours).collect();
            }
            if let Some(metadata) = update.metadata {
                bead.metadata = metadata.0;
                bead.metadata.retain(|key, _| !keys.contains(&key.as_str()));
            }
            if shown(bead) != before {
                bead.updated_at = actor.now;
            }
        });
        if let Some(rig) = update.rig_id {
            self.move_to_rig(&id, rig, actor);
        }
        self.note(&id, actor, "updated", json!({}));
        Ok(Did::text(format!("{id} is updated")))
    }

    fn check_new_rig(
        &self,
        bead: &Bead,
        rig: Option<&RigId>,
        actor: &Actor,
    ) -> Result<(), CommandError> {
        if bead.rig_id.as_ref() == rig {
            return Ok(());
        }
        match rig {
            Some(rig) => drop(self.rig_for("rig_id", rig, actor)?),
            None => actor.may_touch("rig_id", None)?,
        }
        if bead.kind.bead_type() == BeadType::Convoy {
            return Err(CommandError::invalid("rig_id", "a convoy has no rig"));
        }
        if bead.status != BeadStatus::Open || self.holders(&bead.id).next().is_some() {
            return Err(CommandError::conflict(
                "rig_id",
                "can change only while the bead is open and no agent is hooked to it",
            ));
        }
        self.check_same_repository(bead, rig)
    }

    /// A pull request stays where it is, and a landing belongs to its rig's part of the convoy
    /// (invariant I14).
    fn check_same_repository(&self, bead: &Bead, rig: Option<&RigId>) -> Result<(), CommandError> {
        let Some(review) = bead.review() else {
            return Ok(());
        };
        let Some(rig) = rig.and_then(|rig| self.rig(rig)) else {
            return match &review.landing_rig {
                None => Ok(()),
                Some(landing) => Err(lands_elsewhere(landing)),
            };
        };
        if let Some(url) = &review.pr_url
            && !rig.has_pull_request(url)
        {
            return Err(CommandError::conflict(
                "rig_id",
                format!(
                    "its pull request {url} is not in the repository of rig {}",
                    rig.id
                ),
            ));
        }
        match &review.landing_rig {
            Some(landing) if *landing != rig.id => Err(lands_elsewhere(landing)),
            Some(_) | None => Ok(()),
        }
    }

    fn move_to_rig(&mut self, id: &BeadId, rig: Option<RigId>, actor: &Actor) {
        let moved = self.edit_bead(id, |bead| {
            let changed = bead.rig_id != rig;
            bead.rig_id.clone_from(&rig);
            changed
        });
        let convoy = self.convoy_of(id).map(|convoy| convoy.id.clone());
        if let (Some(true), Some(convoy), Some(rig)) = (moved, convoy, rig) {
            self.joined(&convoy, id, &rig, actor);
        }
    }

    pub(super) fn set_held(&mut self, id: &BeadId, held: bool, actor: &Actor) -> Executed {
        let bead = self.live_bead_for("bead_id", id, actor)?;
        match bead.kind.bead_type() {
            BeadType::Issue | BeadType::MergeRequest | BeadType::Convoy => {}
            BeadType::Escalation | BeadType::Molecule | BeadType::Message => {
                return Err(CommandError::invalid(
                    "bead_id",
                    "is neither dispatched nor merged, so it can't be held",
                ));
            }
        }
        let word = if held { "held" } else { "released" };
        if bead.held == held {
            return check::nothing(&format!("{id} is {word} already"));
        }
        self.edit_bead(id, |bead| {
            bead.held = held;
            bead.updated_at = actor.now;
        });
        self.note(id, actor, word, json!({}));
        if !held {
            self.look_again_at(id);
        }
        Ok(Did::text(format!("{id} is {word}")))
    }

    /// A release or another change that may let a pull request merge: a look is worth it now
    /// (spec 3.10).
    pub(super) fn look_again_at(&mut self, id: &BeadId) {
        let mut mrs: Vec<BeadId> = self.reviews_of(id).iter().map(|mr| mr.id.clone()).collect();
        mrs.push(id.clone());
        for mr in mrs {
            self.edit_bead(&mr, |bead| {
                let live = bead.is_live();
                if let Some(review) = bead.review_mut().filter(|review| review.pr_url.is_some()) {
                    review.poll.due_now |= live;
                }
            });
        }
    }

    pub(super) fn end_bead(
        &mut self,
        id: &BeadId,
        why: Option<String>,
        end: End,
        actor: &Actor,
    ) -> Executed {
        check::optional_text("reason", why.as_deref())?;
        let bead = self.live_bead_for("bead_id", id, actor)?;
        if bead.escalation().is_some() {
            return Err(CommandError::invalid(
                "bead_id",
                "is an escalation; acknowledge it instead",
            ));
        }
        let (to, command) = match end {
            End::Closed => (BeadStatus::Closed, "close_bead"),
            End::Failed => (BeadStatus::Failed, "fail_bead"),
        };
        let why = why.filter(|why| !why.trim().is_empty());
        let message = why.unwrap_or_else(|| format!("{} by {}", to.as_str(), actor.name));
        let reason = Reason::new(ReasonCode::ByCommand, message);
        // The steps of a molecule have no life of their own.
        let steps: Vec<BeadId> = match bead.kind {
            BeadKind::Molecule => self
                .steps_of(id)
                .iter()
                .map(|step| step.id.clone())
                .collect(),
            BeadKind::Issue(_)
            | BeadKind::MergeRequest(_)
            | BeadKind::Convoy(_)
            | BeadKind::Escalation(_)
            | BeadKind::Message(_) => Vec::new(),
        };
        self.edit_bead(id, |bead| {
            if let Some(review) = bead.review_mut() {
                review.outcome = (end == End::Closed).then_some(ReviewOutcome::Withdrawn);
                review.auto_merge.pending = false;
                review.auto_merge.ready_since = None;
            }
            if let Some(convoy) = bead.convoy_mut() {
                convoy.ready_to_land = false;
            }
        });
        for id in steps.iter().chain([id]) {
            self.set_status(id, to, &reason, command, actor.now);
        }
        Ok(Did::text(format!("{id} is now {}", to.as_str())))
    }

    pub(super) fn reopen_bead(&mut self, reopen: &ReopenBead, actor: &Actor) -> Executed {
        let id = &reopen.bead_id;
        let bead = self.live_bead_for("bead_id", id, actor)?;
        if !matches!(bead.status, BeadStatus::InProgress | BeadStatus::InReview) {
            return Err(CommandError::conflict(
                "bead_id",
                format!(
                    "is {}, expected in_progress or in_review",
                    bead.status.as_str()
                ),
            ));
        }
        let reason = Reason::new(ReasonCode::ByCommand, format!("reopened by {}", actor.name));
        self.set_status(id, BeadStatus::Open, &reason, "reopen_bead", actor.now);
        self.edit_bead(id, |bead| {
            bead.assignee = None;
            // What a refinery said before is no longer asked about: it is reviewed anew.
            if let Some(review) = bead.review_mut() {
                review.verify = None;
            }
        });
        self.unhook_all(id);
        Ok(Did::text(format!("{id} is open")))
    }

    /// Takes a bead from every agent that is hooked to it; those that work are stopped by
    /// `agents/unhooked-worker`.
    pub(super) fn unhook_all(&mut self, bead: &BeadId) {
        let holders: Vec<AgentId> = self.holders(bead).map(|agent| agent.id.clone()).collect();
        for holder in holders {
            self.unhook(&holder);
        }
    }

    pub(super) fn grant(&mut self, grant: &Grant, actor: &Actor) -> Executed {
        let bead = self.live_bead_for("bead_id", &grant.bead_id, actor)?;
        if grant.dispatches > limits::GRANT_MAX {
            return Err(CommandError::new(
                Refusal::Limit,
                "dispatches",
                format!("expected {} at most", limits::GRANT_MAX),
            ));
        }
        let root = bead.lineage().clone();
        self.edit_lineage(&root, |lineage| {
            lineage.granted = lineage.granted.saturating_add(grant.dispatches);
        });
        self.edit_bead(&grant.bead_id, |bead| {
            bead.dispatch_attempts = 0;
            bead.told.clear();
        });
        let detail = json!({"dispatches": grant.dispatches});
        self.note(&grant.bead_id, actor, "granted", detail);
        Ok(Did::text(format!(
            "{} dispatches more for the line of work of {root}",
            grant.dispatches
        )))
    }
}

/// What of an update counts as one: text, labels and priority (spec 1.10).
fn shown(bead: &Bead) -> (String, Option<String>, Priority, BTreeSet<String>) {
    (
        bead.title.clone(),
        bead.body.clone(),
        bead.priority,
        bead.labels.clone(),
    )
}

/// The engine's labels that a bead shows on the wire.
fn engine_labels(bead: &Bead) -> Vec<String> {
    let mut labels: Vec<String> = Vec::new();
    if bead.held {
        labels.push(label::HELD.into());
    }
    let own = match &bead.kind {
        BeadKind::Issue(work) => work.label(),
        BeadKind::MergeRequest(_) => Some(label::MERGE_REQUEST),
        BeadKind::Convoy(_) => Some(label::CONVOY),
        BeadKind::Escalation(escalation) => {
            labels.push(format!(
                "{}{}",
                label::SEVERITY_PREFIX,
                escalation.severity.as_str()
            ));
            Some(label::ESCALATION)
        }
        BeadKind::Molecule => Some(label::MOLECULE),
        BeadKind::Message(_) => None,
    };
    labels.extend(own.map(String::from));
    labels
}

/// The keys of a bead's metadata that are the engine's.
fn engine_keys(work: &Work) -> &'static [&'static str] {
    use crate::work::{PrConflict, PrFeedback, PrFixup, Rework, TriageRequest};
    match work {
        Work::Plain | Work::TriageBatch | Work::MoleculeStep => &[],
        Work::Rework(_) => Rework::KEYS,
        Work::PrFeedback(_) => PrFeedback::KEYS,
        Work::PrConflict(_) => PrConflict::KEYS,
        Work::PrFixup(_) => PrFixup::KEYS,
        Work::TriageRequest(_) => TriageRequest::KEYS,
    }
}

/// A landing belongs to its rig's part of the convoy.
fn lands_elsewhere(rig: &RigId) -> CommandError {
    CommandError::conflict(
        "rig_id",
        format!("it lands the convoy's branch of rig {rig}"),
    )
}

#[cfg(test)]
pub(super) mod tests;
