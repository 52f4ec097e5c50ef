//! Files, folders and links that another user planted, and files that a manifest names and no one may read in an error.

#[path = "files/outputs.rs"]
mod outputs;
#[path = "files/pid_files.rs"]
mod pid_files;
#[path = "files/quoted.rs"]
mod quoted;
#[path = "files/state.rs"]
mod state;
#[path = "files/writable.rs"]
mod writable;

use crate::support::Attack;

pub(crate) fn trials() -> Vec<Attack> {
    [state::trials(), outputs::trials(), quoted::trials(), writable::trials(), pid_files::trials()].concat()
}
