//! Input of the planner: manifest, observation, request, and the wants that follow from manifest and request.
//!
//! Decides nothing. Comparisons between them are in `judge`.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::model::budget::Budget;
use crate::model::desired::{Desired, GpuRequest, Service};
use crate::model::endpoint::Endpoint;
use crate::model::lifecycle::{Action, State};
use crate::model::names::{GpuId, ServiceName};
use crate::model::observed::{Observed, ObservedMemory, ObservedService};
use crate::model::plan::{Purpose, Reason, Request};
use crate::model::rules::Case;
use crate::model::rules::way::Refusal;
use crate::model::size::Mebibytes;
use crate::plan::numbers::{Number, Rows};
use crate::plan::summary::ServiceSummary;
use crate::plan::want::{Want, Wants};

/// Position of a GPU in [`Observed::gpus`].
pub(super) type GpuIndex = usize;

/// Position of a GPU, or the next one for the host's memory.
pub(super) type SlotIndex = usize;

/// Position of a GPU request among the distinct GPU requests.
pub(super) type RequestIndex = usize;

/// Everything that the planner may read. Services are identified by their numbers.
#[derive(Debug)]
pub(super) struct PlanInput<'a> {
    pub(super) desired: &'a Desired,
    pub(super) observed: &'a Observed,
    pub(super) request: &'a Request,
    pub(super) wants: &'a Wants<'a>,
    seen: Vec<&'a ObservedService>,
    summaries: Vec<ServiceSummary>,
    /// GPU request of each service.
    requests_by_service: Vec<RequestIndex>,
    /// Distinct GPU requests.
    gpu_requests: Vec<&'a GpuRequest>,
    ports: Rows<Endpoint>,
    /// In the order of the observation.
    gpu_ids: Vec<&'a GpuId>,
    /// True if a service declares host memory, or a GPU uses the host's.
    counts_host_memory: bool,
}

impl<'a> PlanInput<'a> {
    pub(super) fn new(
        desired: &'a Desired,
        observed: &'a Observed,
        request: &'a Request,
        wants: &'a Wants<'a>,
    ) -> Self {
        let services = wants.of.len();
        let mut input = Self {
            desired,
            observed,
            request,
            wants,
            seen: Vec::with_capacity(services),
            summaries: Vec::with_capacity(services),
            requests_by_service: Vec::with_capacity(services),
            gpu_requests: Vec::new(),
            ports: Rows::default(),
            gpu_ids: observed.gpus.keys().collect(),
            counts_host_memory: observed.gpus.values().any(|gpu| gpu.is_unified),
        };
        // Both are in the order of their names, and every service of the manifest is observed.
        let mut observations = observed.services.iter();
        let mut seen = |name: &ServiceName| observations.find(|(other, _)| *other == name).map(|(_, seen)| seen);
        let mut known: BTreeMap<&GpuRequest, RequestIndex> = BTreeMap::new();
        // A service is large: everything that is needed often is copied out of it at once.
        for (name, service) in &desired.services {
            let seen = seen(name).expect("every service is observed");
            input.seen.push(seen);
            input.counts_host_memory |= service.ram > Mebibytes::ZERO;
            input.summaries.push(ServiceSummary::of(service, seen, observed.observed_at));
            input.ports.push(service.ports.iter().copied());
            let gpu = seen.gpu_request(service);
            input.requests_by_service.push(*known.entry(gpu).or_insert_with(|| {
                input.gpu_requests.push(gpu);
                input.gpu_requests.len() - 1
            }));
        }
        input
    }

    /// Every service of the manifest, by name.
    pub(super) fn all(&self) -> Range<Number> {
        self.wants.numbers.all()
    }

