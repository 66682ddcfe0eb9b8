//! Leases: one driver at a time, and fencing of the ones before.

use std::time::Duration;

use gastown_core::{Commit, Timestamp};
use gastown_core::{Lease, Store, StoreError, TownId};

use super::samples::{assert_conflict, assert_refused, at, new_town, put, row, show};

const TTL: Duration = Duration::from_secs(30);

async fn take(store: &dyn Store, town: &TownId, holder: &str, now: Timestamp) -> Lease {
    store.lease(town, holder, TTL, now).await.unwrap()
}

fn under(token: u64, expected_version: u64) -> Commit {
    Commit {
        lease_token: Some(token),
        ..put(
            expected_version,
            vec![row("bead", "b1", &format!("under {token}"))],
        )
    }
}

/// A lease says who holds it and until when.
pub async fn a_lease_says_who_and_until_when(store: &dyn Store) {
    let town = new_town(store, "t1").await;
    let lease = take(store, &town, "host 1", at(0)).await;
    assert_eq!(lease.holder, "host 1");
    assert_eq!(lease.expires_at, at(30));
    assert!(lease.token >= 1);
}

/// A holder that has the lease extends it and keeps its token.
pub async fn a_holder_extends_and_keeps_its_token(store: &dyn Store) {
    let town = new_town(store, "t1").await;
    let first = take(store, &town, "h1", at(0)).await;
    let second = take(store, &town, "h1", at(29)).await;
    assert_eq!(second.token, first.token);
    assert_eq!(second.expires_at, at(59));
    let said = store.lease(&town, "h2", TTL, at(31)).await;
    assert!(
        matches!(said, Err(StoreError::Leased { .. })),
        "the extension counts: {said:?}"
    );
}

/// A holder may shorten its lease, and giving it back twice is giving it back once.
pub async fn a_holder_may_end_sooner(store: &dyn Store) {
    let town = new_town(store, "t1").await;
    let long = take(store, &town, "h1", at(0)).await;
    let short = store
        .lease(&town, "h1", Duration::from_secs(1), at(1))
        .await;
    let short = short.unwrap();
    assert_eq!((short.token, short.expires_at), (long.token, at(2)));
    let next = take(store, &town, "h2", at(2)).await;
    assert!(next.token > long.token);
    for _ in 0..2 {
        store.release(&town, "h2").await.unwrap();
    }
    assert!(take(store, &town, "h1", at(3)).await.token > next.token);
}

/// While one holds the lease, another is told who and until when.
pub async fn another_holder_is_told_who_has_it(store: &dyn Store) {
    let town = new_town(store, "t1").await;
    let held = take(store, &town, "h1", at(0)).await;
    match store.lease(&town, "h2", TTL, at(29)).await {
        Err(error @ StoreError::Leased { .. }) => {
            assert!(error.is_retryable());
            let said = error.to_string();
            assert!(
                said.contains("h1") && said.contains("12:00:30.000Z"),
                "{said}"
            );
        }
        other => panic!("expected it to be leased, got {other:?}"),
    }
    assert_eq!(take(store, &town, "h1", at(29)).await.token, held.token);
}

/// A lease ends at its end, to the millisecond; the next one has a larger token.
pub async fn an_expired_lease_goes_to_the_next_holder(store: &dyn Store) {
    let town = new_town(store, "t1").await;
    let first = take(store, &town, "h1", at(0)).await;
    let just_before = at(30).minus(Duration::from_millis(1));
    let said = store.lease(&town, "h2", TTL, just_before).await;
    assert!(matches!(said, Err(StoreError::Leased { .. })), "{said:?}");
    let second = take(store, &town, "h2", at(30)).await;
    assert!(second.token > first.token, "{second:?}");
}

/// A holder that comes back after its lease expired gets a larger token: it may be another
/// process of the same name.
pub async fn an_expired_lease_comes_back_with_a_larger_token(store: &dyn Store) {
    let town = new_town(store, "t1").await;
    let first = take(store, &town, "h1", at(0)).await;
    assert!(take(store, &town, "h1", at(30)).await.token > first.token);
}

/// A released lease goes to whoever asks, with a larger token.
pub async fn a_released_lease_goes_to_the_next_holder(store: &dyn Store) {
    let town = new_town(store, "t1").await;
    let first = take(store, &town, "h1", at(0)).await;
    store.release(&town, "h1").await.unwrap();
    let second = take(store, &town, "h2", at(1)).await;
    assert!(second.token > first.token);
    store.release(&town, "h2").await.unwrap();
    assert!(take(store, &town, "h2", at(2)).await.token > second.token);
}

