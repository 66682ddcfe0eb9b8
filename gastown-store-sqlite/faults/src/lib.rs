//! A file layer for SQLite that fails when it is told to.
//!
//! [`install`] puts it in front of the system's own file layer for the whole process; [`arm`] lets
//! one operation fail, counted over all files and threads from then on. Tests that use it have to run
//! one after the other.

mod vfs;

use std::ffi::c_int;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::ffi;

pub use vfs::install;

/// What SQLite asks of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Writing bytes.
    Write,
    /// Waiting until what was written is on the disk.
    Sync,
    /// Changing the length.
    Truncate,
}

/// How an operation fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing is done, and the disk reports an error.
    Error,
    /// Half of the bytes are written, and the disk reports an error. Only writes can.
    Torn,
    /// Nothing is done: the disk is full.
    Full,
    /// Nothing is done, and neither is anything after it: the disk reports errors from then on.
    Dead,
}

#[derive(Debug, Default)]
struct State {
    armed: Option<(Operation, u64, Fault)>,
    seen: u64,
    fired: u64,
    synced: u64,
}

static STATE: Mutex<State> = Mutex::new(State {
    armed: None,
    seen: 0,
    fired: 0,
    synced: 0,
});

fn state() -> MutexGuard<'static, State> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Lets the `nth` operation of this kind fail, counted from now; the first is 1.
pub fn arm(operation: Operation, nth: u64, fault: Fault) {
    *state() = State {
        armed: Some((operation, nth, fault)),
        ..State::default()
    };
}

/// Counts the operations of this kind from now on, and lets none fail.
pub fn count(operation: Operation) {
    arm(operation, 0, Fault::Error);
}

/// How many operations there were since [`arm`] or [`count`].
#[must_use]
pub fn counted() -> u64 {
    state().seen
}

/// How many syncs succeeded since [`arm`] or [`count`].
#[must_use]
pub fn synced() -> u64 {
    state().synced
}

/// Lets nothing fail any more; says how often something did.
pub fn disarm() -> u64 {
    std::mem::take(&mut *state()).fired
}

/// A file has been synced.
fn has_synced() {
    state().synced += 1;
}

/// What is to become of an operation that is about to begin.
fn fate(operation: Operation) -> Option<Fault> {
    let mut state = state();
    let (armed, nth, fault) = state.armed?;
    if fault == Fault::Dead && state.fired > 0 {
        state.fired += 1;
        return Some(fault);
    }
    if armed != operation {
        return None;
    }
    state.seen += 1;
    if state.seen != nth {
        return None;
    }
    state.fired += 1;
    Some(fault)
}

/// What SQLite is told.
fn code(operation: Operation, fault: Fault) -> c_int {
    match (fault, operation) {
        (Fault::Full, _) => ffi::SQLITE_FULL,
        (_, Operation::Write) => ffi::SQLITE_IOERR_WRITE,
        (_, Operation::Sync) => ffi::SQLITE_IOERR_FSYNC,
        (_, Operation::Truncate) => ffi::SQLITE_IOERR_TRUNCATE,
    }
}
