//! `retry`: a successor of a bead that ended (spec 2.1).

use alloc::boxed::Box;
use alloc::format;
use alloc::vec::Vec;

use serde_json::json;

use super::data::Retry;
use super::{Actor, CommandError, Did, Executed};
use crate::agent::AgentStatus;
use crate::bead::{Bead, BeadKind, BeadStatus};
use crate::edge::{Edge, EdgeKind};
use crate::ids::{AgentId, BeadId, IdKind};
use crate::reason::{Reason, ReasonCode};
use crate::review::Review;
use crate::town::{Town, is_merged};
use crate::work::Work;

/// Where a successor says whose successor it is.
const RETRY_OF: &str = "retry_of";

impl Town {
    pub(super) fn retry(&mut self, retry: &Retry, actor: &Actor) -> Executed {
        let id = &retry.bead_id;
        let bead = self.bead_for("bead_id", id, actor)?.clone();
        if bead.is_live() {
            return Err(CommandError::conflict(
                "bead_id",
                format!("is {}, expected closed or failed", bead.status.as_str()),
            ));
        }
        let successor = self.live_beads().find(|other| {
            other.metadata.get(RETRY_OF).and_then(|of| of.as_str()) == Some(id.as_str())
        });
        if let Some(successor) = successor {
            return Err(CommandError::conflict(
                "bead_id",
                format!("is retried already, by \"{}\"", successor.id),
            ));
        }
        let (kind, letter) = match &bead.kind {
            BeadKind::Issue(work) => {
                self.check_retried_issue(&bead, work)?;
                (BeadKind::Issue(work.clone()), IdKind::Bead)
            }
            BeadKind::MergeRequest(review) => {
                self.check_retried_review(&bead, review)?;
                let again = BeadKind::MergeRequest(Box::new(begun_anew(review)));
                (again, IdKind::MergeRequest)
            }
            BeadKind::Convoy(_)
            | BeadKind::Escalation(_)
            | BeadKind::Molecule
            | BeadKind::Message(_) => {
                return Err(CommandError::invalid(
                    "bead_id",
                    "expected an issue or a merge request",
                ));
            }
        };
        let new_id = self.next_bead_id(letter);
        let mut new = Bead::new(new_id.clone(), kind, bead.title.clone(), actor.now);
        new.body.clone_from(&bead.body);
        new.rig_id.clone_from(&bead.rig_id);
        new.parent_id = self.parent_of(&bead).cloned();
        new.priority = bead.priority;
        new.labels.clone_from(&bead.labels);
        new.metadata.clone_from(&bead.metadata);
        new.metadata.insert(RETRY_OF.into(), id.as_str().into());
        self.add_bead(new, actor);
        self.take_over_edges(&bead, &new_id, actor);
        self.note(id, actor, "retried", json!({"by_bead": new_id}));
        if bead.review().is_some() {
            self.source_to_review(&bead, actor);
        }
        Ok(Did::made(&new_id, format!("{new_id} takes over from {id}")))
    }

    fn check_retried_issue(&self, bead: &Bead, work: &Work) -> Result<(), CommandError> {
        match work {
            Work::Plain | Work::PrFixup(_) => Ok(()),
            Work::Rework(_) | Work::PrFeedback(_) | Work::PrConflict(_) => {
                let mr = self.repaired_mr(bead).and_then(|mr| self.bead(mr));
                let Some(mr) = mr.filter(|mr| mr.is_live()) else {
                    return Err(CommandError::conflict(
                        "bead_id",
                        "its merge request has ended; retry that",
                    ));
                };
                let sort = work.label();
                let other = self
                    .repairs_of(&mr.id)
                    .into_iter()
                    .find(|repair| repair.is_live() && repair.work().and_then(Work::label) == sort);
                match other {
                    None => Ok(()),
                    Some(other) => Err(CommandError::conflict(
                        "bead_id",
                        format!("\"{}\" does the same repair already", other.id),
                    )),
                }
            }
            Work::TriageRequest(_) | Work::TriageBatch | Work::MoleculeStep => Err(
                CommandError::invalid("bead_id", "is the engine's own and can't be retried"),
            ),
        }
    }

