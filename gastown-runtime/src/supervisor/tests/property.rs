//! Any order of everything that can happen to the sessions of an agent (spec 6.3).

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use proptest::prelude::*;
use tokio::time::{sleep, timeout};

use super::scripted::{End, Script};
use super::{Bench, Sign, StartOutcome, StopOutcome, session_id};

#[derive(Debug, Clone)]
enum Step {
    Start,
    StartAgain,
    /// Whoever asked goes away after so long.
    StartAndLeave(u64),
    Restart,
    Stop,
    StopAndLeave(u64),
    /// From now on stops hang, or no longer do.
    StopsHang(bool),
    Exit,
    Hold(bool),
    /// The town is closed, and opened again.
    Withdraw,
    /// The town is loaded anew, and what runs is taken over unless it is known.
    Adopt,
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => Just(Step::Start),
        2 => Just(Step::StartAgain),
        1 => (0_u64..12).prop_map(Step::StartAndLeave),
        1 => Just(Step::Restart),
        2 => Just(Step::Stop),
        1 => (0_u64..4).prop_map(Step::StopAndLeave),
        1 => any::<bool>().prop_map(Step::StopsHang),
        1 => Just(Step::Exit),
        1 => any::<bool>().prop_map(Step::Hold),
        1 => Just(Step::Withdraw),
        1 => Just(Step::Adopt),
        5 => (0_u64..12).prop_map(Step::Wait),
        1 => (900_u64..2_200).prop_map(Step::Wait),
    ]
}

fn script() -> impl Strategy<Value = Script> {
    let end = prop_oneof![
        4 => Just(End::Ok),
        1 => Just(End::Rejected),
        1 => Just(End::Unknown),
        1 => Just(End::Hangs),
    ];
    (0_u64..6, 0_u64..6, end).prop_map(|(create_after, return_after, end)| Script {
        create_after,
        return_after,
        end,
    })
}

/// Takes over what runs, as a host does that comes back.
fn adopt(bench: &Bench) {
    for session in bench.runtime.running() {
        let session = session_id("t1", "a1", session);
        bench.supervisor.adopt(&session, None);
    }
}

/// Runs the steps, each start and stop in a task of its own, and checks what must always hold.
/// An earlier host may have left a session.
async fn drive(steps: Vec<Step>, scripts: &[Script], is_left: bool) {
    let bench = Arc::new(Bench::new(scripts));
    let town = session_id("t1", "a1", 0).town_id;
    let mut session = u64::from(is_left);
    if is_left {
        bench.runtime.leave(session);
        adopt(&bench);
    }
    let mut starts = tokio::task::JoinSet::new();
    let mut stops = tokio::task::JoinSet::new();
    let mut stops_hung = false;
    for step in steps {
        let bench = bench.clone();
        let hangs = &bench.runtime.stop_hangs;
        match step {
            Step::Start | Step::StartAgain => {
                session += u64::from(session == 0 || matches!(step, Step::Start));
                let bench = bench.clone();
                starts.spawn(async move { bench.start(session).await });
            }
            Step::StartAndLeave(millis) => {
                session += 1;
                drop(timeout(Duration::from_millis(millis), bench.start(session)).await);
            }
            Step::Restart => {
                let bench = bench.clone();
                starts.spawn(async move { bench.restart(session).await });
            }
            Step::Stop => {
                let bench = bench.clone();
                stops.spawn(async move { bench.stop(session).await });
            }
            Step::StopAndLeave(millis) => {
                drop(timeout(Duration::from_millis(millis), bench.stop(session)).await);
            }
            Step::StopsHang(hang) => {
                stops_hung |= hang;
                hangs.store(hang, Ordering::Relaxed);
            }
            Step::Exit => {
                for session in bench.runtime.running() {
                    bench.runtime.end(session);
                    bench.saw(session, Sign::Exited);
                }
            }
            Step::Hold(true) => bench.supervisor.hold(&town),
            Step::Hold(false) => bench.supervisor.release(&town),
            Step::Withdraw => {
                bench.supervisor.withdraw_starts(&town).await;
                bench.supervisor.release(&town);
            }
            Step::Adopt => adopt(&bench),
            Step::Wait(millis) => sleep(Duration::from_millis(millis)).await,
        }
        // Lets the tasks get as far as they can at this moment.
        tokio::task::yield_now().await;
    }
    let spawned = starts.len();
    let outcomes = starts.join_all().await;
    assert_eq!(outcomes.len(), spawned, "every start has an outcome");
    check_outcomes(&bench, &outcomes, stops_hung);
    for stop in stops.join_all().await {
        assert!(stop == StopOutcome::Stopped || stops_hung, "{stop:?}");
    }
    check_what_is_left(&bench, session, &outcomes).await;
}

/// Whatever runs now is known: the stop of the latest session leaves nothing behind.
async fn check_what_is_left(bench: &Bench, session: u64, outcomes: &[StartOutcome]) {
    let hangs = &bench.runtime.stop_hangs;
    hangs.store(false, Ordering::Relaxed);
    for tries in 0.. {
        if bench.runtime.running().len() + bench.supervisor.known().entries.len() == 0 {
            break;
        }
        assert!(tries < 3, "orphans after {outcomes:?}");
        let latest = bench.phase_session().unwrap_or(session);
        assert_eq!(bench.stop(latest).await, StopOutcome::Stopped);
    }
    let (mut created, mut ended) = (
        bench.runtime.created.lock().unwrap().clone(),
        bench.runtime.ended.lock().unwrap().clone(),
    );
    created.sort_unstable();
    ended.sort_unstable();
    assert_eq!(
        created, ended,
        "each session that was created has ended once"
    );
}

/// A start that was overtaken is no failure: failures are told only where there were some.
fn check_outcomes(bench: &Bench, outcomes: &[StartOutcome], stops_hung: bool) {
    let failed = outcomes.iter().filter(|outcome| match outcome {
        StartOutcome::Rejected { reason } => reason.contains("scripted"),
        StartOutcome::Started
        | StartOutcome::AlreadyRunning
        | StartOutcome::StartupAborted
        | StartOutcome::Unknown { .. } => false,
    });
    let failures = *bench.runtime.failures.lock().unwrap();
    assert!(
        failed.count() <= failures,
        "{outcomes:?} of {failures} failures"
    );
    for outcome in outcomes {
        if let StartOutcome::Rejected { reason } = outcome {
            let is_later = reason.contains("a later session");
            let is_stuck = stops_hung && reason.contains("could not be stopped");
            assert!(
                is_later || is_stuck || reason.contains("scripted"),
                "{reason}"
            );
        }
    }
}

proptest! {
    /// The scripted runtime itself refuses twins.
    #[test]
    fn no_order_of_starts_stops_exits_and_failures_makes_twins_or_orphans(
        steps in proptest::collection::vec(step(), 1..32),
        scripts in proptest::collection::vec(script(), 32),
        is_left in any::<bool>(),
    ) {
        tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap()
            .block_on(drive(steps, &scripts, is_left));
    }
}
