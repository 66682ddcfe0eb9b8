//! One pass over an unchanging state: what rules see, and what this pass has planned so far.

mod looks;
mod plan;
mod release;

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::{Cell, OnceCell, RefCell};
use core::time::Duration;

pub(crate) use self::plan::Plan;

use crate::action::{
    ActionKind, CreateBead, StopAgent, Subject, Tell, TransitionAgent, UnhookAgent,
};
use crate::agent::{Agent, AgentStatus};
use crate::bead::{Bead, BeadKind, CreatedBy};
use crate::condition::Condition;
use crate::config::Settings;
use crate::escalation::{Escalation, Severity};
use crate::green::{Green, green};
use crate::ids::{AgentId, BeadId, IdKind, NudgeId, RigId, engine_id};
use crate::policy::Policy;
use crate::reason::{Reason, ReasonCode};
use crate::time::Timestamp;
use crate::town::Town;
use crate::work::{TriageRequest, TriageType, Work};

/// Whether a deadline has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Due {
    /// It has.
    Now,
    /// It comes then.
    At(Timestamp),
}

impl Due {
    pub(crate) fn is_now(self) -> bool {
        self == Due::Now
    }
}

/// One evaluation of the rules over one unchanging state.
///
/// Every comparison of a time with `now` goes through [`Pass::reached`] and its kin, which record
/// each deadline that has not come: between `now` and the least of them no verdict can change, so
/// that the next wake-up is sound by construction (property P5).
pub(crate) struct Pass<'a> {
    pub(crate) town: &'a Town,
    pub(crate) now: Timestamp,
    settings: BTreeMap<RigId, Settings>,
    town_settings: Settings,
    /// The live beads and the agents in order: every rule walks over them.
    live_beads: Vec<&'a Bead>,
    agents: Vec<&'a Agent>,
    deadlines: RefCell<BTreeSet<Timestamp>>,
    plan: RefCell<Plan>,
    looks: OnceCell<looks::Looks>,
    greens: RefCell<BTreeMap<BeadId, Option<Rc<Green>>>>,
    sequence: Cell<u64>,
}

impl<'a> Pass<'a> {
    pub(crate) fn new(town: &'a Town, now: Timestamp) -> Self {
        Self {
            town,
            now,
            settings: town
                .rigs()
                .map(|rig| (rig.id.clone(), town.settings(Some(&rig.id))))
                .collect(),
            town_settings: town.settings(None),
            live_beads: town.live_beads().collect(),
            agents: town.agents_by_age().collect(),
            deadlines: RefCell::default(),
            plan: RefCell::new(Plan::of(town)),
            looks: OnceCell::new(),
            greens: RefCell::default(),
            sequence: Cell::new(town.state().sequence),
        }
    }

