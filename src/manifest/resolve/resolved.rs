//! Results that the parts of a resolution hand on: a runtime, and a whole service with its places.

use std::collections::BTreeMap;

use crate::manifest::wire;
use crate::manifest::wire::service::GpuValue;
use crate::model::desired::Service;
use crate::model::endpoint::{Endpoint, PublishedPort};
use crate::model::names::ServiceName;
use crate::model::spec::Spec;
use crate::model::workload::Workload;
use crate::syntax::source::Span;

/// A runtime's block, resolved: workload, spec, missing secrets, published ports.
#[derive(Debug)]
pub(crate) struct ResolvedRuntime {
    pub workload: Workload,
    pub spec: Spec,
    pub missing_secrets: Vec<String>,
    /// `None`: it publishes none that lcm knows of, and the local ones count that its own probes ask.
    pub published: Option<Vec<(PublishedPort, Span)>>,
    /// Place where its object is named.
    pub object: Option<Span>,
}

/// A service, and the places of what others may collide with.
#[derive(Debug)]
pub(super) struct ResolvedService {
    pub service: Service,
    /// Place where its object is named, else its own.
    pub object: Span,
    pub vram: Span,
    pub ports: BTreeMap<Endpoint, Span>,
    pub depends_on: BTreeMap<ServiceName, Span>,
}

/// Returns whether the program takes GPUs by index.
pub(crate) fn as_index(written: &wire::service::ServiceBlock) -> bool {
    matches!(written.gpu.as_ref().map(|gpu| &gpu.value), Some(GpuValue::AsIndex(_)))
}

/// Returns whether lcm chooses the GPUs that the program sees.
pub(crate) fn gets_gpus(written: &wire::service::ServiceBlock) -> bool {
    match &written.gpu {
        Some(gpu) => !matches!(gpu.value, GpuValue::None),
        None => written.vram.as_ref().is_some_and(|vram| vram.0 > 0),
    }
}
