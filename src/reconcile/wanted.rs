//! Services whose readings a run needs. Pure. Not here: whether they should run, which is the planner's judgement.

use std::collections::BTreeSet;

use crate::model::desired::Desired;
use crate::model::names::ServiceName;
use crate::model::plan::{Purpose, Request};

/// Returns the mode's services, those that active goals need, and all that they depend on; for a down, every service.
pub(crate) fn wanted(desired: &Desired, request: &Request) -> BTreeSet<ServiceName> {
    let all = || desired.services.keys().cloned().collect::<BTreeSet<_>>();
    let has_mode = desired.active_modes().next().is_some();
    let mut wanted = match (request.purpose, has_mode) {
        (Purpose::Down, _) | (Purpose::Apply, false) => all(),
        (Purpose::Apply, true) => desired.active_modes().flat_map(|(_, mode)| &mode.services).cloned().collect(),
        (Purpose::Start | Purpose::Stop | Purpose::Restart, _) => request.targets.clone(),
    };
    if request.purpose.is_one_shot() {
        return with_dependencies(desired, wanted);
    }
    for goal in desired.active_goals().iter().filter_map(|name| desired.goals.get(name)) {
        wanted.extend(goal.services.iter().cloned());
        let of_phase = desired.services.values().filter(|service| !service.phases.is_disjoint(&goal.phases));
        wanted.extend(of_phase.map(|service| service.name.clone()));
    }
    if !request.targets.is_empty() {
        wanted.retain(|name| request.targets.contains(name));
    }
    wanted.retain(|name| !request.excludes.contains(name));
    with_dependencies(desired, wanted)
}

fn with_dependencies(desired: &Desired, wanted: BTreeSet<ServiceName>) -> BTreeSet<ServiceName> {
    let mut found = BTreeSet::new();
    let mut next: Vec<ServiceName> = wanted.into_iter().collect();
    // Ends: each service is expanded once.
    while let Some(name) = next.pop() {
        let Some(service) = desired.services.get(&name) else { continue };
        if found.insert(name) {
            next.extend(service.depends_on.keys().cloned());
        }
    }
    found
}
