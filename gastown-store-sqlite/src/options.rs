//! How a file is opened.

use std::time::Duration;

/// When a commit waits for the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Synchronous {
    /// Every commit survives a power failure. What that costs is the disk's affair: some tenths of a
    /// millisecond, or some whole ones, for each commit.
    Full,
    /// Every commit survives the end of the process; the last ones before a power failure may be
    /// lost. An effect may then have been performed that the store does not know of.
    Normal,
}

/// How a file is opened for writing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    pub(crate) synchronous: Synchronous,
    pub(crate) busy_timeout: Duration,
}

impl Options {
    /// How long a writer waits for another process by default.
    pub const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
    /// The longest wait that SQLite can be told: its argument is in milliseconds, in 32 bits.
    const BUSY_TIMEOUT_MAX: Duration = Duration::from_millis(i32::MAX as u64);

    /// What a town that must lose nothing needs: [`Synchronous::Full`] and
    /// [`Self::BUSY_TIMEOUT`].
    #[must_use]
    pub const fn safe() -> Self {
        Self {
            synchronous: Synchronous::Full,
            busy_timeout: Self::BUSY_TIMEOUT,
        }
    }

    /// The same with another word on durability.
    #[must_use]
    pub const fn synchronous(mut self, synchronous: Synchronous) -> Self {
        self.synchronous = synchronous;
        self
    }

    /// The same with another wait for the writers of other processes, of at most 24 days.
    #[must_use]
    pub fn busy_timeout(mut self, busy_timeout: Duration) -> Self {
        self.busy_timeout = busy_timeout.min(Self::BUSY_TIMEOUT_MAX);
        self
    }
}
