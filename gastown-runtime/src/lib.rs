//! The loop that runs Gastown towns: ticks, effects, agent sessions.
#![cfg_attr(test, allow(clippy::arithmetic_side_effects))]

pub mod protocol;
