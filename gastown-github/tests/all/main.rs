//! The crate from outside: operations against a scripted transport, recorded payloads, and
//! GitHub's own schema.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "tests fail by panicking"
)]

mod addresses;
mod answers;
#[cfg(all(feature = "app", feature = "forge"))]
mod app;
mod branches;
mod data;
mod double;
mod fake;
mod faults;
#[cfg(feature = "forge")]
mod forge;
mod fuzz_corpus;
#[cfg(feature = "forge")]
mod hooks;
mod hour;
mod limits;
mod logs;
mod merging;
mod observing;
mod old_servers;
mod payloads;
mod schema;
mod script;
#[cfg(feature = "webhook-service")]
mod service;
mod turns;
