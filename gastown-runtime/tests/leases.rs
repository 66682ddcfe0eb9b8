//! Two processes over one database: only one drives a town, and one that was paused and wakes up
//! is fenced off (spec 6.1).
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::arithmetic_side_effects,
    reason = "helpers of a test are tests, too"
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command as Process, Stdio};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use gastown_core::commands::AddRig;
use gastown_core::events::ProcessStatus;
use gastown_core::forges::{CreateBranchRequest, MergeRequest, ObserveRequest, VerifyRequest};
use gastown_core::{
    AgentMessage, AgentRuntime, AgentRuntimeError, Caller, Command, Forge, ForgeError,
    HistoryFilter, HistoryKind, MergeOutcome, Observation, Policy, SessionId, StartRequest, Store,
    TownConfig, TownId, VerifyOutcome, wire,
};
use gastown_runtime::{Runner, RunnerSettings, TownHandle};
use gastown_store_sqlite::{Options, SqliteStore};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use tokio::time::Instant;

/// Only a test that fails waits this long.
const PATIENCE: Duration = Duration::from_secs(60);
/// So long a town stays its holder's without a sign of it.
const LEASE: Duration = Duration::from_secs(2);
/// Tells a child where the database is.
const DATABASE: &str = "GASTOWN_TEST_DATABASE";

/// Runs nothing and writes down what it should: the file shows who drives.
struct Recorder {
    name: &'static str,
    log: PathBuf,
    /// Starts return only once this file is there.
    gate: Option<PathBuf>,
}

impl Recorder {
    fn write(&self, line: &str) {
        append(&self.log, line);
    }
}

fn append(file: &Path, line: &str) {
    use std::io::Write;
    let file = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(file);
    file.unwrap()
        .write_all(format!("{line}\n").as_bytes())
        .unwrap();
}

/// The lines that begin with a name; none where there is no file.
fn lines_of(file: &Path, name: &str) -> Vec<String> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let lines = text.lines().filter_map(|line| line.strip_prefix(name));
    lines.map(String::from).collect()
}

#[async_trait]
impl AgentRuntime for Recorder {
    async fn preflight(&self) -> Result<(), AgentRuntimeError> {
        Ok(())
    }
    async fn start(&self, request: StartRequest) -> Result<(), AgentRuntimeError> {
        let SessionId {
            agent_id, session, ..
        } = &request.session;
        self.write(&format!("{} {agent_id}/{session}", self.name));
        while self.gate.as_ref().is_some_and(|gate| !gate.exists()) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }
    async fn stop(&self, _: &SessionId, _: &str) -> Result<(), AgentRuntimeError> {
        Ok(())
    }
    async fn status(&self, _: &SessionId) -> ProcessStatus {
        ProcessStatus::Running
    }
    async fn deliver(&self, _: &SessionId, _: AgentMessage) -> Result<(), AgentRuntimeError> {
        Ok(())
    }
}

#[async_trait]
impl Forge for Recorder {
    async fn observe(&self, _: ObserveRequest) -> Result<Observation, ForgeError> {
        Err(ForgeError::Network)
    }
    async fn merge(&self, _: MergeRequest) -> MergeOutcome {
        MergeOutcome::Error {
            error: ForgeError::Network,
        }
    }
    async fn verify_merge(&self, _: VerifyRequest) -> VerifyOutcome {
        VerifyOutcome::Unknown
    }
    async fn create_branch(&self, _: CreateBranchRequest) -> Result<(), ForgeError> {
        Ok(())
    }
}

fn town_id() -> TownId {
    TownId::new("t1").unwrap()
}

const HOLDER: &str = "holder";
const SECOND: &str = "second";

/// The holder has one place for effects of a rig, and its starts hang: further ones wait.
async fn open(database: &Path, name: &'static str) -> (Runner, TownHandle, SqliteStore) {
    let store = SqliteStore::open(database.to_owned(), Options::safe())
        .await
        .unwrap();
    let recorder = Arc::new(Recorder {
        name,
        log: database.with_extension("starts"),
        gate: (name == HOLDER).then(|| database.with_extension("gate")),
    });
    let mut settings = RunnerSettings::usual();
    settings.lease_ttl = LEASE;
    if name == HOLDER {
        settings.effects.per_rig = 1;
    }
    let runner = Runner::builder()
        .store(Arc::new(store.clone()))
        .forge(recorder.clone())
        .agents(recorder)
        .outputs(tokio::sync::mpsc::channel(1).1)
        .settings(settings)
        .build()
        .unwrap();
    let config = TownConfig {
        tick_interval_active: Some(Duration::from_millis(200)),
        tick_interval_idle: Some(Duration::from_millis(200)),
        ..TownConfig::seed()
    };
    runner
        .create_town(&town_id(), config, Policy::default())
        .await
        .unwrap();
    let handle = runner.open_town(&town_id()).await.unwrap();
    (runner, handle, store)
}

