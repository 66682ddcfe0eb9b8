//! Watch and merge GitHub pull requests safely; the forge adapter of Gastown.
#![cfg_attr(test, allow(clippy::arithmetic_side_effects))]

pub mod error;
pub mod observation;
pub mod url;

pub use error::Error;
