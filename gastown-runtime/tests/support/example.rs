//! A built example, to be run as people run it.

use std::path::PathBuf;
use std::process::Command;

/// Its program. `cargo test` builds examples beside tests; where only one test was asked for, this
/// builds what is missing, and an older one is taken as it is.
pub(crate) fn example(name: &str) -> PathBuf {
    // This is target/<profile>/deps/some_test-0123456789abcdef.
    let test = std::env::current_exe().unwrap();
    let profile = test.ancestors().nth(2).unwrap();
    let file = format!("{name}{}", std::env::consts::EXE_SUFFIX);
    let path = profile.join("examples").join(file);
    if !path.exists() {
        let mut build = Command::new(std::env::var("CARGO").unwrap_or("cargo".into()));
        build.args(["build", "--package", "gastown-runtime", "--example", name]);
        build.arg("--target-dir").arg(profile.parent().unwrap());
        if profile.ends_with("release") {
            build.arg("--release");
        }
        assert!(build.status().unwrap().success());
    }
    path
}
