//! Whether this machine has what the example needs: git.

use std::process::Command;

use crate::failure::Failure;

/// The first git with `git merge-tree --write-tree`, by which merges are verified.
pub(crate) const GIT_NEEDED: &str = "2.38";
const GIT_NEEDED_PARTS: (u32, u32) = (2, 38);

/// Says what is missing before anything is made.
pub(crate) fn check_git() -> Result<(), Failure> {
    let output = Command::new("git").arg("--version").output();
    let output = output.map_err(|error| Failure::NoGit(format!("could not run git: {error}")))?;
    let text = String::from_utf8_lossy(&output.stdout);
    match version(&text) {
        Some(found) if found >= GIT_NEEDED_PARTS => Ok(()),
        Some(_) | None => Err(Failure::NoGit(format!("found {:?}", text.trim()))),
    }
}

/// Major and minor of `git version 2.47.3 (Apple Git-154)`.
fn version(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.split_whitespace().nth(2)?.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}
