//! A transport that answers by script, and an ordinary pull request to begin with.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use gastown_github::clock::Clock;
use gastown_github::credentials::{CredentialChain, CredentialSource, KnownToken, Token};
use gastown_github::transport::{Transport, TransportError};
use gastown_github::url::{ForgeHost, PullRequestUrl, RepositoryName};
use gastown_github::{GitHub, GitHubConfig};
use http::{Request, Response};
use serde_json::{Value, json};

/// What happens to one request.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// It is answered.
    Answer {
        status: u16,
        headers: Vec<(&'static str, String)>,
        body: Value,
    },
    /// It arrives, and the answer is lost.
    Lost,
    /// It never leaves.
    NotSent,
}

/// A plain answer.
pub(crate) fn answer(status: u16, body: Value) -> Reply {
    Reply::Answer {
        status,
        headers: Vec::new(),
        body,
    }
}

/// An answer with headers.
pub(crate) fn answer_with(status: u16, headers: &[(&'static str, &str)], body: Value) -> Reply {
    let headers = headers
        .iter()
        .map(|(name, value)| (*name, (*value).to_owned()))
        .collect();
    Reply::Answer {
        status,
        headers,
        body,
    }
}

/// A request that arrived.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// `METHOD /path` or `graphql Operation`.
    pub(crate) route: String,
    /// The whole address.
    pub(crate) url: String,
    /// Its headers.
    pub(crate) headers: http::HeaderMap,
    /// Its body, null if it has none.
    pub(crate) body: Value,
}

/// The script: replies by route. The last reply of a route is given again and again.
#[derive(Default)]
pub(crate) struct Script {
    replies: Mutex<BTreeMap<String, VecDeque<Reply>>>,
    seen: Mutex<Vec<Seen>>,
}

impl Script {
    /// Sets the replies of a route, in order.
    pub(crate) fn on(&self, route: &str, replies: impl IntoIterator<Item = Reply>) {
        self.replies
            .lock()
            .unwrap()
            .insert(route.to_owned(), replies.into_iter().collect());
    }

    /// All requests so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// The routes of all requests since the last call.
    pub(crate) fn routes(&self) -> Vec<String> {
        self.seen
            .lock()
            .unwrap()
            .drain(..)
            .map(|it| it.route)
            .collect()
    }

    /// How many requests a route got.
    pub(crate) fn count(&self, route: &str) -> usize {
        self.seen().iter().filter(|it| it.route == route).count()
    }

    /// The only request that a route got.
    pub(crate) fn only(&self, route: &str) -> Seen {
        let seen = self.seen();
        let mut found = seen.into_iter().filter(|it| it.route == route);
        let first = found
            .next()
            .unwrap_or_else(|| panic!("no request to {route}"));
        assert!(found.next().is_none(), "several requests to {route}");
        first
    }

    fn reply(&self, route: &str) -> Reply {
        let mut replies = self.replies.lock().unwrap();
        let queue = replies
            .get_mut(route)
            .unwrap_or_else(|| panic!("no script for {route}"));
        if queue.len() > 1 {
            queue.pop_front().unwrap()
        } else {
            queue[0].clone()
        }
    }
}

fn route(request: &Request<Bytes>, body: &Value) -> String {
    match body["query"].as_str() {
        Some(document) => {
            let line = document
                .lines()
                .find(|it| it.starts_with("query") || it.starts_with("mut"));
            let name = line.and_then(|it| it.split([' ', '(']).nth(1)).unwrap();
            format!("graphql {name}")
        }
        None => format!("{} {}", request.method(), request.uri().path()),
    }
}

#[async_trait]
impl Transport for Script {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, TransportError> {
        let body = serde_json::from_slice(request.body()).unwrap_or(Value::Null);
        let route = route(&request, &body);
        let reply = self.reply(&route);
        let url = request.uri().to_string();
        let headers = request.headers().clone();
        let conditional = headers.get("if-none-match").cloned();
        self.seen.lock().unwrap().push(Seen {
            route,
            url,
            headers,
            body,
        });
        let cause = "broken ghp_0123456789abcdef";
        match reply {
            Reply::Lost => Err(TransportError::AnswerLost {
                source: cause.into(),
            }),
            Reply::NotSent => Err(TransportError::NotSent {
                source: cause.into(),
            }),
            Reply::Answer {
                status,
                headers,
                body,
            } => {
                let tag = headers
                    .iter()
                    .find(|it| it.0 == "etag")
                    .map(|it| it.1.as_str());
                let unchanged = conditional.is_some_and(|it| Some(it.to_str().unwrap()) == tag);
                let text = if body.is_null() || unchanged {
                    String::new()
                } else {
                    body.to_string()
                };
                let status = if unchanged { 304 } else { status };
                let mut builder = Response::builder().status(status);
                for (name, value) in headers {
                    builder = builder.header(name, value);
                }
                Ok(builder.body(Bytes::from(text)).unwrap())
            }
        }
    }
}

/// A clock that only moves when someone sleeps or a test moves it.
pub(crate) struct TestClock(Mutex<DateTime<Utc>>);

impl TestClock {
    /// Moves it forward.
    pub(crate) fn advance(&self, seconds: i64) {
        *self.0.lock().unwrap() += TimeDelta::seconds(seconds);
    }
}

#[async_trait]
impl Clock for TestClock {
    fn now(&self) -> DateTime<Utc> {
        *self.0.lock().unwrap()
    }

    async fn sleep(&self, duration: Duration) {
        *self.0.lock().unwrap() += TimeDelta::from_std(duration).unwrap();
    }
}

/// Second `seconds` of the tests' time.
pub(crate) fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
}

