//! Body of the target that fuzzes the agents' protocol; the runtime's tests replay its corpus.

use gastown_runtime::protocol::{
    FromAgent, LINE_BYTES_MAX, LineBuffer, LineError, LineRead, ToAgent,
};

/// What an agent writes, in chunks of any size, which make no difference: every line is read or
/// refused, none is longer than allowed, and what was read, in either direction, is written as a line
/// that reads the same.
///
/// The first byte is the size of the chunks, the second a limit within a fuzzer's reach.
pub(crate) fn agent_lines(data: &[u8]) {
    let [size, limit, stream @ ..] = data else {
        return;
    };
    let (size, limit) = (usize::from(*size).max(1), usize::from(*limit));
    for limit in [limit, LINE_BYTES_MAX] {
        let expected = expected_of(stream, limit);
        for size in [size, stream.len().max(1)] {
            let read = lines_of(stream, size, limit);
            assert!(
                read == expected,
                "in chunks of {size}, at most {limit}: {read:?}, expected {expected:?}"
            );
        }
    }
    for line in lines_of(stream, size, LINE_BYTES_MAX) {
        let LineRead::Text(text) = line else { continue };
        if let Ok(message) = FromAgent::parse(&text) {
            let line = message.to_line();
            let again = line.map(|line| FromAgent::parse(line.trim_end()));
            assert!(
                matches!(&again, Ok(Ok(again)) if *again == message),
                "{text:?}: {again:?}"
            );
        }
        if let Ok(message) = ToAgent::parse(&text) {
            let line = message.to_line();
            let again = line.map(|line| ToAgent::parse(line.trim_end()));
            assert!(
                matches!(&again, Ok(Ok(again)) if *again == message),
                "{text:?}: {again:?}"
            );
        }
    }
}

/// What a stream says, cut with all of it in sight.
fn expected_of(stream: &[u8], limit: usize) -> Vec<LineRead> {
    let mut lines: Vec<&[u8]> = stream.split(|byte| *byte == b'\n').collect();
    // A line feed ends a line and begins none.
    lines.pop_if(|line| line.is_empty());
    let read = |line: &[u8]| {
        if line.len() > limit {
            return LineRead::Bad(LineError::TooLong { limit });
        }
        let text = line.strip_suffix(b"\r").unwrap_or(line).to_vec();
        String::from_utf8(text).map_or(LineRead::Bad(LineError::NotUtf8), LineRead::Text)
    };
    lines.into_iter().map(read).collect()
}

fn lines_of(stream: &[u8], size: usize, limit: usize) -> Vec<LineRead> {
    let mut lines = LineBuffer::with_limit(limit);
    let mut read = Vec::new();
    for chunk in stream.chunks(size) {
        lines.push(chunk);
        while let Some(line) = lines.next_line() {
            read.push(line);
        }
    }
    read.extend(lines.finish());
    read
}
