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
        let held = self.polls_are_held_by(id).is_some();
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
        if self.polls_are_held_by(id).is_some() {
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
        if self.polls_are_held_by(id).is_some() {
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
mod tests;
