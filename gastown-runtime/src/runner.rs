//! Runs towns: what a host builds once and hands its ports to (spec 6.2).

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use gastown_core::events::{AgentExited, Heartbeat};
use gastown_core::{
    AgentRuntime, Commit, Forge, Policy, SessionId, Store, StoreError, Town, TownConfig, TownId,
    snapshot_entries,
};
use tokio::sync::{OnceCell, broadcast, mpsc, watch};
use tokio::task::JoinHandle;

use crate::clock::{Clock, SystemClock};
use crate::credentials::{Credentials, NoCredentials};
use crate::driver::{Driver, State};
use crate::effects::{EffectLimits, Limits, Performer, TownPlaces, Workshop};
use crate::error::RuntimeError;
use crate::git_forge::GitForge;
use crate::inbox::{Inbox, Item};
use crate::output::{AgentOutput, AgentOutputKind};
use crate::ports::{Container, LogNotifier, NoContainer, Notifier};
use crate::process::{ProcessRuntime, ProcessSettings};
use crate::protocol;
use crate::supervisor::{Sign, Supervisor, SupervisorSettings};
use crate::telemetry;
use crate::town_handle::{REPORTS_KEPT_MAX, TownHandle, TownStatus};

/// How towns are run. Made by [`RunnerSettings::usual`] and changed field by field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunnerSettings {
    /// How many events one tick takes.
    pub events_per_tick_max: usize,
    /// How long a town stays this runner's without a sign of it. A host that is killed keeps
    /// others, and its own restart under another holder, waiting so long; for a quiet town up to
    /// its idle tick interval longer, because nobody wakes it only to extend a lease.
    pub lease_ttl: Duration,
    /// How long the store may take before a town is loaded anew.
    pub store_deadline: Duration,
    /// The first pause after a failure; it doubles.
    pub retry_min: Duration,
    /// The longest pause after failures.
    pub retry_max: Duration,
    /// How long effects that run may take when a town is closed.
    pub close_wait: Duration,
    /// How many effects run at once, and for how long.
    pub effects: EffectLimits,
    /// How long starts and stops of agents may take.
    pub sessions: SupervisorSettings,
}

impl RunnerSettings {
    /// What suits most hosts.
    #[must_use]
    pub fn usual() -> Self {
        Self {
            events_per_tick_max: 256,
            lease_ttl: Duration::from_secs(30),
            store_deadline: Duration::from_secs(30),
            retry_min: Duration::from_millis(100),
            retry_max: Duration::from_secs(30),
            close_wait: Duration::from_secs(10),
            effects: EffectLimits::usual(),
            sessions: SupervisorSettings::usual(),
        }
    }

    /// How often a lease is extended: early enough for two more tries.
    pub(crate) fn renew_every(&self) -> Duration {
        self.lease_ttl.checked_div(3).unwrap_or_default()
    }
}

