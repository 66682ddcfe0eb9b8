//! One request to the forge with everything that belongs around it: token, limits, turn-taking,
//! revalidation, redirects.
//!
//! Nothing is ever repeated here except where the forge said that nothing happened: a refused
//! token, a redirect, an answer that did not change and that we no longer have.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use http::header::{AUTHORIZATION, IF_NONE_MATCH};
use http::{Method, Request, Response, StatusCode};
use serde_json::Value;
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard, Semaphore};

use crate::classify;
use crate::clock::Clock;
use crate::credentials::{ChainWalk, CredentialChain, Token, TokenScope, redact};
use crate::error::Error;
use crate::error_body::ErrorBody;
use crate::etag::{EtagCache, EtagKey, EtagLimits};
use crate::graphql::{Document, Envelope};
use crate::observation::{ApiBudget, ForgeError};
use crate::rate_limit::{Admission, LimitedAnswer, MergeFloor, RateLimits, Urgency};
use crate::redirect::{NextPage, REDIRECTS_MAX, Redirect, next_page, redirect};
use crate::request::{self, ACCEPT_JSON, API_VERSION};
use crate::transport::Transport;

/// How long apart the writes of one token owner are, as GitHub asks.
const WRITE_GAP: TimeDelta = TimeDelta::seconds(1);
/// How many reads are under way at once; GitHub's own limit is 100. Each owner's one write comes
/// besides: behind a queue of reads it would grow stale.
const CONCURRENT_MAX: usize = 10;
/// For how many token owners the last write is remembered.
const WRITERS_MAX: usize = 1024;

/// What a request does at the forge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Effect {
    /// It changes nothing; GraphQL queries too.
    Read,
    /// It changes something.
    Write,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) error: ForgeError,
    /// Whether the forge may have done what was asked.
    pub(crate) may_have_had_effect: bool,
}

impl Failure {
    fn harmless(error: ForgeError) -> Self {
        Self {
            error,
            may_have_had_effect: false,
        }
    }
}

/// The state that all requests share.
pub(crate) struct Client {
    transport: Arc<dyn Transport>,
    clock: Arc<dyn Clock>,
    credentials: CredentialChain,
    limits: Mutex<RateLimits>,
    etags: Mutex<EtagCache>,
    writers: Mutex<BTreeMap<String, LastWrite>>,
    under_way: Semaphore,
}

/// When an owner last wrote; whoever holds the lock writes.
type LastWrite = Arc<AsyncMutex<Option<DateTime<Utc>>>>;

/// The turn to write, of the owner of one token. It ends when this is dropped.
pub(crate) struct Turn {
    token: Token,
    last: OwnedMutexGuard<Option<DateTime<Utc>>>,
    /// Whether it had to be waited for, so that what was seen before is old by now.
    pub(crate) waited: bool,
}

impl Client {
    pub(crate) fn new(
        transport: Arc<dyn Transport>,
        clock: Arc<dyn Clock>,
        credentials: CredentialChain,
        floor: MergeFloor,
        etags: EtagLimits,
    ) -> Self {
        Self {
            transport,
            clock,
            credentials,
            limits: Mutex::new(RateLimits::new(floor)),
            etags: Mutex::new(EtagCache::new(etags)),
            writers: Mutex::default(),
            under_way: Semaphore::new(CONCURRENT_MAX),
        }
    }

    pub(crate) fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    /// Drops kept answers under an address.
    pub(crate) fn forget(&self, url_prefix: &str) {
        lock(&self.etags).forget(url_prefix);
    }

    /// Drops kept tokens.
    pub(crate) fn forget_tokens(&self) {
        self.credentials.forget();
    }

    /// The budget of all owners that is nearest to its end.
    pub(crate) fn tightest_budget(&self) -> Option<ApiBudget> {
        lock(&self.limits).tightest(self.now())
    }

