//! What agents need to know at their start (spec 6.6).

mod fit;

use alloc::string::String;
use alloc::vec::Vec;

use serde::Serialize;
use serde_json::Value;

use crate::agent::Role;
use crate::agent_runtime::{SessionId, StartRequest};
use crate::bead::{Bead, BeadKind, BeadStatus, Priority};
use crate::config::{MergeStrategy, ReviewMode};
use crate::effect::StartAgent;
use crate::ids::{AgentId, BeadId, RigId, TownId};
use crate::prompts::{of_role, prompt_for};
use crate::review::Review;
use crate::rig::Rig;
use crate::time::Timestamp;
use crate::town::Town;
use crate::work::{TriageType, Work};

/// Open beads of its rig that an agent is told of (spec 6.6).
const OPEN_BEADS_MAX: usize = 20;
/// Messages that an agent is given at its start; `gt_mail_check` has them all.
const MAIL_MAX: usize = 20;
/// How much of a message it is given, in characters.
const MAIL_CHARACTERS_MAX: usize = 2_000;
/// Triage requests that a batch is given.
const TRIAGE_REQUESTS_MAX: usize = 50;

/// What an agent needs to know at its start.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Prime {
    /// The town.
    pub town_id: TownId,
    /// Itself.
    pub agent: PrimedAgent,
    /// The bead that it is hooked to.
    pub bead: Option<Bead>,
    /// The branch that it works on.
    pub branch: Option<String>,
    /// The branch that its work goes to.
    pub target_branch: Option<String>,
    /// Mail that it has not read.
    pub mail: Vec<PrimedMail>,
    /// Open beads of its rig; of the town, for a mayor.
    pub open_beads: Vec<OpenBead>,
    /// What it wanted to know at this start.
    pub checkpoint: Option<Value>,
    /// The steps of its bead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub molecule: Option<MoleculeContext>,
    /// What is special about its bead: one at most.
    #[serde(flatten)]
    pub situation: Option<Situation>,
}

/// An agent as it sees itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PrimedAgent {
    /// Its identifier.
    pub id: AgentId,
    /// What it does.
    pub role: Role,
    /// What people call it.
    pub name: String,
    /// Its unique identity.
    pub identity: String,
    /// Its rig.
    pub rig_id: Option<RigId>,
    /// Its session.
    pub session: u64,
}

/// A message that has not been read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PrimedMail {
    /// The message bead.
    pub id: BeadId,
    /// Who sent it.
    pub from: Option<String>,
    /// One line.
    pub subject: String,
    /// The text, perhaps cut.
    pub body: String,
    /// When it was sent.
    pub at: Timestamp,
}

/// An open bead, in short.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OpenBead {
    /// The bead.
    pub id: BeadId,
    /// One line.
    pub title: String,
    /// How urgent it is.
    pub priority: Priority,
}

/// The steps of a bead.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MoleculeContext {
    /// The molecule.
    pub molecule_id: BeadId,
    /// The first step that is not closed.
    pub current_step: Option<BeadId>,
    /// All steps, in order.
    pub steps: Vec<StepContext>,
}

/// One step of a molecule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StepContext {
    /// The step.
    pub id: BeadId,
    /// One line.
    pub title: String,
    /// All that it says.
    pub body: Option<String>,
    /// Whether it is done.
    pub closed: bool,
}

/// What is special about a bead.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub enum Situation {
    /// The refinery asked for changes.
    #[serde(rename = "rework_context")]
    Rework(ReworkContext),
    /// A pull request has to be repaired.
    #[serde(rename = "pr_fixup_context")]
    PrFixup(PrFixupContext),
    /// A pull request has conflicts.
    #[serde(rename = "pr_conflict_context")]
    PrConflict(PrConflictContext),
    /// A merge request has to be reviewed.
    #[serde(rename = "review_context")]
    Review(ReviewContext),
    /// Triage requests have to be judged.
    #[serde(rename = "triage_context")]
    Triage(TriageContext),
}

