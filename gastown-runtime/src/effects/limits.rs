//! How many effects run at once, and for how long.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use gastown_core::EffectKind;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How many effects run at once, and for how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EffectLimits {
    /// Of all towns together.
    pub in_all: usize,
    /// Of one town; less than in all, so that a town that hangs delays no other.
    pub per_town: usize,
    /// Of one kind, all towns together.
    pub per_kind: usize,
    /// How long one may take before its outcome is unknown. Starts and stops of agents have the
    /// supervisor's deadlines instead.
    pub deadline: Duration,
}

impl EffectLimits {
    /// 64 in all, 16 of one town, 32 of one kind; two minutes each.
    #[must_use]
    pub fn usual() -> Self {
        Self {
            in_all: 64,
            per_town: 16,
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

/// The right to run one effect.
#[derive(Debug)]
pub(crate) struct Permit {
    _permits: Vec<OwnedSemaphorePermit>,
}

impl Limits {
    pub(crate) fn new(limits: &EffectLimits) -> Self {
        let places =
            |count: usize| Arc::new(Semaphore::new(count.clamp(1, Semaphore::MAX_PERMITS)));
        Self {
            in_all: places(limits.in_all),
            kinds: EffectKind::TYPES
                .iter()
                .map(|kind| (*kind, places(limits.per_kind)))
                .collect(),
        }
    }

    /// Waits for a place: of the town first, so that none of the others' is held meanwhile.
    pub(crate) async fn permit(&self, town: &Arc<Semaphore>, kind: &EffectKind) -> Permit {
        let of_kind = self.kinds.get(kind.type_name());
        let mut permits = Vec::new();
        for places in [Some(town), of_kind, Some(&self.in_all)]
            .into_iter()
            .flatten()
        {
            // None is ever closed.
            permits.extend(Arc::clone(places).acquire_owned().await);
        }
        Permit { _permits: permits }
    }
}
