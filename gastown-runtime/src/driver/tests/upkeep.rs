//! What is removed because nobody needs it any more.

use std::time::Duration;

use gastown_core::events::ExitStatus;
use serde_json::json;
use tokio::time::sleep;

use super::bench::Bench;

#[tokio::test(start_paused = true)]
async fn what_agents_left_goes_with_them() {
    let bench = Bench::new().await;
    bench.settled().await;
    // One of whom the town knows nothing: it went while nobody watched.
    let forgotten = bench.agents.forgotten();
    assert_eq!(forgotten, ["stranger".parse().unwrap()]);
    bench.sling("Fix it").await;
    let session = bench.next_start().await;
    let done = json!({"branch": "work"});
    assert!(bench.tool(&session, "gt_done", done).await.is_ok());
    bench.exits(&session, ExitStatus::Completed).await;
    bench.settled().await;
    assert!(!bench.agents.forgotten().contains(&session.agent_id));
    // An idle agent is collected a day after it was last heard of.
    sleep(Duration::from_secs(25 * 3_600)).await;
    assert_eq!(bench.stored().await.agent(&session.agent_id), None);
    assert!(bench.agents.forgotten().contains(&session.agent_id));
}
