//! A failing run, made small: fewer and fewer things may happen, as long as it still fails in the
//! same way (delta debugging).

use std::collections::BTreeSet;

use super::{Failure, Happening, Reopen, Settings, simulate};

/// Runs after which what was found is small enough.
const RUNS_MAX: usize = 400;

/// The few things that matter to a failure.
#[derive(Debug)]
pub struct Minimal {
    /// What failed.
    pub failure: Failure,
    /// What has to happen for it, in order; nothing where the town fails by itself.
    pub happened: Vec<Happening>,
    /// How many runs it took to find out.
    pub runs: usize,
}

/// Looks for the few happenings that make the seed fail; none when it does not fail.
#[must_use]
pub fn minimize(seed: u64, settings: &Settings, fresh: &dyn Fn() -> Reopen) -> Option<Minimal> {
    let run = simulate(seed, settings, fresh);
    let failure = run.failure?;
    let sort = sort_of(&failure);
    let mut search = Search {
        seed,
        settings,
        fresh,
        sort,
        runs: 1,
    };
    let mut best = Minimal {
        failure,
        happened: run.happened,
        runs: 0,
    };
    let mut parts = 2;
    while best.happened.len() > 1 && search.runs < RUNS_MAX {
        match search.without_a_part(&best.happened, parts) {
            Some(smaller) => {
                best = smaller;
                parts = parts.saturating_sub(1).max(2);
            }
            None if parts >= best.happened.len() => break,
            None => parts = parts.saturating_mul(2).min(best.happened.len()),
        }
    }
    // The last one may be no part of it either.
    if best.happened.len() == 1
        && search.runs < RUNS_MAX
        && let Some(nothing) = search.without_a_part(&best.happened, 1)
    {
        best = nothing;
    }
    best.runs = search.runs;
    Some(best)
}

/// The invariant or property that a failure names.
fn sort_of(failure: &Failure) -> String {
    let what = failure.what.split([':', ' ']).next();
    what.unwrap_or_default().into()
}

struct Search<'a> {
    seed: u64,
    settings: &'a Settings,
    fresh: &'a dyn Fn() -> Reopen,
    sort: String,
    runs: usize,
}

impl Search<'_> {
    /// The first of `parts` parts that can be left out, with what then remains.
    fn without_a_part(&mut self, all: &[Happening], parts: usize) -> Option<Minimal> {
        let size = all.len().div_ceil(parts).max(1);
        for left_out in all.chunks(size).rev() {
            let drop: BTreeSet<u64> = left_out.iter().map(|h| h.key).collect();
            let keep = all.iter().map(|h| h.key).filter(|key| !drop.contains(key));
            let settings = Settings {
                only: Some(keep.collect()),
                ..self.settings.clone()
            };
            self.runs += 1;
            let run = simulate(self.seed, &settings, self.fresh);
            if let Some(failure) = run.failure.filter(|f| sort_of(f) == self.sort) {
                return Some(Minimal {
                    failure,
                    happened: run.happened,
                    runs: self.runs,
                });
            }
            if self.runs >= RUNS_MAX {
                return None;
            }
        }
        None
    }
}
