//! More commands than one tick executes.

use std::time::Duration;

use gastown_core::events::{ExitStatus, Heartbeat};
use gastown_core::{HistoryEntry, HistoryKind, Receipt, wire};
use serde_json::json;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::bench::Bench;
use super::scale::crowd;
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

/// What many agents say at once is taken by several ticks, none of whose records is too long, and none
/// of it is lost between them.
#[tokio::test(start_paused = true)]
async fn heartbeats_that_no_record_could_hold_together_are_taken_one_tick_after_the_other() {
    const AGENTS: usize = 60;
    let bench = Bench::of(&crowd(AGENTS)).await;
    bench.settled().await;
    for agent in 0..AGENTS {
        bench.handle.inbox.beat(Heartbeat {
            agent_id: format!("a{agent}").parse().unwrap(),
            session: Some(1),
            container_instance: None,
            last_event_type: None,
            last_event_at: None,
            // JSON writes it in six bytes.
            active_tools: vec!["\u{1}".repeat(1024); 64],
        });
    }
    // They are gathered before they are taken.
    sleep(Duration::from_secs(10)).await;
    let history = gastown_core::report::history(&bench.store, bench.handle.town_id());
    let ticks: Vec<HistoryEntry> = history
        .await
        .unwrap()
        .into_iter()
        .map(|kept| kept.entry)
        .filter(|entry| entry.kind == HistoryKind::Tick && entry.body.contains("active_tools"))
        .collect();
    let all: usize = ticks.iter().map(|tick| tick.body.len()).sum();
    assert!(all > HistoryEntry::BODY_BYTES_MAX, "{all}");
    for agent in 0..AGENTS {
        let name = format!("\"a{agent}\"");
        let in_ticks = ticks.iter().filter(|tick| tick.body.contains(&name));
        assert_eq!(in_ticks.count(), 1, "{name}");
    }
}
