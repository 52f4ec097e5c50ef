//! Cases beyond the corpus: resolved manifests, and files written by the tests.

mod beside;
mod editor;
mod files;
mod gpus;
mod options;
mod resolved;
mod secrets;
