//! Generated towns: valid, dangling, without rigs, with skewed clocks, drained, breaker open, from
//! empty to hundreds of beads.
//!
//! A town is generated as a seed of small numbers, which shrinks well, and then written as a
//! snapshot: what is generated passes through the real reader.

mod beads;
mod dice;
mod form;
mod reviews;

use std::ops::RangeInclusive;
use std::time::Duration;

use gastown_core::{Timestamp, Town, wire};
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::Value;

/// The most beads of a generated town.
pub const BEADS_MAX: usize = 500;

/// The time around which everything in a generated town happened.
#[must_use]
pub fn now() -> Timestamp {
    Timestamp::from_millis(1_775_304_000_000)
}

/// What a bead is made from.
#[derive(Debug, Clone)]
struct BeadSeed {
    kind: u8,
    status: u8,
    rig: u16,
    agent: u16,
    other: u16,
    attempts: u8,
    age_seconds: i64,
    touched_seconds: i64,
    flags: u16,
    more: u64,
}

/// What an agent is made from.
#[derive(Debug, Clone)]
struct AgentSeed {
    role: u8,
    status: u8,
    rig: u16,
    hook: u16,
    session: u8,
    attempts: u8,
    age_seconds: i64,
    flags: u8,
    more: u64,
}

/// What a town is made from.
#[derive(Debug, Clone)]
pub struct TownSeed {
    rigs: u8,
    beads: Vec<BeadSeed>,
    agents: Vec<AgentSeed>,
    edges: Vec<(u16, u16, u8)>,
    nudges: Vec<u64>,
    flags: u16,
    more: u64,
}

prop_compose! {
    fn bead_seed()(
        kind in 0u8..24, status in 0u8..10, rig in any::<u16>(), agent in any::<u16>(),
        other in any::<u16>(), attempts in 0u8..8, age_seconds in ages(), touched_seconds in ages(),
        flags in any::<u16>(), more in any::<u64>(),
    ) -> BeadSeed {
        BeadSeed { kind, status, rig, agent, other, attempts, age_seconds, touched_seconds, flags, more }
    }
}

prop_compose! {
    fn agent_seed()(
        role in 0u8..6, status in 0u8..9, rig in any::<u16>(), hook in any::<u16>(),
        session in 0u8..4, attempts in 0u8..8, age_seconds in ages(), flags in any::<u8>(),
        more in any::<u64>(),
    ) -> AgentSeed {
        AgentSeed { role, status, rig, hook, session, attempts, age_seconds, flags, more }
    }
}

/// Ages around the thresholds of the policy, and some in the future: a skewed clock.
fn ages() -> impl Strategy<Value = i64> {
    prop_oneof![
        4 => 0i64..600,
        3 => 0i64..20_000,
        1 => 0i64..4_000_000,
        1 => -7_200i64..0,
        2 => prop::sample::select(vec![30, 60, 90, 120, 180, 300, 900, 1_800, 3_600, 7_200, 9_000]),
    ]
}

/// Seeds of towns with that many beads, and agents and edges in proportion.
pub fn seeds(beads: RangeInclusive<usize>) -> impl Strategy<Value = TownSeed> {
    let most = *beads.end();
    let (agents, edges) = (
        most.saturating_div(8).max(8),
        most.saturating_div(4).max(12),
    );
    (
        0u8..4,
        vec(bead_seed(), beads),
        vec(agent_seed(), 0..agents),
        vec((any::<u16>(), any::<u16>(), 0u8..7), 0..edges),
        vec(any::<u64>(), 0..4),
        any::<u16>(),
        any::<u64>(),
    )
        .prop_map(
            |(rigs, beads, agents, edges, nudges, flags, more)| TownSeed {
                rigs,
                beads,
                agents,
                edges,
                nudges,
                flags,
                more,
            },
        )
}

/// Seeds of towns of every size, from empty to [`BEADS_MAX`] beads: mostly small, because small
/// towns find most and say it shortly.
pub fn all_seeds() -> impl Strategy<Value = TownSeed> {
    prop_oneof![
        300 => seeds(0..=8),
        600 => seeds(0..=30),
        90 => seeds(20..=100),
        7 => seeds(100..=250),
        1 => seeds(400..=BEADS_MAX),
    ]
}

/// Seeds of towns whose pull requests are near a merge: the engine may merge, nothing holds it up,
/// and every review has a pull request that was looked at.
pub fn near_green() -> impl Strategy<Value = TownSeed> {
    /// Of the town: the engine merges, by pull requests, and a bead that failed releases.
    const KEPT: u16 = 0b10_0000_0110;
    const MERGES: u16 = 0b10;
    /// Of a bead: it has a pull request, was looked at, and was reviewed; it is not held.
    const LOOKED_AT: u16 = 0b111_0000;
    const HELD: u16 = 0b100;
    seeds(1..=10).prop_map(|mut seed| {
        seed.flags = (seed.flags & KEPT) | MERGES;
        for bead in &mut seed.beads {
            bead.flags = (bead.flags | LOOKED_AT) & !HELD;
        }
        seed
    })
}

/// Towns with that many beads.
pub fn towns(beads: RangeInclusive<usize>) -> impl Strategy<Value = Town> {
    seeds(beads).prop_map(|seed| seed.town())
}

impl TownSeed {
    /// The town.
    ///
    /// # Panics
    /// If the reader refuses a generated snapshot: then the generator is wrong.
    #[must_use]
    #[allow(clippy::panic)]
    pub fn town(&self) -> Town {
        match wire::snapshot_from_value(self.snapshot()) {
            Ok(town) => town,
            Err(error) => panic!("the generator made a snapshot that is refused: {error}"),
        }
    }
}

/// The same town with its entities in another order, which must make no difference.
#[must_use]
pub fn shuffled(mut snapshot: Value, order: u64) -> Value {
    let mut state = order;
    for name in ["rigs", "agents", "beads", "dependencies", "nudges"] {
        if let Some(list) = snapshot.get_mut(name).and_then(Value::as_array_mut) {
            shuffle(list, &mut state);
        }
    }
    if let Some(list) = snapshot
        .pointer_mut("/town/conditions")
        .and_then(Value::as_array_mut)
    {
        shuffle(list, &mut state);
    }
    snapshot
}

/// Fisher and Yates, with a generator of numbers that is the same everywhere.
fn shuffle<T>(list: &mut [T], state: &mut u64) {
    for last in (1..list.len()).rev() {
        *state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let sides = u64::try_from(last.saturating_add(1)).unwrap_or(u64::MAX);
        let at = (*state >> 33).checked_rem(sides).unwrap_or(0);
        list.swap(last, usize::try_from(at).unwrap_or(0));
    }
}

/// A time after [`now`].
#[must_use]
pub fn after(seconds: u64) -> Timestamp {
    now().plus(Duration::from_secs(seconds))
}
