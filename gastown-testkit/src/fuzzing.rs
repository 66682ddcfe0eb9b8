//! Bodies of the fuzz targets: plain functions, so that stable tests run them too.
//!
//! Each takes any bytes. What is refused must be refused without a panic; what is taken must keep
//! the properties that hold for every town.

// A broken property must stop the fuzzer, and a panic is how.
#![allow(clippy::panic, clippy::missing_panics_doc)]

use gastown_core::{Cause, Timestamp, Town, check_step, reconcile, settle, wire};

use crate::towns::now;

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
    let again = written(&town);
    assert!(
        again == town,
        "a snapshot that was written reads as another town"
    );
    if town.beads().count() <= BEADS_MAX {
        rests(&mut town, now());
    }
}

/// An event on a small town: never refused once it is one, and the town still comes to rest.
pub fn event(data: &[u8]) {
    let Ok(text) = core::str::from_utf8(data) else {
        return;
    };
    let Ok(event) = wire::event_from_str(text) else {
        return;
    };
    let Ok(mut town) = wire::snapshot_from_str(include_str!("fuzzing/town.json")) else {
        panic!("the town of the event target is not one")
    };
    let before = town.clone();
    let first = town.observe(&event, now());
    let violations = check_step(&before, Cause::Event(&event), &town, now());
    assert!(violations.is_empty(), "{first:?} breaks {violations:?}");
    let second = town.observe(&event, now());
    assert!(!second.changed, "an event was observed twice: {second:?}");
    rests(&mut town, now());
}

/// A command on a small town: refused without a change, or taken, and the town still comes to rest.
pub fn command(data: &[u8]) {
    let Ok(text) = core::str::from_utf8(data) else {
        return;
    };
    let Ok(command) = wire::command_from_str(text) else {
        return;
    };
    let Ok(mut town) = wire::snapshot_from_str(include_str!("fuzzing/town.json")) else {
        panic!("the town of the command target is not one")
    };
    let before = town.clone();
    if town.execute(command, now()).is_err() {
        assert!(town == before, "a refused command changed something");
    }
    let violations = check_step(&before, Cause::Command, &town, now());
    assert!(violations.is_empty(), "{violations:?}");
    rests(&mut town, now());
}

fn written(town: &Town) -> Town {
    let value = match wire::snapshot_to_value(town) {
        Ok(value) => value,
        Err(error) => panic!("a town can't be written: {error}"),
    };
    match wire::snapshot_from_value(value) {
        Ok(town) => town,
        Err(error) => panic!("a snapshot that was written is refused: {error}"),
    }
}

/// P3: the town comes to rest.
fn rests(town: &mut Town, now: Timestamp) {
    let settled = settle(town, now);
    assert!(settled.fault.is_none(), "{:?}", settled.fault);
    assert!(
        reconcile(town, now).is_empty(),
        "a settled town has something due"
    );
}
