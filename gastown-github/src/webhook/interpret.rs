//! What to look at after a webhook. Pure.

use http::HeaderMap;
use serde_json::Value;

use super::WebhookFault;
use super::verify::event;
use crate::error::Error;
use crate::json::Json;
use crate::rate_limit::header;
use crate::url::RepositoryName;

/// Something to look at (event `webhook` of spec 8.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hint {
    /// The delivery's id; a redelivery has the same. Empty if it has none.
    pub delivery: String,
    /// The repository by its name at that time; none if the event is of an account.
    pub repository: Option<RepositoryName>,
    /// What to look at.
    pub subject: Subject,
    /// What happened.
    pub kind: HintKind,
}

/// What to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// This pull request.
    PullRequest {
        /// Its number.
        number: u64,
    },
    /// Every pull request with this head. Checks of forks name no pull request, so the head is
    /// all there is.
    Head {
        /// The commit.
        sha: String,
    },
    /// Every open pull request from or into this branch; spread over time, there may be many.
    Branch {
        /// Its name.
        name: String,
    },
    /// The settings of the repository, or of all that an organisation's ruleset may be about:
    /// rules, methods, name. See [`crate::GitHub::heed`].
    Settings,
    /// What the App may see: drop kept tokens. See [`crate::GitHub::heed`].
    Access,
}

/// What happened, as far as it matters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HintKind {
    /// The pull request itself changed.
    PullRequest,
    /// It left the merge queue.
    Dequeued {
        /// Why.
        reason: DequeueReason,
    },
    /// A review, a thread or a comment.
    Review,
    /// A check or a status.
    Check,
    /// Commits.
    Push,
    /// A merge queue's group of pull requests ended.
    MergeGroup,
    /// Settings of a repository.
    Settings,
    /// An installation of the App.
    Access,
}

/// Why a pull request left the merge queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DequeueReason {
    /// A person took it out; it must not go in again by itself.
    ByHand,
    /// It was merged.
    Merged,
    /// Anything else, in the forge's word.
    Other(String),
}

/// Reads a webhook that was verified. What is not known asks for nothing.
///
/// # Errors
/// [`Error::InterpretWebhook`] if it does not say what happened, or cannot be read at all.
pub fn interpret(headers: &HeaderMap, body: &[u8]) -> Result<Vec<Hint>, Error> {
    read(headers, body).map_err(|why| Error::InterpretWebhook { why })
}

fn read(headers: &HeaderMap, body: &[u8]) -> Result<Vec<Hint>, WebhookFault> {
    let event = event(headers).ok_or(WebhookFault::NoEvent)?;
    let content = header(headers, "content-type").unwrap_or("application/json");
    if !content
        .trim_start()
        .to_ascii_lowercase()
        .starts_with("application/json")
    {
        return Err(WebhookFault::NotJson);
    }
    let value: Value = serde_json::from_slice(body).map_err(|_| WebhookFault::Malformed)?;
    if !value.is_object() {
        return Err(WebhookFault::Malformed);
    }
    let payload = Json::of(&value);
    let name = payload.along(&["repository", "full_name"]).text();
    let repository = name.and_then(|it| RepositoryName::parse(it).ok());
    let delivery = header(headers, "x-github-delivery").unwrap_or_default();
    let hint = |(subject, kind): (Subject, HintKind)| Hint {
        delivery: delivery.to_owned(),
        repository: repository.clone(),
        subject,
        kind,
    };
    Ok(subjects(event, payload).into_iter().map(hint).collect())
}

fn subjects(event: &str, payload: Json<'_>) -> Vec<(Subject, HintKind)> {
    let action = payload.at("action").text().unwrap_or_default();
    match event {
        "pull_request" => pull_request(action, payload),
        "pull_request_review" | "pull_request_review_thread" | "pull_request_review_comment" => {
            let number = payload.along(&["pull_request", "number"]).natural();
            number
                .map(|it| (Subject::PullRequest { number: it }, HintKind::Review))
                .into_iter()
                .collect()
        }
        // A requested action is a button in a check, not news about it.
        "check_run" if action != "requested_action" => {
            head(payload.along(&["check_run", "head_sha"]))
        }
        // A requested suite only echoes a push.
        "check_suite" if action != "requested" => head(payload.along(&["check_suite", "head_sha"])),
        "status" => head(payload.at("sha")),
        "push" => push(payload),
        "merge_group" if action != "checks_requested" => merge_group(payload),
        "repository"
        | "repository_ruleset"
        | "branch_protection_rule"
        | "branch_protection_configuration" => vec![(Subject::Settings, HintKind::Settings)],
        "installation" | "installation_repositories" => {
            vec![(Subject::Access, HintKind::Access)]
        }
        _ => Vec::new(),
    }
}

