//! Effects: what comes of them, and what their adapters say of it.

use gastown_core::effects::StartAgent;
use gastown_core::events::{
    AgentStarted, AgentStopped, BranchCreated, DispatchFailed, DispatchOutcome, EffectOutcome,
    MergeAttempted, MergeVerified, Notified, NudgeDelivered,
};
use gastown_core::{Effect, EffectKind, Event, EventKind, ForgeError, MergeOutcome, VerifyOutcome};

use super::forge::{look, merged, observed};
use crate::search::small_town::{Session, State};

/// An effect fails, and its adapter says so.
pub(super) fn failed(state: &mut State, n: usize) -> Option<Event> {
    let effect = state.outbox.remove(n);
    let outcome = EffectOutcome::Failed;
    let server = ForgeError::Server { status: 502 };
    let kind: EventKind = match &effect.kind {
        EffectKind::StartAgent(start) => DispatchFailed {
            agent_id: start.agent_id.clone(),
            outcome: DispatchOutcome::Rejected,
            session: Some(start.session),
            bead_id: Some(start.bead_id.clone()),
            reason: "no room".into(),
        }
        .into(),
        EffectKind::PollPr(poll) => observed(poll, Err(server)),
        EffectKind::MergePr(merge) => MergeAttempted {
            bead_id: merge.bead_id.clone(),
            head_sha: merge.head_sha.clone(),
            outcome: MergeOutcome::Refused {
                status: 405,
                message: "not now".into(),
            },
        }
        .into(),
        EffectKind::VerifyMerge(verify) => MergeVerified {
            bead_id: verify.bead_id.clone(),
            outcome: VerifyOutcome::Unknown,
        }
        .into(),
        _ => plain_result(&effect, outcome)?,
    };
    keyed(state, &effect, kind)
}

/// Does what an effect asks for, and says what its adapter reports.
pub(super) fn performed(state: &mut State, n: usize) -> Option<Event> {
    let effect = state.outbox.remove(n);
    let kind: EventKind = match &effect.kind {
        EffectKind::StartAgent(start) => started(state, start),
        EffectKind::PollPr(poll) => {
            let look = look(state, &poll.pr_url);
            observed(poll, look)
        }
        EffectKind::MergePr(merge) => merged(state, merge),
        EffectKind::VerifyMerge(verify) => {
            let (branch, target) = (verify.branch.clone(), verify.target_branch.clone());
            let way = verify.rig_id.clone().map(|rig| (rig, branch, target));
            let outcome = match way.map(|way| state.landed.contains(&way)) {
                Some(true) => VerifyOutcome::Landed {
                    commit: "landed".into(),
                },
                Some(false) => VerifyOutcome::Absent,
                // There is no repository to look into.
                None => VerifyOutcome::Unknown,
            };
            MergeVerified {
                bead_id: verify.bead_id.clone(),
                outcome,
            }
            .into()
        }
        EffectKind::StopAgent(stop) => {
            let running = state.sessions.get(&stop.agent_id);
            if running.is_some_and(|running| running.number == stop.session) {
                state.sessions.remove(&stop.agent_id);
            }
            plain_result(&effect, EffectOutcome::Done)?
        }
        _ => plain_result(&effect, EffectOutcome::Done)?,
    };
    keyed(state, &effect, kind)
}

fn keyed(state: &mut State, effect: &Effect, kind: EventKind) -> Option<Event> {
    let mut event = state.event(kind)?;
    event.key = Some(effect.key.clone());
    Some(event)
}

fn plain_result(effect: &Effect, outcome: EffectOutcome) -> Option<EventKind> {
    Some(match &effect.kind {
        EffectKind::StopAgent(stop) => AgentStopped {
            agent_id: stop.agent_id.clone(),
            session: Some(stop.session),
            outcome: Some(outcome),
        }
        .into(),
        EffectKind::CreateBranch(create) => BranchCreated {
            convoy_id: create.convoy_id.clone(),
            branch: create.branch.clone(),
            outcome,
            rig_id: Some(create.rig_id.clone()),
        }
        .into(),
        EffectKind::DeliverNudge(nudge) => NudgeDelivered {
            nudge_id: nudge.nudge_id.clone(),
            outcome,
        }
        .into(),
        EffectKind::NotifyMayor(notice) => Notified {
            topic: notice.topic.clone(),
            outcome,
        }
        .into(),
        _ => return None,
    })
}

fn started(state: &mut State, start: &StartAgent) -> EventKind {
    let running = state.sessions.entry(start.agent_id.clone()).or_default();
    if start.session >= running.number {
        *running = Session {
            number: start.session,
            bead: Some(start.bead_id.clone()),
        };
    }
    AgentStarted {
        agent_id: start.agent_id.clone(),
        session: Some(start.session),
        container_instance: None,
    }
    .into()
}
