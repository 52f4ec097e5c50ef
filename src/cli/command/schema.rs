//! `lcm schema`.

use clap::ValueEnum;

use crate::cli::command::plan::data;
use crate::cli::exit::Exit;
use crate::cli::stop::Stop;
use crate::cli::wire;
use crate::model::{event, facts, hooks, plan};
use crate::report::{history, json, problems, status};

/// Print the JSON schema of a format
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Format to describe
    #[arg(value_enum, default_value_t = Of::Manifest, value_name = "FORMAT")]
    of: Of,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Of {
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

impl Of {
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

/// All that lcm speaks.
pub(in crate::cli) fn formats() -> impl Iterator<Item = &'static str> {
    Of::value_variants().iter().filter_map(|of| of.format())
}

pub(in crate::cli) fn run(args: &Args) -> Result<Exit, Stop> {
    let schema = match args.of {
        Of::Manifest => wire::manifest_schema(),
        Of::Plan => json::plan_schema(),
        Of::Status => json::status_schema(),
        Of::History => json::history_schema(),
        Of::Event => json::event_schema(),
        Of::Hook => json::hook_schema(),
        Of::Problems => json::problems_schema(),
        Of::World => json::world_schema(),
    };
    data(&json::document(&schema))?;
    Ok(Exit::Done)
}
