//! What is done beside the ticks: seeing agents out before an eviction, removing what agents left
//! that are gone, and what is in [`super::renewal`].

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use gastown_core::{ActionKind, AgentId};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::Driver;
use crate::evacuation;
use crate::tick::TickReport;

/// Which chore has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Chore {
    Evacuation,
    /// A renewal; unless it is settled, there may be more to do about it.
    Renewal {
        agent_id: AgentId,
        is_settled: bool,
    },
    Other,
}

/// What is done beside the ticks.
#[derive(Default)]
pub(super) struct Chores {
    tasks: JoinSet<Chore>,
    /// The eviction for which agents were or are seen out.
    evacuated: Option<String>,
    is_evacuating: bool,
    /// Agents that are seen out are not waited for any more.
    hurry: watch::Sender<bool>,
    /// Agents whose model sessions are being renewed.
    pub(super) renewing: BTreeSet<AgentId>,
    /// When outdated sessions are looked for, on the monotonic clock; none: they are not.
    pub(super) renew_at: Option<Duration>,
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

    /// Whether agents are being seen out.
    pub(super) fn is_evacuating(&self) -> bool {
        self.is_evacuating && !self.tasks.is_empty()
    }

    /// Sees agents out without waiting for them any more: they are stopped and their work is saved
    /// when this returns.
    pub(super) async fn hurry(&mut self) {
        self.hurry.send_replace(true);
        while self.is_evacuating() {
            self.next().await;
        }
    }

    /// Ends those that have not ended by themselves.
    pub(super) async fn give_up(&mut self) {
        self.tasks.shutdown().await;
    }
}

impl Driver {
    /// After every round.
    pub(super) fn tend(&mut self) {
        self.tend_drain();
        self.renew_sessions();
    }

    /// Takes note of chores that have ended.
    pub(super) fn collect_chores(&mut self) {
        while let Some(ended) = self.state.chores.tasks.try_join_next() {
            match ended {
                Ok(Chore::Evacuation) => self.state.chores.is_evacuating = false,
                Ok(Chore::Renewal {
                    agent_id,
                    is_settled,
                }) => {
                    self.state.chores.renewing.remove(&agent_id);
                    match is_settled {
                        // The settings may have changed again meanwhile.
                        true => self.renewals_are_due(),
                        false => self.renew_later(),
                    }
                }
                Ok(Chore::Other) => {}
                Err(error) => tracing::error!(%error, "a chore was cut off"),
            }
        }
        let chores = &mut self.state.chores;
        if chores.tasks.is_empty() {
            chores.is_evacuating = false;
            chores.renewing.clear();
        }
    }

    /// After a tick, before its effects run.
    pub(super) fn tend_after(&mut self, report: &TickReport) {
        // Starts are held while the town drains, and no longer.
        self.tend_drain();
        if report.commands > 0 {
            self.renewals_are_due();
        }
        for action in &report.actions {
            if let ActionKind::DeleteAgent(delete) = &action.kind {
                self.forget_agent(delete.agent_id.clone());
            }
        }
    }

    /// Lets the town start agents again unless it drains. Who held its starts may have been the
    /// loop of an earlier opening.
    pub(super) fn end_hold(&mut self) {
        if self.town().is_ok_and(|town| !town.is_draining()) {
            self.state.chores.evacuated = None;
            self.performer.workshop.supervisor.release(&self.town_id);
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
            return self.end_hold();
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
        let hurry = chores.hurry.subscribe();
        let evacuate = async move {
            evacuation::evacuate(performer, leaving, hurry).await;
            Chore::Evacuation
        };
        self.spawn_chore(evacuate);
    }

    /// Removes what agents left that are gone: they may have gone while nobody watched.
    pub(super) async fn forget_strangers(&mut self) {
        let kept = self.performer.workshop.supervisor.kept(&self.town_id).await;
        let kept = kept.unwrap_or_else(|error| {
            // They are found at the next start.
            tracing::warn!(town = %self.town_id, %error, "could not look for what agents left");
            Vec::new()
        });
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

    pub(super) fn spawn_chore(&mut self, chore: impl Future<Output = Chore> + Send + 'static) {
        let inbox = Arc::clone(&self.inbox);
        self.state.chores.tasks.spawn(async move {
            let ended = chore.await;
            if ended != Chore::Other {
                inbox.wake();
            }
            ended
        });
    }
}
