//! 128 bits that stand for a state.

/// What the words of a digest begin with, so that what one thing is written as never begins what
/// another is written as.
#[derive(Clone, Copy)]
pub(crate) enum Mark {
    /// Nothing, where something could stand.
    Null = 1,
    No,
    Yes,
    /// A number that fits into 48 bits.
    Small,
    /// Any other; its own word follows.
    Large,
    /// A text and its length.
    Text,
    /// A text with names in it, in parts.
    Parts,
    /// Where its last part ends.
    PartsEnd,
    /// A name of the engine's, by its rank.
    Name,
    /// A time, by its age.
    Age,
    /// A list, an object; where it ends.
    List,
    Object,
    End,
}

/// Where the mark stands in a word.
const MARK_AT: u32 = 56;
/// How many bytes of a text stand beside its mark and its length.
const BESIDE: usize = 6;

/// An odd number of 128 random bits: the fractional parts of the roots of 2 and 3.
const SPREAD: u128 = 0x6a09_e667_f3bc_c908_bb67_ae85_84ca_a73b;

/// A digest of words.
///
/// Each word is added to the lower half of 128 bits, which are then multiplied by an odd number,
/// which spreads every bit over all that stand above it, and their upper half is added to the
/// lower one, which brings it back down. Each of these can be undone. So two states whose words
/// differ in one place never get the same digest; those that differ in more do only if the later
/// words happen to cancel, with all bits well mixed, what the first has left, which has a
/// probability of about 2^-128 for a pair. Among 10^8 states, or 2^53 pairs, that is 2^-75; among
/// 10^9, 2^-69.
pub(crate) struct Digest(u128);

impl Digest {
    pub(crate) fn new() -> Self {
        Self(SPREAD.rotate_left(64))
    }

    fn word(&mut self, word: u64) {
        let spread = (self.0 ^ u128::from(word)).wrapping_mul(SPREAD);
        self.0 = spread ^ spread >> 64;
    }

    fn marked(&mut self, mark: Mark, rest: u64) {
        self.word((mark as u64) << MARK_AT | rest);
    }

    pub(crate) fn mark(&mut self, mark: Mark) {
        self.marked(mark, 0);
    }

    pub(crate) fn yes_or_no(&mut self, yes: bool) {
        self.mark(if yes { Mark::Yes } else { Mark::No });
    }

    pub(crate) fn number(&mut self, number: u64) {
        if number >> 48 == 0 {
            self.marked(Mark::Small, number);
        } else {
            self.mark(Mark::Large);
            self.word(number);
        }
    }

    /// An age, which may lie in the future.
    pub(crate) fn age(&mut self, age: i8) {
        self.marked(Mark::Age, u64::from(age.cast_unsigned()));
    }

    /// A name of a kind, by its rank among those that the engine made.
    pub(crate) fn name(&mut self, kind: char, rank: usize) {
        self.marked(Mark::Name, u64::from(u32::from(kind)));
        self.word(rank as u64);
    }

    pub(crate) fn text(&mut self, text: &str) {
        let (beside, rest) = text
            .as_bytes()
            .split_at_checked(BESIDE)
            .unwrap_or((text.as_bytes(), &[]));
        // The length says where the text ends, up to multiples of 256 bytes.
        let length = (text.len() as u64 & 0xff) << 48;
        self.marked(Mark::Text, length | little_endian(beside));
        for eight in rest.chunks(8) {
            self.word(little_endian(eight));
        }
    }

    pub(crate) fn end(self) -> u128 {
        let spread = self.0.wrapping_mul(SPREAD);
        spread ^ spread >> 64
    }
}

/// At most eight bytes as a number.
fn little_endian(bytes: &[u8]) -> u64 {
    match bytes.try_into() {
        Ok(eight) => u64::from_le_bytes(eight),
        Err(_) => bytes
            .iter()
            .rev()
            .fold(0, |number, byte| number << 8 | u64::from(*byte)),
    }
}

#[cfg(test)]
mod tests {
    use super::{Digest, Mark};
    use std::collections::BTreeSet;

    fn of(write: impl FnOnce(&mut Digest)) -> u128 {
        let mut digest = Digest::new();
        write(&mut digest);
        digest.end()
    }

    #[test]
    fn texts_of_all_lengths_differ() {
        let mut seen = BTreeSet::new();
        for length in 0..200 {
            for letter in ["a", "\0", "é"] {
                let text = letter.repeat(length);
                assert!(seen.insert(of(|out| out.text(&text))) || length == 0);
            }
        }
        assert_eq!(seen.len(), 1 + 3 * 199);
    }

    /// Ages, counts and flags are small and stand next to each other: no two small words cancel.
    #[test]
    fn small_words_in_a_row_never_cancel() {
        let mut seen = BTreeSet::new();
        for first in 0..100 {
            for second in 0..100 {
                for between in 0..4 {
                    let digest = of(|out| {
                        out.number(first);
                        (0..between).for_each(|_| out.mark(Mark::Null));
                        out.number(second);
                    });
                    assert!(seen.insert(digest));
                }
            }
        }
    }

    /// One bit more or less turns about half of the bits, wherever it stands.
    #[test]
    fn every_bit_spreads_over_all() {
        for before in 0..3 {
            for bit in 0..48 {
                let write = |number: u64| {
                    of(|out| {
                        (0..before).for_each(|n| out.number(n));
                        out.number(number);
                    })
                };
                let turned = (write(0) ^ write(1 << bit)).count_ones();
                assert!((30..=98).contains(&turned), "bit {bit}: {turned}");
            }
        }
    }
}
