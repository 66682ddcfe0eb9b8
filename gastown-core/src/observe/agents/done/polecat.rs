//! `done` of a polecat on an issue: its work goes under review (spec 4.1, case 4).

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use core::time::Duration;

use serde_json::json;

use crate::agent::{Agent, Role};
use crate::bead::{Bead, BeadKind, BeadStatus, CreatedBy};
use crate::edge::EdgeKind;
use crate::event::AgentDone;
use crate::ids::{BeadId, IdKind, shown};
use crate::observe::Outcome;
use crate::reason::{Reason, ReasonCode};
use crate::review::Review;
use crate::time::Timestamp;
use crate::town::Town;

impl Town {
    /// Makes the MR bead, or takes the live one of the same source and branch again.
    pub(super) fn polecat_done(
        &mut self,
        agent: &Agent,
        issue: &Bead,
        done: &AgentDone,
        now: Timestamp,
    ) -> Outcome {
        if !matches!(issue.status, BeadStatus::Open | BeadStatus::InProgress) {
            return Ok(format!("{} is {} already", issue.id, issue.status.as_str()));
        }
        let Some(target_branch) = self.target_branch_of(issue) else {
            return Err(format!("{} has no rig", issue.id));
        };
        if let Some(why) = self.why_shared(self.rig_of(issue), &done.branch) {
            return Ok(self.hold_for_its_branch(agent, issue, done, why, now));
        }
        let again = self
            .reviews_of(&issue.id)
            .into_iter()
            .find(|mr| mr.is_live() && mr.review().is_some_and(|r| r.branch == done.branch))
            .map(|mr| mr.id.clone());
        let mr = match again {
            Some(mr) => {
                self.review_again(&mr, now);
                mr
            }
            None => self.new_review(agent, issue, done, target_branch, now),
        };
        self.store_pr_url(&mr, done, now);
        let reason = Reason::new(ReasonCode::Done, "its work is under review");
        self.set_status(&issue.id, BeadStatus::InReview, &reason, "done", now);
        Ok(format!("{} reviews branch {}", mr, done.branch))
    }

    /// What keeps a branch from being the one that a polecat's work on its bead is reviewed on: whoever
    /// asks is told, and can name another.
    pub(crate) fn done_branch_problem(&self, agent: &Agent, branch: &str) -> Option<String> {
        let bead = self.bead(agent.hook.as_ref().or(agent.last_bead.as_ref())?)?;
        let is_at_work = matches!(bead.status, BeadStatus::Open | BeadStatus::InProgress);
        let is_reviewed = bead
            .work()
            .is_some_and(|work| !super::closes_itself(bead, work));
        if agent.role != Role::Polecat || !is_at_work || !is_reviewed {
            return None;
        }
        let why = self.why_shared(self.rig_of(bead), branch)?;
        let expected = self.work_branch(agent, bead);
        Some(format!(
            "\"{}\" {why}; expected one that holds this work alone, such as \"{expected}\"",
            shown(branch, 80)
        ))
    }

    /// A fact can't be refused (spec 2.2), and what was pushed may be all there is of the work: nobody
    /// does it again before a person has looked.
    fn hold_for_its_branch(
        &mut self,
        agent: &Agent,
        issue: &Bead,
        done: &AgentDone,
        why: &str,
        now: Timestamp,
    ) -> String {
        let what = format!(
            "agent {} is done on a branch that {why}, of which a review proves nothing; close the bead \
             if its work is there, or release it to be done again",
            agent.name
        );
        let reason = Reason::new(ReasonCode::SharedBranch, what.as_str());
        self.set_status(&issue.id, BeadStatus::Open, &reason, "done", now);
        self.edit_bead(&issue.id, |bead| {
            bead.held = true;
            bead.assignee = None;
        });
        self.tell_of_work(&issue.id, ReasonCode::SharedBranch, &what, done, now);
        format!("{} is held: its branch {why}; a person is told", issue.id)
    }

    fn new_review(
        &mut self,
        agent: &Agent,
        issue: &Bead,
        done: &AgentDone,
        target_branch: String,
        now: Timestamp,
    ) -> BeadId {
        let mut review = Review::new(done.branch.clone(), target_branch, issue.id.clone());
        review.source_agent = Some(agent.id.clone());
        let id = self.next_bead_id(IdKind::MergeRequest);
        let title = format!("Review: {}", issue.title);
        let mut mr = Bead::new(
            id.clone(),
            BeadKind::MergeRequest(Box::new(review)),
            title,
            now,
        );
        // It is the newest of its source (spec 4.4, 6), also when the clock was set back meanwhile.
        let made_at = self
            .reviews_of(&issue.id)
            .iter()
            .map(|it| it.created_at)
            .max();
        if let Some(made_at) = made_at.filter(|made_at| *made_at >= now) {
            mr.created_at = made_at.plus(Duration::from_millis(1));
        }
        mr.body.clone_from(&done.summary);
        mr.rig_id.clone_from(&issue.rig_id);
        mr.priority = issue.priority;
        mr.root = Some(issue.lineage().clone());
        mr.created_by = Some(CreatedBy::Other(agent.id.to_string()));
        self.insert_bead(mr);
        self.insert_edge(&id, &issue.id, EdgeKind::Tracks);
        self.log(&id, now, "created", json!({"source": issue.id}));
        id
    }

    /// New work on a branch that is under review: the review begins again.
    fn review_again(&mut self, mr: &BeadId, now: Timestamp) {
        let reason = Reason::new(ReasonCode::Done, "its branch has new work");
        self.set_status(mr, BeadStatus::Open, &reason, "done", now);
        let holders: alloc::vec::Vec<_> = self.holders(mr).map(|a| a.id.clone()).collect();
        for holder in holders {
            // A session that reviews the old work may end it; its word counts no more.
            if self
                .agent(&holder)
                .is_some_and(|agent| !agent.status.is_running())
            {
                self.unhook(&holder);
            }
        }
        self.edit_bead(mr, |mr| {
            mr.assignee = None;
            let Some(review) = mr.review_mut() else {
                return;
            };
            review.reviewed = None;
            review.auto_merge.pending = false;
            review.auto_merge.ready_since = None;
            review.auto_merge.last_green_at = None;
            review.verify = None;
        });
    }

    /// Stores the pull request if it may be stored; else the log says why not. An intermediate
    /// issue of a convoy with a feature branch needs none.
    fn store_pr_url(&mut self, mr_id: &BeadId, done: &AgentDone, now: Timestamp) {
        let Some(url) = &done.pr_url else { return };
        let Some(mr) = self.bead(mr_id) else { return };
        match self.valid_pr_url(url, mr) {
            Ok(url) => {
                self.edit_bead(mr_id, |mr| {
                    if let Some(review) = mr.review_mut() {
                        review.take_pr_url(url);
                    }
                });
            }
            Err(why) => {
                self.log(
                    mr_id,
                    now,
                    "pr_url_dropped",
                    json!({"pr_url": url, "why": why}),
                );
            }
        }
    }
}
