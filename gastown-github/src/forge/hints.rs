//! Hints of webhooks as events of the core.

use gastown_core::events::Webhook;
use gastown_core::{Event, EventId, Timestamp};
use sha2::{Digest, Sha256};

use crate::webhook::{Hint, HintKind, Subject};

/// The events that the hints of a verified webhook stand for, ready to be appended; `at` is when it
/// came.
///
/// Their ids are made of the delivery's, so that the store ignores one that comes again. A hint
/// without an event, of settings say, is left out: [`crate::GitHub::heed`] is for those.
///
/// ```
/// use gastown_github::webhook::{events, interpret};
/// let mut headers = http::HeaderMap::new();
/// headers.insert("content-type", "application/json".parse()?);
/// headers.insert("x-github-event", "pull_request".parse()?);
/// headers.insert("x-github-delivery", "d-1".parse()?);
/// let body = br#"{"action": "synchronize", "number": 7, "pull_request": {"number": 7},
///                 "repository": {"full_name": "acme/api"}}"#;
/// let events = events(&interpret(&headers, body)?, "2026-04-04T12:00:00Z".parse()?);
/// assert_eq!(events[0].id.as_str(), "github-d-1-0");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub fn events(hints: &[Hint], at: Timestamp) -> Vec<Event> {
    let events = hints.iter().enumerate().filter_map(|(number, hint)| {
        let kind = hint.event()?.into();
        let named = id(&hint.delivery, number);
        // A delivery without a name that an event can have: every one counts as new.
        let id = named.or_else(|| id(&digest(&format!("{at} {hint:?}")), number))?;
        Some(Event {
            id,
            at,
            key: None,
            kind,
        })
    });
    events.collect()
}

fn id(delivery: &str, number: usize) -> Option<EventId> {
    let named = Some(delivery).filter(|delivery| !delivery.is_empty())?;
    EventId::new(format!("github-{named}-{number}")).ok()
}

fn digest(text: &str) -> String {
    let digest = Sha256::digest(text.as_bytes());
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Hint {
    /// The event that makes the pull requests due that this hint names by number or by head
    /// (spec 2.2); none for a branch, settings or access. What a push to a base branch changes is
    /// seen by polling, spread over time; settings and access are the adapter's own:
    /// [`crate::GitHub::heed`].
    #[must_use]
    pub fn event(&self) -> Option<Webhook> {
        let (pr_number, head_sha) = match &self.subject {
            Subject::PullRequest { number } => (Some(*number), None),
            Subject::Head { sha } => (None, Some(sha.clone())),
            Subject::Branch { .. } | Subject::Settings | Subject::Access => return None,
        };
        Some(Webhook {
            repository: self.repository.as_ref()?.to_string(),
            delivery: Some(self.delivery.clone()).filter(|it| !it.is_empty()),
            pr_number,
            head_sha,
            kind: Some(word(&self.kind).to_owned()),
        })
    }
}

fn word(kind: &HintKind) -> &'static str {
    match kind {
        HintKind::PullRequest => "pull_request",
        HintKind::Dequeued { .. } => "dequeued",
        HintKind::Review => "review",
        HintKind::Check => "check",
        HintKind::Push => "push",
        HintKind::MergeGroup => "merge_group",
        HintKind::Settings => "settings",
        HintKind::Access => "access",
    }
}
