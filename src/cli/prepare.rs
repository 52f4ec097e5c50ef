//! Preparation of a job: opens the project in the job's mode, and makes the request to the planner.

use crate::cli::job::ApplyJob;
use crate::cli::stop::EarlyExit;
use crate::cli::terminal::session::Session;
use crate::cli::{mode_override, opened, plan_view, saved};
use crate::model::plan::{Plan, Purpose, Request};
use crate::reconcile::Project;

/// Returns the project in the job's mode, and the saved plan of a job that has one.
pub(super) async fn open(session: &Session, job: &mut ApplyJob) -> Result<(Project, Option<Plan>), EarlyExit> {
    let saved = job.saved.as_deref().map(saved::read).transpose()?;
    if let Some(saved) = &saved {
        saved::choose(saved, &mut job.choice)?;
        saved::narrow(saved, &mut job.planning)?;
    }
    let mut project = match job.opened.take() {
        Some(opened) => opened,
        None => opened::open_to(session, &job.manifest, &job.choice, job.world.as_deref(), job.claim).await?,
    };
    if job.purpose == Purpose::Down {
        // Everything is stopped, healthy or not: a probe that can't run must not prevent it.
        project.desired.services.values_mut().for_each(|service| service.health.probe = None);
    }
    if let (Some(operator), Some(mode)) = (&job.switch, project.desired.mode.clone()) {
        mode_override::refuse_choice(&project.desired, &mode)?;
        let switched = mode_override::switched(session, &project, operator, mode);
        project.switch(switched);
    }
    Ok((project, saved))
}

/// Returns the request to the planner. A saved plan is carried out as it was approved, forced or not.
pub(super) fn request(job: &ApplyJob, project: &Project, saved: Option<&Plan>) -> Result<Request, EarlyExit> {
    let force = job.execution.force && saved.is_none();
    Ok(Request { purpose: job.purpose, force, ..plan_view::request(project, &job.planning)? })
}
