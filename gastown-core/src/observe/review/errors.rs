//! A look at a pull request that failed (spec 4.3).

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

use super::conditions::Evidence;
use crate::bead::Bead;
use crate::condition::{Condition, ConditionKind, ConditionSubject};
use crate::forge::ForgeError;
use crate::ids::BeadId;
use crate::reason::ReasonCode;
use crate::rig::Repository;
use crate::time::Timestamp;
use crate::town::Town;

impl Town {
    pub(super) fn failed_look(
        &mut self,
        id: &BeadId,
        error: &ForgeError,
        now: Timestamp,
    ) -> String {
        let words = advice(error);
        let again = self
            .bead(id)
            .and_then(Bead::review)
            .is_some_and(|review| review.poll.last_error.as_ref() == Some(&words));
        self.edit_review(id, |review| review.poll.last_error = Some(words.clone()));
        match error {
            ForgeError::NotFound {
                repository_readable: true,
            }
            | ForgeError::UnrecognizedUrl
            | ForgeError::RepositoryMismatch
            | ForgeError::HostNotAllowed => {
                self.edit_review(id, |review| {
                    let count = &mut review.poll.pr_errors;
                    *count = count.saturating_add(1);
                });
                self.fail_after_too_many(id, &words, now);
            }
            ForgeError::InvalidResponse { .. } => self.not_understood(id, words.clone(), now),
            ForgeError::Server { .. } | ForgeError::Network => {
                self.not_reached(id, words.clone(), now);
            }
            ForgeError::RateLimited { until } => {
                self.blame_world(id, ConditionKind::RateLimited, &words, Some(*until), now);
            }
            ForgeError::NoToken { .. } => {
                self.blame_credential(id, ConditionKind::CredentialsMissing, error, again, now);
            }
            ForgeError::Unauthorized => {
                self.blame_credential(id, ConditionKind::CredentialsRejected, error, again, now);
            }
            ForgeError::Forbidden
            | ForgeError::NotFound {
                repository_readable: false,
            } => {
                self.blame_credential(id, ConditionKind::PermissionMissing, error, again, now);
            }
        }
        format!("{id}: {words}")
    }

    /// Errors of this pull request alone, in a row: too many fail its review.
    fn fail_after_too_many(&mut self, id: &BeadId, words: &str, now: Timestamp) {
        let limit = self.policy().poll_invalid_limit;
        let strikes = self.bead(id).and_then(Bead::review).map_or(0, |review| {
            let poll = &review.poll;
            poll.pr_errors.saturating_add(poll.invalid_responses)
        });
        if strikes >= limit {
            let why =
                format!("its pull request could not be read {strikes} times in a row: {words}");
            self.fail_review_and_reopen(id, ReasonCode::PrPollFailed, &why, "pr_observed", now);
        }
    }

    /// An answer that was not understood: a matter of this pull request, unless another one of
    /// the same forge has the same trouble at the same time.
    fn not_understood(&mut self, id: &BeadId, words: String, now: Timestamp) {
        let kind = ConditionKind::ApiDrift;
        let drifting = self
            .condition(kind, &ConditionSubject::Town)
            .is_some_and(Condition::holds);
        let others = self.others_not_understood(id, now);
        if !drifting && others.is_empty() && self.is_of_what_holds(id, &words, now) {
            return;
        }
        if !drifting && others.is_empty() {
            self.edit_review(id, |review| {
                let poll = &mut review.poll;
                poll.invalid_responses = poll.invalid_responses.saturating_add(1);
                poll.last_invalid_at = Some(now);
            });
            self.fail_after_too_many(id, &words, now);
            return;
        }
        // What the forge changed is no fault of these pull requests.
        for other in others.iter().chain([id]) {
            self.edit_review(other, |review| {
                review.poll.invalid_responses = 0;
                review.poll.last_invalid_at = Some(now);
            });
        }
        self.blame_world(id, kind, &words, None, now);
    }

