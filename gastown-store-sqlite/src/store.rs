//! The store: which thread does what.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use gastown_core::{
    BackendFailure, Commit, Committed, Effect, EffectKey, Event, Finish, HistoryFilter, Lease,
    Loaded, PastFilter, Row, RowKey, Store, StoreError, StoredHistory, Timestamp, TownId,
};
use rusqlite::Connection;

use crate::failure::{Failure, backend};
use crate::options::Options;
use crate::worker::Worker;
use crate::{commit, history, inbox, lease, maintenance, open, outbox, prune, rows, town, worker};

/// A store in one SQLite file. Clones share it.
///
/// # When a write fails
/// An error means that nothing was written, and that no crash or power failure will bring it about. Where the disk
/// fails while a transaction is made durable, the store sees to that before it answers: it overwrites what may have
/// reached the log, and syncs that.
///
/// `outcome_unknown` in a [`StoreError::Backend`] is left for three cases: the disk refused that as well; another
/// process wrote to the file in that moment; or a job on the store's thread panicked. Then a load says what holds
/// now, and until the next write succeeds a crash may yet bring the whole transaction about, never a part of it.
/// For [`Self::backup`] it means what is said there.
#[derive(Debug, Clone)]
pub struct SqliteStore {
    file: Arc<File>,
}

/// Fields are dropped in this order: the writer closes last, and with it the write-ahead log.
#[derive(Debug)]
struct File {
    path: PathBuf,
    place: Arc<str>,
    busy_timeout: Duration,
    reader: Worker,
    /// None: opened for reading only.
    writer: Option<Worker>,
}

impl SqliteStore {
    /// Opens the file at `path`, makes it if it is not there, and migrates it if it is old.
    ///
    /// Whoever stops waiting may find it made or migrated all the same, and for a while still open.
    ///
    /// # Errors
    /// [`StoreError::TooNew`] for a schema that this program does not know;
    /// [`StoreError::Backend`] with the path for anything else: [`BackendFailure::Corrupt`] for a
    /// file that is not a database or another program's, [`BackendFailure::Unavailable`] or
    /// [`BackendFailure::ReadOnly`] where it can't be made or written. The file is left as it was.
    pub async fn open(path: impl AsRef<Path>, options: Options) -> Result<Self, StoreError> {
        let (path, place) = named(path.as_ref());
        let (write_path, write_place) = (path.clone(), place.clone());
        let writer = Worker::start("gastown-sqlite", place.clone(), move || {
            open::writer(&write_path, &write_place, options)
        })
        .await?;
        Self::of(path, place, options.busy_timeout, Some(writer)).await
    }

    /// Opens the file at `path` for tools that look and never write.
    ///
    /// # Errors
    /// As [`Self::open`]; a file that is not there is an error, and so is one of an older schema,
    /// as migrating would write.
    pub async fn open_read_only(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        let (path, place) = named(path.as_ref());
        Self::of(path, place, Options::BUSY_TIMEOUT, None).await
    }

    async fn of(
        path: PathBuf,
        place: Arc<str>,
        busy_timeout: Duration,
        writer: Option<Worker>,
    ) -> Result<Self, StoreError> {
        let (read_path, read_place) = (path.clone(), place.clone());
        let reader = Worker::start("gastown-sqlite-read", place.clone(), move || {
            open::reader("open_read_only", &read_path, &read_place, busy_timeout)
        })
        .await?;
        let file = File {
            path,
            place,
            busy_timeout,
            reader,
            writer,
        };
        Ok(Self {
            file: Arc::new(file),
        })
    }

    /// Runs what may take minutes on a connection and a thread of its own, so that whoever loads a
    /// town need not wait for it.
    async fn run_aside<T: Send + 'static>(
        &self,
        operation: &'static str,
        job: impl FnOnce(&mut Connection) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, StoreError> {
        let File {
            path,
            place,
            busy_timeout,
            ..
        } = &*self.file;
        let (path, read_place, busy_timeout) = (path.clone(), place.clone(), *busy_timeout);
        let connect = move || open::reader(operation, &path, &read_place, busy_timeout);
        worker::run_once("gastown-sqlite-aside", place, operation, connect, job).await
    }

