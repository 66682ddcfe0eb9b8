//! Simulates towns, seed by seed, and prints what they were made of.
//!
//! ```sh
//! cargo run --release -p gastown-testkit --example simulate -- --seeds 100
//! cargo run --release -p gastown-testkit --example simulate -- --seed 17 --trace
//! ```

mod arguments;
mod on_disk;

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use gastown_core::TownConfig;
use gastown_store_memory::MemoryStore;
use gastown_testkit::sim::{Failure, Figures, Rates, Reopen, Settings, minimize, simulate};

use self::arguments::{json, number};
use self::on_disk::OnDisk;

/// Half of the time would go into the system's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const USAGE: &str = "\
simulate: whole towns with everything that can go wrong, driven by seeds

  --seeds N       how many seeds (default 20)
  --from N        the first of them (default 1)
  --seed N        this one only; the same seed gives the same run
  --hours N       hours during which things go wrong (default 24)
  --rates NAME    storm (default) or calm
  --even          takes the rates as they are; else each seed has its own weather
  --policy FILE   a host's own thresholds, as JSON: `town.policy` of a snapshot
  --config FILE   a host's own settings of a town, as JSON: `town.config` of a snapshot
  --store NAME    memory (default), or sqlite: a file for each run, opened again after each crash
  --threads N     default 1
  --trace         tells the run line by line
  --only A,B,C    lets only these happen; a failing run prints them
  --first-failure stops at the first seed that fails
  --no-minimize   doesn't look for the few happenings that matter";

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kept {
    Memory,
    Sqlite,
}

impl Kept {
    fn name(self) -> &'static str {
        match self {
            Kept::Memory => "memory",
            Kept::Sqlite => "sqlite",
        }
    }
}

struct Arguments {
    from: u64,
    seeds: u64,
    settings: Settings,
    rates: String,
    /// The words that a replay needs, too.
    own: String,
    store: Kept,
    threads: u64,
    minimizes: bool,
    stops: bool,
}

fn parse() -> Result<Option<Arguments>, String> {
    let mut out = Arguments {
        from: 1,
        seeds: 20,
        settings: Settings::default(),
        rates: "storm".into(),
        own: String::new(),
        store: Kept::Memory,
        threads: 1,
        minimizes: true,
        stops: false,
    };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or(format!("{word} needs a value"));
        match word.as_str() {
            "--seeds" => out.seeds = number(&value()?)?,
            "--from" => out.from = number(&value()?)?,
            "--seed" => {
                out.from = number(&value()?)?;
                out.seeds = 1;
            }
            "--hours" => out.settings.hours = number(&value()?)?,
            "--threads" => out.threads = number::<u64>(&value()?)?.max(1),
            "--rates" => {
                out.rates = value()?;
                out.settings.rates = match out.rates.as_str() {
                    "storm" => Rates::STORM,
                    "calm" => Rates::CALM,
                    other => return Err(format!("--rates {other}: expected storm or calm")),
                };
            }
            "--store" => {
                out.store = match value()?.as_str() {
                    "memory" => Kept::Memory,
                    "sqlite" => Kept::Sqlite,
                    other => return Err(format!("--store {other}: expected memory or sqlite")),
                };
            }
            "--even" => {
                out.settings.weather = false;
                out.own.push_str(" --even");
            }
            "--policy" => {
                let file = value()?;
                out.settings.policy = Some(json(&file)?);
                out.own.push_str(&format!(" --policy '{file}'"));
            }
            "--config" => {
                let file = value()?;
                // Read once as what it is, so that what can't be taken is named.
                let _: TownConfig = json(&file)?;
                out.settings.config = Some(json(&file)?);
                out.own.push_str(&format!(" --config '{file}'"));
            }
            "--trace" => out.settings.trace = true,
            "--only" => {
                let keys: Result<BTreeSet<u64>, String> = value()?
                    .split(',')
                    .filter(|key| !key.is_empty())
                    .map(number)
                    .collect();
                out.settings.only = Some(keys?);
            }
            "--first-failure" => out.stops = true,
            "--no-minimize" => out.minimizes = false,
            "--help" | "-h" => return Ok(None),
            other => return Err(format!("unknown argument {other}")),
        }
    }
    Ok(Some(out))
}

