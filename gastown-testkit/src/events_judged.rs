//! What one event may do, judged from the town before it.

// Other events are none of its business.
#![allow(clippy::wildcard_enum_match_arm)]

use gastown_core::{AgentId, Event, EventKind, Town};

/// What the town knew before an event.
#[derive(Debug)]
pub(crate) struct Facts {
    /// The event is of a session that is not its agent's current one.
    of_another_session: bool,
    drain: Option<Drain>,
}

/// A drain, and the containers that can't end it.
#[derive(Debug)]
struct Drain {
    nonce: String,
    instance: Option<String>,
    retired: Vec<String>,
}

impl Facts {
    pub(crate) fn before(town: &Town, event: &Event) -> Self {
        let of_another_session = session(event).is_some_and(|(agent, session)| {
            town.agent(agent)
                .is_some_and(|agent| agent.session != session)
        });
        Self {
            of_another_session,
            drain: town.state().drain.as_ref().map(|drain| Drain {
                nonce: drain.nonce.clone(),
                instance: town.state().container.instance.clone(),
                retired: town.state().container.retired.clone(),
            }),
        }
    }

    /// What was ignored changed nothing. An older session is ignored (spec 2.2), and a drain ends by its own nonce or by a new
    /// container, never by an old one (spec 6.4).
    pub(crate) fn judge(
        &self,
        before: &Town,
        town: &Town,
        event: &Event,
        changed: bool,
    ) -> Result<(), String> {
        if !changed && before != town {
            return Err(format!(
                "2.2: {} was ignored and changed the town",
                event.kind.type_name()
            ));
        }
        if self.of_another_session && changed {
            return Err(format!(
                "2.2: {} of an older session was accepted",
                event.kind.type_name()
            ));
        }
        let Some(drain) = self.drain.as_ref().filter(|_| !town.is_draining()) else {
            return Ok(());
        };
        let is_new = |instance: &Option<String>| {
            let named = instance.as_ref();
            named.is_some_and(|it| {
                drain.instance.as_ref() != Some(it) && !drain.retired.contains(it)
            })
        };
        let rightly = match &event.kind {
            EventKind::ContainerReady(ready) => ready.nonce == drain.nonce,
            EventKind::Heartbeat(beat) => is_new(&beat.container_instance),
            EventKind::AgentStarted(started) => is_new(&started.container_instance),
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
