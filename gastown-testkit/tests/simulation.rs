//! Whole towns, simulated: the safety and the liveness oracle over a few seeds, many with
//! `GASTOWN_LONG=1`; and the simulator itself.

// Helpers of tests may stop a test.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]
#![allow(clippy::arithmetic_side_effects, clippy::wildcard_enum_match_arm)]

#[path = "../examples/simulate/on_disk.rs"]
mod on_disk;

use std::cell::Cell;
use std::time::Duration;

use gastown_core::Policy;
use gastown_store_memory::MemoryStore;
use gastown_testkit::sim::{
    Figures, HOURS_MANY, Rates, Reopen, SEEDS_MANY, Settings, hold, minimize, simulate,
};

use on_disk::OnDisk;
use serde_json::json;

fn memory() -> Reopen {
    let store = MemoryStore::new();
    Box::new(move || Ok(Box::new(store.clone())))
}

fn settings(hours: u64, rates: Rates) -> Settings {
    Settings {
        hours,
        rates,
        ..Settings::default()
    }
}

/// Seeds and hours of faults: few of them, or many with `GASTOWN_LONG=1`.
fn extent(short: (u64, u64), long: (u64, u64)) -> (u64, u64) {
    match std::env::var_os("GASTOWN_LONG") {
        Some(_) => long,
        None => short,
    }
}

fn all_hold((seeds, hours): (u64, u64), rates: Rates, name: &str) -> Figures {
    let replay = |seed: u64, keys: Option<&str>| {
        let only = keys.map_or(String::new(), |keys| format!(" --only '{keys}'"));
        format!(
            "cargo run --release -p gastown-testkit --example simulate -- --seed {seed} \
             --hours {hours} --rates {name} --trace{only}"
        )
    };
    match hold(1..seeds + 1, &settings(hours, rates), &memory, &replay) {
        Ok(total) => total,
        Err(told) => panic!("{told}"),
    }
}

#[test]
fn storms_break_nothing_and_leave_nothing_stuck() {
    let total = all_hold(extent((6, 4), (2_000, 12)), Rates::STORM, "storm");
    // A simulator in which nothing happens would pass, too.
    assert!(total.happened > 100, "{total:?}");
    assert!(total.crashes > 0 && total.merged > 0, "{total:?}");
}

/// Where agents often can't be started, breakers open, are probed and close; and what happens is what
/// the figures say can happen.
#[test]
fn breakers_open_where_agents_cannot_be_started() {
    let rates = Rates {
        start_outages_per_hour: 1.0,
        work_per_hour: 2.0,
        commands_per_hour: 4.0,
        ..Rates::CALM
    };
    let settings = Settings {
        weather: false,
        ..settings(6, rates)
    };
    let replay = |seed: u64, keys: Option<&str>| format!("again {seed} {keys:?}");
    let total = hold(1..7, &settings, &memory, &replay).unwrap();
    for rule in ["breaker/trip", "breaker/probe", "breaker/reset"] {
        assert!(total.acted.contains_key(rule), "{rule}: {:?}", total.acted);
    }
    assert!(total.taken.contains_key("probe"), "{:?}", total.taken);
    let never = total.never();
    assert!(never.contains(&"an eviction"), "{never:?}");
    assert!(!never.contains(&"breaker/trip"), "{never:?}");
    assert!(!settings.must_show_all(SEEDS_MANY), "a calm shows not all");
}

/// Nothing that was run is nothing that was tested.
#[test]
fn what_runs_nothing_is_vacuous() {
    let replay = |seed: u64, keys: Option<&str>| format!("again {seed} {keys:?}");
    let none = hold(1..1, &settings(6, Rates::STORM), &memory, &replay).unwrap_err();
    assert_eq!(none, "vacuous: nothing was run");
    let short = hold(1..2, &settings(0, Rates::STORM), &memory, &replay).unwrap_err();
    assert_eq!(short, none);
    let many = settings(HOURS_MANY, Rates::STORM);
    let few = Figures {
        steps: 1,
        ..Figures::default()
    };
    assert_eq!(few.show_something(&many, SEEDS_MANY - 1), Ok(()));
    let told = few.show_something(&many, SEEDS_MANY).unwrap_err();
    assert!(told.starts_with("vacuous: never: "), "{told}");
    assert!(
        told.contains("breaker/trip") && told.contains("an eviction"),
        "{told}"
    );
    assert!(!many.must_show_all(SEEDS_MANY - 1));
    // A host's own settings may rule much out, but not that work is done.
    let own = Settings {
        config: Some(json!({})),
        ..many
    };
    let told = few.show_something(&own, SEEDS_MANY).unwrap_err();
    assert_eq!(told, "vacuous: never: work comes, dispatch/issue, a merge");
}

