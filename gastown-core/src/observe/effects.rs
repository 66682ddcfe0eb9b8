//! Results of effects that close what they were for (spec 2.2).

use alloc::format;
use alloc::string::ToString;

use super::Outcome;
use crate::convoy::BranchState;
use crate::effect::EffectKey;
use crate::event::{
    BranchCreated, EffectOutcome, Notified, NudgeDelivered, TokenKind, TokenRefreshed,
};
use crate::ids::RigId;
use crate::time::Timestamp;
use crate::town::Town;

impl Town {
    /// When a failed effect is tried again (spec 2.2).
    fn again_at(&self, now: Timestamp) -> Timestamp {
        now.plus(self.policy().forge_backoff)
    }

    pub(super) fn notified(
        &mut self,
        event: &Notified,
        key: Option<&EffectKey>,
        now: Timestamp,
    ) -> Outcome {
        let again = self.again_at(now);
        let Some(notice) = self.state().notices_under_way.get(&event.topic) else {
            return Err("no such notice is under way".to_string());
        };
        if key.is_some_and(|key| key.attempt != notice.number) {
            return Err("the result of an older notice".to_string());
        }
        let under_way = &mut self.state_mut().notices_under_way;
        match event.outcome {
            EffectOutcome::Done => {
                under_way.remove(&event.topic);
                Ok(format!("{} was told", event.topic))
            }
            EffectOutcome::Failed | EffectOutcome::Unknown => {
                if let Some(notice) = under_way.get_mut(&event.topic) {
                    notice.next_at = Some(again);
                }
                Ok(format!("{} is told again", event.topic))
            }
        }
    }

    pub(super) fn nudge_delivered(
        &mut self,
        event: &NudgeDelivered,
        key: Option<&EffectKey>,
        now: Timestamp,
    ) -> Outcome {
        let Some(nudge) = self.nudge(&event.nudge_id) else {
            return Err("the nudge is gone".to_string());
        };
        if key.is_some_and(|key| key.attempt != u64::from(nudge.attempts)) {
            return Err("the result of an older delivery".to_string());
        }
        if nudge.delivered_at.is_some() {
            return Err("the nudge had arrived already".to_string());
        }
        let again = self.again_at(now);
        self.edit_nudge(&event.nudge_id, |nudge| match event.outcome {
            EffectOutcome::Done => nudge.delivered_at = Some(now),
            EffectOutcome::Failed | EffectOutcome::Unknown => nudge.next_at = Some(again),
        });
        Ok("the nudge's delivery is known".to_string())
    }

    pub(super) fn token_refreshed(
        &mut self,
        event: &TokenRefreshed,
        key: Option<&EffectKey>,
        now: Timestamp,
    ) -> Outcome {
        let container = &mut self.state_mut().container;
        let current = match event.token {
            TokenKind::Container => container.refreshes,
            TokenKind::Llm => container.llm_renewals,
        };
        if key.is_some_and(|key| key.attempt != current) {
            return Err("the result of an older refresh".to_string());
        }
        match (event.token, event.outcome) {
            (TokenKind::Container, EffectOutcome::Done) => {
                container.last_token_refresh_at = Some(now);
                container.refresh_asked_at = None;
                container.refresh_failures = 0;
            }
            (TokenKind::Container, EffectOutcome::Failed | EffectOutcome::Unknown) => {
                container.refresh_failures = container.refresh_failures.saturating_add(1);
            }
            (TokenKind::Llm, EffectOutcome::Done) => {
                container.last_llm_check_at = Some(now);
                container.llm_failures = 0;
                if event.expires_at.is_some() {
                    container.llm_token_expires_at = event.expires_at;
                }
            }
            (TokenKind::Llm, EffectOutcome::Failed | EffectOutcome::Unknown) => {
                container.llm_failures = container.llm_failures.saturating_add(1);
            }
        }
        Ok("the token's refresh is known".to_string())
    }

    pub(super) fn branch_created(
        &mut self,
        event: &BranchCreated,
        key: Option<&EffectKey>,
        now: Timestamp,
    ) -> Outcome {
        let Some(convoy) = self.bead(&event.convoy_id).and_then(|bead| bead.convoy()) else {
            return Err("the convoy is gone".to_string());
        };
        if convoy.feature_branch.as_ref() != Some(&event.branch) {
            return Err("the convoy has another branch".to_string());
        }
        let named = key
            .and_then(|key| key.subject.rsplit_once('@'))
            .map(|(_, rig)| rig);
        let rig = event
            .rig_id
            .clone()
            .or_else(|| named.and_then(|rig| RigId::new(rig).ok()))
            .or_else(|| {
                let mut rigs = convoy.branches.keys();
                rigs.next().filter(|_| rigs.next().is_none()).cloned()
            });
        let Some(rig) = rig else {
            return Err("no rig is named".to_string());
        };
        let Some(branch) = convoy.branches.get(&rig) else {
            return Err("the convoy has no branch in this rig".to_string());
        };
        if key.is_some_and(|key| key.attempt != u64::from(branch.tries)) {
            return Err("the result of an older try".to_string());
        }
        if branch.state == BranchState::Created {
            return Err("the branch was there already".to_string());
        }
        let state = match event.outcome {
            EffectOutcome::Done => BranchState::Created,
            EffectOutcome::Failed | EffectOutcome::Unknown => BranchState::Failed,
        };
        self.edit_bead(&event.convoy_id, |bead| {
            if let Some(branch) = bead.convoy_mut().and_then(|c| c.branches.get_mut(&rig)) {
                branch.state = state;
                branch.at = Some(now);
            }
        });
        Ok(format!("the branch in {rig} is {state:?}"))
    }
}
