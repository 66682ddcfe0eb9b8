//! A file that is made under a name of its own and gets its place once it is whole: whoever is killed
//! meanwhile leaves nothing in that place.

use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};

/// What SQLite would take for a database's own and write back into it if it lay beside it. An index of
/// a log, `-shm`, is made anew by whoever comes first.
const SIDES: [&str; 2] = ["-journal", "-wal"];

/// How the names end that SQLite gives to files beside a database, and takes for its own.
const SQLITES: [&str; 3] = ["-journal", "-wal", "-shm"];

/// Numbers of names that this process has used.
static NAMES: AtomicU64 = AtomicU64::new(0);

/// Which of a database and the files beside it is there, if any.
pub(crate) fn taken(path: &Path) -> io::Result<Option<PathBuf>> {
    let sides = SIDES.map(|side| with_suffix(path, side));
    for path in [path.to_path_buf()].into_iter().chain(sides) {
        if is_there(&path)? {
            return Ok(Some(path));
        }
    }
    Ok(None)
}

/// The end of a name that SQLite would take for a file of its own.
pub(crate) fn side(path: &Path) -> Option<&'static str> {
    let name = path.as_os_str().as_encoded_bytes();
    SQLITES
        .into_iter()
        .find(|side| name.ends_with(side.as_bytes()))
}

