//! What the forge says of pull requests and merges (spec part 4).

mod merged;
mod verify;

use alloc::string::{String, ToString};

use super::Outcome;
use crate::effect::EffectKey;
use crate::event::{MergeAttempted, PrObserved, Webhook};
use crate::ids::BeadId;
use crate::review::Review;
use crate::time::Timestamp;
use crate::town::Town;

impl Town {
    pub(super) fn pr_observed(
        &mut self,
        _event: &PrObserved,
        _at: Timestamp,
        _key: Option<&EffectKey>,
        _now: Timestamp,
    ) -> Outcome {
        Err("not observed yet".to_string())
    }

    pub(super) fn merge_attempted(
        &mut self,
        _event: &MergeAttempted,
        _key: Option<&EffectKey>,
        _now: Timestamp,
    ) -> Outcome {
        Err("not observed yet".to_string())
    }

    pub(super) fn webhook(&mut self, _event: &Webhook, _now: Timestamp) -> Outcome {
        Err("not observed yet".to_string())
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