fn pull_request(action: &str, payload: Json<'_>) -> Vec<(Subject, HintKind)> {
    let number = payload.at("number").natural();
    let number = number.or_else(|| payload.along(&["pull_request", "number"]).natural());
    let Some(number) = number else {
        return Vec::new();
    };
    let kind = match action {
        // These change nothing that a merge depends on.
        "assigned" | "unassigned" | "milestoned" | "demilestoned" | "locked" | "unlocked"
        | "labeled" | "unlabeled" => return Vec::new(),
        "dequeued" => {
            let reason = payload.at("reason").text().unwrap_or_default();
            HintKind::Dequeued {
                reason: dequeue_reason(reason),
            }
        }
        _ => HintKind::PullRequest,
    };
    vec![(Subject::PullRequest { number }, kind)]
}

fn dequeue_reason(word: &str) -> DequeueReason {
    match word.to_ascii_uppercase().as_str() {
        "MANUAL" => DequeueReason::ByHand,
        "MERGE" | "ALREADY_MERGED" => DequeueReason::Merged,
        _ => DequeueReason::Other(word.to_owned()),
    }
}

fn head(sha: Json<'_>) -> Vec<(Subject, HintKind)> {
    let hint = |sha: &str| {
        (
            Subject::Head {
                sha: sha.to_owned(),
            },
            HintKind::Check,
        )
    };
    sha.word().map(hint).into_iter().collect()
}

fn push(payload: Json<'_>) -> Vec<(Subject, HintKind)> {
    let branch = payload
        .at("ref")
        .text()
        .and_then(|it| it.strip_prefix("refs/heads/"));
    let hint = |name: &str| {
        (
            Subject::Branch {
                name: name.to_owned(),
            },
            HintKind::Push,
        )
    };
    branch.map(hint).into_iter().collect()
}

fn merge_group(payload: Json<'_>) -> Vec<(Subject, HintKind)> {
    let group = payload.at("merge_group");
    let branch = |it: &str| it.strip_prefix("refs/heads/").unwrap_or(it).to_owned();
    let base = group
        .at("base_ref")
        .word()
        .map(|it| Subject::Branch { name: branch(it) });
    let number = group.at("head_ref").word().and_then(queued_number);
    let own = number.map(|number| Subject::PullRequest { number });
    own.into_iter()
        .chain(base)
        .map(|it| (it, HintKind::MergeGroup))
        .collect()
}

