//! `done` of a polecat that lost its hook (spec 4.1, case 1), and word of finished work that nobody
//! reviews.

use alloc::format;
use alloc::string::{String, ToString};

use serde_json::json;

use crate::agent::Agent;
use crate::bead::{Bead, BeadStatus};
use crate::event::AgentDone;
use crate::ids::BeadId;
use crate::observe::Outcome;
use crate::observe::agents::exit::append_note;
use crate::reason::ReasonCode;
use crate::time::Timestamp;
use crate::town::Town;

impl Town {
    /// A polecat that lost its hook: `done` of its latest session, for the bead of that session.
    /// Finished work is accepted if nobody else took the bead; else a person is told of it.
    pub(super) fn late_polecat_done(
        &mut self,
        agent: &Agent,
        done: &AgentDone,
        now: Timestamp,
    ) -> Outcome {
        let Some(bead) = agent
            .last_bead
            .as_ref()
            .and_then(|id| self.bead(id))
            .cloned()
        else {
            return Err("the agent holds no bead".to_string());
        };
        if done.bead_id.as_ref().is_some_and(|id| *id != bead.id) {
            return Err("it is not of the agent's latest session".to_string());
        }
        let is_open = matches!(bead.status, BeadStatus::Open | BeadStatus::InProgress);
        if is_open && !self.was_given_away(&bead, agent) && bead.work().is_some() {
            return match bead.work() {
                Some(work) if super::closes_itself(&bead, work) => {
                    self.close_without_review(&bead, done, now)
                }
                Some(_) | None => self.polecat_done(agent, &bead, done, now),
            };
        }
        let what = format!(
            "agent {} finished work for this bead after it was given away or had ended",
            agent.name
        );
        self.tell_of_work(&bead.id, ReasonCode::LateDone, &what, done, now);
        Ok(format!(
            "{} had been given away or had ended; a person is told",
            bead.id
        ))
    }

    /// Whether a bead was dispatched again since an agent's latest session. The others' records last only
    /// until they are sent elsewhere; the bead's own time of its last dispatch is moved on by a pause, too,
    /// and the one that a session causes begins with its end.
    fn was_given_away(&self, bead: &Bead, agent: &Agent) -> bool {
        let its_last = agent.exited_at.max(agent.dispatched_at);
        let is_moved_on = its_last.is_some() && bead.last_dispatch_attempt_at > its_last;
        is_moved_on
            || self.holders(&bead.id).next().is_some()
            || self.agents().any(|other| {
                other.id != agent.id
                    && other.last_bead.as_ref() == Some(&bead.id)
                    && other.dispatched_at > agent.dispatched_at
            })
    }

    /// Tells of finished work that nobody reviews. The category says only that there was some, so each
    /// branch and pull request is told of: in the word that still stands, or in another one.
    pub(super) fn tell_of_work(
        &mut self,
        about: &BeadId,
        category: ReasonCode,
        what: &str,
        done: &AgentDone,
        now: Timestamp,
    ) {
        let url = done.pr_url.as_deref().unwrap_or("none");
        let facts = format!("branch {}, pull request {url}", done.branch);
        let message = format!("{what}: {facts}");
        // Whatever becomes of the words, the history has it.
        let (by, branch) = (&done.agent_id, &done.branch);
        let detail = json!({"agent": by, "branch": branch, "pr_url": done.pr_url});
        self.log(about, now, category.as_str(), detail);
        let was_told = self
            .bead(about)
            .is_some_and(|bead| bead.told.contains_key(&category));
        if !was_told {
            self.tell_once(about, category, message, now);
        } else if !self.was_told_of_work(about, category, &facts) {
            self.tell_of_more_work(about, category, message, now);
        }
    }

    fn was_told_of_work(&self, about: &BeadId, category: ReasonCode, facts: &str) -> bool {
        self.beads().any(|said| {
            let body = said.body.as_deref().unwrap_or_default();
            said.escalation().is_some_and(|escalation| {
                escalation.bead_id.as_ref() == Some(about)
                    && escalation.category.as_deref() == Some(category.as_str())
            }) && body.split("\n\n").any(|word| word.ends_with(facts))
        })
    }

    fn tell_of_more_work(
        &mut self,
        about: &BeadId,
        category: ReasonCode,
        message: String,
        now: Timestamp,
    ) {
        let stands = self.standing(category, |_, it| it.bead_id.as_ref() == Some(about));
        let Some(stands) = stands.cloned() else {
            // Whoever took note of the last one knows nothing of this one.
            self.edit_bead(about, |bead| bead.told.remove(&category));
            return self.tell_once(about, category, message, now);
        };
        self.edit_bead(&stands, |said| {
            append_note(said.body.get_or_insert_with(String::new), &message);
            said.updated_at = now;
            if let Some(escalation) = said.escalation_mut() {
                escalation.notified_at = None;
            }
        });
    }
}