/// Runs any number of towns over one store, one forge and one agent runtime.
///
/// # Guarantees
/// - A town has one writer: commands, events and decisions go through its loop, and the store's
///   lease and version keep other processes out.
/// - Effects run only after the commit that asked for them, and only while the town wants them.
/// - A town that is slow, fails or is frozen holds up no other.
///
/// One town, with agents that are processes of this machine and a plain git origin as its forge:
///
/// ```
/// use gastown_core::{TownConfig, TownId};
/// use gastown_runtime::{CommandTemplate, ProcessSettings, Runner};
/// use gastown_store_memory::MemoryStore;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// # let dir = dir.path();
///
/// let command = CommandTemplate::new(["sh", "my-agent.sh", "{role}"])?;
/// let processes = ProcessSettings::new(dir, command);
/// # let mut processes = processes;
/// # processes.tools.clear();
/// let runner = Runner::builder()
///     .store(std::sync::Arc::new(MemoryStore::new()))
///     .processes(processes)
///     .start().await?;
/// let town = runner.found_town(&TownId::new("t1")?, TownConfig::seed()).await?;
/// assert!(town.overview().await?.rigs.is_empty());
/// runner.shutdown().await;
/// # Ok(())
/// # }
/// ```
///
/// Ten thousand towns, with ports of the host's own:
///
/// ```
/// # use std::sync::Arc;
/// # use gastown_core::{AgentRuntime, Forge, Store, TownConfig, TownId};
/// # use gastown_runtime::{Clock, Container, Notifier, Runner, RuntimeError};
/// # #[allow(clippy::too_many_arguments)]
/// # async fn host(
/// #     store: Arc<dyn Store>, forge: Arc<dyn Forge>, agents: Arc<dyn AgentRuntime>,
/// #     outputs: tokio::sync::mpsc::Receiver<gastown_runtime::AgentOutput>,
/// #     notifier: Arc<dyn Notifier>, container: Arc<dyn Container>, clock: Arc<dyn Clock>,
/// #     names: Vec<TownId>, interrupted: tokio::sync::oneshot::Receiver<()>,
/// # ) -> Result<(), RuntimeError> {
/// let runner = Runner::builder()
///     .store(store)
///     .forge(forge)
///     .agents(agents)
///     .outputs(outputs)
///     .notifier(notifier)
///     .container(container)
///     .clock(clock)
///     .build()?;
/// for town_id in &names {
///     runner.found_town(town_id, TownConfig::seed()).await?;
/// }
/// // Those of earlier runs, too.
/// let towns = runner.open_all_towns().await?;
/// println!("{} towns run; quiet ones sleep until their next wake-up", towns.len());
/// let _ = interrupted.await;
/// runner.shutdown().await;
/// # Ok(())
/// # }
/// ```
///
/// # Assumptions
/// - It is used within a tokio runtime with time enabled.
pub struct Runner {
    workshop: Arc<Workshop>,
    settings: Arc<RunnerSettings>,
    holder: String,
    towns: Towns,
    router: Option<JoinHandle<()>>,
    /// Agents that end with the runner.
    processes: Option<Arc<ProcessRuntime>>,
    /// Tools of agents are there.
    tools: OnceCell<()>,
}

type Towns = Arc<Mutex<BTreeMap<TownId, Running>>>;

struct Running {
    handle: TownHandle,
    task: JoinHandle<()>,
}

impl std::fmt::Debug for Runner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runner")
            .field("holder", &self.holder)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

/// What a runner is built from. `store`, `forge` and `agents` are needed, the rest has defaults.
#[derive(Default)]
#[must_use]
pub struct RunnerBuilder {
    store: Option<Arc<dyn Store>>,
    forge: Option<Arc<dyn Forge>>,
    agents: Option<Arc<dyn AgentRuntime>>,
    outputs: Option<mpsc::Receiver<AgentOutput>>,
    notifier: Option<Arc<dyn Notifier>>,
    container: Option<Arc<dyn Container>>,
    clock: Option<Arc<dyn Clock>>,
    settings: Option<RunnerSettings>,
    credentials: Option<Arc<dyn Credentials>>,
    processes: Option<ProcessSettings>,
    holder: Option<String>,
    container_instance: Option<String>,
}

