//! Conditions: begun, struck and ended by evidence (spec 1.8).

use alloc::string::String;
use alloc::vec::Vec;

use crate::condition::{Condition, ConditionKind, ConditionSubject};
use crate::ids::BeadId;
use crate::time::Timestamp;
use crate::town::Town;

/// The longest that a rate limit holds polls back; whoever is still limited then says so again.
const RATE_LIMIT_MAX: core::time::Duration = core::time::Duration::from_secs(3600);

/// What an error says about the world.
pub(super) struct Evidence {
    pub(super) kind: ConditionKind,
    pub(super) subject: ConditionSubject,
    pub(super) words: String,
    pub(super) until: Option<Timestamp>,
    pub(super) tried: Vec<String>,
}

impl Town {
    /// An answer of the forge for a review: whatever kept it from answering is over.
    pub(super) fn forge_answered(&mut self, mr: &BeadId, now: Timestamp) {
        let ended: Vec<(ConditionKind, ConditionSubject)> = self
            .conditions_of(mr)
            .filter(|condition| match condition.kind {
                ConditionKind::ForgeUnreachable
                | ConditionKind::CredentialsMissing
                | ConditionKind::CredentialsRejected
                | ConditionKind::PermissionMissing
                | ConditionKind::ApiDrift => true,
                // These end by their time, or by a merge.
                ConditionKind::RateLimited | ConditionKind::MergeMethodImpossible => false,
            })
            .map(|condition| (condition.kind, condition.subject.clone()))
            .collect();
        for (kind, subject) in ended {
            self.end_condition(kind, &subject, now);
        }
    }

    /// Begins a condition, or counts a strike on the one that holds. An answer to a question that
    /// was asked before it began does not count.
    pub(super) fn strike(
        &mut self,
        evidence: Evidence,
        asked_at: Option<Timestamp>,
        now: Timestamp,
    ) {
        let Evidence {
            kind,
            subject,
            words,
            until,
            tried,
        } = evidence;
        let until = until.map(|until| until.min(now.plus(RATE_LIMIT_MAX)));
        let holds = self.condition(kind, &subject).is_some_and(Condition::holds);
        if !holds {
            let next_probe_at = kind
                .holds_polls()
                .then(|| now.plus(self.policy().forge_pause(1)));
            // One that was just ended by evidence goes on, and what was told still stands.
            let told_at = self
                .condition(kind, &subject)
                .and_then(|ended| ended.told_at);
            self.insert_condition(Condition {
                kind,
                subject,
                since: now,
                strikes: 1,
                told_at,
                next_probe_at,
                until,
                evidence: words,
                tried,
                ended_at: None,
            });
            return;
        }
        self.edit_condition(kind, &subject, |condition| {
            if asked_at.is_none_or(|asked| asked >= condition.since) {
                condition.strikes = condition.strikes.saturating_add(1);
                condition.evidence = words;
                condition.tried = tried;
            }
            condition.until = condition.until.max(until);
        });
    }
}
