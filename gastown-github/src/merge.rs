//! Merging, in the order of spec 4.5: the right repository, a fresh look, the head as guard, an
//! allowed method, the queue where there is one, and never a blind repeat.

use bytes::Bytes;
use chrono::TimeDelta;
use http::{Request, Response};
use serde_json::json;

use crate::classify::{MergeMethod, MergeRefusal, merge_refusal, needed_permission};
use crate::client::{Failure, Session, bad, written};
use crate::error::Error;
use crate::error_body::ErrorBody;
use crate::github::GitHub;
use crate::graphql::Document;
use crate::observation::{ForgeError, MergeOutcome, MergeQueue, PullRequestState, needed};
use crate::observe::{Detail, Look};
use crate::rate_limit::Urgency;
use crate::readiness::{MergeConditions, blockers};
use crate::request;
use crate::response::{
    self, AsyncMergeStatus, BranchRules, MergeAnswer, Repository, async_merge, merge_answer,
};
use crate::url::{PullRequestUrl, RepositoryName, RepositoryUrl};

/// How to merge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MethodChoice {
    /// The first of squash, merge and rebase that repository and branch allow.
    Auto,
    /// This one or none.
    Only(MergeMethod),
}

/// What is to be merged, and under which conditions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MergeRequest {
    /// The pull request.
    pub pull_request: PullRequestUrl,
    /// The repository that it must be of.
    pub repository: RepositoryName,
    /// How.
    pub method: MethodChoice,
    /// What must hold, by a look that is made now.
    pub conditions: MergeConditions,
}

/// What one attempt came to.
enum Attempt {
    Done(MergeOutcome),
    /// This method is not allowed, and nothing happened.
    TryAnotherMethod(MergeOutcome),
    /// Only the queue takes it, and nothing happened.
    UseTheQueue,
}

impl GitHub {
    /// Merges a pull request if a fresh look shows that it should be merged. One that is merged
    /// already is reported as such, whoever did it.
    ///
    /// An [`MergeOutcome::Error`] means that it may have been merged: observe before anything
    /// else. No merge is ever sent twice.
    pub async fn merge(&self, wanted: &MergeRequest) -> MergeOutcome {
        let found = &wanted.pull_request;
        if found.repository != wanted.repository {
            let expected = wanted.repository.clone();
            let found = found.repository.clone();
            return MergeOutcome::Error {
                error: ForgeError::RepositoryMismatch { expected, found },
            };
        }
        let session = self.session(&found.host, &found.repository, Urgency::Merge);
        let look = match ready_look(self, &session, wanted).await {
            Ok(look) => look,
            Err(outcome) => return outcome,
        };
        let mut merging = Merging {
            github: self,
            session,
            wanted,
            look,
        };
        if merging.look.observation.stacked {
            merging.stack().await
        } else if merging.look.observation.merge_queue == MergeQueue::Required {
            merging.enqueue().await
        } else {
            merging.direct().await
        }
    }
}

/// A look that is made now and speaks for the merge; else what the merge comes to.
async fn ready_look(
    github: &GitHub,
    session: &Session<'_>,
    wanted: &MergeRequest,
) -> Result<Look, MergeOutcome> {
    let number = wanted.pull_request.number;
    // Rules of any age would do for watching; what is acted on is asked anew.
    let look = github
        .look(session, number, Detail::Feedback, TimeDelta::zero())
        .await
        .map_err(|error| MergeOutcome::Error { error })?;
    if let PullRequestState::Merged { commit } = look.observation.state {
        return Err(MergeOutcome::Merged { commit });
    }
    if !blockers(&look.observation, &wanted.conditions).is_empty() {
        return Err(MergeOutcome::NotReady {
            observation: Box::new(look.observation),
        });
    }
    Ok(look)
}

/// A merge under way.
struct Merging<'a> {
    github: &'a GitHub,
    session: Session<'a>,
    wanted: &'a MergeRequest,
    look: Look,
}