macro_rules! parts {
    ($($(#[$doc:meta])* $name:ident: $type:ty,)*) => {
        impl RunnerBuilder {
            $($(#[$doc])*
            pub fn $name(mut self, $name: $type) -> Self {
                self.$name = Some($name);
                self
            })*
        }
    };
}

parts! {
    /// Where towns are kept.
    store: Arc<dyn Store>,
    /// Who is asked about branches and pull requests.
    forge: Arc<dyn Forge>,
    /// Who runs agents.
    agents: Arc<dyn AgentRuntime>,
    /// What running agents say; comes with [`crate::ProcessRuntime::open`].
    outputs: mpsc::Receiver<AgentOutput>,
    /// Who is told what towns have to say. Default: the log.
    notifier: Arc<dyn Notifier>,
    /// The place where agents run. Default: this machine, without tokens.
    container: Arc<dyn Container>,
    /// Where the time comes from. Default: the system.
    clock: Arc<dyn Clock>,
    /// How towns are run. Default: [`RunnerSettings::usual`].
    settings: RunnerSettings,
    /// Who keeps the secrets of agents that [`RunnerBuilder::start`] runs as processes, and of
    /// repositories. Default: nobody.
    credentials: Arc<dyn Credentials>,
    /// How agents are run as processes of this machine. Instead of `agents` and `outputs`; takes
    /// [`RunnerBuilder::start`].
    processes: ProcessSettings,
}

impl RunnerBuilder {
    /// The name under which towns are leased. Default: one that nobody else has.
    ///
    /// A fixed name lets a restart go on at once instead of waiting for the old lease to end. Use
    /// it only where something else makes sure that two processes never run under it, such as the
    /// lock on the directory of a [`crate::ProcessRuntime`].
    pub fn holder(mut self, holder: impl Into<String>) -> Self {
        self.holder = Some(holder.into());
        self
    }

    /// Names the place where agents run: a heartbeat from another one ends a drain. Default: this
    /// process.
    pub fn container_instance(mut self, instance: impl Into<String>) -> Self {
        self.container_instance = Some(instance.into());
        self
    }

    /// Opens what is asked for and not given, and builds the runner: with `processes` a
    /// [`ProcessRuntime`], whose agents end with the runner, and, where no forge was given, a
    /// [`GitForge`] in its directory. The lock on that directory keeps a second runner out, so a
    /// restart goes on at once under a name of its own, unless `holder` names another.
    ///
    /// # Errors
    /// Those of [`ProcessRuntime::open`] and [`RunnerBuilder::build`];
    /// [`RuntimeError::CheckTools`] names tools of agents that are missing on this machine.
    pub async fn start(self) -> Result<Runner, RuntimeError> {
        let runner = match self.processes {
            Some(_) => self.open_processes().await?,
            None => self.build()?,
        };
        runner.check_tools().await?;
        Ok(runner)
    }

    async fn open_processes(mut self) -> Result<Runner, RuntimeError> {
        let Some(settings) = self.processes.take() else {
            return self.build();
        };
        let credentials = self.credentials.take();
        let credentials = credentials.unwrap_or_else(|| Arc::new(NoCredentials));
        let (dir, git) = (settings.dir.clone(), settings.git.clone());
        let (agents, outputs) = ProcessRuntime::open(settings, Arc::clone(&credentials)).await?;
        let agents = Arc::new(agents);
        self.agents = Some(Arc::clone(&agents) as Arc<dyn AgentRuntime>);
        self.outputs = Some(outputs);
        if self.forge.is_none() {
            let forge = GitForge::new(git, dir.join("forge"), credentials);
            self.forge = Some(Arc::new(forge));
        }
        if self.holder.is_none() {
            self.holder = Some(format!("processes-{}", agents.identity()));
        }
        let mut runner = self.build()?;
        runner.processes = Some(agents);
        Ok(runner)
    }

    /// Builds the runner from the ports that were given.
    ///
    /// # Errors
    /// [`RuntimeError::BuildRunner`] names the port that is missing.
    pub fn build(self) -> Result<Runner, RuntimeError> {
        let missing = |port: &'static str| RuntimeError::BuildRunner { port };
        let settings = Arc::new(self.settings.unwrap_or_else(RunnerSettings::usual));
        let agents = self.agents.ok_or_else(|| missing("agents"))?;
        let nonce = unique();
        let workshop = Arc::new(Workshop {
            store: self.store.ok_or_else(|| missing("a store"))?,
            forge: self.forge.ok_or_else(|| missing("a forge"))?,
            supervisor: Supervisor::new(agents, settings.sessions.clone()),
            notifier: self.notifier.unwrap_or_else(|| Arc::new(LogNotifier)),
            container: self.container.unwrap_or_else(|| Arc::new(NoContainer)),
            clock: self.clock.unwrap_or_else(|| Arc::new(SystemClock::new())),
            limits: Limits::new(&settings.effects),
            deadline: settings.effects.deadline,
            container_instance: self.container_instance.unwrap_or_else(|| nonce.clone()),
            event_prefix: format!("run-{nonce}"),
            events_made: AtomicU64::new(0),
        });
        let towns = Towns::default();
        let router = self.outputs.map(|outputs| {
            let (workshop, towns) = (Arc::clone(&workshop), Arc::clone(&towns));
            tokio::spawn(route(outputs, workshop, towns))
        });
        Ok(Runner {
            workshop,
            settings,
            holder: self.holder.unwrap_or_else(|| format!("runner-{nonce}")),
            towns,
            router,
            processes: None,
            tools: OnceCell::new(),
        })
    }
}

impl Runner {
    /// Begins to build a runner.
    pub fn builder() -> RunnerBuilder {
        RunnerBuilder::default()
    }

    /// Creates a town in the store unless it is there; returns whether it was created.
    ///
    /// # Errors
    /// [`RuntimeError::OpenTown`].
    pub async fn create_town(
        &self,
        town_id: &TownId,
        config: TownConfig,
        policy: Policy,
    ) -> Result<bool, RuntimeError> {
        let mut town = Town::new(town_id.clone(), config, policy);
        let now = self.workshop.clock.now();
        let mut changes = town.take_changes();
        // What was recorded of a town can be replayed from its making on, whatever comes next.
        let base = snapshot_entries(1, now, changes.put.clone());
        changes.history.extend(base);
        let commit = Commit {
            expected_version: 0,
            lease_token: None,
            changes,
            consumed: Vec::new(),
            effects: Vec::new(),
            at: now,
        };
        match self.workshop.store.commit(town_id, commit).await {
            Ok(_) => Ok(true),
            Err(StoreError::Conflict { .. }) => Ok(false),
            Err(source) => Err(RuntimeError::OpenTown {
                town: town_id.clone(),
                source,
            }),
        }
    }

    /// Creates a town with the usual thresholds unless it is there, and runs it.
    ///
    /// # Errors
    /// As [`Runner::create_town`] and [`Runner::open_town`].
    pub async fn found_town(
        &self,
        town_id: &TownId,
        config: TownConfig,
    ) -> Result<TownHandle, RuntimeError> {
        self.create_town(town_id, config, Policy::default()).await?;
        self.open_town(town_id).await
    }

    /// Runs every town of the store that does not run here yet, and returns all that do. One that
    /// can't be loaded is tried again and again, and shows it in its status.
    ///
    /// # Errors
    /// [`RuntimeError::CheckTools`] or [`RuntimeError::ListTowns`].
    pub async fn open_all_towns(&self) -> Result<Vec<TownHandle>, RuntimeError> {
        self.check_tools().await?;
        let towns = self.workshop.store.towns().await;
        let towns = towns.map_err(|source| RuntimeError::ListTowns { source })?;
        let mut handles = Vec::new();
        for town_id in towns {
            match self.open_town(&town_id).await {
                Ok(handle) => handles.push(handle),
                Err(RuntimeError::TownOpen { town }) => handles.extend(self.town(&town)),
                Err(error) => {
                    tracing::error!(town = %town_id, %error, "could not open a town");
                }
            }
        }
        Ok(handles)
    }

    /// Runs a town that is in the store. While another runner has its lease, it waits.
    ///
    /// # Errors
    /// [`RuntimeError::CheckTools`] if agents can't run here, [`RuntimeError::OpenTown`] if it is
    /// not in the store, [`RuntimeError::TownOpen`] if it runs here already.
    pub async fn open_town(&self, town_id: &TownId) -> Result<TownHandle, RuntimeError> {
        self.check_tools().await?;
        let there = self.workshop.store.rows(town_id, &[]).await;
        there.map_err(|source| RuntimeError::OpenTown {
            town: town_id.clone(),
            source,
        })?;
        let mut towns = self.towns.lock().unwrap_or_else(PoisonError::into_inner);
        if towns
            .get(town_id)
            .is_some_and(|town| !town.task.is_finished())
        {
            return Err(RuntimeError::TownOpen {
                town: town_id.clone(),
            });
        }
        let inbox = Arc::new(Inbox::default());
        let (status, status_seen) = watch::channel(TownStatus::Starting);
        let (reports, _) = broadcast::channel(REPORTS_KEPT_MAX);
        let wakeups = Arc::new(AtomicU64::new(0));
        let handle = TownHandle {
            town_id: town_id.clone(),
            inbox: Arc::clone(&inbox),
            workshop: Arc::clone(&self.workshop),
            status: status_seen,
            reports: reports.clone(),
            wakeups: Arc::clone(&wakeups),
        };
        let performer = Performer {
            town_id: town_id.clone(),
            workshop: Arc::clone(&self.workshop),
            inbox: Arc::clone(&inbox),
            places: Arc::new(TownPlaces::new(town_id.clone(), &self.settings.effects)),
        };
        let driver = Driver {
            town_id: town_id.clone(),
            performer,
            inbox,
            settings: Arc::clone(&self.settings),
            holder: self.holder.clone(),
            status,
            reports,
            wakeups,
            state: State::default(),
        };
        let running = Running {
            handle: handle.clone(),
            task: tokio::spawn(driver.run()),
        };
        towns.insert(town_id.clone(), running);
        Ok(handle)
    }

    /// The preflight, before anything is dispatched (spec 6.3): until it has succeeded once, no
    /// town is opened. A missing tool so is no failure of any dispatch.
    async fn check_tools(&self) -> Result<(), RuntimeError> {
        let preflight = || self.workshop.supervisor.preflight();
        let checked = self.tools.get_or_try_init(preflight).await;
        checked.map_err(|source| RuntimeError::CheckTools { source })?;
        Ok(())
    }

    /// A town that runs here.
    #[must_use]
    pub fn town(&self, town_id: &TownId) -> Option<TownHandle> {
        let towns = self.towns.lock().unwrap_or_else(PoisonError::into_inner);
        towns.get(town_id).map(|town| town.handle.clone())
    }

    /// The supervisor of the agents' sessions.
    #[must_use]
    pub fn supervisor(&self) -> &Supervisor {
        &self.workshop.supervisor
    }

    /// Closes a town: nothing more begins, running effects finish within
    /// [`RunnerSettings::close_wait`] or stay in the outbox, and what is known is committed. Its
    /// agents go on.
    pub async fn close_town(&self, town_id: &TownId) {
        let town = {
            let mut towns = self.towns.lock().unwrap_or_else(PoisonError::into_inner);
            towns.remove(town_id)
        };
        if let Some(town) = town {
            town.handle.inbox.close();
            ended(town_id, town.task).await;
        }
    }

    /// What a SIGKILL does: nothing is closed, committed or given back.
    #[cfg(test)]
    pub(crate) fn kill_for_tests(&self) {
        let mut towns = self.towns.lock().unwrap_or_else(PoisonError::into_inner);
        for town in std::mem::take(&mut *towns).into_values() {
            town.task.abort();
        }
    }

    /// Closes all towns at once and ends: nothing more is taken, running effects finish within
    /// [`RunnerSettings::close_wait`] or stay in the outbox, what is known is committed, leases are
    /// given back. Agents that [`RunnerBuilder::start`] runs are stopped then; others go on until
    /// the host stops them. The next start finds out that they ended.
    pub async fn shutdown(self) {
        let towns = {
            let mut towns = self.towns.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *towns)
        };
        for town in towns.values() {
            town.handle.inbox.close();
        }
        for (town_id, town) in towns {
            ended(&town_id, town.task).await;
        }
        if let Some(processes) = &self.processes {
            for session in processes.stop_all("the host ends").await {
                tracing::error!(agent = %session.agent_id, "an agent does not end");
            }
        }
    }
}

impl Drop for Runner {
    /// A runner that goes away closes its towns; to wait for it, use [`Runner::shutdown`].
    fn drop(&mut self) {
        let towns = self.towns.lock().unwrap_or_else(PoisonError::into_inner);
        for town in towns.values() {
            town.handle.inbox.close();
        }
        if let Some(router) = self.router.take() {
            router.abort();
        }
    }
}

async fn ended(town_id: &TownId, task: JoinHandle<()>) {
    if let Err(error) = task.await {
        tracing::error!(town = %town_id, %error, "a town's loop was cut off");
    }
}

/// Sixty-four random bits of the system, in hexadecimal: no two runners share them.
pub(crate) fn unique() -> String {
    format!("{:016x}", RandomState::new().hash_one(0_u8))
}

/// Brings what agents say to their towns. It never waits for a town.
async fn route(mut outputs: mpsc::Receiver<AgentOutput>, workshop: Arc<Workshop>, towns: Towns) {
    while let Some(AgentOutput { session, kind }) = outputs.recv().await {
        let inbox = {
            let towns = towns.lock().unwrap_or_else(PoisonError::into_inner);
            towns
                .get(&session.town_id)
                .map(|town| Arc::clone(&town.handle.inbox))
        };
        deliver(inbox.as_deref(), &workshop, session, kind);
    }
}

fn deliver(inbox: Option<&Inbox>, workshop: &Workshop, session: SessionId, kind: AgentOutputKind) {
    match kind {
        AgentOutputKind::Heartbeat(heartbeat) => {
            let sign = match heartbeat.active_tools.is_empty() {
                true => Sign::Idle,
                false => Sign::Active,
            };
            workshop.supervisor.saw(&session, sign);
            metrics::counter!(telemetry::HEARTBEATS).increment(1);
            if let Some(inbox) = inbox {
                inbox.beat(heartbeat_of(session, heartbeat, workshop));
            }
        }
        AgentOutputKind::Tool(request) => {
            let Some(inbox) = inbox else {
                request.reply.refuse(".", "the town does not run here");
                return;
            };
            let refused = inbox.push(Item::Tool { session, request }).err();
            if let Some(refused) = refused
                && let (Item::Tool { request, .. }, error) = *refused
            {
                request.reply.refuse(".", error.to_string());
            }
        }
        AgentOutputKind::Violation(violation) => {
            tracing::warn!(%violation, "an agent broke the protocol");
        }
        AgentOutputKind::Exited(exit) => {
            workshop.supervisor.saw(&session, Sign::Exited);
            // Who asked for the end tells it. Of a town that is closed, the next start finds out.
            if let Some(inbox) = inbox.filter(|_| !exit.asked) {
                let exited = AgentExited {
                    agent_id: session.agent_id,
                    status: exit.status,
                    session: Some(session.session),
                    bead_id: None,
                    reason: Some(exit.reason),
                    note: None,
                };
                drop(inbox.push(Item::Ended(Box::new(exited.into()))));
            }
        }
    }
}

fn heartbeat_of(
    session: SessionId,
    heartbeat: protocol::Heartbeat,
    workshop: &Workshop,
) -> Heartbeat {
    Heartbeat {
        agent_id: session.agent_id,
        session: Some(session.session),
        container_instance: Some(workshop.container_instance.clone()),
        last_event_type: heartbeat.last_event_type,
        last_event_at: heartbeat.last_event_at,
        active_tools: heartbeat.active_tools,
    }
}
