//! Formats that lcm reads and writes, and their versions.

use clap::ValueEnum;

use crate::model::{event, facts, hooks, plan};
use crate::report::{history, problems, status};

/// Format that has a JSON schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum SchemaFormat {
    /// What editors check manifests by
    Manifest,
    /// What `lcm plan --format json` says
    Plan,
    /// What `lcm status --format json` says
    Status,
    /// What `lcm history --format json` says
    History,
    /// Each line of `lcm apply --format json`
    Event,
    /// What a hook or a notifier is told
    Hook,
    /// What `lcm validate --format json` says
    Problems,
    /// What `lcm observe` says, and `--world` takes
    World,
}

impl SchemaFormat {
    /// The version of what carries one. A manifest says `version: 1`.
    fn format(self) -> Option<&'static str> {
        match self {
            Self::Manifest => None,
            Self::Plan => Some(plan::FORMAT),
            Self::Status => Some(status::FORMAT),
            Self::History => Some(history::FORMAT),
            Self::Event => Some(event::FORMAT),
            Self::Hook => Some(hooks::FORMAT),
            Self::Problems => Some(problems::FORMAT),
            Self::World => Some(facts::FORMAT),
        }
    }
}

/// Returns the versions of all formats that carry one.
pub(crate) fn formats() -> impl Iterator<Item = &'static str> {
    SchemaFormat::value_variants().iter().filter_map(|of| of.format())
}