/// The refinery asked for changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReworkContext {
    /// What has to change.
    pub feedback: String,
    /// The branch to change.
    pub branch: Option<String>,
    /// Where it goes.
    pub target_branch: Option<String>,
    /// The files meant.
    pub files: Vec<String>,
    /// The title of the work under review.
    pub original_title: Option<String>,
    /// The merge request.
    pub mr_bead_id: Option<BeadId>,
}

/// A pull request has to be repaired.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PrFixupContext {
    /// The pull request.
    pub pr_url: Option<String>,
    /// The branch to repair.
    pub branch: Option<String>,
    /// Where it goes.
    pub target_branch: Option<String>,
}

/// A pull request has conflicts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PrConflictContext {
    /// The pull request.
    pub pr_url: Option<String>,
    /// The branch to repair.
    pub branch: Option<String>,
    /// What it conflicts with.
    pub target_branch: Option<String>,
    /// Whether there is feedback to settle too.
    pub has_feedback: bool,
}

/// A merge request has to be reviewed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReviewContext {
    /// The merge request.
    pub mr_bead_id: BeadId,
    /// The bead whose work it is.
    pub source_bead_id: BeadId,
    /// What was asked for, in one line.
    pub original_title: Option<String>,
    /// What was asked for.
    pub original_body: Option<String>,
    /// The pull request.
    pub pr_url: Option<String>,
    /// The branch under review.
    pub branch: String,
    /// Where it goes.
    pub target_branch: String,
    /// How to tell what is wrong.
    pub review_mode: ReviewMode,
    /// Commands that must pass.
    pub gates: Vec<String>,
    /// Whether the refinery merges it itself.
    pub is_direct: bool,
    /// Whether it lands a convoy.
    pub lands_convoy: bool,
    /// The convoy, and how far it is.
    pub convoy: Option<ConvoyPosition>,
}

/// A convoy, and how far it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ConvoyPosition {
    /// The convoy.
    pub convoy_id: BeadId,
    /// One line.
    pub title: String,
    /// Its issues that are terminal.
    pub closed: u32,
    /// Its issues.
    pub total: u32,
}

/// Triage requests have to be judged.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TriageContext {
    /// The open requests.
    pub requests: Vec<RequestContext>,
}

/// One triage request.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RequestContext {
    /// The request.
    pub request_id: BeadId,
    /// What it asks.
    pub triage_type: TriageType,
    /// One line.
    pub title: String,
    /// The whole text.
    pub body: Option<String>,
    /// The agent meant.
    pub agent_id: Option<AgentId>,
    /// The bead that the agent was on.
    pub bead_id: Option<BeadId>,
    /// The actions offered.
    pub options: Vec<String>,
}

impl RequestContext {
    pub(crate) fn text(&self) -> &str {
        self.body.as_deref().unwrap_or(&self.title)
    }
}

/// What an agent needs to know at its start; none when there is no such agent.
#[must_use]
pub fn prime(town: &Town, agent_id: &AgentId) -> Option<Prime> {
    let agent = town.agent(agent_id)?;
    let bead = agent.hook.as_ref().and_then(|hook| town.bead(hook));
    let rig = agent.rig_id.as_ref().and_then(|id| town.rig(id));
    Some(Prime {
        town_id: town.id().clone(),
        agent: PrimedAgent {
            id: agent.id.clone(),
            role: agent.role,
            name: agent.name.clone(),
            identity: agent.identity.clone(),
            rig_id: agent.rig_id.clone(),
            session: agent.session,
        },
        bead: bead.cloned(),
        branch: bead.map(|bead| town.session_branch(agent, bead)),
        target_branch: bead
            .zip(rig)
            .map(|(bead, rig)| town.session_target(bead, rig)),
        mail: town
            .unread_mail(&agent.id)
            .take(MAIL_MAX)
            .filter_map(primed_mail)
            .collect(),
        open_beads: open_beads(town, agent.rig_id.as_ref()),
        checkpoint: agent.checkpoint.clone(),
        molecule: bead.and_then(|bead| molecule_context(town, bead)),
        situation: bead.and_then(|bead| situation(town, bead)),
    })
}

