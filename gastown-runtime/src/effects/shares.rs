//! Places that towns share fairly: who holds many does not take the last ones.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gastown_core::TownId;
use tokio::sync::Notify;

/// The kind of an effect.
type Kind = &'static str;

/// Places of all kinds and in all. A town gets one more only while it holds fewer than are free,
/// of the kind and in all; those who wait are served in their order.
#[derive(Debug)]
pub(crate) struct Shares {
    in_all: usize,
    per_kind: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    taken: Taken,
    kinds: BTreeMap<Kind, OfKind>,
    /// Numbers those who wait.
    announced: u64,
}

#[derive(Debug, Default)]
struct OfKind {
    taken: Taken,
    /// Those who wait, in their order.
    waiting: BTreeMap<u64, Waiting>,
}

#[derive(Debug)]
struct Waiting {
    town_id: TownId,
    granted: Arc<Notify>,
}

/// Places that are taken, and by whom.
#[derive(Debug, Default)]
struct Taken {
    count: usize,
    towns: BTreeMap<TownId, usize>,
}

impl Taken {
    /// Whether the town may have one more of so many.
    fn leaves_one_for(&self, town_id: &TownId, places: usize) -> bool {
        let own = self.towns.get(town_id).copied().unwrap_or_default();
        places.saturating_sub(self.count) > own
    }

    fn take(&mut self, town_id: &TownId) {
        self.count = self.count.saturating_add(1);
        let own = self.towns.entry(town_id.clone()).or_default();
        *own = own.saturating_add(1);
    }

    fn give_back(&mut self, town_id: &TownId) {
        self.count = self.count.saturating_sub(1);
        if let Some(own) = self.towns.get_mut(town_id) {
            *own = own.saturating_sub(1);
            if *own == 0 {
                self.towns.remove(town_id);
            }
        }
    }
}

/// A place that is held, or waited for; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct SharedPlace {
    shares: Arc<Shares>,
    town_id: TownId,
    kind: Kind,
    number: u64,
}

impl Drop for SharedPlace {
    fn drop(&mut self) {
        let mut state = self.shares.state();
        let of_kind = state.kinds.entry(self.kind).or_default();
        // Who no longer waits has its place.
        if of_kind.waiting.remove(&self.number).is_none() {
            of_kind.taken.give_back(&self.town_id);
            state.taken.give_back(&self.town_id);
        }
        self.shares.grant(&mut state);
    }
}

impl Shares {
    /// So many places in all, and so many of each kind; one at least.
    pub(crate) fn new(in_all: usize, per_kind: usize) -> Self {
        Self {
            in_all: in_all.max(1),
            per_kind: per_kind.max(1),
            state: Mutex::default(),
        }
    }

    /// Waits for a place. Whoever stops waiting leaves nothing behind.
    pub(crate) async fn place(shares: &Arc<Self>, town_id: &TownId, kind: Kind) -> SharedPlace {
        let granted = Arc::new(Notify::new());
        let place = {
            let mut state = shares.state();
            state.announced = state.announced.saturating_add(1);
            let number = state.announced;
            let waiting = Waiting {
                town_id: town_id.clone(),
                granted: Arc::clone(&granted),
            };
            let of_kind = state.kinds.entry(kind).or_default();
            of_kind.waiting.insert(number, waiting);
            shares.grant(&mut state);
            SharedPlace {
                shares: Arc::clone(shares),
                town_id: town_id.clone(),
                kind,
                number,
            }
        };
        granted.notified().await;
        place
    }

    /// Gives out what may be given, in the order of asking.
    fn grant(&self, state: &mut State) {
        while state.taken.count < self.in_all {
            let next = self.next(state);
            let Some((number, kind)) = next else {
                return;
            };
            let Some(of_kind) = state.kinds.get_mut(kind) else {
                return;
            };
            let Some(waiting) = of_kind.waiting.remove(&number) else {
                return;
            };
            of_kind.taken.take(&waiting.town_id);
            state.taken.take(&waiting.town_id);
            waiting.granted.notify_one();
        }
    }

