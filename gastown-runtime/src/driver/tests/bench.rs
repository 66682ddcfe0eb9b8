//! A town with its runner, and the words that the tests are written in.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use gastown_core::commands::{AddRig, CloseBead};
use gastown_core::effects::StartAgent;
use gastown_core::events::{ExitStatus, ProcessStatus};
use gastown_core::forges::{CreateBranchRequest, MergeRequest, ObserveRequest, VerifyRequest};
use gastown_core::{
    AgentId, AgentMessage, AgentRuntime, AgentRuntimeError, Bead, BeadId, Caller, ChangeSet,
    Command, Commit, Effect, Event, EventId, EventKind, Forge, ForgeError, HistoryFilter,
    HistoryKind, MergeOutcome, Observation, Policy, SavedWork, SessionId, StartRequest, Store,
    Timestamp, Town, TownConfig, TownId, VerifyOutcome, wire,
};
use serde_json::{Value, json};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::{sleep, timeout};

use super::flaky::Flaky;
use crate::clock::Clock;
use crate::effects::Prepared;
use crate::error::RuntimeError;
use crate::inbox::Item;
use crate::output::{AgentExit, AgentOutput, AgentOutputKind, ToolReply, ToolRequest};
use crate::ports::{Container, PortError};
use crate::protocol::{Heartbeat, ToAgent, ToolRefusal};
use crate::runner::{Runner, RunnerSettings};
use crate::town_handle::{TownHandle, TownStatus};

/// Simulated time; only a test that fails waits this long.
const PATIENCE: Duration = Duration::from_secs(3_600);

pub(super) fn town_id() -> TownId {
    TownId::new("t1").unwrap()
}

/// A wall clock that follows tokio's and can jump.
#[derive(Clone)]
pub(super) struct TestClock {
    begin: tokio::time::Instant,
    jumped: Arc<Mutex<Duration>>,
}

impl TestClock {
    fn new() -> Self {
        Self {
            begin: tokio::time::Instant::now(),
            jumped: Arc::default(),
        }
    }

    pub(super) fn jump(&self, span: Duration) {
        *self.jumped.lock().unwrap() += span;
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        let begin: Timestamp = "2026-04-04T12:00:00Z".parse().unwrap();
        begin.plus(self.begin.elapsed() + *self.jumped.lock().unwrap())
    }

    fn monotonic(&self) -> Duration {
        self.begin.elapsed()
    }
}

/// Agents that start at once, or never answer.
#[derive(Default)]
pub(super) struct Agents {
    hangs: AtomicBool,
    /// The town whose starts never return.
    hangs_in: Mutex<Option<TownId>>,
    asked: Notify,
    started: Notify,
    running: Mutex<Vec<SessionId>>,
    starts: Mutex<Vec<SessionId>>,
    seen: Mutex<usize>,
    /// What is said of sessions that do not run.
    status: Mutex<Option<ProcessStatus>>,
    requests: Mutex<Vec<StartRequest>>,
    asked_to_leave: Mutex<Vec<SessionId>>,
    saved: Mutex<Vec<SessionId>>,
    forgotten: Mutex<Vec<AgentId>>,
}

impl Agents {
    pub(super) fn refuse_to_answer(&self, hangs: bool) {
        self.hangs.store(hangs, Ordering::Relaxed);
    }

    pub(super) fn hang_in(&self, town: TownId) {
        *self.hangs_in.lock().unwrap() = Some(town);
    }

    pub(super) async fn asked(&self) {
        timeout(PATIENCE, self.asked.notified()).await.unwrap();
    }

    /// Every start that was carried out, in order.
    pub(super) fn requests(&self) -> Vec<StartRequest> {
        self.requests.lock().unwrap().clone()
    }

    pub(super) fn running(&self) -> Vec<SessionId> {
        self.running.lock().unwrap().clone()
    }

    pub(super) fn asked_to_leave(&self) -> Vec<SessionId> {
        self.asked_to_leave.lock().unwrap().clone()
    }

    pub(super) fn saved(&self) -> Vec<SessionId> {
        self.saved.lock().unwrap().clone()
    }

