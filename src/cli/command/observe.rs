//! `lcm observe`.

use std::path::PathBuf;

use crate::cli::answer::data;
use crate::cli::args::{ManifestArgs, READ_WORLD};
use crate::cli::exit::Exit;
use crate::cli::stop::{Code, EarlyExit};
use crate::cli::terminal::session::Session;
use crate::cli::{opened, outputs};
use crate::files::output;
use crate::report::json;

/// Record the state of the machine as a snapshot for `--world`
#[derive(Debug, clap::Args)]
#[command(mut_arg("world", |arg| arg.help(READ_WORLD)))]
pub(crate) struct Args {
    #[command(flatten)]
    manifest: ManifestArgs,
    /// Write to this file instead of stdout
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

pub(crate) async fn run(session: &Session, args: &Args) -> Result<Exit, EarlyExit> {
    let manifest = args.manifest.path();
    args.out.iter().try_for_each(|file| outputs::check(session, &manifest, file))?;
    let opened = opened::open_to_look(session, &manifest, &args.manifest.choose).await?;
    let text = json::document(&opened.facts(session).await?);
    match &args.out {
        None => data(&text)?,
        Some(path) => output::replace(path, &text).map_err(|error| {
            EarlyExit::refused(Code::File, format!("can't write the snapshot to {}: {error}", path.display()))
        })?,
    }
    Ok(Exit::Done)
}
