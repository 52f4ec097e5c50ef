//! Projects, opened for commands: what is wrong with a manifest is shown in its file.

use std::path::Path;

use crate::cli::args::ChooseArgs;
use crate::cli::stop::EarlyExit;
use crate::cli::terminal::session::Session;
use crate::cli::wire;
use crate::manifest::ModeSelection;
use crate::model::desired::Desired;
use crate::reconcile::owner::OwnerAccess;
use crate::reconcile::{OpenError, Project, project};
use crate::report::view::{InspectedCounts, PlanOrigin};
use crate::syntax::problem::{Problem, Problems, Severity};

/// Reads a manifest; what is wrong with it ends the command.
pub(super) fn load(session: &Session, manifest: &Path, choice: &ModeSelection) -> Result<Desired, EarlyExit> {
    crate::reconcile::wire::load(manifest, &session.environment, choice).map_err(|problems| refusal(session, &problems))
}

/// All that is wrong with a manifest, to be shown underlined in its file, or by its first error alone.
pub(super) fn refusal(session: &Session, problems: &Problems) -> EarlyExit {
    let errors: Vec<&Problem> = problems.0.iter().filter(|problem| problem.severity == Severity::Error).collect();
    let first = errors.first().map_or_else(String::new, |first| {
        let place = first.place.as_ref().map(|place| format!("{place}: ")).unwrap_or_default();
        format!("{place}{}", first.message)
    });
    let more = if errors.len() > 1 { "; `lcm validate` shows what else is wrong" } else { "" };
    EarlyExit::shown(wire::render(problems, session.stderr, session.width()), format!("{first}{more}"))
}

/// Opens a project in the mode that an operator switched to, where one did.
pub(super) async fn open(
    session: &Session,
    manifest: &Path,
    choice: &ModeSelection,
    world: Option<&Path>,
) -> Result<Project, EarlyExit> {
    open_to(session, manifest, choice, world, OwnerAccess::AsOwner).await
}

/// The same for a command that may take the project over.
pub(super) async fn open_to(
    session: &Session,
    manifest: &Path,
    choice: &ModeSelection,
    world: Option<&Path>,
    claim: OwnerAccess,
) -> Result<Project, EarlyExit> {
    project::open(session, manifest, choice, world, claim).await.map_err(|error| stop(session, error))
}

/// Opens a project whose active mode does not matter.
pub(super) async fn open_without_mode(
    session: &Session,
    manifest: &Path,
    world: Option<&Path>,
) -> Result<Project, EarlyExit> {
    let choice = ModeSelection { mode_optional: true, ..ModeSelection::default() };
    let opened = project::open_in_own_mode(session, manifest, &choice, world, OwnerAccess::AsOwner).await;
    opened.map_err(|error| stop(session, error))
}

/// Opens a project for a command that changes nothing.
pub(super) async fn open_to_look(
    session: &Session,
    manifest: &Path,
    choose: &ChooseArgs,
) -> Result<Project, EarlyExit> {
    open(session, manifest, &choose.choice_if_any(), choose.world.as_deref()).await
}

/// Returns where a plan of these facts comes from.
pub(super) fn origin<'a>(project: &'a Project, looked: &'a InspectedCounts) -> PlanOrigin<'a> {
    PlanOrigin::Now { mode_source: project.desired.mode_source, switched: project.switched.as_ref(), looked }
}

fn stop(session: &Session, error: OpenError) -> EarlyExit {
    match error {
        OpenError::Manifest(problems) => refusal(session, &problems),
        OpenError::Refused(error) => error.into(),
    }
}
