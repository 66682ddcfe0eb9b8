//! Running the town: what a host does.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use gastown_core::{AgentRuntime, BeadStatus, Forge, TownId};
use gastown_runtime::{
    AgentOutput, Clock, CommandTemplate, Credentials, Git, GitForge, NoCredentials, ProcessRuntime,
    ProcessSettings, Runner, SystemClock, TownHandle, TownStatus,
};
use gastown_store_sqlite::{Options, SqliteStore};
use tokio::sync::mpsc;

use crate::directory::Directory;
use crate::failure::{EXIT_NOT_DONE, Failure};
use crate::journal::Journal;
use crate::options::TownOrder;
use crate::screen::Screen;
use crate::{evict, jobs, options, origins, preflight, setup, summary, verdict};

/// How often the screen is brought up to date.
const LOOK_INTERVAL: Duration = Duration::from_millis(150);
/// After this long without any step nothing will come any more.
const QUIET_MAX: Duration = Duration::from_secs(90);

/// Runs the town in `dir`, else in a new temporary directory, until all of its work has landed.
pub(crate) fn run(order: TownOrder) -> Result<ExitCode, Failure> {
    preflight::check_git()?;
    let directory = Directory::claim(order.dir)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let runtime = runtime.map_err(|source| Failure::file(directory.path(), source))?;
    runtime.block_on(run_in(&directory, order.evict))
}

async fn run_in(directory: &Directory, evict: bool) -> Result<ExitCode, Failure> {
    let clock = Arc::new(SystemClock::new());
    let begin = clock.monotonic();
    let store = SqliteStore::open(directory.database(), Options::safe()).await;
    let store = store.map_err(Failure::Open)?;
    origins::make(directory)?;
    let town_id = TownId::new(setup::TOWN).map_err(|error| Failure::NotReady(error.to_string()))?;
    setup::found(&store, &town_id, directory, clock.now()).await?;

    let forge = GitForge::new(Git::default(), directory.forge(), credentials());
    let titles = jobs::all().map(|job| job.title);
    let titles: Vec<&str> = titles.chain([jobs::CONVOY.title]).collect();
    let town = Parts {
        directory,
        store,
        town_id,
        forge: Arc::new(forge),
        credentials: credentials(),
        titles: &titles,
        evict,
    };
    town.run(clock, begin).await
}

/// A town with what it needs, ready to run.
pub(crate) struct Parts<'a> {
    pub(crate) directory: &'a Directory,
    pub(crate) store: SqliteStore,
    pub(crate) town_id: TownId,
    pub(crate) forge: Arc<dyn Forge>,
    pub(crate) credentials: Arc<dyn Credentials>,
    /// What has to be merged.
    pub(crate) titles: &'a [&'a str],
    /// Whether its agents are evicted once.
    pub(crate) evict: bool,
}

impl Parts<'_> {
    /// Runs it to its end, and judges that.
    pub(crate) async fn run(
        self,
        clock: Arc<SystemClock>,
        begin: Duration,
    ) -> Result<ExitCode, Failure> {
        let Self {
            directory,
            store,
            town_id,
            forge,
            credentials,
            titles,
            evict,
        } = self;
        let (agents, outputs) = open_agents(directory, credentials).await?;
        let runner = build_runner(&store, forge, Arc::clone(&agents), outputs)?;
        let town = runner.open_town(&town_id).await?;

        let mut journal = Journal::new(store, town_id);
        journal.catch_up().await?;
        let mut screen = Screen::begin(directory, &journal);
        let mut eviction = None;
        let run = async {
            let scenario = async {
                match evict {
                    true => evict::run(&town, directory).await.map(Some),
                    false => Ok(None),
                }
            };
            let watching = watch(&town, &mut journal, &mut screen, &*clock);
            let (scenario, watched) = tokio::join!(scenario, watching);
            eviction = scenario?;
            watched
        };
        let watched = tokio::select! {
            watched = run => watched,
            _ = tokio::signal::ctrl_c() => Err(Failure::Stopped(format!(
                "interrupted; `--dir {}` goes on", directory.path().display()
            ))),
        };
        runner.shutdown().await;
        agents.stop_all("the example ends").await;
        drop(screen);
        watched?;
        journal.catch_up().await?;
        let problems = verdict::problems(&journal, directory, titles, clock.now()).await?;
        let elapsed = clock.monotonic().saturating_sub(begin);
        summary::print(&journal, directory, elapsed, &problems)?;
        let mut passed = problems.is_empty();
        if let Some(mut eviction) = eviction {
            eviction.check_end(&journal);
            drop(io::stdout().write_all(eviction.show().as_bytes()));
            passed &= eviction.passed();
        }
        match passed {
            true => Ok(ExitCode::SUCCESS),
            false => Ok(ExitCode::from(EXIT_NOT_DONE)),
        }
    }
}

