//! A fake GitHub: a real HTTP server on loopback, with state.
//!
//! It has repositories with real commits, pull requests, checks, statuses, threads, reviews, rules,
//! a merge queue, tokens and their limits. REST and GraphQL look at the same state; GraphQL is
//! executed against GitHub's schema. Time is scripted, and what goes wrong is scripted too.
//!
//! ```
//! use gastown_testkit::fake_github::{Conclusion, FakeError, FakeGitHub, Grant, Opening, Rules};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let fake = FakeGitHub::new(Default::default())?;
//! fake.edit(|world| {
//!     world.grant("ghp_token", Grant::of("gastown"));
//!     let repository = world.add_repository("acme/api")?;
//!     repository.rules.insert("main".into(), Rules::default().requiring("ci"));
//!     let head = repository.push("work", &[("new.txt", "new\n")])?;
//!     let number = repository.open(Opening::of("work"))?;
//!     repository.report_check(&head, "ci", 15368, Some(Conclusion::Success));
//!     assert_eq!(repository.merge_state(number)?.word(), "clean");
//!     Ok::<(), FakeError>(())
//! })?;
//! # Ok(())
//! # }
//! ```
//!
//! [`FakeGitHub::serve`] opens the server; [`FakeGitHub::answer`] answers the same requests without
//! one, for tests that send thousands. Point a client at [`FakeGitHub::rest`] and
//! [`FakeGitHub::graphql`]; addresses for people say [`WEB_HOST`].
//!
//! What it does not do: it looks at no signature of a JSON Web Token, has no search, no teams and no
//! code owners, and its merge queue merges when it is told to.

mod call;
mod clock;
mod faults;
mod git;
mod graphql;
mod jwt;
mod limits;
mod merging;
mod pull_request;
mod render;
mod repository;
mod rest;
mod rules;
mod server;
mod webhooks;
mod world;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use http::{HeaderMap, Request, Response};
use serde_json::{Value, json};
use sha1::{Digest, Sha1};

use self::call::{Call, Reply};
pub use self::clock::FakeClock;
pub use self::faults::{Fault, Requests, Secondary};
use self::graphql::GraphQl;
pub use self::graphql::schema_text;
use self::limits::Budgets;
pub use self::limits::Limits;
pub use self::merging::{MergeState, Refusal};
pub use self::pull_request::{
    CheckRun, Comment, CommitStatus, Conclusion, Fork, Happened, MergeGroup, PullRequest,
    PullState, Review, StatusState, Thread, TimelineItem, Verdict,
};
pub use self::repository::{ACTIONS_APP, DEFAULT_BRANCH, Opening, Repository, Settings};
pub use self::rules::{Method, RequiredCheck, Rules, Written};
pub use self::server::Server;
pub use self::webhooks::Webhook;
pub use self::world::{Grant, Permission, World};

/// The host in addresses for people.
pub const WEB_HOST: &str = "github.test";
/// The address that is told while there is no server.
const NOWHERE: &str = "http://127.0.0.1:9";

/// What was asked of the fake by a script or a request, and can't be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct FakeError(String);

impl FakeError {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

/// How the fake behaves.
#[derive(Clone, Debug)]
pub struct Options {
    /// Its time.
    pub clock: FakeClock,
    /// The budgets of token owners; none: it does not limit, as Enterprise Servers by default.
    pub limits: Option<Limits>,
    /// Whether it is an old Enterprise Server: other paths, fewer fields and endpoints.
    pub enterprise: bool,
}

impl Default for Options {
    /// github.com at the beginning of 2026, with a clock that stands still.
    fn default() -> Self {
        let start = DateTime::from_timestamp(1_767_225_600, 0).unwrap_or(DateTime::UNIX_EPOCH);
        Self {
            clock: FakeClock::scripted(start),
            limits: Some(Limits::default()),
            enterprise: false,
        }
    }
}

/// A request that arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// Its method.
    pub method: String,
    /// Its path without the query.
    pub path: String,
    /// The operation, if it was GraphQL.
    pub operation: Option<String>,
    /// The status of the answer; none where nothing was answered.
    pub status: Option<u16>,
    /// Whether it asked only for what had changed.
    pub conditional: bool,
    /// What it cost of the budget of its resource.
    pub points: u64,
}

/// What arrives of an answer.
#[derive(Clone, Debug, Default)]
struct Delivery {
    lost: bool,
    cut_at: Option<usize>,
    delay: Option<Duration>,
}

struct State {
    world: World,
    budgets: Budgets,
    limits: Option<Limits>,
    faults: Vec<(Requests, Fault)>,
    received: Vec<Received>,
    base: String,
}

struct Shared {
    state: Mutex<State>,
    graphql: GraphQl,
    clock: FakeClock,
    enterprise: bool,
}

