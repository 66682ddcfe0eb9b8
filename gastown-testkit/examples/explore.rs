//! Searches the small towns, every order of what may happen, and prints how many states there are.
//!
//! ```sh
//! cargo run --release -p gastown-testkit --example explore -- --scenario no-rig --faults 1
//! ```

use std::process::ExitCode;

use gastown_testkit::search::{Limits, Order, SmallTown, scenarios, search};

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

Without an order, depth first from one place after another: some of everything.";

fn main() -> ExitCode {
    let mut wanted = None;
    let mut faults = 1;
    let mut limits = Limits {
        states_max: 1_000_000,
        moves_max: None,
        order: Order::Scattered,
        calm_steps_max: 400,
    };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let value = if ["--breadth-first", "--depth-first", "--help"].contains(&&*word) {
            None
        } else {
            words.next()
        };
        let number = value.as_ref().and_then(|value| value.parse::<usize>().ok());
        match (word.as_str(), value, number) {
            ("--breadth-first", ..) => limits.order = Order::BreadthFirst,
            ("--depth-first", ..) => limits.order = Order::DepthFirst,
            ("--scenario", Some(name), _) => wanted = Some(name),
            ("--faults", _, Some(n)) => faults = u8::try_from(n).unwrap_or(u8::MAX),
            ("--states", _, Some(n)) => limits.states_max = n,
            ("--moves", _, Some(n)) => limits.moves_max = Some(n),
            _ => {
                eprintln!("{USAGE}");
                return ExitCode::from(2);
            }
        }
    }
    if let Some(wanted) = &wanted
        && !scenarios().iter().any(|(name, _)| name == wanted)
    {
        eprintln!("--scenario {wanted}: there is no such town\n\n{USAGE}");
        return ExitCode::from(2);
    }
    let mut total = 0_usize;
    let mut vacuous = false;
    for (name, scenario) in scenarios() {
        if wanted.as_ref().is_some_and(|wanted| wanted != name) {
            continue;
        }
        let found = search(&SmallTown::new(scenario, faults), limits);
        let how = if found.complete { "all" } else { "the first" };
        println!(
            "{name}: {how} {} states, {} steps",
            found.states, found.steps
        );
        if !found.never.is_empty() {
            println!("  never: {}", found.never.join(", "));
            // In all states, or in very many, what should happen sometimes never does.
            let many = found.complete || found.states >= STATES_MANY;
            vacuous |= many && limits.moves_max.is_none();
        }
        total = found.states.saturating_add(total);
        if let Some(broken) = found.broken {
            println!("  broken: {}", broken.what);
            for step in broken.path {
                println!("    {step}");
            }
            return ExitCode::FAILURE;
        }
    }
    println!("{total} states in all");
    match vacuous {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    }
}
