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
    /// When an effect that has failed so many times is tried again (spec 2.2).
    fn again_at(&self, failures: u32, now: Timestamp) -> Timestamp {
        now.plus(self.policy().forge_pause(failures))
    }

    pub(super) fn notified(
        &mut self,
        event: &Notified,
        key: Option<&EffectKey>,
        now: Timestamp,
    ) -> Outcome {
        let Some(notice) = self.state().notices_under_way.get(&event.topic) else {
            return Err("no such notice is under way".to_string());
        };
        if key.is_some_and(|key| key.attempt != notice.number) {
            return Err("the result of an older notice".to_string());
        }
        if key.is_some() && notice.next_at.is_some() {
            return Err("the notice is answered already".to_string());
        }
        let failures = notice.failures.saturating_add(1);
        let again = self.again_at(failures, now);
        let under_way = &mut self.state_mut().notices_under_way;
        match event.outcome {
            EffectOutcome::Done => {
                under_way.remove(&event.topic);
                Ok(format!("{} was told", event.topic))
            }
            EffectOutcome::Failed | EffectOutcome::Unknown => {
                if let Some(notice) = under_way.get_mut(&event.topic) {
                    notice.next_at = Some(again);
                    notice.failures = failures;
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
        if key.is_some() && nudge.next_at.is_some() {
            return Err("the delivery is answered already".to_string());
        }
        // It was sent as often as it failed, or this answer would not be its own.
        let again = self.again_at(nudge.attempts, now);
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
        let (current, answered) = match event.token {
            TokenKind::Container => (container.refreshes, &mut container.refresh_answered),
            TokenKind::Llm => (container.llm_renewals, &mut container.llm_answered),
        };
        if let Some(key) = key {
            if key.attempt != current {
                return Err("the result of an older refresh".to_string());
            }
            if *answered {
                return Err("the refresh is answered already".to_string());
            }
            *answered = true;
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
        if key.is_some() && branch.state == BranchState::Failed {
            return Err("the try is answered already".to_string());
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

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use crate::testing::{at, observed, town};

    /// Spec 2.2: after forge_backoff, which doubles up to its cap.
    #[test]
    fn a_nudge_that_fails_is_due_again_later_each_time() {
        let paused = |attempts: u32| {
            let town = std::format!(
                "rig r1\nagent a1 polecat working rig_id=r1 hook=b1 session=1\nnudge n1 a1 warn attempts={attempts} sent_at=-1m\nbead b1 issue in_progress rig_id=r1 assignee=a1"
            );
            let unknown = r#"{"type": "nudge_delivered", "nudge_id": "n1", "outcome": "unknown"}"#;
            let seen = observed(&town, "0s", unknown);
            let next = seen.lines().find(|line| line.contains("next_at"));
            std::format!("{attempts}: {}", next.unwrap_or("never"))
        };
        insta::assert_snapshot!([0, 1, 2, 4, 5, u32::MAX].map(paused).join("\n"), @r#"
        0: n1.next_at: - → "2026-04-04T12:01:00.000Z"
        1: n1.next_at: - → "2026-04-04T12:01:00.000Z"
        2: n1.next_at: - → "2026-04-04T12:02:00.000Z"
        4: n1.next_at: - → "2026-04-04T12:08:00.000Z"
        5: n1.next_at: - → "2026-04-04T12:10:00.000Z"
        4294967295: n1.next_at: - → "2026-04-04T12:10:00.000Z"
        "#);
    }

    /// Spec 2.4: what was asked has one answer. Whoever asks in vain is not refused for it: the next
    /// question has another key.
    #[test]
    fn what_is_answered_is_not_answered_again() {
        let town_of_all = r#"
            town container.refreshes=3 container.refresh_asked_at=-1m container.llm_renewals=4 notices=5 notices_under_way={"forge":{"message":"it is down","number":5}}
            rig r1
            agent a1 polecat idle rig_id=r1 session=2 stops=6 stop_asked=2
            nudge n1 a1 warn attempts=7 sent_at=-1m
            bead c1 convoy open convoy.feature_branch=convoy/x convoy.branches={"r1":{"state":"asked","tries":8,"at":"2026-04-04T11:59:00Z"}}
            bead b1 issue in_review rig_id=r1
            bead m1 merge_request in_progress rig_id=r1 review.source=b1 review.pr_url=https://github.com/acme/r1/pull/1 review.poll.attempts=9
            edge m1 tracks b1
        "#;
        let answers = [
            r#"{"type": "token_refreshed", "key": {"subject": "t1", "kind": "refresh_container_token", "attempt": 3}, "token": "container", "outcome": "failed"}"#,
            r#"{"type": "token_refreshed", "key": {"subject": "t1", "kind": "renew_llm_token", "attempt": 4}, "token": "llm", "outcome": "failed"}"#,
            r#"{"type": "notified", "key": {"subject": "forge", "kind": "notify_mayor", "attempt": 5}, "topic": "forge", "outcome": "failed"}"#,
            r#"{"type": "agent_stopped", "key": {"subject": "a1", "kind": "stop_agent", "attempt": 6}, "agent_id": "a1", "session": 2, "outcome": "failed"}"#,
            r#"{"type": "nudge_delivered", "key": {"subject": "n1", "kind": "deliver_nudge", "attempt": 7}, "nudge_id": "n1", "outcome": "failed"}"#,
            r#"{"type": "branch_created", "key": {"subject": "c1@r1", "kind": "create_branch", "attempt": 8}, "convoy_id": "c1", "branch": "convoy/x", "rig_id": "r1", "outcome": "failed"}"#,
            r#"{"type": "pr_observed", "key": {"subject": "m1", "kind": "poll_pr", "attempt": 9}, "bead_id": "m1", "error": {"kind": "server", "status": 502}}"#,
        ];
        for answer in answers {
            let mut town = town(town_of_all);
            let observed = |town: &mut crate::town::Town, id: &str, after: &str| {
                let mut event: serde_json::Value = serde_json::from_str(answer).unwrap();
                event["id"] = id.into();
                event["at"] = at(after).to_string().into();
                let event = crate::wire::event_from_value(event).unwrap();
                town.observe(&event, at(after))
            };
            let first = observed(&mut town, "ev1", "0s");
            assert!(first.changed, "{answer}: {}", first.why);
            let before = town.clone();
            let second = observed(&mut town, "ev2", "10s");
            assert!(!second.changed, "{answer}: {}", second.why);
            assert!(second.why.ends_with("answered already"), "{}", second.why);
            assert_eq!(before, town, "{answer}");
        }
    }
}
