//! A step's expectation against the world as it is at that moment: done already, ready, or stale.

use crate::driver::{Life, Look};
use crate::model::desired::Service;
use crate::model::lifecycle::State;
use crate::model::observed::Instance;
use crate::model::plan::Step;

/// What a look means for a stop or a removal.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ready {
    Yes,
    /// There is nothing left to do.
    Done,
    /// The world is another than the plan was made for.
    Stale(String),
}

/// What a look means for a start.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Launch {
    Begin,
    /// It runs already, as it is wanted: only its health is waited for.
    Await(Instance),
    Stale(String),
}

pub(super) fn of_stop(step: &Step, look: &Look) -> Ready {
    match look.life {
        Life::Absent | Life::Ended(_) => Ready::Done,
        Life::Running | Life::Suspended | Life::Crippled(_) if look.instance == step.expect.instance => Ready::Yes,
        Life::Running | Life::Suspended | Life::Crippled(_) => {
            Ready::Stale("another of it runs by now than the plan was made for".to_owned())
        }
    }
}

pub(super) fn of_remove(step: &Step, service: &Service, look: &Look) -> Ready {
    let of_older = match &step.expect.instance {
        Some(Instance::Container { name, .. }) => Some(name.as_str()) != service.container_name(),
        Some(Instance::Tree { .. }) | None => false,
    };
    if of_older {
        return if look.previous { Ready::Yes } else { Ready::Done };
    }
    match look.life {
        Life::Absent => Ready::Done,
        Life::Ended(_) if look.instance == step.expect.instance => Ready::Yes,
        Life::Ended(_) => Ready::Stale("another of it is there by now than the plan was made for".to_owned()),
        Life::Running | Life::Suspended | Life::Crippled(_) => Ready::Stale("it runs by now".to_owned()),
    }
}

pub(super) fn of_start(step: &Step, service: &Service, look: &Look) -> Launch {
    let starting_already = step.route.first() == Some(&State::Starting);
    let as_wanted = match (&look.spec, &step.spec) {
        (Some(carried), Some(wanted)) => carried == wanted,
        (Some(carried), None) => *carried == service.spec.hash(),
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
        (Life::Absent, _) => Launch::Begin,
        (Life::Ended(_), found) if *found == step.expect.instance => Launch::Begin,
        (Life::Ended(_), _) => Launch::Stale("another of it was there since the plan was made".to_owned()),
    }
}
