//! Expectation of a step, compared with the present state of its service: done already, ready, or stale.

use crate::apply::run::{Run, StepError, StepOutcome, is_of_previous};
use crate::model::desired::Service;
use crate::model::instance::Instance;
use crate::model::lifecycle::State;
use crate::model::plan::Step;
use crate::runtime::{Life, Look};

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

pub(in crate::apply) fn of_stop(step: &Step, look: &Look) -> Readiness {
    match look.life {
        Life::Absent | Life::Ended(_) => Readiness::Done,
        Life::Running | Life::Suspended | Life::Crippled(_) if look.instance == step.expect.instance => {
            Readiness::Ready
        }
        Life::Running | Life::Suspended | Life::Crippled(_) => {
            Readiness::Stale("another of it runs by now than the plan was made for".to_owned())
        }
    }
}

pub(in crate::apply) fn of_pause(step: &Step, look: &Look) -> Readiness {
    let is_it = look.instance == step.expect.instance;
    match look.life {
        Life::Suspended if is_it => Readiness::Done,
        Life::Running if is_it => Readiness::Ready,
        Life::Absent | Life::Ended(_) | Life::Crippled(_) | Life::Running | Life::Suspended => {
            Readiness::Stale("it is another one by now, or does not run well".to_owned())
        }
    }
}

pub(in crate::apply) fn of_unpause(step: &Step, look: &Look) -> Readiness {
    let is_it = look.instance == step.expect.instance;
    match look.life {
        Life::Running if is_it => Readiness::Done,
        Life::Suspended if is_it => Readiness::Ready,
        Life::Absent | Life::Ended(_) | Life::Crippled(_) | Life::Running | Life::Suspended => {
            Readiness::Stale("it is another one by now, or has ended".to_owned())
        }
    }
}

pub(in crate::apply) fn of_remove(step: &Step, look: &Look) -> Readiness {
    if is_of_previous(step) {
        return if look.previous { Readiness::Ready } else { Readiness::Done };
    }
    match look.life {
        Life::Absent => Readiness::Done,
        Life::Ended(_) if look.instance == step.expect.instance => Readiness::Ready,
        Life::Ended(_) => Readiness::Stale("another of it is there by now than the plan was made for".to_owned()),
        Life::Running | Life::Suspended | Life::Crippled(_) => Readiness::Stale("it runs by now".to_owned()),
    }
}

pub(in crate::apply) fn of_start(step: &Step, service: &Service, look: &Look) -> StartReadiness {
    let starting_already = step.route.first() == Some(&State::Starting);
    let as_wanted = match (&look.spec, &step.spec) {
        (Some(carried), Some(wanted)) => {
            carried == wanted || (wanted == service.spec.hash() && service.spec.has_hash(carried))
        }
        (Some(carried), None) => service.spec.has_hash(carried),
        // Without a hash it was not made by lcm, and is used as it is.
        (None, _) => true,
    };
    match (&look.life, &look.instance) {
        (Life::Running, Some(found)) if starting_already && look.instance != step.expect.instance => {
            StartReadiness::Stale(format!("another of it runs by now than the one that was starting ({found:?})"))
        }
        (Life::Running, Some(found)) if starting_already || as_wanted => StartReadiness::Await(found.clone()),
        (Life::Running, _) => StartReadiness::Stale("it runs by now, made from another spec".to_owned()),
        (Life::Suspended, _) => StartReadiness::Stale("it is suspended by now".to_owned()),
        (Life::Crippled(_), _) => StartReadiness::Stale("processes of it are left over by now".to_owned()),
        (Life::Absent | Life::Ended(_), _) if starting_already => StartReadiness::Stale("it ended by now".to_owned()),
        // An ended process tree leaves only a note; an ended container still exists, and may be another one by now.
        (Life::Absent, _) | (Life::Ended(_), Some(Instance { name: None, .. }) | None) => StartReadiness::Begin,
        (Life::Ended(_), found) if *found == step.expect.instance => StartReadiness::Begin,
        (Life::Ended(_), Some(_)) => {
            StartReadiness::Stale("another of it was there since the plan was made".to_owned())
        }
    }
}

/// Inspects the service and judges the step by it; `Err`: the outcome of a step that is not carried out.
pub(in crate::apply) async fn check_expectation(
    run: &Run<'_>,
    service: &Service,
    judge: impl FnOnce(&Look) -> Readiness,
) -> Result<(), StepOutcome> {
    let look = run.clock.unless_cancelled(run.context.driver.look(&run.context.desired.project, service)).await;
    match look.map_err(StepOutcome::Cancelled)? {
        Ok(look) => match judge(&look) {
            Readiness::Ready => Ok(()),
            Readiness::Done => Err(StepOutcome::NotNeeded),
            Readiness::Stale(reason) => Err(StepOutcome::Stale(reason)),
        },
        Err(error) => Err(StepOutcome::Failed(StepError::unreadable(&error))),
    }
}
