//! What a pass has decided so far: subjects that are taken, and capacity that is used up.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;

use crate::action::{ActionKind, Subject};
use crate::agent::Role;
use crate::bead::{Bead, BeadStatus};
use crate::ids::{BeadId, RigId};
use crate::town::Town;
use crate::work::{TriageType, Work};

/// The plan of one pass. Capacity counts what the state holds and what the pass adds, so that no
/// two decisions of a pass want the same thing.
#[derive(Debug, Clone, Default)]
pub(crate) struct Plan {
    claimed: BTreeSet<Subject>,
    polecats: BTreeMap<RigId, u32>,
    direct_merges: BTreeMap<RigId, BeadId>,
    /// Of each MR bead under repair, the repair.
    repairs_in_progress: BTreeMap<BeadId, BeadId>,
    new_refineries: BTreeSet<RigId>,
    new_names: BTreeSet<String>,
    new_identities: BTreeSet<String>,
    triage_requests: u32,
    /// Dispatches of this pass, by line of work.
    dispatches: BTreeMap<BeadId, u32>,
}

impl Plan {
    /// The capacity that the state uses up already.
    pub(crate) fn of(town: &Town) -> Self {
        let mut plan = Self::default();
        for agent in town.agents() {
            if let (Role::Polecat, Some(rig), Some(_)) = (agent.role, &agent.rig_id, &agent.hook) {
                plan.add_polecat(rig);
            }
        }
        for bead in town.live_beads() {
            if is_counted_request(bead) {
                plan.triage_requests = plan.triage_requests.saturating_add(1);
            }
            if bead.status == BeadStatus::InProgress {
                plan.begin(bead, town);
            }
        }
        plan
    }

    fn add_polecat(&mut self, rig: &RigId) {
        let count = self.polecats.entry(rig.clone()).or_default();
        *count = count.saturating_add(1);
    }

    /// A bead is, or goes, in progress: what it takes from others.
    fn begin(&mut self, bead: &Bead, town: &Town) {
        if let Some(mr) = town.repaired_mr(bead) {
            self.repairs_in_progress
                .entry(mr.clone())
                .or_insert_with(|| bead.id.clone());
        }
        if bead.review().is_some_and(|review| review.pr_url.is_none())
            && let Some(rig) = town.rig_of_review(bead)
        {
            self.direct_merges
                .entry(rig.id.clone())
                .or_insert_with(|| bead.id.clone());
        }
    }

    pub(crate) fn is_claimed(&self, subject: &Subject) -> bool {
        self.claimed.contains(subject)
    }

    /// Whether any subject of any action is taken already.
    fn collides(&self, actions: &[ActionKind]) -> bool {
        actions
            .iter()
            .flat_map(ActionKind::subjects)
            .any(|subject| self.is_claimed(&subject))
    }

    /// Takes `actions` unless one of their subjects is taken; says whether it did.
    pub(crate) fn accept(&mut self, actions: &[ActionKind], town: &Town) -> bool {
        if self.collides(actions) || self.overspends(actions, town) {
            return false;
        }
        for bead in paid_dispatches(actions, town) {
            let count = self.dispatches.entry(bead.lineage().clone()).or_default();
            *count = count.saturating_add(1);
        }
        for action in actions {
            self.claimed.extend(action.subjects());
            self.count(action, town);
        }
        true
    }

    /// Whether this pass has taken the last dispatches of a line of work already: two beads of one
    /// line don't share the last one (spec 3.6, P15).
    fn overspends(&self, actions: &[ActionKind], town: &Town) -> bool {
        paid_dispatches(actions, town).any(|bead| {
            let planned = self.dispatches.get(bead.lineage()).copied();
            planned.is_some_and(|planned| planned >= town.dispatches_left(bead))
        })
    }

    fn count(&mut self, action: &ActionKind, town: &Town) {
        // Its nudges go with an agent.
        if let ActionKind::DeleteAgent(deleted) = action {
            let nudges = town.nudges().filter(|n| n.agent_id == deleted.agent_id);
            self.claimed
                .extend(nudges.map(|nudge| Subject::Nudge(nudge.id.clone())));
        }
        if let ActionKind::CreateAgent(made) = action {
            self.new_names.insert(made.name.clone());
            self.new_identities.insert(made.identity.clone());
            if let (Role::Refinery, Some(rig)) = (made.role, &made.rig_id) {
                self.new_refineries.insert(rig.clone());
            }
        }
        if let ActionKind::DispatchAgent(dispatch) = action
            && let Some(bead) = town.bead(&dispatch.bead_id)
        {
            let hooked = town
                .agent(&dispatch.agent_id)
                .is_some_and(|agent| agent.hook.is_some());
            if bead.work().is_some() && !hooked {
                self.add_polecat(&dispatch.rig_id);
            }
            self.begin(bead, town);
        }
        if let ActionKind::CreateBead(made) = action
            && is_counted_request(&made.bead)
        {
            self.triage_requests = self.triage_requests.saturating_add(1);
        }
        // The request notes on the agent that it was made: nothing else is decided on it now.
        if let ActionKind::CreateBead(made) = action
            && let Some(Work::TriageRequest(request)) = made.bead.work()
            && request.triage_type == TriageType::CrashLoop
            && let Some(agent) = &request.agent_id
        {
            self.claimed.insert(Subject::Agent(agent.clone()));
        }
    }

    /// Polecats of a rig that hold a bead, or will.
    pub(crate) fn polecats(&self, rig: &RigId) -> u32 {
        self.polecats.get(rig).copied().unwrap_or(0)
    }

    /// The direct merge of the rig that is under way, or will be.
    pub(crate) fn direct_merge_of(&self, rig: &RigId) -> Option<&BeadId> {
        self.direct_merges.get(rig)
    }

    /// The repair of the MR bead that is in progress, or will be.
    pub(crate) fn repair_of(&self, mr: &BeadId) -> Option<&BeadId> {
        self.repairs_in_progress.get(mr)
    }

    /// Whether this pass makes a refinery for the rig.
    pub(crate) fn makes_refinery(&self, rig: &RigId) -> bool {
        self.new_refineries.contains(rig)
    }

    /// Names that this pass gives.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.new_names.iter().map(String::as_str)
    }

    /// Whether this pass gives this identity.
    pub(crate) fn gives_identity(&self, identity: &str) -> bool {
        self.new_identities.contains(identity)
    }

    /// Open triage requests that count towards the limit.
    pub(crate) fn triage_requests(&self) -> u32 {
        self.triage_requests
    }
}

/// The beads that are dispatched at the cost of their line of work: a probe costs it nothing.
fn paid_dispatches<'a>(
    actions: &'a [ActionKind],
    town: &'a Town,
) -> impl Iterator<Item = &'a Bead> {
    let probes = actions
        .iter()
        .any(|action| matches!(action, ActionKind::ProbeBreaker(_)));
    actions.iter().filter_map(move |action| {
        if let ActionKind::DispatchAgent(dispatch) = action
            && !probes
        {
            town.bead(&dispatch.bead_id)
        } else {
            None
        }
    })
}

fn is_counted_request(bead: &Bead) -> bool {
    match bead.work() {
        Some(Work::TriageRequest(request)) => request.triage_type != TriageType::Escalation,
        _ => false,
    }
}
