//! The only way in which this crate learns the time.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

/// Time as the host has it; a simulation has its own.
///
/// # To ensure correctness
/// - `now` never goes backwards by more than a few seconds.
/// - `sleep` returns no earlier than `now` has advanced by the duration. It is asked for at most
///   a few seconds, to keep writes apart and until a new token is known everywhere; longer waits go
///   back to the caller as values.
#[async_trait]
pub trait Clock: Send + Sync {
    /// The current time.
    fn now(&self) -> DateTime<Utc>;

    /// Returns after that long.
    async fn sleep(&self, duration: Duration);
}
