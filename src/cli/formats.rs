//! Formats that lcm reads and writes, and their versions.

use clap::ValueEnum;

use crate::model::{event, facts, hooks, plan};
use crate::report::{doctor, history, modes, problems, status};

/// Format that has a JSON schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum SchemaFormat {
    /// The manifest, for editors
    Manifest,
    /// Output of `lcm plan --format json`
    Plan,
    /// Output of `lcm status --format json`
    Status,
    /// Output of `lcm modes --format json`
    Modes,
    /// Output of `lcm history --format json`
    History,
    /// One line of `lcm apply --format json`
    Event,
    /// Input of a hook or a notifier
    Hook,
    /// Output of `lcm validate --format json`
    Problems,
    /// Output of `lcm doctor --format json`
    Doctor,
    /// Output of `lcm observe`, and input of `--world`
    World,
}

impl SchemaFormat {
    /// Returns the version of a format that carries one; a manifest has `version: 1` instead.
    fn format(self) -> Option<&'static str> {
        match self {
            Self::Manifest => None,
            Self::Plan => Some(plan::FORMAT),
            Self::Status => Some(status::FORMAT),
            Self::Modes => Some(modes::FORMAT),
            Self::History => Some(history::FORMAT),
            Self::Event => Some(event::FORMAT),
            Self::Hook => Some(hooks::FORMAT),
            Self::Problems => Some(problems::FORMAT),
            Self::Doctor => Some(doctor::FORMAT),
            Self::World => Some(facts::FORMAT),
        }
    }
}

/// Returns the versions of all formats that carry one.
pub(crate) fn formats() -> impl Iterator<Item = &'static str> {
    SchemaFormat::value_variants().iter().filter_map(|format| format.format())
}
