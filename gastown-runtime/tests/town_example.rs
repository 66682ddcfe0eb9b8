//! The example as people use it: to its end, killed again and again, and refused.

#![allow(clippy::unwrap_used)]

// The tests of a part of the example run with these.
#[path = "support/example.rs"]
mod example;
#[path = "../examples/town/sanitize.rs"]
mod sanitize;

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use crate::example::example;

/// When the town is killed, after each start: as it is founded, as agents start, in their work.
const KILLS_AFTER: [Duration; 6] = [
    Duration::from_millis(150),
    Duration::from_millis(600),
    Duration::from_millis(1_400),
    Duration::from_millis(2_300),
    Duration::from_millis(1_900),
    Duration::from_millis(3_100),
];
/// The merges on both origins, sorted.
const MERGES: [&str; 8] = [
    "Land \"Roman numerals\"",
    "Merge \"Add Roman numerals\"",
    "Merge \"Add multiplication\"",
    "Merge \"Add powers\"",
    "Merge \"Count words\"",
    "Merge \"Make slugs\"",
    "Merge \"Read Roman numerals\"",
    "Merge \"Write Roman numerals\"",
];

fn town(dir: &Path) -> Command {
    let mut command = Command::new(example("town"));
    command.arg("--dir").arg(dir);
    command
}

#[track_caller]
fn finish(dir: &Path) -> String {
    let output = town(dir).output().unwrap();
    let text = show(&output);
    assert_eq!(output.status.code(), Some(0), "{text}");
    text
}

fn show(output: &Output) -> String {
    let out = String::from_utf8_lossy(&output.stdout);
    let err = String::from_utf8_lossy(&output.stderr);
    format!("{out}{err}")
}

fn kill_after(mut child: Child, span: Duration) {
    thread::sleep(span);
    // On Unix this is SIGKILL. A town that has ended already is fine, too.
    child.kill().unwrap();
    child.wait().unwrap();
}

fn git(dir: &Path, args: &[&str]) -> String {
    let mut command = Command::new("git");
    // Tests may run within a git hook: the repository meant is that of `dir`.
    for pointer in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"] {
        command.env_remove(pointer);
    }
    let output = command.arg("-C").arg(dir).args(args).output().unwrap();
    assert!(output.status.success(), "git {args:?}: {}", show(&output));
    String::from_utf8(output.stdout).unwrap()
}

/// Each job was merged exactly once, all of it is on `main`, and what landed passes its tests.
#[track_caller]
fn check_origins(dir: &Path) {
    let origins = ["abacus", "scribe"].map(|rig| dir.join("origins").join(format!("{rig}.git")));
    let merges: String = origins
        .iter()
        .map(|origin| git(origin, &["log", "--merges", "--format=%s", "main"]))
        .collect();
    let mut merges: Vec<&str> = merges.lines().collect();
    merges.sort_unstable();
    assert_eq!(merges, MERGES);
    for (number, origin) in origins.iter().enumerate() {
        let clone = dir.join(format!("clone-{number}"));
        let (from, to) = (origin.to_str().unwrap(), clone.to_str().unwrap());
        git(dir, &["clone", "--quiet", from, to]);
        let mut tests = Command::new("sh");
        let tests = tests
            .arg("tests/run.sh")
            .current_dir(&clone)
            .output()
            .unwrap();
        assert!(tests.status.success(), "{}", show(&tests));
    }
}

#[test]
fn a_town_runs_to_its_end_and_has_nothing_to_do_then() {
    let dir = tempfile::tempdir().unwrap();
    let text = finish(dir.path());
    let crashed = dir.path().join("marks/crashed");
    assert!(crashed.exists(), "nothing crashed:\n{text}");
    let rework = "Rework: Make slugs";
    assert!(text.contains(rework), "nothing was asked for:\n{text}");
    let has_escape = text.contains('\u{1b}');
    assert!(!has_escape, "control characters in a pipe:\n{text}");
    let heads = || {
        git(
            &dir.path().join("origins/abacus.git"),
            &["rev-parse", "main"],
        )
    };
    let before = heads();
    finish(dir.path());
    assert_eq!(before, heads());
    check_origins(dir.path());
}