    fn check_retried_review(&self, mr: &Bead, review: &Review) -> Result<(), CommandError> {
        if is_merged(mr) {
            return Err(CommandError::conflict("bead_id", "was merged"));
        }
        let source = self.source_of(mr).and_then(|id| self.bead(id));
        let Some(source) = source.filter(|source| source.is_live()) else {
            return Err(CommandError::conflict(
                "bead_id",
                "its source has ended; retry that",
            ));
        };
        let works = |status: AgentStatus| status.is_running();
        if source.status == BeadStatus::InProgress
            || self.holders(&source.id).any(|agent| works(agent.status))
        {
            return Err(CommandError::conflict(
                "bead_id",
                format!("an agent works on its source, \"{}\"", source.id),
            ));
        }
        let other = self
            .reviews_of(&source.id)
            .into_iter()
            .find(|other| {
                other.is_live()
                    && other.review().is_some_and(|theirs| {
                        theirs.branch == review.branch && theirs.landing_rig == review.landing_rig
                    })
            })
            .or_else(|| {
                let url = review.pr_url.as_deref()?;
                self.live_reviews_with_pr(url).next()
            });
        match other {
            None => Ok(()),
            Some(other) => Err(CommandError::conflict(
                "bead_id",
                format!("\"{}\" reviews the same branch already", other.id),
            )),
        }
    }

    /// The successor takes over what the bead belonged to, what it waited for, and what waits for
    /// it. Reviews stay with the bead that they were made for, repairs with their review.
    fn take_over_edges(&mut self, old: &Bead, new: &BeadId, actor: &Actor) {
        let repairs: Vec<BeadId> = self
            .repairs_of(&old.id)
            .iter()
            .map(|repair| repair.id.clone())
            .collect();
        for edge in self.edges_at(&old.id) {
            let other = if edge.bead_id == old.id {
                &edge.depends_on
            } else {
                &edge.bead_id
            };
            let ended_convoy = self
                .bead(other)
                .is_some_and(|other| other.convoy().is_some() && !other.is_live());
            let moves = match edge.kind {
                EdgeKind::Blocks => !repairs.contains(other),
                EdgeKind::Tracks => edge.bead_id == old.id && !ended_convoy,
                EdgeKind::ParentChild => false,
            };
            if moves {
                self.remove_edge(&edge);
                let Edge {
                    bead_id,
                    depends_on,
                    kind,
                } = edge;
                if bead_id == old.id {
                    self.insert_edge(new, &depends_on, kind);
                } else {
                    self.insert_edge(&bead_id, new, kind);
                }
            }
        }
        if let Some(parent) = self.bead(new).and_then(|bead| bead.parent_id.clone()) {
            self.insert_edge(new, &parent, EdgeKind::ParentChild);
        }
        let convoy = self.convoy_of(new).map(|convoy| convoy.id.clone());
        if let (Some(convoy), Some(rig), true) = (convoy, &old.rig_id, old.work().is_some()) {
            self.joined(&convoy, new, rig, actor);
            self.recount(&convoy, actor);
        }
    }

    /// The source of a retried review is in review again: an open one gives up its hold and its
    /// idle polecat.
    fn source_to_review(&mut self, mr: &Bead, actor: &Actor) {
        let Some(source) = self.source_of(mr).and_then(|id| self.bead(id)) else {
            return;
        };
        // A convoy has no review status of its own.
        if source.work().is_none() {
            return;
        }
        let id = source.id.clone();
        let holders: Vec<AgentId> = self.holders(&id).map(|agent| agent.id.clone()).collect();
        for holder in holders {
            self.unhook(&holder);
        }
        let reason = Reason::new(ReasonCode::ByCommand, "its review is retried");
        self.set_status(&id, BeadStatus::InReview, &reason, "retry", actor.now);
        self.edit_bead(&id, |bead| bead.held = false);
    }
}

/// A review of the same branch with nothing of the old one's life.
fn begun_anew(review: &Review) -> Review {
    Review {
        source_agent: review.source_agent.clone(),
        convoy: review.convoy.clone(),
        landing_rig: review.landing_rig.clone(),
        pr_url: review.pr_url.clone(),
        ..Review::new(
            review.branch.clone(),
            review.target_branch.clone(),
            review.source.clone(),
        )
    }
}
