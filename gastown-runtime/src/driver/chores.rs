//! What is done beside the ticks: seeing agents out before an eviction, renewing model sessions,
//! removing what agents left that are gone.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::Arc;

use gastown_core::effects::StartAgent;
use gastown_core::events::{AgentExited, AgentStarted, ExitStatus};
use gastown_core::{
    ActionKind, AgentId, EventKind, StartRequest, Town, session_model, start_request,
};
use tokio::task::JoinSet;

use super::Driver;
use crate::effects::Performer;
use crate::evacuation;
use crate::inbox::Item;
use crate::supervisor::StartOutcome;
use crate::tick::TickReport;

/// Which chore has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Chore {
    Evacuation,
    Other,
}

/// What is done beside the ticks.
#[derive(Default)]
pub(super) struct Chores {
    tasks: JoinSet<Chore>,
    /// The eviction for which agents were or are seen out.
    evacuated: Option<String>,
    is_evacuating: bool,
    /// What each session was started with.
    contexts: BTreeMap<AgentId, Context>,
}

/// What a session keeps from its start on: who pays, and which model it uses (spec 6.5).
#[derive(Debug, Clone, PartialEq, Eq)]
struct Context {
    session: u64,
    model: Option<String>,
    organization_id: Option<String>,
}

impl Chores {
    pub(super) fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    /// Waits for the next chore to end; without any, forever.
    pub(super) async fn next(&mut self) {
        match self.tasks.join_next().await {
            Some(Ok(Chore::Evacuation)) => self.is_evacuating = false,
            Some(_) => {}
            None => std::future::pending().await,
        }
    }

    /// Takes note of chores that have ended.
    pub(super) fn collect(&mut self) {
        while let Some(ended) = self.tasks.try_join_next() {
            match ended {
                Ok(Chore::Evacuation) => self.is_evacuating = false,
                Ok(Chore::Other) => {}
                Err(error) => tracing::error!(%error, "a chore was cut off"),
            }
        }
        if self.tasks.is_empty() {
            self.is_evacuating = false;
        }
    }

    /// A session is about to be started.
    pub(super) fn note_start(&mut self, request: &StartRequest) {
        let context = Context {
            session: request.session.session,
            model: request.model.clone(),
            organization_id: request.organization_id.clone(),
        };
        self.contexts
            .insert(request.session.agent_id.clone(), context);
    }

    /// Starts of sessions whose context is no longer what the town says. Forgets those that do
    /// not run.
    fn outdated(&mut self, town: &Town) -> Vec<StartAgent> {
        self.contexts.retain(|agent, context| {
            town.agent(agent)
                .is_some_and(|agent| agent.session == context.session && agent.status.is_running())
        });
        let mut outdated = Vec::new();
        for (agent_id, context) in &mut self.contexts {
            let now = Context {
                session: context.session,
                model: session_model(town, agent_id),
                organization_id: town.state().config.organization_id.clone(),
            };
            let Some(agent) = town.agent(agent_id).filter(|_| now != *context) else {
                continue;
            };
            if let (Some(bead_id), Some(rig_id)) = (&agent.hook, &agent.rig_id) {
                outdated.push(StartAgent {
                    agent_id: agent_id.clone(),
                    bead_id: bead_id.clone(),
                    rig_id: rig_id.clone(),
                    session: agent.session,
                    attempt: agent.dispatch_attempts,
                });
            }
            *context = now;
        }
        outdated
    }
}

impl Driver {
    /// After every round.
    pub(super) fn tend(&mut self) {
        self.tend_drain();
    }

    /// After a tick.
    pub(super) fn tend_after(&mut self, report: &TickReport) {
        if report.commands > 0 {
            self.renew_sessions();
        }
        for action in &report.actions {
            if let ActionKind::DeleteAgent(delete) = &action.kind {
                self.forget_agent(delete.agent_id.clone());
            }
        }
    }

