//! Actions that ask for an effect. Each also makes the transition that silences its rule.

use alloc::format;
use alloc::string::ToString;
use alloc::vec;

use serde_json::json;

use super::{Applied, Performing};
use crate::action;
use crate::breaker::BreakerState;
use crate::convoy::{BranchState, ConvoyBranch};
use crate::effect::{self, Effect};
use crate::green::green;
use crate::ids::BeadId;
use crate::nudge::{Nudge, NudgeMode, NudgePriority};
use crate::review::MergeAttempt;

/// The topic of a notice about an escalation.
pub(crate) const ESCALATION_TOPIC: &str = "escalation:";
/// The topic of a notice about a pull request that waits.
pub(crate) const WAITING_TOPIC: &str = "pr_waiting:";

impl Performing<'_> {
    pub(super) fn dispatch_agent(&mut self, action: &action::DispatchAgent) -> Applied {
        let agent = self.agent(&action.agent_id)?;
        if agent.session.saturating_add(1) != action.session {
            return Err(self.stale(&action.agent_id, action.session, agent.session));
        }
        if agent.hook.as_ref() != Some(&action.bead_id) {
            let found = agent.hook.as_ref().map_or("none", BeadId::as_str);
            return Err(self.stale(&action.agent_id, &action.bead_id, found));
        }
        let Some(root) = self
            .town
            .bead(&action.bead_id)
            .map(|bead| bead.lineage().clone())
        else {
            return Err(self.missing(&action.bead_id));
        };
        let now = self.now;
        let is_probe = self.note_probe(action);
        // A probe costs the bead and its lineage nothing: probes have a limit of their own.
        let cost = u32::from(!is_probe);
        if !is_probe {
            self.town.edit_lineage(&root, |lineage| {
                lineage.used = lineage.used.saturating_add(1)
            });
        }
        self.town.edit_bead(&action.bead_id, |bead| {
            bead.dispatch_attempts = bead.dispatch_attempts.saturating_add(cost);
            bead.last_dispatch_attempt_at = Some(now);
        });
        self.town.edit_agent(&action.agent_id, |agent| {
            agent.dispatch_attempts = agent.dispatch_attempts.saturating_add(1);
            agent.session = action.session;
            agent.reported = false;
            agent.dispatched_at = Some(now);
            agent.last_activity_at = Some(now);
            agent.last_event_type = None;
            agent.last_event_at = None;
            agent.active_tools.clear();
            agent.stalled_at = None;
            // What it noted was for its next start on the same bead (spec 2.1).
            if agent
                .last_bead
                .as_ref()
                .is_some_and(|last| *last != action.bead_id)
            {
                agent.checkpoint = None;
            }
            agent.last_bead = Some(action.bead_id.clone());
        });
        self.log(
            &action.bead_id,
            "dispatched",
            json!({"agent": action.agent_id, "session": action.session, "attempt": action.attempt}),
        );
        Ok(vec![Effect::new(
            action.agent_id.as_str(),
            action.session,
            effect::StartAgent {
                agent_id: action.agent_id.clone(),
                bead_id: action.bead_id.clone(),
                rig_id: action.rig_id.clone(),
                session: action.session,
                attempt: action.attempt,
            },
        )])
    }

    /// Whether a dispatch is the probe of the half-open breaker, which then takes note of it.
    fn note_probe(&mut self, action: &action::DispatchAgent) -> bool {
        let now = self.now;
        let breaker = &self.town.state().breaker;
        let probed = breaker.probe.as_ref().map(|probe| &probe.bead_id);
        if breaker.state != BreakerState::HalfOpen || probed != Some(&action.bead_id) {
            return false;
        }
        let breaker = &mut self.town.state_mut().breaker;
        // The rig that shows whether starts work is the agent's.
        breaker.probed_rigs.insert(action.rig_id.clone(), now);
        if let Some(probe) = &mut breaker.probe {
            probe.agent_id = Some(action.agent_id.clone());
            probe.session = Some(action.session);
        }
        true
    }

    pub(super) fn stop_agent(&mut self, action: &action::StopAgent) -> Applied {
        let agent = self.agent(&action.agent_id)?;
        if agent.session != action.session {
            return Err(self.stale(&action.agent_id, action.session, agent.session));
        }
        let mut stops = 0;
        self.town.edit_agent(&action.agent_id, |agent| {
            agent.stop_asked = Some(action.session);
            agent.stop_retry_at = None;
            agent.stop_answered = false;
            agent.stops = agent.stops.saturating_add(1);
            stops = agent.stops;
        });
        Ok(vec![Effect::new(
            action.agent_id.as_str(),
            // One session may have to be asked more than once.
            stops,
            effect::StopAgent {
                agent_id: action.agent_id.clone(),
                session: action.session,
                reason: action.reason.message.clone(),
            },
        )])
    }

    /// The rig of a review, known or inferred.
    fn review_rig(&self, id: &BeadId) -> Option<crate::ids::RigId> {
        let mr = self.town.bead(id)?;
        self.town.rig_of_review(mr).map(|rig| rig.id.clone())
    }

    pub(super) fn poll_pr(&mut self, action: &action::PollPr) -> Applied {
        let mut attempt = 0;
        self.edit_review(&action.bead_id, |review, now| {
            let poll = &mut review.poll;
            poll.last_at = Some(now);
            poll.due_now = false;
            poll.attempts = poll.attempts.saturating_add(1);
            poll.answered = false;
            attempt = poll.attempts;
        })?;
        self.town.probe_conditions_of(&action.bead_id, self.now);
        Ok(vec![Effect::new(
            action.bead_id.as_str(),
            attempt,
            effect::PollPr {
                bead_id: action.bead_id.clone(),
                pr_url: action.pr_url.clone(),
                rig_id: self.review_rig(&action.bead_id),
                with_feedback: action.with_feedback,
            },
        )])
    }

    pub(super) fn merge_pr(&mut self, action: &action::MergePr) -> Applied {
        let mut attempt = 0;
        self.edit_review(&action.bead_id, |review, now| {
            let auto = &mut review.auto_merge;
            auto.attempts = auto.attempts.saturating_add(1);
            attempt = auto.attempts;
            auto.attempt = Some(MergeAttempt {
                number: attempt,
                head_sha: action.head_sha.clone(),
                at: now,
            });
            review.certificate = Some((*action.certificate).clone());
        })?;
        self.log(
            &action.bead_id,
            "merge",
            json!({"certificate": action.certificate}),
        );
        Ok(vec![Effect::new(
            action.bead_id.as_str(),
            attempt,
            effect::MergePr {
                bead_id: action.bead_id.clone(),
                pr_url: action.pr_url.clone(),
                rig_id: action.certificate.rig_id.clone(),
                head_sha: action.head_sha.clone(),
                certificate: action.certificate.clone(),
            },
        )])
    }

    pub(super) fn verify_merge(&mut self, action: &action::VerifyMerge) -> Applied {
        let mut found = false;
        self.edit_review(&action.bead_id, |review, now| {
            if let Some(verify) = &mut review.verify {
                found = true;
                review.verifications = review.verifications.max(action.number);
                verify.number = action.number;
                verify.asked_at = Some(now);
                verify.tries = verify.tries.saturating_add(1);
            }
        })?;
        if !found {
            return Err(self.stale(&action.bead_id, "a verification", "none"));
        }
        Ok(vec![Effect::new(
            action.bead_id.as_str(),
            action.number,
            effect::VerifyMerge {
                bead_id: action.bead_id.clone(),
                rig_id: action.rig_id.clone(),
                branch: action.branch.clone(),
                target_branch: action.target_branch.clone(),
                merge_commit: action.merge_commit.clone(),
            },
        )])
    }

    pub(super) fn create_branch(&mut self, action: &action::CreateBranch) -> Applied {
        let mut attempt = 0;
        self.edit_convoy(&action.convoy_id, |convoy, now| {
            let branch = convoy
                .branches
                .entry(action.rig_id.clone())
                .or_insert(ConvoyBranch::to_be_created());
            branch.state = BranchState::Asked;
            branch.at = Some(now);
            branch.tries = branch.tries.saturating_add(1);
            attempt = branch.tries;
        })?;
        Ok(vec![Effect::new(
            // Two identifiers that are none may make a reserved word: `__c` and `r__`.
            format!("convoy:{}@{}", action.convoy_id, action.rig_id),
            u64::from(attempt),
            effect::CreateBranch {
                convoy_id: action.convoy_id.clone(),
                rig_id: action.rig_id.clone(),
                branch: action.branch.clone(),
            },
        )])
    }

    pub(super) fn send_nudge(&mut self, action: &action::SendNudge) -> Applied {
        self.agent(&action.agent_id)?;
        if self.town.nudge(&action.nudge_id).is_none() {
            self.town.note_made(action.nudge_id.as_str());
            self.town.insert_nudge(Nudge {
                id: action.nudge_id.clone(),
                agent_id: action.agent_id.clone(),
                tier: action.tier,
                message: action.message.clone(),
                mode: NudgeMode::Immediate,
                priority: NudgePriority::Urgent,
                created_at: self.now,
                sent_at: None,
                attempts: 0,
                next_at: None,
                delivered_at: None,
                expires_at: None,
            });
        }
        let now = self.now;
        let attempt = self.town.edit_nudge(&action.nudge_id, |nudge| {
            nudge.sent_at = Some(now);
            nudge.next_at = None;
            nudge.attempts = nudge.attempts.saturating_add(1);
            nudge.attempts
        });
        let Some(attempt) = attempt else {
            return Err(self.missing(&action.nudge_id));
        };
        Ok(vec![Effect::new(
            action.nudge_id.as_str(),
            u64::from(attempt),
            effect::DeliverNudge {
                nudge_id: action.nudge_id.clone(),
                agent_id: action.agent_id.clone(),
                tier: action.tier,
                message: action.message.clone(),
            },
        )])
    }

    pub(super) fn notify_mayor(&mut self, action: &action::NotifyMayor) -> Applied {
        let now = self.now;
        if let Some(Ok(id)) = action.topic.strip_prefix(ESCALATION_TOPIC).map(BeadId::new) {
            self.town.edit_bead(&id, |bead| {
                if let Some(escalation) = bead.escalation_mut() {
                    escalation.notified_at = Some(now);
                }
            });
        }
        if let Some(Ok(id)) = action.topic.strip_prefix(WAITING_TOPIC).map(BeadId::new) {
            // One that did not arrive and is sent again counts once, and may outlive its bead.
            let under_way = self.town.state().notices_under_way.get(&action.topic);
            let is_repeat = under_way.is_some_and(|notice| notice.next_at.is_some());
            let edited = self.edit_review(&id, |review, now| {
                let times = review.waiting.as_ref().map_or(0, |waiting| waiting.times);
                review.waiting = Some(crate::review::Waiting {
                    told_at: now,
                    times: times.saturating_add(u32::from(!is_repeat)),
                });
            });
            if !is_repeat {
                edited?;
            }
        }
        let number = self.town.note_notice(&action.topic, &action.message);
        Ok(vec![Effect::new(
            action.topic.clone(),
            number,
            effect::NotifyMayor {
                topic: action.topic.clone(),
                message: action.message.clone(),
            },
        )])
    }

    pub(super) fn refresh_container_token(&mut self) -> Applied {
        let now = self.now;
        let subject = self.town.id().to_string();
        let container = &mut self.town.state_mut().container;
        container.refresh_asked_at = Some(now);
        container.refresh_answered = false;
        container.refreshes = container.refreshes.saturating_add(1);
        Ok(vec![Effect::new(
            subject,
            container.refreshes,
            effect::RefreshContainerToken {},
        )])
    }

    pub(super) fn renew_llm_token(&mut self) -> Applied {
        let now = self.now;
        let subject = self.town.id().to_string();
        let container = &mut self.town.state_mut().container;
        container.last_llm_check_at = Some(now);
        container.llm_answered = false;
        container.llm_renewals = container.llm_renewals.saturating_add(1);
        Ok(vec![Effect::new(
            subject,
            container.llm_renewals,
            effect::RenewLlmToken {},
        )])
    }

    pub(super) fn stop_idle_container(&mut self) -> Applied {
        let now = self.now;
        let subject = self.town.id().to_string();
        let container = &mut self.town.state_mut().container;
        container.last_idle_stop_at = Some(now);
        container.replace_instance(None);
        container.idle_stops = container.idle_stops.saturating_add(1);
        Ok(vec![Effect::new(
            subject,
            container.idle_stops,
            effect::StopContainer {},
        )])
    }
}