#[test]
fn a_town_that_is_killed_goes_on_and_does_nothing_twice() {
    let dir = tempfile::tempdir().unwrap();
    for span in KILLS_AFTER {
        let mut town = town(dir.path());
        let child = town.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        kill_after(child.unwrap(), span);
    }
    let text = finish(dir.path());
    assert!(text.contains("goes on"), "{text}");
    check_origins(dir.path());
}

#[test]
fn a_town_that_works_by_pull_requests_merges_all_of_them_by_the_rules() {
    let dir = tempfile::tempdir().unwrap();
    let output = town(dir.path()).args(["--forge", "fake"]).output().unwrap();
    let text = show(&output);
    assert_eq!(output.status.code(), Some(0), "{text}");
    for expected in [
        "\"Make slugs\": tests passes, edge-cases fails",
        "\"Make slugs\": ann asks for cases for the edges",
        "\"Make slugs\": ann approves",
        "somebody pushes lib/words.sh to acme/scribe",
        "\"Count words\": merged by gastown",
        "\"Make slugs\": merged by gastown",
        "\"Add multiplication\": merged by gastown",
        "\"Add powers\": merged by gastown",
    ] {
        assert!(text.contains(expected), "no {expected:?} in: {text}");
    }
    let origins = |rig: &str| dir.path().join("origins").join(format!("{rig}.git"));
    let count = |rig: &str, how: &str| {
        let log = git(
            &origins(rig),
            &["log", how, "--first-parent", "--format=%s", "main"],
        );
        log.lines().count()
    };
    // One repository takes merges only, the other one squashed work only.
    assert_eq!(count("abacus", "--merges"), 2, "{text}");
    assert_eq!(count("scribe", "--merges"), 0, "{text}");
    // The beginning, two squashed pull requests, and what somebody pushed.
    assert_eq!(count("scribe", "--no-merges"), 4, "{text}");
    // The fake has forgotten it, so this town can't go on.
    let again = town(dir.path()).args(["--forge", "fake"]).output().unwrap();
    assert_eq!(again.status.code(), Some(2), "{}", show(&again));
}

#[test]
fn an_eviction_in_the_middle_of_the_work_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let output = town(dir.path()).arg("--evict").output().unwrap();
    let text = show(&output);
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.contains("PASS"), "{text}");
    assert!(text.contains(": saved on "), "nobody had begun: {text}");
    check_origins(dir.path());
}

#[test]
fn what_cannot_be_begun_is_refused_and_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    std::fs::create_dir(at("foreign")).unwrap();
    std::fs::write(at("foreign/thesis.txt"), "precious").unwrap();
    std::fs::write(at("file"), "").unwrap();
    let mut without_git = town(&at("no-git"));
    without_git.env("PATH", at("no-programs"));
    let mut unknown_argument = Command::new(example("town"));
    unknown_argument.arg("--nonsense");
    let cases = [
        (town(&at("foreign")), "holds something else"),
        (town(&at("file")), "could not use"),
        (without_git, "could not run git"),
        (with_newer_schema(&at("newer")), "schema 99 is newer than"),
        (unknown_argument, "unknown argument \"--nonsense\""),
    ];
    for (mut command, expected) in cases {
        let output = command.output().unwrap();
        let text = show(&output);
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(text.contains(expected), "expected {expected:?} in: {text}");
    }
    assert_eq!(std::fs::read_dir(at("foreign")).unwrap().count(), 1);
    assert!(!at("no-git").exists());
}

/// The directory of a town whose database is of a later version.
fn with_newer_schema(dir: &Path) -> Command {
    std::fs::create_dir(dir).unwrap();
    // Cut off in the middle, as by a crash: it still is the directory of a town.
    std::fs::write(dir.join("gastown-example-town"), "The directory of").unwrap();
    let database = rusqlite::Connection::open(dir.join("town.db")).unwrap();
    let later = "PRAGMA application_id = 0x47617354; PRAGMA user_version = 99; CREATE TABLE t (a);";
    database.execute_batch(later).unwrap();
    town(dir)
}
