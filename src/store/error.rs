//! Errors of a store.

use super::lease::FencingToken;

/// Failure of a read or a write of the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("{what} {path}: {reason}")]
    Unusable { what: String, path: String, reason: String },
    #[error("{what} {path}: the disk is full")]
    Full { what: String, path: String },
    #[error(
        "{path} was written by a newer lcm (format {found}, this one knows {known}); it is left as it is: use that lcm, or move the file away (holds, the mode override, restart budgets, pending calls and the history go with it)"
    )]
    Newer { path: String, found: u32, known: u32 },
    #[error(
        "the lock of this run was lost: its token is {token}, and a run with token {newest} is on record since; nothing of \
         this run is recorded any more; run it again"
    )]
    Fenced { token: FencingToken, newest: FencingToken },
}
