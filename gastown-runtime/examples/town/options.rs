//! What was typed, and what it means.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::failure::Failure;

/// The first word of the command by which the runtime starts an agent.
pub(crate) const AGENT: &str = "agent";

pub(crate) const HELP: &str = "\
Runs a small town of agents on two git repositories until all of its work has landed.

Usage: cargo run --example town -- [--dir DIR] [--forge FORGE] [--evict]

Options:
  --dir DIR   Where the town lives: its database, the two origins, the agents' worktrees.
              New or empty, or that of an earlier run: it goes on where it stopped, however it
              stopped. Default: a new temporary directory, which is named and kept.
  --forge FORGE
              How work reaches the default branch. `git`, the default: refineries review, merge
              and push. `fake`: polecats open pull requests on a fake GitHub, where checks fail,
              people comment, approve and get in the way, and the town merges by the rules. The
              fake forgets when it ends, so its directory has to be new.
  --evict     Lets the place where agents run be evicted in the middle of their work, checks that
              nothing is lost, and prints PASS or FAIL. Wants a new town.
  -h, --help  Prints this.

Exit status:
  0  everything is closed, every merge is in its origin's history, no invariant is violated
  1  it began, and did not end like that
  2  it did not begin: a wrong option, a directory or machine that it can't use
";

/// How work reaches the default branch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ForgeChoice {
    /// Refineries merge and push.
    Git,
    /// The town merges pull requests on a fake GitHub.
    Fake,
}

/// What to do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Order {
    Help,
    /// Run the town.
    Town(TownOrder, ForgeChoice),
    /// Be an agent; the directory is where it keeps its marks.
    Agent(PathBuf),
}

/// How to run the town.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct TownOrder {
    /// Its directory; none: a new temporary one.
    pub(crate) dir: Option<PathBuf>,
    /// Whether its agents are evicted once.
    pub(crate) evict: bool,
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
    let mut forge = None;
    let mut evict = false;
    while let Some(word) = words.next() {
        let shown = word.to_string_lossy().into_owned();
        if word == "--forge" || shown.starts_with("--forge=") {
            let next = || {
                words
                    .next()
                    .unwrap_or_default()
                    .to_string_lossy()
                    .into_owned()
            };
            let given = shown
                .strip_prefix("--forge=")
                .map_or_else(next, str::to_owned);
            let choice = match given.as_str() {
                "git" => ForgeChoice::Git,
                "fake" => ForgeChoice::Fake,
                other => {
                    return Err(Failure::Usage(format!(
                        "--forge {other:?} is neither git nor fake"
                    )));
                }
            };
            if forge.replace(choice).is_some() {
                return Err(Failure::Usage("--forge was given twice".into()));
            }
            continue;
        }
        let given = if word == "-h" || word == "--help" {
            return Ok(Order::Help);
        } else if word == "--evict" {
            evict = true;
            continue;
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
    let forge = forge.unwrap_or(ForgeChoice::Git);
    if evict && forge == ForgeChoice::Fake {
        return Err(Failure::Usage("--evict needs --forge git".into()));
    }
    let order = TownOrder {
        dir: dir.map(PathBuf::from),
        evict,
    };
    Ok(Order::Town(order, forge))
}
