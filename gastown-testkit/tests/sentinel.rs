//! The first sentinel defect of the domain (I9): nothing that is written holds a reserved or empty
//! identifier, or a stand-in for "no rig". The second is in `sequences.rs` and in the core's
//! `rules/dispatch/review.rs`.

// Helpers of tests may stop a test.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::arithmetic_side_effects)]

use gastown_core::{Effect, Event, Timestamp, Town, explain, next_wakeup, settle, wire};
use gastown_testkit::laws::{no_sentinel, no_sentinel_in_changes};
use gastown_testkit::towns::{now, seeds};
use gastown_testkit::world::answer_to;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

/// Towns by default and in CI's long mode.
fn towns_to_look_at() -> u32 {
    match std::env::var_os("GASTOWN_LONG") {
        Some(_) => 10_000,
        None => 500,
    }
}

/// The event that comes of an effect, if any does.
fn event_of(town: &Town, effect: &Effect, how: u8, number: usize, at: Timestamp) -> Option<Event> {
    let mut event = answer_to(town, effect, how)?;
    event["id"] = format!("ev{at}-{number}").replace(':', "-").into();
    event["at"] = at.to_string().into();
    event["key"] = serde_json::to_value(&effect.key).unwrap();
    Some(wire::event_from_value(event).unwrap())
}

#[test]
fn i9_no_sentinel_in_anything_that_generated_towns_write() {
    let mut config = Config::with_cases(towns_to_look_at());
    config.failure_persistence = None;
    TestRunner::new(config)
        .run(&(seeds(0..=25), any::<u8>()), |(seed, how)| {
            let mut town = seed.town();
            let mut at = now();
            let fail = |problem| TestCaseError::fail(format!("{problem}\n{}", seed.snapshot()));
            // What is due now, and at the next wake-ups.
            for _ in 0..4 {
                let settled = settle(&mut town, at);
                no_sentinel(&settled.actions).map_err(fail)?;
                no_sentinel(&settled.effects).map_err(fail)?;
                for (number, effect) in settled.effects.iter().enumerate() {
                    let answer = how.wrapping_add(u8::try_from(number % 256).unwrap());
                    if let Some(event) = event_of(&town, effect, answer, number, at) {
                        no_sentinel(&event).map_err(fail)?;
                        town.observe(&event, at);
                    }
                }
                no_sentinel_in_changes(&town.take_changes()).map_err(fail)?;
                match next_wakeup(&town, at) {
                    Some(next) => at = next,
                    None => break,
                }
            }
            for bead in town.live_beads().take(3) {
                no_sentinel(&explain(&town, at, &bead.id)).map_err(fail)?;
            }
            Ok(())
        })
        .unwrap();
}
