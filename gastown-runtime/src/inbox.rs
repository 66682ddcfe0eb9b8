//! What waits for a town's loop. Nothing is lost between a look and a sleep: every addition leaves
//! a permit that ends the next sleep at once.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gastown_core::events::Heartbeat;
use gastown_core::{AgentId, Command, Effect, EventKind, Receipt, SessionId, Town};
use metrics::gauge;
use tokio::sync::{Notify, oneshot};

use crate::effects::Prepared;
use crate::error::RuntimeError;
use crate::output::ToolRequest;
use crate::telemetry;

/// How many commands and tool calls of one town are not answered; more are refused as busy.
pub(crate) const COMMANDS_WAITING_MAX: usize = 1_024;
/// How many looks at one town wait; more are refused as busy.
pub(crate) const LOOKS_WAITING_MAX: usize = 1_024;

/// Looks at a town, or hears that there is none to look at.
pub(crate) type Look = Box<dyn FnOnce(Result<&Town, RuntimeError>) + Send>;

/// One thing that waits.
pub(crate) enum Item {
    /// A command of the host.
    Command {
        command: Command,
        reply: oneshot::Sender<Result<Receipt, RuntimeError>>,
        place: Place,
    },
    /// A command of an agent.
    Tool {
        session: SessionId,
        request: ToolRequest,
        place: Place,
    },
    /// A session ended. It counts after what the session said before.
    Ended(Box<EventKind>),
    /// Somebody wants to look.
    Look(Look),
    /// An effect's turn has come: is it still wanted, and with what?
    Ask {
        effect: Box<Effect>,
        reply: oneshot::Sender<Prepared>,
    },
}

/// The place of a command among those of its town that are not answered; free again when it is
/// dropped.
pub(crate) struct Place(pub(crate) Arc<AtomicUsize>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
        gauge!(telemetry::COMMANDS_WAITING).decrement(1.0);
    }
}

/// Everything that waited.
#[derive(Default)]
pub(crate) struct Taken {
    pub(crate) items: VecDeque<Item>,
    /// The newest heartbeat of each agent, if it is time to take them.
    pub(crate) heartbeats: BTreeMap<AgentId, Heartbeat>,
    /// The store's inbox has something new.
    pub(crate) store_has_news: bool,
    /// The town is to end.
    pub(crate) closing: bool,
}

#[derive(Default)]
struct State {
    items: VecDeque<Item>,
    looks: usize,
    heartbeats: BTreeMap<AgentId, Heartbeat>,
    store_has_news: bool,
    closing: bool,
    runner_ends: bool,
}

/// What waits for one town.
#[derive(Default)]
pub(crate) struct Inbox {
    state: Mutex<State>,
    /// Commands that are not answered, wherever they are.
    commands: Arc<AtomicUsize>,
    wake: Notify,
}

