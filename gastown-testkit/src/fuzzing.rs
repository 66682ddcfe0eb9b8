//! Bodies of the fuzz targets: plain functions, so that stable tests run them too.
//!
//! Each takes any bytes. What is refused must be refused without a panic; what is taken must keep
//! the properties that hold for every town.

// A broken property must stop the fuzzer, and a panic is how.
#![allow(clippy::panic, clippy::missing_panics_doc)]

use std::fmt::Debug;

use arbitrary::{Arbitrary, Unstructured};
use gastown_core::{
    Bead, Cause, Command, Event, EventId, EventKind, Repository, Timestamp, Town, check,
    check_step, reconcile, settle, wire,
};
use serde_json::{Value, json};

use crate::laws;
use crate::towns::now;
use crate::world::{Setup, Step, World};

/// Steps of a fuzzed sequence.
const STEPS_MAX: usize = 48;

/// A fuzzed host crashes about once in so many steps.
const CRASH_EVERY: usize = 10;

/// Beads beyond which a fuzzed town only is read: slow inputs find nothing that small ones don't.
const BEADS_MAX: usize = 200;

/// A snapshot: what is read is written back the same, and the town comes to rest.
pub fn snapshot(data: &[u8]) {
    let Ok(text) = core::str::from_utf8(data) else {
        return;
    };
    let Ok(mut town) = wire::snapshot_from_str(text) else {
        return;
    };
    reads_as_it_was_written(&town);
    if town.beads().count() <= BEADS_MAX {
        rests(&mut town, now());
    }
}

/// An event on each of the small [`towns`]: never refused once it is one, and the town still comes
/// to rest.
pub fn event(data: &[u8]) {
    let Ok(text) = core::str::from_utf8(data) else {
        return;
    };
    let Ok(event) = wire::event_from_str(text) else {
        return;
    };
    for town in towns() {
        event_on(town, &event);
    }
}

fn event_on(mut town: Town, event: &Event) {
    let before = town.clone();
    let first = town.observe(event, now());
    let violations = check_step(&before, Cause::Event(event), &town, now());
    assert!(violations.is_empty(), "{first:?} breaks {violations:?}");
    // Nothing the second time: under the same id, nor, of what answers an effect, under another.
    let once = town.clone();
    let is_answer = event.key.is_some() && answers_an_effect(&event.kind);
    let other = EventId::new("again").ok().filter(|_| is_answer);
    let renamed = other.map(|id| Event {
        id,
        ..event.clone()
    });
    for again in [Some(event), renamed.as_ref()].into_iter().flatten() {
        let second = town.observe(again, now());
        assert!(!second.changed, "an event was observed twice: {second:?}");
        assert!(town == once, "an event changed the town twice: {second:?}");
    }
    reads_as_it_was_written(&town);
    rests(&mut town, now());
}

/// Whether an event of this kind is what came of an effect. Others may carry a key, which says nothing
/// of them: an agent is heard of again and again.
#[must_use]
pub const fn answers_an_effect(kind: &EventKind) -> bool {
    match kind {
        EventKind::AgentStarted(_)
        | EventKind::DispatchFailed(_)
        | EventKind::AgentStopped(_)
        | EventKind::MergeVerified(_)
        | EventKind::Notified(_)
        | EventKind::PrObserved(_)
        | EventKind::MergeAttempted(_)
        | EventKind::BranchCreated(_)
        | EventKind::NudgeDelivered(_)
        | EventKind::TokenRefreshed(_) => true,
        EventKind::Heartbeat(_)
        | EventKind::AgentExited(_)
        | EventKind::AgentDone(_)
        | EventKind::ContainerStatus(_)
        | EventKind::AgentGone(_)
        | EventKind::ObservationGap(_)
        | EventKind::ContainerEviction(_)
        | EventKind::ContainerReady(_)
        | EventKind::MayorWaiting(_)
        | EventKind::MayorPrompted(_)
        | EventKind::Webhook(_) => false,
    }
}

/// A command on each of the small [`towns`]: what is refused changes nothing, and the town still comes
/// to rest.
pub fn command(data: &[u8]) {
    let Ok(text) = core::str::from_utf8(data) else {
        return;
    };
    let Ok(command) = wire::command_from_str(text) else {
        return;
    };
    for town in towns() {
        command_on(town, command.clone());
    }
}

fn command_on(mut town: Town, command: Command) {
    let before = town.clone();
    match town.execute(command, now()) {
        Ok(_) => {
            let violations = check_step(&before, Cause::Command, &town, now());
            assert!(violations.is_empty(), "a command breaks {violations:?}");
            reads_as_it_was_written(&town);
            rests(&mut town, now());
        }
        Err(refused) => {
            assert!(
                town == before,
                "a refused command changed the town: {refused}"
            );
            assert!(!refused.field.is_empty() && !refused.message.is_empty());
        }
    }
}

/// An update of the settings: absent fields stay, a second time changes nothing, and what it makes
/// can be written and read.
pub fn config_update(data: &[u8]) {
    let Ok(config) = serde_json::from_slice::<Value>(data) else {
        return;
    };
    let command = json!({"type": "update_config", "caller": {"kind": "user", "id": "ann"},
                         "config": config});
    let Ok(command) = wire::command_from_value(command) else {
        return;
    };
    let mut town = small_town();
    let before = town.clone();
    if town.execute(command.clone(), now()).is_err() {
        assert!(town == before, "a refused update changed the town");
        return;
    }
    let violations = check_step(&before, Cause::Command, &town, now());
    assert!(violations.is_empty(), "an update breaks {violations:?}");
    let once = town.state().config.clone();
    let again = town.execute(command, now());
    assert!(
        again.is_ok(),
        "an update is refused the second time: {again:?}"
    );
    assert!(
        town.state().config == once,
        "an update is not the same the second time"
    );
    reads_as_it_was_written(&town);
    rests(&mut town, now());
}