/// Also if it is a link that leads nowhere: its name is taken.
fn is_there(path: &Path) -> io::Result<bool> {
    match fs::symlink_metadata(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// A file beside the place that it is for.
#[derive(Debug)]
pub(crate) struct Part(PathBuf);

impl Part {
    /// Makes an empty one, `<name>.part-<process>-<n>`, in the directory of `target`: only within one file
    /// system can a file get another name.
    ///
    /// What an earlier process left is passed over and stays: numbers of processes come again, in a container
    /// soon, and elsewhere somebody may still be at work under that name.
    pub(crate) fn create(target: &Path) -> io::Result<Self> {
        let Some(name) = target.file_name() else {
            let problem = "the path ends without the name of a file";
            return Err(io::Error::new(ErrorKind::InvalidInput, problem));
        };
        loop {
            let n = NAMES.fetch_add(1, Ordering::Relaxed);
            let mut own = OsString::from(name);
            own.push(format!(".part-{}-{n}", process::id()));
            let path = target.with_file_name(own);
            if taken(&path)?.is_some() {
                continue;
            }
            match create_new(&path) {
                Ok(_) => return Ok(Self(path)),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Gives it its permissions and waits until it is on the disk. Nobody may have it open as a database: closing
    /// it here would drop SQLite's locks.
    pub(crate) fn finish(&self, mode: Mode) -> io::Result<()> {
        let file = OpenOptions::new().write(true).open(&self.0)?;
        mode.give(&file)?;
        file.sync_all()
    }

    /// Gives it the name `target` as well, or instead; [`ErrorKind::AlreadyExists`] if that is taken.
    pub(crate) fn put(&self, target: &Path) -> io::Result<()> {
        self.put_by(|part, target| fs::hard_link(part, target), target)
    }

    fn put_by(
        &self,
        link: impl FnOnce(&Path, &Path) -> io::Result<()>,
        target: &Path,
    ) -> io::Result<()> {
        match link(&self.0, target) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => {}
            done => return done,
        }
        // Some file systems have no links (FAT). To rename a file is to overwrite another one, so it is
        // looked for first; whoever takes the name between the two loses what he put there.
        if is_there(target)? {
            return Err(ErrorKind::AlreadyExists.into());
        }
        fs::rename(&self.0, target)
    }

    /// Takes its own name away, with whatever SQLite left beside it. What has another name by now keeps that;
    /// what is gone is as good as removed.
    pub(crate) fn remove(&self) -> io::Result<()> {
        let sides = SIDES.map(|side| with_suffix(&self.0, side));
        let mut removed = Ok(());
        for path in sides.iter().chain([&self.0]) {
            match fs::remove_file(path) {
                Err(error) if error.kind() != ErrorKind::NotFound => removed = Err(error),
                Ok(()) | Err(_) => {}
            }
        }
        removed
    }
}

/// Makes an empty file that nobody else can read: what is copied is not meant for more people than its source is.
fn create_new(path: &Path) -> io::Result<fs::File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Who may read and write a file, where that is a property of the file: elsewhere it comes with its directory.
#[derive(Debug, Clone)]
pub(crate) struct Mode {
    #[cfg(unix)]
    permissions: fs::Permissions,
}

#[cfg(unix)]
impl Mode {
    pub(crate) fn of(path: &Path) -> io::Result<Self> {
        let permissions = fs::metadata(path)?.permissions();
        Ok(Self { permissions })
    }

    fn give(self, file: &fs::File) -> io::Result<()> {
        file.set_permissions(self.permissions)
    }
}

#[cfg(not(unix))]
impl Mode {
    pub(crate) fn of(_path: &Path) -> io::Result<Self> {
        Ok(Self {})
    }

    fn give(self, _file: &fs::File) -> io::Result<()> {
        Ok(())
    }
}

/// The directory of a file, to make names in it durable.
#[derive(Debug)]
pub(crate) struct Directory {
    #[cfg(unix)]
    file: fs::File,
}

#[cfg(unix)]
impl Directory {
    pub(crate) fn of(path: &Path) -> io::Result<Self> {
        let parent = path
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty());
        let file = fs::File::open(parent.unwrap_or(Path::new(".")))?;
        Ok(Self { file })
    }

    /// Waits until the names in it are on the disk.
    pub(crate) fn sync(&self) -> io::Result<()> {
        match self.file.sync_all() {
            // A file system that knows no such thing has nothing to wait for.
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::InvalidInput | ErrorKind::Unsupported
                ) =>
            {
                Ok(())
            }
            synced => synced,
        }
    }
}

/// Elsewhere a directory can't be opened as a file; NTFS keeps a log of its names by itself.
#[cfg(not(unix))]
impl Directory {
    pub(crate) fn of(_path: &Path) -> io::Result<Self> {
        Ok(Self {})
    }

    pub(crate) fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn no_links(_part: &Path, _target: &Path) -> io::Result<()> {
        Err(ErrorKind::Unsupported.into())
    }

    fn names(directory: &Path) -> Vec<OsString> {
        let entries = fs::read_dir(directory).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    }

    /// A part with something in it, and the place that it is for.
    fn part() -> (tempfile::TempDir, Part, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let target = directory.path().join("copy.db");
        let part = Part::create(&target).unwrap();
        fs::write(part.path(), "whole").unwrap();
        part.finish(Mode::of(part.path()).unwrap()).unwrap();
        (directory, part, target)
    }

    #[test]
    fn it_gets_its_place_with_and_without_links() {
        for has_links in [true, false] {
            let (directory, part, target) = part();
            if has_links {
                part.put(&target).unwrap();
            } else {
                part.put_by(no_links, &target).unwrap();
            }
            part.remove().unwrap();
            Directory::of(&target).unwrap().sync().unwrap();
            assert_eq!(fs::read_to_string(&target).unwrap(), "whole");
            assert_eq!(names(directory.path()), ["copy.db"], "links: {has_links}");
        }
    }

    #[test]
    fn it_takes_nobody_elses_place() {
        let (_directory, part, target) = part();
        fs::write(&target, "precious").unwrap();
        for refused in [part.put(&target), part.put_by(no_links, &target)] {
            assert_eq!(refused.unwrap_err().kind(), ErrorKind::AlreadyExists);
            assert_eq!(fs::read_to_string(&target).unwrap(), "precious");
        }
        assert_eq!(fs::read_to_string(part.path()).unwrap(), "whole");
    }

    #[test]
    fn what_lies_beside_it_goes_with_it() {
        let (directory, part, _) = part();
        fs::write(with_suffix(part.path(), "-journal"), "").unwrap();
        part.remove().unwrap();
        assert_eq!(names(directory.path()), [""; 0]);
        part.remove().unwrap();
    }

    #[test]
    fn what_cannot_be_removed_is_said() {
        let (_directory, part, _) = part();
        fs::remove_file(part.path()).unwrap();
        fs::create_dir(part.path()).unwrap();
        assert!(part.remove().is_err());
    }
}
