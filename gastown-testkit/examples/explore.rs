//! Searches the small towns, every order of what may happen, and prints how many states there are.
//!
//! ```sh
//! cargo run --release -p gastown-testkit --example explore -- --scenario no-rig --faults 1
//! ```

#[path = "simulate/arguments.rs"]
mod arguments;

use std::process::ExitCode;

use gastown_testkit::search::{Broken, Limits, Order, SmallTown, replay, scenarios, search};
use serde_json::Value;

use arguments::{json, number};

/// Half of the time would go into the system's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// States among which everything that happens sometimes has to have happened.
const STATES_MANY: usize = 100_000;

const USAGE: &str = "\
explore: every state of a small town

  --scenario NAME  pull-request, blocked, direct, no-rig, convoy or town; default: each
  --faults N       faults and human acts along each path (default 1)
  --states N       stop after so many states (default 1000000)
  --moves N        go so many moves from the beginning; with --breadth-first: all of those states
  --breadth-first  the nearest states first: short counterexamples, more memory
  --depth-first    the latest states first: to see all of a town, in little memory
  --policy FILE    some thresholds of a host's own, as JSON, on the grid of the search
  --config FILE    some settings of a town of a host's own, as JSON
  --expect N       fail unless there are exactly so many states
  --path A,B,C     go only this path, which a counterexample prints; needs --scenario

Without an order, depth first from one place after another: some of everything.";

struct Arguments {
    wanted: Option<String>,
    faults: u8,
    limits: Limits,
    policy: Option<Value>,
    config: Option<Value>,
    expected: Option<usize>,
    path: Option<Vec<usize>>,
    /// The words that a replay needs, too.
    own: String,
}

fn parse() -> Result<Option<Arguments>, String> {
    let mut out = Arguments {
        wanted: None,
        faults: 1,
        limits: Limits {
            states_max: 1_000_000,
            moves_max: None,
            order: Order::Scattered,
            calm_steps_max: 400,
        },
        policy: None,
        config: None,
        expected: None,
        path: None,
        own: String::new(),
    };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or(format!("{word} needs a value"));
        match word.as_str() {
            "--breadth-first" => out.limits.order = Order::BreadthFirst,
            "--depth-first" => out.limits.order = Order::DepthFirst,
            "--scenario" => out.wanted = Some(value()?),
            "--faults" => out.faults = number(&value()?)?,
            "--states" => out.limits.states_max = number(&value()?)?,
            "--moves" => out.limits.moves_max = Some(number(&value()?)?),
            "--expect" => out.expected = Some(number(&value()?)?),
            "--policy" => {
                let file = value()?;
                out.policy = Some(json(&file)?);
                out.own.push_str(&format!(" --policy '{file}'"));
            }
            "--config" => {
                let file = value()?;
                out.config = Some(json(&file)?);
                out.own.push_str(&format!(" --config '{file}'"));
            }
            "--path" => {
                let text = value()?;
                let places = text.split(',').filter(|place| !place.is_empty());
                out.path = Some(places.map(number).collect::<Result<_, _>>()?);
            }
            "--help" | "-h" => return Ok(None),
            other => return Err(format!("unknown argument {other}")),
        }
    }
    if let Some(wanted) = &out.wanted
        && !scenarios().iter().any(|(name, _)| name == wanted)
    {
        return Err(format!("--scenario {wanted}: there is no such town"));
    }
    if out.path.is_some() && out.wanted.is_none() {
        return Err("--path needs --scenario".into());
    }
    Ok(Some(out))
}

fn main() -> ExitCode {
    let outcome = match parse() {
        Ok(Some(arguments)) => explore(&arguments),
        Ok(None) => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Err(error) => Err(format!("{error}\n\n{USAGE}")),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

/// Searches what was asked for; says whether all of it holds, and is not vacuous.
fn explore(arguments: &Arguments) -> Result<bool, String> {
    let Arguments { faults, limits, .. } = *arguments;
    let mut total = 0_usize;
    let mut vacuous = Vec::new();
    for (name, scenario) in scenarios() {
        if arguments
            .wanted
            .as_ref()
            .is_some_and(|wanted| wanted != name)
        {
            continue;
        }
        let mut town = SmallTown::new(scenario, faults);
        if let Some(policy) = &arguments.policy {
            town = town.with_policy(policy.clone())?;
        }
        if let Some(config) = &arguments.config {
            town = town.with_config(config.clone())?;
        }
        if let Some(path) = &arguments.path {
            let gone = replay(&town, path, limits.calm_steps_max);
            return Ok(match gone {
                Ok(_) => {
                    println!("{name}: all holds along {} moves", path.len());
                    true
                }
                Err(broken) => {
                    show(&broken, None);
                    false
                }
            });
        }
        let found = search(&town, limits);
        let how = if found.complete { "all" } else { "the first" };
        println!(
            "{name}: {how} {} states, {} steps",
            found.states, found.steps
        );
        if !found.never.is_empty() {
            let never = found.never.join(", ");
            println!("  never: {never}");
            // In all states, or in very many, what should happen sometimes never does.
            let many = found.complete || found.states >= STATES_MANY;
            // A host's own settings may rule it out: that pull requests are merged, say.
            let own = arguments.policy.is_some() || arguments.config.is_some();
            if many && limits.moves_max.is_none() && !own {
                vacuous.push(format!("{name} never: {never}"));
            }
        }
        total = found.states.saturating_add(total);
        if let Some(broken) = found.broken {
            let again = format!("--scenario {name} --faults {faults}{}", arguments.own);
            show(&broken, Some(&again));
            return Ok(false);
        }
    }
    println!("{total} states in all");
    if let Some(expected) = arguments.expected.filter(|expected| *expected != total) {
        println!("  expected {expected}");
        return Ok(false);
    }
    if vacuous.is_empty() {
        println!("nothing failed");
    } else {
        println!("vacuous: {}", vacuous.join("; "));
    }
    Ok(vacuous.is_empty())
}

fn show(broken: &Broken, again: Option<&str>) {
    println!("  broken: {}", broken.what);
    for step in &broken.path {
        println!("    {step}");
    }
    if let Some(again) = again {
        let path: Vec<String> = broken.moves.iter().map(usize::to_string).collect();
        // In quotes: at the beginning there are no moves.
        let path = path.join(",");
        println!(
            "  replay: cargo run --release -p gastown-testkit --example explore -- {again} --path '{path}'"
        );
    }
}
