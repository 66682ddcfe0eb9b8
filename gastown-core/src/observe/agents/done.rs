//! `done`: an agent says that its work is done (spec 4.1).

mod late;
mod polecat;
mod refinery;

use alloc::format;
use alloc::string::{String, ToString};

use crate::agent::{Agent, AgentStatus, Role};
use crate::bead::{Bead, BeadKind, BeadStatus};
use crate::event::AgentDone;
use crate::ids::AgentId;
use crate::observe::Outcome;
use crate::reason::{Reason, ReasonCode};
use crate::rig::Repository;
use crate::time::Timestamp;
use crate::town::Town;
use crate::work::Work;

impl Town {
    pub(in crate::observe) fn agent_done(&mut self, event: &AgentDone, now: Timestamp) -> Outcome {
        self.done(event, now)
    }

    /// What `done` does, by the hooked bead and the role, in the order of spec 4.1. In every case
    /// but an ignored one the agent ends unhooked and idle.
    pub(crate) fn done(&mut self, done: &AgentDone, now: Timestamp) -> Outcome {
        let agent = self.agent_in_session(&done.agent_id, done.session)?.clone();
        if agent.done_session == Some(agent.session) {
            return Err("this session said done before".to_string());
        }
        let Some(hook) = &agent.hook else {
            return self.done_without_hook(&agent, done, now);
        };
        if done.bead_id.as_ref().is_some_and(|bead| bead != hook) {
            return Err(format!("the agent is on {hook} by now"));
        }
        let Some(bead) = self.bead(hook).cloned() else {
            return Err(format!("{hook} is gone"));
        };
        let outcome = match (agent.role, &bead.kind) {
            _ if !bead.is_live() => Ok(format!("{hook} had ended; the agent is free")),
            (_, BeadKind::Issue(work)) if closes_itself(&bead, work) => {
                self.close_without_review(&bead, done, now)
            }
            (Role::Refinery, BeadKind::MergeRequest(review)) => {
                self.refinery_done(&agent, &bead, review, done, now)
            }
            (Role::Polecat, BeadKind::Issue(_)) => self.polecat_done(&agent, &bead, done, now),
            (Role::Refinery | Role::Polecat | Role::Mayor, _) => {
                Ok("its role does not fit its bead; the agent is free".to_string())
            }
        };
        if outcome.is_ok() {
            self.done_and_free(&agent.id, now);
        }
        outcome
    }

    /// The agent has said its word: it ends unhooked and idle.
    fn done_and_free(&mut self, id: &AgentId, now: Timestamp) {
        self.note_reported(id);
        self.edit_agent(id, |agent| {
            agent.done_session = Some(agent.session);
            agent.checkpoint = None;
        });
        if self
            .agent(id)
            .is_some_and(|agent| agent.status.is_running())
        {
            self.set_agent_status(id, AgentStatus::Idle, now);
        }
        self.unhook(id);
    }

    fn close_without_review(&mut self, bead: &Bead, done: &AgentDone, now: Timestamp) -> Outcome {
        let text = done.summary.clone().unwrap_or_else(|| "done".to_string());
        self.set_status(
            &bead.id,
            BeadStatus::Closed,
            &Reason::new(ReasonCode::Done, text),
            "done",
            now,
        );
        self.repair_closed(bead, now);
        Ok(format!("{} is closed; no review follows", bead.id))
    }

    /// A repair ended: its MR bead is worth a look, and a conflict remembers when.
    pub(crate) fn repair_closed(&mut self, repair: &Bead, now: Timestamp) {
        let Some(mr) = self.repaired_mr(repair).cloned() else {
            return;
        };
        let was_conflict = matches!(repair.work(), Some(Work::PrConflict(_)))
            || matches!(repair.work(), Some(Work::PrFeedback(work)) if work.has_conflicts);
        self.edit_bead(&mr, |mr| {
            let Some(review) = mr.review_mut() else {
                return;
            };
            if review.pr_url.is_some() {
                review.poll.due_now = true;
            }
            if let (true, Some(conflict)) = (was_conflict, &mut review.conflict) {
                conflict.last_repair_closed_at = Some(now);
            }
        });
    }

    /// `done` of an agent without a hook (spec 4.1, case 1).
    fn done_without_hook(&mut self, agent: &Agent, done: &AgentDone, now: Timestamp) -> Outcome {
        let outcome = match agent.role {
            Role::Refinery => self.unhooked_refinery_done(agent, done, now),
            Role::Polecat => self.late_polecat_done(agent, done, now),
            Role::Mayor => Err("a mayor holds no bead".to_string()),
        };
        if outcome.is_ok() {
            self.done_and_free(&agent.id, now);
        }
        outcome
    }

    /// A pull request that may be stored for `bead`: `https`, of the rig's repository, and not
    /// held by another live MR bead. The error says why not.
    pub(crate) fn valid_pr_url(&self, url: &str, mr: &Bead) -> Result<String, String> {
        let Some((repository, _)) = Repository::of_pr_url(url) else {
            return Err("it is not the https URL of a pull request".to_string());
        };
        let rig = self.rig_of(mr).or_else(|| self.rig_of_review(mr));
        if let Some(rig) = rig
            && rig.repository().as_ref() != Some(&repository)
        {
            return Err(format!("it is not of the repository of rig {}", rig.id));
        }
        match self
            .live_reviews_with_pr(url)
            .find(|other| other.id != mr.id)
        {
            Some(other) => Err(format!("{} has it already", other.id)),
            None => Ok(url.to_string()),
        }
    }
}

/// Whether `done` closes the bead without a review: repairs of a branch that exists, and batches
/// of the patrol. A person's bead that merely carries the triage label goes the normal way.
fn closes_itself(bead: &Bead, work: &Work) -> bool {
    work.skips_review() || Town::is_patrol_batch(bead)
}

#[cfg(test)]
mod tests;
