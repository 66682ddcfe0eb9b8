//! How many effects run at once, and for how long.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use gastown_core::{EffectKind, RigId};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How many effects run at once, and for how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EffectLimits {
    /// Of all towns together.
    pub in_all: usize,
    /// Of one town; less than in all, so that a town that hangs delays no other.
    pub per_town: usize,
    /// About one rig, so that one repository that hangs delays no other of its town.
    pub per_rig: usize,
    /// Of one kind, all towns together.
    pub per_kind: usize,
    /// How long one may take before its outcome is unknown. Starts and stops of agents have the
    /// supervisor's deadlines instead.
    pub deadline: Duration,
}

impl EffectLimits {
    /// 64 in all, 16 of one town, 8 about one rig, 32 of one kind; two minutes each.
    #[must_use]
    pub fn usual() -> Self {
        Self {
            in_all: 64,
            per_town: 16,
            per_rig: 8,
            per_kind: 32,
            deadline: Duration::from_secs(120),
        }
    }
}

/// The places that effects of all towns share.
#[derive(Debug)]
pub(crate) struct Limits {
    in_all: Arc<Semaphore>,
    kinds: BTreeMap<&'static str, Arc<Semaphore>>,
}

/// The places of one town.
#[derive(Debug)]
pub(crate) struct TownPlaces {
    all: Arc<Semaphore>,
    per_rig: usize,
    rigs: Mutex<BTreeMap<RigId, Arc<Semaphore>>>,
}

/// The right to run one effect.
#[derive(Debug)]
pub(crate) struct Permit {
    _permits: Vec<OwnedSemaphorePermit>,
}

impl TownPlaces {
    pub(crate) fn new(limits: &EffectLimits) -> Self {
        Self {
            all: places(limits.per_town),
            per_rig: limits.per_rig,
            rigs: Mutex::default(),
        }
    }

    fn of_rig(&self, rig_id: &RigId) -> Arc<Semaphore> {
        let mut rigs = self.rigs.lock().unwrap_or_else(PoisonError::into_inner);
        // Rigs come and go: only those with effects are kept.
        rigs.retain(|id, places| id == rig_id || Arc::strong_count(places) > 1);
        let of_rig = rigs.entry(rig_id.clone());
        Arc::clone(of_rig.or_insert_with(|| places(self.per_rig)))
    }
}

impl Limits {
    pub(crate) fn new(limits: &EffectLimits) -> Self {
        let kinds = EffectKind::TYPES.iter();
        Self {
            in_all: places(limits.in_all),
            kinds: kinds.map(|kind| (*kind, places(limits.per_kind))).collect(),
        }
    }

    /// Waits for a place: the narrowest first, so that none that others need is held meanwhile.
    pub(crate) async fn permit(&self, town: &TownPlaces, kind: &EffectKind) -> Permit {
        let of_rig = kind.rig_id().map(|rig_id| town.of_rig(rig_id));
        let of_kind = self.kinds.get(kind.type_name()).cloned();
        let wanted = [
            of_rig,
            Some(Arc::clone(&town.all)),
            of_kind,
            Some(Arc::clone(&self.in_all)),
        ];
        let mut permits = Vec::new();
        for places in wanted.into_iter().flatten() {
            // None is ever closed.
            permits.extend(places.acquire_owned().await);
        }
        Permit { _permits: permits }
    }
}

fn places(count: usize) -> Arc<Semaphore> {
    Arc::new(Semaphore::new(count.clamp(1, Semaphore::MAX_PERMITS)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use gastown_core::effects::{CreateBranch, StopAgent};
    use tokio::time::timeout;

    fn branch(rig: &str) -> EffectKind {
        let create = CreateBranch {
            convoy_id: "c1".parse().unwrap(),
            rig_id: rig.parse().unwrap(),
            branch: "b".into(),
        };
        create.into()
    }

    fn stop() -> EffectKind {
        let stop = StopAgent {
            agent_id: "a1".parse().unwrap(),
            session: 1,
            reason: String::new(),
        };
        stop.into()
    }

    /// Takes places of a kind until there are no more.
    async fn fill(limits: &Limits, town: &TownPlaces, kind: &EffectKind) -> Vec<Permit> {
        let mut taken = Vec::new();
        while let Ok(permit) = timeout(Duration::from_secs(1), limits.permit(town, kind)).await {
            taken.push(permit);
        }
        taken
    }

    #[tokio::test(start_paused = true)]
    async fn each_limit_holds_and_leaves_room_for_others() {
        let settings = EffectLimits {
            in_all: 10,
            per_town: 6,
            per_rig: 3,
            per_kind: 8,
            deadline: Duration::from_secs(1),
        };
        let limits = Limits::new(&settings);
        let (town, other) = (TownPlaces::new(&settings), TownPlaces::new(&settings));
        let of_rig = fill(&limits, &town, &branch("r1")).await;
        assert_eq!(of_rig.len(), 3);
        let of_town = fill(&limits, &town, &branch("r2")).await;
        assert_eq!(of_town.len(), 3);
        // Now the town is full, too; of this kind there are two places left, of all four.
        assert_eq!(fill(&limits, &town, &stop()).await.len(), 0);
        let of_kind = fill(&limits, &other, &branch("r1")).await;
        assert_eq!(of_kind.len(), 2);
        let of_all = fill(&limits, &other, &stop()).await;
        assert_eq!(of_all.len(), 2);
        drop(of_rig);
        assert_eq!(fill(&limits, &town, &branch("r1")).await.len(), 3);
    }
}
