//! What hosts of Gastown test themselves with: generated towns, a conformance suite for stores, a
//! simulator, an exhaustive search, doubles.
//!
//! | you have | take |
//! | --- | --- |
//! | a store of your own | [`store_suite!`] for its contract, [`lives`] for whole lives over it, [`sim::hold`] for whole towns over it |
//! | thresholds or settings of your own | [`sim::Settings`], [`search::SmallTown::with_policy`] |
//! | code that reads states of towns | [`towns`], [`world`]: generated towns, and what may happen to them |
//! | readers of what comes from outside | [`fuzzing`]: bodies of fuzz targets |
//! | an adapter that observes pull requests | [`unknown`]: an observation, with each fact in turn unknown |
//! | properties of your own | [`cases`]: how many cases of each are tried |
//! | states of towns, to be held against the specification | [`laws`] |
//! | something that talks to GitHub | `fake_github`, a server on loopback (feature `fake-github`) |
//! | a loop of your own instead of `gastown-runtime` | [`host`] shows the protocol, call by call; nothing here runs yours |
//! | a forge or an agent runtime of your own | no suite: their contract stands at the traits of `gastown-core` |
//!
//! Properties are written with the [`proptest`] that is re-exported here.

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
mod overlay;
mod panics;
pub mod search;
pub mod sim;
pub mod store_suite;
pub mod towns;
pub mod unknown;
mod waiting;
pub mod world;

pub use proptest;
