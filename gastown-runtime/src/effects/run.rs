//! Runs effects and finishes them in the store.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use gastown_core::events::{
    AgentStarted, AgentStopped, BranchCreated, DispatchFailed, DispatchOutcome, EffectOutcome,
    MergeAttempted, MergeVerified, Notified, NudgeDelivered, PrObserved, TokenKind, TokenRefreshed,
};
use gastown_core::{
    AgentRuntimeError, Effect, EffectKind, Event, EventId, EventKind, Finish, Forge, ForgeError,
    MergeOutcome, SessionId, Store, StoreError, Timestamp, TownId, VerifyOutcome,
};
use metrics::{counter, gauge, histogram};
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};
use tracing::Instrument;

use super::limits::{Limits, TownPlaces};
use super::prepare::{Job, Prepared};
use super::shares::SharedPlace;
use crate::clock::Clock;
use crate::error::RuntimeError;
use crate::inbox::{Inbox, Item};
use crate::outside::bounded;
use crate::ports::{Container, Notifier, PortError};
use crate::supervisor::{StartOutcome, StopOutcome, Supervisor};
use crate::telemetry::{self, Share};

/// How often the result of an effect is written before it is left to the next start: the effect
/// then runs again, which is safe.
const FINISH_TRIES_MAX: u32 = 5;
/// How long to wait before the second try; doubles.
const FINISH_PAUSE: Duration = Duration::from_millis(200);

/// How long a place is kept for a town's first answer; doubles.
const ANSWER_PATIENCE: Duration = Duration::from_secs(1);

/// What effects of all towns need.
pub(crate) struct Workshop {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) forge: Arc<dyn Forge>,
    pub(crate) supervisor: Supervisor,
    pub(crate) notifier: Arc<dyn Notifier>,
    pub(crate) container: Arc<dyn Container>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) limits: Limits,
    pub(crate) deadline: Duration,
    pub(crate) store_deadline: Duration,
    /// Where agents run; a heartbeat of another one ends a drain.
    pub(crate) container_instance: String,
    /// Agents run here and nowhere else, and end with this runner.
    pub(crate) owns_agents: bool,
    /// Makes the ids of this runner's events: a beginning that no other runner has, and a counter.
    pub(crate) event_prefix: String,
    pub(crate) events_made: AtomicU64,
}

impl Workshop {
    /// Waits for the store, but not forever: a store that hangs must show.
    pub(crate) async fn in_time<T>(
        &self,
        town_id: &TownId,
        operation: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<Result<T, StoreError>, RuntimeError> {
        let done = timeout(self.store_deadline, operation).await;
        done.map_err(|_| RuntimeError::AwaitStore {
            town: town_id.clone(),
            seconds: self.store_deadline.as_secs(),
        })
    }

    /// An event of now, with an id of its own.
    pub(crate) fn event(&self, kind: EventKind) -> Option<Event> {
        let number = self.events_made.fetch_add(1, Ordering::Relaxed);
        // The prefix is short and without blanks, so this always is an identifier.
        // Events of one millisecond are taken in the order of their ids, so these sort as numbers.
        let id = EventId::new(format!("{}-{number:012}", self.event_prefix)).ok()?;
        Some(Event {
            id,
            at: self.clock.now(),
            key: None,
            kind,
        })
    }
}

/// Runs the effects of one town.
#[derive(Clone)]
pub(crate) struct Performer {
    pub(crate) town_id: TownId,
    pub(crate) workshop: Arc<Workshop>,
    pub(crate) inbox: Arc<Inbox>,
    /// The places of this town.
    pub(crate) places: Arc<TownPlaces>,
}

impl Performer {
    /// Waits for a place, asks the town, runs the effect and finishes it. Returns whether it is
    /// finished; if not, it is still in the outbox.
    pub(crate) async fn perform(&self, effect: Effect) -> bool {
        let span = tracing::info_span!("effect", town = %self.town_id, key = %effect.key);
        self.perform_in_span(effect).instrument(span).await
    }

