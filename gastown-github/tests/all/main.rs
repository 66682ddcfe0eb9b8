//! The crate from outside: operations against a scripted transport, recorded payloads, and
//! GitHub's own schema.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "tests fail by panicking"
)]

mod branches;
mod data;
mod fuzz_corpus;
mod limits;
mod merging;
mod observing;
mod payloads;
mod schema;
mod script;
