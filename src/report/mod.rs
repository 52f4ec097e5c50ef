//! Output for people and pipelines: plans, states and progress as text and as JSON. Data goes to stdout, narration to
//! stderr, and nothing depends on colour. In: `model` types (plans, events, observations). Out: text, Markdown, HTML,
//! JSON, CSV and metrics, and terminals that show them. Not here: decisions, which are `plan`'s. Only [`mod@print`]
//! writes to stdout and stderr.

pub mod bar;
mod bottom;
pub mod doctor;
pub mod feed;
pub mod fold;
pub mod github;
pub mod history;
pub mod html;
pub mod json;
pub mod manual;
pub mod markdown;
pub mod mermaid;
pub mod metrics;
pub mod modes;
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