impl Merging<'_> {
    fn number(&self) -> u64 {
        self.wanted.pull_request.number
    }

    fn head(&self) -> &str {
        &self.wanted.conditions.head_sha
    }

    /// Sends a write in its turn. What was seen before a wait for the turn proves nothing after it,
    /// so it is looked at once more while the turn is held (trap 9).
    async fn write(
        &mut self,
        request: Result<Request<Bytes>, Error>,
    ) -> Result<Response<Bytes>, MergeOutcome> {
        let mut write = match self.session.begin_write(request) {
            Ok(write) => write,
            Err(failure) => return Err(self.failed(failure).await),
        };
        loop {
            let turn = match write.turn().await {
                Ok(turn) => turn,
                Err(failure) => return Err(self.failed(failure).await),
            };
            if turn.waited {
                self.look = ready_look(self.github, &self.session, self.wanted).await?;
            }
            match write.send(turn).await {
                Ok(Some(answer)) => return Ok(answer),
                Ok(None) => {}
                Err(failure) => return Err(self.failed(failure).await),
            }
        }
    }

    async fn direct(&mut self) -> MergeOutcome {
        let flags = match self.flags().await {
            Ok(flags) => flags,
            Err(error) => return MergeOutcome::Error { error },
        };
        let methods = allowed_methods(self.wanted.method, &flags, &self.look.settings.rules);
        let base = &self.look.observation.base_branch;
        let mut refused = MergeOutcome::Refused {
            status: 405,
            message: format!("the repository and the rules of {base} allow no such merge method"),
        };
        // Each turn is another request, and comes only after the forge said that nothing happened.
        for method in methods {
            match self.put(method).await {
                Attempt::Done(outcome) => return outcome,
                Attempt::UseTheQueue => return self.enqueue().await,
                Attempt::TryAnotherMethod(outcome) => refused = outcome,
            }
        }
        refused
    }

    /// The flags of the repository; all unknown if they may not be seen.
    async fn flags(&self) -> Result<Repository, ForgeError> {
        let scope = &self.session.scope;
        match self
            .session
            .read(request::repository(&scope.host, &scope.repository))
            .await
        {
            Ok(answer) => response::repository(answer.body()),
            Err(ForgeError::Forbidden { .. } | ForgeError::NotFound { .. }) => {
                Ok(Repository::default())
            }
            Err(error) => Err(error),
        }
    }

    async fn put(&mut self, method: MergeMethod) -> Attempt {
        let scope = &self.session.scope;
        let request = request::merge(
            &scope.host,
            &scope.repository,
            self.number(),
            self.head(),
            method,
        );
        let answer = match self.write(request).await {
            Ok(answer) => answer,
            Err(outcome) => return Attempt::Done(outcome),
        };
        if answer.status().as_u16() == 200 {
            return Attempt::Done(match merge_answer(answer.body()) {
                MergeAnswer::Merged { sha } => MergeOutcome::Merged { commit: sha },
                MergeAnswer::Unclear => self.settle(unclear("merge")).await,
            });
        }
        let Some((status, message)) = refusal(&answer) else {
            return Attempt::Done(self.settle(bad(&answer)).await);
        };
        let refused = MergeOutcome::Refused {
            status,
            message: message.clone(),
        };
        match merge_refusal(status, &message) {
            MergeRefusal::AlreadyQueued => Attempt::Done(MergeOutcome::Queued),
            MergeRefusal::QueueRequired => {
                self.forget_settings();
                Attempt::UseTheQueue
            }
            MergeRefusal::MethodNotAllowed(_) => {
                self.forget_settings();
                Attempt::TryAnotherMethod(refused)
            }
            MergeRefusal::BaseModified
            | MergeRefusal::NotMergeable
            | MergeRefusal::Draft
            | MergeRefusal::ChecksMissing
            | MergeRefusal::ReviewsMissing
            | MergeRefusal::HeadModified
            | MergeRefusal::Stacked
            | MergeRefusal::Permission
            | MergeRefusal::Unprocessable
            | MergeRefusal::Unknown => Attempt::Done(refused),
        }
    }

    async fn enqueue(&mut self) -> MergeOutcome {
        let Some(id) = &self.look.node_id else {
            return MergeOutcome::Error {
                error: unclear("pull request without an id"),
            };
        };
        let variables = json!({"id": id, "head": self.head()});
        let host = &self.session.scope.host;
        let request = request::graphql(host, &Document::Enqueue.text(), &variables);
        let answer = match self.write(request).await {
            Ok(answer) => answer,
            Err(outcome) => return outcome,
        };
        let envelope = match written(answer) {
            Ok(envelope) => envelope,
            Err(failure) => return self.failed(failure).await,
        };
        let Some(error) = envelope.errors().first() else {
            return MergeOutcome::Queued;
        };
        let status = match error.kind.as_str() {
            "UNPROCESSABLE" => 422,
            "FORBIDDEN" | "INSUFFICIENT_SCOPES" => 403,
            "NOT_FOUND" => 404,
            // Without a type it is a time-out or a fault of the server.
            _ => return self.settle(ForgeError::Server { status: 500 }).await,
        };
        MergeOutcome::Refused {
            status,
            message: envelope.messages(),
        }
    }

    /// Only told to: merges this one and all below it.
    async fn stack(&mut self) -> MergeOutcome {
        let scope = &self.session.scope;
        // On a branch with a queue a method is accepted and fails afterwards.
        let method = match (self.look.observation.merge_queue, self.wanted.method) {
            (MergeQueue::None, MethodChoice::Only(method)) => Some(method),
            (MergeQueue::None, MethodChoice::Auto) => {
                let rules = &self.look.settings.rules;
                MergeMethod::AUTO.into_iter().find(|it| rules.allows(*it))
            }
            (MergeQueue::Required | MergeQueue::Queued, _) => None,
        };
        let request = request::merge_stack(
            &scope.host,
            &scope.repository,
            self.number(),
            self.head(),
            method,
        );
        let answer = match self.write(request).await {
            Ok(answer) => answer,
            Err(outcome) => return outcome,
        };
        if let Some((status, message)) = refusal(&answer) {
            return MergeOutcome::Refused { status, message };
        }
        if !answer.status().is_success() {
            return self.settle(bad(&answer)).await;
        }
        let merge = async_merge(answer.body());
        match merge.status {
            AsyncMergeStatus::Merged => MergeOutcome::Merged { commit: merge.sha },
            // Accepted says nothing about the rules; polling sees what came of it.
            AsyncMergeStatus::Pending | AsyncMergeStatus::Enqueued | AsyncMergeStatus::Other => {
                MergeOutcome::Queued
            }
            AsyncMergeStatus::Failed => {
                let message = ErrorBody::read(answer.body()).message_or(200);
                MergeOutcome::Refused {
                    status: 200,
                    message,
                }
            }
        }
    }

    async fn failed(&self, failure: Failure) -> MergeOutcome {
        if failure.may_have_had_effect {
            self.settle(failure.error).await
        } else {
            MergeOutcome::Error {
                error: failure.error,
            }
        }
    }

    /// The answer is lost or unclear: looks once whether it was merged, and else leaves it open.
    async fn settle(&self, error: ForgeError) -> MergeOutcome {
        match self
            .github
            .read_pull_request(&self.session, self.number())
            .await
        {
            Ok(found) if found.merged => MergeOutcome::Merged {
                commit: found.merge_commit_sha,
            },
            Ok(_) | Err(_) => MergeOutcome::Error { error },
        }
    }

    fn forget_settings(&self) {
        let scope = &self.session.scope;
        let (host, repository) = (scope.host.clone(), scope.repository.clone());
        self.github
            .forget_repository(&RepositoryUrl { host, repository });
    }
}

