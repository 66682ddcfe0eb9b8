//! Watch and merge GitHub pull requests safely; the forge adapter of Gastown.
//!
//! Is this pull request mergeable, and if not, why not? Merge it, and nothing else, safely:
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use gastown_github::clock::Clock;
//! use gastown_github::credentials::{CredentialChain, CredentialSource, KnownToken, Token};
//! use gastown_github::merge::{MergeRequest, MethodChoice};
//! use gastown_github::observe::Detail;
//! use gastown_github::readiness::{MergeConditions, blockers};
//! use gastown_github::transport::Transport;
//! use gastown_github::url::{ForgeHost, RepositoryName};
//! use gastown_github::{GitHub, GitHubConfig};
//!
//! # async fn example(
//! #     transport: Arc<dyn Transport>, clock: Arc<dyn Clock>, token: &str,
//! # ) -> Result<(), Box<dyn std::error::Error>> {
//! let source = KnownToken::new("my token", &ForgeHost::github_com(), Token::new(token));
//! let chain = CredentialChain::new([Arc::new(source) as Arc<dyn CredentialSource>]);
//! let github = GitHub::new(GitHubConfig::default(), transport, clock, chain);
//!
//! let repository = RepositoryName::parse("octo-org/hello")?;
//! let pull_request =
//!     github.pull_request("https://github.com/octo-org/hello/pull/7", &repository)?;
//! let seen = github.observe(&pull_request, Detail::Feedback).await?;
//! let conditions = MergeConditions::for_head(&seen.head_sha);
//! for blocker in blockers(&seen, &conditions) {
//!     println!("not now: {blocker}");
//! }
//! // Looks again, and merges exactly the head that was just looked at or nothing.
//! let method = MethodChoice::Auto;
//! let outcome = github.merge(&MergeRequest { pull_request, repository, method, conditions }).await;
//! println!("{outcome:?}");
//! # Ok(())
//! # }
//! ```
//!
//! How it is built:
//!
//! ```text
//! GitHub (observe, merge, verify_landing, create_branch, comment)      webhook::{verify, interpret}
//!    │  pure: request ──> [Transport] ──> response, graphql               hints about what to look at
//!    │  pure: checks, decision, readiness, classify, rate_limit, etag, redirect
//!    └─ around each request: token (chain, App), limits, turn to write, revalidation, redirects
//! ```
//!
//! - What could not be read, or belongs to another head, is incomplete and never fine.
//! - Nothing reads a clock or sleeps on its own: both are the host's [`clock::Clock`].
//! - A limit is a value with a time, not a wait; what to do about it is the caller's to decide.
//! - No write is repeated unless GitHub said that the first one had no effect.
#![cfg_attr(test, allow(clippy::arithmetic_side_effects))]

/// The example of the README compiles as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

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
#[cfg(feature = "forge")]
mod forge;
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