    async fn perform_in_span(&self, effect: Effect) -> bool {
        let kind = effect.kind.type_name();
        let mut waiting = Share::new(telemetry::EFFECTS_WAITING);
        waiting.set(true);
        let _own_place = self.places.own_place(&effect.kind).await;
        let (place, prepared) = self.turn(&effect).await;
        drop(waiting);
        let mut outcome = outcome_of(&prepared);
        let run = self.finish_prepared(&effect, prepared, &mut outcome);
        let finished = self.workshop.limits.hold(place, run).await;
        let outcome = if finished { outcome } else { "unfinished" };
        counter!(telemetry::EFFECTS, "kind" => kind, "outcome" => outcome).increment(1);
        finished
    }

    /// Does something that is no effect in a place of its kind.
    pub(crate) async fn in_place<T>(&self, kind: &EffectKind, work: impl Future<Output = T>) -> T {
        let _own_place = self.places.own_place(kind).await;
        let limits = &self.workshop.limits;
        let place = limits.shared_place(&self.places, kind).await;
        limits.hold(Some(place), work).await
    }

    /// Waits for a place and for what the town says to the effect then; what does not run has no
    /// place. While the town's loop is at something else, at a store that hangs for example, no
    /// place is kept from other towns.
    async fn turn(&self, effect: &Effect) -> (Option<SharedPlace>, Prepared) {
        let limits = &self.workshop.limits;
        let mut patience = ANSWER_PATIENCE;
        loop {
            let place = limits.shared_place(&self.places, &effect.kind).await;
            if let Ok(prepared) = timeout(patience, self.ask(effect)).await {
                return (Some(place), prepared);
            }
            drop(place);
            let prepared = self.ask(effect).await;
            if !matches!(prepared, Prepared::Ready(_)) {
                return (None, prepared);
            }
            // It answers again. One that is always slow is given more time by and by.
            patience = patience.saturating_mul(2);
        }
    }

    async fn finish_prepared(
        &self,
        effect: &Effect,
        prepared: Prepared,
        outcome: &mut &'static str,
    ) -> bool {
        match prepared {
            Prepared::Ready(job) => {
                let kinds = self.measured(*job, effect).await;
                // A start that was overtaken is told by whatever overtook it.
                let is_start = matches!(effect.kind, EffectKind::StartAgent(_));
                *outcome = match is_start && kinds.is_empty() {
                    true => "aborted",
                    false => judge(&kinds),
                };
                tracing::debug!(town = %self.town_id, key = %effect.key, ?kinds, "effect done");
                let results = kinds.into_iter().filter_map(|kind| {
                    let event = self.workshop.event(bounded(kind))?;
                    Some(Event {
                        key: Some(effect.key.clone()),
                        ..event
                    })
                });
                self.finish(effect, Finish::Done, results.collect()).await
            }
            Prepared::Withdrawn => {
                tracing::debug!(town = %self.town_id, key = %effect.key, "effect withdrawn");
                self.finish(effect, Finish::Withdrawn, Vec::new()).await
            }
            Prepared::Later => false,
        }
    }

    async fn measured(&self, job: Job, effect: &Effect) -> Vec<EventKind> {
        let kind = effect.kind.type_name();
        let running = Running::new(kind);
        let begin = self.workshop.clock.monotonic();
        let kinds = self.run(job, effect).await;
        let took = self.workshop.clock.monotonic().saturating_sub(begin);
        histogram!(telemetry::EFFECT_SECONDS, "kind" => kind).record(took.as_secs_f64());
        drop(running);
        kinds
    }

    async fn ask(&self, effect: &Effect) -> Prepared {
        let (reply, answer) = oneshot::channel();
        let effect = Box::new(effect.clone());
        match self.inbox.push(Item::Ask { effect, reply }) {
            Ok(()) => answer.await.unwrap_or(Prepared::Later),
            Err(_) => Prepared::Later,
        }
    }

