//! The webhooks that GitHub would send, kept until a test takes them.

use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

use super::render;
use super::repository::Repository;

/// A webhook that would be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhook {
    /// `X-GitHub-Event`.
    pub event: String,
    /// `X-GitHub-Delivery`.
    pub delivery: String,
    /// The payload.
    pub payload: Value,
}

impl Webhook {
    pub(super) fn set(&mut self, key: &str, value: &str) {
        if let Some(members) = self.payload.as_object_mut() {
            members.insert(key.to_owned(), value.into());
        }
    }

    /// The body as it is sent.
    #[must_use]
    pub fn body(&self) -> String {
        self.payload.to_string()
    }

    /// The headers as they are sent, signed with `secret`.
    #[must_use]
    pub fn headers(&self, secret: &str) -> Vec<(&'static str, String)> {
        vec![
            ("content-type", "application/json".to_owned()),
            ("user-agent", "GitHub-Hookshot/fake".to_owned()),
            ("x-github-event", self.event.clone()),
            ("x-github-delivery", self.delivery.clone()),
            ("x-hub-signature-256", signature(secret, &self.body())),
        ]
    }
}

fn signature(secret: &str, body: &str) -> String {
    // Keys of any length are good.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) else {
        return String::new();
    };
    mac.update(body.as_bytes());
    let digits: String = mac
        .finalize()
        .into_bytes()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("sha256={digits}")
}

fn made(repository: &Repository, event: &str, mut payload: Value) -> Option<Webhook> {
    let members = payload.as_object_mut()?;
    members.insert(
        "repository".to_owned(),
        json!({"id": repository.id, "full_name": repository.full_name(), "name": repository.name,
               "private": repository.settings.private}),
    );
    members.insert("sender".to_owned(), json!({"login": "octocat", "id": 1}));
    Some(Webhook {
        event: event.to_owned(),
        delivery: format!("00000000-0000-4000-8000-{:012}", repository.next_id()),
        payload,
    })
}

pub(super) fn pull_request(repository: &Repository, number: u64, action: &str) -> Option<Webhook> {
    let pull = repository.pull(number)?;
    let pull = render::pull_in_webhook(repository, pull);
    let payload = json!({"action": action, "number": number, "pull_request": pull});
    made(repository, "pull_request", payload)
}

pub(super) fn review(
    repository: &Repository,
    number: u64,
    id: u64,
    action: &str,
) -> Option<Webhook> {
    let pull = repository.pull(number)?;
    let review = pull.reviews.iter().find(|it| it.id == id)?;
    let payload = json!({"action": action, "pull_request": {"number": number},
        "review": {"id": id, "state": render::review_state(review).to_ascii_lowercase(),
                   "commit_id": review.commit, "user": {"login": review.author}}});
    made(repository, "pull_request_review", payload)
}

pub(super) fn review_thread(
    repository: &Repository,
    number: u64,
    id: u64,
    action: &str,
) -> Option<Webhook> {
    let payload = json!({"action": action, "pull_request": {"number": number},
                         "thread": {"node_id": render::thread_node(id), "comments": []}});
    made(repository, "pull_request_review_thread", payload)
}

pub(super) fn review_comment(repository: &Repository, number: u64, id: u64) -> Option<Webhook> {
    let pull = repository.pull(number)?;
    let thread = pull.threads.iter().find(|it| it.id == id)?;
    let comment = thread.comments.last()?;
    let payload = json!({"action": "created", "pull_request": {"number": number},
        "comment": {"id": comment.id, "body": comment.body, "path": thread.path}});
    made(repository, "pull_request_review_comment", payload)
}

pub(super) fn check_run(repository: &Repository, id: u64) -> Option<Webhook> {
    let run = repository.checks.iter().find(|it| it.id == id)?;
    let action = if run.conclusion.is_some() {
        "completed"
    } else {
        "created"
    };
    let payload = json!({"action": action, "check_run": render::check_run(repository, run)});
    made(repository, "check_run", payload)
}

pub(super) fn status(repository: &Repository, id: u64) -> Option<Webhook> {
    let status = repository.statuses.iter().find(|it| it.id == id)?;
    let payload = json!({"id": id, "sha": status.commit, "context": status.context,
                         "state": status.state.word(), "branches": []});
    made(repository, "status", payload)
}

/// The group of a queued pull request: made, or gone for a reason.
pub(super) fn merge_group(
    repository: &Repository,
    number: u64,
    gone: Option<&str>,
) -> Option<Webhook> {
    let pull = repository.pull(number)?;
    let group = pull.merge_group.as_ref()?;
    let (base, base_sha) = (&pull.base_branch, &group.base_sha);
    let name = format!("refs/heads/gh-readonly-queue/{base}/pr-{number}-{base_sha}");
    let mut payload = json!({"action": if gone.is_some() { "destroyed" } else { "checks_requested" },
        "merge_group": {"head_sha": group.head_sha, "head_ref": name, "base_sha": base_sha,
                        "base_ref": format!("refs/heads/{base}")}});
    if let (Some(reason), Some(members)) = (gone, payload.as_object_mut()) {
        members.insert("reason".to_owned(), reason.into());
    }
    made(repository, "merge_group", payload)
}

pub(super) fn push(
    repository: &Repository,
    branch: &str,
    before: Option<&String>,
    after: Option<&String>,
) -> Option<Webhook> {
    const NOTHING: &str = "0000000000000000000000000000000000000000";
    let sha = |it: Option<&String>| it.map_or(NOTHING, |it| it.as_str()).to_owned();
    let payload = json!({"ref": format!("refs/heads/{branch}"), "before": sha(before),
        "after": sha(after), "created": before.is_none(), "deleted": after.is_none(),
        "forced": false, "commits": []});
    made(repository, "push", payload)
}
