//! What can go wrong when this crate is used, apart from what a forge answers.

use crate::transport::Cause;
use crate::url::UrlFault;
use crate::webhook::WebhookFault;

/// A failure of this crate, named after what was attempted.
///
/// What a forge answers, or fails to answer, is not an error of the crate but a value:
/// [`crate::observation::ForgeError`] (spec 4.2).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A text was to be read as the address of a pull request, and is none that may be used.
    #[error("cannot use this as the address of a pull request: {why}")]
    ParsePullRequestUrl {
        /// What is wrong with it; never the text itself, which may hold a password.
        why: UrlFault,
    },
    /// A text was to be read as the address of a repository, and is none that may be used.
    #[error("cannot use this as the address of a repository: {why}")]
    ParseRepositoryUrl {
        /// What is wrong with it; never the text itself, which may hold a password.
        why: UrlFault,
    },
    /// A host was to be configured, and its name or one of its API addresses is malformed.
    #[error("cannot configure the host: {why}")]
    ConfigureHost {
        /// What is wrong with it.
        why: UrlFault,
    },
    /// The HTTP client was to be made.
    #[error("cannot make the HTTP client")]
    BuildTransport {
        /// What failed.
        #[source]
        source: Cause,
    },
    /// The private key of a GitHub App was to be read.
    #[error("cannot read the private key of the GitHub App; it must be an RSA key in PEM form")]
    ReadAppKey {
        /// What failed.
        #[source]
        source: Cause,
    },
    /// A request was to be built from parts that make no address.
    #[error("cannot build the request")]
    BuildRequest {
        /// What failed.
        #[source]
        source: Cause,
    },
    /// The signature of a webhook was to be verified.
    #[error("cannot accept the webhook: {why}")]
    VerifyWebhook {
        /// What is wrong with it.
        why: WebhookFault,
    },
    /// A webhook was to be interpreted.
    #[error("cannot interpret the webhook: {why}")]
    InterpretWebhook {
        /// What is wrong with it.
        why: WebhookFault,
    },
}
