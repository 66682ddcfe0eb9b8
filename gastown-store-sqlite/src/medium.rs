//! What a file system says of itself, where SQLite only says that something failed.

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::Path;
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};

use gastown_core::BackendFailure;

/// Numbers of names that this process has used.
static NAMES: AtomicU64 = AtomicU64::new(0);

/// Why nothing can be written beside the file at `path`; none if something can, or for a reason that says nothing
/// about the file.
///
/// SQLite knows a full disk. One that was remounted read-only, and a quota that is used up, it does not tell from
/// one that is broken.
pub(crate) fn problem(path: &Path) -> Option<BackendFailure> {
    let kind = write_beside(path).err()?.kind();
    if kind == ErrorKind::ReadOnlyFilesystem {
        return Some(BackendFailure::ReadOnly);
    }
    let is_full = matches!(kind, ErrorKind::StorageFull | ErrorKind::QuotaExceeded);
    is_full.then_some(BackendFailure::Full)
}

/// Makes a small file, waits until it is on the disk, and removes it.
fn write_beside(path: &Path) -> io::Result<()> {
    let n = NAMES.fetch_add(1, Ordering::Relaxed);
    let path = path.with_file_name(format!(".gastown-probe-{}-{n}", process::id()));
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&path)?;
    let written = file.write_all(&[0; 4096]).and_then(|()| file.sync_all());
    drop(file);
    let removed = fs::remove_file(&path);
    written.and(removed)
}
