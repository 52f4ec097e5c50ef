//! Preparation of a job: the project is opened in the mode that the job is about, and the request is made.

use crate::cli::job::ApplyJob;
use crate::cli::stop::EarlyExit;
use crate::cli::terminal::session::Session;
use crate::cli::{mode_override, opened, plan_view, saved};
use crate::model::plan::{Plan, Purpose, Request};
use crate::reconcile::Project;

/// The manifest in the mode that this job is about, and the saved plan where it is one's.
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
        // All goes, well or not: a probe that can't be made must not keep it.
        project.desired.services.values_mut().for_each(|service| service.health.probe = None);
    }
    if let (Some(voice), Some(mode)) = (&job.switch, project.desired.mode.clone()) {
        mode_override::refuse_choice(&project.desired, &mode)?;
        let switched = mode_override::switched(session, &project, voice, mode);
        project.switch(switched);
    }
    Ok((project, saved))
}

/// Returns the request to the planner. A saved plan is carried out as it was approved, forced or not.
pub(super) fn request(job: &ApplyJob, project: &Project, saved: Option<&Plan>) -> Result<Request, EarlyExit> {
    let force = job.execution.force && saved.is_none();
    Ok(Request { purpose: job.purpose, force, ..plan_view::request(project, &job.planning)? })
}
