//! A town on real parts: processes, worktrees, a git origin. Only its thresholds are shorter.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "helpers of a test are tests, too"
)]

#[path = "support/git.rs"]
mod git;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use gastown_core::commands::AddRig;
use gastown_core::{
    BeadId, BeadStatus, Caller, Command, MergeStrategy, Policy, RefineryConfig, TownConfig, TownId,
    wire,
};
use gastown_runtime::{
    CommandTemplate, Git, GitForge, NoCredentials, ProcessRuntime, ProcessSettings, Runner,
    TownHandle,
};
use gastown_store_memory::MemoryStore;
use serde_json::json;
use tokio::sync::broadcast::error::RecvError;

use crate::git::{git, origin};

/// Only a test that fails waits this long.
const PATIENCE: Duration = Duration::from_secs(120);

/// Crashes once in the middle of its work, half of it uncommitted; then works like a good agent.
const AGENT: &str = r#"
exec 3>&1 1>&2
say() { echo "$1" >&3; }
read -r start
say '{"type":"heartbeat"}'
set -e
case "$GASTOWN_ROLE" in
polecat)
  if [ ! -e half.txt ]; then echo half > half.txt; exit 7; fi
  echo done > "$GASTOWN_BEAD_ID.txt"
  git add .
  git commit -qm "Work on $GASTOWN_BEAD_ID"
  git push -q origin "HEAD:refs/heads/$GASTOWN_BRANCH"
  say '{"type":"tool","id":1,"name":"gt_done","input":{"branch":"'"$GASTOWN_BRANCH"'"}}'
  ;;
refinery)
  git checkout -q --detach "origin/$GASTOWN_TARGET_BRANCH"
  git merge -q --no-ff -m "Merge $GASTOWN_BRANCH" "origin/$GASTOWN_BRANCH"
  git push -q origin "HEAD:refs/heads/$GASTOWN_TARGET_BRANCH"
  commit=$(git rev-parse HEAD)
  say '{"type":"tool","id":1,"name":"gt_done","input":{"branch":"'"$GASTOWN_BRANCH"'","merge_commit":"'"$commit"'"}}'
  ;;
esac
read -r result
"#;

async fn open(dir: &Path, store: &MemoryStore) -> (Runner, TownHandle, Arc<ProcessRuntime>) {
    let script = dir.join("agent.sh");
    std::fs::write(&script, AGENT).unwrap();
    let command = CommandTemplate::new(["sh", script.to_str().unwrap()]).unwrap();
    let mut settings = ProcessSettings::new(dir.join("agents"), command);
    settings.tools.clear();
    let credentials = Arc::new(NoCredentials);
    let (agents, outputs) = ProcessRuntime::open(settings, credentials.clone())
        .await
        .unwrap();
    let agents = Arc::new(agents);
    let forge = GitForge::new(Git::default(), dir.join("forge"), credentials);
    let runner = Runner::builder()
        .store(Arc::new(store.clone()))
        .forge(Arc::new(forge))
        .agents(agents.clone())
        .outputs(outputs)
        // The lock on the agents' directory keeps two of this name from running.
        .holder("test")
        .build()
        .unwrap();
    let town_id = TownId::new("t1").unwrap();
    let policy = Policy {
        dispatch_backoff: [Duration::from_millis(100); 5],
        ..Policy::default()
    };
    let config = TownConfig {
        merge_strategy: Some(MergeStrategy::Direct),
        refinery: RefineryConfig {
            code_review: Some(true),
            ..RefineryConfig::default()
        },
        ..TownConfig::default()
    };
    runner.create_town(&town_id, config, policy).await.unwrap();
    let handle = runner.open_town(&town_id).await.unwrap();
    (runner, handle, agents)
}

async fn sling(handle: &TownHandle, title: &str) -> BeadId {
    let input = json!({"rig_id": "r1", "title": title});
    let command = wire::command_from_tool("gt_sling", input, Caller::user("ann")).unwrap();
    let receipt = handle.execute(command).await.unwrap();
    receipt.made[0].parse().unwrap()
}

/// Follows the town until every bead is closed.
async fn all_closed(handle: &TownHandle) {
    let mut ticks = handle.watch_ticks();
    loop {
        let open = handle.inspect(|town| {
            let open = town.live_beads().map(|bead| format!("{bead:?}"));
            open.collect::<Vec<_>>()
        });
        if open.await.unwrap().is_empty() {
            return;
        }
        match ticks.recv().await {
            Ok(_) | Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => panic!("the town ended: {:?}", handle.status()),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_issue_is_written_reviewed_and_merged_although_its_agent_crashes() {
    let dir = tempfile::tempdir().unwrap();
    let bare = origin(dir.path());
    let store = MemoryStore::new();
    let (runner, handle, agents) = open(dir.path(), &store).await;
    let rig = AddRig {
        rig_id: "r1".parse().unwrap(),
        name: "api".into(),
        git_url: bare.display().to_string(),
        default_branch: "main".into(),
        config: Default::default(),
    };
    let add_rig = Command::new(Caller::user("ann"), rig);
    handle.execute(add_rig).await.unwrap();
    let bead = sling(&handle, "Write a file").await;
    let finished = tokio::time::timeout(PATIENCE, all_closed(&handle)).await;
    let logs = logs(&dir.path().join("agents/logs"));
    assert!(finished.is_ok(), "{:?}\n{logs}", handle.status());
    runner.shutdown().await;
    assert_eq!(agents.stop_all("the end").await, []);
    let town = gastown_core::Town::from_rows(stored(&store).await).unwrap();
    assert!(
        town.bead(&bead)
            .is_none_or(|bead| bead.status == BeadStatus::Closed)
    );
    let files = git(&bare, &["ls-tree", "--name-only", "main"]);
    let expected = format!("README.md\nhalf.txt\n{bead}.txt");
    assert_eq!(
        files, expected,
        "what the crash left uncommitted was kept\n{logs}"
    );
    let merges = git(&bare, &["log", "--merges", "--format=%s", "main"]);
    assert_eq!(merges.lines().count(), 1, "{merges}");
}

async fn stored(store: &MemoryStore) -> Vec<gastown_core::Row> {
    use gastown_core::Store;
    let town = TownId::new("t1").unwrap();
    store.load(&town).await.unwrap().rows
}

/// All logs of agents, for a test that fails.
fn logs(dir: &Path) -> String {
    let mut out = String::new();
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        match path.is_dir() {
            true => out.push_str(&logs(&path)),
            false => {
                let text = std::fs::read_to_string(&path).unwrap_or_default();
                out.push_str(&format!("-- {}\n{text}", path.display()));
            }
        }
    }
    out
}