    pub(super) fn name(&self, number: Number) -> &'a ServiceName {
        self.wants.numbers.name(number)
    }

    pub(super) fn service(&self, number: Number) -> &'a Service {
        self.wants.numbers.service(number)
    }

    pub(super) fn seen(&self, number: Number) -> &'a ObservedService {
        self.seen[number]
    }

    /// Summary of a service.
    pub(super) fn summary(&self, number: Number) -> ServiceSummary {
        self.summaries[number]
    }

    /// Reason for which the state of a service is unknown.
    pub(super) fn unknown(&self, number: Number) -> Option<&'a str> {
        if self.summary(number).is_known { None } else { self.seen(number).unknown.as_deref() }
    }

    pub(super) fn want(&self, number: Number) -> &'a Want {
        &self.wants.of[number]
    }

    pub(super) fn priority(&self, number: Number) -> i64 {
        self.wants.priority[number]
    }

    pub(super) fn is_in_scope(&self, number: Number) -> bool {
        self.wants.in_scope[number]
    }

    /// Reason for which this run has found that a service can't be started now.
    pub(super) fn prevented(&self, number: Number) -> Option<&'a Reason> {
        self.request.prevented.get(self.name(number))
    }

    /// Attempts that a service has left, and the time from which the next one is due.
    pub(super) fn budget(&self, number: Number) -> Budget {
        self.summary(number).budget
    }

    /// Returns true if the budget is spent and the service is retried all the same. A retry preempts no other service.
    pub(super) fn is_retry(&self, number: Number) -> bool {
        matches!(self.budget(number), Budget::Retry { .. })
    }

    /// Returns true if the next attempt is not due yet, and is not the last one. Free memory is reserved for the
    /// service.
    pub(super) fn is_soon_tried_again(&self, number: Number) -> bool {
        matches!(self.budget(number), Budget::Waits { .. })
    }

    /// Position of a service's GPU request among the distinct GPU requests.
    pub(super) fn gpu_request_index(&self, number: Number) -> RequestIndex {
        self.requests_by_service[number]
    }

    /// Distinct GPU requests.
    pub(super) fn gpu_requests(&self) -> &[&'a GpuRequest] {
        &self.gpu_requests
    }

    /// Host ports that a service takes while it runs.
    pub(super) fn ports(&self, number: Number) -> &[Endpoint] {
        self.ports.of(number)
    }

    pub(super) fn gpu_id(&self, gpu: GpuIndex) -> &'a GpuId {
        self.gpu_ids[gpu]
    }

    /// Position of a GPU; `None` where it is not observed.
    pub(super) fn gpu(&self, id: &GpuId) -> Option<GpuIndex> {
        self.gpu_ids.binary_search(&id).ok()
    }

    /// Returns true if this plan counts host memory, known or not.
    pub(super) fn counts_host_memory(&self) -> bool {
        self.counts_host_memory
    }

    /// Host memory, where plans count it and it is known.
    pub(super) fn memory(&self) -> Option<&'a ObservedMemory> {
        self.observed.memory.known().filter(|_| self.counts_host_memory)
    }

    /// Position of the host's memory among the memories, after those of the GPUs.
    pub(super) fn host_slot(&self) -> SlotIndex {
        self.gpu_ids.len()
    }

    /// Direct dependencies of a service, by name.
    pub(super) fn bases(&self, number: Number) -> &'a [Number] {
        self.wants.numbers.bases(number)
    }

    /// Direct dependents of a service, by name.
    pub(super) fn dependents(&self, number: Number) -> &'a [Number] {
        self.wants.numbers.dependents(number)
    }

    /// Returns true if the service is only kept running, and holds no more than an eviction leaves it. A service under
    /// an operator's hold counts in full; so does one that is not known to answer, since it may still be loading.
    pub(super) fn is_kept_evicted(&self, number: Number) -> bool {
        let seen = self.seen(number);
        seen.holds_capacity
            && seen.hold.is_none()
            && seen.unknown.is_none()
            && seen.state.is_operational()
            && *self.want(number) == Want::Kept
            && seen.is_evicted(self.service(number))
    }

    /// Reason for which holds can't be read. `None` for `down`, which may stop services without knowing their holds.
    pub(super) fn holds_unknown(&self) -> Option<&'a str> {
        let unknown = self.observed.holds_unknown.as_deref();
        unknown.filter(|_| self.request.purpose != Purpose::Down)
    }

    /// States that an action passes from a state, or the reason for which there is no route.
    pub(super) fn way(&self, number: Number, action: Action, from: State) -> Result<Vec<State>, String> {
        self.way_of(self.name(number), action, from).map_err(|refusal| refusal.to_string())
    }

    /// Like [`PlanInput::way`], by name: orphans have no number.
    pub(super) fn way_of(&self, name: &ServiceName, action: Action, from: State) -> Result<Vec<State>, Refusal<'_>> {
        self.desired.rules.way(&self.case(name), action, from)
    }

    /// Case for the rules: a service in the current mode at the time of the observation.
    pub(super) fn case<'s>(&'s self, name: &'s ServiceName) -> Case<'s> {
        Case { service: name, mode: self.desired.mode.as_ref(), at: self.observed.observed_at }
    }
}
