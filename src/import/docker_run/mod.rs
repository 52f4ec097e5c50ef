//! Translation of a `docker run` command into a container of lcm's own.
//!
//! In: the words of a command, in lcm's notation: `${NAME}` is a variable, `$$` a dollar sign. Out: the `docker` block
//! and the settings beside it; a flag without an equivalent becomes a note, and a comment in the block. Not here: the
//! file that the command is written in, which is its reader's; and any I/O.
//!
//! The way of a flag: `invocation` (the call of the engine in a command) → `arguments` (flags, image, command) by the
//! table in `flags` → `settings` (its key, if the runtime has that key) → `container` (the block).

mod arguments;
mod container;
mod flags;
mod gpus;
mod invocation;
mod settings;

pub(super) use container::{ContainerScope, translate};
pub(super) use gpus::{ImportedGpus, id_list};
pub(super) use invocation::{EngineCall, engine_call, is_shell_script};
