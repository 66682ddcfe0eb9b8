//! Tokens that would expire if nobody cared (spec 3.11, 6.5).

use std::time::Duration;

use gastown_core::Timestamp;
use tokio::time::sleep;

use super::bench::Bench;

const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(24 * 3_600);
/// How long a container's token lives.
const TOKEN_LIFE: Duration = Duration::from_secs(8 * 3_600);

fn town(config: &str) -> String {
    format!(
        "town {config} container.instance=i1 container.last_token_refresh_at=0s
        agent a1 mayor waiting last_activity_at=0s"
    )
}

#[tokio::test(start_paused = true)]
async fn the_token_of_a_waiting_mayors_container_never_expires() {
    let bench = Bench::of(&town("")).await;
    let begin = tokio::time::Instant::now();
    sleep(2 * DAY).await;
    let mut last = begin;
    let refreshed = bench.tokens.refreshed.lock().unwrap().clone();
    for at in &refreshed {
        assert!(*at - last < TOKEN_LIFE);
        last = *at;
    }
    assert!(last.elapsed() < TOKEN_LIFE);
    // Once an hour, not at every tick.
    assert!((47..=48).contains(&refreshed.len()), "{}", refreshed.len());
}

#[tokio::test(start_paused = true)]
async fn a_host_may_let_a_waiting_mayors_container_sleep() {
    let bench = Bench::of(&town("config.keep_waiting_mayor_fresh=false")).await;
    sleep(2 * DAY).await;
    assert_eq!(bench.tokens.refreshed.lock().unwrap().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_models_token_is_renewed_before_it_expires() {
    let bench = Bench::of("town container.llm_token_expires_at=+30d").await;
    let expiry: Timestamp = bench.now().plus(30 * DAY);
    *bench.tokens.llm_expiry.lock().unwrap() = Some(expiry);
    for _ in 0..120 {
        sleep(24 * HOUR).await;
        let town = bench.stored().await;
        let expires_at = town.state().container.llm_token_expires_at.unwrap();
        assert!(bench.now() < expires_at, "expired at {expires_at}");
    }
    // One renewal for each token, a week before its end.
    let renewed = bench.tokens.renewed.lock().unwrap().clone();
    assert_eq!(renewed.len(), 4, "{renewed:?}");
}
