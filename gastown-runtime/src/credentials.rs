//! The port to whoever keeps the secrets. Effects hold none: they are resolved when they are
//! needed (spec 2.4).

use std::collections::BTreeMap;

use async_trait::async_trait;
use gastown_core::{Secret, StartRequest, TownId};

/// No secret could be given.
#[derive(Debug, thiserror::Error)]
#[error("could not resolve credentials: {reason}")]
pub struct CredentialsError {
    /// Why, for a person; never a secret.
    pub reason: String,
}

/// The port to whoever keeps the secrets.
///
/// # To ensure correctness
/// - No error holds a secret.
/// - A secret is asked for each time that it is needed, so it may change.
#[async_trait]
pub trait Credentials: Send + Sync {
    /// Secrets for the environment of one session, by variable.
    ///
    /// # Errors
    /// [`CredentialsError`]; the session is not started then.
    async fn of_session(
        &self,
        request: &StartRequest,
    ) -> Result<BTreeMap<String, Secret>, CredentialsError>;

    /// The token by which a repository is fetched from and pushed to over HTTPS; none where git
    /// finds its own way (a local path, an ssh agent).
    ///
    /// # Errors
    /// [`CredentialsError`]; nothing is fetched then.
    async fn of_repository(
        &self,
        town_id: &TownId,
        git_url: &str,
    ) -> Result<Option<Secret>, CredentialsError>;
}

/// Nobody keeps secrets: repositories are local or public, agents need none.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoCredentials;

#[async_trait]
impl Credentials for NoCredentials {
    async fn of_session(
        &self,
        _: &StartRequest,
    ) -> Result<BTreeMap<String, Secret>, CredentialsError> {
        Ok(BTreeMap::new())
    }

    async fn of_repository(&self, _: &TownId, _: &str) -> Result<Option<Secret>, CredentialsError> {
        Ok(None)
    }
}