    /// While polls are held no strike of a bead is spent (spec 1.8): what answers in the place of a forge that
    /// is down is mostly a page of words. It strikes the condition; once a person knows of that one, who may
    /// have ended its cause, the pull request tells for itself.
    fn is_of_what_holds(&mut self, id: &BeadId, words: &str, now: Timestamp) -> bool {
        let holds =
            |it: &&Condition| it.kind.holds_polls() && it.kind != ConditionKind::RateLimited;
        let Some(around) = self.conditions_of(id).find(holds).cloned() else {
            return false;
        };
        // What the next pull request is compared with.
        self.edit_review(id, |review| review.poll.last_invalid_at = Some(now));
        let is_told = around.told_at.is_some();
        let evidence = Evidence {
            kind: around.kind,
            subject: around.subject,
            words: words.into(),
            until: None,
            tried: around.tried,
        };
        self.strike(evidence, self.asked_at(id), now);
        if is_told {
            self.transient_error(id, words, now);
        }
        true
    }

    /// Other pull requests of the same host whose answer was not understood within the last poll
    /// interval: the longest that is in force, twice that of probes while polls are held.
    fn others_not_understood(&self, id: &BeadId, now: Timestamp) -> Vec<BeadId> {
        let host = self.bead(id).and_then(host_of);
        let policy = self.policy();
        let probes = policy.forge_backoff_max.saturating_mul(2);
        let held = self.conditions_of(id).any(|it| it.kind.holds_polls());
        let within = [policy.pr_poll_interval, policy.poll_quiet_interval]
            .into_iter()
            .chain(held.then_some(probes))
            .fold(Duration::ZERO, Duration::max);
        self.live_pull_requests()
            .filter(|mr| mr.id != *id && host_of(mr) == host)
            .filter(|mr| {
                mr.review()
                    .and_then(|review| review.poll.last_invalid_at)
                    .is_some_and(|at| now.since(at) <= within)
            })
            .map(|mr| mr.id.clone())
            .collect()
    }

    /// Server or network: the forge, once two pull requests say so, or the only one; else this
    /// pull request, and after a while a person is told.
    fn not_reached(&mut self, id: &BeadId, words: String, now: Timestamp) {
        let kind = ConditionKind::ForgeUnreachable;
        let unreachable = self
            .condition(kind, &ConditionSubject::Town)
            .is_some_and(Condition::holds);
        let others: Vec<&Bead> = self
            .live_pull_requests()
            .filter(|mr| mr.id != *id)
            .collect();
        let only = others.is_empty();
        let another = others.iter().any(|mr| {
            mr.review()
                .is_some_and(|review| review.poll.transient_errors > 0)
        });
        if unreachable || only || another {
            self.blame_world(id, kind, &words, None, now);
            return;
        }
        // While something else is wrong around it, no strike of its own is spent (spec 1.8); that
        // it had one is what the next pull request is compared with.
        if self.conditions_of(id).any(|it| it.kind.holds_polls()) {
            self.edit_review(id, |review| {
                let count = &mut review.poll.transient_errors;
                *count = (*count).max(1);
            });
            return;
        }
        self.transient_error(id, &words, now);
    }

    /// An error that may pass, while nothing says that more than this pull request has it.
    fn transient_error(&mut self, id: &BeadId, words: &str, now: Timestamp) {
        let mut count = 0_u32;
        self.edit_review(id, |review| {
            count = review.poll.transient_errors.saturating_add(1);
            review.poll.transient_errors = count;
        });
        self.tell_unreachable(id, count, words, now);
    }

    /// A credential that fails for this pull request alone; while polls are held nothing is counted.
    fn credential_error(&mut self, id: &BeadId, words: &str, now: Timestamp) {
        if self.conditions_of(id).any(|it| it.kind.holds_polls()) {
            return;
        }
        let mut count = 0_u32;
        self.edit_review(id, |review| {
            count = review.poll.credential_errors.saturating_add(1);
            review.poll.credential_errors = count;
        });
        self.tell_unreachable(id, count, words, now);
    }

    fn tell_unreachable(&mut self, id: &BeadId, count: u32, words: &str, now: Timestamp) {
        if count >= self.policy().poll_transient_limit {
            let message = format!("it could not be read {count} times in a row: {words}");
            self.tell_once(id, ReasonCode::PrUnreachable, message, now);
        }
    }

