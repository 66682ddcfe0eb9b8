//! From agents to their towns.

use std::sync::{Arc, PoisonError};

use gastown_core::SessionId;
use gastown_core::events::{AgentExited, Heartbeat};
use tokio::sync::mpsc;

use super::Towns;
use crate::effects::Workshop;
use crate::inbox::{Inbox, Item};
use crate::output::{AgentOutput, AgentOutputKind};
use crate::protocol;
use crate::supervisor::Sign;
use crate::telemetry;

/// Brings what agents say to their towns. It never waits for a town.
pub(super) async fn route(
    mut outputs: mpsc::Receiver<AgentOutput>,
    workshop: Arc<Workshop>,
    towns: Towns,
) {
    while let Some(AgentOutput { session, kind }) = outputs.recv().await {
        let inbox = {
            let towns = towns.lock().unwrap_or_else(PoisonError::into_inner);
            towns
                .get(&session.town_id)
                .map(|town| Arc::clone(&town.handle.inbox))
        };
        deliver(inbox.as_deref(), &workshop, session, kind);
    }
}

fn deliver(inbox: Option<&Inbox>, workshop: &Workshop, session: SessionId, kind: AgentOutputKind) {
    match kind {
        AgentOutputKind::Heartbeat(heartbeat) => {
            let sign = match heartbeat.active_tools.is_empty() {
                true => Sign::Idle,
                false => Sign::Active,
            };
            workshop.supervisor.saw(&session, sign);
            metrics::counter!(telemetry::HEARTBEATS).increment(1);
            if let Some(inbox) = inbox {
                inbox.beat(heartbeat_of(session, heartbeat, workshop));
            }
        }
        AgentOutputKind::Tool(request) => {
            let Some(inbox) = inbox else {
                request.reply.refuse(".", "the town does not run here");
                return;
            };
            let place = match inbox.place() {
                Ok(place) => place,
                Err(error) => {
                    request.reply.refuse(".", error.to_string());
                    return;
                }
            };
            let item = Item::Tool {
                session,
                request,
                place,
            };
            let refused = inbox.push(item).err();
            if let Some(refused) = refused
                && let (Item::Tool { request, .. }, error) = *refused
            {
                request.reply.refuse(".", error.to_string());
            }
        }
        AgentOutputKind::Violation(violation) => {
            tracing::warn!(%violation, "an agent broke the protocol");
        }
        AgentOutputKind::Exited(exit) => {
            workshop.supervisor.saw(&session, Sign::Exited);
            // Who asked for the end tells it. Of a town that is closed, the next start finds out.
            if let Some(inbox) = inbox.filter(|_| !exit.asked) {
                let exited = AgentExited {
                    agent_id: session.agent_id,
                    status: exit.status,
                    session: Some(session.session),
                    bead_id: None,
                    reason: Some(exit.reason),
                    note: None,
                };
                drop(inbox.push(Item::Ended(Box::new(exited.into()))));
            }
        }
    }
}

fn heartbeat_of(
    session: SessionId,
    heartbeat: protocol::Heartbeat,
    workshop: &Workshop,
) -> Heartbeat {
    Heartbeat {
        agent_id: session.agent_id,
        session: Some(session.session),
        container_instance: Some(workshop.container_instance.clone()),
        last_event_type: heartbeat.last_event_type,
        last_event_at: heartbeat.last_event_at,
        active_tools: heartbeat.active_tools,
    }
}
