//! Seeds one after the other, and what a failing one has to say.

use std::fmt;
use std::ops::Range;

use super::{Failure, Figures, Minimal, Reopen, Settings, minimize, simulate};

/// Runs seeds until one fails; gives what the runs were made of, if that is something
/// ([`Figures::show_something`]).
///
/// `replay` is the command that runs one seed again, without or with the keys of the only
/// happenings that matter ([`Settings::only`]), parted by commas; an empty text where the seed fails
/// though nothing happens.
///
/// # Errors
/// The failure of the first seed that fails: what did not hold, how it is replayed, and the few
/// happenings that matter, found by [`minimize`] in up to some hundred more runs. Or why nothing was
/// tested.
///
/// ```no_run
/// use gastown_store_memory::MemoryStore;
/// use gastown_testkit::sim::{Settings, hold};
///
/// // Where nothing has to happen for a failure, there are no keys.
/// let keys = |keys: String| keys.split(',').filter(|key| !key.is_empty()).map(str::parse).collect();
/// let only = std::env::var("ONLY").ok().map(keys);
/// let seed = std::env::var("SEED").ok().map(|seed| seed.parse());
/// let settings = Settings { hours: 6, only: only.transpose()?, ..Settings::default() };
/// let seeds = match seed.transpose()? {
///     Some(seed) => seed..seed + 1,
///     None => 1..21,
/// };
/// let fresh = || -> gastown_testkit::sim::Reopen {
///     let store = MemoryStore::new(); // your own store, empty
///     Box::new(move || Ok(Box::new(store.clone())))
/// };
/// let figures = hold(seeds, &settings, &fresh, &|seed, keys| match keys {
///     Some(keys) => format!("SEED={seed} ONLY={keys} cargo test towns_hold"),
///     None => format!("SEED={seed} cargo test towns_hold"),
/// })?;
/// assert!(figures.merged > 0, "a world in which nothing happens shows nothing");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn hold(
    seeds: Range<u64>,
    settings: &Settings,
    fresh: &dyn Fn() -> Reopen,
    replay: &dyn Fn(u64, Option<&str>) -> String,
) -> Result<Figures, String> {
    let mut total = Figures::default();
    let count = seeds.end.saturating_sub(seeds.start);
    let only = settings.only.as_ref().map(joined);
    for seed in seeds {
        let run = simulate(seed, settings, fresh);
        if let Some(failure) = run.failure {
            let mut told = format!(
                "seed {seed} {failure}\n  replay: {}",
                replay(seed, only.as_deref())
            );
            if let Some(minimal) = minimize(seed, settings, fresh) {
                let keys = replay(seed, Some(&minimal.keys()));
                told.push_str(&format!("\n{minimal}\n  replay: {keys}"));
            }
            return Err(told);
        }
        total.add(&run.figures);
    }
    total.show_something(settings, count)?;
    Ok(total)
}

fn joined<'a>(keys: impl IntoIterator<Item = &'a u64>) -> String {
    let keys: Vec<String> = keys.into_iter().map(u64::to_string).collect();
    keys.join(",")
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at {} s: {}", self.at / 1_000, self.what)
    }
}

impl Minimal {
    /// The keys of what has to happen, parted by commas, for [`Settings::only`]; nothing where nothing has to.
    #[must_use]
    pub fn keys(&self) -> String {
        joined(self.happened.iter().map(|happening| &happening.key))
    }
}

impl fmt::Display for Minimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "  {} happenings matter:", self.happened.len())?;
        for happening in &self.happened {
            write!(f, "\n    {:>9} s  {}", happening.at / 1_000, happening.what)?;
        }
        write!(f, "\n  and then, {}", self.failure)
    }
}
