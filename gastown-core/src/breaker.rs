//! The circuit breaker: no money is burned on starts that fail (spec 3.6).

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::ids::{AgentId, BeadId, RigId};
use crate::time::Timestamp;

/// Where the breaker stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BreakerState {
    /// Dispatches go out.
    #[default]
    Closed,
    /// None goes out.
    Open,
    /// One goes out, to see.
    HalfOpen,
}

impl BreakerState {
    /// Every state.
    pub const ALL: [Self; 3] = [Self::Closed, Self::Open, Self::HalfOpen];

    /// The legal transitions: tripped, probed, and by what came of the probe reset or open again.
    #[must_use]
    pub const fn may_become(self, to: Self) -> bool {
        match self {
            Self::Closed => matches!(to, Self::Open),
            Self::Open => matches!(to, Self::HalfOpen),
            Self::HalfOpen => matches!(to, Self::Closed | Self::Open),
        }
    }
}

/// A dispatch that was rejected or never reported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StartFailure {
    /// The bead that was dispatched.
    pub bead_id: BeadId,
    /// When it failed.
    pub at: Timestamp,
}

/// The one dispatch of a half-open breaker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Probe {
    /// The bead that is dispatched to see.
    pub bead_id: BeadId,
    /// The agent and its session, once dispatched.
    #[serde(default)]
    pub agent_id: Option<AgentId>,
    /// The session, once dispatched.
    #[serde(default)]
    pub session: Option<u64>,
    /// When it was chosen.
    pub at: Timestamp,
}

/// The breaker's record.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Breaker {
    /// Where it stands.
    pub state: BreakerState,
    /// Failures within the window, oldest first; at most twice the threshold are kept.
    pub failures: Vec<StartFailure>,
    /// Failures since the last success.
    pub in_a_row: u32,
    /// When it last opened.
    pub opened_at: Option<Timestamp>,
    /// The probe under way.
    pub probe: Option<Probe>,
    /// Probes made since it opened.
    pub probes: u32,
    /// When each rig was last probed.
    pub probed_rigs: BTreeMap<RigId, Timestamp>,
    /// When a person was told that it is open.
    pub told_at: Option<Timestamp>,
    /// The probe's session has reported: the breaker closes.
    pub probe_started: bool,
    /// A person asked for one probe more.
    pub probe_asked: bool,
}

#[cfg(test)]
mod tests {
    use super::BreakerState;

    #[test]
    fn transitions_over_all_pairs() {
        let mut legal = alloc::vec::Vec::new();
        for from in BreakerState::ALL {
            for to in BreakerState::ALL {
                if from.may_become(to) {
                    legal.push(alloc::format!("{from:?}→{to:?}"));
                }
            }
        }
        insta::assert_snapshot!(legal.join(" "), @"Closed→Open Open→HalfOpen HalfOpen→Closed HalfOpen→Open");
    }
}
