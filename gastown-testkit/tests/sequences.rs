//! The properties of spec 5.2 over sequences of commands and events with faults.

// Helpers of tests may stop a test.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]
#![allow(clippy::arithmetic_side_effects, clippy::wildcard_enum_match_arm)]

use std::collections::BTreeMap;

use gastown_core::{ActionKind, explain};
use gastown_testkit::world::{World, steps};
use proptest::prelude::*;

/// Sequences take long: fewer by default than proptest's 256, as many as `PROPTEST_CASES` says.
fn config() -> ProptestConfig {
    let mut config = ProptestConfig::default();
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = 32;
    }
    config
}

proptest! {
    #![proptest_config(config())]

    /// P2, P3, P9, P12 and every invariant after every step.
    #[test]
    fn nothing_breaks_whatever_happens(pr in any::<bool>(), steps in steps(1..=60)) {
        let mut world = World::new(pr);
        for step in &steps {
            let done = world.step(step);
            prop_assert!(done.is_ok(), "{:?}: {}", step, done.unwrap_err());
        }
        // P7: nobody is forgotten.
        for bead in world.town.live_beads() {
            let explanation = explain(&world.town, world.now, &bead.id).unwrap();
            prop_assert!(!explanation.waits_for.is_empty(), "P7: {:?} waits for nothing", bead);
        }
    }

    /// P15: the dispatches of a line of work stay within its budget, whatever happens.
    #[test]
    fn p15_every_cycle_costs(pr in any::<bool>(), steps in steps(60..=160)) {
        let mut world = World::new(pr);
        for step in &steps {
            let done = world.step(step);
            prop_assert!(done.is_ok(), "{:?}: {}", step, done.unwrap_err());
        }
        let mut dispatches: BTreeMap<_, u32> = BTreeMap::new();
        for action in &world.actions {
            if let ActionKind::DispatchAgent(dispatch) = &action.kind
                && let Some(bead) = world.town.bead(&dispatch.bead_id)
            {
                *dispatches.entry(bead.lineage().clone()).or_default() += 1;
            }
        }
        for (root, count) in dispatches {
            let lineage = world.town.lineage(&root);
            let budget = world.town.policy().lineage_dispatches + lineage.granted
                + world.town.policy().probe_limit;
            prop_assert!(count <= budget, "{}: {} dispatches, {:?}", root, count, lineage);
        }
    }
}
