//! What people and pipelines see: plans, states and progress as text and as JSON. Data goes to stdout, narration to
//! stderr, and nothing depends on colour.
//!
//! Nothing is judged here: a report says what `model` types hold. Where it is written to is in [`mod@print`] alone.

pub mod bar;
mod bottom;
pub mod feed;
pub mod fold;
pub mod github;
pub mod history;
pub mod html;
pub mod json;
pub mod markdown;
pub mod mermaid;
pub mod metrics;
pub mod output;
pub mod print;
pub mod problems;
pub mod progress;
pub mod screen;
pub mod sheet;
mod size;
pub mod status;
pub mod style;
pub mod table;
pub mod text;
mod timeline;
pub mod view;

#[cfg(test)]
mod hostile;
#[cfg(test)]
mod rollouts;
#[cfg(test)]
pub(crate) mod tests;