    async fn finish(&self, effect: &Effect, finish: Finish, results: Vec<Event>) -> bool {
        let mut pause = FINISH_PAUSE;
        for _ in 0..FINISH_TRIES_MAX {
            let now = self.workshop.clock.now();
            let store = &self.workshop.store;
            let finished =
                store.finish_effect(&self.town_id, &effect.key, finish, results.clone(), now);
            match timeout(self.workshop.deadline, finished).await {
                Ok(Ok(())) => {
                    self.inbox.store_has_news();
                    return true;
                }
                Ok(Err(error)) if !is_worth_a_retry(&error) => {
                    tracing::error!(town = %self.town_id, key = %effect.key, %error, "could not finish an effect");
                    return false;
                }
                Ok(Err(_)) | Err(_) => {}
            }
            sleep(pause).await;
            pause = pause.saturating_mul(2);
        }
        tracing::error!(town = %self.town_id, key = %effect.key, "could not finish an effect in time");
        false
    }

    /// Runs a job; past its deadline its outcome is unknown.
    async fn run(&self, job: Job, effect: &Effect) -> Vec<EventKind> {
        let own_deadline = matches!(job, Job::Start(_) | Job::Stop(..));
        if own_deadline {
            return self.run_now(job).await;
        }
        let unknown = unknown_outcome(effect);
        match timeout(self.workshop.deadline, self.run_now(job)).await {
            Ok(kinds) => kinds,
            Err(_) => {
                tracing::warn!(town = %self.town_id, key = %effect.key, "effect took too long");
                unknown
            }
        }
    }

    async fn run_now(&self, job: Job) -> Vec<EventKind> {
        let Workshop {
            forge, supervisor, ..
        } = &*self.workshop;
        match job {
            Job::Start(request) => self.start(request).await,
            Job::Stop(session, reason) => self.stop(session, &reason).await,
            Job::Observe(bead_id, request) => {
                let pr_url = request.pr_url.clone();
                let result = forge.observe(request).await;
                vec![observed(bead_id, pr_url, result).into()]
            }
            Job::Merge(bead_id, request) => {
                let head_sha = request.head_sha.clone();
                let outcome = forge.merge(request).await;
                let attempted = MergeAttempted {
                    bead_id,
                    head_sha,
                    outcome,
                };
                vec![attempted.into()]
            }
            Job::Verify(bead_id, request) => {
                let outcome = forge.verify_merge(request).await;
                vec![MergeVerified { bead_id, outcome }.into()]
            }
            Job::CreateBranch(convoy_id, rig_id, request) => {
                let branch = request.branch.clone();
                let outcome = match forge.create_branch(request).await {
                    Ok(()) => EffectOutcome::Done,
                    Err(_) => EffectOutcome::Failed,
                };
                let created = BranchCreated {
                    convoy_id,
                    branch,
                    outcome,
                    rig_id: Some(rig_id),
                };
                vec![created.into()]
            }
            Job::Deliver(session, message, nudge_id) => {
                let outcome = match supervisor.deliver(&session, message).await {
                    Ok(()) => EffectOutcome::Done,
                    Err(AgentRuntimeError::Unknown { .. }) => EffectOutcome::Unknown,
                    Err(_) => EffectOutcome::Failed,
                };
                vec![NudgeDelivered { nudge_id, outcome }.into()]
            }
            Job::Notify(topic, message) => self.notify(topic, &message).await,
            Job::RefreshContainerToken => {
                let result = self.workshop.container.refresh_token(&self.town_id).await;
                vec![refreshed(TokenKind::Container, result).into()]
            }
            Job::RenewLlmToken => {
                let result = self.workshop.container.renew_llm_token(&self.town_id).await;
                vec![refreshed(TokenKind::Llm, result).into()]
            }
            Job::StopContainer => {
                if let Err(error) = self.workshop.container.stop(&self.town_id).await {
                    tracing::warn!(town = %self.town_id, %error, "could not stop the container");
                }
                Vec::new()
            }
        }
    }

