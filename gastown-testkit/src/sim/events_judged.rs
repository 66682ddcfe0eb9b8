//! What one event may do, judged from the town before it.

use gastown_core::{AgentId, Event, EventKind, Town};

use super::Held;

/// What the town knew before an event.
#[derive(Debug)]
pub(crate) struct Facts {
    /// The event is of a session that is not its agent's current one.
    of_another_session: bool,
    drain: Option<String>,
    instance: Option<String>,
}

impl Facts {
    pub(crate) fn before(town: &Town, event: &Event) -> Self {
        let of_another_session = session(event).is_some_and(|(agent, session)| {
            town.agent(agent)
                .is_some_and(|agent| agent.session != session)
        });
        Self {
            of_another_session,
            drain: town.state().drain.as_ref().map(|drain| drain.nonce.clone()),
            instance: town.state().container.instance.clone(),
        }
    }

    /// An older session changes nothing (spec 2.2), and a drain ends by its own nonce or by another
    /// container, never by the old one (spec 6.4).
    pub(crate) fn judge(&self, town: &Town, event: &Event, changed: bool) -> Held {
        if self.of_another_session && changed {
            return Err(format!(
                "2.2: {} of an older session was accepted",
                event.kind.type_name()
            ));
        }
        let Some(nonce) = self.drain.as_ref().filter(|_| !town.is_draining()) else {
            return Ok(());
        };
        let rightly = match &event.kind {
            EventKind::ContainerReady(ready) => ready.nonce == *nonce,
            EventKind::Heartbeat(beat) => beat.container_instance != self.instance,
            EventKind::AgentStarted(started) => started.container_instance != self.instance,
            _ => false,
        };
        match rightly {
            true => Ok(()),
            false => Err(format!("6.4: {} ended a drain", event.kind.type_name())),
        }
    }
}

fn session(event: &Event) -> Option<(&AgentId, u64)> {
    let (agent, session) = match &event.kind {
        EventKind::AgentStarted(e) => (&e.agent_id, e.session),
        EventKind::DispatchFailed(e) => (&e.agent_id, e.session),
        EventKind::Heartbeat(e) => (&e.agent_id, e.session),
        EventKind::AgentExited(e) => (&e.agent_id, e.session),
        EventKind::AgentDone(e) => (&e.agent_id, e.session),
        EventKind::ContainerStatus(e) => (&e.agent_id, e.session),
        EventKind::AgentStopped(e) => (&e.agent_id, e.session),
        _ => return None,
    };
    Some((agent, session?))
}
