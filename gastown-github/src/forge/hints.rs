//! Hints of webhooks as events of the core.

use gastown_core::events::Webhook;

use crate::webhook::{Hint, HintKind, Subject};

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
