//! The store contract, case by case.

#![allow(clippy::unwrap_used)]

use gastown_store_sqlite::{Options, SqliteStore};
use tempfile::TempDir;

async fn fresh() -> (SqliteStore, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let store = reopen(&directory).await;
    (store, directory)
}

async fn reopen(directory: &TempDir) -> SqliteStore {
    let path = directory.path().join("town.db");
    SqliteStore::open(path, Options::safe()).await.unwrap()
}

gastown_testkit::store_suite!(fresh, reopen = reopen);
