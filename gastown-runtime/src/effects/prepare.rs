//! What an effect needs from its town, asked at the moment when it runs.

use gastown_core::effects::{CreateBranch, DeliverNudge, MergePr, PollPr, StopAgent, VerifyMerge};
use gastown_core::forges::{
    CreateBranchRequest, MergeRequest, ObserveRequest, RepositoryRef, VerifyRequest,
};
use gastown_core::{
    AgentMessage, BeadId, Effect, EffectKind, NudgeId, RigId, SessionId, StartRequest, Town,
    start_request,
};

/// The answer to an effect whose turn has come.
#[derive(Debug, PartialEq)]
pub(crate) enum Prepared {
    /// It is wanted.
    Ready(Box<Job>),
    /// The town no longer wants it.
    Withdrawn,
    /// It can't be said now; it stays in the outbox.
    Later,
}

/// An effect with all that it needs.
#[derive(Debug, PartialEq)]
pub(crate) enum Job {
    Start(StartRequest),
    Stop(SessionId, String),
    Observe(BeadId, ObserveRequest),
    Merge(BeadId, MergeRequest),
    Verify(BeadId, VerifyRequest),
    CreateBranch(BeadId, RigId, CreateBranchRequest),
    Deliver(SessionId, AgentMessage, NudgeId),
    Notify(String, String),
    RefreshContainerToken,
    RenewLlmToken,
    StopContainer,
}

/// Asks the town whether an effect is still wanted, and with what. What has lost its subject is
/// not wanted either.
pub(crate) fn prepare(town: &Town, effect: &Effect) -> Prepared {
    if !town.wants(effect) {
        return Prepared::Withdrawn;
    }
    match job(town, effect) {
        Some(job) => Prepared::Ready(Box::new(job)),
        None => Prepared::Withdrawn,
    }
}

fn job(town: &Town, effect: &Effect) -> Option<Job> {
    Some(match &effect.kind {
        EffectKind::StartAgent(start) => Job::Start(start_request(town, start)?),
        EffectKind::StopAgent(StopAgent {
            agent_id,
            session,
            reason,
        }) => {
            let id = SessionId {
                town_id: town.id().clone(),
                agent_id: agent_id.clone(),
                session: *session,
            };
            Job::Stop(id, reason.clone())
        }
        EffectKind::PollPr(poll) => Job::Observe(poll.bead_id.clone(), observe(town, poll)),
        EffectKind::MergePr(pr) => Job::Merge(pr.bead_id.clone(), merge(town, pr)?),
        EffectKind::VerifyMerge(verify) => {
            let request = verify_request(town, verify)?;
            Job::Verify(verify.bead_id.clone(), request)
        }
        EffectKind::CreateBranch(CreateBranch {
            convoy_id,
            rig_id,
            branch,
        }) => {
            let request = CreateBranchRequest {
                repository: repository(town, rig_id)?,
                branch: branch.clone(),
            };
            Job::CreateBranch(convoy_id.clone(), rig_id.clone(), request)
        }
        EffectKind::DeliverNudge(nudge) => deliver(town, nudge)?,
        EffectKind::NotifyMayor(notice) => {
            Job::Notify(notice.topic.clone(), notice.message.clone())
        }
        EffectKind::RefreshContainerToken(_) => Job::RefreshContainerToken,
        EffectKind::RenewLlmToken(_) => Job::RenewLlmToken,
        EffectKind::StopContainer(_) => Job::StopContainer,
    })
}

fn repository(town: &Town, rig_id: &RigId) -> Option<RepositoryRef> {
    let rig = town.rig(rig_id)?;
    Some(RepositoryRef {
        town_id: town.id().clone(),
        rig_id: Some(rig.id.clone()),
        git_url: rig.git_url.clone(),
        default_branch: rig.default_branch.clone(),
    })
}

fn observe(town: &Town, poll: &PollPr) -> ObserveRequest {
    ObserveRequest {
        repository: poll
            .rig_id
            .as_ref()
            .and_then(|rig_id| repository(town, rig_id)),
        town_id: town.id().clone(),
        pr_url: poll.pr_url.clone(),
        with_feedback: poll.with_feedback,
    }
}

fn merge(town: &Town, merge: &MergePr) -> Option<MergeRequest> {
    Some(MergeRequest {
        repository: repository(town, &merge.rig_id)?,
        pr_url: merge.pr_url.clone(),
        head_sha: merge.head_sha.clone(),
        method: town.settings(Some(&merge.rig_id)).merge_method,
        certificate: (*merge.certificate).clone(),
    })
}

fn verify_request(town: &Town, verify: &VerifyMerge) -> Option<VerifyRequest> {
    Some(VerifyRequest {
        repository: repository(town, verify.rig_id.as_ref()?)?,
        branch: verify.branch.clone(),
        target_branch: verify.target_branch.clone(),
        merge_commit: verify.merge_commit.clone(),
    })
}

fn deliver(town: &Town, nudge: &DeliverNudge) -> Option<Job> {
    let agent = town.agent(&nudge.agent_id)?;
    let session = SessionId {
        town_id: town.id().clone(),
        agent_id: agent.id.clone(),
        session: agent.session,
    };
    let message = AgentMessage {
        nudge_id: nudge.nudge_id.clone(),
        tier: nudge.tier,
        text: nudge.message.clone(),
    };
    Some(Job::Deliver(session, message, nudge.nudge_id.clone()))
}