/// The number in `refs/heads/gh-readonly-queue/{base}/pr-{n}-{sha}`.
fn queued_number(head_ref: &str) -> Option<u64> {
    let (_, last) = head_ref.rsplit_once('/')?;
    last.strip_prefix("pr-")?.split('-').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use serde_json::json;

    fn headers(event: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert("x-github-event", HeaderValue::from_str(event).unwrap());
        headers.insert("x-github-delivery", HeaderValue::from_static("d1"));
        headers.insert("content-type", HeaderValue::from_static("application/json"));
        headers
    }

    /// Subjects and kinds of one webhook from `o/r`.
    fn hints(event: &str, mut payload: Value) -> Vec<(Subject, HintKind)> {
        payload["repository"] = json!({"full_name": "o/r", "id": 1});
        let hints = interpret(&headers(event), payload.to_string().as_bytes()).unwrap();
        let expected = RepositoryName::parse("o/r").ok();
        assert!(
            hints
                .iter()
                .all(|it| it.delivery == "d1" && it.repository == expected)
        );
        hints.into_iter().map(|it| (it.subject, it.kind)).collect()
    }

    fn of_seven(kind: HintKind) -> Vec<(Subject, HintKind)> {
        vec![(Subject::PullRequest { number: 7 }, kind)]
    }

    #[test]
    fn a_changed_pull_request_is_looked_at() {
        for action in [
            "opened",
            "synchronize",
            "edited",
            "closed",
            "enqueued",
            "stacked",
            "new",
        ] {
            let found = hints("pull_request", json!({"action": action, "number": 7}));
            assert_eq!(found, of_seven(HintKind::PullRequest), "{action}");
        }
        for action in ["assigned", "labeled", "locked", "milestoned"] {
            assert_eq!(
                hints("pull_request", json!({"action": action, "number": 7})),
                []
            );
        }
    }

    #[test]
    fn trap_20_leaving_the_queue_by_hand_is_told_apart() {
        for (word, reason) in [
            ("MANUAL", DequeueReason::ByHand),
            ("MERGE", DequeueReason::Merged),
            ("CI_FAILURE", DequeueReason::Other("CI_FAILURE".to_owned())),
        ] {
            let payload = json!({"action": "dequeued", "number": 7, "reason": word});
            assert_eq!(
                hints("pull_request", payload),
                of_seven(HintKind::Dequeued { reason })
            );
        }
    }

    #[test]
    fn reviews_threads_and_comments_are_looked_at() {
        for event in [
            "pull_request_review",
            "pull_request_review_thread",
            "pull_request_review_comment",
        ] {
            let payload = json!({"action": "resolved", "pull_request": {"number": 7}});
            assert_eq!(hints(event, payload), of_seven(HintKind::Review));
        }
    }

    #[test]
    fn checks_and_statuses_name_a_head() {
        let head = vec![(
            Subject::Head {
                sha: "abc".to_owned(),
            },
            HintKind::Check,
        )];
        let run = |action| json!({"action": action, "check_run": {"head_sha": "abc"}});
        for action in ["created", "completed", "rerequested"] {
            assert_eq!(hints("check_run", run(action)), head);
        }
        assert_eq!(hints("check_run", run("requested_action")), []);
        let suite = |action| json!({"action": action, "check_suite": {"head_sha": "abc"}});
        assert_eq!(hints("check_suite", suite("completed")), head);
        assert_eq!(hints("check_suite", suite("requested")), []);
        assert_eq!(
            hints("status", json!({"sha": "abc", "state": "success"})),
            head
        );
    }

    #[test]
    fn a_push_concerns_its_branch() {
        let branch = Subject::Branch {
            name: "a/b".to_owned(),
        };
        assert_eq!(
            hints("push", json!({"ref": "refs/heads/a/b"})),
            [(branch, HintKind::Push)]
        );
        assert_eq!(hints("push", json!({"ref": "refs/tags/v1"})), []);
    }

    #[test]
    fn the_end_of_a_merge_group_concerns_its_pull_request_and_its_base() {
        let payload = |action: &str| {
            json!({"action": action, "reason": "dequeued", "merge_group": {
                "head_ref": "refs/heads/gh-readonly-queue/rel/1/pr-7-abc",
                "base_ref": "refs/heads/rel/1"}})
        };
        let expected = [
            (Subject::PullRequest { number: 7 }, HintKind::MergeGroup),
            (
                Subject::Branch {
                    name: "rel/1".to_owned(),
                },
                HintKind::MergeGroup,
            ),
        ];
        assert_eq!(hints("merge_group", payload("destroyed")), expected);
        assert_eq!(hints("merge_group", payload("checks_requested")), []);
    }

    #[test]
    fn settings_and_access_are_not_about_pull_requests() {
        for event in ["repository", "repository_ruleset", "branch_protection_rule"] {
            let found = hints(event, json!({"action": "edited"}));
            assert_eq!(found, [(Subject::Settings, HintKind::Settings)]);
        }
        let of_organisation = json!({"action": "edited", "organization": {"login": "o"}});
        let headers_of = headers("repository_ruleset");
        let found = interpret(&headers_of, of_organisation.to_string().as_bytes()).unwrap();
        assert_eq!((found.len(), &found[0].repository), (1, &None));
        assert_eq!(found[0].subject, Subject::Settings);
        for event in ["installation", "installation_repositories"] {
            let body = json!({"action": "added"}).to_string();
            let found = interpret(&headers(event), body.as_bytes()).unwrap();
            assert_eq!((found.len(), &found[0].repository), (1, &None));
            assert_eq!(found[0].subject, Subject::Access);
        }
    }

    #[test]
    fn what_is_not_known_asks_for_nothing_and_what_is_broken_is_refused() {
        assert_eq!(hints("ping", json!({"zen": "x"})), []);
        assert_eq!(hints("pull_request", json!({"action": "opened"})), []);
        assert_eq!(
            hints("check_run", json!({"check_run": {"head_sha": null}})),
            []
        );
        let mut form = headers("push");
        let kind = HeaderValue::from_static("application/x-www-form-urlencoded");
        form.insert("content-type", kind);
        assert_eq!(read(&form, b"payload=%7B%7D"), Err(WebhookFault::NotJson));
        assert_eq!(read(&headers("push"), b"["), Err(WebhookFault::Malformed));
        assert_eq!(read(&headers("push"), b"[]"), Err(WebhookFault::Malformed));
        assert_eq!(read(&HeaderMap::new(), b"{}"), Err(WebhookFault::NoEvent));
    }
}