async fn sling(handle: &TownHandle, title: &str) -> Result<(), gastown_runtime::RuntimeError> {
    let input = json!({"rig_id": "r1", "title": title});
    let command = wire::command_from_tool("gt_sling", input, Caller::user("ann")).unwrap();
    handle.execute(command).await.map(drop)
}

/// Slings one issue after the other until it is killed.
#[tokio::test]
#[ignore = "a child of `a_paused_holder_is_fenced_off_from_commits_and_effects`"]
async fn a_holder() {
    let Some(database) = std::env::var_os(DATABASE) else {
        return;
    };
    let database = PathBuf::from(database);
    let (_runner, handle, _store) = open(&database, HOLDER).await;
    let rig = AddRig {
        rig_id: "r1".parse().unwrap(),
        name: "api".into(),
        git_url: "/srv/git/api.git".into(),
        default_branch: "main".into(),
        config: Default::default(),
    };
    let command = Command::new(Caller::user("ann"), rig);
    handle.execute(command).await.unwrap();
    for number in 0.. {
        // Once it is fenced off, or has to wait for the lease, it is refused, and goes on trying.
        if let Err(error) = sling(&handle, &format!("Of the holder {number}")).await {
            append(&database.with_extension("refused"), &error.to_string());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

struct Holder(Child);

impl Holder {
    fn start(database: &Path) -> Self {
        let child = Process::new(std::env::current_exe().unwrap())
            .args(["a_holder", "--exact", "--ignored"])
            .env(DATABASE, database)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        Self(child.unwrap())
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.0), signal).unwrap();
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// How many issues of each side the town has.
async fn issues(store: &SqliteStore) -> BTreeMap<bool, usize> {
    let mut issues = BTreeMap::new();
    for row in store.load(&town_id()).await.unwrap().rows {
        if row.key.kind == "bead" {
            *issues
                .entry(row.body.contains("Of the holder"))
                .or_default() += 1;
        }
    }
    issues
}

async fn until(what: &str, mut is_true: impl AsyncFnMut() -> bool) {
    let begin = Instant::now();
    while !is_true().await {
        assert!(begin.elapsed() < PATIENCE, "never: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_paused_holder_is_fenced_off_from_commits_and_effects() {
    let dir = tempfile::tempdir().unwrap();
    let database = dir.path().join("town.db");
    let holder = Holder::start(&database);
    let (starts, refused) = (
        database.with_extension("starts"),
        database.with_extension("refused"),
    );
    until("the holder drives", async || starts.exists()).await;
    let (runner, handle, store) = open(&database, SECOND).await;
    // While the holder lives, nobody else drives.
    assert!(sling(&handle, "Too early").await.is_err());
    let before = issues(&store).await[&true];
    until("the holder goes on", async || {
        issues(&store).await[&true] > before
    })
    .await;
    // Starts wait for the first one, which hangs.
    until("more starts wait", async || {
        store.pending_effects(&town_id()).await.unwrap().len() > 2
    })
    .await;
    assert_eq!(lines_of(&refused, ""), Vec::<String>::new());

    // It is paused in the middle of whatever it does, and its lease runs out.
    holder.signal(Signal::STOP);
    until("the second one drives", async || {
        sling(&handle, "Of the second").await.is_ok()
    })
    .await;
    let of_holder = issues(&store).await[&true];
    // The second one performs what the first one left. Now its start returns, and the next one's
    // turn comes.
    until("nothing is left to perform", async || {
        store.pending_effects(&town_id()).await.unwrap().is_empty()
    })
    .await;
    std::fs::write(database.with_extension("gate"), "").unwrap();
    holder.signal(Signal::CONT);
    until("the holder tries again", async || {
        !lines_of(&refused, "").is_empty()
    })
    .await;
    for number in 0..40 {
        sling(&handle, &format!("Of the second {number}"))
            .await
            .unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let issues = issues(&store).await;
    assert_eq!(
        issues[&true], of_holder,
        "the holder that woke up wrote something"
    );
    assert_eq!(issues[&false], 41);
    let of_holder = lines_of(&starts, HOLDER);
    assert_eq!(of_holder.len(), 1, "it performed effects: {of_holder:?}");
    let mut of_second = lines_of(&starts, SECOND);
    assert!(of_second.len() > 2, "{of_second:?}");
    of_second.sort_unstable();
    let count = of_second.len();
    of_second.dedup();
    assert_eq!(of_second.len(), count, "each session was started once");
    runner.shutdown().await;
    drop(holder);
    check(&store).await;
}

/// Each version was made once, by whoever.
async fn check(store: &SqliteStore) {
    let filter = HistoryFilter {
        kind: Some(HistoryKind::Tick),
        limit: usize::MAX,
        ..HistoryFilter::default()
    };
    let ticks = store.history(&town_id(), filter).await.unwrap();
    let numbers: Vec<u64> = ticks
        .iter()
        .map(|tick| serde_json::from_str::<serde_json::Value>(&tick.entry.body).unwrap())
        .map(|body| body["number"].as_u64().unwrap())
        .collect();
    assert!(numbers.is_sorted_by(|one, next| one < next), "{numbers:?}");
}
