//! What the generator of towns reaches: every class of town, and every rule of the registry. A
//! property over towns that never come says nothing.

// Helpers of tests may stop a test.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::arithmetic_side_effects,
    clippy::cast_precision_loss
)]

use std::collections::BTreeMap;

use gastown_core::{BreakerState, Town, check, next_wakeup, rules, settle};
use gastown_testkit::towns::{BEADS_MAX, all_seeds, near_green, now, seeds};
use gastown_testkit::unknown::unknown_is_not_yes;
use gastown_testkit::world::{World, setups, steps};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;

/// Generated towns, the same in every run.
fn generated<T: std::fmt::Debug>(
    strategy: &impl Strategy<Value = T>,
    count: usize,
) -> impl Iterator<Item = T> {
    let mut runner = TestRunner::deterministic();
    (0..count).map(move |_| strategy.new_tree(&mut runner).unwrap().current())
}

/// The classes that a town is in.
fn classes(town: &Town) -> Vec<&'static str> {
    let state = town.state();
    let violations = check(town, now());
    let has = |id: &str| violations.iter().any(|found| found.invariant == id);
    let beads = town.beads().count();
    let skewed = town.beads().any(|bead| bead.updated_at > now())
        || town
            .agents()
            .any(|agent| agent.last_activity_at > Some(now()));
    let works = |bead: &&gastown_core::Bead| bead.work().is_some() || bead.review().is_some();
    let of = |holds: bool, name: &'static str| holds.then_some(name);
    [
        of(violations.is_empty() && beads > 2, "valid"),
        of(has("I8") || has("I7") || has("I6"), "dangling"),
        of(
            town.live_beads()
                .filter(works)
                .any(|bead| bead.rig_id.is_none()),
            "null-rig",
        ),
        of(town.rigs().next().is_none(), "without rigs"),
        of(skewed, "skewed clocks"),
        of(town.is_draining(), "drained"),
        of(state.breaker.state == BreakerState::Open, "breaker open"),
        of(
            state.breaker.state == BreakerState::HalfOpen,
            "breaker half open",
        ),
        of(town.conditions().next().is_some(), "conditions"),
        of(state.judge_from.is_some(), "observation gap"),
        of(beads == 0, "empty"),
        of(beads >= 100, "100 beads and more"),
        of(beads * 10 >= BEADS_MAX * 8, "400 beads and more"),
        of(town.nudges().next().is_some(), "nudges"),
    ]
    .into_iter()
    .flatten()
    .collect()
}

#[test]
fn every_class_of_town_is_generated() {
    const TOWNS: usize = 1_500;
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for seed in generated(&all_seeds(), TOWNS) {
        for class in classes(&seed.town()) {
            *counts.entry(class).or_default() += 1;
        }
    }
    println!("of {TOWNS} towns: {counts:?}");
    // Per thousand towns, at least.
    for (class, least) in [
        ("valid", 10),
        ("dangling", 100),
        ("null-rig", 100),
        ("without rigs", 100),
        ("skewed clocks", 100),
        ("drained", 50),
        ("breaker open", 20),
        ("breaker half open", 20),
        ("conditions", 50),
        ("observation gap", 50),
        ("empty", 5),
        ("100 beads and more", 3),
        ("400 beads and more", 0),
        ("nudges", 100),
    ] {
        let count = counts.get(class).copied().unwrap_or(0);
        assert!(
            count * 1_000 >= least * TOWNS && count > 0,
            "{class}: {count} of {TOWNS}"
        );
    }
}

#[test]
fn every_rule_fires_in_some_generated_town() {
    const TOWNS: usize = 1_200;
    let mut fired: BTreeMap<String, u32> = rules().map(|rule| (rule.id.into(), 0)).collect();
    for seed in generated(&seeds(0..=30), TOWNS) {
        let mut town = seed.town();
        let mut at = now();
        for _ in 0..4 {
            for action in settle(&mut town, at).actions {
                *fired.entry(action.rule.into_owned()).or_default() += 1;
            }
            match next_wakeup(&town, at) {
                Some(next) => at = next,
                None => break,
            }
        }
    }
    println!("in {TOWNS} towns: {fired:?}");
    let silent: Vec<&String> = fired
        .iter()
        .filter(|(_, n)| **n == 0)
        .map(|(id, _)| id)
        .collect();
    assert!(silent.is_empty(), "never fired: {silent:?}");
}

#[test]
fn generated_towns_merge_so_that_unknown_facts_can_matter() {
    let merging = generated(&near_green(), 600)
        .filter(|seed| unknown_is_not_yes(&seed.snapshot(), now()).is_ok_and(|merges| merges > 0))
        .count();
    println!("{merging} of 600 towns merge");
    assert!(merging >= 5, "{merging}");
}

/// Sequences come to merges of pull requests: without, nothing that they hold of merges, of green
/// heads and of what is unknown could fail.
#[test]
fn sequences_merge_pull_requests() {
    const SEQUENCES: usize = 200;
    let mut effects: BTreeMap<&str, usize> = BTreeMap::new();
    let mut looks = 0;
    for (setup, steps) in generated(&(setups(), steps(60..=160)), SEQUENCES) {
        let mut world = World::new(setup);
        for step in &steps {
            world.step(step).unwrap();
        }
        looks += world.looks_that_merge();
        for action in &world.actions {
            *effects.entry(action.kind.type_name()).or_default() += 1;
        }
    }
    println!("{SEQUENCES} sequences, {looks} looks that merge: {effects:?}");
    let merges = effects.get("merge_pr").copied().unwrap_or(0);
    assert!(merges > 10 && looks > 10, "{merges} merges, {looks} looks");
}
