//! SQLite's file layer, with the system's own behind it.

use std::ffi::{c_char, c_int, c_void};
use std::mem::size_of;
use std::ptr;
use std::sync::Once;

use rusqlite::ffi::{self, sqlite3_file, sqlite3_int64, sqlite3_io_methods, sqlite3_vfs};

use crate::{Fault, Operation, code, fate, has_synced};

/// One of our files; the system's own file lies behind it in the same block of memory.
#[repr(C)]
struct File {
    base: sqlite3_file,
    real: *mut sqlite3_file,
}

/// Puts the layer in front of the system's own, as the default of the process. Calling it again does
/// nothing.
///
/// # Panics
/// If SQLite has no file layer, or refuses this one.
pub fn install() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        // SAFETY: a null name asks for the default layer, which lives as long as the process.
        let real = unsafe { ffi::sqlite3_vfs_find(ptr::null()) };
        assert!(!real.is_null(), "SQLite has no file layer");
        // SAFETY: `real` was checked and is never freed. Functions that are not replaced here do not
        // look at the layer that they are called with.
        let mut layer = unsafe { *real };
        let ours = c_int::try_from(size_of::<File>()).expect("a small number");
        layer.szOsFile += ours;
        layer.pNext = ptr::null_mut();
        layer.zName = c"gastown-faults".as_ptr();
        layer.pAppData = real.cast();
        layer.xOpen = Some(open);
        let layer = Box::leak(Box::new(layer));
        // SAFETY: the layer is valid and is never freed.
        let registered = unsafe { ffi::sqlite3_vfs_register(layer, 1) };
        assert_eq!(registered, ffi::SQLITE_OK, "SQLite refuses the file layer");
    });
}

static METHODS: sqlite3_io_methods = sqlite3_io_methods {
    iVersion: 3,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(file_size),
    xLock: Some(lock),
    xUnlock: Some(unlock),
    xCheckReservedLock: Some(check_reserved_lock),
    xFileControl: Some(file_control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(device_characteristics),
    xShmMap: Some(shm_map),
    xShmLock: Some(shm_lock),
    xShmBarrier: Some(shm_barrier),
    xShmUnmap: Some(shm_unmap),
    xFetch: Some(fetch),
    xUnfetch: Some(unfetch),
};

unsafe extern "C" fn open(
    layer: *mut sqlite3_vfs,
    name: *const c_char,
    file: *mut sqlite3_file,
    flags: c_int,
    flags_out: *mut c_int,
) -> c_int {
    let file: *mut File = file.cast();
    // SAFETY: SQLite gives a block of `szOsFile` bytes, which `install` made large enough for ours
    // and the real file; `pAppData` is the real layer.
    unsafe {
        let real_layer: *mut sqlite3_vfs = (*layer).pAppData.cast();
        let real: *mut sqlite3_file = file.add(1).cast();
        (*file).real = real;
        let Some(open) = (*real_layer).xOpen else {
            return ffi::SQLITE_CANTOPEN;
        };
        let opened = open(real_layer, name, real, flags, flags_out);
        // SQLite closes what has methods, even if it could not be opened.
        (*file).base.pMethods = match (*real).pMethods.is_null() {
            true => ptr::null(),
            false => &raw const METHODS,
        };
        opened
    }
}

/// Calls the same method of the real file.
macro_rules! real {
    ($file:ident . $method:ident ( $($argument:expr),* ), else $absent:expr) => {{
        // SAFETY: SQLite calls methods only of files that `open` made, whose real file has methods.
        unsafe {
            let real = (*$file.cast::<File>()).real;
            match (*(*real).pMethods).$method {
                Some(method) => method(real, $($argument),*),
                None => $absent,
            }
        }
    }};
}

/// A method that only passes on what it is asked.
macro_rules! passed_on {
    ($($name:ident = $method:ident($($argument:ident: $type:ty),*) else $absent:expr;)*) => {
        $(unsafe extern "C" fn $name(file: *mut sqlite3_file, $($argument: $type),*) -> c_int {
            real!(file.$method($($argument),*), else $absent)
        })*
    };
}

passed_on! {
    close = xClose() else ffi::SQLITE_OK;
    read = xRead(bytes: *mut c_void, count: c_int, at: sqlite3_int64) else ffi::SQLITE_IOERR;
    file_size = xFileSize(size: *mut sqlite3_int64) else ffi::SQLITE_IOERR;
    lock = xLock(kind: c_int) else ffi::SQLITE_IOERR;
    unlock = xUnlock(kind: c_int) else ffi::SQLITE_IOERR;
    check_reserved_lock = xCheckReservedLock(answer: *mut c_int) else ffi::SQLITE_IOERR;
    file_control = xFileControl(operation: c_int, argument: *mut c_void) else ffi::SQLITE_NOTFOUND;
    sector_size = xSectorSize() else 0;
    device_characteristics = xDeviceCharacteristics() else 0;
    shm_map = xShmMap(page: c_int, size: c_int, extend: c_int, out: *mut *mut c_void)
        else ffi::SQLITE_IOERR;
    shm_lock = xShmLock(offset: c_int, count: c_int, flags: c_int) else ffi::SQLITE_IOERR;
    shm_unmap = xShmUnmap(delete: c_int) else ffi::SQLITE_OK;
    fetch = xFetch(at: sqlite3_int64, count: c_int, out: *mut *mut c_void) else ffi::SQLITE_IOERR;
    unfetch = xUnfetch(at: sqlite3_int64, bytes: *mut c_void) else ffi::SQLITE_OK;
}

unsafe extern "C" fn shm_barrier(file: *mut sqlite3_file) {
    real!(file.xShmBarrier(), else ());
}

unsafe extern "C" fn write(
    file: *mut sqlite3_file,
    bytes: *const c_void,
    count: c_int,
    at: sqlite3_int64,
) -> c_int {
    let Some(fault) = fate(Operation::Write) else {
        return real!(file.xWrite(bytes, count, at), else ffi::SQLITE_IOERR);
    };
    if fault == Fault::Torn {
        let half = count / 2;
        let _whatever = real!(file.xWrite(bytes, half, at), else ffi::SQLITE_IOERR);
    }
    code(Operation::Write, fault)
}

unsafe extern "C" fn truncate(file: *mut sqlite3_file, size: sqlite3_int64) -> c_int {
    match fate(Operation::Truncate) {
        Some(fault) => code(Operation::Truncate, fault),
        None => real!(file.xTruncate(size), else ffi::SQLITE_IOERR),
    }
}

unsafe extern "C" fn sync(file: *mut sqlite3_file, flags: c_int) -> c_int {
    match fate(Operation::Sync) {
        Some(fault) => code(Operation::Sync, fault),
        None => {
            let code = real!(file.xSync(flags), else ffi::SQLITE_IOERR);
            if code == ffi::SQLITE_OK {
                has_synced();
            }
            code
        }
    }
}
