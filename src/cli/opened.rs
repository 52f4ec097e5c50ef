//! Opening of projects for commands; problems of a manifest are shown in its file.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::cli::args::ChooseArgs;
use crate::cli::args::manifest::MANIFEST;
use crate::cli::stop::EarlyExit;
use crate::cli::terminal::session::Session;
use crate::cli::wire;
use crate::manifest::ModeSelection;
use crate::model::desired::Desired;
use crate::reconcile::owner::OwnerAccess;
use crate::reconcile::{OpenError, Project, project};
use crate::report::view::{InspectedCounts, PlanOrigin};
use crate::syntax::problem::{Problem, Problems, Severity};

/// Reads a manifest. Errors: its problems, which end the command.
pub(super) fn load(session: &Session, manifest: &Path, choice: &ModeSelection) -> Result<Desired, EarlyExit> {
    report_search(session, manifest);
    crate::reconcile::wire::load(manifest, &session.environment, choice).map_err(|problems| refusal(session, &problems))
}

/// Reports once which manifest is used, where none was named and the nearest one is in a folder above.
pub(super) fn report_search(session: &Session, manifest: &Path) {
    static IS_REPORTED: AtomicBool = AtomicBool::new(false);
    if manifest != Path::new(MANIFEST) || IS_REPORTED.swap(true, Ordering::Relaxed) {
        return;
    }
    if let Some(found) = crate::reconcile::wire::nearest_manifest().filter(|found| found != manifest) {
        session.note(&format!("using {}: this folder has no {MANIFEST}", found.display()));
    }
}

/// Returns the refusal of a manifest: all its problems, underlined in the file, or its first error as one sentence.
pub(super) fn refusal(session: &Session, problems: &Problems) -> EarlyExit {
    let errors: Vec<&Problem> = problems.0.iter().filter(|problem| problem.severity == Severity::Error).collect();
    let first = errors.first().map_or_else(String::new, |first| {
        let place = first.place.as_ref().map(|place| format!("{place}: ")).unwrap_or_default();
        format!("{place}{}", first.message)
    });
    let more = if errors.len() > 1 { "; `lcm validate` shows the other errors" } else { "" };
    EarlyExit::shown(wire::render(problems, session.stderr, session.width()), format!("{first}{more}"))
}

/// Opens a project, in the mode that an operator switched to where there is one.
pub(super) async fn open(
    session: &Session,
    manifest: &Path,
    choice: &ModeSelection,
    world: Option<&Path>,
) -> Result<Project, EarlyExit> {
    open_to(session, manifest, choice, world, OwnerAccess::AsOwner).await
}

/// Opens a project for a command that may take it over.
pub(super) async fn open_to(
    session: &Session,
    manifest: &Path,
    choice: &ModeSelection,
    world: Option<&Path>,
    claim: OwnerAccess,
) -> Result<Project, EarlyExit> {
    report_search(session, manifest);
    project::open(session, manifest, choice, world, claim).await.map_err(|error| stop(session, error))
}

/// Opens a project for a command that ignores the active mode.
pub(super) async fn open_without_mode(
    session: &Session,
    manifest: &Path,
    world: Option<&Path>,
) -> Result<Project, EarlyExit> {
    report_search(session, manifest);
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

/// Returns the origin of a plan made now from these facts.
pub(super) fn origin<'a>(project: &'a Project, inspected: &'a InspectedCounts) -> PlanOrigin<'a> {
    PlanOrigin::Now { mode_source: project.desired.mode_source, switched: project.switched.as_ref(), inspected }
}

fn stop(session: &Session, error: OpenError) -> EarlyExit {
    match error {
        OpenError::Manifest(problems) => refusal(session, &problems),
        OpenError::Refused(error) => error.into(),
    }
}
