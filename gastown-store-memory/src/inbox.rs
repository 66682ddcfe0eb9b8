//! One town's events: pending, or consumed and remembered until they are pruned.

use std::collections::{BTreeMap, BTreeSet};

use gastown_core::{Event, EventId, StoreError, Timestamp};

#[derive(Debug, Default)]
pub(crate) struct Inbox {
    pending: BTreeMap<(Timestamp, EventId), Event>,
    seen: BTreeMap<EventId, Seen>,
}

#[derive(Debug)]
enum Seen {
    /// Pending since it happened at this time.
    Pending(Timestamp),
    /// Consumed by a commit of this time.
    Consumed(Timestamp),
}

impl Inbox {
    /// Returns how many were new.
    pub(crate) fn append(&mut self, events: Vec<Event>) -> usize {
        let before = self.seen.len();
        for event in events {
            if !self.seen.contains_key(&event.id) {
                self.seen.insert(event.id.clone(), Seen::Pending(event.at));
                self.pending.insert((event.at, event.id.clone()), event);
            }
        }
        self.seen.len().saturating_sub(before)
    }

    pub(crate) fn pending(&self, limit: usize) -> Vec<Event> {
        self.pending.values().take(limit).cloned().collect()
    }

    pub(crate) fn check_pending(&self, ids: &BTreeSet<EventId>) -> Result<(), StoreError> {
        let is_pending = |id: &&EventId| matches!(self.seen.get(*id), Some(Seen::Pending(_)));
        match ids.iter().find(|id| !is_pending(id)) {
            None => Ok(()),
            Some(id) => Err(StoreError::Refused {
                operation: "commit",
                reason: format!("event {id} is consumed but is not pending"),
            }),
        }
    }

    pub(crate) fn consume(&mut self, ids: &BTreeSet<EventId>, at: Timestamp) {
        for id in ids {
            if let Some(Seen::Pending(event_at)) = self.seen.insert(id.clone(), Seen::Consumed(at))
            {
                self.pending.remove(&(event_at, id.clone()));
            }
        }
    }

    pub(crate) fn prune(&mut self, before: Timestamp) -> usize {
        let all = self.seen.len();
        self.seen.retain(|_, seen| match seen {
            Seen::Pending(_) => true,
            Seen::Consumed(at) => *at >= before,
        });
        all.saturating_sub(self.seen.len())
    }
}
