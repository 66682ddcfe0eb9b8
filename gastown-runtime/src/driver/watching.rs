//! What was not seen: gaps between looks, and sessions that ended while nobody watched.

use gastown_core::events::{ContainerStatus, ProcessStatus};
use gastown_core::{AgentId, Effect, EffectKind, EventKind, SessionId};

use super::Driver;
use super::chores::Chore;

impl Driver {
    /// Stops sessions that run here and are not their agents' any more: another host had the town
    /// and sent these agents anew.
    pub(super) fn stop_strays(&mut self) {
        let Some(town) = &self.state.town else {
            return;
        };
        let is_stray = |session: &SessionId| {
            let agent = town.agent(&session.agent_id);
            agent.is_none_or(|agent| agent.session > session.session)
        };
        let mut sessions = self.performer.workshop.supervisor.sessions(&self.town_id);
        sessions.retain(is_stray);
        for session in sessions {
            let supervisor = self.performer.workshop.supervisor.clone();
            self.spawn_chore(async move {
                let reason = "its agent was sent anew meanwhile";
                supervisor.stop(&session, reason).await;
                Chore::Other
            });
        }
    }

    /// Asks the runtime about every session that should run: a crash may have lost its end.
    /// A session whose start is still in the outbox is not missed.
    pub(super) async fn ask_about_sessions(&mut self, outbox: &[Effect]) {
        let Some(town) = &self.state.town else {
            return;
        };
        let starting = |agent: &AgentId, session: u64| {
            outbox.iter().any(|effect| {
                matches!(&effect.kind, EffectKind::StartAgent(start)
                    if start.agent_id == *agent && start.session == session)
            })
        };
        let agents = town.agents().filter(|agent| agent.status.is_running());
        let known = agents.filter(|agent| !starting(&agent.id, agent.session));
        let known = known.map(|agent| self.session_of(agent)).collect();
        let is_draining = town.is_draining();
        let supervisor = &self.performer.workshop.supervisor;
        let mut statuses = supervisor.statuses(known).await;
        statuses.sort_by(|(one, _), (other, _)| one.agent_id.cmp(&other.agent_id));
        let (mut silent, mut running) = (Vec::new(), Vec::new());
        for (session, status) in statuses {
            match status {
                ProcessStatus::Running => running.push(session),
                ProcessStatus::Unknown => {}
                // In a drain the evacuation saves what they left, and reports them.
                ProcessStatus::Exited | ProcessStatus::NotFound if is_draining => {}
                status @ (ProcessStatus::Exited | ProcessStatus::NotFound) => {
                    silent.push(ContainerStatus {
                        agent_id: session.agent_id,
                        status,
                        session: Some(session.session),
                        exit_reason: Some("it no longer ran when the host came back".into()),
                    });
                }
            }
        }
        let workshop = &self.performer.workshop;
        let events = silent.into_iter().map(EventKind::from);
        self.state
            .local
            .extend(events.filter_map(|kind| workshop.event(kind)));
        self.adopt(running).await;
    }

    /// Reports a gap when the clocks drifted apart.
    pub(super) fn look_at_clocks(&mut self) {
        let (now, monotonic) = (self.now(), self.monotonic());
        let gaps = &mut self.state.gaps;
        let gap = gaps.as_mut().and_then(|gaps| gaps.look(now, monotonic));
        if let Some(gap) = gap {
            tracing::info!(town = %self.town_id, from = %gap.from, to = %gap.to, "observation gap");
            let event = self.performer.workshop.event(gap.into());
            self.state.local.extend(event);
        }
    }
}
