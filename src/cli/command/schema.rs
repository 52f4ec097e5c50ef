//! `lcm schema`.

use crate::cli::answer::data;
use crate::cli::exit::Exit;
use crate::cli::formats::SchemaFormat;
use crate::cli::stop::EarlyExit;
use crate::cli::wire;
use crate::report::json;
use crate::runtime::world;

/// Print the JSON schema of a format
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Format to describe
    #[arg(value_enum, default_value_t = SchemaFormat::Manifest, value_name = "FORMAT")]
    of: SchemaFormat,
}

pub(crate) fn run(args: &Args) -> Result<Exit, EarlyExit> {
    let schema = match args.of {
        SchemaFormat::Manifest => wire::manifest_schema(),
        SchemaFormat::Plan => json::plan_schema(),
        SchemaFormat::Status => json::status_schema(),
        SchemaFormat::Modes => json::modes_schema(),
        SchemaFormat::History => json::history_schema(),
        SchemaFormat::Event => json::event_schema(),
        SchemaFormat::Hook => json::hook_schema(),
        SchemaFormat::Problems => json::problems_schema(),
        SchemaFormat::Doctor => json::doctor_schema(),
        SchemaFormat::World => json::world_schema(world::parts),
    };
    data(&json::document(&schema))?;
    Ok(Exit::Done)
}
