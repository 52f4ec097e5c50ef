//! Files, folders and links planted by another user, and files named in a manifest whose contents no error may show.

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