/// Releasing what one does not hold changes nothing.
pub async fn releasing_anothers_lease_does_nothing(store: &dyn Store) {
    let town = new_town(store, "t1").await;
    store.release(&town, "h1").await.unwrap();
    let held = take(store, &town, "h1", at(0)).await;
    store.release(&town, "h2").await.unwrap();
    store.release(&town, "").await.unwrap();
    let said = store.lease(&town, "h2", TTL, at(1)).await;
    assert!(matches!(said, Err(StoreError::Leased { .. })), "{said:?}");
    assert_eq!(take(store, &town, "h1", at(1)).await.token, held.token);
}

/// The token in force commits, again and again.
pub async fn the_token_in_force_commits(store: &dyn Store) {
    let town = new_town(store, "t1").await;
    let lease = take(store, &town, "h1", at(0)).await;
    for version in 1..4 {
        let committed = store
            .commit(&town, under(lease.token, version))
            .await
            .unwrap();
        assert_eq!(committed.version(), version + 1);
    }
}

/// An older token is refused and nothing is written, even at the right version.
pub async fn an_older_token_is_fenced(store: &dyn Store) {
    let town = new_town(store, "t1").await;
    let old = take(store, &town, "h1", at(0)).await.token;
    let new = take(store, &town, "h2", at(30)).await.token;
    let before = show(store, &town).await;
    for version in [1, 0, 7] {
        match store.commit(&town, under(old, version)).await {
            Err(error @ StoreError::Fenced { token, current, .. }) => {
                assert_eq!((token, current), (old, new));
                assert!(!error.is_retryable());
            }
            other => panic!("expected it to be fenced at version {version}, got {other:?}"),
        }
    }
    assert_eq!(show(store, &town).await, before);
    assert_eq!(
        store.commit(&town, under(new, 1)).await.unwrap().version(),
        2
    );
}

/// The token stays in force after a release, until another is given.
pub async fn a_release_fences_nobody_yet(store: &dyn Store) {
    let town = new_town(store, "t1").await;
    let old = take(store, &town, "h1", at(0)).await.token;
    store.release(&town, "h1").await.unwrap();
    assert_eq!(
        store.commit(&town, under(old, 1)).await.unwrap().version(),
        2
    );
    take(store, &town, "h2", at(1)).await;
    let said = store.commit(&town, under(old, 2)).await;
    assert!(matches!(said, Err(StoreError::Fenced { .. })), "{said:?}");
}

/// A token that was never given is refused.
pub async fn a_token_that_was_never_given_is_refused(store: &dyn Store) {
    let town = new_town(store, "t1").await;
    assert_refused(store.commit(&town, under(1, 1)).await, "commit");
    let token = take(store, &town, "h1", at(0)).await.token;
    for wrong in [token + 1, u64::MAX] {
        assert_refused(store.commit(&town, under(wrong, 1)).await, "commit");
    }
    assert_eq!(store.load(&town).await.unwrap().version, 1);
}

/// Without a token the version alone decides.
pub async fn without_a_token_the_version_decides(store: &dyn Store) {
    let town = new_town(store, "t1").await;
    take(store, &town, "h1", at(0)).await;
    assert_conflict(store.commit(&town, put(0, vec![])).await, 0, 1);
    assert_eq!(
        store.commit(&town, put(1, vec![])).await.unwrap().version(),
        2
    );
}

/// Taking and releasing raises no version.
pub async fn leases_raise_no_version(store: &dyn Store) {
    let town = new_town(store, "t1").await;
    take(store, &town, "h1", at(0)).await;
    take(store, &town, "h1", at(1)).await;
    store.release(&town, "h1").await.unwrap();
    assert_eq!(store.load(&town).await.unwrap().version, 1);
}

/// Of many that ask at once, one gets the lease.
pub async fn of_many_that_ask_one_gets_the_lease(store: &dyn Store) {
    let town = new_town(store, "t1").await;
    let town = &town;
    let held = std::thread::scope(|scope| {
        let ask = |n: u32| {
            let holder = format!("h{n}");
            scope.spawn(move || {
                match futures_executor::block_on(store.lease(town, &holder, TTL, at(0))) {
                    Ok(_) => 1,
                    Err(StoreError::Leased { .. }) => 0,
                    Err(other) => panic!("{holder}: {other}"),
                }
            })
        };
        let asking: Vec<_> = (0..8).map(ask).collect();
        asking
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .sum::<u32>()
    });
    assert_eq!(held, 1);
}