    pub(crate) fn session(&self, scope: TokenScope, urgency: Urgency) -> Session<'_> {
        Session {
            client: self,
            scope,
            urgency,
            owner: Mutex::default(),
        }
    }

    /// Waits for the turn of this token's owner to write.
    async fn write_turn(&self, token: Token) -> Turn {
        let owner = token.limit_owner();
        let turn = {
            let mut writers = lock(&self.writers);
            if writers.len() >= WRITERS_MAX && !writers.contains_key(&owner) {
                writers.pop_first();
            }
            writers.entry(owner).or_default().clone()
        };
        let (last, queued) = match turn.clone().try_lock_owned() {
            Ok(last) => (last, false),
            Err(_) => (turn.lock_owned().await, true),
        };
        let since = last.map(|it| self.now().signed_duration_since(it));
        let left = since
            .and_then(|it| WRITE_GAP.checked_sub(&it))
            .unwrap_or_default();
        // A clock that went backwards must not make anyone wait long.
        let left = left.min(WRITE_GAP).to_std().unwrap_or_default();
        self.clock.sleep(left).await;
        Turn {
            token,
            last,
            waited: queued || !left.is_zero(),
        }
    }
}

/// The requests that one operation makes for one repository.
pub(crate) struct Session<'a> {
    client: &'a Client,
    pub(crate) scope: TokenScope,
    urgency: Urgency,
    owner: Mutex<Option<String>>,
}

