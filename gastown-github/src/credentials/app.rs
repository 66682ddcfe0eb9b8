//! GitHub App identities and installation tokens (facts 1.9; spec 4.7).

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use http::{Request, Response};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::{Deserialize, Serialize};

use super::{CredentialSource, Rejection, Token, TokenScope};
use crate::classify;
use crate::clock::Clock;
use crate::error::Error;
use crate::error_body::ErrorBody;
use crate::observation::ForgeError;
use crate::rate_limit::{LimitVerdict, LimitedAnswer, SECONDARY_PAUSE_FIRST, server_date, verdict};
use crate::redirect::{Redirect, redirect};
use crate::request;
use crate::transport::Transport;
use crate::url::ForgeHost;

/// How far in the past a JWT is said to be issued, against clocks that differ a little.
const ISSUED_AGO: TimeDelta = TimeDelta::seconds(60);
/// How long a JWT is good for. GitHub accepts ten minutes at most, by its own clock.
const JWT_LIFE: TimeDelta = TimeDelta::seconds(540);
/// How long before its end an installation token is no longer handed out.
const TOKEN_MARGIN: TimeDelta = TimeDelta::seconds(300);
/// For how long GitHub's servers may not all know a token that one of them made.
const REPLICATION: TimeDelta = TimeDelta::seconds(5);
/// For how many accounts tokens are kept.
const ACCOUNTS_MAX: usize = 1024;

/// A GitHub App: its id (or client id) and its private key.
#[derive(Clone)]
pub struct AppIdentity {
    issuer: String,
    key: EncodingKey,
}

impl std::fmt::Debug for AppIdentity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AppIdentity")
            .field("issuer", &self.issuer)
            .finish_non_exhaustive()
    }
}

#[derive(Serialize)]
struct Claims<'a> {
    iat: i64,
    exp: i64,
    iss: &'a str,
}

impl AppIdentity {
    /// Reads the private key as GitHub hands it out, and tries it.
    ///
    /// # Errors
    /// [`Error::ReadAppKey`] if it is no RSA key in PEM form, or too short to sign with.
    pub fn from_pem(issuer: impl Into<String>, pem: &str) -> Result<Self, Error> {
        // The JWT crate panics at the first signature if nobody chose its cryptography. A choice
        // that the host made before stays.
        let _ = jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER.install_default();
        let fault = |source| Error::ReadAppKey {
            source: Box::new(source),
        };
        let key = EncodingKey::from_rsa_pem(pem.as_bytes()).map_err(fault)?;
        let identity = Self {
            issuer: issuer.into(),
            key,
        };
        identity.sign(DateTime::<Utc>::UNIX_EPOCH).map_err(fault)?;
        Ok(identity)
    }

    /// A JWT for the App itself, at this time of the *server*.
    ///
    /// # Errors
    /// [`Error::ReadAppKey`] if the key cannot sign.
    pub fn jwt(&self, server_now: DateTime<Utc>) -> Result<Option<Token>, Error> {
        let text = self.sign(server_now).map_err(|source| Error::ReadAppKey {
            source: Box::new(source),
        })?;
        Ok(Token::new(text))
    }

    fn sign(&self, server_now: DateTime<Utc>) -> Result<String, jsonwebtoken::errors::Error> {
        let second = server_now.timestamp();
        let claims = Claims {
            iat: second.saturating_sub(ISSUED_AGO.num_seconds()),
            exp: second.saturating_add(JWT_LIFE.num_seconds()),
            iss: &self.issuer,
        };
        jsonwebtoken::encode(&Header::new(Algorithm::RS256), &claims, &self.key)
    }
}

/// Which installation of the App is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Installation {
    /// This one.
    Number(u64),
    /// The one that the repository's account has; looked up and remembered per account.
    OfRepository,
}

/// Fresh installation tokens, kept until shortly before they expire.
///
/// # Guarantees
/// - For one account at most one token is being fetched; other callers wait for that one.
/// - A token that is refused in its first seconds is tried again before it is replaced.
/// - If GitHub's clock differs from ours so much that it refuses the JWT, the difference is
///   learnt from its answer and the request made once more.
pub struct InstallationTokens {
    name: String,
    identity: AppIdentity,
    host: ForgeHost,
    installation: Installation,
    transport: Arc<dyn Transport>,
    clock: Arc<dyn Clock>,
    skew_seconds: AtomicI64,
    accounts: Mutex<BTreeMap<String, Arc<tokio::sync::Mutex<Account>>>>,
}

