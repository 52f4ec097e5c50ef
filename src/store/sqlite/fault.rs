//! Faults of a store's file, and the advice for each.

use rusqlite::{ErrorCode, ffi};

/// Advice for a file that is lost.
pub(super) const BEGIN_ANEW: &str = "restore it from a backup, or move it away to begin a new one (holds, the mode \
                                     override, restart budgets, pending calls and the history are lost)";

/// Returns true for a full disk, also where `SQLite` can't allocate the memory that readers and writers share.
pub(super) fn is_full(error: &rusqlite::Error) -> bool {
    let code = error.sqlite_error().map(|error| error.extended_code);
    matches!(code, Some(ffi::SQLITE_FULL | ffi::SQLITE_IOERR_SHMSIZE))
}

/// Returns the advice for an error, where there is any.
pub(super) fn advice(error: &rusqlite::Error) -> &'static str {
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            "; it is left as it is: restore it from a backup, or move it away to begin a new one (holds, the mode \
             override, restart budgets, pending calls and the history go with it)"
        }
        Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
            "; set LCM_STATE_DIR to a folder of your own"
        }
        Some(ErrorCode::SystemIoFailure) => " (is the disk full?)",
        // SQLite has some twenty more codes, about none of which its user could do anything.
        _ => "",
    }
}
