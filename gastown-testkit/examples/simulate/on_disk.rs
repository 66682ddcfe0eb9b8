//! Runs over SQLite: a file of its own for each, in a directory that goes away with it.

use std::cell::RefCell;
use std::io;
use std::path::PathBuf;
use std::rc::Rc;

use futures_executor::block_on;
use gastown_core::{BackendFailure, Store, StoreError};
use gastown_store_sqlite::{Options, SqliteStore, Synchronous};
use gastown_testkit::sim::Reopen;
use tempfile::TempDir;

/// The file of the latest run.
#[derive(Default)]
pub(crate) struct OnDisk(RefCell<Option<Rc<File>>>);

/// A file, or why there is no place for it.
struct File(io::Result<TempDir>);

impl OnDisk {
    /// A new file, opened again after each crash. A host crashes here and its machine does not, so
    /// no commit waits for the disk.
    pub(crate) fn fresh(&self) -> Reopen {
        let file = Rc::new(File(tempfile::tempdir()));
        *self.0.borrow_mut() = Some(file.clone());
        let options = Options::safe().synchronous(Synchronous::Normal);
        Box::new(move || {
            let store = block_on(SqliteStore::open(file.path()?, options))?;
            Ok(Box::new(store) as Box<dyn Store>)
        })
    }

    /// The file of the latest run is sound.
    pub(crate) fn check(&self) -> Result<(), String> {
        let Some(file) = self.0.borrow_mut().take() else {
            return Err("there was no run, expected one".into());
        };
        let checked = file.path().and_then(|path| {
            block_on(async {
                SqliteStore::open_read_only(path)
                    .await?
                    .integrity_check()
                    .await
            })
        });
        match checked {
            Ok(wrong) if wrong.is_empty() => Ok(()),
            Ok(wrong) => Err(format!("the file is damaged: {}", wrong.join("; "))),
            Err(error) => Err(format!("the file can't be checked: {error}")),
        }
    }
}

impl File {
    fn path(&self) -> Result<PathBuf, StoreError> {
        match &self.0 {
            Ok(directory) => Ok(directory.path().join("town.db")),
            Err(error) => Err(StoreError::Backend {
                operation: "open",
                place: std::env::temp_dir().display().to_string(),
                class: BackendFailure::Unavailable,
                outcome_unknown: false,
                source: Some(error.to_string().into()),
            }),
        }
    }
}
