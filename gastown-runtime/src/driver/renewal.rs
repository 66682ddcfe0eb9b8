//! Model sessions whose model or organization has changed are renewed: the same session on the same
//! hook, started again (spec 6.5). What each was started with is known to the supervisor, also
//! while its town is closed.

use gastown_core::effects::StartAgent;
use gastown_core::events::{AgentExited, AgentStarted, ExitStatus};
use gastown_core::{
    Agent, EventKind, HistoryFilter, HistoryKind, HistoryOrder, SessionId, StartRequest,
    StoredHistory, Timestamp, Town, session_model, start_request,
};
use serde_json::{Map, Value};

use super::Driver;
use super::chores::Chore;
use crate::effects::Performer;
use crate::error::RuntimeError;
use crate::inbox::Item;
use crate::supervisor::{Phase, SessionContext, StartOutcome};

/// How many commands are read at once, to find changes of the configuration.
const COMMANDS_PAGE: usize = 200;
/// How many pages of them; what is older is taken to have changed it.
const COMMANDS_PAGES_MAX: usize = 50;
/// The settings from which a session's context comes.
const CONTEXT_SETTINGS: [&str; 3] = ["role_models", "default_model", "organization_id"];

impl Driver {
    /// Looks for outdated sessions at the end of this round.
    pub(super) fn renewals_are_due(&mut self) {
        self.state.chores.renew_at = Some(self.monotonic());
    }

    /// A renewal that failed is tried again, but not at once.
    pub(super) fn renew_later(&mut self) {
        let later = self.monotonic().saturating_add(self.settings.retry_max);
        self.state.chores.renew_at.get_or_insert(later);
    }

    /// Renews what is outdated, if it is time to look.
    pub(super) fn renew_sessions(&mut self) {
        if !self.is_past(self.state.chores.renew_at) {
            return;
        }
        self.state.chores.renew_at = None;
        let Some(town) = &self.state.town else {
            return;
        };
        for (request, start) in self.outdated(town) {
            let session = request.session.clone();
            self.state.chores.renewing.insert(session.agent_id.clone());
            let performer = self.performer.clone();
            self.spawn_chore(async move {
                let agent_id = session.agent_id.clone();
                let is_settled = renew(&performer, request, start).await;
                Chore::Renewal {
                    agent_id,
                    is_settled,
                }
            });
        }
    }

    /// Sessions that may run with another context than the town says now, and are not being
    /// renewed.
    fn outdated(&self, town: &Town) -> Vec<(StartRequest, StartAgent)> {
        let supervisor = &self.performer.workshop.supervisor;
        let renewing = &self.state.chores.renewing;
        let running = town.agents().filter(|agent| agent.status.is_running());
        let idle = running.filter(|agent| !renewing.contains(&agent.id));
        idle.filter(|agent| {
            supervisor.is_outdated(&self.session_of(agent), &context_now(town, agent))
        })
        .filter_map(|agent| {
            let start = StartAgent {
                agent_id: agent.id.clone(),
                bead_id: agent.hook.clone()?,
                rig_id: agent.rig_id.clone()?,
                session: agent.session,
                attempt: agent.dispatch_attempts,
            };
            let request = start_request(town, &start)?;
            let is_other =
                supervisor.is_outdated(&request.session, &SessionContext::from(&request));
            is_other.then_some((request, start))
        })
        .collect()
    }

    pub(super) fn session_of(&self, agent: &Agent) -> SessionId {
        SessionId {
            town_id: self.town_id.clone(),
            agent_id: agent.id.clone(),
            session: agent.session,
        }
    }

    /// Takes over sessions that an earlier host started and that still run. What each was started
    /// with is told by the history: if the settings have changed since, it is not known, and the
    /// session is renewed.
    pub(super) async fn adopt(&mut self, running: Vec<SessionId>) {
        let supervisor = self.performer.workshop.supervisor.clone();
        let is_strange = |session: &SessionId| {
            let (phase, _) = supervisor.phase(&session.town_id, &session.agent_id);
            phase == Phase::Absent
        };
        let strange: Vec<_> = running.into_iter().filter(is_strange).collect();
        let Some(town) = &self.state.town else {
            return;
        };
        let begun = |session: &SessionId| town.agent(&session.agent_id)?.dispatched_at;
        let Some(since) = strange.iter().map(begun).min() else {
            return;
        };
        let changed = match since {
            Some(since) => self.context_changed_after(since).await,
            None => Ok(Some(Timestamp::MAX)),
        };
        let changed = changed.unwrap_or_else(|error| {
            // Renewed in vain costs time; not renewed may bill the wrong organization.
            tracing::warn!(town = %self.town_id, %error, "could not look for changed settings");
            Some(Timestamp::MAX)
        });
        for session in strange {
            let Some(agent) = town.agent(&session.agent_id) else {
                continue;
            };
            let is_known = changed.is_none_or(|changed| agent.dispatched_at > Some(changed));
            supervisor.adopt(&session, is_known.then(|| context_now(town, agent)));
        }
    }

    /// When models or the organization were last changed, if that was not before `since`.
    async fn context_changed_after(
        &self,
        since: Timestamp,
    ) -> Result<Option<Timestamp>, RuntimeError> {
        let mut after = None;
        for _ in 0..COMMANDS_PAGES_MAX {
            let filter = HistoryFilter {
                kind: Some(HistoryKind::Command),
                order: HistoryOrder::NewestFirst,
                after,
                limit: COMMANDS_PAGE,
                ..HistoryFilter::default()
            };
            let page = self.history(filter).await?;
            after = page.last().map(|stored| stored.sequence);
            for stored in &page {
                if stored.entry.at < since {
                    return Ok(None);
                }
                if changes_context(stored) {
                    return Ok(Some(stored.entry.at));
                }
            }
            if page.len() < COMMANDS_PAGE {
                return Ok(None);
            }
        }
        Ok(Some(Timestamp::MAX))
    }
}

fn context_now(town: &Town, agent: &Agent) -> SessionContext {
    SessionContext {
        model: session_model(town, &agent.id),
        organization_id: town.state().config.organization_id.clone(),
    }
}

/// Whether a recorded command changed a model or the organization.
fn changes_context(stored: &StoredHistory) -> bool {
    let record = serde_json::from_str::<Value>(&stored.entry.body).unwrap_or_default();
    let config = record.pointer("/command/config").and_then(Value::as_object);
    // What is taken back is there as null.
    let is_empty = |value: &Value| value.as_object().is_some_and(Map::is_empty);
    let names = |config: &Map<String, Value>| {
        let settings = CONTEXT_SETTINGS.iter();
        let mut values = settings.filter_map(|name| config.get(*name));
        values.any(|value| !is_empty(value))
    };
    record.get("refused").is_none() && config.is_some_and(names)
}

/// Renews one session; returns whether there is nothing more to do about it.
async fn renew(performer: &Performer, request: StartRequest, start: StartAgent) -> bool {
    let workshop = &performer.workshop;
    let kind = start.into();
    let session = request.session.clone();
    tracing::info!(town = %session.town_id, agent = %session.agent_id, "renewing its model session");
    let restart = workshop.supervisor.restart(request);
    let kind: EventKind = match performer.in_place(&kind, restart).await {
        StartOutcome::Started | StartOutcome::AlreadyRunning => AgentStarted {
            agent_id: session.agent_id,
            session: Some(session.session),
            container_instance: Some(workshop.container_instance.clone()),
        }
        .into(),
        // What became of it is told elsewhere, or by its silence. If it runs as before, it is
        // still to be renewed.
        StartOutcome::StartupAborted | StartOutcome::Unknown { .. } => return false,
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
    true
}
