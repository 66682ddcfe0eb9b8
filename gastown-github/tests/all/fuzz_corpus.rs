//! The bodies of the fuzz targets of this crate over their corpora.

use std::path::Path;

#[path = "../../../fuzz/bodies/github.rs"]
mod bodies;

fn replay(target: &str, body: fn(&[u8])) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus");
    let mut count = 0;
    for entry in std::fs::read_dir(corpus.join(target)).unwrap() {
        let data = std::fs::read(entry.unwrap().path()).unwrap();
        // Every prefix is a malformed input of its own.
        (0..=data.len()).for_each(|end| body(&data[..end]));
        count += 1;
    }
    assert!(count > 0, "the corpus of {target} is empty");
}

#[test]
fn webhook_body_corpus() {
    replay("webhook_body", bodies::webhook_body);
}

#[test]
fn forge_url_corpus() {
    replay("forge_url", bodies::forge_url);
}