/// Agents are this program again, in worktrees below the directory.
async fn open_agents(
    directory: &Directory,
    credentials: Arc<dyn Credentials>,
) -> Result<(Arc<ProcessRuntime>, mpsc::Receiver<AgentOutput>), Failure> {
    let program = std::env::current_exe();
    let program = program.map_err(|source| Failure::file(Path::new("this program"), source))?;
    let words = [
        word(&program)?,
        options::AGENT.into(),
        word(&directory.marks())?,
    ];
    let mut settings = ProcessSettings::new(directory.agents(), CommandTemplate::new(words)?);
    // They need nothing but git, which is always looked for.
    settings.tools = Vec::new();
    settings.stop_wait = Duration::from_secs(3);
    let opened = ProcessRuntime::open(settings, credentials).await;
    let (agents, outputs) = opened.map_err(|error| Failure::NotReady(error.to_string()))?;
    let ready = agents.preflight().await;
    ready.map_err(|error| Failure::NotReady(error.to_string()))?;
    Ok((Arc::new(agents), outputs))
}

/// A path as a word of a command template, in which braces have a meaning.
fn word(path: &Path) -> Result<String, Failure> {
    let text = path.to_str().ok_or_else(|| {
        Failure::NotReady(format!(
            "{} is not UTF-8: name another place",
            path.display()
        ))
    })?;
    Ok(text.replace('{', "{{").replace('}', "}}"))
}

/// The origins are directories: nobody asks for a token.
fn credentials() -> Arc<dyn Credentials> {
    Arc::new(NoCredentials)
}

fn build_runner(
    store: &SqliteStore,
    forge: Arc<dyn Forge>,
    agents: Arc<ProcessRuntime>,
    outputs: mpsc::Receiver<AgentOutput>,
) -> Result<Runner, Failure> {
    let runner = Runner::builder()
        .store(Arc::new(store.clone()))
        .forge(forge)
        .agents(agents)
        .outputs(outputs)
        // The lock on the directory keeps others out, so a restart need not wait for a lease.
        .holder("example")
        .build()?;
    Ok(runner)
}

/// Shows what happens until nothing more will.
async fn watch(
    town: &TownHandle,
    journal: &mut Journal,
    screen: &mut Screen,
    clock: &dyn Clock,
) -> Result<(), Failure> {
    let begin = clock.monotonic();
    let mut steps = 0;
    let mut last_step = begin;
    loop {
        journal.catch_up().await?;
        let now = clock.monotonic();
        screen.show(journal, now.saturating_sub(begin));
        if is_over(journal) {
            return Ok(());
        }
        if let TownStatus::Frozen { broken } = town.status() {
            return Err(Failure::Stopped(broken.to_string()));
        }
        if journal.steps.len() > steps {
            (steps, last_step) = (journal.steps.len(), now);
        }
        if now.saturating_sub(last_step) > QUIET_MAX {
            let seconds = QUIET_MAX.as_secs();
            return Err(Failure::Stopped(format!(
                "nothing happened for {seconds} s"
            )));
        }
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}

/// Everything has ended, or something waits for a person, whom this town has not.
fn is_over(journal: &Journal) -> bool {
    let mut beads = journal.beads.values();
    let is_stuck = |bead: &gastown_core::Bead| {
        bead.status == BeadStatus::Failed || (bead.is_live() && bead.escalation().is_some())
    };
    let all_ended = beads.clone().all(|bead| !bead.is_live());
    all_ended || beads.any(is_stuck)
}
