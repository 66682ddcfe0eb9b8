//! Body of the target that fuzzes the agents' protocol; the runtime's tests replay its corpus.

use gastown_runtime::protocol::{FromAgent, LINE_BYTES_MAX, LineBuffer, LineRead, ToAgent};

/// What an agent writes, in chunks of any size, which make no difference: every line is read or
/// refused, none is longer than allowed, and what was read is written as a line that reads the same.
pub(crate) fn agent_lines(data: &[u8]) {
    let (size, stream) = data
        .split_first()
        .map_or((1, data), |(size, rest)| (*size, rest));
    let read = lines_of(stream, usize::from(size).max(1));
    let whole = lines_of(stream, stream.len().max(1));
    assert!(read == whole, "in chunks: {read:?}, at once: {whole:?}");
    for line in read {
        let LineRead::Text(text) = line else { continue };
        assert!(text.len() <= LINE_BYTES_MAX);
        if let Ok(message) = FromAgent::parse(&text) {
            let again = message
                .to_line()
                .map(|line| FromAgent::parse(line.trim_end()));
            assert!(
                matches!(&again, Ok(Ok(again)) if *again == message),
                "{text:?}: {again:?}"
            );
        }
        let _ = ToAgent::parse(&text);
    }
}

fn lines_of(stream: &[u8], size: usize) -> Vec<LineRead> {
    let mut lines = LineBuffer::default();
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
