//! What a runner is built from.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use gastown_core::{AgentRuntime, Forge, Store};
use tokio::sync::{OnceCell, mpsc};

use super::{Runner, RunnerSettings, Towns, routing, unique};
use crate::clock::{Clock, SystemClock};
use crate::credentials::{Credentials, NoCredentials};
use crate::effects::{Limits, Workshop};
use crate::error::RuntimeError;
use crate::git_forge::GitForge;
use crate::output::AgentOutput;
use crate::ports::{Container, LogNotifier, NoContainer, Notifier};
use crate::process::preflight::check_tools;
use crate::process::{ProcessRuntime, ProcessSettings};
use crate::supervisor::Supervisor;

/// What a runner is built from. `store` and `forge` are needed, and either `agents` with `outputs` or
/// `processes`; the rest has defaults.
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
    owns_agents: bool,
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
    /// Who runs agents. Needs `outputs`, too.
    agents: Arc<dyn AgentRuntime>,
    /// What running agents say, in order, the exit of each session last; comes with
    /// [`crate::ProcessRuntime::open`]. Without it heartbeats, tool calls and exits are not heard.
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

    /// As with [`RunnerBuilder::processes`]: the agents are this runner's alone.
    #[cfg(test)]
    pub(crate) fn own_agents_for_tests(mut self) -> Self {
        self.owns_agents = true;
        self
    }

    /// Opens what is asked for and not given, and builds the runner: with `processes` a
    /// [`ProcessRuntime`], whose agents [`Runner::shutdown`] stops, and, where no forge was given, a
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
        // Before the directory is taken into use: whoever corrects this tries again at once.
        check_tools(&settings).map_err(|source| RuntimeError::CheckTools { source })?;
        let credentials = self.credentials.take();
        let credentials = credentials.unwrap_or_else(|| Arc::new(NoCredentials));
        let (dir, git) = (settings.dir.clone(), settings.git.clone());
        let (agents, outputs) = ProcessRuntime::open(settings, Arc::clone(&credentials)).await?;
        let agents = Arc::new(agents);
        self.agents = Some(Arc::clone(&agents) as Arc<dyn AgentRuntime>);
        self.outputs = Some(outputs);
        self.owns_agents = true;
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
    /// [`RuntimeError::BuildRunner`] names the port that is missing, and
    /// [`RuntimeError::CheckSettings`] the setting that no town could run with; `processes` is one
    /// without [`RunnerBuilder::start`].
    pub fn build(self) -> Result<Runner, RuntimeError> {
        let missing = |port: &'static str| RuntimeError::BuildRunner { port };
        if self.processes.is_some() {
            return Err(RuntimeError::CheckSettings {
                setting: "processes",
                problem: "takes `start` instead of `build`",
            });
        }
        let settings = Arc::new(self.settings.unwrap_or_else(RunnerSettings::usual));
        settings.check()?;
        let agents = self.agents.ok_or_else(|| missing("agents"))?;
        let outputs = self
            .outputs
            .ok_or_else(|| missing("outputs: what its agents say"))?;
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
            store_deadline: settings.store_deadline,
            container_instance: self.container_instance.unwrap_or_else(|| nonce.clone()),
            owns_agents: self.owns_agents,
            event_prefix: format!("run-{nonce}"),
            events_made: AtomicU64::new(0),
        });
        let towns = Towns::default();
        let router = {
            let (workshop, towns) = (Arc::clone(&workshop), Arc::clone(&towns));
            tokio::spawn(routing::route(outputs, workshop, towns))
        };
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
