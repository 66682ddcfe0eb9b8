//! Whole lives of a town on a file: its records replay to the same bytes (P13), and commands give the
//! same whether or not the town forgot what they name.

#![allow(clippy::unwrap_used)]

mod common;

use common::open;
use futures_executor::block_on;
use gastown_store_memory::MemoryStore;
use gastown_store_sqlite::{Options, SqliteStore, Synchronous};
use gastown_testkit::lives::{live, lives, recalls, replays};
use proptest::prelude::*;

/// Sequences take long: fewer by default than proptest's 256, as many as `PROPTEST_CASES` says.
fn config() -> ProptestConfig {
    let mut config = ProptestConfig::default();
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = 12;
    }
    config.failure_persistence = None;
    config
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn p13_what_is_recorded_on_a_file_gives_the_same_bytes((setup, steps) in lives(50)) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("town.db");
        // What a power failure would take does not matter here.
        let options = Options::safe().synchronous(Synchronous::Normal);
        let store = block_on(SqliteStore::open(&path, options)).unwrap();
        let town = block_on(live(&store, setup, &steps)).unwrap();
        drop(store);

        // What is replayed was read from the file by somebody who was not there.
        let store = open(&path);
        let other = MemoryStore::new();
        let replayed = block_on(replays(&store, &town, &other));
        prop_assert!(replayed.is_ok(), "{}", replayed.unwrap_err());
        let recalled = block_on(recalls(&store, &town));
        prop_assert!(recalled.is_ok(), "{}", recalled.unwrap_err());
        prop_assert_eq!(block_on(store.integrity_check()).unwrap(), [""; 0]);

        // A file can be told from a report, too.
        let copy = open(&directory.path().join("copy.db"));
        let replayed = block_on(replays(&other, &town, &copy));
        prop_assert!(replayed.is_ok(), "{}", replayed.unwrap_err());
    }
}
