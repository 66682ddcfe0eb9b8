//! The properties of spec 5.2 over sequences of commands and events with faults: results that are
//! lost, late, double or in another order, agents that lie, people who act, clocks that jump.
//!
//! Every step checks the invariants of every pass, event and command, P2, P3, P4, P9 (one review of
//! a branch, one merge under way, keys that never repeat), P11 (jumps and sleeps), P15 (budgets),
//! P17 (each look with each of its facts unknown) and I9 (rows, actions, effects): see `world.rs`.
//!
//! A failure prints the setup and the steps as Rust, ready for `replayed` below, and its seed is
//! saved next to this file.

// Helpers of tests may stop a test.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]
#![allow(clippy::arithmetic_side_effects, clippy::wildcard_enum_match_arm)]

use gastown_core::ActionKind;
use gastown_testkit::cases::cases;
use gastown_testkit::laws;
use gastown_testkit::world::{Setup, Step, World, setups, steps};
use proptest::prelude::*;

/// Runs all steps in a new world.
fn replayed(setup: Setup, steps: &[Step]) -> Result<World, String> {
    let mut world = World::new(setup);
    for step in steps {
        world
            .step(step)
            .map_err(|problem| format!("{step:?}: {problem}"))?;
    }
    Ok(world)
}

fn fails(problem: String) -> TestCaseError {
    TestCaseError::fail(problem)
}

proptest! {
    #![proptest_config(cases(32))]

    /// Whatever happens, all that `world.rs` checks with each step holds.
    #[test]
    fn p2_p3_p4_p9_p11_p12_p17_hold_whatever_happens(setup in setups(), steps in steps(1..=60)) {
        replayed(setup, &steps).map_err(fails)?;
    }

    /// The budgets of longer runs.
    #[test]
    fn p15_every_cycle_costs(setup in setups(), steps in steps(60..=160)) {
        replayed(setup, &steps).map_err(fails)?;
    }

    /// A host that restarts before every step, and reads its rows in another order, does the same.
    #[test]
    fn p1_determinism_across_restarts(setup in setups(), steps in steps(1..=50)) {
        let mut one = World::new(setup);
        let mut other = World::new(setup);
        one.tick().map_err(fails)?;
        other.tick().map_err(fails)?;
        for step in &steps {
            other.reload().map_err(fails)?;
            let (done, redone) = (one.step(step), other.step(step));
            prop_assert_eq!(&done, &redone);
            done.map_err(fails)?;
            prop_assert_eq!(&one.town, &other.town, "after {:?}", step);
            let bytes = |world: &World| serde_json::to_string(&world.actions).unwrap();
            prop_assert_eq!(bytes(&one), bytes(&other), "after {:?}", step);
        }
    }

    /// Wake-ups on the way.
    #[test]
    fn p5_sound_and_p6_tight_wakeup(
        setup in setups(),
        steps in steps(1..=40),
        share in 0.0f64..1.0,
    ) {
        let mut world = World::new(setup);
        for step in &steps {
            world.step(step).map_err(fails)?;
            laws::wakes_in_time(&world.town, world.now, share)
                .map_err(|problem| fails(format!("{step:?}: {problem}")))?;
        }
    }

    /// Nobody is forgotten on the way.
    #[test]
    fn p7_no_silent_stall(setup in setups(), steps in steps(1..=40)) {
        let mut world = World::new(setup);
        for (n, step) in steps.iter().enumerate() {
            world.step(step).map_err(fails)?;
            if n % 8 == 0 || n + 1 == steps.len() {
                laws::no_silent_stall(&world.town, world.now)
                    .map_err(|problem| fails(format!("{step:?}: {problem}")))?;
            }
        }
    }

    /// What is explained happens.
    #[test]
    fn p16_explain_is_decide(
        setup in setups(),
        steps in steps(1..=40),
        which in any::<prop::sample::Index>(),
    ) {
        let world = replayed(setup, &steps).map_err(fails)?;
        let live: Vec<_> = world.town.live_beads().map(|bead| bead.id.clone()).collect();
        if !live.is_empty() {
            laws::happens_as_explained(&world.town, world.now, which.get(&live)).map_err(fails)?;
        }
    }
}

/// The second sentinel defect of the domain: an unhooked review without a rig is taken by any idle
/// refinery although the first one is busy.
#[test]
fn a_review_without_a_rig_goes_to_any_idle_refinery_although_the_first_is_busy() {
    let now = gastown_testkit::towns::now();
    let mut town = gastown_core::wire::snapshot_from_value(serde_json::json!({
        "format": "gastown.town/1",
        "town": {"id": "t1"},
        "rigs": [
            {"id": "r1", "name": "r1", "git_url": "https://github.com/acme/r1.git",
             "default_branch": "main", "created_at": now.to_string()},
            {"id": "r2", "name": "r2", "git_url": "https://github.com/acme/r2.git",
             "default_branch": "main", "created_at": now.to_string()}],
        "agents": [
            {"id": "a1", "role": "refinery", "name": "refinery", "identity": "one", "rig_id": "r1",
             "status": "working", "hook": "m1", "session": 1, "reported": true,
             "last_activity_at": now.to_string(), "dispatched_at": now.to_string(),
             "created_at": now.to_string()},
            {"id": "a2", "role": "refinery", "name": "refinery", "identity": "two", "rig_id": "r2",
             "status": "idle", "session": 4, "created_at": now.to_string()}],
        "beads": [
            {"id": "b1", "type": "issue", "status": "in_review", "title": "one", "rig_id": "r1",
             "created_at": now.to_string()},
            {"id": "b2", "type": "issue", "status": "in_review", "title": "two",
             "created_at": now.to_string()},
            {"id": "m1", "type": "merge_request", "status": "in_progress", "title": "review of one",
             "rig_id": "r1", "assignee": "a1", "created_at": now.to_string(),
             "review": {"branch": "work/1", "target_branch": "main", "source": "b1"}},
            {"id": "m2", "type": "merge_request", "status": "open", "title": "review of two",
             "created_at": now.to_string(),
             "review": {"branch": "work/2", "target_branch": "main", "source": "b2"}}],
        "dependencies": [
            {"bead_id": "m1", "depends_on": "b1", "type": "tracks"},
            {"bead_id": "m2", "depends_on": "b2", "type": "tracks"}]
    }))
    .unwrap();
    let rested = laws::rests(&mut town, now).unwrap();
    let sent: Vec<_> = rested
        .actions
        .iter()
        .filter_map(|action| match &action.kind {
            ActionKind::DispatchAgent(dispatch) => Some((
                dispatch.agent_id.as_str(),
                dispatch.bead_id.as_str(),
                dispatch.rig_id.as_str(),
            )),
            _ => None,
        })
        .collect();
    assert_eq!(sent, [("a2", "m2", "r2")]);
    // The bead's own rig stays none throughout, in the state and in what is stored.
    let id = "m2".parse().unwrap();
    assert_eq!(town.bead(&id).unwrap().rig_id, None);
    let rows = town.take_changes();
    laws::no_sentinel_in_changes(&rows).unwrap();
    let row = rows.put.iter().find(|row| row.key.id == "m2").unwrap();
    assert!(row.body.contains(r#""rig_id":null"#), "{}", row.body);
}
