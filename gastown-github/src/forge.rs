//! The engine's port to a forge, over [`GitHub`] (spec 4.2, 4.5): the requests of the core in, the
//! words of the core out. What it can't translate is an error or unknown, never a guess.

pub(crate) mod hints;
mod words;

use async_trait::async_trait;
use gastown_core::forges::{
    CommentRequest, CreateBranchRequest, MergeRequest as Wanted, ObserveRequest, RepositoryRef,
    VerifyRequest,
};
use gastown_core::{Forge, ForgeError, MergeOutcome, Observation, VerifyOutcome};

use self::words::{MethodWord, branch_made, comment_made, error, landing, merge_made, observation};
use crate::branch::{BranchStart, LandingQuestion};
use crate::credentials::Asker;
use crate::github::GitHub;
use crate::merge::MergeRequest;
use crate::observation::ForgeError as Unusable;
use crate::observe::Detail;
use crate::readiness::{MergeConditions, Stack, StaleApproval, WithoutChecks};
use crate::url::{PullRequestUrl, RepositoryUrl};

#[async_trait]
impl Forge for GitHub {
    async fn observe(&self, request: ObserveRequest) -> Result<Observation, ForgeError> {
        let town = request.town_id.as_str();
        let rig = request
            .repository
            .as_ref()
            .and_then(|it| it.rig_id.as_ref());
        let github = self.acting_for(asker(town, rig.map(|it| it.as_str())));
        let found = match &request.repository {
            Some(rig) => github.of_rig(rig, &request.pr_url)?,
            // No rig is known: the address alone says where it is, on an allowed host.
            None => github.anywhere(&request.pr_url)?,
        };
        let detail = if request.with_feedback {
            Detail::Feedback
        } else {
            Detail::State
        };
        let seen = GitHub::observe(&github, &found, detail).await;
        seen.map(observation).map_err(error)
    }

    async fn merge(&self, request: Wanted) -> MergeOutcome {
        let github = self.acting_for(asker_of(&request.repository));
        let wanted = match github.wanted(&request) {
            Ok(wanted) => wanted,
            Err(error) => return MergeOutcome::Error { error },
        };
        if request.certificate.head_sha != request.head_sha {
            return MergeOutcome::Refused {
                status: 409,
                message: "the certificate is of another head; GitHub was not asked".to_owned(),
            };
        }
        merge_made(GitHub::merge(&github, &wanted).await)
    }

    async fn verify_merge(&self, request: VerifyRequest) -> VerifyOutcome {
        let github = self.acting_for(asker_of(&request.repository));
        let Ok(repository) = github.rigs_repository(&request.repository) else {
            return VerifyOutcome::Unknown;
        };
        let asked = LandingQuestion {
            repository,
            branch: request.branch,
            target: request.target_branch,
            merge_commit: request.merge_commit,
        };
        match github.verify_landing(&asked).await {
            Ok(found) => landing(found),
            Err(why) => {
                tracing::warn!(%why, "could not tell whether the work has landed");
                VerifyOutcome::Unknown
            }
        }
    }

    async fn create_branch(&self, request: CreateBranchRequest) -> Result<(), ForgeError> {
        let github = self.acting_for(asker_of(&request.repository));
        let repository = github.rigs_repository(&request.repository)?;
        let start = BranchStart::Branch(request.repository.default_branch);
        branch_made(GitHub::create_branch(&github, &repository, &request.branch, &start).await)
    }

    async fn comment(&self, request: CommentRequest) -> Result<(), ForgeError> {
        let github = self.acting_for(asker_of(&request.repository));
        let found = github.of_rig(&request.repository, &request.pr_url)?;
        comment_made(GitHub::comment(&github, &found, &request.text).await)
    }
}

impl GitHub {
    /// The repository of a rig. An address that is none of GitHub's can't be the one of any pull
    /// request here.
    fn rigs_repository(&self, rig: &RepositoryRef) -> Result<RepositoryUrl, ForgeError> {
        self.repository(&rig.git_url).map_err(|why| {
            if matches!(why, Unusable::HostNotAllowed { .. }) {
                ForgeError::HostNotAllowed
            } else {
                ForgeError::RepositoryMismatch
            }
        })
    }

    /// The pull request of that address if it is of the rig's repository, on the rig's host.
    fn of_rig(&self, rig: &RepositoryRef, url: &str) -> Result<PullRequestUrl, ForgeError> {
        let found = self.anywhere(url)?;
        let expected = self.rigs_repository(rig)?;
        // Two hosts can both have a repository of that name.
        let same_host = found.host.web() == expected.host.web();
        if same_host && found.repository == expected.repository {
            Ok(found)
        } else {
            Err(ForgeError::RepositoryMismatch)
        }
    }

    fn anywhere(&self, url: &str) -> Result<PullRequestUrl, ForgeError> {
        self.pull_request_anywhere(url).map_err(error)
    }

    /// What is to be merged, by what the certificate promised (spec 4.5).
    fn wanted(&self, request: &Wanted) -> Result<MergeRequest, ForgeError> {
        let pull_request = self.of_rig(&request.repository, &request.pr_url)?;
        let certificate = &request.certificate;
        let repository = pull_request.repository.clone();
        if !certificate
            .repository
            .eq_ignore_ascii_case(&repository.to_string())
        {
            return Err(ForgeError::RepositoryMismatch);
        }
        let conditions = MergeConditions {
            head_repository: Some(repository.clone()),
            base_branch: Some(certificate.base_branch.clone()),
            // Checks that reported and are gone are not what was certified.
            without_checks: if certificate.allows_no_checks() {
                WithoutChecks::Allowed
            } else {
                WithoutChecks::Refused
            },
            stale_approval: if certificate.allows_earlier_approval() {
                StaleApproval::Allowed
            } else {
                StaleApproval::Refused
            },
            // The engine evaluates one pull request at a time.
            stack: Stack::Refused,
            ..MergeConditions::for_head(&request.head_sha)
        };
        Ok(MergeRequest {
            pull_request,
            repository,
            method: request.method.choice(),
            conditions,
        })
    }
}

fn asker_of(repository: &RepositoryRef) -> Asker {
    let rig = repository.rig_id.as_ref().map(|it| it.as_str());
    asker(repository.town_id.as_str(), rig)
}

fn asker(town: &str, rig: Option<&str>) -> Asker {
    Asker {
        town: Some(town.to_owned()),
        rig: rig.map(str::to_owned),
    }
}
