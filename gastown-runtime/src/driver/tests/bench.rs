//! A town with its runner, and the words that the tests are written in.

mod agents;
mod ports;

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use gastown_core::commands::{AddRig, CloseBead};
use gastown_core::effects::StartAgent;
use gastown_core::events::ExitStatus;
use gastown_core::{
    Bead, BeadId, Caller, ChangeSet, Command, Commit, Effect, Event, EventId, EventKind,
    HistoryFilter, HistoryKind, Policy, SessionId, Store, Timestamp, Town, TownConfig, TownId,
    wire,
};
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep;

use self::agents::Agents;
use self::ports::{TestClock, Tokens, Willing};
use super::flaky::Flaky;
use crate::clock::Clock;
use crate::effects::Prepared;
use crate::error::RuntimeError;
use crate::inbox::Item;
use crate::output::{AgentExit, AgentOutput, AgentOutputKind, ToolReply, ToolRequest};
use crate::protocol::{Heartbeat, ToAgent, ToolRefusal};
use crate::runner::{Runner, RunnerSettings};
use crate::town_handle::{TownHandle, TownStatus};

/// Simulated time; only a test that fails waits this long.
const PATIENCE: Duration = Duration::from_secs(3_600);

pub(super) fn town_id() -> TownId {
    TownId::new("t1").unwrap()
}

/// What outlives the host's process.
#[derive(Clone)]
pub(super) struct World {
    pub(super) store: Flaky,
    pub(super) agents: Arc<Agents>,
    pub(super) forge: Arc<Willing>,
    pub(super) clock: TestClock,
    pub(super) settings: RunnerSettings,
    /// The place where agents run.
    pub(super) instance: String,
    /// Agents are those of one runner, as processes are.
    pub(super) owns_agents: bool,
}

impl World {
    pub(super) fn new() -> Self {
        Self {
            store: Flaky::default(),
            agents: Arc::default(),
            forge: Arc::default(),
            clock: TestClock::new(),
            settings: RunnerSettings::usual(),
            instance: "c1".into(),
            owns_agents: false,
        }
    }

    /// Puts a town into the store, as `text` describes it in the words of
    /// `gastown_core::testing`.
    pub(super) async fn with(self, text: &str) -> Self {
        let mut town = gastown_core::testing::town(text);
        let commit = Commit {
            expected_version: 0,
            lease_token: None,
            changes: town.take_changes(),
            consumed: Vec::new(),
            effects: Vec::new(),
            at: self.clock.now(),
        };
        drop(self.store.commit(&town_id(), commit).await.unwrap());
        self
    }

    /// A runner, and where its agents speak.
    pub(super) fn runner(&self, tokens: Arc<Tokens>) -> (Runner, mpsc::Sender<AgentOutput>) {
        let (outputs, receiver) = mpsc::channel(64);
        let builder = match self.owns_agents {
            true => Runner::builder().own_agents_for_tests(),
            false => Runner::builder(),
        };
        let runner = builder
            .container(tokens)
            .container_instance(&self.instance)
            .store(Arc::new(self.store.clone()))
            .forge(self.forge.clone())
            .agents(self.agents.clone())
            .outputs(receiver)
            .clock(Arc::new(self.clock.clone()))
            .settings(self.settings.clone())
            .build();
        (runner.unwrap(), outputs)
    }
}

pub(super) struct Bench {
    world: World,
    town: TownId,
    pub(super) tokens: Arc<Tokens>,
    pub(super) handle: TownHandle,
    runner: Arc<Runner>,
    outputs: mpsc::Sender<AgentOutput>,
}

impl Deref for Bench {
    type Target = World;

    fn deref(&self) -> &World {
        &self.world
    }
}

impl Bench {
    pub(super) async fn new() -> Self {
        Self::in_world(World::new()).await
    }

    /// A new town with a rig.
    pub(super) async fn in_world(world: World) -> Self {
        let policy = Policy {
            dispatch_backoff: [Duration::from_secs(1); 5],
            ..Policy::default()
        };
        Self::found(world, policy).await
    }

    pub(super) async fn with_settle_limit(world: World, settle_limit: u32) -> Self {
        let policy = Policy {
            settle_limit,
            ..Policy::default()
        };
        Self::found(world, policy).await
    }

    async fn found(world: World, policy: Policy) -> Self {
        let bench = Self::over(world, town_id(), Some(policy)).await;
        bench.add_rig().await;
        bench
    }

    /// A town that is in the store already.
    pub(super) async fn of(text: &str) -> Self {
        Self::over(World::new().with(text).await, town_id(), None).await
    }

    async fn over(world: World, town: TownId, policy: Option<Policy>) -> Self {
        let tokens = Arc::new(Tokens::default());
        let (runner, outputs) = world.runner(tokens.clone());
        if let Some(policy) = policy {
            let created = runner.create_town(&town, TownConfig::seed(), policy).await;
            assert!(created.unwrap());
        }
        let handle = runner.open_town(&town).await.unwrap();
        Self {
            world,
            town,
            tokens,
            handle,
            runner: Arc::new(runner),
            outputs,
        }
    }

    /// The town is closed; its agents and other towns go on.
    pub(super) async fn close(&self) {
        self.runner.close_town(&self.town).await;
    }

    /// The town is opened again by the same runner.
    pub(super) async fn reopen(&mut self) {
        self.handle = self.try_reopen().await.unwrap();
    }

    pub(super) async fn try_reopen(&self) -> Result<TownHandle, RuntimeError> {
        self.runner.open_town(&self.town).await
    }

    pub(super) async fn open_all(&self) -> Result<Vec<TownHandle>, RuntimeError> {
        self.runner.open_all_towns().await
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
        self.runner.cut_off();
        sleep(Duration::from_secs(60)).await;
        let Self { world, town, .. } = self;
        let loaded = world.store.load(&town).await.unwrap();
        let commit = Commit {
            expected_version: loaded.version,
            lease_token: None,
            changes: ChangeSet::default(),
            consumed: Vec::new(),
            effects,
            at: world.clock.now(),
        };
        let _ = world.store.commit(&town, commit).await.unwrap();
        Self::over(world, town, None).await
    }

    /// The process is killed, and the next one is another container.
    pub(super) async fn crash_into(mut self, instance: &str) -> Self {
        self.world.instance = instance.into();
        self.crash().await
    }

    /// Another host, with agents of its own, over the same store.
    pub(super) async fn another_host(&self) -> Self {
        let mut world = self.world.clone();
        world.store = self.store.beside();
        world.agents = Arc::default();
        world.instance = "elsewhere".into();
        Self::over(world, self.town.clone(), None).await
    }

    pub(super) async fn another_runner(&self) -> Self {
        Self::over(self.world.clone(), self.town.clone(), None).await
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
            world: self.world.clone(),
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
        self.exits_for(session, status, "scripted").await;
    }

    pub(super) async fn exits_for(&self, session: &SessionId, status: ExitStatus, reason: &str) {
        let exit = AgentExit {
            status,
            reason: reason.into(),
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
