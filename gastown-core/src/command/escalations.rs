//! Escalations: made by agents and people, acknowledged by people (spec 3.9).

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::check;
use super::data::{Acknowledge, Escalate};
use super::{Actor, CommandError, Did, Executed};
use crate::bead::{Bead, BeadKind, BeadStatus, CreatedBy};
use crate::condition::{ConditionKind, ConditionSubject};
use crate::escalation::{Escalation, Severity};
use crate::ids::{BeadId, IdKind, RigId};
use crate::pass::triage_options;
use crate::reason::{Reason, ReasonCode};
use crate::time::Timestamp;
use crate::town::Town;
use crate::work::{TriageRequest, TriageType, Work};

/// How much of a message becomes the title, in characters.
const TITLE_CHARACTERS: usize = 100;

impl Town {
    pub(super) fn escalate(&mut self, escalate: Escalate, actor: &Actor) -> Executed {
        check::text("message", &escalate.message)?;
        if let Some(category) = &escalate.category {
            check::name("category", category)?;
        }
        check::metadata(&escalate.metadata.0)?;
        let about = actor
            .agent
            .as_ref()
            .and_then(|id| self.agent(id))
            .and_then(|agent| agent.hook.clone())
            .filter(|hook| self.bead(hook).is_some());
        match self.same_escalation(&escalate, about.as_ref(), actor) {
            Some(id) => self.add_to_escalation(&id, escalate.severity, &escalate.message, actor),
            None => Ok(self.add_escalation(escalate, about.as_ref(), actor)),
        }
    }

    /// The live escalation of the same bead and category, if there is one.
    fn same_escalation(
        &self,
        escalate: &Escalate,
        about: Option<&BeadId>,
        actor: &Actor,
    ) -> Option<BeadId> {
        let by = actor.created_by();
        let same = |bead: &&Bead| {
            bead.escalation().is_some_and(|escalation| {
                escalation.bead_id.as_ref() == about
                    && escalation.category == escalate.category
                    // Those about no bead have in common only who made them.
                    && (about.is_some() || bead.created_by.as_ref() == Some(&by))
            })
        };
        self.live_beads().find(same).map(|bead| bead.id.clone())
    }

    /// Adds to a live escalation; a higher severity raises it, and the mayor hears of it again.
    pub(super) fn add_to_escalation(
        &mut self,
        id: &BeadId,
        severity: Severity,
        message: &str,
        actor: &Actor,
    ) -> Executed {
        self.append_to_body(id, "message", message, actor)?;
        self.edit_bead(id, |bead| {
            let Some(escalation) = bead.escalation_mut() else {
                return;
            };
            if severity > escalation.severity {
                escalation.severity = severity;
                escalation.notified_at = None;
                bead.priority = severity.priority();
            }
        });
        Ok(Did::text(format!("added to escalation {id}")))
    }

    fn add_escalation(&mut self, escalate: Escalate, about: Option<&BeadId>, actor: &Actor) -> Did {
        let id = self.new_escalation(&escalate, about, actor);
        let mut did = Did::made(&id, format!("made escalation {id}"));
        let on_triage = actor
            .agent
            .as_ref()
            .and_then(|agent| self.agent(agent))
            .is_some_and(|agent| self.is_on_triage(agent));
        // The triage agent's own escalations are for people, not for itself again.
        if !on_triage {
            let request = self.add_escalation_request(&id, &escalate.message, actor);
            did.made.push(request.to_string());
        }
        did
    }

    pub(super) fn new_escalation(
        &mut self,
        escalate: &Escalate,
        about: Option<&BeadId>,
        actor: &Actor,
    ) -> BeadId {
        let bead = about.and_then(|id| self.bead(id));
        let rig = bead
            .and_then(|bead| bead.rig_id.clone())
            .or_else(|| actor.rig.clone());
        let root = bead.map(|bead| bead.lineage().clone());
        let kind = BeadKind::Escalation(Escalation {
            severity: escalate.severity,
            category: escalate.category.clone(),
            acknowledged_at: None,
            re_escalations: 0,
            notified_at: None,
            bead_id: about.cloned(),
            convoy_id: about
                .and_then(|id| self.convoy_of(id))
                .map(|convoy| convoy.id.clone()),
        });
        let title = title_of(escalate.category.as_deref(), &escalate.message);
        let id = self.next_bead_id(IdKind::Escalation);
        let mut bead = Bead::new(id.clone(), kind, title, actor.now);
        bead.body = Some(escalate.message.clone());
        bead.priority = escalate.severity.priority();
        bead.metadata = escalate.metadata.0.clone();
        bead.rig_id = rig;
        bead.root = root;
        self.add_bead(bead, actor);
        id
    }