    pub(crate) fn policy(&self) -> &'a Policy {
        self.town.policy()
    }

    /// Live beads in the order in which rules see them.
    pub(crate) fn live_beads(&self) -> impl Iterator<Item = &'a Bead> {
        self.live_beads.iter().copied()
    }

    /// Agents in the order in which rules see them.
    pub(crate) fn agents_by_age(&self) -> impl Iterator<Item = &'a Agent> {
        self.agents.iter().copied()
    }

    /// The values in force for a rig; a bead without one uses the town's.
    pub(crate) fn settings(&self, rig: Option<&RigId>) -> &Settings {
        rig.and_then(|id| self.settings.get(id))
            .unwrap_or(&self.town_settings)
    }

    /// The values in force for an MR bead: those of its rig, known or inferred.
    pub(crate) fn review_settings(&self, mr: &Bead) -> &Settings {
        self.settings(self.town.rig_of_review(mr).map(|rig| &rig.id))
    }

    /// The verdict on a live review of a pull request; more than one rule asks for it.
    pub(crate) fn green(&self, mr: &Bead) -> Option<Rc<Green>> {
        if let Some(known) = self.greens.borrow().get(&mr.id) {
            return known.clone();
        }
        let judged = green(self.town, mr, self.review_settings(mr)).map(Rc::new);
        self.greens
            .borrow_mut()
            .insert(mr.id.clone(), judged.clone());
        judged
    }

    // ---- time ----

    /// Whether `deadline` has come. One beyond the last time that can be written never comes: else
    /// what happened just now would be stale at the end of time, and the town would not rest.
    pub(crate) fn reached(&self, deadline: Timestamp) -> Due {
        if deadline <= self.now && deadline < Timestamp::MAX {
            return Due::Now;
        }
        if deadline > self.now {
            self.deadlines.borrow_mut().insert(deadline);
        }
        Due::At(deadline)
    }

    /// Whether something of `since` is strictly older than `threshold` (spec 1.10).
    pub(crate) fn stale(&self, since: Timestamp, threshold: Duration) -> Due {
        self.reached(since.stale_at(threshold))
    }

    /// As [`Self::stale`], for silence: it counts from the end of the last observation gap at the
    /// earliest (spec 1.8).
    pub(crate) fn silent(&self, since: Timestamp, threshold: Duration) -> Due {
        self.stale(self.town.judged_since(since), threshold)
    }

    /// The first deadline that some comparison of this pass waits for.
    pub(crate) fn first_deadline(&self) -> Option<Timestamp> {
        self.deadlines.borrow().first().copied()
    }

    /// Whether an agent is *fresh*: hooked, and working or stalled, or heard of within
    /// heartbeat_timeout (spec 3). One that the host gave up is not, however lately it spoke.
    pub(crate) fn is_fresh(&self, agent: &Agent) -> bool {
        agent.hook.is_some()
            && agent.status != AgentStatus::Dead
            && (agent.status.is_running()
                || !self
                    .silent(
                        agent.last_activity_at.unwrap_or(agent.created_at),
                        self.policy().heartbeat_timeout,
                    )
                    .is_now())
    }

    /// Since when the backoff of a bead is over, or when it will be.
    ///
    /// What was tried under a condition is tried again as slowly as the forge is asked: a start that fails under
    /// one gives the attempt back and is none of the breaker's, so that nothing else would keep its line of
    /// work from being spent within minutes of an outage.
    pub(crate) fn backoff(&self, bead: &Bead) -> Due {
        let Some(at) = bead.last_dispatch_attempt_at else {
            return Due::Now;
        };
        let rig = (self.town.rig_of(bead)).or_else(|| self.town.rig_of_review(bead));
        let policy = self.policy();
        // One that began in a time to come was noted by a clock that has been set back since.
        let was_there = |condition: &&Condition| {
            condition.since <= at || matches!(self.reached(condition.since), Due::At(_))
        };
        let pauses = (self.town.conditions_around(rig.map(|rig| &rig.id)))
            .filter(was_there)
            .map(|condition| policy.forge_pause(condition.strikes));
        let backoff = policy.backoff(bead.dispatch_attempts);
        self.stale(at, pauses.fold(backoff, Duration::max))
    }

    /// Whether the attempts of a bead are at the cap of its rig, or of the town without one.
    pub(crate) fn attempts_spent(&self, bead: &Bead) -> bool {
        let settings = self.settings(bead.rig_id.as_ref());
        settings.attempts_spent(bead.dispatch_attempts)
    }

    // ---- the plan of this pass ----

    /// Whether nothing decided so far in this pass changes the agent.
    pub(crate) fn agent_is_unclaimed(&self, id: &AgentId) -> bool {
        !self.plan.borrow().is_claimed(&Subject::Agent(id.clone()))
    }

    /// Reads what this pass has planned.
    pub(crate) fn planned<R>(&self, read: impl FnOnce(&Plan) -> R) -> R {
        read(&self.plan.borrow())
    }

    /// Who may look at pull requests while looks are scarce.
    pub(crate) fn looks(&self) -> &looks::Looks {
        self.looks.get_or_init(|| looks::Looks::of(self))
    }

    /// Takes the actions of a rule into the plan unless an earlier rule has changed one of their
    /// subjects; says whether they were taken.
    pub(crate) fn accept(&self, actions: &[ActionKind]) -> bool {
        self.plan.borrow_mut().accept(actions, self.town)
    }

    // ---- new identifiers ----

    fn next_id(&self, kind: IdKind) -> String {
        // As [`Town::next_bead_id`] does: after the last number comes the first that is free.
        let next = self.sequence.get().checked_add(1).unwrap_or(0);
        self.sequence.set(next);
        engine_id(self.town.id(), kind, next)
    }

    pub(crate) fn new_bead_id(&self, kind: IdKind) -> BeadId {
        loop {
            // The text is always valid; a foreign bead may hold the name already.
            if let Ok(id) = BeadId::new(self.next_id(kind))
                && self.town.bead(&id).is_none()
            {
                return id;
            }
        }
    }

    pub(crate) fn new_agent_id(&self) -> AgentId {
        loop {
            if let Ok(id) = AgentId::new(self.next_id(IdKind::Agent))
                && self.town.agent(&id).is_none()
            {
                return id;
            }
        }
    }

    pub(crate) fn new_nudge_id(&self) -> NudgeId {
        loop {
            if let Ok(id) = NudgeId::new(self.next_id(IdKind::Nudge))
                && self.town.nudge(&id).is_none()
            {
                return id;
            }
        }
    }

    // ---- what several rules do alike ----

    /// *Tell once*: unless told already, one escalation of severity high about `bead`, recorded
    /// in its `told` (spec 3). Empty when it was told.
    pub(crate) fn tell_once(
        &self,
        bead: &Bead,
        category: ReasonCode,
        message: impl Into<String>,
    ) -> Vec<ActionKind> {
        if bead.told.contains_key(&category) {
            return Vec::new();
        }
        let tell = |escalation_id: BeadId| {
            let bead_id = bead.id.clone();
            Tell {
                bead_id,
                category,
                escalation_id,
            }
        };
        let message = message.into();
        if let Some(said) = (self.town).still_said(&bead.id, category, &message, self.now) {
            return alloc::vec![tell(said.clone()).into()];
        }
        let escalation = self.escalation(
            Severity::High,
            category.as_str(),
            format!("{}: {}", category.as_str().replace('_', " "), bead.title),
            message,
            Some(bead),
        );
        let escalation_id = escalation.id.clone();
        alloc::vec![
            CreateBead {
                bead_id: escalation_id.clone(),
                bead: escalation.into()
            }
            .into(),
            tell(escalation_id).into(),
        ]
    }

    /// A new escalation made by a rule.
    pub(crate) fn escalation(
        &self,
        severity: Severity,
        category: &str,
        title: String,
        message: String,
        about: Option<&Bead>,
    ) -> Bead {
        let kind = BeadKind::Escalation(Escalation {
            severity,
            category: Some(category.into()),
            acknowledged_at: None,
            re_escalations: 0,
            notified_at: None,
            bead_id: about.map(|bead| bead.id.clone()),
            convoy_id: about
                .and_then(|b| self.town.convoy_around(&b.id))
                .map(|c| c.id.clone()),
        });
        let mut bead = Bead::new(self.new_bead_id(IdKind::Escalation), kind, title, self.now);
        bead.body = Some(message);
        bead.priority = severity.priority();
        bead.created_by = Some(CreatedBy::System);
        bead.rig_id = about.and_then(|bead| bead.rig_id.clone());
        bead.root = about.map(|bead| bead.lineage().clone());
        bead
    }

    /// A new triage request about an agent, unless one of this type is open for it or too many
    /// are open (spec 3.8).
    pub(crate) fn triage_request(
        &self,
        triage_type: TriageType,
        agent: &Agent,
        message: String,
    ) -> Option<ActionKind> {
        let same = self.town.live_beads().any(|bead| match bead.work() {
            Some(Work::TriageRequest(request)) => {
                request.triage_type == triage_type && request.agent_id.as_ref() == Some(&agent.id)
            }
            _ => false,
        });
        let full = triage_type != TriageType::Escalation
            && self.planned(Plan::triage_requests) >= self.policy().max_open_triage_requests;
        if same || full {
            return None;
        }
        let request = TriageRequest {
            triage_type,
            agent_id: Some(agent.id.clone()),
            hooked_bead_id: agent.hook.clone(),
            session: Some(agent.session),
            options: triage_options(),
            ..TriageRequest::default()
        };
        let title = format!("{}: {}", triage_type.as_str().replace('_', " "), agent.name);
        let id = self.new_bead_id(IdKind::Bead);
        let mut bead = Bead::new(
            id.clone(),
            BeadKind::Issue(Work::TriageRequest(request)),
            title,
            self.now,
        );
        bead.body = Some(message);
        bead.rig_id = agent.rig_id.clone();
        bead.created_by = Some(CreatedBy::Patrol);
        bead.root = agent
            .hook
            .as_ref()
            .and_then(|hook| self.town.bead(hook))
            .map(|hooked| hooked.lineage().clone());
        Some(
            CreateBead {
                bead_id: id,
                bead: bead.into(),
            }
            .into(),
        )
    }

    /// Stops an agent's session and makes it idle; nothing for one that does not run.
    pub(crate) fn stop_and_idle(agent: &Agent, reason: &Reason) -> Vec<ActionKind> {
        let mut actions = Vec::new();
        if agent.status.is_running() || agent.status == AgentStatus::Waiting {
            actions.push(Self::stop(agent, reason));
            actions.push(Self::to_idle(agent, reason));
        }
        actions
    }

    pub(crate) fn stop(agent: &Agent, reason: &Reason) -> ActionKind {
        StopAgent {
            agent_id: agent.id.clone(),
            session: agent.session,
            reason: reason.clone(),
        }
        .into()
    }

    pub(crate) fn to_idle(agent: &Agent, reason: &Reason) -> ActionKind {
        TransitionAgent {
            agent_id: agent.id.clone(),
            from: agent.status,
            to: AgentStatus::Idle,
            reason: reason.clone(),
        }
        .into()
    }

    /// Detaches an agent from its hook; nothing for one without.
    pub(crate) fn unhook(agent: &Agent, reason: &Reason) -> Option<ActionKind> {
        let bead_id = agent.hook.clone()?;
        Some(
            UnhookAgent {
                agent_id: agent.id.clone(),
                bead_id,
                reason: reason.clone(),
            }
            .into(),
        )
    }
}

