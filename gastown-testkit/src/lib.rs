//! Generators, conformance suites and doubles for hosts of Gastown.

pub mod fuzzing;
pub mod store_suite;
pub mod towns;
pub mod world;