/// Status and words of a definite no. A missing permission is named, for a person to grant.
fn refusal(answer: &Response<Bytes>) -> Option<(u16, String)> {
    let status = answer.status();
    let definite = status.is_client_error() && status.as_u16() != 408;
    definite.then(|| {
        let status = status.as_u16();
        let message = ErrorBody::read(answer.body()).message_or(status);
        let forbidden = merge_refusal(status, &message) == MergeRefusal::Permission;
        let needs = forbidden.then(|| needed_permission(answer.headers()));
        let needs = needs.flatten();
        (status, message + &needed(needs.as_deref()))
    })
}

fn unclear(what: &str) -> ForgeError {
    ForgeError::InvalidResponse {
        why: format!("{what}: neither yes nor no"),
    }
}

/// The methods to try, in order. A flag that is not shown does not forbid.
fn allowed_methods(
    choice: MethodChoice,
    flags: &Repository,
    rules: &BranchRules,
) -> Vec<MergeMethod> {
    let wanted = match choice {
        MethodChoice::Auto => MergeMethod::AUTO.to_vec(),
        MethodChoice::Only(method) => vec![method],
    };
    let flag = |method| match method {
        MergeMethod::Squash => flags.allow_squash_merge,
        MergeMethod::Merge => flags.allow_merge_commit,
        MergeMethod::Rebase => flags.allow_rebase_merge,
    };
    let allowed = |it: &MergeMethod| flag(*it) != Some(false) && rules.allows(*it);
    wanted.into_iter().filter(allowed).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trap_26_flags_and_rules_both_narrow_the_methods() {
        use MergeMethod::{Merge, Rebase, Squash};
        let flags = |squash, merge, rebase| Repository {
            allow_squash_merge: squash,
            allow_merge_commit: merge,
            allow_rebase_merge: rebase,
            ..Repository::default()
        };
        let rules = |methods: Option<Vec<MergeMethod>>| BranchRules {
            allowed_methods: methods,
            ..BranchRules::none()
        };
        let (on, off) = (Some(true), Some(false));
        for (choice, flags, rules, expected) in [
            (
                MethodChoice::Auto,
                flags(None, None, None),
                rules(None),
                vec![Squash, Merge, Rebase],
            ),
            (
                MethodChoice::Auto,
                flags(off, on, on),
                rules(None),
                vec![Merge, Rebase],
            ),
            (
                MethodChoice::Auto,
                flags(on, on, on),
                rules(Some(vec![Rebase])),
                vec![Rebase],
            ),
            (
                MethodChoice::Auto,
                flags(on, on, off),
                rules(Some(vec![Rebase])),
                vec![],
            ),
            (
                MethodChoice::Only(Merge),
                flags(on, on, on),
                rules(None),
                vec![Merge],
            ),
            (
                MethodChoice::Only(Merge),
                flags(on, on, on),
                rules(Some(vec![Squash])),
                vec![],
            ),
        ] {
            assert_eq!(allowed_methods(choice, &flags, &rules), expected);
        }
    }
}
