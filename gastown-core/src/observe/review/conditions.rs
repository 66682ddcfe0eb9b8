//! Conditions: begun, struck and ended by evidence (spec 1.8).

use alloc::string::String;
use alloc::vec::Vec;

use crate::bead::Bead;
use crate::condition::{Condition, ConditionKind, ConditionSubject};
use crate::ids::{BeadId, cut};
use crate::time::Timestamp;
use crate::town::Town;

/// The longest that a rate limit holds polls back; whoever is still limited then says so again.
const RATE_LIMIT_MAX: core::time::Duration = core::time::Duration::from_secs(3600);

/// How much of what a forge says about a condition is kept, in characters, and of the names of credentials
/// that were tried. All conditions of a town stand in its row, those of each of its rigs, and a row that is
/// too long for a store would keep the town from ever committing again.
const WORDS_CHARACTERS_MAX: usize = 500;
const TRIED_MAX: usize = 8;
const NAME_CHARACTERS_MAX: usize = 60;

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
        let drift_is_over = self.disproves_drift(mr);
        let ended: Vec<(ConditionKind, ConditionSubject)> = self
            .conditions_of(mr)
            .filter(|condition| match condition.kind {
                ConditionKind::ForgeUnreachable
                | ConditionKind::CredentialsMissing
                | ConditionKind::CredentialsRejected
                | ConditionKind::PermissionMissing => true,
                ConditionKind::ApiDrift => drift_is_over,
                // These end by their time, or by a merge.
                ConditionKind::RateLimited | ConditionKind::MergeMethodImpossible => false,
            })
            .map(|condition| (condition.kind, condition.subject.clone()))
            .collect();
        for (kind, subject) in ended {
            self.end_condition(kind, &subject, now);
        }
    }

    /// Whether an answer that was understood says that the forge did not change after all: one of
    /// a pull request whose answers were not, or when there is none left. Others go on being
    /// understood all the while, and would end and begin it at each round (spec 1.8: edges).
    fn disproves_drift(&self, mr: &BeadId) -> bool {
        let was_unreadable = |mr: &Bead| {
            mr.review()
                .is_some_and(|review| review.poll.last_invalid_at.is_some())
        };
        self.bead(mr).is_some_and(was_unreadable) || !self.live_pull_requests().any(was_unreadable)
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
        let words = cut(&words, WORDS_CHARACTERS_MAX, "…");
        let tried = tried.iter().take(TRIED_MAX);
        let tried: Vec<String> = tried
            .map(|name| cut(name, NAME_CHARACTERS_MAX, "…"))
            .collect();
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

#[cfg(test)]
mod tests {
    use alloc::vec;
    use std::format;

    use super::*;
    use crate::command::limits;
    use crate::store::Row;
    use crate::testing::{at, town};

    /// Whatever forges say of every rig that a town may have, the town can be written.
    #[test]
    fn conditions_of_all_rigs_fit_into_the_row_of_the_town() {
        let rigs: Vec<String> = (0..limits::RIGS_MAX).map(|n| format!("rig r{n}")).collect();
        let mut town = town(&rigs.join("\n"));
        // JSON writes it in six bytes.
        let long = "\u{1}".repeat(10_000);
        for rig in 0..limits::RIGS_MAX {
            for kind in [ConditionKind::CredentialsMissing, ConditionKind::ApiDrift] {
                let evidence = Evidence {
                    kind,
                    subject: ConditionSubject::Rig(format!("r{rig}").parse().unwrap()),
                    words: long.clone(),
                    until: None,
                    tried: vec![long.clone(); 100],
                };
                town.strike(evidence, None, at("0s"));
            }
        }
        let rows = town.take_changes().put;
        let longest = rows.iter().map(|row| row.body.len()).max().unwrap();
        assert!(longest < Row::BODY_BYTES_MAX / 2, "{longest}");
        let kept = town.conditions().next().unwrap();
        assert_eq!(kept.evidence.chars().count(), WORDS_CHARACTERS_MAX + 1);
    }
}