/// A fake GitHub. Clones are one and the same.
#[derive(Clone)]
pub struct FakeGitHub {
    shared: Arc<Shared>,
}

impl std::fmt::Debug for FakeGitHub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FakeGitHub").finish_non_exhaustive()
    }
}

/// The answer never came; the request may have had its effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the answer never came")]
pub struct AnswerLost;

impl FakeGitHub {
    /// A fake without repositories or tokens.
    ///
    /// # Errors
    /// [`FakeError`] if its own schema can't be read.
    pub fn new(options: Options) -> Result<Self, FakeError> {
        let state = State {
            world: World::new(options.clock.clone()),
            budgets: Budgets::default(),
            limits: options.limits,
            faults: Vec::new(),
            received: Vec::new(),
            base: NOWHERE.to_owned(),
        };
        Ok(Self {
            shared: Arc::new(Shared {
                state: Mutex::new(state),
                graphql: GraphQl::new(options.enterprise)?,
                clock: options.clock,
                enterprise: options.enterprise,
            }),
        })
    }

    /// Opens the server on a free port of loopback. It ends with what is returned.
    ///
    /// # Errors
    /// What the system says if there is no port.
    pub async fn serve(&self) -> std::io::Result<Server> {
        let server = Server::open(self.clone()).await?;
        self.state().base = format!("http://{}", server.address());
        Ok(server)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        let state = &self.shared.state;
        state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where REST is.
    #[must_use]
    pub fn rest(&self) -> String {
        let base = self.state().base.clone();
        if self.shared.enterprise {
            format!("{base}/api/v3")
        } else {
            base
        }
    }

    /// Where GraphQL is.
    #[must_use]
    pub fn graphql(&self) -> String {
        let base = self.state().base.clone();
        if self.shared.enterprise {
            format!("{base}/api/graphql")
        } else {
            format!("{base}/graphql")
        }
    }

    /// Its time.
    #[must_use]
    pub fn clock(&self) -> &FakeClock {
        &self.shared.clock
    }

    /// Looks at what it knows, and changes it.
    pub fn edit<R>(&self, edit: impl FnOnce(&mut World) -> R) -> R {
        edit(&mut self.state().world)
    }

    /// Lets something go wrong. Of several faults that strike one request, the first counts,
    /// except that every change [`Fault::Before`] is made.
    pub fn fault(&self, requests: Requests, fault: Fault) {
        self.state().faults.push((requests, fault));
    }

    /// Nothing goes wrong any more.
    pub fn heal(&self) {
        self.state().faults.clear();
    }

    /// Every request so far, and forgets them.
    pub fn take_received(&self) -> Vec<Received> {
        std::mem::take(&mut self.state().received)
    }

    /// Points that all owners used of `core` or `graphql` in the hour that is under way.
    #[must_use]
    pub fn points_used(&self, resource: &str) -> u64 {
        self.state().budgets.used(resource)
    }

    /// Answers a request as the server does.
    ///
    /// # Errors
    /// [`AnswerLost`] if a fault keeps the answer, or a part of it, back.
    pub fn answer(&self, request: &Request<Bytes>) -> Result<Response<Bytes>, AnswerLost> {
        let (response, delivery) = self.respond(request);
        if delivery.lost || delivery.cut_at.is_some() {
            return Err(AnswerLost);
        }
        Ok(response)
    }

    fn respond(&self, request: &Request<Bytes>) -> (Response<Bytes>, Delivery) {
        let mut state = self.state();
        let target = request.uri().path_and_query().map_or("/", |it| it.as_str());
        let target = match (self.shared.enterprise, target.strip_prefix("/api/v3")) {
            (true, Some(rest)) => rest,
            (true, None) => target.strip_prefix("/api").unwrap_or("/"),
            (false, _) => target,
        };
        let path = target.split('?').next().unwrap_or_default().to_owned();
        let body: Value = serde_json::from_slice(request.body()).unwrap_or_default();
        let document = body.get("query").and_then(Value::as_str);
        let is_graphql = path == "/graphql";
        let operation = document
            .filter(|_| is_graphql)
            .and_then(GraphQl::operation)
            .map(str::to_owned);
        let asked = Asked {
            method: request.method().as_str(),
            target,
            path: &path,
            headers: request.headers(),
            body: &body,
            operation: operation.as_deref(),
            is_graphql,
        };
        let (reply, delivery, points) = state.respond(&self.shared, &asked);
        state.received.push(Received {
            method: asked.method.to_owned(),
            status: (!delivery.lost).then_some(reply.status),
            conditional: asked.headers.contains_key("if-none-match"),
            operation: operation.clone(),
            path,
            points,
        });
        (response(&reply, self.shared.clock.now()), delivery)
    }
}

/// A request, taken apart.
struct Asked<'a> {
    method: &'a str,
    target: &'a str,
    path: &'a str,
    headers: &'a HeaderMap,
    body: &'a Value,
    operation: Option<&'a str>,
    is_graphql: bool,
}

