//! Towns that run over a memory store, scripted ports and tokio's paused clock.

mod bench;
mod closing;
mod crowds;
mod effects;
mod eviction;
mod fairness;
mod flaky;
mod opening;
mod overtaken;
mod panics;
mod renewal;
mod replay;
mod scale;
mod telemetry;
mod tokens;
mod trouble;
mod upkeep;
mod views;
mod wakeups;

use std::time::Duration;

use gastown_core::events::{ExitStatus, ObservationGap, ProcessStatus};
use gastown_core::{AgentStatus, BeadStatus, EventKind, HistoryKind, Store, Timestamp};
use serde_json::json;
use tokio::time::sleep;

use self::bench::{Bench, World, town_id};
use crate::effects::Prepared;
use crate::error::RuntimeError;
use crate::town_handle::TownStatus;

#[tokio::test(start_paused = true)]
async fn a_slung_issue_becomes_a_session_and_its_done_is_answered() {
    let bench = Bench::new().await;
    let bead = bench.sling("Fix it").await;
    let session = bench.next_start().await;
    assert_eq!(session.session, 1);
    let answer = bench
        .tool(&session, "gt_status", json!({"message": "at it"}))
        .await;
    assert!(answer.is_ok(), "{answer:?}");
    let answer = bench
        .tool(&session, "gt_done", json!({"branch": "work"}))
        .await;
    assert!(answer.is_ok(), "{answer:?}");
    // Answered means durable: the store knows it.
    let town = bench.stored().await;
    assert_eq!(town.bead(&bead).unwrap().status, BeadStatus::InReview);
    assert_eq!(town.reviews_of(&bead).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn refusals_name_the_field_and_change_nothing() {
    let bench = Bench::new().await;
    let town = bench.stored().await;
    let error = bench.try_sling("", "r1").await.unwrap_err();
    assert!(
        matches!(&error, RuntimeError::RefuseCommand(error) if error.field == "title"),
        "{error}"
    );
    assert_eq!(bench.stored().await, town);
    bench.sling("Fix it").await;
    let session = bench.next_start().await;
    let refusal = bench
        .tool(&session, "gt_nonsense", json!({}))
        .await
        .unwrap_err();
    assert!(refusal.message.contains("gt_nonsense"), "{refusal:?}");
    let refusal = bench
        .tool(&session, "gt_done", json!({"brunch": "x"}))
        .await
        .unwrap_err();
    assert_eq!(refusal.field, "brunch");
    let older = crate::testing::session_id("t1", session.agent_id.as_str(), 0);
    let refusal = bench
        .tool(&older, "gt_done", json!({"branch": "x"}))
        .await
        .unwrap_err();
    assert!(
        refusal.message.contains("not the agent's current one"),
        "{refusal:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn what_a_session_said_counts_before_its_end() {
    let bench = Bench::new().await;
    let bead = bench.sling("Fix it").await;
    let session = bench.next_start().await;
    // Both are there before the loop looks.
    let answer = bench
        .send_tool(&session, "gt_done", json!({"branch": "work"}))
        .await;
    bench.exits(&session, ExitStatus::Failed).await;
    assert!(answer.await.unwrap().is_ok());
    bench.settled().await;
    let town = bench.stored().await;
    assert_eq!(town.bead(&bead).unwrap().status, BeadStatus::InReview);
    let events = bench.history(HistoryKind::BeadEvent).await;
    let failed = events
        .iter()
        .filter(|event| event.to_string().contains("its agent failed"));
    assert_eq!(failed.count(), 0, "its end changed nothing: {events:?}");
}

#[tokio::test(start_paused = true)]
async fn a_crashed_session_is_followed_by_another() {
    let bench = Bench::new().await;
    bench.sling("Fix it").await;
    let first = bench.next_start().await;
    bench.agents.end(&first);
    bench.exits(&first, ExitStatus::Failed).await;
    let second = bench.next_start().await;
    assert_eq!((second.agent_id, second.session), (first.agent_id, 2));
}

/// An agent runtime may say anything of an end. What no store takes would be appended for ever, and the town
/// would never hear of the end.
#[tokio::test(start_paused = true)]
async fn an_end_with_a_very_long_reason_comes_to_be_known() {
    let bench = Bench::new().await;
    bench.sling("Fix it").await;
    let first = bench.next_start().await;
    bench.agents.end(&first);
    let reason = "é".repeat(gastown_core::Event::BYTES_MAX);
    bench.exits_for(&first, ExitStatus::Failed, &reason).await;
    let second = bench.next_start().await;
    assert_eq!((second.agent_id, second.session), (first.agent_id, 2));
    let events = bench.history(HistoryKind::Event).await;
    let ends = events
        .iter()
        .filter(|event| event["event"]["type"] == "agent_exited");
    let reasons: Vec<&str> = ends
        .map(|end| end["event"]["reason"].as_str().unwrap())
        .collect();
    assert_eq!(reasons.len(), 1);
    assert!(reasons[0].ends_with("é … (cut; it had 2097152 bytes)"));
    assert!(reasons[0].len() <= 64 * 1024);
}

#[tokio::test(start_paused = true)]
async fn a_quiet_town_writes_nothing_and_wakes_rarely() {
    let bench = Bench::new().await;
    bench.settled().await;
    let (version, reads) = (bench.version().await, bench.store.reads());
    sleep(Duration::from_secs(24 * 3_600)).await;
    assert_eq!(bench.version().await, version);
    // It looks for other writers' events every five minutes, and else for nothing.
    let reads = bench.store.reads() - reads;
    assert!((280..=300).contains(&reads), "{reads} reads in a day");
}

#[tokio::test(start_paused = true)]
async fn events_of_other_writers_are_found_and_our_own_at_once() {
    let bench = Bench::new().await;
    bench.settled().await;
    let now = bench.now();
    let gap = ObservationGap { from: now, to: now };
    bench.handle.report(gap.into()).await.unwrap();
    bench.settled().await;
    assert_eq!(bench.pending_events().await, 0);
    // Another process appends, and nobody tells us.
    let event = bench.event("other-1", ObservationGap { from: now, to: now }.into());
    bench
        .store
        .append_events(&town_id(), vec![event])
        .await
        .unwrap();
    sleep(Duration::from_secs(5 * 60 + 1)).await;
    assert_eq!(bench.pending_events().await, 0);
}

#[tokio::test(start_paused = true)]
async fn heartbeats_of_many_cost_one_commit() {
    let bench = Bench::new().await;
    for number in 0..5 {
        bench.sling(&format!("Issue {number}")).await;
    }
    let mut sessions = Vec::new();
    for _ in 0..5 {
        sessions.push(bench.next_start().await);
    }
    bench.settled().await;
    let commits = bench.store.commits();
    for round in 0..20 {
        for session in &sessions {
            bench.beats(session, &format!("event {round}")).await;
        }
    }
    sleep(Duration::from_secs(6)).await;
    assert_eq!(bench.store.commits() - commits, 1);
    let town = bench.stored().await;
    for session in &sessions {
        let agent = town.agent(&session.agent_id).unwrap();
        assert_eq!(
            agent.last_event_type.as_deref(),
            Some("event 19"),
            "the newest counts"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_commit_that_was_overtaken_is_made_again_from_a_fresh_load() {
    let bench = Bench::new().await;
    bench.settled().await;
    bench.store.overtake_next_commit();
    let bead = bench.sling("Fix it").await;
    let town = bench.stored().await;
    assert!(town.bead(&bead).is_some());
    assert_eq!(bench.next_start().await.session, 1);
    assert_eq!(
        bench.agents.starts(),
        1,
        "the tick that was overtaken had no effects"
    );
}

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_is_named_and_tried_again() {
    let bench = Bench::new().await;
    bench.settled().await;
    bench.store.fail_next_commit();
    let error = bench.try_sling("Fix it", "r1").await.unwrap_err();
    assert!(matches!(error, RuntimeError::UseStore { .. }), "{error}");
    bench.sling("Again").await;
    assert_eq!(
        bench.stored().await.live_beads().count(),
        1,
        "what failed left nothing"
    );
}

#[tokio::test(start_paused = true)]
async fn a_store_that_hangs_does_not_hang_its_callers() {
    let bench = Bench::new().await;
    bench.settled().await;
    bench.store.hang_next_commit();
    let error = bench.try_sling("Fix it", "r1").await.unwrap_err();
    assert!(matches!(error, RuntimeError::AwaitStore { .. }), "{error}");
    bench.sling("Again").await;
}

#[tokio::test(start_paused = true)]
async fn a_store_that_hangs_is_named_to_whoever_asks_it_beside_the_loop() {
    let bench = Bench::new().await;
    bench.settled().await;
    bench.store.hang_in(town_id());
    let is_named = |error: RuntimeError| {
        let named = matches!(error, RuntimeError::AwaitStore { .. });
        assert!(named, "{error}");
    };
    let now = bench.now();
    let gap = ObservationGap { from: now, to: now };
    is_named(bench.handle.report(gap.into()).await.unwrap_err());
    let nobody = "b-gone".parse().unwrap();
    is_named(bench.handle.bead_view(&nobody).await.unwrap_err());
    let (other, _) = bench.runner(Default::default());
    is_named(other.open_town(&town_id()).await.unwrap_err());
    let (config, policy) = (Default::default(), Default::default());
    is_named(
        other
            .create_town(&town_id(), config, policy)
            .await
            .unwrap_err(),
    );
    let error = other.open_all_towns().await.unwrap_err();
    assert!(matches!(error, RuntimeError::AwaitTowns { .. }), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_town_that_has_recovered_says_so_without_a_tick() {
    let bench = Bench::new().await;
    bench.settled().await;
    let version = bench.version().await;
    bench.store.refuse_leases(true);
    let failing = |status: TownStatus| matches!(status, TownStatus::Failing { .. });
    for _ in 0..600 {
        sleep(Duration::from_secs(1)).await;
        if failing(bench.handle.status()) {
            break;
        }
    }
    assert!(failing(bench.handle.status()));
    // Before its lease has ended, so nothing is loaded anew.
    bench.store.refuse_leases(false);
    sleep(Duration::from_secs(10)).await;
    assert!(!failing(bench.handle.status()));
    assert_eq!(bench.version().await, version);
}

#[tokio::test(start_paused = true)]
async fn effects_left_by_a_crash_run_if_they_are_wanted() {
    let bench = Bench::new().await;
    bench.agents.refuse_to_answer(true);
    let bead = bench.sling("Fix it").await;
    bench.agents.asked().await;
    // The host dies in the middle of the start: nothing was finished.
    let bench = bench.crash().await;
    bench.agents.refuse_to_answer(false);
    let session = bench.next_start().await;
    assert_eq!(session.session, 1, "the same session, not another attempt");
    bench.settled().await;
    let town = bench.stored().await;
    assert_eq!(town.bead(&bead).unwrap().dispatch_attempts, 1);
    assert!(
        bench
            .store
            .pending_effects(&town_id())
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test(start_paused = true)]
async fn effects_that_nobody_wants_any_more_are_withdrawn() {
    let bench = Bench::new().await;
    bench.sling("Fix it").await;
    let other = bench.sling("Fix that").await;
    let session = bench.next_start().await;
    bench.next_start().await;
    bench.settled().await;
    // The outbox still has a start of the first agent on the second one's bead.
    let mut stale = bench.start_effect(&session, &other, session.session);
    stale.key.attempt = 7;
    let bench = bench.crash_leaving(vec![stale]).await;
    bench.settled().await;
    assert_eq!(bench.agents.starts(), 2, "only those from before");
    let pending = bench.store.pending_effects(&town_id()).await.unwrap();
    assert!(pending.is_empty(), "{pending:?}");
}

#[tokio::test(start_paused = true)]
async fn a_holder_whose_lease_has_ended_starts_nothing() {
    let bench = Bench::new().await;
    let bead = bench.sling("Fix it").await;
    let session = bench.next_start().await;
    bench.settled().await;
    let effect = bench.start_effect(&session, &bead, session.session);
    assert!(matches!(bench.ask(&effect).await, Prepared::Ready(_)));
    // The lease can't be extended and runs out; somebody else may have it by now.
    bench.store.refuse_leases(true);
    sleep(Duration::from_secs(45)).await;
    assert_eq!(bench.ask(&effect).await, Prepared::Later);
}

#[tokio::test(start_paused = true)]
async fn a_session_whose_end_was_lost_in_a_crash_is_noticed_at_start() {
    let bench = Bench::new().await;
    bench.sling("Fix it").await;
    let first = bench.next_start().await;
    bench.settled().await;
    let bench = bench.crash().await;
    bench.agents.end(&first);
    bench.agents.set_status(ProcessStatus::Exited);
    let bench = bench.crash().await;
    let begin = bench.now();
    let second = bench.next_start().await;
    assert_eq!((second.agent_id, second.session), (first.agent_id, 2));
    let waited = bench.now().since(begin);
    assert!(
        waited < Duration::from_secs(30),
        "its silence was not waited for: {waited:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn one_of_two_runners_drives_and_the_other_waits_its_turn() {
    let bench = Bench::new().await;
    bench.settled().await;
    let second = bench.another_runner().await;
    sleep(Duration::from_secs(100)).await;
    assert!(matches!(
        second.handle.status(),
        TownStatus::WaitingForLease { .. }
    ));
    let error = second.try_sling("Fix it", "r1").await.unwrap_err();
    assert!(matches!(&error, RuntimeError::UseStore { .. }), "{error}");
    bench.shutdown().await;
    sleep(Duration::from_secs(100)).await;
    second.sling("Mine now").await;
}

#[tokio::test(start_paused = true)]
async fn a_town_that_hangs_delays_no_other() {
    let bench = Bench::new().await;
    bench.agents.refuse_to_answer(true);
    for number in 0..40 {
        bench.sling(&format!("Issue {number}")).await;
    }
    bench.agents.asked().await;
    bench.agents.refuse_to_answer(false);
    let other = bench.another_town("t2").await;
    other.sling("Quick").await;
    let begin = other.now();
    let session = other.next_start().await;
    assert_eq!(session.town_id.as_str(), "t2");
    let waited = other.now().since(begin);
    assert!(waited < Duration::from_secs(10), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn closing_hands_back_what_does_not_finish() {
    let bench = Bench::new().await;
    bench.agents.refuse_to_answer(true);
    bench.sling("Fix it").await;
    bench.agents.asked().await;
    let store = bench.store.clone();
    let handle = bench.handle.clone();
    bench.shutdown().await;
    assert!(matches!(handle.status(), TownStatus::Closed));
    let left = store.pending_effects(&town_id()).await.unwrap();
    assert_eq!(left.len(), 1, "{left:?}");
    let error = handle
        .inspect(|town| town.beads().count())
        .await
        .unwrap_err();
    assert!(matches!(error, RuntimeError::TownClosed));
}

const SECRET: &str = "tok-a1b2c3d4e5f6";
const VALUE: &str = "in-the-environment";

#[tokio::test(start_paused = true)]
async fn a_town_whose_engine_breaks_its_rules_stands_still_with_the_evidence() {
    // Recovery takes a pass of its own, so these two together need more than this policy allows.
    let bench = Bench::with_settle_limit(World::new(), 1).await;
    let bead = bench.sling("First").await;
    bench.next_start().await;
    let config = json!({"llm_token": SECRET, "env_vars": {"API_KEY": VALUE}});
    bench
        .command("update_config", json!({"config": config}))
        .await;
    bench.settled().await;
    let version = bench.version().await;
    let title = format!("Fix it: {SECRET}, {VALUE}");
    let (closed, slung) = tokio::join!(bench.close_bead(&bead), bench.try_sling(&title, "r1"));
    for error in [closed.unwrap_err(), slung.unwrap_err()] {
        assert!(matches!(error, RuntimeError::TownFrozen(_)), "{error}");
    }
    assert_eq!(
        bench.version().await,
        version,
        "nothing of the tick was committed"
    );
    let TownStatus::Frozen { broken } = bench.handle.status() else {
        panic!("{:?}", bench.handle.status());
    };
    let evidence = &broken.evidence;
    assert!(evidence.contains("Fix it: [redacted], [redacted]") && broken.fault.is_some());
    assert!(
        !evidence.contains(SECRET) && !evidence.contains(VALUE),
        "{evidence}"
    );
    let page = serde_json::to_value(bench.handle.town_status().await).unwrap();
    assert_eq!(page["status"]["state"], "frozen");
    assert_eq!(page["status"]["broken"], broken.to_string());
    assert_eq!(page.get("town_id"), None, "there is no town to look at");
    let error = bench
        .handle
        .inspect(|town| town.beads().count())
        .await
        .unwrap_err();
    assert!(matches!(error, RuntimeError::TownFrozen(_)));
    assert_eq!(bench.agents.starts(), 1);
}

#[tokio::test(start_paused = true)]
async fn silence_in_a_sleep_of_the_host_means_nothing() {
    let bench = Bench::new().await;
    bench.sling("Fix it").await;
    let session = bench.next_start().await;
    bench.beats(&session, "at work").await;
    sleep(Duration::from_secs(6)).await;
    // The host slept for an hour: the wall clock went on, the monotonic one did not.
    bench.clock.jump(Duration::from_secs(3_600));
    sleep(Duration::from_secs(30)).await;
    let town = bench.stored().await;
    let agent = town.agent(&session.agent_id).unwrap();
    assert_eq!(agent.status, AgentStatus::Working);
    let judged: Timestamp = town.state().judge_from.unwrap();
    assert!(bench.now().since(judged) <= Duration::from_secs(60));
}

#[tokio::test(start_paused = true)]
async fn a_refused_command_is_on_record_with_its_reason() {
    let bench = Bench::new().await;
    let hold = json!({"type": "hold", "caller": {"kind": "mayor"}, "bead_id": "b-gone"});
    let hold = gastown_core::wire::command_from_value(hold).unwrap();
    assert!(bench.handle.execute(hold).await.is_err());
    let record = bench.history(HistoryKind::Command).await.pop().unwrap();
    assert_eq!(record["command"]["bead_id"], "b-gone");
    assert!(
        record["refused"].as_str().unwrap().contains("b-gone"),
        "{record}"
    );
    assert!(record.get("receipt").is_none());
}

#[tokio::test(start_paused = true)]
async fn ticks_and_commands_are_recorded_for_replay() {
    let bench = Bench::new().await;
    let mut reports = bench.handle.watch_ticks();
    bench.sling("Fix it").await;
    let report = reports.recv().await.unwrap();
    assert_eq!(report.commands, 1);
    assert!(
        report
            .actions
            .iter()
            .any(|action| action.rule == "dispatch/issue"),
        "{report:?}"
    );
    bench.next_start().await;
    let record = |kind| bench.history(kind);
    let command = record(HistoryKind::Command).await.pop().unwrap();
    assert_eq!(command["command"]["type"], "sling");
    assert_eq!(command["receipt"]["type"], "sling");
    let ticks = record(HistoryKind::Tick).await;
    let tick = ticks
        .iter()
        .find(|tick| tick["number"] == report.number)
        .unwrap();
    assert_eq!(tick["commands"], 1);
    assert!(tick["took_micros"].is_u64(), "{tick}");
    let local = ticks
        .iter()
        .flat_map(|tick| tick["local"].as_array().cloned().unwrap_or_default());
    assert!(
        local
            .into_iter()
            .any(|event| event["type"] == "observation_gap")
    );
    let kind = EventKind::from(ObservationGap {
        from: bench.now(),
        to: bench.now(),
    });
    assert_eq!(kind.type_name(), "observation_gap");
}