    fn blame_world(
        &mut self,
        id: &BeadId,
        kind: ConditionKind,
        words: &str,
        until: Option<Timestamp>,
        now: Timestamp,
    ) {
        let evidence = Evidence {
            kind,
            subject: ConditionSubject::Town,
            words: words.into(),
            until,
            tried: Vec::new(),
        };
        self.strike(evidence, self.asked_at(id), now);
    }

    /// A matter of the rig's credential; of this pull request where no rig is known.
    fn blame_credential(
        &mut self,
        id: &BeadId,
        kind: ConditionKind,
        error: &ForgeError,
        again: bool,
        now: Timestamp,
    ) {
        let words = advice(error);
        let rig = self
            .bead(id)
            .and_then(|mr| self.rig_of_review(mr))
            .map(|rig| rig.id.clone());
        let subject = rig.map(ConditionSubject::Rig);
        let is_alone = |rig: &ConditionSubject| again && self.is_alone_with_it(id, kind, rig);
        let Some(subject) = subject.filter(|rig| !is_alone(rig)) else {
            self.credential_error(id, &words, now);
            return;
        };
        let tried = match error {
            ForgeError::NoToken { tried } => tried.clone(),
            ForgeError::Unauthorized
            | ForgeError::Forbidden
            | ForgeError::NotFound { .. }
            | ForgeError::RateLimited { .. }
            | ForgeError::Server { .. }
            | ForgeError::Network
            | ForgeError::InvalidResponse { .. }
            | ForgeError::UnrecognizedUrl
            | ForgeError::RepositoryMismatch
            | ForgeError::HostNotAllowed => Vec::new(),
        };
        let evidence = Evidence {
            kind,
            subject,
            words,
            until: None,
            tried,
        };
        self.strike(evidence, self.asked_at(id), now);
    }

    /// Whether only this pull request has the trouble that it had before: another of its rig is read well,
    /// and has ended the condition since. Else the two would take turns, and nobody would ever hear of it.
    fn is_alone_with_it(&self, id: &BeadId, kind: ConditionKind, rig: &ConditionSubject) -> bool {
        let is_read = |mr: &Bead| mr.review().is_some_and(|it| it.poll.last_ok_at.is_some());
        !self.condition(kind, rig).is_some_and(Condition::holds)
            && self
                .live_pull_requests()
                .filter(|mr| mr.id != *id)
                .filter(|mr| rig.covers(self.rig_of_review(mr).map(|rig| &rig.id)))
                .any(|mr| is_read(mr) && !has_error(mr))
    }

    fn asked_at(&self, id: &BeadId) -> Option<Timestamp> {
        self.bead(id)?.review()?.poll.last_at
    }
}

/// Whether a review could not be looked at since its last good look.
fn has_error(mr: &Bead) -> bool {
    mr.review().is_some_and(|it| it.poll.last_error.is_some())
}

/// The host of a review's pull request.
fn host_of(mr: &Bead) -> Option<String> {
    let (repository, _) = Repository::of_pr_url(mr.review()?.pr_url.as_deref()?)?;
    Some(repository.host().to_string())
}

