//! The body of the fuzz target of this crate over its corpus.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

use std::path::Path;

#[path = "../../fuzz/bodies/protocol.rs"]
mod bodies;

fn replay(target: &str, body: fn(&[u8])) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus");
    let mut count = 0_usize;
    for entry in std::fs::read_dir(corpus.join(target)).unwrap() {
        let data = std::fs::read(entry.unwrap().path()).unwrap();
        // Every prefix is a malformed input of its own.
        (0..=data.len()).for_each(|end| body(&data[..end]));
        count = count.saturating_add(1);
    }
    assert!(count > 0, "the corpus of {target} is empty");
}

#[test]
fn agent_lines_corpus() {
    replay("agent_lines", bodies::agent_lines);
}
