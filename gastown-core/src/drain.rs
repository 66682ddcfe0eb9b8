//! Drain and container: what is known of the place where agents run (spec 2.2, 3.1, 3.11).

use alloc::string::String;

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// The town's container is being evicted: nothing new is dispatched until its replacement is up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Drain {
    /// The host's word for this eviction; `container_ready` must bring the same.
    pub nonce: String,
    /// When it began.
    pub started_at: Timestamp,
}

/// What is known of the container and its tokens.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Container {
    /// The instance of the last heartbeat.
    pub instance: Option<String>,
    /// When its token was last refreshed.
    pub last_token_refresh_at: Option<Timestamp>,
    /// When a refresh was last asked for.
    pub refresh_asked_at: Option<Timestamp>,
    /// Refreshes that failed in a row.
    pub refresh_failures: u32,
    /// Refreshes asked for so far; only grows, so that keys never repeat.
    pub refreshes: u64,
    /// When the language-model token expires.
    pub llm_token_expires_at: Option<Timestamp>,
    /// When its expiry was last looked at.
    pub last_llm_check_at: Option<Timestamp>,
    /// Renewals asked for so far; only grows.
    pub llm_renewals: u64,
    /// When an idle container was last stopped.
    pub last_idle_stop_at: Option<Timestamp>,
    /// Stops asked for so far; only grows.
    pub idle_stops: u64,
}
