//! Records and warnings that the adoption of a process and its end share.

use std::collections::BTreeMap;
use std::path::Path;

use crate::cli::args::names;
use crate::cli::args::operator::OperatorArgs;
use crate::cli::stop::{Code, EarlyExit};
use crate::cli::terminal::session::Session;
use crate::cli::{opened, refusal};
use crate::manifest::ModeSelection;
use crate::model::capacity::HostCapacity;
use crate::model::lifecycle::State;
use crate::model::names::ServiceName;
use crate::model::plan::Request;
use crate::model::size::Mebibytes;
use crate::model::snapshot::Planner as _;
use crate::plan::judge_commands::{HeldRelation, HeldService};
use crate::reconcile::Project;
use crate::store::{Author, Transition};

/// State of a service and memory of the host, before or after a change of ownership.
pub(crate) struct OwnershipState {
    state: Option<State>,
    capacity: HostCapacity,
}

impl OwnershipState {
    pub(crate) async fn of(session: &Session, opened: &Project, service: &ServiceName) -> Result<Self, EarlyExit> {
        let snapshot = opened.snapshot(session).await?;
        let state = snapshot.observed.services.get(service).map(|seen| seen.state);
        let capacity = opened.planner().capacity(&snapshot, &Request::default());
        Ok(Self { state, capacity })
    }
}

/// Opens the project of a service, in any mode. Errors: the manifest's problems, or a service that it does not have.
pub(crate) async fn open(session: &Session, manifest: &Path, service: &ServiceName) -> Result<Project, EarlyExit> {
    let choice = ModeSelection { mode_optional: true, ..ModeSelection::default() };
    let opened = opened::open(session, manifest, &choice, None).await?;
    names::check("service", [service], opened.desired.services.keys())?;
    Ok(opened)
}

/// Refuses to change the ownership of a service that an operator holds.
pub(crate) async fn refuse_held(opened: &Project, service: &ServiceName) -> Result<(), EarlyExit> {
    let holds = opened.store().holds(&opened.desired.project).await;
    let unreadable = |error| EarlyExit::refused(Code::Store, format!("can't read operator holds: {error}"));
    match holds.map_err(unreadable)?.services.remove(service) {
        Some(hold) => {
            Err(refusal::held(&HeldService { service: service.clone(), hold, relation: HeldRelation::Named }))
        }
        None => Ok(()),
    }
}

/// Records the change in the history. A store that fails causes a warning alone: the change is made.
pub(crate) async fn record(
    session: &Session,
    opened: &Project,
    (service, operator): (&ServiceName, &OperatorArgs),
    (before, after): (&OwnershipState, &OwnershipState),
    what: &str,
) {
    let (Some(from), Some(to)) = (before.state, after.state) else { return };
    let transition = Transition {
        at: opened.driver().now(),
        project: opened.desired.project.clone(),
        service: service.clone(),
        from,
        to,
        reason: operator.reason(opened).map_or_else(|| what.to_owned(), |reason| format!("{what}: {reason}")),
        // No change of the machine: lcm sees the service in another state.
        made: false,
        author: Author { by: operator.by(session), run: String::new() },
        metadata: BTreeMap::new(),
    };
    if let Err(error) = opened.store().record(&transition).await {
        session.warn(&format!("can't record this change in the history: {error}"));
    }
}

/// Warns of each GPU that is overcommitted since the service counts.
pub(crate) fn warn_of_overcommit(
    session: &Session,
    service: &ServiceName,
    (before, after): (&OwnershipState, &OwnershipState),
) {
    for (id, gpu) in &after.capacity.gpus {
        let free = gpu.free(None);
        let was = before.capacity.gpus.get(id).map_or(0, |gpu| gpu.free(None));
        if free < 0 && free < was {
            session.warn(&format!(
                "{} is overcommitted by {} now that {service} counts: {}; `lcm plan` shows what the mode needs",
                gpu.called,
                Mebibytes(free.unsigned_abs()),
                gpu.arithmetic(None)
            ));
        }
    }
}
