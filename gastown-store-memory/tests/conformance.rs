//! The store contract, case by case.

use gastown_store_memory::MemoryStore;

async fn fresh() -> (MemoryStore, MemoryStore) {
    let store = MemoryStore::new();
    (store.clone(), store)
}

/// Clones share what they hold, so the guard is the store that outlives the first.
async fn reopen(guard: &MemoryStore) -> MemoryStore {
    guard.clone()
}

gastown_testkit::store_suite!(fresh, reopen = reopen);
