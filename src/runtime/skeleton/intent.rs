//! Definition of a service that is an object.

use crate::model::names::ObjectName;
use crate::model::workload::{Capabilities, Capability, Origin, RuntimeSpec, Workload};
use crate::runtime::skeleton::NAME;

const CAPABILITIES: Capabilities = Capabilities(&[Capability::LocalGpu, Capability::Objects]);

/// Object that lcm creates.
#[derive(Clone, Debug)]
pub(super) struct SkeletonSpec {
    pub(super) name: ObjectName,
}

impl RuntimeSpec for SkeletonSpec {}

impl From<SkeletonSpec> for Workload {
    fn from(spec: SkeletonSpec) -> Self {
        Self {
            runtime: NAME,
            target: None,
            object: Some(spec.name.clone()),
            origin: Origin::Created,
            capabilities: CAPABILITIES,
            spec: Box::new(spec),
        }
    }
}