/// A panic is a failure as any other: it names its seed, is made small and fails again.
#[test]
fn a_panic_is_made_small_and_fails_again() {
    let panics = || -> Reopen {
        let (store, opened) = (MemoryStore::new(), Cell::new(0));
        Box::new(move || {
            opened.set(opened.get() + 1);
            assert!(opened.get() < 3, "opened once too often");
            Ok(Box::new(store.clone()))
        })
    };
    let rates = Rates {
        crashes: 0.01,
        ..Rates::STORM
    };
    let settings = settings(3, rates);
    let replay = |seed: u64, keys: Option<&str>| format!("again {seed} {}", keys.unwrap_or("all"));
    let told = hold(1..20, &settings, &panics, &replay).expect_err("a host crashes twice");
    let (first, rest) = told.split_once('\n').unwrap();
    assert!(first.starts_with("seed "), "{told}");
    assert!(
        first.ends_with("P12: panic: opened once too often"),
        "{told}"
    );
    let (_, keys) = rest.rsplit_once(' ').unwrap();
    let seed = first.split(' ').nth(1).unwrap().parse().unwrap();
    let only = Settings {
        only: Some(keys.split(',').map(|key| key.parse().unwrap()).collect()),
        ..settings.clone()
    };
    let again = simulate(seed, &only, &panics).failure.unwrap();
    assert!(told.ends_with(&format!("and then, {again}\n  replay: again {seed} {keys}")));

    let refuses = || -> Reopen { panic!("there is no store") };
    let failure = simulate(1, &settings, &refuses).failure.unwrap();
    assert_eq!(failure.what, "P12: panic: there is no store");
}

#[test]
fn calm_towns_finish_their_work() {
    let total = all_hold(extent((3, 3), (100, 12)), Rates::CALM, "calm");
    assert!(total.merged > 0, "{total:?}");
}

/// A town that fails by itself is made as small as that, and is replayed with nothing in it.
#[test]
fn a_run_that_fails_though_nothing_happens_is_made_small_and_fails_again() {
    let settings = Settings {
        policy: Some(Policy {
            settle_limit: 0,
            ..Policy::default()
        }),
        ..settings(3, Rates::STORM)
    };
    // Others fail only when work comes.
    let (seed, minimal) = (1..20)
        .filter_map(|seed| Some((seed, minimize(seed, &settings, &memory)?)))
        .find(|(_, minimal)| minimal.happened.is_empty())
        .expect("a seed fails by itself");
    assert_eq!(minimal.keys(), "");
    let only = Settings {
        only: Some([].into()),
        ..settings.clone()
    };
    let again = simulate(seed, &only, &memory);
    assert_eq!(again.failure, Some(minimal.failure));
    let replay = |seed: u64, keys: Option<&str>| format!("again {seed} {keys:?}");
    let told = hold(seed..seed + 1, &settings, &memory, &replay).expect_err("it fails");
    assert!(told.contains("  0 happenings matter:"), "{told}");
    assert!(
        told.ends_with(&format!("again {seed} Some(\"\")")),
        "{told}"
    );
}

/// A policy that allows too few passes makes runs fail, once there is work enough.
#[test]
fn a_failing_run_is_made_small_and_fails_again_by_what_is_left() {
    let settings = Settings {
        policy: Some(Policy {
            settle_limit: 2,
            ..Policy::default()
        }),
        ..settings(3, Rates::STORM)
    };
    let of_seed = |seed| (seed, simulate(seed, &settings, &memory));
    let (seed, run) = (1..20)
        .map(of_seed)
        .find(|(_, run)| run.failure.is_some())
        .expect("a seed fails");
    let minimal = minimize(seed, &settings, &memory).expect("it fails again");
    assert!(minimal.failure.what.starts_with("P3"), "{minimal:?}");
    let (few, all) = (minimal.happened.len(), run.happened.len());
    assert!(few > 0 && few * 2 < all, "{few} of {all}");

    let only = |keys: Vec<u64>| Settings {
        only: Some(keys.into_iter().collect()),
        ..settings.clone()
    };
    let keys: Vec<u64> = minimal.happened.iter().map(|it| it.key).collect();
    let again = simulate(seed, &only(keys.clone()), &memory);
    assert_eq!(again.failure, Some(minimal.failure));
    let nothing = simulate(seed, &only(Vec::new()), &memory);
    assert_eq!(nothing.failure, None, "what is left is what matters");

    // The same in one call, as a test of a host has it.
    let replay = |seed: u64, keys: Option<&str>| format!("again {seed} {}", keys.unwrap_or("all"));
    let told = hold(seed..seed + 1, &settings, &memory, &replay).expect_err("it fails");
    let (first, rest) = told.split_once('\n').expect("several lines");
    assert!(first.starts_with(&format!("seed {seed} at ")), "{told}");
    assert!(first.contains(": P3: "), "{told}");
    assert!(
        rest.contains(&format!("replay: again {seed} all\n")),
        "{told}"
    );
    let few = keys
        .iter()
        .map(u64::to_string)
        .collect::<Vec<_>>()
        .join(",");
    assert!(
        rest.ends_with(&format!("replay: again {seed} {few}")),
        "{told}"
    );
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let mut told = settings(1, Rates::STORM);
    told.trace = true;
    let one = simulate(1, &told, &memory);
    let other = simulate(1, &told, &memory);
    assert_eq!(one.digest, other.digest);
    assert_eq!(one.trace, other.trace);
    assert_eq!(one.figures, other.figures);
    assert_ne!(simulate(2, &told, &memory).digest, one.digest);
}

