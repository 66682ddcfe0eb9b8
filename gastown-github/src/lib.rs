//! Watch and merge GitHub pull requests safely; the forge adapter of Gastown.
#![cfg_attr(test, allow(clippy::arithmetic_side_effects))]

pub mod classify;
pub mod clock;
pub mod credentials;
pub mod error;
pub mod error_body;
pub mod etag;
pub mod observation;
pub mod rate_limit;
pub mod redirect;
pub mod request;
pub mod transport;
pub mod url;

pub use error::Error;
