//! How a polecat works by pull requests: opening one, and repairing it.

use serde_json::{Value, json};

use super::{AgentError, Session};
use crate::fake::api::Api;
use crate::fake::{REST_VARIABLE, TOKEN_VARIABLE};

/// The open threads of a pull request.
const THREADS: &str = "query Threads($owner: String!, $name: String!, $number: Int!) {
  repository(owner: $owner, name: $name) {
    pullRequest(number: $number) {
      reviewThreads(first: 100) { nodes { id isResolved } }
    }
  }
}";
const REPLY: &str = "mutation Reply($id: ID!, $text: String!) {
  addPullRequestReviewThreadReply(input: {pullRequestReviewThreadId: $id, body: $text}) {
    clientMutationId
  }
}";
const RESOLVE: &str = "mutation Resolve($id: ID!) {
  resolveReviewThread(input: {threadId: $id}) {
    clientMutationId
  }
}";

/// The pull requests of this rig's repository.
pub(super) struct PullRequests {
    api: Api,
    owner: String,
    name: String,
}

/// A pull request that has to be repaired.
pub(super) struct Repair {
    pub(super) pull_requests: PullRequests,
    pub(super) number: u64,
    pub(super) title: String,
    pub(super) branch: String,
    /// The branch that it conflicts with, if it does.
    pub(super) conflicts_with: Option<String>,
}

impl PullRequests {
    /// None where the town has no pull requests.
    pub(super) fn of(session: &Session) -> Result<Option<Self>, AgentError> {
        let variable = |name: &str| std::env::var(name).ok();
        let (Some(rest), Some(token)) = (variable(REST_VARIABLE), variable(TOKEN_VARIABLE)) else {
            return Ok(None);
        };
        let url = session
            .repository
            .run(&["config", "--get", "remote.origin.url"])?;
        let mut parts = url.trim_end_matches(".git").rsplit('/');
        let (Some(name), Some(owner)) = (parts.next(), parts.next()) else {
            return Err(AgentError::Stuck(format!("{url} names no repository")));
        };
        Ok(Some(Self {
            api: Api::new(rest, token)?,
            owner: owner.to_owned(),
            name: name.to_owned(),
        }))
    }

    fn path(&self, below: &str) -> String {
        format!("/repos/{}/{}/{below}", self.owner, self.name)
    }

    /// The address of the pull request of a branch; opens one where none is open.
    pub(super) fn open(&self, branch: &str, base: &str, title: &str) -> Result<String, AgentError> {
        let query = format!("pulls?head={}:{branch}&base={base}", self.owner);
        let found = self.api.call("GET", &self.path(&query), &Value::Null)?;
        let found = match found.get(0) {
            Some(pull) => pull.clone(),
            None => {
                let body = json!({"title": title, "head": branch, "base": base});
                self.api.call("POST", &self.path("pulls"), &body)?
            }
        };
        let url = found.get("html_url").and_then(Value::as_str);
        url.map(str::to_owned)
            .ok_or_else(|| AgentError::Stuck("a pull request without an address".into()))
    }

    /// Answers every open question, and settles it.
    pub(super) fn answer(&self, number: u64, text: &str) -> Result<(), AgentError> {
        let variables = json!({"owner": self.owner, "name": self.name, "number": number});
        let found = self.api.graphql(THREADS, variables)?;
        let nodes = found.pointer("/repository/pullRequest/reviewThreads/nodes");
        for thread in nodes.and_then(Value::as_array).into_iter().flatten() {
            let id = thread.get("id").and_then(Value::as_str).unwrap_or_default();
            if thread.get("isResolved") == Some(&Value::Bool(false)) {
                self.api.graphql(REPLY, json!({"id": id, "text": text}))?;
                self.api.graphql(RESOLVE, json!({"id": id}))?;
            }
        }
        Ok(())
    }
}

impl Repair {
    /// The repair that this session was started for; none if it was started for something else.
    pub(super) fn told(session: &Session) -> Result<Option<Self>, AgentError> {
        let fixup = session.told("/pr_fixup_context/pr_url");
        let conflict = session.told("/pr_conflict_context/pr_url");
        let url = if fixup.is_empty() { conflict } else { fixup };
        let Some(number) = url.rsplit('/').next().and_then(|it| it.parse().ok()) else {
            return Ok(None);
        };
        let Some(pull_requests) = PullRequests::of(session)? else {
            return Ok(None);
        };
        let path = pull_requests.path(&format!("pulls/{number}"));
        let pull = pull_requests.api.call("GET", &path, &Value::Null)?;
        let text = |pointer: &str| {
            let value = pull.pointer(pointer).and_then(Value::as_str);
            value.unwrap_or_default().to_owned()
        };
        Ok(Some(Self {
            number,
            title: text("/title"),
            branch: text("/head/ref"),
            conflicts_with: (!conflict.is_empty()).then(|| text("/base/ref")),
            pull_requests,
        }))
    }
}
