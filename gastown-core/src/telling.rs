//! What events and commands do alike with beads that fail or are told about (spec 3).

use alloc::format;
use alloc::string::String;

use crate::bead::{Bead, BeadKind, BeadStatus, CreatedBy};
use crate::condition::{Condition, ConditionKind};
use crate::escalation::{Escalation, Severity};
use crate::ids::{BeadId, IdKind};
use crate::reason::{Reason, ReasonCode};
use crate::time::Timestamp;
use crate::town::Town;

impl Town {
    /// *Tell once*: unless told already, one escalation of severity high, recorded in the bead's
    /// `told`.
    pub(crate) fn tell_once(
        &mut self,
        about: &BeadId,
        category: ReasonCode,
        message: impl Into<String>,
        now: Timestamp,
    ) {
        let Some(bead) = self.bead(about) else { return };
        if bead.told.contains_key(&category) {
            return;
        }
        let message = message.into();
        if self.still_said(about, category, &message, now).is_some() {
            self.edit_bead(about, |bead| bead.told.insert(category, now));
            return;
        }
        let kind = BeadKind::Escalation(Escalation {
            severity: Severity::High,
            category: Some(category.as_str().into()),
            acknowledged_at: None,
            re_escalations: 0,
            notified_at: None,
            bead_id: Some(about.clone()),
            convoy_id: self.convoy_around(about).map(|convoy| convoy.id.clone()),
        });
        let title = format!("{}: {}", category.as_str().replace('_', " "), bead.title);
        let (rig, root) = (bead.rig_id.clone(), bead.lineage().clone());
        let mut escalation = Bead::new(self.next_bead_id(IdKind::Escalation), kind, title, now);
        escalation.body = Some(message);
        escalation.priority = Severity::High.priority();
        escalation.created_by = Some(CreatedBy::System);
        escalation.rig_id = rig;
        escalation.root = Some(root);
        self.insert_bead(escalation);
        self.edit_bead(about, |bead| bead.told.insert(category, now));
    }

    /// The escalation about a bead that stands for a cause that ended and came back, so that it is not said
    /// again: one that was made at this very time, or later by a clock that has jumped back since (I18); of
    /// what the next look may show otherwise, one that was made lately and says the same, too.
    pub(crate) fn still_said(
        &self,
        about: &BeadId,
        category: ReasonCode,
        message: &str,
        now: Timestamp,
    ) -> Option<&BeadId> {
        let within = self.policy().re_escalate_every;
        let says_the_same = |said: &Bead| {
            // How often, and what is still wrong, is no other cause.
            let is_one = [ReasonCode::RepairRoundsSpent, ReasonCode::PrUnreachable];
            let by_words = [ReasonCode::PrIdentity, ReasonCode::MergeConflict];
            is_one.contains(&category)
                || (by_words.contains(&category) && said.body.as_deref() == Some(message))
        };
        self.standing(category, |said, escalation| {
            escalation.bead_id.as_ref() == Some(about)
                && (said.created_at >= now
                    || (says_the_same(said) && now.since(said.created_at) < within))
        })
    }

    /// The same of a condition that comes and goes by itself.
    pub(crate) fn still_said_of(&self, condition: &Condition, now: Timestamp) -> Option<&BeadId> {
        if condition.kind == ConditionKind::MergeMethodImpossible {
            return None;
        }
        let within = self.policy().re_escalate_every;
        self.standing(condition.kind.category(), |said, escalation| {
            escalation.bead_id.is_none()
                && said.rig_id.as_ref() == condition.subject.rig()
                && said.created_at <= now
                && now.since(said.created_at) < within
        })
    }

    /// The engine's live escalation of a category that nobody acknowledged.
    pub(crate) fn standing(
        &self,
        category: ReasonCode,
        is_meant: impl Fn(&Bead, &Escalation) -> bool,
    ) -> Option<&BeadId> {
        let said = self.live_beads().find(|bead| {
            bead.created_by == Some(CreatedBy::System)
                && bead.escalation().is_some_and(|escalation| {
                    escalation.category.as_deref() == Some(category.as_str())
                        && escalation.acknowledged_at.is_none()
                        && is_meant(bead, escalation)
                })
        });
        said.map(|escalation| &escalation.id)
    }

    /// Fails a bead and tells once, under the failure's code.
    pub(crate) fn fail_and_tell(
        &mut self,
        id: &BeadId,
        code: ReasonCode,
        message: &str,
        source: &str,
        now: Timestamp,
    ) {
        if self.set_status(
            id,
            BeadStatus::Failed,
            &Reason::new(code, message),
            source,
            now,
        ) {
            self.tell_once(id, code, message, now);
        }
    }

    /// *Source reopens*: an in_review source becomes open, unassigned, its backoff starting now.
    fn reopen_source(&mut self, source: &BeadId, code: ReasonCode, message: &str, now: Timestamp) {
        self.set_status(
            source,
            BeadStatus::Open,
            &Reason::new(code, message),
            "review",
            now,
        );
        self.edit_bead(source, |bead| {
            bead.assignee = None;
            bead.last_dispatch_attempt_at = Some(now);
        });
    }

    /// A review fails: its source reopens (one in another status is left alone), and a person is
    /// told once under the failure's code.
    pub(crate) fn fail_review_and_reopen(
        &mut self,
        mr: &BeadId,
        code: ReasonCode,
        message: &str,
        by: &str,
        now: Timestamp,
    ) {
        let source = self.bead(mr).and_then(|mr| self.source_in_review(mr));
        let source = source.map(|source| source.id.clone());
        self.fail_and_tell(mr, code, message, by, now);
        if let Some(source) = source {
            self.reopen_source(&source, code, message, now);
        }
    }
}
