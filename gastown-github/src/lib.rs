//! Watch and merge GitHub pull requests safely; the forge adapter of Gastown.
#![cfg_attr(test, allow(clippy::arithmetic_side_effects))]

pub mod branch;
pub mod checks;
pub mod classify;
mod client;
pub mod clock;
mod comment;
pub mod credentials;
mod decision;
pub mod error;
pub mod error_body;
pub mod etag;
pub mod github;
pub mod graphql;
mod json;
pub mod merge;
pub mod observation;
pub mod observe;
pub mod rate_limit;
pub mod readiness;
pub mod redirect;
pub mod request;
pub mod response;
mod settings;
pub mod transport;
pub mod url;
pub mod webhook;

pub use error::Error;
pub use github::{GitHub, GitHubConfig};
