//! First draft of a manifest: from the containers and programs of a machine, from Compose files, or from a llama-swap
//! configuration. In: texts and facts. Out: the manifest's text, and notes; a setting that a manifest can't express
//! becomes a note, and a comment at its place, so nothing is dropped silently. Not here: any I/O, which is `cli`'s and
//! `observe`'s; and secrets, which are never copied.

mod compose;
mod docker_run;
mod draft;
mod environment;
mod llama_swap;
mod machine;
mod names;
mod origin;
mod secrets;
#[cfg(test)]
mod tests;
mod translate;
mod writer;

pub use draft::{FileReader, ImportContext, ManifestDraft};
pub use machine::{machine, narrow};
pub use translate::{Given, compose_model, translate};