impl crate::town::Town {
    /// Whether what only the town knows still allows a merge that was decided; at what the forge
    /// knows its adapter looks once more, as far as the certificate goes.
    fn may_still_merge(&self, mr: &BeadId) -> bool {
        let Some(mr) = self.bead(mr) else {
            return false;
        };
        let settings = self.settings_of_review(mr);
        let certificate = mr.review().and_then(|review| review.certificate.as_ref());
        green(self, mr, &settings).is_some_and(|green| !green.town_objects())
            && certificate.is_none_or(|certificate| certificate.is_allowed_by(&settings))
    }

    /// Whether the town still wants an effect (spec 2.4). Asked before an effect runs; one that is not wanted is finished as withdrawn.
    #[must_use]
    pub fn wants(&self, effect: &Effect) -> bool {
        use crate::effect::EffectKind as E;
        let review = |id: &BeadId| self.bead(id).filter(|bead| bead.is_live())?.review();
        match &effect.kind {
            E::StartAgent(start) => self.agent(&start.agent_id).is_some_and(|agent| {
                agent.session == start.session
                    && agent.hook.as_ref() == Some(&start.bead_id)
                    && agent.stop_asked != Some(start.session)
                    && agent.status.is_running()
                    && !self.is_draining()
            }),
            // A stop is always safe, and what runs unasked must end.
            E::StopAgent(_) => true,
            E::PollPr(poll) => review(&poll.bead_id).is_some_and(|review| {
                review.poll.attempts == effect.key.attempt
                    && review.pr_url.as_ref() == Some(&poll.pr_url)
            }),
            E::MergePr(merge) => review(&merge.bead_id).is_some_and(|review| {
                review.auto_merge.attempt.as_ref().is_some_and(|attempt| {
                    attempt.number == effect.key.attempt && attempt.head_sha == merge.head_sha
                }) && self.may_still_merge(&merge.bead_id)
            }),
            E::VerifyMerge(verify) => review(&verify.bead_id).is_some_and(|review| {
                review
                    .verify
                    .as_ref()
                    .is_some_and(|v| v.number == effect.key.attempt)
            }),
            E::CreateBranch(create) => self
                .bead(&create.convoy_id)
                .filter(|bead| bead.is_live())
                .and_then(crate::bead::Bead::convoy)
                .and_then(|convoy| convoy.branches.get(&create.rig_id))
                .is_some_and(|b| {
                    b.state == BranchState::Asked && u64::from(b.tries) == effect.key.attempt
                }),
            E::DeliverNudge(deliver) => self.nudge(&deliver.nudge_id).is_some_and(|nudge| {
                nudge.delivered_at.is_none() && u64::from(nudge.attempts) == effect.key.attempt
            }),
            E::NotifyMayor(_) => true,
            E::RefreshContainerToken(_) => self.state().container.refreshes == effect.key.attempt,
            E::RenewLlmToken(_) => self.state().container.llm_renewals == effect.key.attempt,
            E::StopContainer(_) => {
                self.state().container.idle_stops == effect.key.attempt
                    && self.agents().all(|agent| !agent.status.is_running())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::effect::Effect;
    use crate::testing::{GREEN, at, town};

    /// Spec 2.1, 2.4: what a person forbids while a merge waits for its turn is forbidden.
    #[test]
    fn wants_no_merge_that_was_forbidden_since() {
        let mut merging = town(GREEN);
        let settled = crate::reconcile::settle(&mut merging, at("0s"));
        let merges = |it: &&Effect| it.key.kind == "merge_pr";
        let merge = settled.effects.iter().find(merges).unwrap();
        assert!(merging.wants(merge));
        for command in [
            r#"{"type": "hold", "caller": {"kind": "user", "id": "ann"}, "bead_id": "m1"}"#,
            r#"{"type": "hold", "caller": {"kind": "user", "id": "ann"}, "bead_id": "b1"}"#,
            r#"{"type": "reopen_bead", "caller": {"kind": "user", "id": "ann"}, "bead_id": "b1"}"#,
            r#"{"type": "update_config", "caller": {"kind": "user", "id": "ann"}, "config": {"refinery": {"auto_merge": false}}}"#,
            r#"{"type": "update_rig", "caller": {"kind": "user", "id": "ann"}, "rig_id": "r1", "config": {"refinery": {"auto_merge_delay_minutes": "never"}}}"#,
        ] {
            let mut forbidden = merging.clone();
            let command = crate::wire::command_from_value(serde_json::from_str(command).unwrap());
            forbidden.execute(command.unwrap(), at("1s")).unwrap();
            assert!(!forbidden.wants(merge));
        }
    }

    /// What the certificate lets pass was let pass by settings that are others by now.
    #[test]
    fn wants_no_merge_that_rests_on_settings_of_before() {
        for (seen, setting) in [
            (
                GREEN.replace(
                    r#""checks":{"state":"passing"}"#,
                    r#""checks":{"state":"none"}"#,
                ),
                "require_checks",
            ),
            (
                GREEN
                    .replace(r#""decision_head":"h1""#, r#""decision_head":"h0""#)
                    .replace(
                        "town config",
                        "town config.refinery.require_fresh_approval=false config",
                    ),
                "require_fresh_approval",
            ),
        ] {
            let mut merging = town(&seen);
            let settled = crate::reconcile::settle(&mut merging, at("0s"));
            let merges = |it: &&Effect| it.key.kind == "merge_pr";
            let merge = settled.effects.iter().find(merges).expect(setting);
            let mut change = |setting: &str| {
                let text = std::format!(
                    r#"{{"type": "update_config", "caller": {{"kind": "user", "id": "ann"}}, "config": {{"refinery": {{"{setting}": true}}}}}}"#
                );
                let command = crate::wire::command_from_str(&text).unwrap();
                merging.execute(command, at("1s")).unwrap();
                merging.wants(merge)
            };
            assert!(change("review_every_head"), "{setting}: nothing to it");
            assert!(!change(setting), "{setting}");
        }
    }
}
