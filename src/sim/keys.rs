//! Keys and programs of simulated instances.

use crate::model::desired::Service;
use crate::runtime::docker::intent::DockerSpec;
use crate::runtime::process::facts::TreeFact;

/// A tree is known by its salt, an adopted one by `pid:ticks`.
pub(super) fn key_of_tree(tree: &TreeFact) -> String {
    match tree.members.first() {
        Some(first) if tree.adopted => format!("{}:{}", first.pid, first.start_ticks),
        _ => tree.marks.salt.clone(),
    }
}

pub(super) fn program(service: &Service) -> String {
    match service.workload.spec::<DockerSpec>() {
        None => service.workload.spec.host_command().unwrap_or_default().swap_remove(0),
        Some(DockerSpec::Created(container)) => container.image.clone(),
        Some(DockerSpec::Existing(existing)) => existing.container.to_string(),
    }
}
