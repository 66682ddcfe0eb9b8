//! How many effects run at once, and for how long.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use gastown_core::{EffectKind, RigId, TownId};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::sleep;

use super::shares::{SharedPlace, Shares};

/// How many effects run at once, and for how long.
///
/// The places that all towns share are given in the order in which they were asked for, but no
/// town gets one more while it holds as many as are free: one town uses at most half of them, and
/// the last one is for a town that holds none. Nor does an effect keep its place for longer than
/// `hold`, so that no number of effects that hang keeps others waiting for longer. It then counts
/// only among those of its town and rig: of all towns at most `in_all` run, and for each `hold`
/// until their deadlines as many that hang.
///
/// What has to overtake effects that hang never waits for the places of its town: stops of agents,
/// notices and nudges have places of their own, `per_town` of each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EffectLimits {
    /// Of all towns together.
    pub in_all: usize,
    /// Of one town; as many stops, notices and nudges besides.
    pub per_town: usize,
    /// About one rig, so that one repository that hangs delays no other of its town. Starts wait for
    /// these places, too, and one that has not reported within the policy's `start_grace` counts as failed:
    /// where many issues come at once and starts are slow, a town's `max_polecats_per_rig` keeps them apart.
    pub per_rig: usize,
    /// Of one kind, all towns together.
    pub per_kind: usize,
    /// How long one keeps its place from other towns.
    pub hold: Duration,
    /// How long one may take before its outcome is unknown. Starts and stops of agents have the
    /// supervisor's deadlines instead.
    pub deadline: Duration,
}

impl EffectLimits {
    /// 64 in all, 16 of one town, 8 about one rig, 32 of one kind; half a minute from others, two
    /// minutes each.
    #[must_use]
    pub fn usual() -> Self {
        Self {
            in_all: 64,
            per_town: 16,
            per_rig: 8,
            per_kind: 32,
            hold: Duration::from_secs(30),
            deadline: Duration::from_secs(120),
        }
    }
}

/// The places that effects of all towns share.
#[derive(Debug)]
pub(crate) struct Limits {
    shares: Arc<Shares>,
    hold: Duration,
}

/// The places of one town.
#[derive(Debug)]
pub(crate) struct TownPlaces {
    town_id: TownId,
    all: Arc<Semaphore>,
    per_rig: usize,
    rigs: Mutex<BTreeMap<RigId, Arc<Semaphore>>>,
    overtaking: Overtaking,
}

/// The places of effects that can't wait behind others: a stop is what ends a start that hangs, and
/// a notice is how people learn of it. None of the three waits for another one.
#[derive(Debug)]
struct Overtaking {
    stops: Arc<Semaphore>,
    notices: Arc<Semaphore>,
    nudges: Arc<Semaphore>,
}

impl Overtaking {
    fn places(&self, kind: &EffectKind) -> Option<&Arc<Semaphore>> {
        match kind {
            EffectKind::StopAgent(_) => Some(&self.stops),
            EffectKind::NotifyMayor(_) => Some(&self.notices),
            EffectKind::DeliverNudge(_) => Some(&self.nudges),
            EffectKind::StartAgent(_)
            | EffectKind::PollPr(_)
            | EffectKind::MergePr(_)
            | EffectKind::VerifyMerge(_)
            | EffectKind::CreateBranch(_)
            | EffectKind::RefreshContainerToken(_)
            | EffectKind::RenewLlmToken(_)
            | EffectKind::StopContainer(_) => None,
        }
    }
}

/// The right to run one effect as far as its own town and rig are concerned.
#[derive(Debug)]
pub(crate) struct OwnPlace {
    _permits: Vec<OwnedSemaphorePermit>,
}

impl TownPlaces {
    pub(crate) fn new(town_id: TownId, limits: &EffectLimits) -> Self {
        Self {
            town_id,
            all: places(limits.per_town),
            per_rig: limits.per_rig,
            rigs: Mutex::default(),
            overtaking: Overtaking {
                stops: places(limits.per_town),
                notices: places(limits.per_town),
                nudges: places(limits.per_town),
            },
        }
    }

    /// Waits for a place of the town's own: the rig's first, so that no other rig's is held
    /// meanwhile. It takes nothing from other towns, so it may be held for as long as it takes.
    pub(crate) async fn own_place(&self, kind: &EffectKind) -> OwnPlace {
        let needed = match self.overtaking.places(kind) {
            Some(places) => vec![Arc::clone(places)],
            None => {
                let of_rig = kind.rig_id().map(|rig_id| self.of_rig(rig_id));
                of_rig.into_iter().chain([Arc::clone(&self.all)]).collect()
            }
        };
        let mut permits = Vec::new();
        for places in needed {
            // None is ever closed.
            permits.extend(places.acquire_owned().await);
        }
        OwnPlace { _permits: permits }
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
        Self {
            shares: Arc::new(Shares::new(limits.in_all, limits.per_kind)),
            hold: limits.hold,
        }
    }

    /// Waits for one of the places that all towns share. The caller has its own town's place.
    pub(crate) async fn shared_place(&self, town: &TownPlaces, kind: &EffectKind) -> SharedPlace {
        Shares::place(&self.shares, &town.town_id, kind.type_name()).await
    }

    /// Does something in its place; what takes long goes on without one.
    pub(crate) async fn hold<T>(
        &self,
        place: Option<SharedPlace>,
        work: impl Future<Output = T>,
    ) -> T {
        tokio::pin!(work);
        tokio::select! {
            biased;
            done = &mut work => return done,
            () = sleep(self.hold) => drop(place),
        }
        work.await
    }
}

fn places(count: usize) -> Arc<Semaphore> {
    Arc::new(Semaphore::new(count.clamp(1, Semaphore::MAX_PERMITS)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use gastown_core::effects::CreateBranch;
    use tokio::time::timeout;

    fn branch(rig: &str) -> EffectKind {
        let create = CreateBranch {
            convoy_id: "c1".parse().unwrap(),
            rig_id: rig.parse().unwrap(),
            branch: "b".into(),
        };
        create.into()
    }

    /// Takes places about a rig until there are no more.
    async fn fill(town: &TownPlaces, rig: &str) -> Vec<OwnPlace> {
        let mut taken = Vec::new();
        let kind = branch(rig);
        while let Ok(place) = timeout(Duration::from_secs(1), town.own_place(&kind)).await {
            taken.push(place);
        }
        taken
    }

    #[tokio::test(start_paused = true)]
    async fn the_limits_of_rig_and_town_hold_and_leave_room_for_other_rigs() {
        let settings = EffectLimits {
            per_town: 6,
            per_rig: 4,
            ..EffectLimits::usual()
        };
        let town = TownPlaces::new("t1".parse().unwrap(), &settings);
        let first = fill(&town, "r1").await;
        assert_eq!(first.len(), 4);
        let second = fill(&town, "r2").await;
        assert_eq!(second.len(), 2, "now the town is full");
        drop(first);
        let third = fill(&town, "r2").await;
        assert_eq!(third.len(), 2, "now the rig is full");
        assert_eq!(fill(&town, "r1").await.len(), 2);
    }
}
