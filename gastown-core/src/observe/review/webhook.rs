//! The forge says that something happened: a hint to look (spec 2.2).

use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;

use crate::bead::Bead;
use crate::event::Webhook;
use crate::ids::BeadId;
use crate::observe::Outcome;
use crate::rig::Repository;
use crate::town::Town;

impl Town {
    pub(in crate::observe) fn webhook(&mut self, event: &Webhook) -> Outcome {
        let named: Vec<BeadId> = self
            .live_pull_requests()
            .filter(|mr| names(event, mr))
            .map(|mr| mr.id.clone())
            .collect();
        if named.is_empty() {
            return Err("it names no pull request that is watched".to_string());
        }
        for id in &named {
            self.edit_review(id, |review| review.poll.due_now = true);
        }
        Ok(format!("{} pull requests are due for a look", named.len()))
    }
}

/// Whether a webhook names the pull request of a review, by its number or by its head.
fn names(event: &Webhook, mr: &Bead) -> bool {
    let Some(review) = mr.review() else {
        return false;
    };
    let url = review.pr_url.as_deref().unwrap_or("");
    let Some((repository, number)) = Repository::of_pr_url(url) else {
        return false;
    };
    let by_head = event.head_sha.is_some() && event.head_sha == review.head_sha;
    repository.path() == event.repository.to_ascii_lowercase()
        && (event.pr_number == Some(number) || by_head)
}

#[cfg(test)]
mod tests {
    use crate::testing::{GREEN, observed};

    #[test]
    fn closing_a_blocker_makes_what_it_blocked_due() {
        let town = std::format!(
            "{GREEN}
            bead b2 issue open rig_id=r1
            edge m1 blocks b2"
        );
        let close =
            r#"{"type": "close_bead", "caller": {"kind": "user", "id": "u1"}, "bead_id": "b2"}"#;
        let closed = crate::testing::executes(&town, close);
        assert!(
            closed.contains("m1.review.poll.due_now: false → true"),
            "{closed}"
        );
        let fail = close.replace("close_bead", "fail_bead");
        assert!(!crate::testing::executes(&town, &fail).contains("due_now"));
    }

    #[test]
    fn webhook_makes_what_it_names_due() {
        for named in [
            r#""repository": "Acme/R1", "pr_number": 1"#,
            r#""repository": "acme/r1", "head_sha": "h1""#,
        ] {
            let event = std::format!(r#"{{"type": "webhook", {named}}}"#);
            assert_eq!(
                observed(GREEN, "0s", &event),
                "observed: 1 pull requests are due for a look\nm1.review.poll.due_now: false → true"
            );
        }
        for other in [
            r#""repository": "acme/r1""#,
            r#""repository": "acme/r1", "pr_number": 2"#,
            r#""repository": "acme/other", "head_sha": "h1""#,
        ] {
            let event = std::format!(r#"{{"type": "webhook", {other}}}"#);
            assert!(
                observed(GREEN, "0s", &event).starts_with("ignored"),
                "{other}"
            );
        }
    }
}
