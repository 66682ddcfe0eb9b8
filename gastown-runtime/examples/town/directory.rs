//! The directory in which all of a town is.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use crate::failure::Failure;

/// The file that says whose directory it is. Held locked while a town runs in it.
const MARKER: &str = "gastown-example-town";
/// What stands in it.
const MARKER_TEXT: &str = "The directory of a Gastown example town, format 1.\n";

/// How often, and with which pause, the lock is tried.
const LOCK_TRIES_MAX: u32 = 20;
const LOCK_PAUSE: Duration = Duration::from_millis(100);

/// The directory of a town that runs in this process.
pub(crate) struct Directory {
    path: PathBuf,
    resumed: bool,
    /// The system gives the lock back when the process ends, however it ends.
    _lock: File,
}

impl Directory {
    /// Takes `path`, else a new temporary directory.
    pub(crate) fn claim(path: Option<PathBuf>) -> Result<Self, Failure> {
        let path = match path {
            Some(path) => make(&path)?,
            None => make_temporary()?,
        };
        let marker = path.join(MARKER);
        if !marker.exists() && !is_empty(&path)? {
            let marker = MARKER;
            return Err(Failure::ForeignDirectory { path, marker });
        }
        let wrong = |source| Failure::file(&marker, source);
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(false);
        let mut lock = options.open(&marker).map_err(wrong)?;
        if !is_taken(&lock).map_err(wrong)? {
            return Err(Failure::InUse { path });
        }
        let mut text = String::new();
        lock.read_to_string(&mut text).map_err(wrong)?;
        // A crash may have cut off the writing of the text.
        if text != MARKER_TEXT && !MARKER_TEXT.starts_with(&text) {
            let marker = MARKER;
            return Err(Failure::ForeignDirectory { path, marker });
        }
        if text != MARKER_TEXT {
            fs::write(&marker, MARKER_TEXT).map_err(wrong)?;
        }
        let town = Self {
            resumed: path.join("town.db").exists(),
            path,
            _lock: lock,
        };
        fs::create_dir_all(town.marks()).map_err(|source| Failure::file(&town.marks(), source))?;
        Ok(town)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether an earlier run began here.
    pub(crate) fn is_resumed(&self) -> bool {
        self.resumed
    }

    /// The town's database.
    pub(crate) fn database(&self) -> PathBuf {
        self.path.join("town.db")
    }

    /// The bare repository of a rig.
    pub(crate) fn origin(&self, rig: &str) -> PathBuf {
        self.path.join("origins").join(format!("{rig}.git"))
    }

    /// Where agents have their worktrees and logs.
    pub(crate) fn agents(&self) -> PathBuf {
        self.path.join("agents")
    }

    /// Where the forge keeps its mirrors.
    pub(crate) fn forge(&self) -> PathBuf {
        self.path.join("forge")
    }

    /// Where agents remember what is to happen only once.
    pub(crate) fn marks(&self) -> PathBuf {
        self.path.join("marks")
    }
}

/// Takes the lock, unless another process keeps it. A run that was killed may leave it for a
/// moment to a child that it was about to start.
fn is_taken(lock: &File) -> io::Result<bool> {
    for _ in 0..LOCK_TRIES_MAX {
        match lock.try_lock() {
            Ok(()) => return Ok(true),
            Err(TryLockError::WouldBlock) => thread::sleep(LOCK_PAUSE),
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
    Ok(false)
}

fn make(path: &Path) -> Result<PathBuf, Failure> {
    fs::create_dir_all(path).map_err(|source| Failure::file(path, source))?;
    // Agents run elsewhere: their paths have to be absolute.
    fs::canonicalize(path).map_err(|source| Failure::file(path, source))
}

fn make_temporary() -> Result<PathBuf, Failure> {
    let made = tempfile::Builder::new().prefix("gastown-town-").tempdir();
    let made = made.map_err(|source| Failure::file(&std::env::temp_dir(), source))?;
    make(&made.keep())
}

fn is_empty(path: &Path) -> Result<bool, Failure> {
    let wrong = |source| Failure::file(path, source);
    let mut entries = fs::read_dir(path).map_err(wrong)?;
    match entries.next() {
        None => Ok(true),
        Some(Ok(_)) => Ok(false),
        Some(Err(error)) => Err(wrong(error)),
    }
}

/// Writes a whole file, with the directories that it needs.
pub(crate) fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let write = || -> io::Result<()> {
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        File::create(path)?.write_all(text.as_bytes())
    };
    write().map_err(|source| Failure::file(path, source))
}
