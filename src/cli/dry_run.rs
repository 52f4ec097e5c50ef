//! `--dry-run` of the commands that carry out a plan: the same plan, shown as `lcm plan` does. Nothing is asked,
//! locked, recorded or changed.

use crate::cli::args::operator::DRY_RUN;
use crate::cli::args::{Format, PlanFormat};
use crate::cli::command::oneshot;
use crate::cli::exit::Exit;
use crate::cli::job::Job;
use crate::cli::stop::Stop;
use crate::cli::terminal::session::Session;
use crate::cli::{answer, execute, plan_view, saved};
use crate::model::snapshot::Planner as _;
use crate::report::view::{Looked, View};

/// Shows what the job would do, and ends as `lcm plan` does.
pub(super) async fn run(session: &Session, mut job: Job) -> Result<Exit, Stop> {
    let (opened, saved) = execute::open(session, &mut job)?;
    let request = execute::request(&job, &opened, saved.as_ref())?;
    let mut facts = opened.facts(session).await?;
    facts.heed(std::mem::take(&mut job.holds));
    let snapshot = opened.planner().observe(facts);
    opened.refuse_other_hosts(&snapshot.facts)?;
    opened.refuse_if_all_unknown(&snapshot, &request)?;
    oneshot::refuse_held(&opened, &snapshot, &request)?;
    let snapshot = oneshot::resume(&opened, snapshot, &request);
    let plan = opened.plan(&snapshot, &request)?;
    if let Some(saved) = &saved {
        saved::check(saved, &plan)?;
    }
    let looked = Looked::at(&snapshot.facts);
    let view = View { plan: &plan, purpose: job.purpose, origin: opened.origin(&looked) };
    let format = match job.execution.format {
        Format::Text => PlanFormat::Text,
        Format::Json => PlanFormat::Json,
    };
    answer::data(&plan_view::shown(session, view, format))?;
    session.note(DRY_RUN);
    Ok(Exit::of_plan(&plan, job.planning.detailed_exitcode))
}
