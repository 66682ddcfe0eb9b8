//! The properties of spec 5.2 over generated towns.
//!
//! The number of cases comes from `PROPTEST_CASES`; CI's long mode sets it to 10,000. A failure
//! prints the town, and its seed is saved next to this file.

// Helpers of tests may stop a test.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]
#![allow(clippy::arithmetic_side_effects, clippy::wildcard_enum_match_arm)]

use std::collections::BTreeSet;
use std::time::Duration;

use gastown_core::{ActionKind, check, explain, next_wakeup, reconcile, settle, wire};
use gastown_testkit::cases::{cases, held};
use gastown_testkit::laws;
use gastown_testkit::towns::{TownSeed, all_seeds, near_green, now, seeds, shuffled};
use gastown_testkit::unknown::unknown_is_not_yes;
use proptest::prelude::*;
use serde_json::Value;

/// Everything that the engine says of a town, as bytes.
fn everything(snapshot: Value) -> String {
    let mut town = wire::snapshot_from_value(snapshot).unwrap();
    let due = reconcile(&town, now());
    let settled = settle(&mut town, now());
    let wakeup = next_wakeup(&town, now());
    let first = town.live_beads().next().map(|bead| bead.id.clone());
    let explained = first.map(|id| explain(&town, now(), &id));
    let violations = check(&town, now());
    serde_json::to_string(&serde_json::json!({
        "due": due, "actions": settled.actions, "effects": settled.effects, "wakeup": wakeup,
        "explained": explained, "violations": violations,
        "town": wire::snapshot_to_value(&town).unwrap(),
        "rows": town.take_changes().put.iter().map(|row| &row.body).collect::<Vec<_>>(),
    }))
    .unwrap()
}

/// Properties that look far ahead, or at many towns that are nearly the same, look at small towns,
/// and at a large one now and then.
fn mostly(small: impl Strategy<Value = TownSeed>) -> impl Strategy<Value = TownSeed> {
    prop_oneof![399 => small, 1 => seeds(26..=500)]
}

proptest! {
    #![proptest_config(cases(24))]

    #[test]
    fn p1_determinism(seed in all_seeds(), order in any::<u64>()) {
        let snapshot = seed.snapshot();
        let said = everything(snapshot.clone());
        prop_assert_eq!(&said, &everything(snapshot.clone()), "the same twice");
        prop_assert_eq!(&said, &everything(shuffled(snapshot, order)), "in another order");
    }

    #[test]
    fn p2_applicable_p3_settles_p4_no_contradiction(seed in all_seeds()) {
        let mut town = seed.town();
        let before = town.clone();
        let rested = laws::rests(&mut town, now());
        held(rested.map(drop), &seed.snapshot())?;
        held(laws::is_healed(&before, &town, now()), &seed.snapshot())?;
    }

    #[test]
    fn p5_sound_and_p6_tight_wakeup(seed in all_seeds(), share in 0.0f64..1.0) {
        let mut town = seed.town();
        let _ = settle(&mut town, now());
        held(laws::wakes_in_time(&town, now(), share), &seed.snapshot())?;
    }

    #[test]
    fn p7_no_silent_stall(seed in all_seeds()) {
        let mut town = seed.town();
        let _ = settle(&mut town, now());
        // What waits for itself came so from outside: I8 names it, no command makes it, and no rule can end it.
        let is_circle = |told: &gastown_core::Violation| told.invariant == "I8" && told.message.contains("cycle");
        let stalls = laws::no_silent_stall(&town, now());
        let by_itself = stalls.as_ref().is_err_and(|why| why.contains("waits for itself"));
        if by_itself && check(&town, now()).iter().any(is_circle) {
            return Ok(());
        }
        held(stalls, &seed.snapshot())?;
    }

    #[test]
    fn p9_no_double_work(seed in all_seeds()) {
        let mut town = seed.town();
        let mut merged = BTreeSet::new();
        let mut landings = BTreeSet::new();
        // One merge of a pull request, and one landing of a convoy in a rig, for all the time in
        // which nothing is heard of the first.
        for _ in 0..12 {
            let at = next_wakeup(&town, now()).unwrap_or(now());
            for action in settle(&mut town, at.min(now().plus(Duration::from_secs(240)))).actions {
                match &action.kind {
                    ActionKind::MergePr(merge) => {
                        prop_assert!(merged.insert(merge.pr_url.clone()), "P9: {} twice", merge.pr_url);
                    }
                    ActionKind::CreateLandingMr(made) => {
                        let landing = (made.convoy_id.clone(), made.rig_id.clone());
                        prop_assert!(landings.insert(landing.clone()), "P9: {landing:?} twice");
                    }
                    _ => {}
                }
            }
        }
        for bead in town.live_beads() {
            prop_assert!(town.holders(&bead.id).count() <= 1, "P9: {} is held twice", bead.id);
        }
    }

    #[test]
    fn p11_skew_proof(
        seed in all_seeds(),
        by in prop_oneof![1u64..200, 1u64..20_000, 1u64..1_000_000],
    ) {
        let mut town = seed.town();
        let _ = settle(&mut town, now());
        let by = Duration::from_secs(by);
        held(laws::jump_back_is_quiet(&town, now(), by), &seed.snapshot())?;
        held(laws::jump_forward_is_covered(&town, now(), by), &seed.snapshot())?;
    }

    /// Nobody answers, for days: what is tried again is paid for, until a person has to act.
    #[test]
    fn p15_every_cycle_costs(seed in mostly(seeds(0..=12))) {
        held(laws::every_cycle_costs(&seed.town(), now(), 100), &seed.snapshot())?;
    }

    #[test]
    fn p16_explain_is_decide(seed in mostly(seeds(1..=14)), which in any::<prop::sample::Index>()) {
        let mut town = seed.town();
        let _ = settle(&mut town, now());
        let live: Vec<_> = town.live_beads().map(|bead| bead.id.clone()).collect();
        if !live.is_empty() {
            let bead = which.get(&live);
            held(laws::happens_as_explained(&town, now(), bead), &seed.snapshot())?;
        }
    }

    #[test]
    fn p17_unknown_is_not_yes(seed in mostly(prop_oneof![near_green(), seeds(1..=10)])) {
        let snapshot = seed.snapshot();
        held(unknown_is_not_yes(&snapshot, now()).map(drop), &snapshot)?;
    }

    #[test]
    fn rows_round_trip(seed in all_seeds()) {
        let mut town = seed.town();
        let _ = settle(&mut town, now());
        let again = wire::snapshot_from_value(wire::snapshot_to_value(&town).unwrap()).unwrap();
        prop_assert_eq!(&again, &town);
    }
}
