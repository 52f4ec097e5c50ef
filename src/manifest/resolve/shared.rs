//! Services in another container's network or IPC namespace (`container:NAME`): they depend on that service and are
//! recreated with it, because they name it by an id that is then gone.

use std::collections::BTreeMap;

use crate::manifest::resolve::resolved::ResolvedService;
use crate::model::desired::{Condition, Dependency};
use crate::model::names::ServiceName;

/// Adds the implied dependencies that the manifest does not state. A container that belongs to no service is not part
/// of a plan; that it was recreated shows in the actual settings.
pub(super) fn depend(services: &mut BTreeMap<ServiceName, ResolvedService>) {
    let carriers: BTreeMap<String, ServiceName> = services
        .iter()
        .filter_map(|(name, resolved)| Some((resolved.service.object()?.to_string(), name.clone())))
        .collect();
    for (name, resolved) in services.iter_mut() {
        let named = resolved.service.workload.spec.shares_with().into_iter();
        let bases: Vec<ServiceName> =
            named.filter_map(|of| carriers.get(of)).filter(|base| *base != name).cloned().collect();
        for base in bases {
            resolved.depends_on.entry(base.clone()).or_insert(resolved.object);
            let edge = resolved.service.depends_on.entry(base);
            edge.or_insert(Dependency { condition: Condition::Started, restart: true }).restart = true;
        }
    }
}
