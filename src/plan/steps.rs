//! The steps of a plan while it is made, each found by what it does and to whom: a plan may have thousands, and each
//! start asks after others. Decides nothing.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::lifecycle::{Action, State, route};
use crate::model::names::{ServiceName, StepId};
use crate::model::plan::{ReasonCode, Step};
use crate::model::words::{Word, way};

#[derive(Debug, Default)]
pub(super) struct Steps {
    all: Vec<Step>,
    position: BTreeMap<StepId, usize>,
    /// An orphan may bear the name of a service, so there may be more than one.
    stops: BTreeMap<ServiceName, Vec<StepId>>,
}

impl Steps {
    pub(super) fn push(&mut self, step: Step) {
        self.position.insert(step.id.clone(), self.all.len());
        if step.action == Action::Stop {
            self.stops.entry(step.service.clone()).or_default().push(step.id.clone());
        }
        self.all.push(step);
    }

    /// A service's own step of this action.
    pub(super) fn find(&self, action: Action, service: &ServiceName) -> Option<&Step> {
        self.position.get(&id(action, service)).map(|at| &self.all[*at])
    }

    /// Stops of all that bears this name.
    pub(super) fn stops_of(&self, service: &ServiceName) -> &[StepId] {
        self.stops.get(service).map_or(&[], Vec::as_slice)
    }

    /// All names of which there are stops.
    pub(super) fn stopped(&self) -> impl Iterator<Item = &ServiceName> {
        self.stops.keys()
    }

    /// Those of them that there are, in the order of the steps themselves and not of their names.
    pub(super) fn in_order(&self, ids: BTreeSet<StepId>) -> Vec<StepId> {
        let placed: BTreeMap<usize, StepId> =
            ids.into_iter().filter_map(|id| Some((*self.position.get(&id)?, id))).collect();
        placed.into_values().collect()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Step> {
        self.all.iter()
    }

    pub(super) fn into_all(self) -> Vec<Step> {
        self.all
    }
}

impl Extend<Step> for Steps {
    fn extend<I: IntoIterator<Item = Step>>(&mut self, steps: I) {
        steps.into_iter().for_each(|step| self.push(step));
    }
}

/// `start:comfyui`; steps of orphans that bear a service's name have others.
pub(super) fn id(action: Action, service: &ServiceName) -> StepId {
    StepId::new(format!("{action}:{service}"))
}

/// A stop that an operator asked for with `terminate` ends elsewhere.
pub(super) fn stop_route(why: ReasonCode, from: State) -> Option<&'static [State]> {
    if why == ReasonCode::Terminated { way(Word::Terminate, from) } else { route(Action::Stop, from) }
}
