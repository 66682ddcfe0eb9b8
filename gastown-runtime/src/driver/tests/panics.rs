//! What panics in a town's loop leaves nobody waiting.

use gastown_core::Town;
use tokio::time::timeout;

use super::bench::Bench;
use crate::error::RuntimeError;
use crate::town_handle::TownStatus;

#[tokio::test(start_paused = true)]
async fn a_look_that_panics_is_its_own_error_and_the_town_goes_on() {
    let bench = Bench::new().await;
    let look = |_: &Town| -> usize { panic!("no such bead: b{}", 7) };
    let error = bench.handle.inspect(look).await.unwrap_err();
    assert!(matches!(error, RuntimeError::InspectTown { .. }), "{error}");
    assert!(error.to_string().contains("no such bead: b7"), "{error}");
    let bead = bench.sling("Fix it").await;
    assert!(bench.stored().await.bead(&bead).is_some());
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_a_loop_that_a_store_took_with_it() {
    let mut bench = Bench::new().await;
    bench.sling("Fix it").await;
    let session = bench.at_work().await;
    bench.store.panic_at_next_commit();
    let (slung, called) = tokio::join!(
        bench.try_sling("Fix that", "r1"),
        bench.tool(&session, "gt_status", serde_json::json!({"message": "x"})),
    );
    assert!(matches!(slung, Err(RuntimeError::TownClosed)), "{slung:?}");
    assert!(called.is_err());
    assert!(matches!(bench.handle.status(), TownStatus::Closed));
    let patience = std::time::Duration::from_secs(60);
    let asked = timeout(patience, async {
        let slung = bench.try_sling("Fix that", "r1").await;
        assert!(matches!(slung, Err(RuntimeError::TownClosed)), "{slung:?}");
        let seen = bench.handle.inspect(|town| town.beads().count()).await;
        assert!(matches!(seen, Err(RuntimeError::TownClosed)), "{seen:?}");
        assert!(bench.handle.town_status().await.town.is_none());
    });
    asked.await.expect("they wait for ever");
    // The town itself is as it was.
    bench.reopen().await;
    bench.sling("Fix that").await;
}
