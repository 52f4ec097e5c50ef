//! Expectation of a step, compared with the present state of its service: done already, ready, or stale.

use crate::apply::run::{Run, StepError, StepOutcome, is_of_previous};
use crate::model::desired::Service;
use crate::model::instance::Instance;
use crate::model::plan::Step;
use crate::runtime::{Inspection, RunState};

/// Readiness of every step but a start.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::apply) enum Readiness {
    Ready,
    /// Nothing is left to do.
    Done,
    /// The state differs from the one that the plan was made for.
    Stale(String),
}

/// Readiness of a start.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::apply) enum StartReadiness {
    Begin,
    /// The service runs already as desired: the step only waits for its health.
    Await(Instance),
    Stale(String),
}

pub(in crate::apply) fn of_stop(step: &Step, inspection: &Inspection) -> Readiness {
    match inspection.run_state {
        RunState::Absent | RunState::Ended(_) => Readiness::Done,
        RunState::Running | RunState::Suspended | RunState::Degraded(_)
            if inspection.instance == step.expect.instance =>
        {
            Readiness::Ready
        }
        RunState::Running | RunState::Suspended | RunState::Degraded(_) => {
            Readiness::Stale("a different instance is running than the one in the plan".to_owned())
        }
    }
}

pub(in crate::apply) fn of_pause(step: &Step, inspection: &Inspection) -> Readiness {
    let is_it = inspection.instance == step.expect.instance;
    match inspection.run_state {
        RunState::Suspended if is_it => Readiness::Done,
        RunState::Running if is_it => Readiness::Ready,
        RunState::Absent | RunState::Ended(_) | RunState::Degraded(_) | RunState::Running | RunState::Suspended => {
            Readiness::Stale("it was replaced, or is not running properly".to_owned())
        }
    }
}

pub(in crate::apply) fn of_unpause(step: &Step, inspection: &Inspection) -> Readiness {
    let is_it = inspection.instance == step.expect.instance;
    match inspection.run_state {
        RunState::Running if is_it => Readiness::Done,
        RunState::Suspended if is_it => Readiness::Ready,
        RunState::Absent | RunState::Ended(_) | RunState::Degraded(_) | RunState::Running | RunState::Suspended => {
            Readiness::Stale("it was replaced, or has ended".to_owned())
        }
    }
}

pub(in crate::apply) fn of_remove(step: &Step, inspection: &Inspection) -> Readiness {
    if is_of_previous(step) {
        return if inspection.previous { Readiness::Ready } else { Readiness::Done };
    }
    match inspection.run_state {
        RunState::Absent => Readiness::Done,
        RunState::Ended(_) if inspection.instance == step.expect.instance => Readiness::Ready,
        RunState::Ended(_) => Readiness::Stale("a different instance exists than the one in the plan".to_owned()),
        RunState::Running | RunState::Suspended | RunState::Degraded(_) => {
            Readiness::Stale("it is running by now".to_owned())
        }
    }
}

pub(in crate::apply) fn of_start(step: &Step, service: &Service, inspection: &Inspection) -> StartReadiness {
    let starting_already = step.is_await();
    let as_wanted = match (&inspection.spec, &step.spec) {
        (Some(carried), Some(wanted)) => {
            carried == wanted || (wanted == service.spec.hash() && service.spec.has_hash(carried))
        }
        (Some(carried), None) => service.spec.has_hash(carried),
        // Without a hash it was not made by lcm, and is used as it is.
        (None, _) => true,
    };
    match (&inspection.run_state, &inspection.instance) {
        (RunState::Running, Some(found)) if starting_already && inspection.instance != step.expect.instance => {
            StartReadiness::Stale(format!("a different instance is running than the one that was starting ({found:?})"))
        }
        (RunState::Running, Some(found)) if starting_already || as_wanted => StartReadiness::Await(found.clone()),
        (RunState::Running, _) => StartReadiness::Stale("it is running by now, with another spec".to_owned()),
        (RunState::Suspended, _) => StartReadiness::Stale("it is suspended by now".to_owned()),
        (RunState::Degraded(_), _) => StartReadiness::Stale("some of its processes are left over".to_owned()),
        (RunState::Absent | RunState::Ended(_), _) if starting_already => {
            StartReadiness::Stale("it has ended by now".to_owned())
        }
        // An ended process tree leaves only a note; an ended container still exists, and may have been replaced.
        (RunState::Absent, _) | (RunState::Ended(_), Some(Instance { name: None, .. }) | None) => StartReadiness::Begin,
        (RunState::Ended(_), found) if *found == step.expect.instance => StartReadiness::Begin,
        (RunState::Ended(_), Some(_)) => {
            StartReadiness::Stale("another instance has run since the plan was made".to_owned())
        }
    }
}

/// Inspects the service and judges the step by it; `Err`: the outcome of a step that is not carried out.
pub(in crate::apply) async fn check_expectation(
    run: &Run<'_>,
    service: &Service,
    judge: impl FnOnce(&Inspection) -> Readiness,
) -> Result<(), StepOutcome> {
    let inspection =
        run.clock.unless_cancelled(run.context.driver.inspect(&run.context.desired.project, service)).await;
    match inspection.map_err(StepOutcome::Cancelled)? {
        Ok(inspection) => match judge(&inspection) {
            Readiness::Ready => Ok(()),
            Readiness::Done => Err(StepOutcome::NotNeeded),
            Readiness::Stale(reason) => Err(StepOutcome::Stale(reason)),
        },
        Err(error) => Err(StepOutcome::Failed(StepError::unreadable(&error))),
    }
}
