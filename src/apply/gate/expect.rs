//! A step's expectation against the world as it is at that moment: done already, ready, or stale.

use crate::apply::run::{Run, StepError, StepOutcome, is_of_previous};
use crate::model::desired::Service;
use crate::model::lifecycle::State;
use crate::model::observed::Instance;
use crate::model::plan::Step;
use crate::runtime::{Life, Look};

/// What a look means for a stop or a removal.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::apply) enum Ready {
    Yes,
    /// There is nothing left to do.
    Done,
    /// The world is another than the plan was made for.
    Stale(String),
}

/// What a look means for a start.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::apply) enum Launch {
    Begin,
    /// It runs already, as it is wanted: only its health is waited for.
    Await(Instance),
    Stale(String),
}

pub(in crate::apply) fn of_stop(step: &Step, look: &Look) -> Ready {
    match look.life {
        Life::Absent | Life::Ended(_) => Ready::Done,
        Life::Running | Life::Suspended | Life::Crippled(_) if look.instance == step.expect.instance => Ready::Yes,
        Life::Running | Life::Suspended | Life::Crippled(_) => {
            Ready::Stale("another of it runs by now than the plan was made for".to_owned())
        }
    }
}

pub(in crate::apply) fn of_pause(step: &Step, look: &Look) -> Ready {
    let is_it = look.instance == step.expect.instance;
    match look.life {
        Life::Suspended if is_it => Ready::Done,
        Life::Running if is_it => Ready::Yes,
        Life::Absent | Life::Ended(_) | Life::Crippled(_) | Life::Running | Life::Suspended => {
            Ready::Stale("it is another one by now, or does not run well".to_owned())
        }
    }
}

pub(in crate::apply) fn of_unpause(step: &Step, look: &Look) -> Ready {
    let is_it = look.instance == step.expect.instance;
    match look.life {
        Life::Running if is_it => Ready::Done,
        Life::Suspended if is_it => Ready::Yes,
        Life::Absent | Life::Ended(_) | Life::Crippled(_) | Life::Running | Life::Suspended => {
            Ready::Stale("it is another one by now, or has ended".to_owned())
        }
    }
}

pub(in crate::apply) fn of_remove(step: &Step, look: &Look) -> Ready {
    if is_of_previous(step) {
        return if look.previous { Ready::Yes } else { Ready::Done };
    }
    match look.life {
        Life::Absent => Ready::Done,
        Life::Ended(_) if look.instance == step.expect.instance => Ready::Yes,
        Life::Ended(_) => Ready::Stale("another of it is there by now than the plan was made for".to_owned()),
        Life::Running | Life::Suspended | Life::Crippled(_) => Ready::Stale("it runs by now".to_owned()),
    }
}

pub(in crate::apply) fn of_start(step: &Step, service: &Service, look: &Look) -> Launch {
    let starting_already = step.route.first() == Some(&State::Starting);
    let as_wanted = match (&look.spec, &step.spec) {
        (Some(carried), Some(wanted)) => {
            carried == wanted || (wanted == service.spec.hash() && service.spec.has_hash(carried))
        }
        (Some(carried), None) => service.spec.has_hash(carried),
        // It carries no hash: somebody else made it, and it is taken as it is.
        (None, _) => true,
    };
    match (&look.life, &look.instance) {
        (Life::Running, Some(found)) if starting_already && look.instance != step.expect.instance => {
            Launch::Stale(format!("another of it runs by now than the one that was starting ({found:?})"))
        }
        (Life::Running, Some(found)) if starting_already || as_wanted => Launch::Await(found.clone()),
        (Life::Running, _) => Launch::Stale("it runs by now, made from another spec".to_owned()),
        (Life::Suspended, _) => Launch::Stale("it is suspended by now".to_owned()),
        (Life::Crippled(_), _) => Launch::Stale("processes of it are left over by now".to_owned()),
        (Life::Absent | Life::Ended(_), _) if starting_already => Launch::Stale("it ended by now".to_owned()),
        // The end of a tree is but a note; a container that ended is a thing, and may be another one now.
        (Life::Absent, _) | (Life::Ended(_), Some(Instance::Tree { .. }) | None) => Launch::Begin,
        (Life::Ended(_), found) if *found == step.expect.instance => Launch::Begin,
        (Life::Ended(_), Some(Instance::Container { .. })) => {
            Launch::Stale("another of it was there since the plan was made".to_owned())
        }
    }
}

/// Goes on where a look says that the step is to be taken; `Err` where it is not.
pub(in crate::apply) async fn check_expectation(
    run: &Run<'_>,
    service: &Service,
    judge: impl FnOnce(&Look) -> Ready,
) -> Result<(), StepOutcome> {
    let look = run.clock.unless_cancelled(run.context.driver.look(&run.context.desired.project, service)).await;
    match look.map_err(StepOutcome::Cancelled)? {
        Ok(look) => match judge(&look) {
            Ready::Yes => Ok(()),
            Ready::Done => Err(StepOutcome::NotNeeded),
            Ready::Stale(reason) => Err(StepOutcome::Stale(reason)),
        },
        Err(error) => Err(StepOutcome::Failed(StepError::unreadable(&error))),
    }
}