    pub(super) fn forgotten(&self) -> Vec<AgentId> {
        self.forgotten.lock().unwrap().clone()
    }

    pub(super) fn starts(&self) -> usize {
        self.starts.lock().unwrap().len()
    }

    pub(super) fn end(&self, session: &SessionId) {
        self.running
            .lock()
            .unwrap()
            .retain(|running| running != session);
    }

    pub(super) fn set_status(&self, status: ProcessStatus) {
        *self.status.lock().unwrap() = Some(status);
    }

    async fn next_start(&self) -> SessionId {
        loop {
            let next = {
                let mut seen = self.seen.lock().unwrap();
                let next = self.starts.lock().unwrap().get(*seen).cloned();
                *seen += usize::from(next.is_some());
                next
            };
            match next {
                Some(session) => return session,
                None => timeout(PATIENCE, self.started.notified())
                    .await
                    .expect("no start"),
            }
        }
    }
}

#[async_trait]
impl AgentRuntime for Agents {
    async fn preflight(&self) -> Result<(), AgentRuntimeError> {
        Ok(())
    }

    async fn start(&self, request: StartRequest) -> Result<(), AgentRuntimeError> {
        self.asked.notify_one();
        let of_town = self.hangs_in.lock().unwrap().clone();
        if self.hangs.load(Ordering::Relaxed) || of_town.as_ref() == Some(&request.session.town_id)
        {
            std::future::pending::<()>().await;
        }
        self.running.lock().unwrap().push(request.session.clone());
        self.requests.lock().unwrap().push(request.clone());
        self.starts.lock().unwrap().push(request.session);
        self.started.notify_one();
        Ok(())
    }

    async fn stop(&self, session: &SessionId, _: &str) -> Result<(), AgentRuntimeError> {
        self.end(session);
        Ok(())
    }

    async fn wrap_up(&self, session: &SessionId, _: &str) -> Result<(), AgentRuntimeError> {
        self.asked_to_leave.lock().unwrap().push(session.clone());
        Ok(())
    }

    async fn save_work(&self, session: &SessionId) -> Result<Option<SavedWork>, AgentRuntimeError> {
        let runs = self.running.lock().unwrap().contains(session);
        assert!(!runs, "saved while it runs");
        self.saved.lock().unwrap().push(session.clone());
        Ok(Some(SavedWork {
            branch: Some("kept".into()),
            commit: Some("c0ffee".into()),
            aside: None,
        }))
    }

    async fn kept(&self, _: &TownId) -> Vec<AgentId> {
        vec!["stranger".parse().unwrap()]
    }

    async fn forget(&self, _: &TownId, agent: &AgentId) -> Result<(), AgentRuntimeError> {
        self.forgotten.lock().unwrap().push(agent.clone());
        Ok(())
    }

    async fn status(&self, session: &SessionId) -> ProcessStatus {
        if self.running.lock().unwrap().contains(session) {
            return ProcessStatus::Running;
        }
        self.status
            .lock()
            .unwrap()
            .unwrap_or(ProcessStatus::NotFound)
    }

    async fn deliver(&self, _: &SessionId, _: AgentMessage) -> Result<(), AgentRuntimeError> {
        Ok(())
    }
}

/// A forge on which everything that is asked for is so.
struct Willing;

#[async_trait]
impl Forge for Willing {
    async fn observe(&self, _: ObserveRequest) -> Result<Observation, ForgeError> {
        Err(ForgeError::UnrecognizedUrl)
    }

    async fn merge(&self, _: MergeRequest) -> MergeOutcome {
        MergeOutcome::Error {
            error: ForgeError::UnrecognizedUrl,
        }
    }

    async fn verify_merge(&self, _: VerifyRequest) -> VerifyOutcome {
        VerifyOutcome::Unknown
    }

    async fn create_branch(&self, _: CreateBranchRequest) -> Result<(), ForgeError> {
        Ok(())
    }
}

/// A container whose tokens live as long as they say.
#[derive(Default)]
pub(super) struct Tokens {
    /// When each refresh of the container's token was asked for.
    pub(super) refreshed: Mutex<Vec<tokio::time::Instant>>,
    /// When each renewal of the model's token was asked for, and until when it is good.
    pub(super) renewed: Mutex<Vec<Timestamp>>,
    pub(super) llm_expiry: Mutex<Option<Timestamp>>,
}