fn memory() -> Reopen {
    let store = MemoryStore::new();
    Box::new(move || Ok(Box::new(store.clone())))
}

fn main() -> ExitCode {
    let arguments = match parse() {
        Ok(Some(arguments)) => arguments,
        Ok(None) => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("{error}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let next = AtomicU64::new(arguments.from);
    let end = arguments.from.saturating_add(arguments.seeds);
    let total = Mutex::new(Figures::default());
    let failed = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..arguments.threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    let stops = arguments.stops && failed.load(Ordering::Relaxed) > 0;
                    if seed >= end || stops {
                        return;
                    }
                    let figures = one(seed, &arguments, &failed);
                    total
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .add(&figures);
                }
            });
        }
    });
    let total = total.into_inner().unwrap_or_else(PoisonError::into_inner);
    show(&total, arguments.seeds);
    let failed = failed.load(Ordering::Relaxed);
    let shown = total.show_something(&arguments.settings, arguments.seeds);
    let verdict = match shown {
        _ if failed > 0 => Err(format!("{failed} seeds failed")),
        shown => shown,
    };
    match verdict {
        Ok(()) => {
            println!("nothing failed");
            ExitCode::SUCCESS
        }
        Err(why) => {
            println!("{why}");
            ExitCode::FAILURE
        }
    }
}

/// Runs one seed; tells of a failure as small as it can be made.
fn one(seed: u64, arguments: &Arguments, failed: &AtomicU64) -> Figures {
    let disk = OnDisk::default();
    let fresh = || match arguments.store {
        Kept::Memory => memory(),
        Kept::Sqlite => disk.fresh(),
    };
    let mut run = simulate(seed, &arguments.settings, &fresh);
    if arguments.store == Kept::Sqlite
        && let Err(what) = disk.check()
    {
        let at = run.figures.simulated_ms;
        run.failure.get_or_insert(Failure { at, what });
    }
    for line in &run.trace {
        println!("{line}");
    }
    if let Some(failure) = run.failure {
        failed.fetch_add(1, Ordering::Relaxed);
        let hours = arguments.settings.hours;
        let replay = format!(
            "cargo run --release -p gastown-testkit --example simulate -- --seed {seed} --hours {hours} --rates {} --store {}{}",
            arguments.rates,
            arguments.store.name(),
            arguments.own
        );
        let only = arguments
            .settings
            .only
            .as_ref()
            .map_or(String::new(), |keys| {
                let keys: Vec<String> = keys.iter().map(u64::to_string).collect();
                format!(" --only '{}'", keys.join(","))
            });
        println!("seed {seed} {failure}");
        println!("  replay: {replay} --trace{only}");
        if arguments.minimizes
            && let Some(minimal) = minimize(seed, &arguments.settings, &fresh)
        {
            println!("  of {} happenings:\n{minimal}", run.happened.len());
            // In quotes: where nothing has to happen, there are no keys.
            println!("  replay: {replay} --trace --only '{}'", minimal.keys());
        }
    }
    run.figures
}

fn show(total: &Figures, seeds: u64) {
    println!("seeds                {seeds}");
    println!("simulated town-hours {}", total.simulated_ms / 3_600_000);
    println!("steps                {}", total.steps);
    println!("events observed      {}", total.events);
    println!("commands executed    {}", total.commands);
    println!("actions applied      {}", total.actions);
    println!("effects performed    {}", total.effects);
    println!("chance happenings    {}", total.happened);
    println!("host crashes         {}", total.crashes);
    println!("reviews merged       {}", total.merged);
    println!("reviews that wait    {}", total.waiting);
    let never = total.never();
    if !never.is_empty() {
        println!("  never: {}", never.join(", "));
    }
}