/// What a run comes to does not depend on the store; and SQLite's file is sound after crashes
/// between any two steps.
#[test]
fn a_file_gives_the_same_run_as_memory() {
    let (seeds, hours) = extent((4, 2), (500, 6));
    let settings = settings(hours, Rates::STORM);
    let mut crashes = 0;
    for seed in 1..=seeds {
        let disk = OnDisk::default();
        let on_disk = simulate(seed, &settings, &|| disk.fresh());
        assert_eq!(on_disk.failure, None, "seed {seed}");
        disk.check().unwrap();
        let in_memory = simulate(seed, &settings, &memory);
        assert_eq!(in_memory.failure, None, "seed {seed}");
        assert_eq!(on_disk.digest, in_memory.digest, "seed {seed}");
        assert_eq!(on_disk.figures, in_memory.figures, "seed {seed}");
        crashes += on_disk.figures.crashes;
    }
    assert!(crashes > 0, "the file was never opened again");
}

#[test]
fn letting_only_what_happened_happen_changes_nothing() {
    let whole = settings(2, Rates::STORM);
    let run = simulate(1, &whole, &memory);
    assert!(run.figures.happened > 0);
    let mut only = whole.clone();
    only.only = Some(run.happened.iter().map(|happening| happening.key).collect());
    let again = simulate(1, &only, &memory);
    assert_eq!(run.digest, again.digest);
    only.only = Some([].into());
    let nothing = simulate(1, &only, &memory);
    assert_eq!(nothing.figures.happened, 0);
}

/// Whatever a host's thresholds are, towns of it have time to work, and P8 its time to come: beats and looks
/// keep to the sides of what they are compared with.
#[test]
fn hosts_with_short_or_endless_thresholds_hold() {
    let policies = [
        Policy {
            heartbeat_timeout: Duration::from_secs(5),
            ..Policy::default()
        },
        Policy {
            pr_poll_interval: Duration::from_secs(30),
            ..Policy::default()
        },
        Policy {
            merge_outcome_timeout: Duration::from_secs(60),
            ..Policy::default()
        },
        Policy {
            repair_rounds: u32::MAX,
            merge_refusal_limit: 0,
            poll_transient_limit: 1,
            ..Policy::default()
        },
    ];
    let (seeds, hours) = extent((3, 3), (60, 6));
    for policy in policies {
        let own = Settings {
            policy: Some(policy.clone()),
            ..settings(hours, Rates::STORM)
        };
        let mut total = Figures::default();
        for seed in 21..21 + seeds {
            let run = simulate(seed, &own, &memory);
            assert_eq!(run.failure, None, "seed {seed} {policy:?}");
            total.add(&run.figures);
        }
        assert!(total.merged > 0, "{policy:?}");
    }
}

/// A host checks its own thresholds and settings; what they can't be is said.
#[test]
fn a_host_simulates_its_own_policy_and_settings() {
    let mut own = settings(1, Rates::STORM);
    own.policy = Some(Policy {
        pr_poll_interval: Duration::from_secs(300),
        ..Policy::default()
    });
    own.config = Some(json!({"merge_strategy": "direct"}));
    let run = simulate(1, &own, &memory);
    assert_eq!(run.failure, None);
    assert_ne!(
        run.digest,
        simulate(1, &settings(1, Rates::STORM), &memory).digest
    );
    // What a host says nothing of, each seed has of its own.
    let none = settings(1, Rates::STORM);
    let empty = Settings {
        config: Some(json!({})),
        ..none.clone()
    };
    for seed in 1..4 {
        let digest = |settings: &Settings| simulate(seed, settings, &memory).digest;
        assert_eq!(digest(&empty), digest(&none), "seed {seed}");
    }
    own.config = Some(json!({"merge_strategy": "by hand"}));
    let refused = simulate(1, &own, &memory).failure.unwrap();
    assert!(refused.what.contains("merge_strategy"), "{refused:?}");
}
