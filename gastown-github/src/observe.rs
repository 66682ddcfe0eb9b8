//! One full look at a pull request (spec 4.2).

mod compose;

use chrono::TimeDelta;
use serde_json::{Value, json};

use crate::client::Session;
use crate::github::GitHub;
use crate::graphql::{
    Document, Envelope, Feed, MorePage, Page, feed, merge_commit, more_contexts, more_reviews,
    more_threads,
};
use crate::observation::{ForgeError, MergeQueue, Observation, PullRequestState};
use crate::rate_limit::Urgency;
use crate::request;
use crate::response::{self, PullRequest, RestState};
use crate::settings::BranchSettings;
use crate::url::{Product, PullRequestUrl, RepositoryName};

/// How often the two APIs are asked when they show different heads or bases.
const AGREE_TRIES_MAX: usize = 2;

/// How much is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// State, head, mergeability and queue.
    State,
    /// Threads, checks and reviews too.
    Feedback,
}

/// An observation with what a merge needs besides.
#[derive(Clone, Debug)]
pub(crate) struct Look {
    pub(crate) observation: Observation,
    pub(crate) node_id: Option<String>,
    pub(crate) settings: BranchSettings,
}

impl GitHub {
    /// Looks at a pull request.
    ///
    /// A quiet one costs one revalidation, which is free of the primary limit, and one GraphQL
    /// point; the rules of its base branch are shared by all pull requests into it.
    ///
    /// # Errors
    /// [`ForgeError`] if the world stood in the way. What could not be read of *this* pull
    /// request is no error: the observation says that it is incomplete.
    pub async fn observe(
        &self,
        pull_request: &PullRequestUrl,
        detail: Detail,
    ) -> Result<Observation, ForgeError> {
        let rules_age_max = self.config.rules_age_max;
        let session = self.session(&pull_request.host, &pull_request.repository, Urgency::Watch);
        let look = self
            .look(&session, pull_request.number, detail, rules_age_max)
            .await?;
        Ok(look.observation)
    }

    pub(crate) async fn look(
        &self,
        session: &Session<'_>,
        number: u64,
        detail: Detail,
        rules_age_max: TimeDelta,
    ) -> Result<Look, ForgeError> {
        let mut tries = 0_usize;
        loop {
            tries = tries.saturating_add(1);
            let rest = self.read_pull_request(session, number).await?;
            if rest.merged || rest.state == RestState::Closed {
                return self.settled(session, rest).await;
            }
            let mut feed = self.feed(session, number).await?;
            // A push or another base between the two reads: the second try sees one of each.
            if !compose::agree(&rest, &feed) && tries < AGREE_TRIES_MAX {
                continue;
            }
            let settings = match detail {
                Detail::State => BranchSettings::default(),
                Detail::Feedback => {
                    self.read_on(session, number, &mut feed).await?;
                    self.branch_settings(session, &rest.base_branch, rules_age_max)
                        .await?
                }
            };
            let mut observation = compose::observation(&rest, &feed, &settings, &self.config);
            if detail == Detail::State {
                observation.feedback = None;
            }
            observation.api_budget = session.budget();
            return Ok(Look {
                observation,
                node_id: feed.id.or(rest.node_id),
                settings,
            });
        }
    }

    /// The pull request by REST, the only place that tells of stacks.
    pub(crate) async fn read_pull_request(
        &self,
        session: &Session<'_>,
        number: u64,
    ) -> Result<PullRequest, ForgeError> {
        let (host, repository) = (&session.scope.host, &session.scope.repository);
        match session
            .read(request::pull_request(host, repository, number))
            .await
        {
            Ok(answer) => {
                let found = response::pull_request(answer.body())?;
                Ok(as_asked(found, &session.scope.repository))
            }
            Err(ForgeError::NotFound { .. }) => Err(self.not_found(session).await),
            Err(error) => Err(error),
        }
    }

    /// Tells a missing pull request from a repository that cannot be seen. A failure to find out
    /// is the more important news.
    pub(crate) async fn not_found(&self, session: &Session<'_>) -> ForgeError {
        let (host, repository) = (&session.scope.host, &session.scope.repository);
        match session.read(request::repository(host, repository)).await {
            Ok(_) => ForgeError::NotFound {
                repository_readable: true,
            },
            Err(error) => error,
        }
    }

