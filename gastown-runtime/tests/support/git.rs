//! Real git repositories for tests that run whole towns.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Runs git in a directory; what it printed.
pub(crate) fn git(dir: &Path, args: &[&str]) -> String {
    let output = Command::new("git")
        .arg("-C")
        .arg(dir)
        .args(["-c", "user.name=Test", "-c", "user.email=test@test.invalid"])
        .args(args)
        // Tests may run within a git hook: the repository meant is that of `dir`.
        .env_remove("GIT_DIR")
        .env_remove("GIT_WORK_TREE")
        .env_remove("GIT_INDEX_FILE")
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "git {args:?}: {stderr}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// A bare origin with one commit on `main`.
pub(crate) fn origin(dir: &Path) -> PathBuf {
    let (bare, clone) = (dir.join("origin.git"), dir.join("clone"));
    std::fs::create_dir_all(&bare).unwrap();
    git(&bare, &["init", "-q", "--bare", "-b", "main"]);
    let url = bare.display().to_string();
    git(dir, &["clone", "-q", &url, "clone"]);
    git(&clone, &["checkout", "-q", "-b", "main"]);
    std::fs::write(clone.join("README.md"), "hello\n").unwrap();
    git(&clone, &["add", "."]);
    git(&clone, &["commit", "-qm", "Begin"]);
    git(&clone, &["push", "-q", "origin", "main"]);
    bare
}
