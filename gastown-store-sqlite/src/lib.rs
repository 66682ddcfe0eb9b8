//! A Gastown store in one SQLite file.
//!
//! [`SqliteStore`] keeps the contract of [`Store`]: what it acknowledged survives the end of the
//! process and, with [`Synchronous::Full`], a power failure.
//!
//! ```
//! # futures_executor::block_on(async {
//! use gastown_core::{ChangeSet, Commit, Row, RowKey, Store, Timestamp, TownId};
//! use gastown_store_sqlite::{Options, SqliteStore};
//!
//! let directory = tempfile::tempdir()?;
//! let path = directory.path().join("town.db");
//! let town = TownId::new("t1")?;
//! let bead = Row {
//!     key: RowKey { kind: "bead".into(), id: "b1".into() },
//!     working: true,
//!     body: r#"{"title":"Fix the roof"}"#.into(),
//! };
//!
//! let store = SqliteStore::open(&path, Options::safe()).await?;
//! let committed = store
//!     .commit(
//!         &town,
//!         Commit {
//!             expected_version: 0,
//!             lease_token: None,
//!             changes: ChangeSet { put: vec![bead.clone()], ..ChangeSet::default() },
//!             consumed: vec![],
//!             effects: vec![],
//!             at: "2026-04-04T12:00:00Z".parse::<Timestamp>()?,
//!         },
//!     )
//!     .await?;
//! assert_eq!(committed.version(), 1);
//! drop(store);
//!
//! let tool = SqliteStore::open_read_only(&path).await?;
//! assert_eq!(tool.load(&town).await?.rows, [bead]);
//! assert_eq!(tool.integrity_check().await?, [""; 0]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```
//!
//! # Guarantees
//! - One thread, `gastown-sqlite`, owns the connection that writes; another, `gastown-sqlite-read`,
//!   the one that reads. Readers never wait for writers, nor writers for readers. Any executor can
//!   await the answers.
//! - Several processes may open one file: writers wait for each other, up to
//!   [`Options::busy_timeout`], and are then told that it is busy.
//! - A file of a newer schema, of another program or of no database at all is refused and left as
//!   it is. A file of an older schema is migrated when it is opened for writing.
//!
//! # Caveats
//! - The file must be on a local disk: SQLite's write-ahead log does not work over a network.
//! - To be read, a file needs a directory that can be written: SQLite keeps an index of the log there.
//!   A file on a read-only medium is copied first; [`SqliteStore::open_read_only`] says so.
//! - While a store is open, its process must not open the file in any other way than through
//!   SQLite, not even to copy it: closing it again would drop SQLite's locks. Use
//!   [`SqliteStore::backup`], whose copy has its name once it is whole.
//! - Dropping the last clone of a store finishes the jobs that wait, closes the file and waits for
//!   that.
//! - Only one `libsqlite3-sys` can be linked into a program, so this crate takes a range of
//!   versions of `rusqlite`; a host that links its own SQLite turns the feature `bundled` off.
#![cfg_attr(test, allow(clippy::arithmetic_side_effects))]

mod commit;
mod failure;
mod forms;
mod history;
mod inbox;
mod lease;
mod maintenance;
mod medium;
mod migrate;
mod open;
mod options;
mod outbox;
mod part;
mod prune;
mod rows;
mod settle;
mod sql;
mod store;
mod town;
mod worker;

pub use options::{Options, Synchronous};
pub use store::SqliteStore;

#[cfg(doc)]
use gastown_core::Store;
