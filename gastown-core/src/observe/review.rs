//! What the forge says of pull requests and merges (spec part 4).

mod conditions;
mod errors;
mod good;
mod merge;
mod merged;
mod queue;
mod repairs;
mod verify;
mod webhook;

#[cfg(test)]
mod life;

use alloc::string::{String, ToString};

use super::Outcome;
use crate::bead::Bead;
use crate::effect::EffectKey;
use crate::event::PrObserved;
use crate::ids::BeadId;
use crate::review::Review;
use crate::time::Timestamp;
use crate::town::{Town, same_pull_request};

impl Town {
    /// A look at a pull request has a result (spec 4.2 to 4.4).
    pub(super) fn pr_observed(
        &mut self,
        event: &PrObserved,
        at: Timestamp,
        key: Option<&EffectKey>,
        now: Timestamp,
    ) -> Outcome {
        let id = &event.bead_id;
        let review = self.live_review(id)?;
        let Some(url) = &review.pr_url else {
            return Err("the review has no pull request".to_string());
        };
        if event
            .pr_url
            .as_ref()
            .is_some_and(|other| !same_pull_request(other, url))
        {
            return Err("the review has another pull request by now".to_string());
        }
        if !is_current(key, id, "poll_pr", review.poll.attempts) {
            return Err("the result of an older look".to_string());
        }
        if key.is_some() && review.poll.answered {
            return Err("the look is answered already".to_string());
        }
        // A clock that is ahead must not keep later looks out.
        let taken_at = at.min(now);
        if self.is_older_look(id, taken_at, now) {
            return Err("a newer look is known".to_string());
        }
        let look = match (&event.observation, &event.error) {
            (Some(observation), None) => Ok(observation),
            (None, Some(error)) => Err(error),
            (Some(_), Some(_)) | (None, None) => {
                return Err("neither an observation nor an error".to_string());
            }
        };
        if key.is_some() {
            self.edit_review(id, |review| review.poll.answered = true);
        }
        Ok(match look {
            Ok(observation) => self.good_look(id, observation, taken_at, now),
            Err(error) => self.failed_look(id, error, now),
        })
    }

    /// Whether a look was taken before the last good one (spec 4.2). One of a time to come was taken by a
    /// clock that has been set back since, and makes none older.
    fn is_older_look(&self, id: &BeadId, taken_at: Timestamp, now: Timestamp) -> bool {
        let last = self.bead(id).and_then(Bead::review);
        last.and_then(|review| review.observation.as_ref())
            .map(|seen| seen.taken_at.unwrap_or(seen.at))
            .is_some_and(|last| last <= now && taken_at < last)
    }

    /// The review of an MR bead that has not ended.
    fn live_review(&self, id: &BeadId) -> Result<&Review, String> {
        let bead = self
            .bead(id)
            .ok_or_else(|| "the review is gone".to_string())?;
        if !bead.is_live() {
            return Err("the review has ended".to_string());
        }
        bead.review()
            .ok_or_else(|| "the bead is no review".to_string())
    }

    /// Changes the review of an MR bead.
    fn edit_review(&mut self, id: &BeadId, edit: impl FnOnce(&mut Review)) {
        self.edit_bead(id, |bead| bead.review_mut().map(edit));
    }
}

/// Whether a result is that of attempt `current` of this bead's effect; one without a key is a
/// fact in its own right (spec 8.2).
fn is_current(key: Option<&EffectKey>, bead: &BeadId, kind: &str, current: u64) -> bool {
    key.is_none_or(|key| key.subject == bead.as_str() && key.kind == kind && key.attempt == current)
}