    /// Sees running agents out while the town drains, once per eviction and one after the other.
    fn tend_drain(&mut self) {
        let Some(town) = &self.state.town else {
            return;
        };
        let supervisor = &self.performer.workshop.supervisor;
        let chores = &mut self.state.chores;
        let Some(drain) = &town.state().drain else {
            if chores.evacuated.take().is_some() {
                supervisor.release(&self.town_id);
            }
            return;
        };
        let nonce = Some(drain.nonce.clone());
        if chores.is_evacuating || chores.evacuated == nonce {
            return;
        }
        supervisor.hold(&self.town_id);
        chores.evacuated = nonce;
        chores.is_evacuating = true;
        let leaving = evacuation::leaving(town, self.performer.workshop.clock.now());
        tracing::info!(town = %self.town_id, agents = leaving.len(), "evacuating");
        let performer = self.performer.clone();
        let evacuate = async move {
            evacuation::evacuate(performer, leaving).await;
            Chore::Evacuation
        };
        self.spawn_chore(evacuate);
    }

    /// Renews the model sessions of agents whose model or organization has changed: the same
    /// session on the same hook, started again (spec 6.5).
    fn renew_sessions(&mut self) {
        let Some(town) = &self.state.town else {
            return;
        };
        let outdated = self.state.chores.outdated(town);
        let requests = outdated
            .into_iter()
            .filter_map(|start| Some((start_request(town, &start)?, start)));
        for (request, start) in requests.collect::<Vec<_>>() {
            let performer = self.performer.clone();
            self.spawn_chore(async move {
                renew(&performer, request, start).await;
                Chore::Other
            });
        }
    }

    /// Removes what agents left that are gone: they may have gone while nobody watched.
    pub(super) async fn forget_strangers(&mut self) {
        let kept = self.performer.workshop.supervisor.kept(&self.town_id).await;
        let Some(town) = &self.state.town else {
            return;
        };
        let known: BTreeSet<AgentId> = town.agents().map(|agent| agent.id.clone()).collect();
        for agent in kept.into_iter().filter(|agent| !known.contains(agent)) {
            self.forget_agent(agent);
        }
    }

    fn forget_agent(&mut self, agent: AgentId) {
        let performer = self.performer.clone();
        self.spawn_chore(async move {
            let supervisor = &performer.workshop.supervisor;
            // What is left is found again at the next start.
            if let Err(error) = supervisor.forget(&performer.town_id, &agent).await {
                tracing::warn!(town = %performer.town_id, %agent, %error, "could not clean up");
            }
            Chore::Other
        });
    }

    fn spawn_chore(&mut self, chore: impl Future<Output = Chore> + Send + 'static) {
        let inbox = Arc::clone(&self.inbox);
        self.state.chores.tasks.spawn(async move {
            let ended = chore.await;
            if ended == Chore::Evacuation {
                inbox.wake();
            }
            ended
        });
    }
}

async fn renew(performer: &Performer, request: StartRequest, start: StartAgent) {
    let workshop = &performer.workshop;
    let kind = start.into();
    let _permit = workshop.limits.permit(&performer.places, &kind).await;
    let session = request.session.clone();
    tracing::info!(town = %session.town_id, agent = %session.agent_id, "renewing its model session");
    let kind: EventKind = match workshop.supervisor.restart(request).await {
        StartOutcome::Started | StartOutcome::AlreadyRunning => AgentStarted {
            agent_id: session.agent_id,
            session: Some(session.session),
            container_instance: Some(workshop.container_instance.clone()),
        }
        .into(),
        // What became of it is told elsewhere, or by its silence.
        StartOutcome::StartupAborted | StartOutcome::Unknown { .. } => return,
        StartOutcome::Rejected { reason } => AgentExited {
            agent_id: session.agent_id,
            status: ExitStatus::Failed,
            session: Some(session.session),
            bead_id: None,
            reason: Some(format!("its model session could not be renewed: {reason}")),
            note: None,
        }
        .into(),
    };
    drop(performer.inbox.push(Item::Ended(Box::new(kind))));
}