    /// The triage request of an escalation: never dropped and not counted (spec 3.8).
    fn add_escalation_request(
        &mut self,
        escalation: &BeadId,
        message: &str,
        actor: &Actor,
    ) -> BeadId {
        let agent = actor.agent.as_ref().and_then(|id| self.agent(id));
        let request = TriageRequest {
            triage_type: TriageType::Escalation,
            agent_id: agent.map(|agent| agent.id.clone()),
            hooked_bead_id: agent.and_then(|agent| agent.hook.clone()),
            session: agent.map(|agent| agent.session),
            escalation_id: Some(escalation.clone()),
            options: triage_options(),
            ..TriageRequest::default()
        };
        let made_for = self.bead(escalation);
        let title = made_for.map_or(String::new(), |bead| bead.title.clone());
        let (rig, root) = made_for.map_or((None, None), |bead| {
            (bead.rig_id.clone(), Some(bead.lineage().clone()))
        });
        let id = self.next_bead_id(IdKind::Bead);
        let kind = BeadKind::Issue(Work::TriageRequest(request));
        let mut bead = Bead::new(id.clone(), kind, format!("escalation: {title}"), actor.now);
        bead.body = Some(message.into());
        bead.rig_id = rig;
        bead.root = root;
        self.add_bead(bead, actor);
        id
    }

    pub(super) fn acknowledge(&mut self, acknowledge: &Acknowledge, actor: &Actor) -> Executed {
        let id = &acknowledge.escalation_id;
        let bead = self.bead_for("escalation_id", id, actor)?;
        let Some(escalation) = bead.escalation().cloned() else {
            return Err(CommandError::invalid(
                "escalation_id",
                format!("\"{id}\" is no escalation"),
            ));
        };
        if !bead.is_live() {
            return check::nothing("the escalation was closed already");
        }
        let by_engine = bead.created_by == Some(CreatedBy::System);
        let rig = bead.rig_id.clone();
        self.edit_bead(id, |bead| {
            if let Some(escalation) = bead.escalation_mut() {
                escalation.acknowledged_at = Some(actor.now);
            }
        });
        let reason = Reason::new(
            ReasonCode::ByCommand,
            format!("acknowledged by {}", actor.name),
        );
        self.set_status(id, BeadStatus::Closed, &reason, "acknowledge", actor.now);
        self.close_requests_of(id, actor);
        if by_engine {
            self.acknowledged(&escalation, rig.as_ref(), actor.now);
        }
        Ok(Did::text(format!("escalation {id} is closed")))
    }

    /// Requests to judge an escalation that a person has taken note of are moot.
    fn close_requests_of(&mut self, escalation: &BeadId, actor: &Actor) {
        let requests: Vec<BeadId> = self
            .live_beads()
            .filter(|bead| match bead.work() {
                Some(Work::TriageRequest(request)) => {
                    request.escalation_id.as_ref() == Some(escalation)
                }
                _ => false,
            })
            .map(|bead| bead.id.clone())
            .collect();
        let reason = Reason::new(ReasonCode::TriageMoot, "a person took note");
        for id in requests {
            self.set_status(&id, BeadStatus::Closed, &reason, "acknowledge", actor.now);
        }
    }

    /// What waits for a person who takes note: a merge method, and branches that can't be created
    /// (spec 1.8, 3.5).
    fn acknowledged(&mut self, escalation: &Escalation, rig: Option<&RigId>, now: Timestamp) {
        let category = escalation.category.as_deref();
        if category == Some(ReasonCode::BranchFailed.as_str())
            && let Some(convoy) = &escalation.bead_id
        {
            self.retry_branches(convoy, None);
        }
        if category == Some(ReasonCode::MergeMethodImpossible.as_str()) {
            self.end_merge_method_impossible(rig, now);
        }
    }

    /// The condition ends: somebody did something about it. Without a rig, in all rigs.
    pub(super) fn end_merge_method_impossible(&mut self, rig: Option<&RigId>, now: Timestamp) {
        let kind = ConditionKind::MergeMethodImpossible;
        let subjects: Vec<ConditionSubject> = self
            .conditions()
            .filter(|condition| condition.kind == kind)
            .filter(|condition| match (&condition.subject, rig) {
                (ConditionSubject::Rig(of), Some(rig)) => of == rig,
                (ConditionSubject::Rig(_) | ConditionSubject::Town, None)
                | (ConditionSubject::Town, Some(_)) => true,
            })
            .map(|condition| condition.subject.clone())
            .collect();
        for subject in subjects {
            self.end_condition(kind, &subject, now);
        }
    }
}

/// The first line of a message, behind its category.
fn title_of(category: Option<&str>, message: &str) -> String {
    let line = message.trim().lines().next().unwrap_or_default();
    let line: String = line
        .chars()
        .filter(|c| !c.is_control())
        .take(TITLE_CHARACTERS)
        .collect();
    match category {
        Some(category) => format!("{category}: {line}"),
        None => line,
    }
}
