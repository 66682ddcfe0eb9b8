//! The towns behind the service.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::http::HeaderMap;
use gastown_core::{SessionId, TownId};
use gastown_runtime::{CommandTemplate, Phase, ProcessSettings, Runner, Supervisor, TownHandle};
use gastown_store_sqlite::{Options, SqliteStore};
use metrics_exporter_prometheus::PrometheusHandle;

use crate::auth::{Identity, SessionTokens, Tokens};
use crate::config::Config;
use crate::failure::Failure;

/// What every request may need. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Host(Arc<Inner>);

struct Inner {
    tokens: Arc<Tokens>,
    towns: BTreeMap<TownId, HostedTown>,
    metrics: PrometheusHandle,
    supervisor: Supervisor,
    runner: Mutex<Option<Runner>>,
}

/// One town that is served.
pub(crate) struct HostedTown {
    pub(crate) handle: TownHandle,
    pub(crate) webhook_secret: Option<String>,
}

impl Host {
    /// Opens the database and founds or opens each town.
    pub(crate) async fn open(
        config: &Config,
        address: &str,
        metrics: PrometheusHandle,
    ) -> Result<Self, Box<dyn std::error::Error>> {
        std::fs::create_dir_all(&config.dir)?;
        let tokens = Arc::new(Tokens::of(config)?);
        let store = SqliteStore::open(config.dir.join("towns.db"), Options::safe()).await?;
        let command = CommandTemplate::new(&config.agent)?;
        let mut processes = ProcessSettings::new(config.dir.join("agents"), command);
        // What this host's agents need is its own to say.
        processes.tools.clear();
        let credentials = SessionTokens {
            tokens: Arc::clone(&tokens),
            address: address.to_owned(),
        };
        let runner = Runner::builder()
            .store(Arc::new(store))
            .processes(processes)
            .credentials(Arc::new(credentials))
            .start()
            .await?;
        let mut towns = BTreeMap::new();
        for town in &config.towns {
            let seed = gastown_core::TownConfig::seed();
            let hosted = HostedTown {
                handle: runner.found_town(&town.id, seed).await?,
                webhook_secret: town.webhook_secret.clone(),
            };
            towns.insert(town.id.clone(), hosted);
        }
        let supervisor = runner.supervisor().clone();
        let runner = Mutex::new(Some(runner));
        Ok(Self(Arc::new(Inner {
            tokens,
            towns,
            metrics,
            supervisor,
            runner,
        })))
    }

    /// Who sends a request. The token of a session is good as long as the session runs.
    pub(crate) fn identify(&self, headers: &HeaderMap) -> Result<Identity, Failure> {
        let identity = self.0.tokens.identify(headers)?;
        match &identity {
            Identity::Agent(session) if !self.runs(session) => Err(Failure::Unauthorized),
            Identity::Agent(_) | Identity::Person { .. } | Identity::Metrics => Ok(identity),
        }
    }

    /// Whether a session runs, begins or is about to end: however it ended, in order or not, it
    /// speaks for nobody then.
    fn runs(&self, session: &SessionId) -> bool {
        let supervisor = &self.0.supervisor;
        let (phase, latest) = supervisor.phase(&session.town_id, &session.agent_id);
        let lives = match phase {
            Phase::Starting | Phase::Running | Phase::Idle | Phase::Stopping => true,
            Phase::Absent | Phase::Exited | Phase::Failed => false,
        };
        lives && latest == Some(session.session)
    }

    /// A town that is served here.
    pub(crate) fn town(&self, id: &TownId) -> Result<&HostedTown, Failure> {
        self.0.towns.get(id).ok_or(Failure::NotFound)
    }

    /// The metrics in Prometheus' text format.
    pub(crate) fn metrics(&self) -> String {
        self.0.metrics.run_upkeep();
        self.0.metrics.render()
    }

    /// Closes the towns and stops their agents.
    pub(crate) async fn shutdown(&self) {
        let runner = {
            let mut runner = self.0.runner.lock().unwrap_or_else(PoisonError::into_inner);
            runner.take()
        };
        if let Some(runner) = runner {
            runner.shutdown().await;
        }
    }
}
