//! A manifest's first draft: from what runs on a machine, from Compose files, or from a configuration of llama-swap.
//!
//! Text and facts in, text and notes out; pure. What can't be said in a manifest is a note, and a comment at its place:
//! nothing is dropped in silence, and no secret is ever copied.

mod compose;
mod draft;
mod llama_swap;
mod machine;
mod names;
mod secrets;
#[cfg(test)]
mod tests;
mod translate;
mod writer;

pub use draft::{ImportContext, ManifestDraft};
pub use machine::{machine, narrow};
pub use translate::{Given, translate};