impl std::fmt::Debug for InstallationTokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("InstallationTokens")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

#[derive(Default)]
struct Account {
    installation: Option<u64>,
    kept: Option<Kept>,
}

#[derive(Clone)]
struct Kept {
    token: Token,
    /// When it ends, by the server's clock.
    until: DateTime<Utc>,
    /// When it was made, by ours.
    made_at: DateTime<Utc>,
}

#[derive(Deserialize)]
struct FoundInstallation {
    id: u64,
}

#[derive(Deserialize)]
struct MintedToken {
    token: String,
    expires_at: String,
}

impl InstallationTokens {
    /// A source of that name for one host.
    pub fn new(
        name: impl Into<String>,
        identity: AppIdentity,
        host: ForgeHost,
        installation: Installation,
        transport: Arc<dyn Transport>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            name: name.into(),
            identity,
            host,
            installation,
            transport,
            clock,
            skew_seconds: AtomicI64::new(0),
            accounts: Mutex::default(),
        }
    }

    /// Drops every kept token and remembered installation; for the webhooks `installation` and
    /// `installation_repositories`.
    pub fn forget_all(&self) {
        self.accounts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }

    fn account(&self, scope: &TokenScope) -> Arc<tokio::sync::Mutex<Account>> {
        let key = match self.installation {
            Installation::Number(number) => number.to_string(),
            Installation::OfRepository => scope.repository.owner().to_ascii_lowercase(),
        };
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        if accounts.len() >= ACCOUNTS_MAX && !accounts.contains_key(&key) {
            accounts.pop_first();
        }
        accounts.entry(key).or_default().clone()
    }

    fn server_now(&self) -> DateTime<Utc> {
        let skew = TimeDelta::seconds(self.skew_seconds.load(Ordering::Relaxed));
        let now = self.clock.now();
        now.checked_add_signed(skew).unwrap_or(now)
    }

    async fn find(&self, scope: &TokenScope) -> Result<Option<u64>, ForgeError> {
        if let Installation::Number(number) = self.installation {
            return Ok(Some(number));
        }
        let request = request::repository_installation(&self.host, &scope.repository);
        let answer = self.ask(request.map_err(|it| cannot_ask(&it))?).await?;
        match answer.status().as_u16() {
            200 => decode::<FoundInstallation>(&answer, "installation").map(|it| Some(it.id)),
            404 => Ok(None),
            _ => Err(refusal(&answer, self.clock.now())),
        }
    }

    async fn mint(&self, installation: u64) -> Result<Option<MintedToken>, ForgeError> {
        let request = request::installation_token(&self.host, installation);
        let answer = self.ask(request.map_err(|it| cannot_ask(&it))?).await?;
        match answer.status().as_u16() {
            201 | 200 => decode(&answer, "installation token").map(Some),
            404 => Ok(None),
            _ => Err(refusal(&answer, self.clock.now())),
        }
    }

    /// Asks as the App, once more if only the clocks disagree.
    async fn ask(&self, request: Request<Bytes>) -> Result<Response<Bytes>, ForgeError> {
        let answer = self.send(request.clone()).await?;
        if answer.status().as_u16() == 401 && self.learn_skew(&answer) {
            return self.send(request).await;
        }
        if let Redirect::Follow(next) = redirect(&self.host, &request, &answer) {
            return self.send(*next).await;
        }
        Ok(answer)
    }

    async fn send(&self, mut request: Request<Bytes>) -> Result<Response<Bytes>, ForgeError> {
        let jwt = self
            .identity
            .jwt(self.server_now())
            .map_err(|it| cannot_ask(&it))?;
        if let Some(value) = jwt.and_then(|it| it.header()) {
            request
                .headers_mut()
                .insert(http::header::AUTHORIZATION, value);
        }
        let answer = self.transport.send(request).await;
        answer.map_err(|it| ForgeError::Network {
            what: super::redact(&it.describe()),
        })
    }

    /// Whether the refusal is about the time of the JWT, and the clocks are now known to differ.
    fn learn_skew(&self, answer: &Response<Bytes>) -> bool {
        let message = ErrorBody::read(answer.body()).message.to_ascii_lowercase();
        let about_time = ["'iat'", "'exp'", "'issued at'", "expir"];
        let Some(server) = server_date(answer.headers()) else {
            return false;
        };
        if !about_time.iter().any(|it| message.contains(it)) {
            return false;
        }
        let skew = server.signed_duration_since(self.clock.now()).num_seconds();
        self.skew_seconds.swap(skew, Ordering::Relaxed) != skew
    }
}

