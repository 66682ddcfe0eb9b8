//! Runs towns: what a host builds once and hands its ports to (spec 6.2).

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use gastown_core::events::Heartbeat;
use gastown_core::{
    AgentRuntime, Commit, Forge, Policy, SessionId, Store, StoreError, Town, TownConfig, TownId,
};
use tokio::sync::{Semaphore, broadcast, mpsc, watch};
use tokio::task::JoinHandle;

use crate::clock::{Clock, SystemClock};
use crate::driver::{Driver, State};
use crate::effects::{EffectLimits, Limits, Performer, Workshop};
use crate::error::RuntimeError;
use crate::inbox::{Inbox, Item};
use crate::output::{AgentOutput, AgentOutputKind};
use crate::ports::{Container, LogNotifier, NoContainer, Notifier};
use crate::protocol;
use crate::supervisor::{Sign, Supervisor, SupervisorSettings};
use crate::town_handle::{REPORTS_KEPT_MAX, TownHandle, TownStatus};

/// How towns are run. Made by [`RunnerSettings::usual`] and changed field by field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunnerSettings {
    /// How many events one tick takes.
    pub events_per_tick_max: usize,
    /// How long a town stays this runner's without a sign of it. A host that is killed keeps
    /// others, and its own restart under another holder, waiting so long.
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
/// ```
/// use std::sync::Arc;
/// use gastown_core::{Policy, TownConfig, TownId};
/// use gastown_runtime::{
///     CommandTemplate, Git, GitForge, NoCredentials, ProcessRuntime, ProcessSettings, Runner,
/// };
/// use gastown_store_memory::MemoryStore;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// # let dir = dir.path();
/// let credentials = Arc::new(NoCredentials);
/// let command = CommandTemplate::new(["my-agent", "--role={role}"])?;
/// let settings = ProcessSettings::new(dir.join("agents"), command);
/// let (agents, outputs) = ProcessRuntime::open(settings, credentials.clone()).await?;
/// let runner = Runner::builder()
///     .store(Arc::new(MemoryStore::new()))
///     .forge(Arc::new(GitForge::new(Git::default(), dir.join("forge"), credentials)))
///     .agents(Arc::new(agents))
///     .outputs(outputs)
///     .build()?;
/// let town_id = TownId::new("t1")?;
/// runner.create_town(&town_id, TownConfig::seed(), Policy::default()).await?;
/// let town = runner.open_town(&town_id).await?;
/// assert_eq!(town.inspect(|town| town.beads().count()).await?, 0);
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

    /// Builds the runner.
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
        let commit = Commit {
            expected_version: 0,
            lease_token: None,
            changes: town.take_changes(),
            consumed: Vec::new(),
            effects: Vec::new(),
            at: self.workshop.clock.now(),
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

    /// Runs a town that is in the store. While another runner has its lease, it waits.
    ///
    /// # Errors
    /// [`RuntimeError::OpenTown`] if it is not in the store, [`RuntimeError::TownOpen`] if it runs
    /// here already.
    pub async fn open_town(&self, town_id: &TownId) -> Result<TownHandle, RuntimeError> {
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
        let handle = TownHandle {
            town_id: town_id.clone(),
            inbox: Arc::clone(&inbox),
            workshop: Arc::clone(&self.workshop),
            status: status_seen,
            reports: reports.clone(),
        };
        let performer = Performer {
            town_id: town_id.clone(),
            workshop: Arc::clone(&self.workshop),
            inbox: Arc::clone(&inbox),
            places: Arc::new(Semaphore::new(self.settings.effects.per_town.max(1))),
        };
        let driver = Driver {
            town_id: town_id.clone(),
            performer,
            inbox,
            settings: Arc::clone(&self.settings),
            holder: self.holder.clone(),
            status,
            reports,
            state: State::default(),
        };
        let running = Running {
            handle: handle.clone(),
            task: tokio::spawn(driver.run()),
        };
        towns.insert(town_id.clone(), running);
        Ok(handle)
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

    /// Closes all towns at once and ends. Stop the agents afterwards, if they are to stop with the
    /// host: the next start finds out that they ended.
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
fn unique() -> String {
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
        // Who asked for the end tells it.
        AgentOutputKind::Exited(exit) if exit.asked => {}
        AgentOutputKind::Exited(exit) => {
            workshop.supervisor.saw(&session, Sign::Exited);
            // Of a town that is closed, the next start finds out.
            if let Some(inbox) = inbox {
                drop(inbox.push(Item::Exit { session, exit }));
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
