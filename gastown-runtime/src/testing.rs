//! What the tests of this crate share.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use gastown_core::{AgentId, BeadId, RigId, Role, SessionId, StartRequest, TownId};
use serde_json::json;

pub(crate) fn session_id(town: &str, agent: &str, session: u64) -> SessionId {
    SessionId {
        town_id: TownId::new(town).unwrap(),
        agent_id: AgentId::new(agent).unwrap(),
        session,
    }
}

pub(crate) fn start_request(town: &str, agent: &str, session: u64) -> StartRequest {
    StartRequest {
        session: session_id(town, agent, session),
        role: Role::Polecat,
        name: "Ash".into(),
        bead_id: BeadId::new("b1").unwrap(),
        rig_id: RigId::new("r1").unwrap(),
        git_url: String::new(),
        default_branch: "main".into(),
        branch: "work".into(),
        target_branch: "main".into(),
        prompt: "Do it.".into(),
        context: json!({}),
        env_vars: BTreeMap::new(),
        organization_id: None,
        model: None,
    }
}

/// Runs git and returns what it prints; panics if it fails.
#[track_caller]
pub(crate) fn git(dir: &Path, args: &[&str]) -> String {
    let output = git_command(dir, args).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "git {args:?}: {stderr}");
    String::from_utf8(output.stdout)
        .unwrap()
        .trim_end()
        .to_owned()
}

/// Runs git, which is to fail.
#[track_caller]
pub(crate) fn git_fails(dir: &Path, args: &[&str]) {
    let output = git_command(dir, args).output().unwrap();
    assert!(!output.status.success(), "git {args:?} was to fail");
}

fn git_command(dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new("git");
    command
        .arg("-C")
        .arg(dir)
        .args(["-c", "user.name=Test", "-c", "user.email=test@test.invalid"])
        .args(args)
        .env("GIT_CONFIG_GLOBAL", "/dev/null");
    // Tests may run within a git hook: the repository meant is that of `dir`.
    for pointer in crate::git::POINTERS {
        command.env_remove(pointer);
    }
    command
}

/// A bare repository with a branch `main`, and a clone to push to it from.
pub(crate) struct Origin {
    bare: PathBuf,
    clone: PathBuf,
}

impl Origin {
    pub(crate) fn new(dir: &Path) -> Self {
        let (bare, clone) = (dir.join("bare.git"), dir.join("clone"));
        std::fs::create_dir_all(&bare).unwrap();
        git(&bare, &["init", "-q", "--bare", "-b", "main"]);
        let url = bare.display().to_string();
        git(dir, &["clone", "-q", &url, "clone"]);
        git(&clone, &["checkout", "-q", "-b", "main"]);
        let origin = Self { bare, clone };
        origin.commit("main", "README.md", "hello");
        origin
    }

    pub(crate) fn url(&self) -> String {
        self.bare.display().to_string()
    }

    pub(crate) fn clone(&self) -> &Path {
        &self.clone
    }

    /// Commits a file onto a branch of the origin and returns the commit; a branch that is not
    /// there begins at `main`.
    pub(crate) fn commit(&self, branch: &str, file: &str, text: &str) -> String {
        let clone = &self.clone;
        git(clone, &["fetch", "-q", "origin"]);
        let origin = format!("origin/{branch}");
        let has = git(clone, &["branch", "-r", "--list", &origin]);
        let start = if has.is_empty() { "main" } else { &origin };
        if branch != "main" || !has.is_empty() {
            git(clone, &["checkout", "-q", "-B", branch, start]);
        }
        std::fs::write(clone.join(file), text).unwrap();
        git(clone, &["add", "."]);
        git(clone, &["commit", "-q", "-m", file]);
        git(clone, &["push", "-q", "origin", branch]);
        git(clone, &["rev-parse", "HEAD"])
    }

    /// The head of a branch of the origin.
    pub(crate) fn head(&self, branch: &str) -> String {
        git(&self.bare, &["rev-parse", &format!("refs/heads/{branch}")])
    }
}

/// Only a test that fails waits this long.
const PATIENCE: Duration = Duration::from_secs(60);

/// An origin that answers fetches of one mirror only once it is told to.
pub(crate) struct SlowOrigin {
    dir: PathBuf,
}

impl SlowOrigin {
    /// Makes `mirror`, whose fetches then wait. Their traces are below `dir`.
    pub(crate) fn of(mirror: &Path, dir: &Path) -> Self {
        std::fs::create_dir_all(mirror).unwrap();
        git(mirror, &["init", "-q", "--bare"]);
        let script = dir.join("upload-pack.sh");
        let text = format!(
            "#!/bin/sh\ncd '{}' || exit\necho $$ > pid\necho begun >> calls\n\
             while [ ! -e go ]; do sleep 0.05; done\n\
             git upload-pack \"$@\"\necho answered >> calls\n",
            dir.display()
        );
        std::fs::write(&script, text).unwrap();
        std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
        let script = script.display().to_string();
        git(mirror, &["config", "remote.origin.uploadpack", &script]);
        Self {
            dir: dir.to_owned(),
        }
    }

    pub(crate) fn answer(&self) {
        std::fs::write(self.dir.join("go"), "").unwrap();
    }

    /// What came to the origin so far: `begun` and `answered`.
    pub(crate) fn calls(&self) -> Vec<String> {
        let calls = std::fs::read_to_string(self.dir.join("calls")).unwrap_or_default();
        calls.lines().map(String::from).collect()
    }

    /// Waits until so much came to the origin.
    pub(crate) async fn until(&self, calls: usize) {
        let there = async {
            while self.calls().len() < calls {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(PATIENCE, there).await.unwrap();
    }

    /// The process that answers, or answered, the latest fetch.
    pub(crate) fn process(&self) -> i32 {
        let pid = std::fs::read_to_string(self.dir.join("pid")).unwrap();
        pid.trim().parse().unwrap()
    }
}