    async fn start(&self, request: gastown_core::StartRequest) -> Vec<EventKind> {
        let session = request.session.clone();
        let bead_id = request.bead_id.clone();
        let failed = |outcome: DispatchOutcome, reason: String| DispatchFailed {
            agent_id: session.agent_id.clone(),
            outcome,
            session: Some(session.session),
            bead_id: Some(bead_id.clone()),
            reason,
        };
        match self.workshop.supervisor.start(request).await {
            StartOutcome::Started | StartOutcome::AlreadyRunning => {
                let started = AgentStarted {
                    agent_id: session.agent_id.clone(),
                    session: Some(session.session),
                    container_instance: Some(self.workshop.container_instance.clone()),
                };
                vec![started.into()]
            }
            // Overtaken by a newer start or a stop, which tells what is now: no failure.
            StartOutcome::StartupAborted => Vec::new(),
            StartOutcome::Rejected { reason } => {
                tracing::warn!(town = %self.town_id, agent = %session.agent_id, reason, "could not start an agent");
                vec![failed(DispatchOutcome::Rejected, reason).into()]
            }
            StartOutcome::Unknown { reason } => {
                tracing::warn!(town = %self.town_id, agent = %session.agent_id, reason, "an agent may have started");
                vec![failed(DispatchOutcome::Unknown, reason).into()]
            }
        }
    }

    async fn stop(&self, session: SessionId, reason: &str) -> Vec<EventKind> {
        let outcome = match self.workshop.supervisor.stop(&session, reason).await {
            StopOutcome::Stopped => EffectOutcome::Done,
            StopOutcome::Unknown { .. } => EffectOutcome::Unknown,
        };
        let stopped = AgentStopped {
            agent_id: session.agent_id,
            session: Some(session.session),
            outcome: Some(outcome),
        };
        vec![stopped.into()]
    }

    async fn notify(&self, topic: String, message: &str) -> Vec<EventKind> {
        let notified = self
            .workshop
            .notifier
            .notify(&self.town_id, &topic, message);
        let outcome = match notified.await {
            Ok(()) => EffectOutcome::Done,
            Err(_) => EffectOutcome::Failed,
        };
        vec![Notified { topic, outcome }.into()]
    }
}

/// Counts an effect as running until it is dropped, also by being cut off.
struct Running(&'static str);

impl Running {
    fn new(kind: &'static str) -> Self {
        gauge!(telemetry::EFFECTS_RUNNING, "kind" => kind).increment(1.0);
        Self(kind)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        gauge!(telemetry::EFFECTS_RUNNING, "kind" => self.0).decrement(1.0);
    }
}

fn outcome_of(prepared: &Prepared) -> &'static str {
    match prepared {
        Prepared::Ready(_) => "done",
        Prepared::Withdrawn => "withdrawn",
        Prepared::Later => "unfinished",
    }
}

/// What the results of an effect say of it.
fn judge(results: &[EventKind]) -> &'static str {
    let of = |outcome: EffectOutcome| match outcome {
        EffectOutcome::Done => "done",
        EffectOutcome::Failed => "failed",
        EffectOutcome::Unknown => "unknown",
    };
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "only results of effects are asked for"
    )]
    let mut words = results.iter().map(|result| match result {
        EventKind::DispatchFailed(failed) => match failed.outcome {
            DispatchOutcome::Rejected => "failed",
            DispatchOutcome::Unknown => "unknown",
        },
        EventKind::AgentStopped(stopped) => stopped.outcome.map_or("done", of),
        EventKind::BranchCreated(created) => of(created.outcome),
        EventKind::NudgeDelivered(delivered) => of(delivered.outcome),
        EventKind::Notified(notified) => of(notified.outcome),
        EventKind::TokenRefreshed(refreshed) => of(refreshed.outcome),
        EventKind::PrObserved(observed) if observed.error.is_some() => "failed",
        EventKind::MergeAttempted(attempted) => match &attempted.outcome {
            MergeOutcome::Error { .. } => "failed",
            _ => "done",
        },
        EventKind::MergeVerified(verified) if verified.outcome == VerifyOutcome::Unknown => {
            "unknown"
        }
        _ => "done",
    });
    words.next_back().unwrap_or("done")
}

