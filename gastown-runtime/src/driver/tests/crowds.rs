//! More commands than one tick executes.

use std::time::Duration;

use gastown_core::events::ExitStatus;
use gastown_core::{HistoryKind, Receipt, wire};
use serde_json::json;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::bench::Bench;
use crate::error::RuntimeError;
use crate::inbox::COMMANDS_WAITING_MAX;

/// So long a commit takes, and so many commands it has.
const COMMIT: Duration = Duration::from_secs(10);
const BATCH: usize = 64;

type Answer = JoinHandle<Result<Receipt, RuntimeError>>;

/// Commands that all are refused: there is no such bead.
fn send(bench: &Bench, count: usize) -> Vec<Answer> {
    let hold = json!({"type": "hold", "caller": {"kind": "mayor"}, "bead_id": "b-gone"});
    let command = wire::command_from_value(hold).unwrap();
    let send = |_| {
        let (handle, command) = (bench.handle.clone(), command.clone());
        tokio::spawn(async move { handle.execute(command).await })
    };
    (0..count).map(send).collect()
}

async fn refused_as_busy(answers: Vec<Answer>) -> usize {
    let mut busy = 0;
    for answer in answers {
        let error = answer.await.unwrap().unwrap_err();
        busy += usize::from(matches!(error, RuntimeError::TownBusy));
    }
    busy
}

#[tokio::test(start_paused = true)]
async fn commands_that_the_loop_has_taken_still_wait() {
    let bench = Bench::new().await;
    bench.settled().await;
    bench.store.delay_commits(COMMIT);
    let first = send(&bench, COMMANDS_WAITING_MAX);
    // One batch was answered, the next is being committed.
    sleep(COMMIT + COMMIT / 2).await;
    let second = send(&bench, COMMANDS_WAITING_MAX);
    assert_eq!(refused_as_busy(first).await, 0);
    let busy = refused_as_busy(second).await;
    assert_eq!(busy, COMMANDS_WAITING_MAX - BATCH);
    // Who was answered waits no more.
    assert_eq!(refused_as_busy(send(&bench, COMMANDS_WAITING_MAX)).await, 0);
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_session_does_not_wait_for_commands_that_came_after_it() {
    let bench = Bench::new().await;
    bench.sling("Fix it").await;
    let session = bench.at_work().await;
    bench.store.delay_commits(COMMIT);
    let mut answers = send(&bench, 2 * BATCH);
    sleep(Duration::from_secs(1)).await;
    bench.exits(&session, ExitStatus::Failed).await;
    for _ in 0..10 {
        answers.extend(send(&bench, BATCH));
        sleep(COMMIT).await;
    }
    assert!(answers.iter().any(|answer| !answer.is_finished()));
    let events = bench.history(HistoryKind::Event).await;
    let told = |event: &serde_json::Value| event.to_string().contains("agent_exited");
    assert!(events.iter().any(told), "{events:?}");
}
