//! A small town that really runs: two git repositories, seven issues, agents that are processes.
//! With `--forge fake` it works by pull requests, on a fake GitHub.
//!
//! `cargo run --example town -- --help` says how it is used. The files are small and
//! named after what they do; [`setup`] is what a host does to found a town and [`town`] how it
//! runs one, [`agent`] is what an agent looks like from inside.

mod agent;
mod board;
mod directory;
mod evict;
mod failure;
mod fake;
mod git;
mod jobs;
mod journal;
mod options;
mod origins;
mod preflight;
mod sanitize;
mod screen;
mod setup;
mod summary;
mod town;
mod verdict;

use std::io::{self, Write};
use std::process::ExitCode;

use crate::options::{ForgeChoice, Order};

fn main() -> ExitCode {
    let words = std::env::args_os().skip(1);
    let result = match options::parse(words) {
        Ok(Order::Help) => {
            drop(io::stdout().write_all(options::HELP.as_bytes()));
            return ExitCode::SUCCESS;
        }
        Ok(Order::Agent(marks)) => return agent::run(&marks),
        Ok(Order::Town(order, ForgeChoice::Git)) => town::run(order),
        Ok(Order::Town(order, ForgeChoice::Fake)) => fake::run(order.dir),
        Err(failure) => Err(failure),
    };
    match result {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("town: {}", failure.explain());
            failure.exit_code()
        }
    }
}
