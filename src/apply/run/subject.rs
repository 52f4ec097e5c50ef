//! Subject of a step: the service itself, an orphan or surplus copy of the same name, or the previous revision; and the
//! stops that a start waits for.

use crate::model::desired::Service;
use crate::model::instance::Instance;
use crate::model::lifecycle::Action;
use crate::model::observed::ASIDE_SUFFIX;
use crate::model::plan::{Plan, Step};

/// Returns true if the subject is the service itself, not an orphan or a surplus copy of the same name.
pub(in crate::apply) fn is_of_service(step: &Step) -> bool {
    step.id.as_str() == format!("{}:{}", step.action, step.service)
}

/// Returns true if the subject is the container that was put aside for a newer one.
pub(in crate::apply) fn is_of_previous(step: &Step) -> bool {
    step.expect.instance.as_ref().is_some_and(|instance| instance.object().ends_with(ASIDE_SUFFIX))
}

/// Returns true if an inspection of the service shows the subject of the step. An instance of another runtime or of
/// another container name is known by its identity alone.
pub(in crate::apply) fn can_be_inspected(step: &Step, service: &Service) -> bool {
    match (&step.expect.instance, service.object()) {
        (Some(instance), _) if instance.runtime != service.workload.runtime => false,
        (Some(Instance { name: Some(name), .. }), Some(own)) => {
            name == own || name.as_str().strip_suffix(ASIDE_SUFFIX) == Some(own.as_str())
        }
        (Some(Instance { name: None, .. }), None) | (None, _) => true,
        (Some(Instance { name: Some(_), .. }), None) | (Some(Instance { name: None, .. }), Some(_)) => false,
    }
}

/// Returns the stops that a start needs.
pub(in crate::apply) fn needed_stops<'p>(plan: &'p Plan, step: &'p Step) -> impl Iterator<Item = &'p Step> {
    step.needs.iter().filter_map(|need| plan.step(need)).filter(|need| need.action == Action::Stop)
}