impl Asked<'_> {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

impl State {
    /// The answer, how it arrives, and what it cost.
    fn respond(&mut self, shared: &Shared, asked: &Asked<'_>) -> (Reply, Delivery, u64) {
        let now = shared.clock.now();
        let plain = |reply| (reply, Delivery::default(), 0);
        if asked.header("user-agent").is_none() {
            return plain(Reply::error(
                403,
                "Request forbidden by administrative rules. Please make sure your request has a \
                 User-Agent header",
            ));
        }
        let grant = match self.grant(asked, now) {
            Ok(grant) => grant,
            Err(reply) => return plain(reply),
        };
        let resource = if asked.is_graphql { "graphql" } else { "core" };
        if let Some(limits) = self.limits {
            let budget = self.budgets.of(&grant.login, resource, limits, now);
            if budget.remaining() == 0 {
                let mut reply = exhausted(asked.is_graphql);
                reply.headers.extend(rate_headers(budget, resource));
                return plain(reply);
            }
        }
        let fault = self.strike(asked);
        let (mut reply, delivery) = self.faulty(shared, asked, &grant, fault);
        let tag = etag(asked, &reply);
        let unchanged = tag.is_some() && asked.header("if-none-match") == tag.as_deref();
        if let Some(tag) = tag {
            reply.headers.push(("etag", tag));
        }
        if unchanged {
            reply.status = 304;
            reply.body = Value::Null;
        }
        let points = u64::from(!unchanged);
        if let Some(limits) = self.limits {
            let budget = self.budgets.of(&grant.login, resource, limits, now);
            budget.used = budget.used.saturating_add(points);
            reply.headers.extend(rate_headers(budget, resource));
        }
        (reply, delivery, points)
    }

    /// Whose token it is.
    fn grant(&self, asked: &Asked<'_>, now: DateTime<Utc>) -> Result<Grant, Reply> {
        let header = asked.header("authorization");
        let token = header.and_then(|it| it.strip_prefix("Bearer ").or(it.strip_prefix("token ")));
        let Some(token) = token else {
            return Err(Reply::error(401, "Requires authentication"));
        };
        if jwt::is_for(asked.path) {
            let claims = jwt::claims(token, now);
            return claims
                .map(|()| Grant::of("gastown[app]"))
                .map_err(|why| Reply::error(401, why));
        }
        let grant = self.world.grants.get(token);
        grant
            .filter(|it| it.expires_at.is_none_or(|it| now < it))
            .cloned()
            .ok_or_else(|| Reply::error(401, "Bad credentials"))
    }

    /// Makes the changes that are due before this request, and finds what goes wrong with it.
    fn strike(&mut self, asked: &Asked<'_>) -> Option<usize> {
        let mut first = None;
        for (index, (requests, fault)) in self.faults.iter_mut().enumerate() {
            if !requests.strike(asked.method, asked.path, asked.operation) {
                continue;
            }
            if let Fault::Before(change) = fault {
                change(&mut self.world);
            } else {
                first = first.or(Some(index));
            }
        }
        first
    }

    fn faulty(
        &mut self,
        shared: &Shared,
        asked: &Asked<'_>,
        grant: &Grant,
        fault: Option<usize>,
    ) -> (Reply, Delivery) {
        let fault = fault.and_then(|it| self.faults.get(it)).map(|(_, it)| it);
        let mut delivery = Delivery::default();
        let mut spoilt = None;
        let mut instead = None;
        match fault {
            Some(Fault::Instead { status, body }) => {
                return (Reply::new(*status, body.clone()), delivery);
            }
            Some(Fault::Redirect { status, location }) => {
                let body = json!({"message": "Moved Permanently", "url": location});
                return (
                    Reply::new(*status, body).with("location", location),
                    delivery,
                );
            }
            Some(Fault::SecondaryLimit(how)) => {
                return (secondary(how, shared.clock.now()), delivery);
            }
            Some(Fault::AfterEffect { status }) => instead = Some(*status),
            Some(Fault::PartialGraphql { path, kind }) => {
                spoilt = Some((path.clone(), kind.clone()));
            }
            Some(Fault::Lost) => delivery.lost = true,
            Some(Fault::CutBody { bytes }) => delivery.cut_at = Some(*bytes),
            Some(Fault::Slow(span)) => delivery.delay = Some(*span),
            Some(Fault::Before(_)) | None => {}
        }
        let mut reply = self.usual(shared, asked, grant);
        if let Some((path, kind)) = spoilt {
            graphql::spoil(&mut reply.body, &path, &kind);
        }
        if let Some(status) = instead {
            reply = Reply::error(status, "Server Error");
        }
        (reply, delivery)
    }