fn observed(
    bead_id: gastown_core::BeadId,
    pr_url: String,
    result: Result<gastown_core::Observation, ForgeError>,
) -> PrObserved {
    let (observation, error) = match result {
        Ok(observation) => (Some(observation), None),
        Err(error) => (None, Some(error)),
    };
    PrObserved {
        bead_id,
        pr_url: Some(pr_url),
        observation,
        error,
    }
}

fn refreshed(token: TokenKind, result: Result<Option<Timestamp>, PortError>) -> TokenRefreshed {
    let (outcome, expires_at) = match result {
        Ok(expires_at) => (EffectOutcome::Done, expires_at),
        Err(error) => {
            tracing::warn!(?token, %error, "could not refresh a token");
            (EffectOutcome::Failed, None)
        }
    };
    TokenRefreshed {
        token,
        outcome,
        expires_at,
    }
}

/// What is said of an effect that was given up: it may have been done.
fn unknown_outcome(effect: &Effect) -> Vec<EventKind> {
    let outcome = EffectOutcome::Unknown;
    vec![match effect.kind.clone() {
        EffectKind::StartAgent(start) => EventKind::from(DispatchFailed {
            agent_id: start.agent_id,
            outcome: DispatchOutcome::Unknown,
            session: Some(start.session),
            bead_id: Some(start.bead_id),
            reason: "it took too long".into(),
        }),
        EffectKind::StopAgent(stop) => EventKind::from(AgentStopped {
            agent_id: stop.agent_id,
            session: Some(stop.session),
            outcome: Some(outcome),
        }),
        EffectKind::PollPr(poll) => EventKind::from(observed(
            poll.bead_id,
            poll.pr_url,
            Err(ForgeError::Network),
        )),
        EffectKind::MergePr(merge) => EventKind::from(MergeAttempted {
            bead_id: merge.bead_id,
            head_sha: merge.head_sha,
            outcome: MergeOutcome::Error {
                error: ForgeError::Network,
            },
        }),
        EffectKind::VerifyMerge(verify) => EventKind::from(MergeVerified {
            bead_id: verify.bead_id,
            outcome: VerifyOutcome::Unknown,
        }),
        EffectKind::CreateBranch(create) => EventKind::from(BranchCreated {
            convoy_id: create.convoy_id,
            branch: create.branch,
            outcome,
            rig_id: Some(create.rig_id),
        }),
        EffectKind::DeliverNudge(nudge) => EventKind::from(NudgeDelivered {
            nudge_id: nudge.nudge_id,
            outcome,
        }),
        EffectKind::NotifyMayor(notice) => EventKind::from(Notified {
            topic: notice.topic,
            outcome,
        }),
        EffectKind::RefreshContainerToken(_) => EventKind::from(TokenRefreshed {
            token: TokenKind::Container,
            outcome,
            expires_at: None,
        }),
        EffectKind::RenewLlmToken(_) => EventKind::from(TokenRefreshed {
            token: TokenKind::Llm,
            outcome,
            expires_at: None,
        }),
        EffectKind::StopContainer(_) => return Vec::new(),
    }]
}

/// Whether the same finish may succeed later: it is idempotent, so an unclear failure is tried
/// again too.
fn is_worth_a_retry(error: &StoreError) -> bool {
    error.is_retryable() || matches!(error, StoreError::Backend { .. })
}
