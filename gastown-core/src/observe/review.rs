//! What the forge says of pull requests and merges (spec part 4).

use alloc::string::ToString;

use super::Outcome;
use crate::effect::EffectKey;
use crate::event::{MergeAttempted, MergeVerified, PrObserved, Webhook};
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

    pub(super) fn merge_verified(
        &mut self,
        _event: &MergeVerified,
        _key: Option<&EffectKey>,
        _now: Timestamp,
    ) -> Outcome {
        Err("not observed yet".to_string())
    }

    pub(super) fn webhook(&mut self, _event: &Webhook, _now: Timestamp) -> Outcome {
        Err("not observed yet".to_string())
    }
}
