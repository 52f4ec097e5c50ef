//! A step's expectation against the world as it is at that moment: done already, ready, or stale.

use crate::model::desired::Service;
use crate::model::instance::Instance;
use crate::model::lifecycle::State;
use crate::model::observed::ASIDE_SUFFIX;
use crate::model::plan::Step;
use crate::runtime::{Life, Look};

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

/// The step is about the service itself, not about an orphan or a surplus copy that bears its name.
pub(super) fn is_of_service(step: &Step) -> bool {
    step.id.as_str() == format!("{}:{}", step.action, step.service)
}

/// The step is about the container that was put aside for a newer one.
pub(super) fn is_of_older(step: &Step) -> bool {
    step.expect.instance.as_ref().is_some_and(|instance| instance.object().ends_with(ASIDE_SUFFIX))
}

/// Whether a look at the service shows what the step is about: one that had another runtime or another container name
/// when it was made, is known by its instance alone.
pub(super) fn can_be_looked_at(step: &Step, service: &Service) -> bool {
    match (&step.expect.instance, service.object()) {
        (Some(instance), _) if instance.runtime != service.workload.runtime => false,
        (Some(Instance { name: Some(name), .. }), Some(own)) => {
            name == own || name.as_str().strip_suffix(ASIDE_SUFFIX) == Some(own.as_str())
        }
        (Some(Instance { name: None, .. }), None) | (None, _) => true,
        (Some(Instance { name: Some(_), .. }), None) | (Some(Instance { name: None, .. }), Some(_)) => false,
    }
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

pub(super) fn of_pause(step: &Step, look: &Look) -> Ready {
    let is_it = look.instance == step.expect.instance;
    match look.life {
        Life::Suspended if is_it => Ready::Done,
        Life::Running if is_it => Ready::Yes,
        Life::Absent | Life::Ended(_) | Life::Crippled(_) | Life::Running | Life::Suspended => {
            Ready::Stale("it is another one by now, or does not run well".to_owned())
        }
    }
}

pub(super) fn of_unpause(step: &Step, look: &Look) -> Ready {
    let is_it = look.instance == step.expect.instance;
    match look.life {
        Life::Running if is_it => Ready::Done,
        Life::Suspended if is_it => Ready::Yes,
        Life::Absent | Life::Ended(_) | Life::Crippled(_) | Life::Running | Life::Suspended => {
            Ready::Stale("it is another one by now, or has ended".to_owned())
        }
    }
}

pub(super) fn of_remove(step: &Step, look: &Look) -> Ready {
    if is_of_older(step) {
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
        (Life::Absent, _) | (Life::Ended(_), Some(Instance { name: None, .. }) | None) => Launch::Begin,
        (Life::Ended(_), found) if *found == step.expect.instance => Launch::Begin,
        (Life::Ended(_), Some(_)) => Launch::Stale("another of it was there since the plan was made".to_owned()),
    }
}