#[async_trait]
impl Container for Tokens {
    async fn refresh_token(&self, _: &TownId) -> Result<Option<Timestamp>, PortError> {
        let now = tokio::time::Instant::now();
        self.refreshed.lock().unwrap().push(now);
        Ok(None)
    }

    async fn renew_llm_token(&self, _: &TownId) -> Result<Option<Timestamp>, PortError> {
        let mut expiry = self.llm_expiry.lock().unwrap();
        self.renewed.lock().unwrap().extend(*expiry);
        *expiry = expiry.map(|at| at.plus(Duration::from_secs(30 * 24 * 3_600)));
        Ok(*expiry)
    }

    async fn stop(&self, _: &TownId) -> Result<(), PortError> {
        Ok(())
    }
}

pub(super) struct Bench {
    town: TownId,
    pub(super) tokens: Arc<Tokens>,
    pub(super) store: Flaky,
    pub(super) agents: Arc<Agents>,
    pub(super) clock: TestClock,
    pub(super) handle: TownHandle,
    runner: Arc<Runner>,
    outputs: mpsc::Sender<AgentOutput>,
}

impl Bench {
    pub(super) async fn new() -> Self {
        let policy = Policy {
            dispatch_backoff: [Duration::from_secs(1); 5],
            ..Policy::default()
        };
        Self::with(policy).await
    }

    pub(super) async fn with_settle_limit(settle_limit: u32) -> Self {
        let policy = Policy {
            settle_limit,
            ..Policy::default()
        };
        Self::with(policy).await
    }

    async fn with(policy: Policy) -> Self {
        let store = Flaky::default();
        let agents = Arc::new(Agents::default());
        let clock = TestClock::new();
        let bench = Self::over(town_id(), store, agents, clock, Some(policy)).await;
        bench.add_rig().await;
        bench
    }

    /// A town that is in the store already, as `text` describes it in the words of
    /// `gastown_core::testing`.
    pub(super) async fn of(text: &str) -> Self {
        let store = Flaky::default();
        let mut town = gastown_core::testing::town(text);
        let commit = Commit {
            expected_version: 0,
            lease_token: None,
            changes: town.take_changes(),
            consumed: Vec::new(),
            effects: Vec::new(),
            at: TestClock::new().now(),
        };
        drop(store.commit(&town_id(), commit).await.unwrap());
        let agents = Arc::new(Agents::default());
        Self::over(town_id(), store, agents, TestClock::new(), None).await
    }

    async fn over(
        town: TownId,
        store: Flaky,
        agents: Arc<Agents>,
        clock: TestClock,
        policy: Option<Policy>,
    ) -> Self {
        let (outputs, receiver) = mpsc::channel(64);
        let tokens = Arc::new(Tokens::default());
        let runner = Runner::builder()
            .container(tokens.clone())
            .store(Arc::new(store.clone()))
            .forge(Arc::new(Willing))
            .agents(agents.clone())
            .outputs(receiver)
            .clock(Arc::new(clock.clone()))
            .settings(RunnerSettings::usual())
            .build()
            .unwrap();
        if let Some(policy) = policy {
            let created = runner.create_town(&town, TownConfig::seed(), policy).await;
            assert!(created.unwrap());
        }
        let handle = runner.open_town(&town).await.unwrap();
        Self {
            town,
            tokens,
            store,
            agents,
            clock,
            handle,
            runner: Arc::new(runner),
            outputs,
        }
    }

    async fn add_rig(&self) {
        let rig = AddRig {
            rig_id: "r1".parse().unwrap(),
            name: "api".into(),
            git_url: "/srv/git/api.git".into(),
            default_branch: "main".into(),
            config: Default::default(),
        };
        let command = Command::new(Caller::user("ann"), rig);
        self.handle.execute(command).await.unwrap();
    }

    /// The process is killed: its tasks are gone, its lease is not given back.
    pub(super) async fn crash(self) -> Self {
        self.crash_leaving(Vec::new()).await
    }

