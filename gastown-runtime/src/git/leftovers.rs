//! What a git that was killed leaves in a repository: locks that nobody holds, and packs that
//! nobody finishes. Git itself removes neither, or not for weeks.

use std::fs::{self, DirEntry};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::task::spawn_blocking;

use crate::clock::file_age;

/// How the names of packs begin that were not finished, with what belongs to them.
const UNFINISHED: [&str; 3] = ["tmp_pack_", "tmp_idx_", "tmp_rev_"];

/// Removes locks and unfinished packs of any age. No git runs in the repository or its worktrees.
pub(crate) async fn remove_all(repository: &Path) {
    let packs = pack_dir(repository);
    in_background(repository, move |repository| {
        remove(&find_locks(repository, &[]));
        remove(&find_packs(&packs));
    })
    .await
    .unwrap_or_default();
}

/// Removes the locks of a repository that are older than `age`, but not those of its worktrees;
/// returns how many. Agents use git in their worktrees and have locks of the repository for
/// moments, those of their worktrees for as long as they like.
pub(crate) async fn remove_locks(repository: &Path, age: Duration) -> usize {
    in_background(repository, move |repository| {
        let mut found = find_locks(repository, &["worktrees"]);
        found.retain(|path| is_older(path, age));
        remove(&found)
    })
    .await
    .unwrap_or_default()
}

/// Removes every lock below the git directory of a worktree; nobody uses the worktree.
///
/// # Errors
/// One of them could not be removed.
pub(crate) async fn unlock(git_dir: &Path) -> io::Result<()> {
    in_background(git_dir, |git_dir| {
        find_locks(git_dir, &[])
            .iter()
            .try_for_each(|path| remove_file(path).map(drop))
    })
    .await?
}

/// Removes unfinished packs that nobody has written to for `age`. An agent's own fetch, of which
/// nobody knows, writes one to the same place.
pub(crate) async fn remove_packs(repository: &Path, age: Duration) {
    in_background(&pack_dir(repository), move |dir| {
        let mut found = find_packs(dir);
        found.retain(|path| is_older(path, age));
        remove(&found);
    })
    .await
    .unwrap_or_default();
}

/// Directories may be large and disks slow. Dropped, it goes on.
async fn in_background<T: Send + 'static>(
    dir: &Path,
    work: impl FnOnce(&Path) -> T + Send + 'static,
) -> io::Result<T> {
    let dir = dir.to_owned();
    let done = spawn_blocking(move || work(&dir)).await;
    done.map_err(io::Error::other)
}

fn pack_dir(repository: &Path) -> PathBuf {
    repository.join("objects").join("pack")
}

/// The locks in a git directory, but for what is in the directories `without` right below it.
fn find_locks(git_dir: &Path, without: &[&str]) -> Vec<PathBuf> {
    let mut locks = Vec::new();
    let mut dirs = vec![git_dir.to_owned()];
    let objects = git_dir.join("objects");
    while let Some(dir) = dirs.pop() {
        for entry in entries(&dir) {
            // Links are not followed: this says what the entry itself is.
            let Ok(kind) = entry.file_type() else {
                continue;
            };
            let path = entry.path();
            if kind.is_file() && path.extension().is_some_and(|end| end == "lock") {
                locks.push(path);
            } else if kind.is_dir() {
                let name = entry.file_name();
                let is_left_out = dir == git_dir && without.iter().any(|out| name == *out);
                // Objects by the first two digits of their names: many, and never locked.
                let is_objects = dir == objects && name.len() == 2;
                dirs.extend((!is_left_out && !is_objects).then_some(path));
            }
        }
    }
    locks
}

fn find_packs(dir: &Path) -> Vec<PathBuf> {
    let is_unfinished = |entry: &DirEntry| {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        UNFINISHED.iter().any(|begin| name.starts_with(begin))
    };
    let unfinished = entries(dir).filter(is_unfinished);
    unfinished.map(|entry| entry.path()).collect()
}

/// What can't be read is as good as not there: git says what is wrong with it.
fn entries(dir: &Path) -> impl Iterator<Item = DirEntry> {
    fs::read_dir(dir).into_iter().flatten().flatten()
}

/// Whether a file was last written longer ago than `age`; what can't be told was not.
fn is_older(path: &Path, age: Duration) -> bool {
    let written = fs::symlink_metadata(path).and_then(|found| found.modified());
    written.is_ok_and(|written| file_age(written).is_some_and(|passed| passed > age))
}

fn remove(paths: &[PathBuf]) -> usize {
    let removed = paths.iter().filter(|path| match remove_file(path) {
        Ok(is_removed) => is_removed,
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "could not remove a leftover of git");
            false
        }
    });
    removed.count()
}

/// Returns whether there was something to remove.
fn remove_file(path: &Path) -> io::Result<bool> {
    match fs::remove_file(path) {
        Ok(()) => {
            tracing::info!(path = %path.display(), "removed a leftover of a killed git");
            Ok(true)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}