impl Session<'_> {
    /// What is left for the token that this session used.
    pub(crate) fn budget(&self) -> Option<ApiBudget> {
        let owner = lock(&self.owner).clone()?;
        lock(&self.client.limits).budget(&owner, self.client.now())
    }

    /// Sends a read and gives its answer, which is a good one.
    pub(crate) async fn read(
        &self,
        request: Result<Request<Bytes>, Error>,
    ) -> Result<Response<Bytes>, ForgeError> {
        let answer = self.send(request).await.map_err(|it| it.error)?;
        good(answer)
    }

    /// Sends a read and gives its answer, whatever its status; limits and refused tokens are
    /// failures already.
    pub(crate) async fn ask(
        &self,
        request: Result<Request<Bytes>, Error>,
    ) -> Result<Response<Bytes>, ForgeError> {
        self.send(request).await.map_err(|it| it.error)
    }

    /// Sends a write and gives its answer, whatever its status.
    pub(crate) async fn write(
        &self,
        request: Result<Request<Bytes>, Error>,
    ) -> Result<Response<Bytes>, Failure> {
        let mut write = self.begin_write(request)?;
        loop {
            let turn = write.turn().await?;
            if let Some(answer) = write.send(turn).await? {
                return Ok(answer);
            }
        }
    }

    /// Begins a write whose caller wants to look around between its turn and its request.
    pub(crate) fn begin_write(
        &self,
        request: Result<Request<Bytes>, Error>,
    ) -> Result<Write<'_>, Failure> {
        Ok(Write {
            session: self,
            request: built(request)?,
            walk: self.client.credentials.walk(&self.scope.asker),
            was_refused: false,
        })
    }

    /// Reads a list page after page. The flag is whether it was read to its end.
    pub(crate) async fn pages(
        &self,
        first: Response<Bytes>,
        asked: &http::Uri,
        pages_max: usize,
    ) -> Result<(Vec<Response<Bytes>>, bool), ForgeError> {
        let mut next = next_page(&self.scope.host, asked, first.headers());
        let mut pages = vec![first];
        while pages.len() < pages_max {
            let uri = match next {
                NextPage::Last => return Ok((pages, true)),
                NextPage::Unreachable => return Ok((pages, false)),
                NextPage::At(uri) => uri,
            };
            let page = self.read(request::page(uri.clone())).await?;
            next = next_page(&self.scope.host, &uri, page.headers());
            pages.push(page);
        }
        Ok((pages, next == NextPage::Last))
    }

    /// Sends a GraphQL query.
    pub(crate) async fn query(
        &self,
        document: Document,
        variables: &Value,
    ) -> Result<Envelope, ForgeError> {
        let request = request::graphql(&self.scope.host, &document.text(), variables);
        Envelope::read(self.read(request).await?.body())
    }

    async fn send(
        &self,
        request: Result<Request<Bytes>, Error>,
    ) -> Result<Response<Bytes>, Failure> {
        let request = built(request)?;
        let mut walk = self.client.credentials.walk(&self.scope.asker);
        loop {
            let token = walk.next(&self.scope).await.map_err(Failure::harmless)?;
            let answer = self.send_as(&token, request.clone(), Effect::Read).await?;
            if answer.status() != StatusCode::UNAUTHORIZED {
                return Ok(answer);
            }
        }
    }

    async fn send_as(
        &self,
        token: &Token,
        mut request: Request<Bytes>,
        effect: Effect,
    ) -> Result<Response<Bytes>, Failure> {
        let invalid = |why: String| Failure::harmless(ForgeError::InvalidResponse { why });
        for _ in 0..=REDIRECTS_MAX {
            let answer = self.send_once(token, &request, effect).await?;
            match redirect(&self.scope.host, &request, &answer) {
                Redirect::None => return Ok(answer),
                Redirect::Follow(next) => request = *next,
                Redirect::Refused(why) => return Err(invalid(why.to_string())),
            }
        }
        Err(invalid("too many redirects".to_owned()))
    }

    async fn send_once(
        &self,
        token: &Token,
        request: &Request<Bytes>,
        effect: Effect,
    ) -> Result<Response<Bytes>, Failure> {
        let key = EtagKey {
            token: token.fingerprint(),
            accept: ACCEPT_JSON.to_owned(),
            version: API_VERSION.to_owned(),
            url: request.uri().to_string(),
        };
        let reads = request.method() == Method::GET;
        let tag = if reads {
            lock(&self.client.etags).tag(&key)
        } else {
            None
        };
        let mut first = request.clone();
        if let Some(tag) = tag {
            first.headers_mut().insert(IF_NONE_MATCH, tag);
        }
        let answer = self.exchange(token, first, effect).await?;
        let answer = lock(&self.client.etags).settle(&key, request.method(), answer);
        if answer.status() != StatusCode::NOT_MODIFIED {
            return Ok(answer);
        }
        // What did not change left the cache while we asked; this time without a tag.
        let answer = self.exchange(token, request.clone(), effect).await?;
        Ok(lock(&self.client.etags).settle(&key, request.method(), answer))
    }

    /// One request on the wire.
    async fn exchange(
        &self,
        token: &Token,
        mut request: Request<Bytes>,
        effect: Effect,
    ) -> Result<Response<Bytes>, Failure> {
        let client = self.client;
        let owner = token.limit_owner();
        *lock(&self.owner) = Some(owner.clone());
        if !self.scope.host.owns(request.uri()) {
            let why = "a request would leave the host".to_owned();
            return Err(Failure::harmless(ForgeError::InvalidResponse { why }));
        }
        let resource = resource(&self.scope.host, &request);
        let admission = lock(&client.limits).admit(&owner, resource, self.urgency, client.now());
        if let Admission::NotBefore(until) = admission {
            return Err(Failure::harmless(ForgeError::RateLimited { until }));
        }
        if let Some(value) = token.header() {
            request.headers_mut().insert(AUTHORIZATION, value);
        }
        let described = format!("{} {}", request.method(), request.uri().path());
        let permit = match effect {
            Effect::Read => client.under_way.acquire().await.ok(),
            Effect::Write => None,
        };
        let sent = client.transport.send(request).await;
        drop(permit);
        let answer = sent.map_err(|it| Failure {
            may_have_had_effect: effect == Effect::Write && it.may_have_been_sent(),
            error: ForgeError::Network {
                what: redact(&it.describe()),
            },
        })?;
        tracing::debug!(
            request = described,
            status = answer.status().as_u16(),
            id = crate::rate_limit::header(answer.headers(), "x-github-request-id"),
            "the forge answered"
        );
        self.learn_limits(&owner, resource, &answer)?;
        Ok(answer)
    }

    fn learn_limits(
        &self,
        owner: &str,
        resource: &str,
        answer: &Response<Bytes>,
    ) -> Result<(), Failure> {
        let status = answer.status();
        let body = ErrorBody::read(answer.body());
        let by_graphql =
            resource == GRAPHQL && Envelope::read(answer.body()).is_ok_and(|it| it.is_limited());
        let limited = LimitedAnswer {
            headers: answer.headers(),
            may_be_limit: by_graphql || classify::may_be_limit(status),
            speaks_of_limit: by_graphql || classify::speaks_of_limit(status, &body),
            succeeded: !by_graphql && (status.is_success() || status == StatusCode::NOT_MODIFIED),
        };
        let now = self.client.now();
        match lock(&self.client.limits).observe(owner, resource, limited, now) {
            Some(until) => Err(Failure::harmless(ForgeError::RateLimited { until })),
            None => Ok(()),
        }
    }
}

