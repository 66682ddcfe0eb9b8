//! Secrets of before (invariant I17): what was written while they were in use stays.

use alloc::string::ToString;
use alloc::vec::Vec;
use core::fmt;

use serde_json::Value;

use super::Secret;
use crate::mask::is_worth_masking;

/// Secrets that were replaced or removed, oldest first.
///
/// A text that quotes one stays in rows and bead events for good, so whoever takes secrets out of texts has
/// to know them. They are kept as secret as those in use.
///
/// The newest are kept, up to [`Self::COUNT_MAX`] and [`Self::BYTES_MAX`]. A secret that is too short to be
/// masked is none of them.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct RetiredSecrets(Vec<Secret>);

impl RetiredSecrets {
    /// How many are kept.
    pub const COUNT_MAX: usize = 1_024;
    /// How long they are together at most, in bytes of JSON: their row has them as JSON, and has a limit.
    pub const BYTES_MAX: usize = 1024 * 1024;

    /// The texts, oldest first.
    pub(crate) fn exposed(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(Secret::expose)
    }

    /// Keeps one more, as the newest.
    pub(crate) fn add(&mut self, text: &str) {
        if !is_worth_masking(text) || bytes(text) > Self::BYTES_MAX {
            return;
        }
        self.0.retain(|secret| secret.expose() != Some(text));
        self.0.push(Secret::new(text));
        let mut room = Self::BYTES_MAX;
        let kept = self.exposed().collect::<Vec<_>>().into_iter().rev();
        let fits = kept.take(Self::COUNT_MAX).take_while(|text| {
            let left = room.checked_sub(bytes(text));
            room = left.unwrap_or(0);
            left.is_some()
        });
        let forgotten = self.0.len().saturating_sub(fits.count());
        self.0.drain(..forgotten);
    }
}

fn bytes(text: &str) -> usize {
    Value::from(text).to_string().len()
}

impl fmt::Debug for RetiredSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RetiredSecrets")
            .field(&self.0.len())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;

    use super::*;

    fn of(texts: impl IntoIterator<Item = alloc::string::String>) -> RetiredSecrets {
        let mut retired = RetiredSecrets::default();
        texts.into_iter().for_each(|text| retired.add(&text));
        retired
    }

    #[test]
    fn the_newest_are_kept_and_none_twice_and_none_that_is_short() {
        let texts = ["secret-1", "secret-2", "  short  ", "secret-1"];
        let retired = of(texts.map(Into::into));
        assert_eq!(
            retired.exposed().collect::<Vec<_>>(),
            ["secret-2", "secret-1"]
        );
        assert_eq!(format!("{retired:?}"), "RetiredSecrets(2)");
    }

    #[test]
    fn they_end_at_their_bounds() {
        let many = of((0..=RetiredSecrets::COUNT_MAX).map(|n| format!("secret-{n}")));
        assert_eq!(many.exposed().count(), RetiredSecrets::COUNT_MAX);
        assert_eq!(many.exposed().next(), Some("secret-1"));

        // Each is six times as long as JSON.
        let control = "\u{1}".repeat(65_536);
        let large = of((0..4).map(|n| format!("secret-{n}{control}")));
        let kept: Vec<_> = large.exposed().filter_map(|text| text.get(..8)).collect();
        assert_eq!(kept, ["secret-2", "secret-3"]);

        let mut one = of(["secret-1".into()]);
        one.add(&"x".repeat(RetiredSecrets::BYTES_MAX));
        assert_eq!(one.exposed().collect::<Vec<_>>(), ["secret-1"]);
    }
}
