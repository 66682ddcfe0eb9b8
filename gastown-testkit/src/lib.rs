//! Generators, conformance suites and doubles for hosts of Gastown.

mod budgets;
pub mod cases;
mod events_judged;
#[cfg(feature = "fake-github")]
pub mod fake_github;
pub mod fuzzing;
pub mod host;
pub mod laws;
pub mod lives;
mod loaded;
pub mod search;
pub mod sim;
pub mod store_suite;
pub mod towns;
pub mod unknown;
mod waiting;
pub mod world;
