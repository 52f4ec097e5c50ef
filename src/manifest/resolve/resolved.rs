//! Results that parts of the resolution pass on: a runtime, and a whole service with its places.

use std::collections::BTreeMap;

use crate::manifest::wire;
use crate::manifest::wire::service::GpuValue;
use crate::model::desired::Service;
use crate::model::endpoint::{Endpoint, PublishedPort};
use crate::model::names::ServiceName;
use crate::model::spec::Spec;
use crate::model::workload::Workload;
use crate::syntax::source::Span;

/// Resolved block of a runtime: workload, spec, missing secrets, published ports.
#[derive(Debug)]
pub(crate) struct ResolvedRuntime {
    pub workload: Workload,
    pub spec: Spec,
    pub missing_secrets: Vec<String>,
    /// Published ports. `None`: the runtime publishes none that lcm knows of, so the local ports of its own probes
    /// count.
    pub published: Option<Vec<(PublishedPort, Span)>>,
    /// Place where its object is named.
    pub object: Option<Span>,
}

/// Service, and the places of values that may collide with other services.
#[derive(Debug)]
pub(super) struct ResolvedService {
    pub service: Service,
    /// Place where its object is named, else its own.
    pub object: Span,
    pub vram: Span,
    pub ports: BTreeMap<Endpoint, Span>,
    pub depends_on: BTreeMap<ServiceName, Span>,
    /// Explicit parts of its dependencies.
    pub edges: BTreeMap<ServiceName, WrittenEdge>,
}

/// Places of the explicit parts of a dependency.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct WrittenEdge {
    pub condition: Option<Span>,
    pub restart: Option<Span>,
}

/// Returns true if the program takes GPUs by index.
pub(crate) fn as_index(written: &wire::service::ServiceBlock) -> bool {
    matches!(written.gpu.as_ref().map(|gpu| &gpu.value), Some(GpuValue::AsIndex(_)))
}

/// Returns true if lcm chooses the GPUs that the program sees.
pub(crate) fn gets_gpus(written: &wire::service::ServiceBlock) -> bool {
    match &written.gpu {
        Some(gpu) => !matches!(gpu.value, GpuValue::None),
        None => written.vram.as_ref().is_some_and(|vram| vram.is_some()),
    }
}