    /// A pull request that is over: feedback matters no more.
    async fn settled(&self, session: &Session<'_>, rest: PullRequest) -> Result<Look, ForgeError> {
        let state = if rest.merged {
            let commit = match &rest.merge_commit_sha {
                Some(sha) => Some(sha.clone()),
                None => self.merge_commit(session, rest.number).await?,
            };
            PullRequestState::Merged { commit }
        } else {
            PullRequestState::Closed
        };
        let mut observation = compose::without_feedback(&rest, state, MergeQueue::None);
        observation.api_budget = session.budget();
        Ok(Look {
            observation,
            node_id: rest.node_id,
            settings: BranchSettings::default(),
        })
    }

    /// The commit of a merge, where REST does not tell it.
    pub(crate) async fn merge_commit(
        &self,
        session: &Session<'_>,
        number: u64,
    ) -> Result<Option<String>, ForgeError> {
        let variables = variables(session, number, None);
        merge_commit(&session.query(Document::MergeCommit, &variables).await?)
    }

    async fn feed(&self, session: &Session<'_>, number: u64) -> Result<Feed, ForgeError> {
        let variables = variables(session, number, None);
        let host = &session.scope.host;
        // Elsewhere a field that is not known is an error as any other, and may be back tomorrow.
        let may_be_old = host.product() == Product::EnterpriseServer;
        let mut support = self.queue_support(host);
        loop {
            let document = Document::Observation(support);
            let envelope = session.query(document, &variables).await?;
            let less = support.less(|word| envelope.misses(word));
            match less.filter(|_| may_be_old) {
                Some(less) => {
                    self.has_less_queue_support(host, less);
                    support = less;
                }
                None => return feed(&envelope, support),
            }
        }
    }

    /// Reads every list of the feed to its end. A list of another head, or one longer than the
    /// limit, stays incomplete.
    async fn read_on(
        &self,
        session: &Session<'_>,
        number: u64,
        feed: &mut Feed,
    ) -> Result<(), ForgeError> {
        let head = feed.head.clone();
        let rest = Rest {
            session,
            number,
            head,
            pages_max: self.config.pages_max,
        };
        rest.read(&mut feed.threads, Document::MoreThreads, more_threads)
            .await?;
        rest.read(&mut feed.reviews, Document::MoreReviews, more_reviews)
            .await?;
        rest.read(&mut feed.contexts, Document::MoreContexts, more_contexts)
            .await
    }
}

/// A repository that was renamed answers by its new name: what is in it is still in the one that
/// was asked for (trap 16).
fn as_asked(mut found: PullRequest, asked: &RepositoryName) -> PullRequest {
    let is_own = found.base_repository.is_some() && found.head_repository == found.base_repository;
    if is_own {
        found.head_repository = Some(asked.clone());
    }
    found
}

/// The pages after the first.
struct Rest<'a, 'b> {
    session: &'a Session<'b>,
    number: u64,
    head: Option<String>,
    pages_max: usize,
}

impl Rest<'_, '_> {
    async fn read<T>(
        &self,
        list: &mut Page<T>,
        document: Document,
        decode: fn(&Envelope) -> Result<MorePage<T>, ForgeError>,
    ) -> Result<(), ForgeError> {
        let mut pages = 1;
        while let Some(after) = list.next.take() {
            // What is spoilt already does not get better by reading on.
            if pages >= self.pages_max || !list.whole {
                list.whole = false;
                return Ok(());
            }
            pages = pages.saturating_add(1);
            let variables = variables(self.session, self.number, Some(&after));
            let more = decode(&self.session.query(document, &variables).await?)?;
            list.whole &= more.page.whole && more.head == self.head;
            list.items.extend(more.page.items);
            list.next = more.page.next;
        }
        Ok(())
    }
}

fn variables(session: &Session<'_>, number: u64, after: Option<&str>) -> Value {
    let repository = &session.scope.repository;
    let mut variables =
        json!({"owner": repository.owner(), "name": repository.name(), "number": number});
    if let (Some(after), Some(fields)) = (after, variables.as_object_mut()) {
        fields.insert("after".to_owned(), Value::from(after));
    }
    variables
}
