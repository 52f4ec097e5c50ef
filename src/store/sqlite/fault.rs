//! Faults of a store's file, and what to do about them.

use rusqlite::{ErrorCode, ffi};

/// Way out of a file that says nothing any more.
pub(super) const BEGIN_ANEW: &str = "restore it from a backup, or move it away, and a new one is begun (holds, the mode override, restart \
                          budgets, pending calls and the history are lost)";

/// Also where `SQLite` can't lay out what readers and writers share.
pub(super) fn is_full(error: &rusqlite::Error) -> bool {
    let code = error.sqlite_error().map(|error| error.extended_code);
    matches!(code, Some(ffi::SQLITE_FULL | ffi::SQLITE_IOERR_SHMSIZE))
}

/// What to do about it, where that is known.
pub(super) fn advice(error: &rusqlite::Error) -> &'static str {
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            "; it is left as it is: restore it from a backup, or move it away, and a new one is begun (holds, the mode \
             override, restart budgets, pending calls and the history go with it)"
        }
        Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
            "; set LCM_STATE_DIR to a folder of your own"
        }
        Some(ErrorCode::SystemIoFailure) => " (is the disk full?)",
        // SQLite has some twenty more: none that its user could do something about.
        _ => "",
    }
}