/// What the triage agent may answer (spec 3.8).
pub(crate) fn triage_options() -> Vec<String> {
    [
        "RESTART",
        "RESTART_WITH_BACKOFF",
        "CLOSE_BEAD",
        "REASSIGN_BEAD",
        "NUDGE",
        "ESCALATE_TO_MAYOR",
        "PROVIDE_GUIDANCE",
        "DISCARD",
    ]
    .map(String::from)
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{at, town};

    #[test]
    fn p3_nothing_is_stale_at_once_at_the_end_of_time() {
        let town = town("rig r1");
        let minute = Duration::from_secs(60);
        let last = Pass::new(&town, Timestamp::MAX);
        assert_eq!(last.stale(Timestamp::MAX, minute), Due::At(Timestamp::MAX));
        assert_eq!(last.first_deadline(), None, "no wake-up comes after it");
        assert_eq!(last.stale(at("0s"), minute), Due::Now);
        let before = Pass::new(&town, at("0s"));
        assert_eq!(before.stale(at("-1m"), minute), Due::At(at("1ms")));
        assert_eq!(before.stale(at("-60001ms"), minute), Due::Now);
    }

    /// P12: a foreign snapshot may hold the last number; after it comes the first that is free.
    #[test]
    fn p12_identifiers_go_on_after_the_last_number() {
        let town = "
            town sequence=18446744073709551615
            rig r1
            bead b1 issue open rig_id=r1 dispatch_attempts=5
            bead b2 issue open rig_id=r1 dispatch_attempts=5
        ";
        let settled = crate::testing::settled(town, "0s");
        assert!(
            settled.contains("t1-e0") && settled.contains("t1-e1"),
            "{settled}"
        );
    }
}