    /// What is wrong with the file: by SQLite's own check, and where that finds nothing, by which rows no
    /// engine would have written, the first hundred. Nothing in a sound one. It reads all of the file, on
    /// a connection of its own, while the town goes on.
    ///
    /// # Errors
    /// [`StoreError::Backend`] where the file can't be read at all.
    pub async fn integrity_check(&self) -> Result<Vec<String>, StoreError> {
        let job = |connection: &mut _| maintenance::integrity_check(connection);
        self.run_aside("integrity_check", job).await
    }

    /// Copies everything that is committed to a new file at `path`, while the town goes on: it
    /// has a connection of its own. The copy is a store like this one, and on Unix has the same permissions. It is
    /// made even if nobody waits any more.
    ///
    /// At any moment `path` is not there, or is all of the copy; once this returns `Ok` a power failure does not
    /// change that. Until it is whole the copy has another name beside, `<name>.part-<process>-<n>`. A process that
    /// is killed leaves that. It hinders nobody, and may be deleted once no backup runs.
    ///
    /// # Errors
    /// [`StoreError::Refused`] if `path` is there already, or a log or journal of its name (`-wal`, `-journal`),
    /// which SQLite would write into the copy, or if `path` itself ends in `-journal`, `-wal` or `-shm`, which are
    /// names that SQLite gives and takes away; [`StoreError::Backend`] with the path that failed. No half of a
    /// copy stays: what can't be removed is named. With `outcome_unknown` the copy may be at `path`, and is then
    /// whole: what failed came after, and says whether its other name has to be removed by hand, or a power
    /// failure may yet take it.
    ///
    /// On a file system without hard links a file that somebody else puts at `path` in the very moment in which
    /// the copy gets that name is overwritten.
    pub async fn backup(&self, path: impl AsRef<Path>) -> Result<(), StoreError> {
        let (path, place) = named(path.as_ref());
        let source = self.file.path.clone();
        let job = move |connection: &mut _| maintenance::backup(connection, &source, &path, &place);
        self.run_aside("backup", job).await
    }

    fn writer(&self, operation: &'static str) -> Result<&Worker, StoreError> {
        self.file.writer.as_ref().ok_or_else(|| {
            let problem = std::io::Error::other("the store was opened for reading only");
            let class = BackendFailure::ReadOnly;
            backend(operation, &self.file.place, class, false, problem)
        })
    }
}

/// The path as SQLite has to be told, and as people are: where it is compiled so, it takes `file:…` for an address.
fn named(path: &Path) -> (PathBuf, Arc<str>) {
    let place = path.display().to_string().into();
    if path.as_os_str().as_encoded_bytes().starts_with(b"file:") {
        return (Path::new(".").join(path), place);
    }
    (path.to_path_buf(), place)
}

#[async_trait]
impl Store for SqliteStore {
    async fn towns(&self) -> Result<Vec<TownId>, StoreError> {
        let job = |connection: &mut _| town::towns(connection);
        self.file.reader.run("towns", job).await
    }

    async fn load(&self, town: &TownId) -> Result<Loaded, StoreError> {
        let town = town.clone();
        let job = move |connection: &mut _| rows::load(connection, &town);
        self.file.reader.run("load", job).await
    }

    async fn rows(&self, town: &TownId, keys: &[RowKey]) -> Result<Vec<Row>, StoreError> {
        let (town, keys) = (town.clone(), keys.iter().cloned().collect());
        let job = move |connection: &mut _| rows::by_key(connection, &town, keys);
        self.file.reader.run("rows", job).await
    }

    async fn past_rows(&self, town: &TownId, filter: PastFilter) -> Result<Vec<Row>, StoreError> {
        let town = town.clone();
        let job = move |connection: &mut _| rows::past(connection, &town, &filter);
        self.file.reader.run("past_rows", job).await
    }

    async fn commit(&self, town: &TownId, commit: Commit) -> Result<Committed, StoreError> {
        commit.validate()?;
        let town = town.clone();
        let job = move |connection: &mut _| commit::commit(connection, &town, commit);
        self.writer("commit")?.run("commit", job).await
    }