fn primed_mail(bead: &Bead) -> Option<PrimedMail> {
    let BeadKind::Message(mail) = &bead.kind else {
        return None;
    };
    let body = bead.body.as_deref().unwrap_or("");
    Some(PrimedMail {
        id: bead.id.clone(),
        from: mail.from.clone(),
        subject: bead.title.clone(),
        body: body.chars().take(MAIL_CHARACTERS_MAX).collect(),
        at: bead.created_at,
    })
}

fn open_beads(town: &Town, rig: Option<&RigId>) -> Vec<OpenBead> {
    town.live_beads()
        .filter(|bead| bead.status == BeadStatus::Open && bead.work().is_some())
        .filter(|bead| rig.is_none() || bead.rig_id.as_ref() == rig)
        .take(OPEN_BEADS_MAX)
        .map(|bead| OpenBead {
            id: bead.id.clone(),
            title: bead.title.clone(),
            priority: bead.priority,
        })
        .collect()
}

fn molecule_context(town: &Town, bead: &Bead) -> Option<MoleculeContext> {
    let molecule = town.molecule_of(&bead.id)?;
    let step = |step: &Bead| StepContext {
        id: step.id.clone(),
        title: step.title.clone(),
        body: step.body.clone(),
        closed: step.status == BeadStatus::Closed,
    };
    Some(MoleculeContext {
        molecule_id: molecule.id.clone(),
        current_step: town
            .current_step_of(&molecule.id)
            .map(|step| step.id.clone()),
        steps: town.steps_of(&molecule.id).into_iter().map(step).collect(),
    })
}

fn situation(town: &Town, bead: &Bead) -> Option<Situation> {
    if let Some(review) = bead.review() {
        return Some(Situation::Review(review_context(town, bead, review)));
    }
    Some(match bead.work()? {
        Work::Plain | Work::MoleculeStep => return None,
        Work::Rework(work) => {
            let source = work.rework_for.as_ref().and_then(|id| town.bead(id));
            Situation::Rework(ReworkContext {
                feedback: bead.body.clone().unwrap_or_default(),
                branch: work.branch.clone(),
                target_branch: work.target_branch.clone(),
                files: work.files.clone(),
                original_title: source.map(|source| source.title.clone()),
                mr_bead_id: work.mr_bead_id.clone(),
            })
        }
        Work::PrFixup(work) => Situation::PrFixup(PrFixupContext {
            pr_url: work.pr_url.clone(),
            branch: work.branch.clone(),
            target_branch: work.target_branch.clone(),
        }),
        // Feedback that has gathered conflicts is worked on as a conflict.
        Work::PrFeedback(work) if work.has_conflicts => Situation::PrConflict(PrConflictContext {
            pr_url: work.pr_url.clone(),
            branch: work.branch.clone(),
            target_branch: town.repaired_target(bead),
            has_feedback: true,
        }),
        Work::PrFeedback(work) => Situation::PrFixup(PrFixupContext {
            pr_url: work.pr_url.clone(),
            branch: work.branch.clone(),
            target_branch: town.repaired_target(bead),
        }),
        Work::PrConflict(work) => Situation::PrConflict(PrConflictContext {
            pr_url: work.pr_url.clone(),
            branch: work.branch.clone(),
            target_branch: work.target_branch.clone(),
            has_feedback: work.has_feedback,
        }),
        Work::TriageRequest(_) => return None,
        // A person's bead that merely carries the label goes the normal way.
        Work::TriageBatch if !Town::is_patrol_batch(bead) => return None,
        Work::TriageBatch => Situation::Triage(triage_context(town)),
    })
}

fn review_context(town: &Town, mr: &Bead, review: &Review) -> ReviewContext {
    let settings = town.settings_of_review(mr);
    let source = town.source_of(mr).unwrap_or(&review.source);
    let asked_for = town.bead(source);
    let convoy = asked_for.filter(|source| source.convoy().is_some());
    let convoy = convoy.or_else(|| town.convoy_of(source));
    let position = |bead: &Bead| {
        let (total, closed) = town.convoy_counts(&bead.id);
        ConvoyPosition {
            convoy_id: bead.id.clone(),
            title: bead.title.clone(),
            closed,
            total,
        }
    };
    ReviewContext {
        mr_bead_id: mr.id.clone(),
        source_bead_id: source.clone(),
        original_title: asked_for.map(|source| source.title.clone()),
        original_body: asked_for.and_then(|source| source.body.clone()),
        pr_url: review.pr_url.clone(),
        branch: review.branch.clone(),
        target_branch: review.target_branch.clone(),
        review_mode: settings.review_mode,
        gates: settings.gates.clone(),
        is_direct: settings.merge_strategy == MergeStrategy::Direct
            || town.is_direct(mr, &settings),
        lands_convoy: review.is_landing(),
        convoy: convoy.map(position),
    }
}

