//! `done` of a refinery on an MR bead (spec 4.1, cases 1 and 3).

use alloc::format;
use alloc::string::{String, ToString};

use crate::agent::Agent;
use crate::bead::{Bead, BeadStatus};
use crate::event::AgentDone;
use crate::ids::BeadId;
use crate::observe::Outcome;
use crate::reason::{Reason, ReasonCode};
use crate::review::{AgentSession, Review, Reviewed, Verify};
use crate::time::Timestamp;
use crate::town::Town;
use crate::work::Work;

impl Town {
    pub(super) fn refinery_done(
        &mut self,
        agent: &Agent,
        mr: &Bead,
        review: &Review,
        done: &AgentDone,
        now: Timestamp,
    ) -> Outcome {
        let session = Some(AgentSession::of(agent));
        let asked_now = review.changes_requested_in == session;
        if asked_now || self.has_live_rework(&mr.id) {
            return Ok(format!("{} waits for its rework", mr.id));
        }
        // What it looked at is not what there is now (I12), unless it names it; where it can be found is.
        let since_then = |at| mr.status == BeadStatus::Open && mr.in_status_since() > at;
        if done.head_sha.is_none() && agent.dispatched_at.is_some_and(since_then) {
            let url = done.pr_url.as_ref();
            if let Some(url) = url.and_then(|url| self.valid_pr_url(url, mr).ok()) {
                self.edit_bead(&mr.id, |mr| mr.review_mut().map(|it| it.take_pr_url(url)));
            }
            return Ok(format!("{} has new work and is reviewed again", mr.id));
        }
        // It could not ask for changes any more, and gives back what it does not pass.
        let names_nothing =
            done.pr_url.is_none() && done.head_sha.is_none() && done.merge_commit.is_none();
        if names_nothing && review.repair_rounds.rework >= self.policy().repair_rounds {
            return Ok(format!("{} is given back, and not passed", mr.id));
        }
        if let Some(url) = done.pr_url.as_ref().or(review.pr_url.as_ref()) {
            return self.reviewed_pull_request(agent, mr, url, done, now);
        }
        // One that names a commit may have been sent before the way was changed; it is proven either way.
        if done.merge_commit.is_some() || self.is_direct(mr, &self.settings_of_review(mr)) {
            return self.merged_directly(mr, done, now);
        }
        let why = "the refinery is done, but there is no pull request to watch";
        Ok(self.fail_review(&mr.id, ReasonCode::NoPrUrl, why, now))
    }

    fn has_live_rework(&self, mr: &BeadId) -> bool {
        self.repairs_of(mr)
            .iter()
            .any(|repair| repair.is_live() && matches!(repair.work(), Some(Work::Rework(_))))
    }

    /// The refinery passed the pull request: polling decides from now on. A head that it does not
    /// name is the one that is known, unless that came while it worked: it may not have seen it (I12).
    fn reviewed_pull_request(
        &mut self,
        agent: &Agent,
        mr: &Bead,
        url: &str,
        done: &AgentDone,
        now: Timestamp,
    ) -> Outcome {
        let url = match self.valid_pr_url(url, mr) {
            Ok(url) => url,
            Err(why) => {
                return Ok(self.fail_review(&mr.id, ReasonCode::InvalidPrUrl, &why, now));
            }
        };
        self.mark_in_progress(&mr.id, now);
        self.edit_bead(&mr.id, |mr| {
            let Some(review) = mr.review_mut() else {
                return;
            };
            review.take_pr_url(url);
            let has_changed = review.head_changed_in == Some(AgentSession::of(agent));
            let known = review.head_sha.clone().filter(|_| !has_changed);
            let head_sha = done.head_sha.clone().or(known);
            review.reviewed = Some(Reviewed { head_sha, at: now });
        });
        Ok(format!("{} is reviewed; the forge decides", mr.id))
    }

    /// The refinery says that it merged and pushed: that is verified, never believed.
    fn merged_directly(&mut self, mr: &Bead, done: &AgentDone, now: Timestamp) -> Outcome {
        self.mark_in_progress(&mr.id, now);
        let verify = Verify {
            // Not asked yet: no answer is its own, least of all one to an earlier question.
            number: 0,
            asked_at: None,
            merge_commit: done.merge_commit.clone(),
            tries: 0,
        };
        self.edit_bead(&mr.id, |mr| {
            if let Some(review) = mr.review_mut() {
                review.verify = Some(verify);
            }
        });
        Ok(format!("whether {} landed is being verified", mr.id))
    }

    fn mark_in_progress(&mut self, mr: &BeadId, now: Timestamp) {
        let reason = Reason::new(ReasonCode::Done, "the refinery is done");
        self.set_status(mr, BeadStatus::InProgress, &reason, "done", now);
    }

    /// A refinery that lost its hook while it worked: its latest live MR bead in progress that is
    /// assigned to it, has no live blocker and is not under `verify`; of this session, if that is
    /// known.
    pub(super) fn unhooked_refinery_done(
        &mut self,
        agent: &Agent,
        done: &AgentDone,
        now: Timestamp,
    ) -> Outcome {
        let session = [&done.bead_id, &agent.last_bead];
        let is_of_session = |bead: &&Bead| session.into_iter().flatten().all(|id| *id == bead.id);
        let is_unverified = |bead: &&Bead| bead.review().is_some_and(|it| it.verify.is_none());
        let mr = self
            .live_beads()
            .filter(|bead| bead.status == BeadStatus::InProgress)
            .filter(is_unverified)
            .filter(|bead| bead.assignee.as_ref() == Some(&agent.id))
            .filter(is_of_session)
            .filter(|bead| !self.has_live_blocker(&bead.id))
            .max_by_key(|bead| (bead.updated_at, bead.id.clone()))
            .cloned();
        let Some(mr) = mr else {
            return Err("the agent holds no bead".to_string());
        };
        if self.holders(&mr.id).next().is_some() {
            return Err(format!("another agent is on {} by now", mr.id));
        }
        let stored = mr.review().and_then(|review| review.pr_url.clone());
        let url = [done.pr_url.clone(), stored].into_iter().flatten();
        let mut valid = url.filter_map(|url| self.valid_pr_url(&url, &mr).ok());
        if let Some(url) = valid.next() {
            self.edit_bead(&mr.id, |mr| {
                if let Some(review) = mr.review_mut() {
                    review.take_pr_url(url);
                }
            });
            return Ok(format!("{} has a pull request; it is not reviewed", mr.id));
        }
        let summary = done.summary.as_deref().unwrap_or("nothing");
        let why = format!(
            "a refinery that had lost its hook says that it is done, which can't be proven; it \
             says: {summary}"
        );
        Ok(self.fail_review(&mr.id, ReasonCode::RefineryUnhookedDone, &why, now))
    }

    /// Fails a review, reopens its source, and tells once.
    fn fail_review(&mut self, mr: &BeadId, code: ReasonCode, why: &str, now: Timestamp) -> String {
        self.fail_review_and_reopen(mr, code, why, "done", now);
        format!("{mr} failed: {why}")
    }
}
