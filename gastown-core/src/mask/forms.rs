//! Where known texts stand in another.

use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;

use super::SECRET_BYTES_MIN;

/// Texts that are looked for all at once: a town may have had hundreds of secrets, and a report millions of
/// texts to look at.
#[derive(Clone, Default)]
pub(super) struct Forms {
    /// Each has [`SECRET_BYTES_MIN`] bytes or more. In order, so that those that begin alike stand together.
    sorted: Vec<String>,
    /// By byte, whether one begins with it.
    begins: Vec<bool>,
}

impl Forms {
    /// Those of `forms` that are long enough.
    pub(super) fn new(forms: impl IntoIterator<Item = String>) -> Self {
        let long = |form: &String| form.len() >= SECRET_BYTES_MIN;
        let mut sorted: Vec<String> = forms.into_iter().filter(long).collect();
        sorted.sort();
        sorted.dedup();
        let begins = (0..=u8::MAX).map(|byte| {
            sorted
                .iter()
                .any(|form| form.as_bytes().first() == Some(&byte))
        });
        Self {
            begins: begins.collect(),
            sorted,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.sorted.len()
    }

    pub(super) fn contains(&self, text: &str) -> bool {
        self.sorted
            .binary_search_by(|form| (**form).cmp(text))
            .is_ok()
    }

    /// Adds where they stand in `text`, at each place the longest. They may
    /// overlap.
    pub(super) fn find(&self, text: &str, out: &mut Vec<Range<usize>>) {
        for (at, byte) in text.bytes().enumerate() {
            if self.begins.get(usize::from(byte)) != Some(&true) {
                continue;
            }
            let length = text.get(at..).and_then(|rest| self.longest(rest));
            out.extend(length.map(|length| at..at.saturating_add(length)));
        }
    }

    /// Adds where the beginning of one ends at a place where a text is cut. `ends` are those places, in order.
    pub(super) fn find_cut(&self, text: &str, ends: &[usize], out: &mut Vec<Range<usize>>) {
        let mut ends = ends.iter().copied().peekable();
        for (at, byte) in text.bytes().enumerate() {
            while ends.next_if(|end| *end <= at).is_some() {}
            let Some(end) = ends.peek() else {
                return;
            };
            if self.begins.get(usize::from(byte)) == Some(&true)
                && text
                    .get(at..*end)
                    .is_some_and(|piece| self.begins_with(piece))
            {
                out.push(at..*end);
            }
        }
    }

    /// Whether one begins with a piece that is long enough to tell.
    fn begins_with(&self, piece: &str) -> bool {
        let at = self.sorted.partition_point(|form| form.as_str() < piece);
        let next = self.sorted.get(at);
        piece.len() >= SECRET_BYTES_MIN && next.is_some_and(|form| form.starts_with(piece))
    }

    /// The length of the longest that `text` begins with.
    fn longest(&self, text: &str) -> Option<usize> {
        let head = text.as_bytes().get(..SECRET_BYTES_MIN)?;
        // Whatever `text` begins with stands before it, the longest last.
        let end = self.sorted.partition_point(|form| form.as_str() <= text);
        let before = self.sorted.get(..end).unwrap_or_default().iter().rev();
        before
            .take_while(|form| form.as_bytes().starts_with(head))
            .find(|form| text.starts_with(form.as_str()))
            .map(String::len)
    }
}