    async fn append_events(&self, town: &TownId, events: Vec<Event>) -> Result<usize, StoreError> {
        let (town, events) = (town.clone(), inbox::records("append_events", events)?);
        let job = move |connection: &mut _| inbox::append(connection, &town, &events);
        self.writer("append_events")?
            .run("append_events", job)
            .await
    }

    async fn pending_events(&self, town: &TownId, limit: usize) -> Result<Vec<Event>, StoreError> {
        let town = town.clone();
        let job = move |connection: &mut _| inbox::pending(connection, &town, limit);
        self.file.reader.run("pending_events", job).await
    }

    async fn pending_effects(&self, town: &TownId) -> Result<Vec<Effect>, StoreError> {
        let town = town.clone();
        let job = move |connection: &mut _| outbox::pending(connection, &town);
        self.file.reader.run("pending_effects", job).await
    }

    async fn finish_effect(
        &self,
        town: &TownId,
        key: &EffectKey,
        finish: Finish,
        results: Vec<Event>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let (town, key) = (town.clone(), key.clone());
        let results = inbox::records("finish_effect", results)?;
        let job = move |connection: &mut _| {
            outbox::finish(connection, &town, &key, finish, &results, now)
        };
        self.writer("finish_effect")?
            .run("finish_effect", job)
            .await
    }

    async fn history(
        &self,
        town: &TownId,
        filter: HistoryFilter,
    ) -> Result<Vec<StoredHistory>, StoreError> {
        let town = town.clone();
        let job = move |connection: &mut _| history::page(connection, &town, &filter);
        self.file.reader.run("history", job).await
    }

    async fn prune(&self, town: &TownId, before: Timestamp) -> Result<usize, StoreError> {
        let town = town.clone();
        let job = move |connection: &mut _| prune::prune(connection, &town, before);
        self.writer("prune")?.run("prune", job).await
    }

    async fn lease(
        &self,
        town: &TownId,
        holder: &str,
        ttl: Duration,
        now: Timestamp,
    ) -> Result<Lease, StoreError> {
        Lease::validate_holder(holder)?;
        let (town, holder) = (town.clone(), holder.to_string());
        let job = move |connection: &mut _| lease::take(connection, &town, &holder, ttl, now);
        self.writer("lease")?.run("lease", job).await
    }

    async fn release(&self, town: &TownId, holder: &str) -> Result<(), StoreError> {
        let (town, holder) = (town.clone(), holder.to_string());
        let job = move |connection: &mut _| lease::release(connection, &town, &holder);
        self.writer("release")?.run("release", job).await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use futures_executor::block_on;
    use gastown_core::ChangeSet;

    use super::*;

    /// A check or a copy of a large file takes minutes, in which towns are loaded all the same.
    #[test]
    fn nobody_waits_for_a_check_or_a_backup() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("town.db");
        let store = block_on(SqliteStore::open(&path, Options::safe())).unwrap();
        let town = TownId::new("t1").unwrap();
        let first = Commit {
            expected_version: 0,
            lease_token: None,
            changes: ChangeSet::default(),
            consumed: Vec::new(),
            effects: Vec::new(),
            at: Timestamp::MIN,
        };
        let _made = block_on(store.commit(&town, first)).unwrap();

        let (started, has_started) = channel();
        let (release, released) = channel::<()>();
        let held = store.clone();
        let held = std::thread::spawn(move || {
            block_on(held.run_aside("integrity_check", move |connection| {
                started.send(()).unwrap();
                released.recv().unwrap();
                maintenance::integrity_check(connection)
            }))
        });
        has_started.recv().unwrap();
        assert_eq!(block_on(store.load(&town)).unwrap().version, 1);
        assert_eq!(block_on(store.integrity_check()).unwrap(), [""; 0]);
        block_on(store.backup(directory.path().join("copy.db"))).unwrap();
        release.send(()).unwrap();
        assert_eq!(held.join().unwrap().unwrap(), [""; 0]);
    }
}