/// The URL of a pull request: what is taken names a repository and a number, and means the same
/// when it is written down.
pub fn pr_url(data: &[u8]) {
    let Ok(text) = core::str::from_utf8(data) else {
        return;
    };
    let Some((repository, number)) = Repository::of_pr_url(text) else {
        return;
    };
    let plain = format!(
        "https://{}/{}/pull/{number}",
        repository.host(),
        repository.path()
    );
    let read = Repository::of_pr_url(&plain);
    assert!(
        read == Some((repository, number)),
        "{text:?} is {plain:?}, which is {read:?}"
    );
}

/// A sequence of commands, events, answers and time on a town, with every oracle on that one town
/// can be held against: what [`World::step`] holds after each step, P5 and P6 after each, P1 and P10
/// after a crash, P7 and P16 at the end.
pub fn sequence(data: &[u8]) {
    let _ = played(data);
}

/// The world after a [`sequence`], which held; none where the input is none.
#[must_use]
pub fn played(data: &[u8]) -> Option<World> {
    let mut input = Unstructured::new(data);
    let setup = u16::arbitrary(&mut input).ok()?;
    let mut world = World::new(Setup(setup));
    for number in 0..STEPS_MAX {
        if input.is_empty() {
            break;
        }
        let Ok(step) = Step::arbitrary(&mut input) else {
            break;
        };
        holds(world.step(&step), &step);
        // Where to look is no part of the input, so that inputs keep their meaning.
        let where_to = number.wrapping_mul(37).wrapping_add(setup.into()) % 100;
        #[allow(clippy::cast_precision_loss)]
        let share = where_to as f64 / 100.0;
        holds(laws::wakes_in_time(&world.town, world.now, share), &step);
        if where_to % CRASH_EVERY == 0 {
            holds(world.reload(), &step);
        }
    }
    holds(laws::no_silent_stall(&world.town, world.now), "at the end");
    let live: Vec<&Bead> = world.town.live_beads().collect();
    let which = usize::from(setup).checked_rem(live.len());
    if let Some(bead) = which.and_then(|which| live.get(which)) {
        let happens = laws::happens_as_explained(&world.town, world.now, &bead.id);
        holds(happens, "at the end");
    }
    Some(world)
}

/// Stops the fuzzer where a property is broken.
fn holds<D: Debug + ?Sized>(held: Result<(), String>, after: &D) {
    if let Err(broken) = held {
        panic!("{after:?}: {broken}")
    }
}

/// The towns that events and commands are tried on: a busy one, and the same while its container is
/// evicted and its breaker is open. Of every type of event and command one at least finds something
/// to change in one of them.
///
/// # Panics
/// If they are refused: then they are wrong.
#[must_use]
pub fn towns() -> [Town; 2] {
    let mut troubled = written(&small_town());
    if let Some(town) = troubled.get_mut("town").and_then(Value::as_object_mut) {
        town.insert(
            "drain".into(),
            json!({"nonce": "n1", "started_at": "2026-04-04T11:59:00Z"}),
        );
        town.insert(
            "breaker".into(),
            json!({"state": "open", "opened_at": "2026-04-04T11:55:00Z", "in_a_row": 5}),
        );
    }
    match wire::snapshot_from_value(troubled) {
        Ok(troubled) => [small_town(), troubled],
        Err(error) => panic!("the troubled town is refused: {error}"),
    }
}

fn small_town() -> Town {
    match wire::snapshot_from_str(include_str!("fuzzing/town.json")) {
        Ok(town) => town,
        Err(error) => panic!("the town of the targets is not one: {error}"),
    }
}

/// A town that is written reads the same. Secrets are never written, so one that has some is compared
/// by what is.
fn reads_as_it_was_written(town: &Town) {
    let value = written(town);
    let again = match wire::snapshot_from_value(value.clone()) {
        Ok(again) => again,
        Err(error) => panic!("a snapshot that was written is refused: {error}"),
    };
    assert!(
        written(&again) == value,
        "a town that was written and read is written otherwise"
    );
    let has_secrets = again.state().config != town.state().config;
    assert!(
        has_secrets || again == *town,
        "a town that was written reads as another one"
    );
}

fn written(town: &Town) -> Value {
    match wire::snapshot_to_value(town) {
        Ok(value) => value,
        Err(error) => panic!("a town can't be written: {error}"),
    }
}

/// P3: the town comes to rest. One that breaks no invariant breaks none on the way (P2, P4 and the
/// invariants of steps), nor at its end.
fn rests(town: &mut Town, now: Timestamp) {
    if check(town, now).is_empty() {
        if let Err(broken) = laws::rests(town, now) {
            panic!("{broken}")
        }
        let violations = check(town, now);
        assert!(violations.is_empty(), "at rest: {violations:?}");
    } else {
        let settled = settle(town, now);
        assert!(settled.fault.is_none(), "{:?}", settled.fault);
    }
    assert!(
        reconcile(town, now).is_empty(),
        "a settled town has something due"
    );
}
