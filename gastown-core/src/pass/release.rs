//! Letting go: of the agents of a bead, and of the source of a review (spec 3).

use alloc::vec::Vec;

use super::Pass;
use crate::action::{ActionKind, ClearAssignee, ClearCheckpoint, TransitionBead};
use crate::bead::{Bead, BeadStatus};
use crate::reason::{Reason, ReasonCode};

impl Pass<'_> {
    /// Every agent of a bead is stopped, if it runs, and unhooked.
    pub(crate) fn release_holders(&self, bead: &Bead, reason: &Reason) -> Vec<ActionKind> {
        let mut actions = Vec::new();
        for agent in self.town.holders(&bead.id) {
            actions.extend(Self::stop_and_idle(agent, reason));
            actions.extend(Self::unhook(agent, reason));
        }
        actions
    }

    /// As [`Self::release_holders`], of a bead that ends: what an agent noted for its next start
    /// on the bead is forgotten with it.
    pub(crate) fn release_for_good(&self, bead: &Bead, reason: &Reason) -> Vec<ActionKind> {
        let mut actions = self.release_holders(bead, reason);
        for agent in self.town.holders(&bead.id) {
            if agent.checkpoint.is_some() {
                let agent_id = agent.id.clone();
                actions.push(ClearCheckpoint { agent_id }.into());
            }
        }
        actions
    }

    /// *Source reopens*: the in_review source of a review becomes open, unassigned, its backoff
    /// starting now; a source in another status is left alone.
    pub(crate) fn source_reopens(
        &self,
        mr: &Bead,
        code: ReasonCode,
        message: &str,
    ) -> Vec<ActionKind> {
        let Some(source) = self.town.source_in_review(mr) else {
            return Vec::new();
        };
        let mut actions = Vec::new();
        actions.push(
            TransitionBead {
                bead_id: source.id.clone(),
                from: BeadStatus::InReview,
                to: BeadStatus::Open,
                reason: Reason::new(code, message),
            }
            .into(),
        );
        if source.assignee.is_some() {
            let bead_id = source.id.clone();
            actions.push(ClearAssignee { bead_id }.into());
        }
        actions
    }

    /// A bead changes its status.
    pub(crate) fn transition(
        bead: &Bead,
        to: BeadStatus,
        code: ReasonCode,
        message: &str,
    ) -> ActionKind {
        TransitionBead {
            bead_id: bead.id.clone(),
            from: bead.status,
            to,
            reason: Reason::new(code, message),
        }
        .into()
    }
}
