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
                .and_then(|id| self.convoy_around(id))
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

#[cfg(test)]
mod tests {
    use crate::testing::executes;

    const TOWN: &str = r#"
        rig r1
        agent a1 polecat working rig_id=r1 hook=b1 session=2
        agent a2 polecat working rig_id=r1 hook=t1 session=1
        bead b1 issue in_progress rig_id=r1
        bead c1 convoy open
        edge b1 tracks c1
        bead t1 issue in_progress rig_id=r1 created_by=patrol labels=["gt:triage"]
    "#;

    #[test]
    fn escalate_makes_an_escalation_and_a_request_and_adds_to_a_live_one() {
        insta::assert_snapshot!(executes(TOWN, r#"
            {"type": "escalate", "caller": {"kind": "agent", "id": "a1"}, "severity": "medium", "category": "stuck", "message": "The tests need a key.\nWhich one?", "metadata": {"k": 1}}
            {"type": "escalate", "caller": {"kind": "agent", "id": "a1"}, "severity": "critical", "category": "stuck", "message": "Still."}
            {"type": "escalate", "caller": {"kind": "agent", "id": "a1"}, "severity": "low", "category": "stuck", "message": "Still!"}
        "#), @r#"
        escalate [t1-e1 t1-b2]: made escalation t1-e1
          t1-b2.body: - → "The tests need a key.\nWhich one?"
          t1-b2.created_by: - → "a1"
          t1-b2.labels: - → ["gt:triage-request"]
          t1-b2.metadata.agent_id: - → "a1"
          t1-b2.metadata.escalation_id: - → "t1-e1"
          t1-b2.metadata.hooked_bead_id: - → "b1"
          t1-b2.metadata.options: - → ["RESTART","RESTART_WITH_BACKOFF","CLOSE_BEAD","REASSIGN_BEAD","NUDGE","ESCALATE_TO_MAYOR","PROVIDE_GUIDANCE","DISCARD"]
          t1-b2.metadata.session: - → 2
          t1-b2.metadata.triage_type: - → "escalation"
          t1-b2.priority: - → "medium"
          t1-b2.rig_id: - → "r1"
          t1-b2.root: - → "b1"
          t1-b2.status: - → "open"
          t1-b2.title: - → "escalation: stuck: The tests need a key."
          t1-b2.type: - → "issue"
          t1-e1.body: - → "The tests need a key.\nWhich one?"
          t1-e1.created_by: - → "a1"
          t1-e1.escalation.category: - → "stuck"
          t1-e1.escalation.convoy_id: - → "c1"
          t1-e1.escalation.severity: - → "medium"
          t1-e1.labels: - → ["gt:escalation","severity:medium"]
          t1-e1.metadata.k: - → 1
          t1-e1.priority: - → "medium"
          t1-e1.rig_id: - → "r1"
          t1-e1.root: - → "b1"
          t1-e1.status: - → "open"
          t1-e1.title: - → "stuck: The tests need a key."
          t1-e1.type: - → "escalation"
        escalate []: added to escalation t1-e1
          t1-e1.body: "The tests need a key.\nWhich one?" → "The tests need a key.\nWhich one?\n\nStill."
          t1-e1.escalation.severity: "medium" → "critical"
          t1-e1.labels: ["gt:escalation","severity:medium"] → ["gt:escalation","severity:critical"]
          t1-e1.priority: "medium" → "critical"
        escalate []: added to escalation t1-e1
          t1-e1.body: "The tests need a key.\nWhich one?\n\nStill." → "The tests need a key.\nWhich one?\n\nStill.\n\nStill!"
        "#);
    }

    #[test]
    fn escalate_of_a_refinery_is_about_the_convoy_of_the_source() {
        let town = "
            rig r1
            agent a1 refinery working rig_id=r1 hook=m1 session=1
            bead c1 convoy open
            bead b1 issue in_review rig_id=r1
            bead m1 merge_request in_progress rig_id=r1 assignee=a1 review.source=b1
            edge b1 tracks c1
            edge m1 tracks b1
        ";
        let escalate = r#"{"type": "escalate", "caller": {"kind": "agent", "id": "a1"}, "severity": "high", "message": "help"}"#;
        let done = executes(town, escalate);
        assert!(done.contains(r#"hooked_bead_id: - → "m1""#), "{done}");
        assert!(done.contains(r#"escalation.convoy_id: - → "c1""#), "{done}");
    }

    #[test]
    fn escalate_by_the_triage_agent_makes_no_request() {
        insta::assert_snapshot!(executes(TOWN, r#"
            {"type": "escalate", "caller": {"kind": "agent", "id": "a2"}, "severity": "high", "message": "Look at this."}
        "#), @r#"
        escalate [t1-e1]: made escalation t1-e1
          t1-e1.body: - → "Look at this."
          t1-e1.created_by: - → "a2"
          t1-e1.escalation.severity: - → "high"
          t1-e1.labels: - → ["gt:escalation","severity:high"]
          t1-e1.priority: - → "high"
          t1-e1.rig_id: - → "r1"
          t1-e1.root: - → "t1"
          t1-e1.status: - → "open"
          t1-e1.title: - → "Look at this."
          t1-e1.type: - → "escalation"
        "#);
    }

    #[test]
    fn escalations_of_people_are_about_no_bead() {
        insta::assert_snapshot!(executes(TOWN, r#"
            {"type": "escalate", "caller": {"kind": "user", "id": "ann"}, "severity": "low", "message": "Odd."}
            {"type": "escalate", "caller": {"kind": "user", "id": "bob"}, "severity": "low", "message": "Odd too."}
            {"type": "escalate", "caller": {"kind": "user", "id": "ann"}, "severity": "low", "message": "Odder."}
        "#), @r#"
        escalate [t1-e1 t1-b2]: made escalation t1-e1
          t1-b2.body: - → "Odd."
          t1-b2.created_by: - → "ann"
          t1-b2.labels: - → ["gt:triage-request"]
          t1-b2.metadata.escalation_id: - → "t1-e1"
          t1-b2.metadata.options: - → ["RESTART","RESTART_WITH_BACKOFF","CLOSE_BEAD","REASSIGN_BEAD","NUDGE","ESCALATE_TO_MAYOR","PROVIDE_GUIDANCE","DISCARD"]
          t1-b2.metadata.triage_type: - → "escalation"
          t1-b2.priority: - → "medium"
          t1-b2.root: - → "t1-e1"
          t1-b2.status: - → "open"
          t1-b2.title: - → "escalation: Odd."
          t1-b2.type: - → "issue"
          t1-e1.body: - → "Odd."
          t1-e1.created_by: - → "ann"
          t1-e1.escalation.severity: - → "low"
          t1-e1.labels: - → ["gt:escalation","severity:low"]
          t1-e1.priority: - → "low"
          t1-e1.status: - → "open"
          t1-e1.title: - → "Odd."
          t1-e1.type: - → "escalation"
        escalate [t1-e3 t1-b4]: made escalation t1-e3
          t1-b4.body: - → "Odd too."
          t1-b4.created_by: - → "bob"
          t1-b4.labels: - → ["gt:triage-request"]
          t1-b4.metadata.escalation_id: - → "t1-e3"
          t1-b4.metadata.options: - → ["RESTART","RESTART_WITH_BACKOFF","CLOSE_BEAD","REASSIGN_BEAD","NUDGE","ESCALATE_TO_MAYOR","PROVIDE_GUIDANCE","DISCARD"]
          t1-b4.metadata.triage_type: - → "escalation"
          t1-b4.priority: - → "medium"
          t1-b4.root: - → "t1-e3"
          t1-b4.status: - → "open"
          t1-b4.title: - → "escalation: Odd too."
          t1-b4.type: - → "issue"
          t1-e3.body: - → "Odd too."
          t1-e3.created_by: - → "bob"
          t1-e3.escalation.severity: - → "low"
          t1-e3.labels: - → ["gt:escalation","severity:low"]
          t1-e3.priority: - → "low"
          t1-e3.status: - → "open"
          t1-e3.title: - → "Odd too."
          t1-e3.type: - → "escalation"
        escalate []: added to escalation t1-e1
          t1-e1.body: "Odd." → "Odd.\n\nOdder."
        "#);
    }

    const TOLD: &str = r#"
        town conditions=[{"kind":"merge_method_impossible","subject":{"kind":"rig","id":"r1"},"since":"2026-04-04T10:00:00Z","told_at":"2026-04-04T10:00:00Z"}]
        rig r1
        bead c1 convoy open told.branch_failed=-1h convoy.feature_branch=x/head convoy.branches={"r1":{"state":"failed","tries":10}}
        bead e1 escalation open created_by=system escalation.category=branch_failed escalation.bead_id=c1
        bead e2 escalation open created_by=system escalation.category=merge_method_impossible
        bead q1 issue open labels=["gt:triage-request"] metadata.escalation_id=e1
        bead b1 issue open rig_id=r1
    "#;

    #[test]
    fn acknowledge_closes_once_and_lets_what_waited_for_it_go_on() {
        insta::assert_snapshot!(executes(TOLD, r#"
            {"type": "acknowledge", "caller": {"kind": "mayor"}, "escalation_id": "e1"}
            {"type": "acknowledge", "caller": {"kind": "mayor"}, "escalation_id": "e1"}
            {"type": "acknowledge", "caller": {"kind": "user", "id": "ann"}, "escalation_id": "e2"}
            {"type": "acknowledge", "caller": {"kind": "user", "id": "ann"}, "escalation_id": "b1"}
        "#), @r#"
        acknowledge []: escalation e1 is closed
          c1.convoy.branches.r1.forgiven: - → 10
          c1.told.branch_failed: "2026-04-04T11:00:00.000Z" → -
          e1.escalation.acknowledged_at: - → "2026-04-04T12:00:00.000Z"
          e1.status: "open" → "closed"
          q1.status: "open" → "closed"
        acknowledge []: the escalation was closed already
        acknowledge []: escalation e2 is closed
          e2.escalation.acknowledged_at: - → "2026-04-04T12:00:00.000Z"
          e2.status: "open" → "closed"
          town.conditions: [{"evidence":"","kind":"merge_method_impossible","next_probe_at":null,"since":"2026-04-04T10:00:00.000Z","strikes":0,"subject":{"id":"r1","kind":"rig"},"told_at":"2026-04-04T10:00:00.000Z","tried":[],"until":null}] → [{"ended_at":"2026-04-04T12:00:00.000Z","evidence":"","kind":"merge_method_impossible","next_probe_at":null,"since":"2026-04-04T10:00:00.000Z","strikes":0,"subject":{"id":"r1","kind":"rig"},"told_at":"2026-04-04T10:00:00.000Z","tried":[],"until":null}]
        refused Invalid: escalation_id: "b1" is no escalation
        "#);
    }
}
