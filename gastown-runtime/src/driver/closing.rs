//! The end of a town's loop (spec 6.2).

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use gastown_core::AgentId;
use gastown_core::events::Heartbeat;
use tokio::time::timeout;

use super::Driver;
use crate::effects::Prepared;
use crate::error::RuntimeError;
use crate::inbox::{Item, Taken};
use crate::town_handle::TownStatus;

impl Driver {
    /// Ends the town: nothing more begins, what runs may finish, the rest stays in the outbox.
    pub(super) async fn close(mut self, taken: Taken) {
        self.state.calls.fail_all(&RuntimeError::TownClosed);
        let mut heartbeats = self.sort_at_end(taken);
        self.keep_lease(self.settings.close_wait).await;
        if timeout(self.settings.close_wait, self.all_ended())
            .await
            .is_err()
        {
            self.hand_back().await;
        }
        let ends = self.inbox.take(true);
        heartbeats.extend(self.sort_at_end(ends));
        self.state.look = true;
        let may_commit = self.state.frozen.is_none() && self.state.town.is_some();
        let ticked = match may_commit {
            // The last commit: results that came meanwhile, and heartbeats.
            true => self.tick_if_due(&heartbeats).await,
            false => Ok(()),
        };
        // Ends of sessions need no town, and whoever has it next learns of some of them only here:
        // what an eviction found, for example.
        let appended = self.append_exits().await;
        if let Err(error) = ticked.and(appended) {
            tracing::warn!(town = %self.town_id, %error, "could not commit at the end");
        }
        if self.inbox.runner_ends() {
            self.stop_agents().await;
        }
        self.performer.workshop.supervisor.release(&self.town_id);
        self.release().await;
        self.status.send_replace(TownStatus::Closed);
    }

    /// Agents that end with this runner end before its lease: whoever has the town next finds them
    /// missing and sends them anew, and other towns may take minutes to end. And they end after the last
    /// tick, which must not take those for silent that were stopped while one hung.
    async fn stop_agents(&mut self) {
        if !self.performer.workshop.owns_agents {
            return;
        }
        // A start or stop that is under way comes first.
        let stopping = self.settings.sessions.stop_deadline.saturating_mul(3);
        self.keep_lease(stopping).await;
        let supervisor = &self.performer.workshop.supervisor;
        supervisor.stop_all(&self.town_id, "the host ends").await;
        let ends = self.inbox.take(true);
        drop(self.sort_at_end(ends));
        if let Err(error) = self.append_exits().await {
            tracing::warn!(town = %self.town_id, %error, "could not record ends of sessions");
        }
    }

    /// Has the lease for so long, if the town is this runner's.
    async fn keep_lease(&mut self, span: Duration) {
        if self.state.lease.is_none() {
            return;
        }
        if let Err(error) = self.cover(span).await {
            tracing::warn!(town = %self.town_id, %error, "could not keep the lease to the end");
        }
    }

    /// Waits until everything that runs beside the loop has ended.
    pub(super) async fn all_ended(&mut self) {
        while !self.state.effects.is_empty() || !self.state.chores.is_empty() {
            tokio::select! {
                Some(_) = self.state.effects.join_next() => {}
                () = self.state.chores.next() => {}
            }
        }
    }

    /// Ends what did not end in time; it stays in the outbox. Starts go on by themselves, so they
    /// are undone: whoever has the town next starts these sessions again. Agents that are seen out
    /// are not waited for any more, but their work is saved: the machine may go away with the host.
    pub(super) async fn hand_back(&mut self) {
        self.state.effects.shutdown().await;
        if self.state.chores.is_evacuating() {
            let sessions = &self.settings.sessions;
            // A save may wait for another one.
            let saves = sessions.save_deadline.saturating_mul(2);
            let saving = sessions.stop_deadline.saturating_add(saves);
            self.keep_lease(saving).await;
            if timeout(saving, self.state.chores.hurry()).await.is_err() {
                tracing::error!(town = %self.town_id, "the work of agents may not be saved");
            }
        }
        self.state.chores.give_up().await;
        // Until then nobody else may start them: a stop that is under way comes first, and then
        // that of the start.
        let undoing = self.settings.sessions.stop_deadline.saturating_mul(2);
        self.keep_lease(undoing).await;
        let supervisor = &self.performer.workshop.supervisor;
        supervisor.withdraw_starts(&self.town_id).await;
    }

    pub(super) fn sort_at_end(&mut self, taken: Taken) -> BTreeMap<AgentId, Heartbeat> {
        let ends = turn_away(taken.items);
        self.sort(ends, taken.heartbeats)
    }
}

impl Drop for Driver {
    /// However the loop ends, nobody waits for it any more: an adapter that panics takes the loop
    /// with it, and so does whoever cuts it off.
    fn drop(&mut self) {
        if std::thread::panicking() {
            tracing::error!(town = %self.town_id, "a town's loop ends by a panic");
        }
        self.inbox.close();
        self.state.calls.fail_all(&RuntimeError::TownClosed);
        // Ends of sessions are found out when the town is opened again.
        drop(turn_away(self.inbox.take(true).items));
        self.status.send_if_modified(|status| {
            let is_news = !matches!(status, TownStatus::Closed);
            *status = TownStatus::Closed;
            is_news
        });
    }
}

/// Answers what waits for a town that ends; returns the ends of sessions, which wait for no answer.
fn turn_away(items: VecDeque<Item>) -> VecDeque<Item> {
    let mut ends = VecDeque::new();
    for item in items {
        match item {
            Item::Ended(_) => ends.push_back(item),
            Item::Look(look) => look(Err(RuntimeError::TownClosed)),
            Item::Ask { reply, .. } => {
                let _ = reply.send(Prepared::Later);
            }
            Item::Command { reply, .. } => {
                let _ = reply.send(Err(RuntimeError::TownClosed));
            }
            Item::Tool { request, .. } => {
                request.reply.refuse(".", "the host is about to end");
            }
        }
    }
    ends
}