/// The adapter with its surroundings.
pub(crate) struct World {
    pub(crate) script: Arc<Script>,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) github: GitHub,
}

pub(crate) const PULL: &str = "GET /repos/o/r/pulls/7";
pub(crate) const MERGE: &str = "PUT /repos/o/r/pulls/7/merge";
pub(crate) const FEED: &str = "graphql Observation";
pub(crate) const RULES: &str = "GET /repos/o/r/rules/branches/main";
pub(crate) const BRANCH: &str = "GET /repos/o/r/branches/main";
pub(crate) const REPOSITORY: &str = "GET /repos/o/r";

/// A world with one green pull request, seven of `o/r`, and one token.
pub(crate) fn world() -> World {
    world_with(&["ghp_first"], GitHubConfig::default())
}

/// The same with these tokens, in order.
pub(crate) fn world_with(tokens: &[&str], config: GitHubConfig) -> World {
    let script = Arc::new(Script::default());
    let clock = Arc::new(TestClock(Mutex::new(at(0))));
    let source = |(index, token): (usize, &&str)| {
        let name = format!("source {index}");
        let known = KnownToken::new(name, &ForgeHost::github_com(), Token::new(*token));
        Arc::new(known) as Arc<dyn CredentialSource>
    };
    let chain = CredentialChain::new(tokens.iter().enumerate().map(source));
    let github = GitHub::new(config, script.clone(), clock.clone(), chain);
    script.on(PULL, [answer(200, pull())]);
    script.on(FEED, [answer(200, feed())]);
    script.on(RULES, [answer(200, json!([]))]);
    script.on(
        BRANCH,
        [answer(200, json!({"name": "main", "protected": false}))],
    );
    script.on(REPOSITORY, [answer(200, repository())]);
    World {
        script,
        clock,
        github,
    }
}

/// Where the pull request is.
pub(crate) fn seven() -> PullRequestUrl {
    PullRequestUrl {
        host: ForgeHost::github_com(),
        repository: name(),
        number: 7,
    }
}

/// `o/r`.
pub(crate) fn name() -> RepositoryName {
    RepositoryName::parse("o/r").unwrap()
}

/// The pull request by REST.
pub(crate) fn pull() -> Value {
    let side =
        |branch: &str, sha: &str| json!({"ref": branch, "sha": sha, "repo": {"full_name": "o/r"}});
    json!({"number": 7, "node_id": "PR_7", "state": "open", "draft": false, "merged": false,
           "mergeable": true, "mergeable_state": "clean", "merge_commit_sha": "test",
           "head": side("work", "abc"), "base": side("main", "base")})
}

/// The repository by REST.
pub(crate) fn repository() -> Value {
    json!({"id": 1, "full_name": "o/r", "allow_squash_merge": true, "allow_merge_commit": true,
           "allow_rebase_merge": true})
}

/// A connection of these nodes that ends here.
pub(crate) fn nodes(nodes: Value) -> Value {
    json!({"nodes": nodes, "pageInfo": {"hasNextPage": false, "endCursor": null}})
}

/// A passed check run.
pub(crate) fn check(name: &str) -> Value {
    json!({"__typename": "CheckRun", "name": name, "status": "COMPLETED", "conclusion": "SUCCESS",
           "startedAt": "2026-01-01T00:00:00Z", "isRequired": false,
           "checkSuite": {"app": {"databaseId": 5}, "workflowRun": null}})
}

/// The pull request by GraphQL.
pub(crate) fn feed() -> Value {
    json!({"data": {"repository": {"pullRequest": {
        "id": "PR_7", "headRefOid": "abc", "baseRefName": "main", "reviewDecision": null,
        "isInMergeQueue": false, "isMergeQueueEnabled": false, "timelineItems": {"nodes": []},
        "baseRef": {"refUpdateRule": null},
        "reviewThreads": nodes(json!([])),
        "latestOpinionatedReviews": nodes(json!([])),
        "statusCheckRollup": {"commit": {"oid": "abc"}, "contexts": nodes(json!([check("ci")]))},
        "potentialMergeCommit": null,
    }}}})
}

/// A value with one place replaced.
pub(crate) fn with(mut value: Value, pointer: &str, new: Value) -> Value {
    match value.pointer_mut(pointer) {
        Some(place) => *place = new,
        None => {
            let (parent, key) = pointer.rsplit_once('/').unwrap();
            value.pointer_mut(parent).unwrap()[key] = new;
        }
    }
    value
}

/// The feed with one place of its pull request replaced.
pub(crate) fn feed_with(pointer: &str, new: Value) -> Value {
    with(
        feed(),
        &format!("/data/repository/pullRequest{pointer}"),
        new,
    )
}
