//! Performing one decision: the only mutator for rules (spec 2, 2.3).

mod agents;
mod beads;
mod effects;

pub(crate) use self::effects::WAITING_TOPIC;

use alloc::string::{String, ToString};
use alloc::vec::Vec;

pub(crate) use self::effects::ESCALATION_TOPIC;

use crate::action::{Action, ActionKind};
use crate::effect::Effect;
use crate::ids::IdError;
use crate::time::Timestamp;
use crate::town::{Cause, Town};

/// Why an action could not be performed. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ApplyError {
    /// What the action names as its starting point does not hold (any more).
    #[error("{action} of {subject}: expected {expected}, found {found}")]
    Stale {
        /// The action's type.
        action: &'static str,
        /// The subject.
        subject: String,
        /// What the action expects.
        expected: String,
        /// What holds.
        found: String,
    },
    /// The action names something that is not there.
    #[error("{action}: {subject} is not there")]
    Missing {
        /// The action's type.
        action: &'static str,
        /// The subject.
        subject: String,
    },
}

impl From<IdError> for ApplyError {
    fn from(error: IdError) -> Self {
        ApplyError::Missing {
            action: "identifier",
            subject: error.shown,
        }
    }
}

/// What performing an action needs to know.
struct Performing<'a> {
    town: &'a mut Town,
    rule: &'a str,
    action: &'static str,
    now: Timestamp,
}

impl Performing<'_> {
    fn missing(&self, subject: impl core::fmt::Display) -> ApplyError {
        ApplyError::Missing {
            action: self.action,
            subject: alloc::format!("{subject}"),
        }
    }

    fn stale(
        &self,
        subject: impl core::fmt::Display,
        expected: impl core::fmt::Display,
        found: impl core::fmt::Display,
    ) -> ApplyError {
        ApplyError::Stale {
            action: self.action,
            subject: alloc::format!("{subject}"),
            expected: alloc::format!("{expected}"),
            found: alloc::format!("{found}"),
        }
    }
}

type Applied = Result<Vec<Effect>, ApplyError>;

impl Town {
    /// Performs one decision and returns the effects that it asks for. They may run once the
    /// change is committed.
    ///
    /// # Errors
    /// [`ApplyError::Stale`] when the action's starting point does not hold,
    /// [`ApplyError::Missing`] when its subject is gone. Nothing is changed then.
    pub fn apply(&mut self, action: &Action, now: Timestamp) -> Result<Vec<Effect>, ApplyError> {
        let mut performing = Performing {
            town: self,
            rule: &action.rule,
            action: action.kind.type_name(),
            now,
        };
        let applied = performing.perform(&action.kind);
        self.end_unit(&Cause {
            by: "engine".into(),
            kind: "rule",
            name: action.rule.to_string(),
            at: now,
        });
        applied
    }
}

impl Performing<'_> {
    fn perform(&mut self, kind: &ActionKind) -> Applied {
        use ActionKind as A;
        match kind {
            A::TransitionBead(a) => self.transition_bead(a),
            A::SetAssignee(a) => self.set_assignee(a),
            A::ClearAssignee(a) => self.clear_assignee(a),
            A::CreateBead(a) => self.create_bead(a),
            A::AddDependency(a) => self.add_dependency(a),
            A::SetLabel(a) => self.set_label(&a.bead_id, &a.label, true),
            A::ClearLabel(a) => self.set_label(&a.bead_id, &a.label, false),
            A::Tell(a) => self.tell(a),
            A::Untell(a) => self.untell(a),
            A::UpdateConvoyProgress(a) => self.update_convoy_progress(a),
            A::SetReadyToLand(a) => self.set_ready_to_land(a),
            A::CreateLandingMr(a) => self.create_landing_mr(a),
            A::CloseConvoy(a) => self.close_convoy(a),
            A::FailConvoy(a) => self.fail_convoy(a),
            A::MarkAutoMerge(a) => self.mark_auto_merge(a),
            A::ReEscalate(a) => self.re_escalate(a),
            A::TransitionAgent(a) => self.transition_agent(a),
            A::CreateAgent(a) => self.create_agent(a),
            A::HookAgent(a) => self.hook_agent(a),
            A::UnhookAgent(a) => self.unhook_agent(a),
            A::ClearCheckpoint(a) => self.clear_checkpoint(a),
            A::ResetAttempts(a) => self.reset_attempts(a),
            A::DeleteAgent(a) => self.delete_agent(a),
            A::ExpireNudge(a) => self.expire_nudge(a),
            A::TripBreaker(a) => self.trip_breaker(a),
            A::ProbeBreaker(a) => self.probe_breaker(a),
            A::ResetBreaker(_) => self.reset_breaker(),
            A::EndDrain(a) => self.end_drain(a),
            A::SetCondition(a) => self.set_condition(a),
            A::ClearCondition(a) => self.clear_condition(a),
            A::DispatchAgent(a) => self.dispatch_agent(a),
            A::StopAgent(a) => self.stop_agent(a),
            A::PollPr(a) => self.poll_pr(a),
            A::MergePr(a) => self.merge_pr(a),
            A::VerifyMerge(a) => self.verify_merge(a),
            A::CreateBranch(a) => self.create_branch(a),
            A::SendNudge(a) => self.send_nudge(a),
            A::NotifyMayor(a) => self.notify_mayor(a),
            A::RefreshContainerToken(_) => self.refresh_container_token(),
            A::RenewLlmToken(_) => self.renew_llm_token(),
            A::StopIdleContainer(_) => self.stop_idle_container(),
        }
    }
}