fn triage_context(town: &Town) -> TriageContext {
    let request = |bead: &Bead| match bead.work()? {
        Work::TriageRequest(request) => Some(RequestContext {
            request_id: bead.id.clone(),
            triage_type: request.triage_type,
            title: bead.title.clone(),
            body: bead.body.clone(),
            agent_id: request.agent_id.clone(),
            bead_id: request.hooked_bead_id.clone(),
            options: request.options.clone(),
        }),
        Work::Plain
        | Work::Rework(_)
        | Work::PrFeedback(_)
        | Work::PrConflict(_)
        | Work::PrFixup(_)
        | Work::TriageBatch
        | Work::MoleculeStep => None,
    };
    TriageContext {
        requests: town
            .live_beads()
            .filter_map(request)
            .take(TRIAGE_REQUESTS_MAX)
            .collect(),
    }
}

/// The instructions for an agent's next session; none when there is no such agent.
#[must_use]
pub fn prompt(town: &Town, agent_id: &AgentId) -> Option<String> {
    prime(town, agent_id).map(|prime| prompt_for(town, &prime))
}

/// The session that a `start_agent` effect asks for, with all that a runtime needs to start it.
///
/// Prompt and context have less than 1 MiB of JSON together: where there is more to say, the texts
/// in them are cut, marked by ` … (cut)`, and what was seen of the pull request is left out.
///
/// None when the agent, its bead or its rig is gone, or the agent is in another session: the start
/// is not wanted any more.
#[must_use]
pub fn start_request(town: &Town, start: &StartAgent) -> Option<StartRequest> {
    let agent = town
        .agent(&start.agent_id)
        .filter(|agent| agent.session == start.session)?;
    let rig = town.rig(&start.rig_id)?;
    let bead = town.bead(&start.bead_id)?;
    let primed = prime(town, &start.agent_id)?;
    let (prompt, context) = fit::told(town, &primed);
    let config = &town.state().config;
    Some(StartRequest {
        session: SessionId {
            town_id: town.id().clone(),
            agent_id: start.agent_id.clone(),
            session: start.session,
        },
        role: agent.role,
        name: agent.name.clone(),
        bead_id: bead.id.clone(),
        rig_id: rig.id.clone(),
        git_url: rig.git_url.clone(),
        default_branch: rig.default_branch.clone(),
        branch: town.session_branch(agent, bead),
        target_branch: town.session_target(bead, rig),
        prompt,
        context,
        env_vars: config.env_vars.clone(),
        organization_id: config.organization_id.clone(),
        model: model(town, rig, agent.role),
    })
}

/// The model that a session of this agent is to use now; none where none is configured, or the
/// agent or its rig is gone. A session that was started with another one is renewed (spec 6.5).
#[must_use]
pub fn session_model(town: &Town, agent_id: &AgentId) -> Option<String> {
    let agent = town.agent(agent_id)?;
    let rig = town.rig(agent.rig_id.as_ref()?)?;
    model(town, rig, agent.role)
}

/// The model of a role: the rig's for it, else the town's, else the rig's default, else the town's
/// (spec 1.9). The mayor's is the town's alone.
fn model(town: &Town, rig: &Rig, role: Role) -> Option<String> {
    let config = &town.state().config;
    let of_rig = Some(&rig.config.default_model).filter(|_| role != Role::Mayor);
    of_role(&config.role_models, Some(&rig.config.role_models), role)
        .map(String::from)
        .or_else(|| of_rig.cloned().flatten())
        .or_else(|| config.default_model.clone())
}

#[cfg(test)]
mod tests;