/// A write under way: for each token that is tried, first the turn of its owner, then the request.
pub(crate) struct Write<'a> {
    session: &'a Session<'a>,
    request: Request<Bytes>,
    walk: ChainWalk,
    was_refused: bool,
}

impl Write<'_> {
    /// Waits for the turn of the next token.
    pub(crate) async fn turn(&mut self) -> Result<Turn, Failure> {
        let session = self.session;
        let token = self.walk.next(&session.scope).await;
        let mut turn = session
            .client
            .write_turn(token.map_err(Failure::harmless)?)
            .await;
        // Another token was tried meanwhile, and its turn was waited for.
        turn.waited |= self.was_refused;
        Ok(turn)
    }

    /// Sends the request in this turn; none if the token was refused, which has no effect, so the
    /// next one may try the same.
    pub(crate) async fn send(
        &mut self,
        mut turn: Turn,
    ) -> Result<Option<Response<Bytes>>, Failure> {
        let session = self.session;
        let request = self.request.clone();
        let answer = session.send_as(&turn.token, request, Effect::Write).await;
        *turn.last = Some(session.client.now());
        let answer = answer?;
        self.was_refused = answer.status() == StatusCode::UNAUTHORIZED;
        Ok((!self.was_refused).then_some(answer))
    }
}

fn built(request: Result<Request<Bytes>, Error>) -> Result<Request<Bytes>, Failure> {
    request.map_err(|it| {
        Failure::harmless(ForgeError::Network {
            what: it.to_string(),
        })
    })
}

/// What a write by GraphQL was answered with.
pub(crate) fn written(answer: Response<Bytes>) -> Result<Envelope, Failure> {
    let may_have_had_effect = !answer.status().is_client_error();
    good(answer)
        .and_then(|it| Envelope::read(it.body()))
        .map_err(|error| Failure {
            error,
            may_have_had_effect,
        })
}

/// The budget that GraphQL draws on; all else here draws on `core`.
const GRAPHQL: &str = "graphql";

fn resource(host: &crate::url::ForgeHost, request: &Request<Bytes>) -> &'static str {
    if *request.uri() == *host.graphql() {
        GRAPHQL
    } else {
        "core"
    }
}

/// The answer if its status is a success, else what the failure means.
pub(crate) fn good(answer: Response<Bytes>) -> Result<Response<Bytes>, ForgeError> {
    if answer.status().is_success() {
        Ok(answer)
    } else {
        Err(bad(&answer))
    }
}

/// What an answer without success means.
pub(crate) fn bad(answer: &Response<Bytes>) -> ForgeError {
    let body = ErrorBody::read(answer.body());
    classify::forge_error(answer.status(), answer.headers(), &body, None)
}

/// The data behind a lock, also after another thread died with it: each change is made in one
/// step, so it is whole.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
