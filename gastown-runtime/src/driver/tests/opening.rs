//! What is checked before a town runs (spec 6.3).

use std::sync::Arc;
use std::time::Duration;

use gastown_core::{BreakerState, Policy, TownConfig};
use gastown_store_memory::MemoryStore;
use tokio::sync::mpsc;

use super::bench::{Bench, World, town_id};
use crate::error::RuntimeError;
use crate::process::{CommandTemplate, ProcessSettings};
use crate::runner::{Runner, RunnerSettings};

#[tokio::test(start_paused = true)]
async fn missing_tools_are_named_before_anything_is_dispatched() {
    let world = World::new();
    world.agents.miss(Some("git, rg"));
    let (runner, _outputs) = world.runner(Arc::default());
    let town = town_id();
    let created = runner.create_town(&town, TownConfig::seed(), Policy::default());
    assert!(created.await.unwrap());
    let opened = runner.open_town(&town).await.map(drop);
    let all = runner.open_all_towns().await.map(drop);
    for error in [opened.unwrap_err(), all.unwrap_err()] {
        assert!(matches!(error, RuntimeError::CheckTools { .. }), "{error}");
        assert!(error.to_string().contains("git, rg"), "{error}");
    }
    assert!(runner.town(&town_id()).is_none());
    // Installed meanwhile.
    world.agents.miss(None);
    assert_eq!(runner.open_all_towns().await.unwrap().len(), 1);
    runner.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_missing_tool_is_no_failed_dispatch() {
    let bench = Bench::new().await;
    bench.agents.miss(Some("git"));
    let bead = bench.sling("Fix it").await;
    assert_eq!(bench.next_start().await.session, 1);
    bench.settled().await;
    let town = bench.stored().await;
    assert_eq!(town.bead(&bead).unwrap().dispatch_attempts, 1);
    let breaker = &town.state().breaker;
    assert_eq!(
        (breaker.state, breaker.failures.len()),
        (BreakerState::Closed, 0)
    );
}

#[tokio::test]
async fn a_runner_with_processes_checks_their_tools_when_it_starts() {
    let dir = tempfile::tempdir().unwrap();
    let start = async |agent: &str| {
        let command = CommandTemplate::new([agent]).unwrap();
        let mut processes = ProcessSettings::new(dir.path(), command);
        processes.tools.clear();
        let store = Arc::new(MemoryStore::new());
        let builder = Runner::builder().store(store).processes(processes);
        builder.start().await
    };
    let error = start("/no/such/agent").await.unwrap_err();
    assert!(matches!(error, RuntimeError::CheckTools { .. }), "{error}");
    assert!(error.to_string().contains("/no/such/agent"), "{error}");
    // Corrected, it starts in the same directory at once.
    start("/bin/sh").await.unwrap().shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_runtime_that_answers_no_questions_delays_an_opening_and_no_more() {
    let bench = Bench::new().await;
    for title in ["One", "Other", "Third"] {
        bench.sling(title).await;
        bench.at_work().await;
    }
    bench.agents.answer_no_questions();
    let bench = bench.crash().await;
    let begin = tokio::time::Instant::now();
    bench.sling("Quick").await;
    // It was asked about all sessions at once, and then what it keeps.
    let most = bench.settings.sessions.deliver_deadline * 2;
    assert!(begin.elapsed() <= most, "{:?}", begin.elapsed());
    bench.shutdown().await;
}

#[tokio::test]
async fn settings_that_no_town_could_run_with_are_named() {
    type Change = fn(&mut RunnerSettings);
    let cases: [(&str, Change); 4] = [
        ("events_per_tick_max", |settings| {
            settings.events_per_tick_max = 0
        }),
        ("retry_max", |settings| settings.retry_max = Duration::ZERO),
        ("lease_ttl", |settings| settings.lease_ttl = Duration::ZERO),
        ("store_deadline", |settings| {
            settings.store_deadline = Duration::ZERO
        }),
    ];
    let world = World::new();
    let deaf = || {
        Runner::builder()
            .store(Arc::new(MemoryStore::new()))
            .forge(world.forge.clone())
            .agents(world.agents.clone())
    };
    let error = deaf().build().unwrap_err();
    assert_eq!(
        error.to_string(),
        "a runner needs outputs: what its agents say"
    );
    let builder = || deaf().outputs(mpsc::channel(1).1);
    for (name, change) in cases {
        let mut settings = RunnerSettings::usual();
        change(&mut settings);
        let error = builder().settings(settings).build().unwrap_err();
        let expected = format!("runner settings: {name} is zero; expected more");
        assert_eq!(error.to_string(), expected);
    }
    for (events_per_tick_max, is_taken) in [(4_096, true), (4_097, false)] {
        let settings = RunnerSettings {
            events_per_tick_max,
            ..RunnerSettings::usual()
        };
        assert_eq!(builder().settings(settings).build().is_ok(), is_taken);
    }
    let command = CommandTemplate::new(["true"]).unwrap();
    let processes = ProcessSettings::new("/nowhere", command);
    let error = builder().processes(processes).build().unwrap_err();
    assert!(error.to_string().contains("`start`"), "{error}");
}

/// What can be written and never loaded again would hold its name for good.
#[tokio::test(start_paused = true)]
async fn no_town_is_made_that_could_not_be_loaded() {
    let (runner, _outputs) = World::new().runner(Arc::default());
    let town = town_id();
    let config = TownConfig {
        max_polecats_per_rig: Some(60),
        ..TownConfig::seed()
    };
    let made = runner.create_town(&town, config, Policy::default());
    let error = made.await.unwrap_err();
    assert!(matches!(error, RuntimeError::FoundTown { .. }), "{error}");
    let said = error.to_string();
    assert!(said.contains("config.max_polecats_per_rig"), "{said}");
    let made = runner.create_town(&town, TownConfig::seed(), Policy::default());
    assert!(made.await.unwrap(), "the name is free");
}

/// What the store can't say for a moment keeps no town from being run.
#[tokio::test(start_paused = true)]
async fn a_store_that_fails_once_costs_no_town_its_opening() {
    let bench = Bench::new().await;
    let other = bench.another_town("t2").await;
    bench.close().await;
    other.close().await;
    bench.store.fail_rows(1);
    let handles = bench.open_all().await.unwrap();
    let mut names: Vec<_> = handles.iter().map(|town| town.town_id().as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["t1", "t2"]);
    for handle in &handles {
        Bench::sling_through(handle, "Fix it").await.unwrap();
    }
}