#[async_trait]
impl CredentialSource for InstallationTokens {
    fn name(&self) -> &str {
        &self.name
    }

    async fn token(&self, scope: &TokenScope) -> Result<Option<Token>, ForgeError> {
        if scope.host != self.host {
            return Ok(None);
        }
        let account = self.account(scope);
        // Held while asking: this is what makes others wait instead of asking too.
        let mut account = account.lock().await;
        let now = self.server_now();
        let usable = |it: &&Kept| it.until.signed_duration_since(now) > TOKEN_MARGIN;
        if let Some(kept) = account.kept.as_ref().filter(usable) {
            return Ok(Some(kept.token.clone()));
        }
        let found = match account.installation {
            Some(number) => Some(number),
            None => self.find(scope).await?,
        };
        let Some(installation) = found else {
            return Ok(None);
        };
        let minted = self.mint(installation).await?;
        // Gone: uninstalled. Another one may be found next time.
        account.installation = minted.is_some().then_some(installation);
        let fresh = minted.and_then(|it| {
            let token = Token::new(&it.token)?.owned_by(format!("installation {installation}"));
            // A token of unknown life is used once and not kept.
            let until = DateTime::parse_from_rfc3339(&it.expires_at).map_or(now, |it| it.to_utc());
            let made_at = self.clock.now();
            Some(Kept {
                token,
                until,
                made_at,
            })
        });
        account.kept.clone_from(&fresh);
        Ok(fresh.map(|it| it.token))
    }

    async fn rejected(&self, scope: &TokenScope, token: &Token) -> Rejection {
        let account = self.account(scope);
        let mut account = account.lock().await;
        // Someone else may have replaced it already; that one is not to be dropped.
        let same = |it: &&Kept| it.token.fingerprint() == token.fingerprint();
        let Some(kept) = account.kept.as_ref().filter(same) else {
            return Rejection::AskAgain;
        };
        let age = self.clock.now().signed_duration_since(kept.made_at);
        if let Some(wait) = replication_wait(age) {
            // Others need not wait for the one who waits.
            drop(account);
            self.clock.sleep(wait).await;
            return Rejection::TrySame;
        }
        account.kept = None;
        Rejection::AskAgain
    }

    fn forget(&self) {
        self.forget_all();
    }
}

/// How long to wait before a refused token of this age is tried again: a second, then two, until it
/// is old enough to be known everywhere.
fn replication_wait(age: TimeDelta) -> Option<Duration> {
    if age >= REPLICATION {
        None
    } else if age < TimeDelta::seconds(1) {
        Some(Duration::from_secs(1))
    } else {
        Some(Duration::from_secs(2))
    }
}

fn decode<T: serde::de::DeserializeOwned>(
    answer: &Response<Bytes>,
    what: &str,
) -> Result<T, ForgeError> {
    // The text of a serde error can quote the input, which here is a credential.
    serde_json::from_slice(answer.body()).map_err(|it| ForgeError::InvalidResponse {
        why: format!("{what}: {:?}", it.classify()),
    })
}

/// What a refusal means: a limit first, in the documented order, and only else a permission.
fn refusal(answer: &Response<Bytes>, now: DateTime<Utc>) -> ForgeError {
    let body = ErrorBody::read(answer.body());
    let status = answer.status();
    let limited = LimitedAnswer {
        headers: answer.headers(),
        may_be_limit: classify::may_be_limit(status),
        speaks_of_limit: classify::speaks_of_limit(status, &body),
        succeeded: false,
    };
    let until = match verdict(&limited, now) {
        LimitVerdict::NotLimited => None,
        LimitVerdict::Until(until) | LimitVerdict::Exhausted(until) => Some(until),
        LimitVerdict::Secondary => now.checked_add_signed(SECONDARY_PAUSE_FIRST),
    };
    classify::forge_error(status, answer.headers(), &body, until)
}

fn cannot_ask(error: &Error) -> ForgeError {
    ForgeError::Network {
        what: error.to_string(),
    }
}

#[cfg(test)]
mod tests;