    /// Who waits longest among those who may have a place.
    fn next(&self, state: &State) -> Option<(u64, Kind)> {
        let first_of = |(kind, of_kind): (&Kind, &OfKind)| {
            if of_kind.taken.count >= self.per_kind {
                return None;
            }
            let mut waiting = of_kind.waiting.iter();
            let may_have = |waiting: &Waiting| {
                let town_id = &waiting.town_id;
                of_kind.taken.leaves_one_for(town_id, self.per_kind)
                    && state.taken.leaves_one_for(town_id, self.in_all)
            };
            let found = waiting.find(|(_, waiting)| may_have(waiting));
            found.map(|(number, _)| (*number, *kind))
        };
        state.kinds.iter().filter_map(first_of).min()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::time::timeout;

    const STARTS: Kind = "start_agent";
    const POLLS: Kind = "poll_pr";

    fn town(number: usize) -> TownId {
        TownId::new(format!("t{number}")).unwrap()
    }

    async fn try_place(shares: &Arc<Shares>, number: usize, kind: Kind) -> Option<SharedPlace> {
        let town_id = town(number);
        let place = Shares::place(shares, &town_id, kind);
        timeout(Duration::from_secs(1), place).await.ok()
    }

    /// Takes places until there are no more for the town.
    async fn fill(shares: &Arc<Shares>, number: usize, kind: Kind) -> Vec<SharedPlace> {
        let mut taken = Vec::new();
        while let Some(place) = try_place(shares, number, kind).await {
            taken.push(place);
        }
        taken
    }

    #[tokio::test(start_paused = true)]
    async fn each_limit_holds_and_what_is_given_back_can_be_had() {
        let shares = Arc::new(Shares::new(10, 8));
        let of_kind = fill(&shares, 1, STARTS).await;
        assert_eq!(of_kind.len(), 4, "half of its kind");
        let other = fill(&shares, 2, STARTS).await;
        assert_eq!(other.len(), 2, "half of what is left");
        let of_all = fill(&shares, 3, POLLS).await;
        assert_eq!(of_all.len(), 2, "half of what is left in all");
        drop(of_kind);
        assert_eq!(fill(&shares, 3, STARTS).await.len(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn towns_that_hang_leave_a_place_for_one_that_holds_none() {
        let shares = Arc::new(Shares::new(64, 32));
        let mut hanging = Vec::new();
        for expected in [16, 8, 4, 2, 1] {
            let taken = fill(&shares, hanging.len(), STARTS).await;
            assert_eq!(taken.len(), expected);
            hanging.push(taken);
            let newcomer = try_place(&shares, 1_000, STARTS).await;
            assert!(newcomer.is_some(), "after {} towns", hanging.len());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_waited_longest_is_next_and_who_went_away_is_passed_over() {
        let shares = Arc::new(Shares::new(2, 2));
        let first = try_place(&shares, 1, STARTS).await.unwrap();
        let second = try_place(&shares, 2, POLLS).await.unwrap();
        let order = Arc::new(Mutex::new(Vec::new()));
        let wait = |number, kind| {
            let (shares, order) = (shares.clone(), order.clone());
            tokio::spawn(async move {
                let place = Shares::place(&shares, &town(number), kind).await;
                order.lock().unwrap().push(number);
                drop(place);
            })
        };
        let mut waiting = Vec::new();
        for (number, kind) in [(3, STARTS), (4, POLLS), (5, POLLS), (6, STARTS)] {
            waiting.push(wait(number, kind));
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        waiting.remove(1).abort();
        tokio::time::sleep(Duration::from_secs(1)).await;
        drop(first);
        for task in waiting {
            timeout(Duration::from_secs(1), task)
                .await
                .unwrap()
                .unwrap();
        }
        assert_eq!(*order.lock().unwrap(), [3, 5, 6]);
        drop(second);
        assert_eq!(shares.state().taken.count, 0);
        assert!(shares.state().taken.towns.is_empty());
    }
}
