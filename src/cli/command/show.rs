//! `lcm show`: a saved plan, and whether it is still valid. Plans again as `lcm apply --plan` does, but without its
//! lock, and changes nothing; where that fails, the plan is shown all the same.

use std::path::PathBuf;

use crate::cli::answer::data;
use crate::cli::args::{PlanFormat, PlanningArgs};
use crate::cli::exit::Exit;
use crate::cli::plan_view::{request, shown};
use crate::cli::stop::EarlyExit;
use crate::cli::terminal::session::Session;
use crate::cli::{opened, saved};
use crate::manifest::ModeSelection;
use crate::model::plan::{Plan, Purpose};
use crate::reconcile::comparison;
use crate::report::view::{Freshness, PlanOrigin, PlanView};

/// Show a saved plan, and whether it is still valid
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Plan to show, made by `lcm plan --out`
    #[arg(value_name = "PLANFILE")]
    plan: PathBuf,
    /// Manifest that the plan was made from
    #[arg(short, long, default_value = "lcm.yaml", value_name = "MANIFEST")]
    manifest: PathBuf,
    /// Use this snapshot, made by `lcm observe`, instead of the machine
    #[arg(long, value_name = "FILE")]
    world: Option<PathBuf>,
    /// Don't check whether the plan is still valid
    #[arg(long, conflicts_with = "world")]
    offline: bool,
    /// Output format
    #[arg(long, value_enum, default_value_t = PlanFormat::Text, value_name = "FORMAT")]
    format: PlanFormat,
}

pub(crate) async fn run(session: &Session, args: &Args) -> Result<Exit, EarlyExit> {
    let plan = saved::read(&args.plan)?;
    let freshness = if args.offline {
        Freshness::Unknown("not checked (--offline)".to_owned())
    } else {
        // A failed check is no reason not to show the plan; the exit code reports it.
        freshness(session, args, &plan).await.unwrap_or_else(|stop| Freshness::Unknown(stop.sentence().to_owned()))
    };
    let view = PlanView { plan: &plan, purpose: Purpose::Apply, origin: PlanOrigin::Saved(&freshness) };
    data(&shown(session, view, args.format))?;
    match args.format {
        PlanFormat::Text | PlanFormat::Markdown | PlanFormat::Html => {}
        // These formats have no place for it.
        PlanFormat::Json | PlanFormat::Mermaid => session.note(&freshness.sentence()),
    }
    Ok(match freshness {
        Freshness::Valid => Exit::Done,
        Freshness::Stale(_) => Exit::Stale,
        // An unchecked plan must not pass for a valid one.
        Freshness::Unknown(_) if args.offline => Exit::Done,
        Freshness::Unknown(_) => Exit::Refused,
    })
}

/// Plans again with the options of the saved plan, and compares the two.
async fn freshness(session: &Session, args: &Args, plan: &Plan) -> Result<Freshness, EarlyExit> {
    let mut choice = ModeSelection::default();
    saved::choose(plan, &mut choice)?;
    let mut planning = PlanningArgs::default();
    saved::narrow(plan, &mut planning)?;
    let opened = opened::open(session, &args.manifest, &choice, args.world.as_deref()).await?;
    // With another project or host nothing else is worth comparing, and an engine that does not answer changes nothing.
    if let Some(difference) = comparison::of_project(plan, &opened.desired.project) {
        return Ok(Freshness::Stale(vec![difference]));
    }
    let request = request(&opened, &planning)?;
    let snapshot = opened.snapshot(session).await?;
    let facts = &snapshot.facts;
    if let Some(difference) = comparison::of_host(plan, &facts.host, facts.host_identity.as_ref()) {
        return Ok(Freshness::Stale(vec![difference]));
    }
    opened.refuse_if_all_unknown(&snapshot, &request)?;
    let now = opened.plan(&snapshot, &request)?;
    let differences = comparison::differences(plan, &now);
    Ok(if differences.is_empty() { Freshness::Valid } else { Freshness::Stale(differences) })
}
