//! Small ports of the host: who is told, and what happens to the container.

use async_trait::async_trait;
use gastown_core::{Timestamp, TownId};

/// A host's port could not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[error("{reason}")]
pub struct PortError {
    /// Why, for a person; never a secret.
    pub reason: String,
}

/// The port to whoever is told what a town has to say.
///
/// # To ensure correctness
/// - The same notice may come twice: after a crash it is not known whether it arrived.
#[async_trait]
pub trait Notifier: Send + Sync {
    /// Tells it.
    ///
    /// # Errors
    /// [`PortError`]: the town tells it again later.
    async fn notify(&self, town_id: &TownId, topic: &str, message: &str) -> Result<(), PortError>;
}

/// Tells everything to the log.
#[derive(Debug, Clone, Copy, Default)]
pub struct LogNotifier;

#[async_trait]
impl Notifier for LogNotifier {
    async fn notify(&self, town_id: &TownId, topic: &str, message: &str) -> Result<(), PortError> {
        tracing::info!(town = %town_id, topic, message, "notice");
        Ok(())
    }
}

/// The port to the place where agents run and to its tokens (spec 3.11, 6.5).
///
/// # To ensure correctness
/// - Each operation may come twice.
#[async_trait]
pub trait Container: Send + Sync {
    /// Refreshes the container's token; returns when the new one expires, if that is known.
    ///
    /// # Errors
    /// [`PortError`]: it was not refreshed.
    async fn refresh_token(&self, town_id: &TownId) -> Result<Option<Timestamp>, PortError>;

    /// Renews the language-model token if it is due; returns when the one in force expires.
    ///
    /// # Errors
    /// [`PortError`]: it was not renewed.
    async fn renew_llm_token(&self, town_id: &TownId) -> Result<Option<Timestamp>, PortError>;

    /// Stops the idle container; it starts again with the next session.
    ///
    /// # Errors
    /// [`PortError`]: it may still run.
    async fn stop(&self, town_id: &TownId) -> Result<(), PortError>;
}

/// Agents run on this machine: there is no container, and no token of one.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoContainer;

#[async_trait]
impl Container for NoContainer {
    async fn refresh_token(&self, _: &TownId) -> Result<Option<Timestamp>, PortError> {
        Ok(None)
    }

    async fn renew_llm_token(&self, _: &TownId) -> Result<Option<Timestamp>, PortError> {
        Ok(None)
    }

    async fn stop(&self, _: &TownId) -> Result<(), PortError> {
        Ok(())
    }
}
