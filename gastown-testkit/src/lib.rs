//! Generators, conformance suites and doubles for hosts of Gastown.

pub mod store_suite;
