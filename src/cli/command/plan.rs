//! `lcm plan`.

use std::io;
use std::path::PathBuf;

use crate::cli::args::{ManifestArgs, NarrowArgs, PlanFormat, PlanningArgs, names};
use crate::cli::exit::Exit;
use crate::cli::opened::{self, Opened};
use crate::cli::outputs;
use crate::cli::stop::{Code, Stop};
use crate::cli::terminal::session::Session;
use crate::files::output;
use crate::model::plan::{Purpose, Request};
use crate::report::output::Output;
use crate::report::text::{self, Setting};
use crate::report::view::{Looked, View};
use crate::report::{html, json, markdown, mermaid, print};

/// Show what must change, and why; changes nothing
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    manifest: ManifestArgs,
    #[command(flatten)]
    planning: PlanningArgs,
    /// Write the plan into this file too, for `lcm apply --plan`
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// How to show the plan
    #[arg(long, value_enum, default_value_t = PlanFormat::Text, value_name = "FORMAT")]
    format: PlanFormat,
}

pub(in crate::cli) async fn run(session: &Session, args: &Args) -> Result<Exit, Stop> {
    let (manifest, choose) = (&args.manifest.path(), &args.manifest.choose);
    args.out.iter().try_for_each(|file| outputs::check(session, manifest, file))?;
    let opened = opened::open(session, manifest, &choose.choice(), choose.world.as_deref())?;
    let request = request(&opened, &args.planning)?;
    let snapshot = opened.snapshot(session).await?;
    opened.refuse_if_all_unknown(&snapshot, &request)?;
    let plan = opened.plan(&snapshot, &request)?;
    if let Some(path) = &args.out {
        output::replace(path, &json::document(&plan)).map_err(|error| {
            Stop::refused(Code::File, format!("can't write the plan to {}: {error}", path.display()))
        })?;
    }
    let looked = Looked::at(&snapshot.facts);
    let view = View { plan: &plan, purpose: request.purpose, origin: opened.origin(&looked) };
    data(&shown(session, view, args.format))?;
    Ok(Exit::of_plan(&plan, args.planning.detailed_exitcode))
}

/// A plan in one of its forms. Only text is painted and folded: the others go into files.
pub(in crate::cli) fn shown(session: &Session, view: View<'_>, format: PlanFormat) -> Output {
    match format {
        PlanFormat::Text => text::plan(view, Setting { verbose: session.verbose, style: session.stdout }),
        PlanFormat::Json => json::document(view.plan),
        PlanFormat::Markdown => markdown::plan(view),
        PlanFormat::Mermaid => mermaid::plan(view.plan),
        PlanFormat::Html => html::plan(view),
    }
}

/// What is asked for, its names checked.
pub(in crate::cli) fn request(opened: &Opened, planning: &PlanningArgs) -> Result<Request, Stop> {
    let NarrowArgs { targets, excludes } = &planning.narrow;
    names::check("service", targets.iter().chain(excludes), opened.desired.services.keys())?;
    Ok(Request {
        targets: targets.iter().cloned().collect(),
        excludes: excludes.iter().cloned().collect(),
        strict: planning.strict,
        prune: planning.prune,
        repack: planning.repack,
        purpose: Purpose::Apply,
        other_checkout: opened.other_checkout(),
        ..Request::default()
    })
}

/// Writes a command's answer.
pub(in crate::cli) fn data(text: &Output) -> Result<(), Stop> {
    print::data(text).map_err(|error| unwritten(&error))
}

pub(in crate::cli) fn unwritten(error: &io::Error) -> Stop {
    Stop::refused(Code::System, format!("can't write to stdout: {error}"))
}
