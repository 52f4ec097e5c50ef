//! `--dry-run` of the commands that carry out a plan: the same plan, in the format of `lcm plan`. Nothing is confirmed,
//! locked, recorded or changed.

use crate::cli::args::operator::DRY_RUN;
use crate::cli::args::{OutputFormat, PlanFormat};
use crate::cli::exit::Exit;
use crate::cli::job::ApplyJob;
use crate::cli::stop::EarlyExit;
use crate::cli::terminal::session::Session;
use crate::cli::{answer, opened, plan_view, prepare};
use crate::model::snapshot::Proposal;
use crate::reconcile::{Cycle, propose};
use crate::report::view::{InspectedCounts, PlanView};

/// Shows the plan of a job, and returns the exit code that `lcm plan` would.
pub(super) async fn run(session: &Session, mut job: ApplyJob) -> Result<Exit, EarlyExit> {
    let (project, saved) = prepare::open(session, &mut job).await?;
    let request = prepare::request(&job, &project, saved.as_ref())?;
    let holds = std::mem::take(&mut job.holds);
    let cycle = Cycle { caller: session, project: &project, request: &request, saved: saved.as_ref() };
    let Proposal { snapshot, plan } = propose(cycle, holds).await?;
    let inspected = InspectedCounts::at(&snapshot.facts);
    let view = PlanView { plan: &plan, purpose: job.purpose, origin: opened::origin(&project, &inspected) };
    let format = match job.execution.format {
        OutputFormat::Text => PlanFormat::Text,
        OutputFormat::Json => PlanFormat::Json,
    };
    answer::data(&plan_view::shown(session, view, format))?;
    session.note(DRY_RUN);
    Ok(Exit::of_plan(&plan, job.planning.detailed_exitcode))
}
