//! Services in another container's network or IPC namespace (`container:NAME`): they depend on that service, and are
//! made anew with it, for they name it by an id that is gone then.

use std::collections::BTreeMap;

use crate::manifest::resolve::resolved::ResolvedService;
use crate::model::desired::{Condition, Dependency};
use crate::model::names::ServiceName;

/// Adds the dependencies that follow from it, where the manifest states none. A container that no service carries is not
/// lcm's to follow in a plan; that it was made anew shows in the real settings.
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