    /// As [`Self::crash`]; these effects were committed before and not finished.
    pub(super) async fn crash_leaving(self, effects: Vec<Effect>) -> Self {
        let Self {
            town,
            store,
            agents,
            clock,
            runner,
            ..
        } = self;
        runner.kill_for_tests();
        sleep(Duration::from_secs(60)).await;
        let loaded = store.load(&town).await.unwrap();
        let commit = Commit {
            expected_version: loaded.version,
            lease_token: None,
            changes: ChangeSet::default(),
            consumed: Vec::new(),
            effects,
            at: clock.now(),
        };
        let _ = store.commit(&town, commit).await.unwrap();
        Self::over(town, store, agents, clock, None).await
    }

    pub(super) async fn another_runner(&self) -> Self {
        let (store, agents) = (self.store.clone(), self.agents.clone());
        Self::over(self.town.clone(), store, agents, self.clock.clone(), None).await
    }

    pub(super) async fn another_town(&self, id: &str) -> Self {
        let town = TownId::new(id).unwrap();
        let created = self
            .runner
            .create_town(&town, TownConfig::seed(), Policy::default());
        assert!(created.await.unwrap());
        let other = Self {
            handle: self.runner.open_town(&town).await.unwrap(),
            town,
            tokens: self.tokens.clone(),
            store: self.store.clone(),
            agents: self.agents.clone(),
            clock: self.clock.clone(),
            runner: self.runner.clone(),
            outputs: self.outputs.clone(),
        };
        other.add_rig().await;
        other
    }