/// What a person can do about an error.
pub(super) fn advice(error: &ForgeError) -> String {
    match error {
        ForgeError::NoToken { tried } => {
            let tried = if tried.is_empty() {
                "no source".to_string()
            } else {
                tried.join(", ")
            };
            format!(
                "no credential for the forge; tried, in order: {tried}. The credentials that \
                 agents push with are separate and are not used here: configure one of these"
            )
        }
        ForgeError::Unauthorized => {
            "the forge refused the token: it is invalid or expired; renew it".to_string()
        }
        ForgeError::Forbidden => "the token lacks a permission: it needs to read and write pull \
                                  requests and contents, and to read checks"
            .to_string(),
        ForgeError::NotFound {
            repository_readable: true,
        } => "the pull request does not exist: check its URL, and that its branch is there"
            .to_string(),
        ForgeError::NotFound {
            repository_readable: false,
        } => {
            "the repository can't be read: check its URL, and that the token may see it".to_string()
        }
        ForgeError::RateLimited { until } => format!("the forge limits the rate until {until}"),
        ForgeError::Server { status } => format!("the forge answered with status {status}"),
        ForgeError::Network => "the forge could not be reached".to_string(),
        ForgeError::InvalidResponse { why } => format!(
            "the forge's answer was not understood ({why}); its API may have changed, and this \
             program may have to be updated"
        ),
        ForgeError::UnrecognizedUrl => "the URL is not one of a pull request".to_string(),
        ForgeError::RepositoryMismatch => {
            "the pull request belongs to another repository than the rig".to_string()
        }
        ForgeError::HostNotAllowed => {
            "the pull request's host is not one that this program may ask".to_string()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::format;
    use std::string::String;

    use crate::testing::{GREEN, at, event_at, observed};

    fn failed(town: &str, error: &str) -> String {
        let event = format!(r#"{{"type": "pr_observed", "bead_id": "m1", "error": {error}}}"#);
        observed(town, "0s", &event)
    }

    fn two(more: &str) -> String {
        format!(
            "{GREEN}
            bead b2 issue in_review rig_id=r1
            bead m2 merge_request in_progress rig_id=r1 review.source=b2 review.pr_url=https://github.com/acme/r1/pull/2 {more}
            edge m2 tracks b2"
        )
    }

    #[test]
    fn a_look_that_is_answered_is_not_answered_again() {
        let answer = r#"{"type": "pr_observed", "key": {"subject": "m1", "kind": "poll_pr", "attempt": 7}, "bead_id": "m1", "error": {"kind": "unrecognized_url"}}"#;
        let once = observed(GREEN, "0s", answer);
        for line in [
            "m1.review.poll.answered: - → true",
            "m1.review.poll.pr_errors: 0 → 1",
        ] {
            assert!(once.contains(line), "{once}");
        }
        let answered = GREEN.replace("attempts=7", "attempts=7 review.poll.answered=true");
        insta::assert_snapshot!(observed(&answered, "0s", answer), @"ignored: the look is answered already");
        // What has no key is a fact of its own.
        let fact = failed(&answered, r#"{"kind": "unrecognized_url"}"#);
        assert!(fact.contains("m1.review.poll.pr_errors: 0 → 1"), "{fact}");
    }

    #[test]
    fn errors_of_this_pull_request_fail_it_after_three_in_a_row() {
        for error in [
            r#"{"kind": "not_found", "repository_readable": true}"#,
            r#"{"kind": "unrecognized_url"}"#,
            r#"{"kind": "repository_mismatch"}"#,
            r#"{"kind": "host_not_allowed"}"#,
        ] {
            let once = failed(GREEN, error);
            assert!(once.contains("m1.review.poll.pr_errors: 0 → 1"), "{once}");
            assert!(!once.contains("m1.status"), "{once}");
        }
        let town = GREEN.replace(
            "attempts=7",
            "attempts=7 review.poll.pr_errors=1 review.poll.invalid_responses=1",
        );
        insta::assert_snapshot!(failed(&town, r#"{"kind": "not_found", "repository_readable": true}"#), @r#"
        observed: m1: the pull request does not exist: check its URL, and that its branch is there
        b1.last_dispatch_attempt_at: - → "2026-04-04T12:00:00.000Z"
        b1.status: "in_review" → "open"
        b1.status_changed_at: - → "2026-04-04T12:00:00.000Z"
        b1.updated_at: "2026-03-05T12:00:00.000Z" → "2026-04-04T12:00:00.000Z"
        m1.closed_at: - → "2026-04-04T12:00:00.000Z"
        m1.failure.code: - → "pr_poll_failed"
        m1.failure.message: - → "its pull request could not be read 3 times in a row: the pull request does not exist: check its URL, and that its branch is there"
        m1.failure.source: - → "pr_observed"
        m1.review.poll.last_error: - → "the pull request does not exist: check its URL, and that its branch is there"
        m1.review.poll.pr_errors: 1 → 2
        m1.status: "in_progress" → "failed"
        m1.status_changed_at: - → "2026-04-04T12:00:00.000Z"
        m1.told.pr_poll_failed: - → "2026-04-04T12:00:00.000Z"
        m1.updated_at: "2026-03-05T12:00:00.000Z" → "2026-04-04T12:00:00.000Z"
        t1-e1.body: - → "its pull request could not be read 3 times in a row: the pull request does not exist: check its URL, and that its branch is there"
        t1-e1.created_at: - → "2026-04-04T12:00:00.000Z"
        t1-e1.created_by: - → "system"
        t1-e1.escalation.bead_id: - → "m1"
        t1-e1.escalation.category: - → "pr_poll_failed"
        t1-e1.escalation.severity: - → "high"
        t1-e1.id: - → "t1-e1"
        t1-e1.labels: - → ["gt:escalation","severity:high"]
        t1-e1.priority: - → "high"
        t1-e1.rig_id: - → "r1"
        t1-e1.root: - → "m1"
        t1-e1.status: - → "open"
        t1-e1.status_changed_at: - → "2026-04-04T12:00:00.000Z"
        t1-e1.title: - → "pr poll failed: m1"
        t1-e1.type: - → "escalation"
        t1-e1.updated_at: - → "2026-04-04T12:00:00.000Z"
        town.sequence: 0 → 1
        "#);
    }

    #[test]
    fn errors_of_a_rigs_credential_begin_its_condition() {
        for (error, kind) in [
            (
                r#"{"kind": "no_token", "tried": ["github_token", "github_cli_pat"]}"#,
                "credentials_missing",
            ),
            (r#"{"kind": "unauthorized"}"#, "credentials_rejected"),
            (r#"{"kind": "forbidden"}"#, "permission_missing"),
            (r#"{"kind": "not_found"}"#, "permission_missing"),
        ] {
            let after = failed(GREEN, error);
            assert!(after.contains(&format!(r#""kind":"{kind}""#)), "{after}");
            assert!(
                after.contains(r#""subject":{"id":"r1","kind":"rig"}"#),
                "{after}"
            );
            assert!(!after.contains("_errors"), "{after}");
        }
        insta::assert_snapshot!(failed(GREEN, r#"{"kind": "no_token", "tried": ["github_token", "github_cli_pat"]}"#), @r#"
        observed: m1: no credential for the forge; tried, in order: github_token, github_cli_pat. The credentials that agents push with are separate and are not used here: configure one of these
        m1.review.poll.last_error: - → "no credential for the forge; tried, in order: github_token, github_cli_pat. The credentials that agents push with are separate and are not used here: configure one of these"
        town.conditions: [] → [{"evidence":"no credential for the forge; tried, in order: github_token, github_cli_pat. The credentials that agents push with are separate and are not used here: configure one of these","kind":"credentials_missing","next_probe_at":"2026-04-04T12:01:00.000Z","since":"2026-04-04T12:00:00.000Z","strikes":1,"subject":{"id":"r1","kind":"rig"},"told_at":null,"tried":["github_token","github_cli_pat"],"until":null}]
        "#);
    }

    #[test]
    fn errors_of_the_network_are_the_forges_on_the_only_or_on_two_pull_requests() {
        let network = r#"{"kind": "network"}"#;
        assert!(failed(GREEN, network).contains("forge_unreachable"));
        let first = failed(&two(""), network);
        assert!(
            first.contains("m1.review.poll.transient_errors: 0 → 1"),
            "{first}"
        );
        assert!(!first.contains("forge_unreachable"), "{first}");
        let second = failed(&two("review.poll.transient_errors=1"), network);
        assert!(second.contains("forge_unreachable"), "{second}");
    }

    #[test]
    fn errors_of_the_network_of_one_pull_request_are_told_at_the_limit() {
        let ninth = two("").replace("attempts=7", "attempts=7 review.poll.transient_errors=9");
        let after = failed(&ninth, r#"{"kind": "server", "status": 502}"#);
        assert!(after.contains("m1.told.pr_unreachable"), "{after}");
        assert!(!after.contains("m1.status"), "{after}");
    }

    #[test]
    fn errors_that_were_asked_before_a_condition_began_do_not_count() {
        let town = |since: &str| {
            GREEN.replace(
                "town config",
                &format!(r#"town conditions=[{{"kind":"forge_unreachable","subject":{{"kind":"town"}},"since":"{since}","strikes":4}}] config"#),
            )
        };
        let network = r#"{"kind": "network"}"#;
        // The last look was asked for ten seconds ago.
        assert!(failed(&town("2026-04-04T11:59:50Z"), network).contains(r#""strikes":5"#));
        assert!(!failed(&town("2026-04-04T11:59:50.001Z"), network).contains(r#""strikes":5"#));
    }

    #[test]
    fn errors_of_a_rate_limit_hold_until_it_ends_and_no_longer_than_an_hour() {
        let limited = |until: &str| {
            failed(
                GREEN,
                &format!(r#"{{"kind": "rate_limited", "until": "{until}"}}"#),
            )
        };
        assert!(limited("2026-04-04T12:20:00Z").contains(r#""until":"2026-04-04T12:20:00.000Z""#));
        assert!(limited("2036-04-04T12:20:00Z").contains(r#""until":"2026-04-04T13:00:00.000Z""#));
    }

    #[test]
    fn errors_not_understood_on_two_pull_requests_are_a_drift() {
        let invalid = r#"{"kind": "invalid_response", "why": "no head"}"#;
        let alone = failed(&two(""), invalid);
        assert!(
            alone.contains("m1.review.poll.invalid_responses: 0 → 1"),
            "{alone}"
        );
        let both = failed(
            &two("review.poll.invalid_responses=2 review.poll.last_invalid_at=-60s"),
            invalid,
        );
        assert!(both.contains("api_drift"), "{both}");
        assert!(
            both.contains("m2.review.poll.invalid_responses: 2 → 0"),
            "{both}"
        );
        assert!(!both.contains("m1.review.poll.invalid_responses"), "{both}");
        // Quiet ones are looked at every ten minutes.
        let quiet = failed(&two("review.poll.last_invalid_at=-10m"), invalid);
        assert!(quiet.contains("api_drift"), "{quiet}");
        let long_ago = failed(&two("review.poll.last_invalid_at=-600001ms"), invalid);
        assert!(!long_ago.contains("api_drift"), "{long_ago}");
    }

    /// Spec 1.8: a forge that changed goes on being understood where it did not change.
    #[test]
    fn errors_not_understood_are_a_drift_until_one_of_those_is_understood() {
        let condition = r#"town conditions=[{"kind":"api_drift","subject":{"kind":"town"},"since":"2026-04-04T11:59:00Z"}]"#;
        let good = |m1: &str, m2: &str| {
            let town = std::format!("{condition}\n{}", two(m2)).replace(
                "review.pr_url=https://github.com/acme/r1/pull/1",
                &std::format!("review.pr_url=https://github.com/acme/r1/pull/1 {m1}"),
            );
            let look = r#"{"type": "pr_observed", "bead_id": "m1", "observation": {"state": "open", "head_sha": "h1", "head_branch":"work/m1","head_repository":"acme/r1","base_branch":"main","mergeable":"clean"}}"#;
            observed(&town, "0s", look)
        };
        let failed = "review.poll.last_invalid_at=-10m";
        let ends = |told: &str| told.contains("api_drift");
        assert!(!ends(&good("", failed)), "{}", good("", failed));
        assert!(ends(&good(failed, failed)));
        assert!(ends(&good("", "")));
    }

    /// Spec 1.8: what answers for a forge that is down strikes the condition, not the pull request, until a
    /// person knows of that one; two are a drift all the same.
    #[test]
    fn errors_not_understood_under_another_condition_are_its_strikes() {
        let under = |told: &str, town: &str| {
            let condition = format!(
                r#"town conditions=[{{"kind":"forge_unreachable","subject":{{"kind":"town"}},"since":"2026-04-04T11:00:00Z","strikes":3{told}}}]"#
            );
            let invalid = r#"{"kind": "invalid_response", "why": "<html>"}"#;
            failed(&format!("{condition}\n{town}"), invalid)
        };
        let told = r#","told_at":"2026-04-04T11:30:00Z""#;
        for town in [String::from(GREEN), two("")] {
            let untold = under("", &town);
            assert!(untold.contains(r#""strikes":4"#), "{untold}");
            assert!(
                untold.contains("last_invalid_at") && !untold.contains("_errors"),
                "{untold}"
            );
            assert!(!untold.contains("invalid_responses"), "{untold}");
            let known = under(told, &town);
            assert!(
                known.contains("m1.review.poll.transient_errors: 0 → 1"),
                "{known}"
            );
        }
        // Probes are ten minutes apart by then, and take a while.
        let last = |ago: &str| under("", &two(&format!("review.poll.last_invalid_at=-{ago}")));
        assert!(last("20m").contains("api_drift"));
        assert!(!last("1200001ms").contains("api_drift"));
    }

    /// Else it begins a condition that the next look at the other one ends, and so on for ever.
    #[test]
    fn errors_of_a_credential_that_only_one_pull_request_has_are_its_own() {
        const FORBIDDEN: &str = r#""error": {"kind": "forbidden"}"#;
        const NETWORK: &str = r#""error": {"kind": "network"}"#;
        const GOOD: &str = r#""observation": {"state": "open", "head_sha": "h1", "head_branch":"work/m2","head_repository":"acme/r1","base_branch":"main","mergeable":"clean"}"#;
        let after = |looks: &[(&str, &str)]| {
            let mut town = crate::testing::town(&two(""));
            for (number, (mr, said)) in looks.iter().enumerate() {
                let event = format!(r#"{{"type": "pr_observed", "bead_id": "{mr}", {said}}}"#);
                let mut event = event_at(&event, at("0s"));
                event.id = format!("look{number}").parse().unwrap();
                town.observe(&event, at("0s"));
            }
            let holds = town.conditions().any(crate::Condition::holds);
            let of = |mr: &str| {
                let review = town
                    .bead(&mr.parse().unwrap())
                    .and_then(crate::Bead::review);
                review.map(|review| review.poll.credential_errors)
            };
            (holds, of("m1"), of("m2"))
        };
        let (none, one, two) = (Some(0), Some(1), Some(2));
        assert_eq!(after(&[("m1", FORBIDDEN)]), (true, none, none));
        let back = [("m1", FORBIDDEN), ("m2", GOOD), ("m1", FORBIDDEN)];
        assert_eq!(after(&back), (false, one, none));
        let [first, good, again] = back;
        assert_eq!(
            after(&[first, good, again, good, again]),
            (false, two, none)
        );
        // The other one has it, too: then it is the rig's, and nothing is counted.
        let both = [first, good, again, ("m2", FORBIDDEN), again];
        assert_eq!(after(&both), (true, one, none));
        // It had another trouble before; the other one was never read.
        assert_eq!(after(&[("m1", NETWORK), good, first]), (true, none, none));
        assert_eq!(after(&[first, again]), (true, none, none));
        // A good look forgets.
        assert_eq!(
            after(&[first, good, again, ("m1", GOOD)]),
            (false, none, none)
        );
    }

    /// Spec 4.3: strikes of one pull request count while no condition holds.
    #[test]
    fn errors_that_may_pass_are_not_counted_under_another_condition() {
        let server = r#"{"kind": "server", "status": 502}"#;
        let free = failed(&two(""), server);
        assert!(
            free.contains("m1.review.poll.transient_errors: 0 → 1"),
            "{free}"
        );
        let condition = r#"town conditions=[{"kind":"rate_limited","subject":{"kind":"town"},"since":"2026-04-04T11:59:00Z","until":"2026-04-04T12:30:00Z"}]"#;
        let limited = |m1: &str| {
            let town = std::format!("{condition}\n{}", two("")).replace(
                "review.pr_url=https://github.com/acme/r1/pull/1",
                &std::format!("review.pr_url=https://github.com/acme/r1/pull/1 {m1}"),
            );
            failed(&town, server)
        };
        // That it had one is remembered: with another pull request it is the forge.
        assert!(
            limited("").contains("transient_errors: 0 → 1"),
            "{}",
            limited("")
        );
        let many = limited("review.poll.transient_errors=9");
        assert!(!many.contains("transient_errors"), "{many}");
        let both = failed(
            &std::format!("{condition}\n{}", two("review.poll.transient_errors=1")),
            server,
        );
        assert!(both.contains("forge_unreachable"), "{both}");
    }
}
