//! Choices out of one number: the least number chooses the first of everything, so that a seed
//! shrinks to what is plain.

/// Takes one choice after the other from a number; it never runs out, and nought stays nought.
#[derive(Debug, Clone, Copy)]
pub(super) struct Dice {
    left: u64,
    seed: u64,
}

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self { left: seed, seed }
    }

    /// A number from 0 up to, not including, `sides`.
    pub(super) fn of(&mut self, sides: u64) -> u64 {
        if self.left < sides {
            // An odd factor, so that only nought leads to nought.
            self.seed = self.seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
            self.left = self.seed ^ (self.seed >> 31);
        }
        let result = self.left.checked_rem(sides).unwrap_or(0);
        self.left = self.left.checked_div(sides).unwrap_or(0);
        result
    }

    /// True once in `count` times, and never for the least number.
    pub(super) fn one_in(&mut self, count: u64) -> bool {
        self.of(count) == count.saturating_sub(1)
    }

    /// One of `list`.
    pub(super) fn pick<'a, T>(&mut self, list: &'a [T]) -> Option<&'a T> {
        let index = self.of(u64::try_from(list.len()).unwrap_or(u64::MAX));
        list.get(usize::try_from(index).unwrap_or(usize::MAX))
    }

    /// One of some ages in seconds.
    pub(super) fn age(&mut self, ages: &[i64]) -> i64 {
        self.pick(ages).copied().unwrap_or(0)
    }
}