    fn usual(&mut self, shared: &Shared, asked: &Asked<'_>, grant: &Grant) -> Reply {
        for repository in self.world.repositories_mut() {
            if let Err(error) = repository.refresh() {
                return Reply::error(500, &format!("fake: {error}"));
            }
        }
        if asked.is_graphql {
            let answer = shared.graphql.answer(&mut self.world, grant, asked.body);
            return Reply::ok(answer);
        }
        if asked.path == "/rate_limit" {
            return self.rate_limit(shared, grant);
        }
        let (path, query) = Call::parts(asked.target);
        let base = if shared.enterprise {
            format!("{}/api/v3", self.base)
        } else {
            self.base.clone()
        };
        let call = Call {
            method: asked.method,
            path,
            query,
            body: asked.body.clone(),
            grant,
            base: &base,
            enterprise: shared.enterprise,
        };
        rest::answer(&mut self.world, &call)
    }

    fn rate_limit(&mut self, shared: &Shared, grant: &Grant) -> Reply {
        let Some(limits) = self.limits else {
            return Reply::error(404, "Rate limiting is not enabled.");
        };
        let mut shown = |resource| {
            let now = shared.clock.now();
            let budget = self.budgets.of(&grant.login, resource, limits, now);
            json!({"limit": budget.limit, "used": budget.used, "remaining": budget.remaining(),
                   "reset": budget.resets_at.timestamp()})
        };
        let core = shown("core");
        let graphql = shown("graphql");
        let resources = json!({"core": core, "graphql": graphql, "search": core});
        Reply::ok(json!({"resources": resources, "rate": core}))
    }
}

/// A budget is used up; GraphQL says so with success.
fn exhausted(is_graphql: bool) -> Reply {
    let message = "API rate limit exceeded for user.";
    if is_graphql {
        Reply::ok(json!({"errors": [{"type": "RATE_LIMITED", "message": message}]}))
    } else {
        Reply::error(403, message)
    }
}

fn secondary(how: &Secondary, now: DateTime<Utc>) -> Reply {
    let body = |status| {
        let message = "You have exceeded a secondary rate limit. Please wait a few minutes before \
                       you try again.";
        Reply::error(status, message)
    };
    match how {
        Secondary::Seconds(seconds) => body(403).with("retry-after", seconds.to_string()),
        Secondary::Date(seconds) => {
            let span = chrono::TimeDelta::seconds(i64::try_from(*seconds).unwrap_or(60));
            let until = now.checked_add_signed(span).unwrap_or(now);
            body(429).with("retry-after", http_date(until))
        }
        Secondary::BodyOnly => body(403),
    }
}

fn http_date(at: DateTime<Utc>) -> String {
    at.format("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

fn rate_headers(budget: &limits::Budget, resource: &str) -> [(&'static str, String); 5] {
    [
        ("x-ratelimit-limit", budget.limit.to_string()),
        ("x-ratelimit-used", budget.used.to_string()),
        ("x-ratelimit-remaining", budget.remaining().to_string()),
        (
            "x-ratelimit-reset",
            budget.resets_at.timestamp().to_string(),
        ),
        ("x-ratelimit-resource", resource.to_owned()),
    ]
}

/// The tag of a good answer to a GET, which is tied to the token.
fn etag(asked: &Asked<'_>, reply: &Reply) -> Option<String> {
    if asked.method != "GET" || reply.status != 200 {
        return None;
    }
    let mut sha = Sha1::new();
    sha.update(asked.header("authorization").unwrap_or_default());
    sha.update(reply.body.to_string());
    let digits: String = sha
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    Some(format!("W/\"{digits}\""))
}

fn response(reply: &Reply, now: DateTime<Utc>) -> Response<Bytes> {
    let body = if reply.body.is_null() {
        Bytes::new()
    } else {
        Bytes::from(reply.body.to_string())
    };
    let mut response = Response::builder()
        .status(reply.status)
        // The fake's own time: limits and dates are measured from here.
        .header("date", http_date(now))
        .header("content-type", "application/json; charset=utf-8")
        .header("cache-control", "private, max-age=60, s-maxage=60")
        .header("x-github-request-id", "FAKE:0");
    for (name, value) in &reply.headers {
        response = response.header(*name, value);
    }
    response.body(body).unwrap_or_else(|_| {
        let mut failed = Response::new(Bytes::new());
        *failed.status_mut() = http::StatusCode::INTERNAL_SERVER_ERROR;
        failed
    })
}
