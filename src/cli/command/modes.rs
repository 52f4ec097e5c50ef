//! `lcm modes`.

use crate::cli::answer::data;
use crate::cli::args::{ChooseArgs, FileArgs, OutputFormat, READ_WORLD};
use crate::cli::exit::Exit;
use crate::cli::opened;
use crate::cli::stop::EarlyExit;
use crate::cli::terminal::session::Session;
use crate::model::mode_set::ModeSet;
use crate::report::json;
use crate::report::modes::{self, Modes};

/// List the modes with their services, and mark the active ones
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    file: FileArgs,
    /// Mark this mode as active instead; may be given several times
    #[arg(long, value_name = "MODE")]
    mode: Vec<ModeSet>,
    #[arg(long, value_name = "FILE", help = READ_WORLD)]
    world: Option<std::path::PathBuf>,
    /// Output format
    #[arg(long, value_enum, default_value_t = OutputFormat::Text, value_name = "FORMAT")]
    format: OutputFormat,
}

pub(crate) async fn run(session: &Session, args: Args) -> Result<Exit, EarlyExit> {
    let Args { file, mode, world, format } = args;
    let choose = ChooseArgs { mode, goals: Vec::new(), world };
    let opened = opened::open_to_look(session, &file.path(), &choose).await?;
    if let Err(error) = opened.store().holds(&opened.desired.project).await {
        session.warn(&format!("{error}; the mode override is unknown"));
    }
    let modes = Modes::of(&opened.desired, opened.switched.as_ref());
    let all = opened.desired.services.keys().cloned().collect();
    data(&match format {
        OutputFormat::Text => modes::text(&modes, &all, opened.driver().now(), session.stdout),
        OutputFormat::Json => json::document(&modes),
    })?;
    Ok(Exit::Done)
}
