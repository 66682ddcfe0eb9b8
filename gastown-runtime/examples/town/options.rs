//! What was typed, and what it means.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::failure::Failure;

/// The first word of the command by which the runtime starts an agent.
pub(crate) const AGENT: &str = "agent";

pub(crate) const HELP: &str = "\
Runs a small town of agents on two git repositories until all of its work has landed.

Usage: cargo run --release --example town -- [--dir DIR]

Options:
  --dir DIR   Where the town lives: its database, the two origins, the agents' worktrees.
              New or empty, or that of an earlier run: it goes on where it stopped, however it
              stopped. Default: a new temporary directory, which is named and kept.
  -h, --help  Prints this.

Exit status:
  0  everything is closed, every merge is in its origin's history, no invariant is violated
  1  it began, and did not end like that
  2  it did not begin: a wrong option, a directory or machine that it can't use
";

/// What to do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Order {
    Help,
    /// Run the town, in this directory if there is one.
    Town(Option<PathBuf>),
    /// Be an agent; the directory is where it keeps its marks.
    Agent(PathBuf),
}

/// Reads the words after the program's name.
pub(crate) fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Order, Failure> {
    let mut words = words.into_iter().peekable();
    if words.peek().is_some_and(|word| word == AGENT) {
        return match (words.nth(1), words.next()) {
            (Some(marks), None) => Ok(Order::Agent(marks.into())),
            (_, _) => Err(Failure::Usage("expected `agent MARKS`".into())),
        };
    }
    let mut dir: Option<OsString> = None;
    while let Some(word) = words.next() {
        let shown = word.to_string_lossy().into_owned();
        let given = if word == "-h" || word == "--help" {
            return Ok(Order::Help);
        } else if word == "--dir" {
            words.next().unwrap_or_default()
        } else if let Some(rest) = shown.strip_prefix("--dir=") {
            rest.into()
        } else {
            return Err(Failure::Usage(format!("unknown argument {shown:?}")));
        };
        if given.is_empty() {
            return Err(Failure::Usage("--dir needs a directory".into()));
        }
        if dir.replace(given).is_some() {
            return Err(Failure::Usage("--dir was given twice".into()));
        }
    }
    Ok(Order::Town(dir.map(PathBuf::from)))
}
