//! Chance without a stream: every question has a name, and its answer depends on the seed and that
//! name alone. Taking one happening out of a run leaves the answers to all other questions as they
//! were, which is what makes a failing run small enough to read.

use std::collections::{BTreeMap, BTreeSet};

/// Something that chance brought about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Happening {
    /// Its name as a number; what `--only` takes.
    pub key: u64,
    /// When it happened first, in milliseconds of the simulation.
    pub at: u64,
    /// What it was.
    pub what: String,
}

/// The dice of one run.
#[derive(Debug)]
pub(crate) struct Dice {
    seed: u64,
    only: Option<BTreeSet<u64>>,
    happened: BTreeMap<u64, Happening>,
    calm: bool,
    now: u64,
    count: u64,
    /// How often each sort of thing happened.
    kinds: BTreeMap<&'static str, u64>,
}

/// FNV-1a, spread by the finish of splitmix64.
pub(crate) fn digest(start: u64, bytes: &[u8]) -> u64 {
    let mut hash = start ^ 0xcbf2_9ce4_8422_2325;
    for byte in bytes {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    }
    spread(hash)
}

pub(crate) fn spread(mut z: u64) -> u64 {
    z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Dice {
    pub(crate) fn new(seed: u64, only: Option<BTreeSet<u64>>) -> Self {
        Self {
            seed,
            only,
            happened: BTreeMap::new(),
            calm: false,
            now: 0,
            count: 0,
            kinds: BTreeMap::new(),
        }
    }

    /// From here on nothing happens any more.
    pub(crate) fn calm_down(&mut self) {
        self.calm = true;
    }

    pub(crate) fn is_calm(&self) -> bool {
        self.calm
    }

    pub(crate) fn set_now(&mut self, now: u64) {
        self.now = now;
    }

    /// How often something happened.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// How often each sort of thing happened.
    pub(crate) fn kinds(&self) -> BTreeMap<&'static str, u64> {
        self.kinds.clone()
    }

    pub(crate) fn into_happened(self) -> Vec<Happening> {
        let mut all: Vec<Happening> = self.happened.into_values().collect();
        all.sort_by_key(|happening| (happening.at, happening.key));
        all
    }

    fn key(&self, what: &str, of: &str, n: u64) -> u64 {
        let hash = digest(self.seed, what.as_bytes());
        let hash = digest(hash, of.as_bytes());
        spread(hash ^ n)
    }

    /// Whether the `n`-th `what` of `of` happens, where it does with probability `rate`.
    pub(crate) fn happens(&mut self, rate: f64, what: &'static str, of: &str, n: u64) -> bool {
        if self.calm || rate <= 0.0 {
            return false;
        }
        let key = self.key(what, of, n);
        // 53 bits are what a float holds.
        let unit = (spread(key) >> 11) as f64 / (1u64 << 53) as f64;
        if unit >= rate || self.only.as_ref().is_some_and(|only| !only.contains(&key)) {
            return false;
        }
        self.count = self.count.saturating_add(1);
        let kind = self.kinds.entry(what).or_default();
        *kind = kind.saturating_add(1);
        let at = self.now;
        self.happened.entry(key).or_insert_with(|| Happening {
            key,
            at,
            what: format!("{what} ({of} {n})"),
        });
        true
    }

    /// A number below `limit`, the same for the same question; 0 for a limit of 0.
    pub(crate) fn below(&self, limit: u64, what: &str, of: &str, n: u64) -> u64 {
        self.key(what, of, n).checked_rem(limit).unwrap_or(0)
    }

    /// A span around `usual`: mostly shorter, now and then up to four times as long.
    pub(crate) fn span(&self, usual: u64, what: &str, of: &str, n: u64) -> u64 {
        let a = self.below(1_000, what, of, n).saturating_add(1);
        let b = self
            .below(1_000, what, of, n ^ 0x5bd1_e995)
            .saturating_add(1);
        usual.saturating_mul(4).saturating_mul(a).saturating_mul(b) / 1_000_000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_depends_on_the_question_alone() {
        let mut one = Dice::new(7, None);
        let mut other = Dice::new(7, None);
        for n in 0..100 {
            other.happens(0.5, "something else", "x", n);
        }
        for n in 0..1_000 {
            assert_eq!(
                one.happens(0.3, "rain", "town", n),
                other.happens(0.3, "rain", "town", n)
            );
        }
    }

    #[test]
    fn rates_are_kept() {
        let mut dice = Dice::new(1, None);
        let count = (0..10_000)
            .filter(|n| dice.happens(0.2, "rain", "town", *n))
            .count();
        assert!((1_800..2_200).contains(&count), "{count}");
    }

    #[test]
    fn only_what_is_named_happens() {
        let mut all = Dice::new(3, None);
        for n in 0..50 {
            all.happens(0.5, "rain", "town", n);
        }
        let kept = all.into_happened().remove(4).key;
        let mut few = Dice::new(3, Some([kept].into()));
        let count = (0..50)
            .filter(|n| few.happens(0.5, "rain", "town", *n))
            .count();
        assert_eq!(count, 1);
    }
}