impl Inbox {
    /// A place for a command, unless too many are not answered.
    pub(crate) fn place(&self) -> Result<Place, RuntimeError> {
        let one_more =
            |count: usize| (count < COMMANDS_WAITING_MAX).then(|| count.saturating_add(1));
        let counted = self
            .commands
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more);
        counted.map_err(|_| RuntimeError::TownBusy)?;
        gauge!(telemetry::COMMANDS_WAITING).increment(1.0);
        Ok(Place(Arc::clone(&self.commands)))
    }

    /// Adds an item, or gives it back: there are too many, or the town is to end. Commands have
    /// their places, and ends of sessions and questions of effects are never too many: there is one
    /// of each at most. Ends are taken even when the town is to end: the last commit has them.
    pub(crate) fn push(&self, item: Item) -> Result<(), Box<(Item, RuntimeError)>> {
        let mut state = self.state();
        if state.closing && !matches!(item, Item::Ended(_)) {
            return Err(Box::new((item, RuntimeError::TownClosed)));
        }
        if matches!(item, Item::Look(_)) {
            if state.looks >= LOOKS_WAITING_MAX {
                return Err(Box::new((item, RuntimeError::TownBusy)));
            }
            state.looks = state.looks.saturating_add(1);
        }
        state.items.push_back(item);
        drop(state);
        self.wake.notify_one();
        Ok(())
    }

    /// Keeps the newest heartbeat of each agent. Returns whether the loop has to be told.
    pub(crate) fn beat(&self, heartbeat: Heartbeat) {
        let mut state = self.state();
        // The first one makes the loop plan when to take them; the others ride along.
        let first = state.heartbeats.is_empty();
        state
            .heartbeats
            .insert(heartbeat.agent_id.clone(), heartbeat);
        drop(state);
        if first {
            self.wake.notify_one();
        }
    }

    /// Takes the newest heartbeat of each agent, before it was planned.
    pub(crate) fn take_heartbeats(&self) -> BTreeMap<AgentId, Heartbeat> {
        std::mem::take(&mut self.state().heartbeats)
    }

    /// Puts heartbeats back that could not be committed, unless newer ones have come.
    pub(crate) fn put_back(&self, heartbeats: BTreeMap<AgentId, Heartbeat>) {
        let mut state = self.state();
        for (agent, heartbeat) in heartbeats {
            state.heartbeats.entry(agent).or_insert(heartbeat);
        }
    }

    /// Something was appended to the store's inbox.
    pub(crate) fn store_has_news(&self) {
        self.state().store_has_news = true;
        self.wake.notify_one();
    }

    /// Ends the next sleep.
    pub(crate) fn wake(&self) {
        self.wake.notify_one();
    }

    /// The town is to end; nothing but ends of sessions is taken any more.
    pub(crate) fn close(&self) {
        self.state().closing = true;
        self.wake.notify_one();
    }

    /// The town is to end with its runner, as [`Inbox::close`].
    pub(crate) fn close_with_runner(&self) {
        self.state().runner_ends = true;
        self.close();
    }

    /// Whether the runner ends, too. It may have begun to while the town was being closed.
    pub(crate) fn runner_ends(&self) -> bool {
        self.state().runner_ends
    }

    /// Whether heartbeats wait.
    pub(crate) fn has_heartbeats(&self) -> bool {
        !self.state().heartbeats.is_empty()
    }

    /// Takes everything; heartbeats only `with_heartbeats`.
    pub(crate) fn take(&self, with_heartbeats: bool) -> Taken {
        let mut state = self.state();
        state.looks = 0;
        Taken {
            items: std::mem::take(&mut state.items),
            heartbeats: match with_heartbeats {
                true => std::mem::take(&mut state.heartbeats),
                false => BTreeMap::new(),
            },
            store_has_news: std::mem::take(&mut state.store_has_news),
            closing: state.closing,
        }
    }

    /// Waits for the next addition; one since the last wait ends it at once.
    pub(crate) async fn woken(&self) {
        self.wake.notified().await;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn heartbeat(agent: &str, event: &str) -> Heartbeat {
        Heartbeat {
            agent_id: AgentId::new(agent).unwrap(),
            session: Some(1),
            container_instance: None,
            last_event_type: Some(event.into()),
            last_event_at: None,
            active_tools: Vec::new(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn no_addition_before_or_in_a_sleep_is_lost() {
        let inbox = std::sync::Arc::new(Inbox::default());
        inbox.store_has_news();
        inbox.woken().await;
        assert!(inbox.take(true).store_has_news);
        let sleeper = tokio::spawn({
            let inbox = inbox.clone();
            async move { inbox.woken().await }
        });
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(!sleeper.is_finished());
        inbox.close();
        sleeper.await.unwrap();
        assert!(inbox.take(true).closing);
    }

    #[test]
    fn only_the_newest_heartbeat_of_each_agent_counts() {
        let inbox = Inbox::default();
        for (agent, event) in [("a1", "old"), ("a2", "only"), ("a1", "new")] {
            inbox.beat(heartbeat(agent, event));
        }
        assert!(inbox.take(false).heartbeats.is_empty());
        let taken = inbox.take(true).heartbeats;
        inbox.beat(heartbeat("a2", "newer"));
        inbox.put_back(taken);
        let events: Vec<_> = inbox
            .take(true)
            .heartbeats
            .into_values()
            .filter_map(|heartbeat| heartbeat.last_event_type)
            .collect();
        assert_eq!(events, ["new", "newer"]);
    }

    #[test]
    fn a_full_or_closed_inbox_gives_back() {
        let inbox = Inbox::default();
        let look = || Item::Look(Box::new(|_| {}));
        for _ in 0..LOOKS_WAITING_MAX {
            assert!(inbox.push(look()).is_ok());
        }
        let (_, error) = *inbox.push(look()).err().unwrap();
        assert!(matches!(error, RuntimeError::TownBusy));
        assert_eq!(inbox.take(true).items.len(), LOOKS_WAITING_MAX);
        assert!(inbox.push(look()).is_ok());
        inbox.close();
        let (_, error) = *inbox.push(look()).err().unwrap();
        assert!(matches!(error, RuntimeError::TownClosed));
    }
}
