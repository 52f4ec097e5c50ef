//! `--dry-run` of the commands that carry out a plan: the same plan, shown as `lcm plan` does. Nothing is asked,
//! locked, recorded or changed.

use crate::cli::args::{Format, PlanFormat};
use crate::cli::command::holds::DRY_RUN;
use crate::cli::command::{oneshot, plan as plan_command};
use crate::cli::execute::{self, Job};
use crate::cli::exit::Exit;
use crate::cli::saved;
use crate::cli::stop::{Code, Stop};
use crate::cli::terminal::session::Session;
use crate::report::view::{Looked, View};

/// Shows what the job would do, and ends as `lcm plan` does.
pub(super) async fn run(session: &Session, mut job: Job) -> Result<Exit, Stop> {
    let (opened, saved) = execute::open(session, &mut job)?;
    let request = execute::request(&job, &opened, saved.as_ref())?;
    let mut facts = opened.facts(session).await?;
    facts.heed(std::mem::take(&mut job.holds));
    opened.refuse_other_hosts(&facts)?;
    opened.refuse_if_all_unknown(&facts, &request)?;
    oneshot::refuse_held(&opened, &facts, &request)?;
    oneshot::resume(&opened, &mut facts, &request);
    let plan = opened.think(&facts, &request).map_err(|reason| Stop::refused(Code::Audit, reason))?;
    if let Some(saved) = &saved {
        saved::check(saved, &plan)?;
    }
    let looked = Looked::at(&facts);
    let view = View { plan: &plan, purpose: job.purpose, origin: opened.origin(&looked) };
    let format = match job.execution.format {
        Format::Text => PlanFormat::Text,
        Format::Json => PlanFormat::Json,
    };
    plan_command::data(&plan_command::shown(session, view, format))?;
    session.note(DRY_RUN);
    Ok(Exit::of_plan(&plan, job.planning.detailed_exitcode))
}