    pub(super) async fn shutdown(self) {
        let runner = Arc::into_inner(self.runner).unwrap();
        runner.shutdown().await;
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(super) fn event(&self, id: &str, kind: EventKind) -> Event {
        Event {
            id: EventId::new(id).unwrap(),
            at: self.now(),
            key: None,
            kind,
        }
    }

    pub(super) async fn try_sling(&self, title: &str, rig: &str) -> Result<BeadId, RuntimeError> {
        Self::sling_to(&self.handle, title, rig).await
    }

    pub(super) async fn sling_through(
        handle: &TownHandle,
        title: &str,
    ) -> Result<BeadId, RuntimeError> {
        Self::sling_to(handle, title, "r1").await
    }

    async fn sling_to(handle: &TownHandle, title: &str, rig: &str) -> Result<BeadId, RuntimeError> {
        let input = json!({"rig_id": rig, "title": title});
        let command = wire::command_from_tool("gt_sling", input, Caller::user("ann")).unwrap();
        let receipt = handle.execute(command).await?;
        Ok(BeadId::new(&receipt.made[0]).unwrap())
    }

    pub(super) async fn sling(&self, title: &str) -> BeadId {
        self.try_sling(title, "r1").await.unwrap()
    }

    /// Executes a command of a user, as JSON without type and caller.
    pub(super) async fn command(&self, name: &str, mut input: Value) {
        input["type"] = name.into();
        input["caller"] = json!({"kind": "user", "id": "ann"});
        let command = wire::command_from_value(input).unwrap();
        self.handle.execute(command).await.unwrap();
    }

    pub(super) async fn bead(&self, id: &BeadId) -> Bead {
        self.stored().await.bead(id).unwrap().clone()
    }

    /// Waits until something is true of the town as it is stored.
    pub(super) async fn until(&self, what: &str, is_true: impl Fn(&Town) -> bool) {
        let begin = tokio::time::Instant::now();
        while !is_true(&self.stored().await) {
            assert!(begin.elapsed() < PATIENCE, "never: {what}");
            sleep(Duration::from_millis(100)).await;
        }
    }

    pub(super) async fn close_bead(&self, bead: &BeadId) -> Result<(), RuntimeError> {
        let close = CloseBead {
            bead_id: bead.clone(),
            reason: Some("no longer needed".into()),
        };
        let command = Command::new(Caller::user("ann"), close);
        self.handle.execute(command).await.map(drop)
    }

    /// The effect that starts `number` as the agent's session.
    pub(super) fn start_effect(&self, session: &SessionId, bead: &BeadId, number: u64) -> Effect {
        let start = StartAgent {
            agent_id: session.agent_id.clone(),
            bead_id: bead.clone(),
            rig_id: "r1".parse().unwrap(),
            session: number,
            attempt: 1,
        };
        Effect::new(session.agent_id.as_str(), number, start)
    }

    /// What the loop answers to an effect whose turn has come.
    pub(super) async fn ask(&self, effect: &Effect) -> Prepared {
        let (reply, answer) = oneshot::channel();
        let effect = Box::new(effect.clone());
        let asked = self.handle.inbox.push(Item::Ask { effect, reply });
        assert!(asked.is_ok());
        answer.await.unwrap()
    }

    pub(super) async fn next_start(&self) -> SessionId {
        self.agents.next_start().await
    }

    async fn say(&self, session: &SessionId, kind: AgentOutputKind) {
        let session = session.clone();
        self.outputs
            .send(AgentOutput { session, kind })
            .await
            .unwrap();
    }

    pub(super) async fn beats(&self, session: &SessionId, event: &str) {
        let heartbeat = Heartbeat {
            last_event_type: Some(event.into()),
            last_event_at: Some(self.now()),
            ..Heartbeat::default()
        };
        self.say(session, AgentOutputKind::Heartbeat(heartbeat))
            .await;
    }

    /// A session that was asked to leave does so.
    pub(super) async fn leaves(&self, session: &SessionId) {
        self.agents.end(session);
        let exit = AgentExit {
            status: ExitStatus::Completed,
            reason: "scripted".into(),
            asked: true,
        };
        self.say(session, AgentOutputKind::Exited(exit)).await;
    }

    pub(super) async fn exits(&self, session: &SessionId, status: ExitStatus) {
        let exit = AgentExit {
            status,
            reason: "scripted".into(),
            asked: false,
        };
        self.say(session, AgentOutputKind::Exited(exit)).await;
    }

    /// Calls a tool; the answer comes through the handle.
    pub(super) async fn send_tool(
        &self,
        session: &SessionId,
        name: &str,
        input: Value,
    ) -> tokio::task::JoinHandle<Result<Value, ToolRefusal>> {
        let (lines, mut written) = mpsc::channel(1);
        let request = ToolRequest {
            name: name.into(),
            input: input.as_object().unwrap().clone(),
            reply: ToolReply::new(1, lines),
        };
        self.say(session, AgentOutputKind::Tool(request)).await;
        tokio::spawn(async move {
            let Some(ToAgent::Result(result)) = written.recv().await else {
                panic!("expected the result");
            };
            result.outcome
        })
    }

    pub(super) async fn tool(
        &self,
        session: &SessionId,
        name: &str,
        input: Value,
    ) -> Result<Value, ToolRefusal> {
        self.send_tool(session, name, input).await.await.unwrap()
    }

    /// Waits until nothing is left to do at this moment.
    pub(super) async fn settled(&self) {
        loop {
            sleep(Duration::from_millis(100)).await;
            let runs = matches!(self.handle.status(), TownStatus::Running { .. });
            if runs && self.pending_events().await == 0 {
                return;
            }
        }
    }

    pub(super) async fn pending_events(&self) -> usize {
        // Asked of the store itself, so that it is not counted.
        let loaded = self.store.uncounted().pending_events(&self.town, 100).await;
        loaded.unwrap().len()
    }

    pub(super) async fn stored(&self) -> Town {
        let loaded = self.store.load(&self.town).await.unwrap();
        Town::from_rows(loaded.rows).unwrap()
    }

    pub(super) async fn version(&self) -> u64 {
        self.store.load(&self.town).await.unwrap().version
    }

    pub(super) async fn history(&self, kind: HistoryKind) -> Vec<Value> {
        let filter = HistoryFilter {
            kind: Some(kind),
            limit: 1_000,
            ..HistoryFilter::default()
        };
        let entries = self.store.history(&self.town, filter).await.unwrap();
        let bodies = entries.iter().map(|stored| stored.entry.body.as_str());
        bodies
            .map(|body| serde_json::from_str(body).unwrap())
            .collect()
    }
}
