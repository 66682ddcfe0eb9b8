//! Lines of bounded length, cut out of a stream of bytes.

use super::LINE_BYTES_MAX;

/// Why a line is none of the protocol's, and what was expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LineError {
    /// The line is longer than allowed.
    #[error("expected a line of at most {limit} bytes, got a longer one")]
    TooLong {
        /// How long it may be: [`LINE_BYTES_MAX`], unless a reader has a limit of its own.
        limit: usize,
    },
    /// The line is not UTF-8.
    #[error("expected UTF-8, got other bytes")]
    NotUtf8,
    /// The line is not JSON.
    #[error("expected one JSON object per line: {message}")]
    NotJson {
        /// What the parser says.
        message: String,
    },
    /// The object is not one of the protocol's.
    #[error("{path}: {message}")]
    Invalid {
        /// The JSON path of what is wrong; `.` is the whole object.
        path: String,
        /// What is wrong there, and what was expected.
        message: String,
    },
}

/// One line as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LineRead {
    /// Its text, without the line feed.
    Text(String),
    /// It can't be taken; what was read of it is gone.
    Bad(LineError),
}

/// Cuts lines out of a stream and never holds more than one line of [`LINE_BYTES_MAX`] bytes, or of
/// its own limit, and the chunk that was pushed last.
///
/// Of a line that is too long the rest is skipped up to its line feed.
///
/// ```
/// use gastown_runtime::protocol::{LineBuffer, LineRead};
/// let mut lines = LineBuffer::default();
/// lines.push(b"one\ntw");
/// assert_eq!(lines.next_line(), Some(LineRead::Text("one".into())));
/// assert_eq!(lines.next_line(), None);
/// lines.push(b"o\n");
/// assert_eq!(lines.next_line(), Some(LineRead::Text("two".into())));
/// ```
#[derive(Debug)]
pub struct LineBuffer {
    /// How long a line may be.
    limit: usize,
    bytes: Vec<u8>,
    /// Where the next line begins in `bytes`.
    begin: usize,
    /// The current line was too long already; its rest is skipped.
    skipping: bool,
}

impl Default for LineBuffer {
    fn default() -> Self {
        Self::with_limit(LINE_BYTES_MAX)
    }
}

impl LineBuffer {
    /// One that takes lines of at most that many bytes, without their line feed.
    #[must_use]
    pub const fn with_limit(limit: usize) -> Self {
        Self {
            limit,
            bytes: Vec::new(),
            begin: 0,
            skipping: false,
        }
    }

    /// Adds what was read from the stream. Take all lines before the next push.
    pub fn push(&mut self, chunk: &[u8]) {
        self.bytes.drain(..self.begin.min(self.bytes.len()));
        self.begin = 0;
        self.bytes.extend_from_slice(chunk);
    }

    /// The next whole line, if there is one.
    pub fn next_line(&mut self) -> Option<LineRead> {
        loop {
            let rest = self.bytes.get(self.begin..).unwrap_or_default();
            let Some(length) = rest.iter().position(|byte| *byte == b'\n') else {
                return self.shed();
            };
            let line = rest.get(..length).unwrap_or_default();
            let read = (!self.skipping).then(|| self.read(line));
            self.begin = self.begin.saturating_add(length).saturating_add(1);
            self.skipping = false;
            if read.is_some() {
                return read;
            }
        }
    }

    /// What is left once the stream has ended: a last line without a line feed.
    pub fn finish(&mut self) -> Option<LineRead> {
        let rest = self.bytes.get(self.begin..).unwrap_or_default();
        let read = (!self.skipping && !rest.is_empty()).then(|| self.read(rest));
        *self = Self::with_limit(self.limit);
        read
    }

    /// Lets go of a line that is too long before its end was seen.
    fn shed(&mut self) -> Option<LineRead> {
        let held = self.bytes.len().saturating_sub(self.begin);
        if self.skipping || held > self.limit {
            self.begin = self.bytes.len();
            let first = !self.skipping;
            self.skipping = true;
            return first.then_some(self.too_long());
        }
        None
    }

    fn read(&self, line: &[u8]) -> LineRead {
        if line.len() > self.limit {
            return self.too_long();
        }
        match std::str::from_utf8(line.strip_suffix(b"\r").unwrap_or(line)) {
            Ok(text) => LineRead::Text(text.to_owned()),
            Err(_) => LineRead::Bad(LineError::NotUtf8),
        }
    }

    fn too_long(&self) -> LineRead {
        LineRead::Bad(LineError::TooLong { limit: self.limit })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(chunks: &[&[u8]]) -> Vec<LineRead> {
        let mut buffer = LineBuffer::default();
        let mut out = Vec::new();
        for chunk in chunks {
            buffer.push(chunk);
            while let Some(line) = buffer.next_line() {
                out.push(line);
            }
        }
        out.extend(buffer.finish());
        out
    }

    #[test]
    fn a_line_may_come_in_any_pieces() {
        let text = "first\r\nsecond é\n\nlast".as_bytes();
        let whole = lines(&[text]);
        assert_eq!(whole.len(), 4);
        for cut in 0..text.len() {
            let (head, tail) = text.split_at(cut);
            assert_eq!(lines(&[head, tail]), whole, "cut at {cut}");
        }
    }

    #[test]
    fn a_line_at_the_limit_is_taken_and_one_byte_more_is_not() {
        let mut line = vec![b'x'; LINE_BYTES_MAX];
        line.push(b'\n');
        assert!(matches!(lines(&[&line])[..], [LineRead::Text(_)]));
        line.insert(0, b'x');
        line.extend_from_slice(b"next\n");
        let expected = [
            LineRead::Bad(LineError::TooLong {
                limit: LINE_BYTES_MAX,
            }),
            LineRead::Text("next".into()),
        ];
        assert_eq!(lines(&[&line]), expected);
    }

    #[test]
    fn an_endless_line_is_reported_once_and_never_held() {
        let mut buffer = LineBuffer::default();
        let chunk = vec![b'x'; 64 * 1024];
        let mut bad = 0;
        for _ in 0..64 {
            buffer.push(&chunk);
            bad += usize::from(buffer.next_line().is_some());
            assert!(buffer.bytes.len() <= LINE_BYTES_MAX + 2 * chunk.len());
        }
        assert_eq!(bad, 1);
        buffer.push(b"\nback\n");
        assert_eq!(buffer.next_line(), Some(LineRead::Text("back".into())));
    }

    #[test]
    fn a_limit_of_its_own_is_kept_after_the_end_of_a_stream() {
        let mut buffer = LineBuffer::with_limit(4);
        let bad = LineRead::Bad(LineError::TooLong { limit: 4 });
        for _ in 0..2 {
            buffer.push(b"five5\nfour\nfive5");
            assert_eq!(buffer.next_line(), Some(bad.clone()));
            assert_eq!(buffer.next_line(), Some(LineRead::Text("four".into())));
            assert_eq!(buffer.next_line(), Some(bad.clone()));
            assert_eq!(buffer.finish(), None);
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_named() {
        assert_eq!(lines(&[b"\xff\n"]), [LineRead::Bad(LineError::NotUtf8)]);
    }
}
