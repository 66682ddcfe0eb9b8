//! Runs towns: what a host builds once and hands its ports to (spec 6.2).

mod builder;
mod routing;

pub use self::builder::RunnerBuilder;

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use gastown_core::{Commit, Policy, StoreError, Town, TownConfig, TownId, snapshot_entries};
use tokio::sync::{OnceCell, broadcast, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::driver::{Driver, State};
use crate::effects::{EffectLimits, Performer, TownPlaces, Workshop};
use crate::error::RuntimeError;
use crate::inbox::Inbox;
use crate::process::ProcessRuntime;
use crate::supervisor::{Supervisor, SupervisorSettings};
use crate::town_handle::{REPORTS_KEPT_MAX, TownHandle, TownStatus};

/// The most events of one tick that its record can name, however long their ids are.
const EVENTS_PER_TICK_MAX: usize = 4_096;

/// How towns are run. Made by [`RunnerSettings::usual`] and changed field by field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunnerSettings {
    /// How many events one tick takes: at most 4,096, because its record names them all.
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
    /// How long [`Runner::shutdown`] may take for all towns together, whatever their store and their
    /// agents do; longer than a stop and a saving of work takes.
    pub shutdown_deadline: Duration,
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
            shutdown_deadline: Duration::from_secs(5 * 60),
            effects: EffectLimits::usual(),
            sessions: SupervisorSettings::usual(),
        }
    }

    /// What no town could run with.
    pub(crate) fn check(&self) -> Result<(), RuntimeError> {
        let spans = [
            ("lease_ttl", self.lease_ttl),
            ("store_deadline", self.store_deadline),
            ("retry_min", self.retry_min),
            ("retry_max", self.retry_max),
        ];
        let zero = spans.into_iter().find(|(_, span)| span.is_zero());
        let zero = zero.map(|(name, _)| (name, "is zero; expected more"));
        let events = match self.events_per_tick_max {
            0 => Some("is zero; expected more"),
            1..=EVENTS_PER_TICK_MAX => None,
            _ => Some("is over 4096; expected less"),
        };
        match zero.or(events.map(|problem| ("events_per_tick_max", problem))) {
            Some((setting, problem)) => Err(RuntimeError::CheckSettings { setting, problem }),
            None => Ok(()),
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
/// - It is built and used within a tokio runtime with time enabled.
/// - [`Runner::shutdown`] ends it. A runner that is merely dropped closes its towns without waiting
///   for them, and its agents go on running.
pub struct Runner {
    workshop: Arc<Workshop>,
    settings: Arc<RunnerSettings>,
    holder: String,
    towns: Towns,
    router: JoinHandle<()>,
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

impl Runner {
    /// Begins to build a runner.
    pub fn builder() -> RunnerBuilder {
        RunnerBuilder::default()
    }

    /// Creates a town in the store unless it is there; returns whether it was created.
    ///
    /// # Errors
    /// [`RuntimeError::FoundTown`] for settings that no town may have: nothing was asked of the store then.
    /// [`RuntimeError::OpenTown`], or [`RuntimeError::AwaitStore`]: it may have been created.
    pub async fn create_town(
        &self,
        town_id: &TownId,
        config: TownConfig,
        policy: Policy,
    ) -> Result<bool, RuntimeError> {
        let mut town = Town::new(town_id.clone(), config, policy);
        let now = self.workshop.clock.now();
        let mut changes = town.take_changes();
        // A town that could be written and never loaded again would hold its name for good.
        Town::from_rows(changes.put.clone()).map_err(|source| RuntimeError::FoundTown {
            town: town_id.clone(),
            source,
        })?;
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
        let committed = self.workshop.store.commit(town_id, commit);
        match self.workshop.in_time(town_id, committed).await? {
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
    /// [`RuntimeError::CheckTools`], [`RuntimeError::ListTowns`] or [`RuntimeError::AwaitTowns`].
    pub async fn open_all_towns(&self) -> Result<Vec<TownHandle>, RuntimeError> {
        self.check_tools().await?;
        let deadline = self.settings.store_deadline;
        let towns = timeout(deadline, self.workshop.store.towns()).await;
        let towns = towns.map_err(|_| RuntimeError::AwaitTowns {
            seconds: deadline.as_secs(),
        })?;
        let towns = towns.map_err(|source| RuntimeError::ListTowns { source })?;
        let mut handles = Vec::new();
        for town_id in towns {
            // It was listed just now; what its store can't say at the moment, its loop asks again.
            match self.run_town(&town_id) {
                Some(handle) => handles.push(handle),
                None => handles.extend(self.town(&town_id)),
            }
        }
        Ok(handles)
    }

    /// Runs a town that is in the store. While another runner has its lease, it waits.
    ///
    /// # Errors
    /// [`RuntimeError::CheckTools`] if agents can't run here, [`RuntimeError::OpenTown`] if it is
    /// not in the store, [`RuntimeError::AwaitStore`] if the store does not answer,
    /// [`RuntimeError::TownOpen`] if it runs here already.
    pub async fn open_town(&self, town_id: &TownId) -> Result<TownHandle, RuntimeError> {
        self.check_tools().await?;
        let there = self.workshop.store.rows(town_id, &[]);
        let there = self.workshop.in_time(town_id, there).await?;
        there.map_err(|source| RuntimeError::OpenTown {
            town: town_id.clone(),
            source,
        })?;
        self.run_town(town_id)
            .ok_or_else(|| RuntimeError::TownOpen {
                town: town_id.clone(),
            })
    }

    /// Begins the loop of a town, unless it runs here.
    fn run_town(&self, town_id: &TownId) -> Option<TownHandle> {
        let mut towns = self.towns.lock().unwrap_or_else(PoisonError::into_inner);
        if towns
            .get(town_id)
            .is_some_and(|town| !town.handle.has_ended())
        {
            return None;
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
        Some(handle)
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
    ///
    /// Whoever stops waiting for it changes nothing: the town can be opened again once it has ended.
    pub async fn close_town(&self, town_id: &TownId) {
        if let Some(town) = self.town(town_id) {
            town.inbox.close();
            self.until_ended(&town).await;
        }
    }

    /// Waits for the end of a town's loop. Until then it is found here: what its agents say still
    /// comes to it, and no second loop is begun.
    async fn until_ended(&self, town: &TownHandle) {
        town.until_ended().await;
        let running = {
            let mut towns = self.towns.lock().unwrap_or_else(PoisonError::into_inner);
            let found = towns.get(&town.town_id);
            // Another one may have been opened since.
            let is_it = found.is_some_and(|found| Arc::ptr_eq(&found.handle.inbox, &town.inbox));
            is_it.then(|| towns.remove(&town.town_id)).flatten()
        };
        if let Some(running) = running
            && let Err(error) = running.task.await
        {
            tracing::error!(town = %town.town_id, %error, "a town's loop was cut off");
        }
    }

    /// What a SIGKILL does: nothing is closed, committed or given back.
    pub(crate) fn cut_off(&self) {
        let mut towns = self.towns.lock().unwrap_or_else(PoisonError::into_inner);
        for town in std::mem::take(&mut *towns).into_values() {
            town.task.abort();
        }
    }

    /// Closes all towns at once and ends: nothing more is taken, running effects finish within
    /// [`RunnerSettings::close_wait`] or stay in the outbox, what is known is committed, leases are
    /// given back. What takes longer than [`RunnerSettings::shutdown_deadline`] is cut off, as by a
    /// crash. Agents that [`RunnerBuilder::start`] runs are stopped, those of a town before its
    /// lease is given back; others go on until the host stops them. The next start finds out that
    /// they ended.
    ///
    /// Whoever stops waiting for it leaves the towns to end by themselves, and their agents with
    /// them; agents of towns that had been closed before, or that no town's end stopped, go on
    /// running.
    pub async fn shutdown(self) {
        let towns: Vec<_> = {
            let towns = self.towns.lock().unwrap_or_else(PoisonError::into_inner);
            towns.values().map(|town| town.handle.clone()).collect()
        };
        for town in &towns {
            town.inbox.close_with_runner();
        }
        let all_ended = async {
            for town in &towns {
                self.until_ended(town).await;
            }
        };
        let deadline = self.settings.shutdown_deadline;
        if timeout(deadline, all_ended).await.is_err() {
            tracing::error!(
                ?deadline,
                "towns do not end in time; their loops are cut off"
            );
            self.cut_off();
        }
        if let Some(processes) = &self.processes {
            for session in processes.stop_all("the host ends").await {
                tracing::error!(agent = %session.agent_id, "an agent does not end");
            }
        }
    }
}

impl Drop for Runner {
    /// A runner that goes away closes its towns, and leaves agents running; to end both and wait for
    /// it, use [`Runner::shutdown`].
    fn drop(&mut self) {
        let towns = self.towns.lock().unwrap_or_else(PoisonError::into_inner);
        for town in towns.values() {
            town.handle.inbox.close();
        }
        self.router.abort();
    }
}

/// Sixty-four random bits of the system, in hexadecimal: no two runners share them.
pub(crate) fn unique() -> String {
    format!("{:016x}", RandomState::new().hash_one(0_u8))
}
