//! Free GPU memory at this moment: what the driver measures, less the reservations of this run that no measurement shows
//! for certain yet. Waits for memory are in `admit`, and the host's memory in `host_memory`.

use std::collections::BTreeMap;

use futures_util::future::join_all;

use crate::apply::run::{ReservationState, Run, RunContext, StartReservation};
use crate::model::capacity::{GpuCapacity, HostCapacity, MemoryHolder};
use crate::model::desired::Service;
use crate::model::facts::{ProbeFacts, ProbeReading};
use crate::model::names::{GpuId, ServiceName};
use crate::model::plan::{Plan, Request, Step};
use crate::model::size::Mebibytes;
use crate::model::snapshot::Snapshot;

/// Memory that one start takes, on each of these GPUs and of the host.
#[derive(Clone, Copy, Debug)]
pub(in crate::apply) struct Need<'a> {
    pub(in crate::apply) service: &'a Service,
    pub(in crate::apply) gpus: &'a [GpuId],
    pub(in crate::apply) amount: Mebibytes,
    /// GPUs with another amount; empty where it is the same on all.
    pub(in crate::apply) by_gpu: &'a BTreeMap<GpuId, Mebibytes>,
    /// Host memory.
    pub(in crate::apply) ram: Mebibytes,
    /// Part of the amount that the service holds already: the used memory of a GPU as a whole includes it.
    pub(in crate::apply) held: Mebibytes,
    /// The service runs on, and takes this beside what it holds: all of the host memory, and the amounts of a service
    /// that has one for each GPU.
    pub(in crate::apply) is_beside: bool,
}

impl<'a> Need<'a> {
    /// Memory of a step that starts the service.
    pub(in crate::apply) fn of_start(step: &'a Step, service: &'a Service) -> Self {
        let is_even = service.vram_by_gpu.is_none();
        Self {
            service,
            gpus: &step.gpus,
            amount: if is_even { service.vram_total() } else { step.vram_mib },
            by_gpu: &step.uneven_mib,
            ram: step.ram_mib,
            held: Mebibytes::ZERO,
            is_beside: false,
        }
    }

    /// Memory of a step that adds to what a running service holds: `amount` is the sum of both on each GPU, and `held`
    /// what it holds already, where it is the same on all.
    pub(in crate::apply) fn beside(
        step: &'a Step,
        service: &'a Service,
        (amount, held): (Mebibytes, Mebibytes),
    ) -> Self {
        let start = Self { is_beside: true, ..Self::of_start(step, service) };
        if service.vram_by_gpu.is_none() { Self { amount, held, by_gpu: no_amounts(), ..start } } else { start }
    }

    /// Memory on one GPU; `holder`: the service as a holder there.
    fn on(&self, gpu: &GpuId, holder: Option<&MemoryHolder>) -> Mebibytes {
        let amount = self.by_gpu.get(gpu).copied().unwrap_or(self.amount);
        let holds = holder.and_then(|holder| holder.measured).unwrap_or_default();
        if self.is_beside && self.service.vram_by_gpu.is_some() { amount + holds } else { amount }
    }
}

/// Returns no amounts: the same holds for all GPUs.
pub(in crate::apply) fn no_amounts() -> &'static BTreeMap<GpuId, Mebibytes> {
    static NONE: BTreeMap<GpuId, Mebibytes> = BTreeMap::new();
    &NONE
}

/// Reason for which a start can't have its memory now.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::apply) enum Shortfall {
    /// A GPU can't be used any more.
    Lost(String),
    Unknown(String),
    /// `it needs 20 000 MiB; GPU 0 has 24 564 − …`.
    Short {
        line: String,
        /// Only services that are loading are in the way, and their loading ends.
        passes: bool,
    },
}

/// Returns the capacity of each GPU at this moment. A service that may be evicted counts in full, because it is not probed.
pub(in crate::apply) async fn capacity_now(run: &Run<'_>) -> HostCapacity {
    let RunContext { driver, planner, desired, request, .. } = run.context;
    planner.capacity(&planner.observe(driver.survey(desired).await), request)
}

/// Returns the capacity as [`capacity_now`] does, for a step of this plan: memory that the plan does not reserve any more is
/// not reserved here either. Where that is too little, services that look evicted or asleep are probed first.
pub(in crate::apply) async fn capacity_for(
    run: &Run<'_>,
    plan: &Plan,
    is_enough: impl Fn(&HostCapacity) -> bool,
) -> HostCapacity {
    let given_back = plan.given_back.iter().map(|given| (given.service.clone(), given.gpu.clone())).collect();
    let request = Request { given_back, ..run.context.request.clone() };
    let planner = run.context.planner;
    let mut snapshot = planner.observe(run.context.driver.survey(run.context.desired).await);
    let headroom = planner.capacity(&snapshot, &request);
    if is_enough(&headroom) {
        return headroom;
    }
    let answered = probe_evicted(run, &snapshot).await;
    if answered.is_empty() {
        return headroom;
    }
    snapshot.facts.probes.extend(answered);
    planner.capacity(&planner.observe(snapshot.facts), &request)
}

/// Probes services that hold little memory. A survey probes none, and a service that still loads holds as little as one
/// that is evicted; the planner distinguishes them by their answers. Returns the answers of those that passed.
async fn probe_evicted(run: &Run<'_>, snapshot: &Snapshot) -> BTreeMap<ServiceName, ProbeFacts> {
    let (driver, desired) = (run.context.driver, run.context.desired);
    // A service that this run has admitted counts by its reservation.
    let reserved = |name: &ServiceName| run.ledger().reservations.contains_key(name);
    let others = desired.services.values().filter(|service| service.declares_vram() && !reserved(&service.name));
    let others: Vec<&Service> = others.collect();
    if others.is_empty() {
        return BTreeMap::new();
    }
    let asked = others.into_iter().filter_map(|service| {
        let seen = snapshot.observed.services.get(&service.name)?;
        let holds_little = seen.is_evicted(service) || seen.holds_less_than_declared(service);
        let instance = seen.instance.as_ref().filter(|_| seen.unknown.is_some() && holds_little)?;
        Some(async move { (service, driver.probe(&desired.project, service, instance).await) })
    });
    // A service that does not answer now may be restarting: it stays unknown, and is probed again with the next survey.
    let answered = join_all(asked).await.into_iter().filter(|(_, reading)| *reading == ProbeReading::Passed);
    answered.map(|(service, health)| (service.name.clone(), ProbeFacts { health: Some(health), busy: None })).collect()
}

/// Returns the shortfall of GPU memory, if there is one.
pub(in crate::apply) fn shortfall(
    headroom: &HostCapacity,
    need: &Need<'_>,
    reservations: &BTreeMap<ServiceName, StartReservation>,
) -> Option<Shortfall> {
    if let Some(reason) = headroom.unknown.as_ref().filter(|_| !need.gpus.is_empty()) {
        return Some(Shortfall::Unknown(format!("free GPU memory can't be read: {reason}")));
    }
    let mut short = None;
    for id in need.gpus {
        if let Some(why) = unreadable(headroom, id) {
            return Some(Shortfall::Unknown(why));
        }
        let Some(gpu) = headroom.gpus.get(id) else {
            return Some(Shortfall::Lost(format!("GPU {id} no longer exists")));
        };
        if let Some(reason) = &gpu.lost {
            return Some(Shortfall::Lost(format!("{} can't be used any more: {reason}", gpu.called)));
        }
        short = short.or_else(|| shortfall_on(id, gpu, need, reservations));
    }
    short
}

/// Returns the reason for which a GPU can't be read for now, though it may exist.
pub(in crate::apply) fn unreadable(headroom: &HostCapacity, id: &GpuId) -> Option<String> {
    let why = |gpu: &GpuCapacity| Some(format!("{} can't be used for now: {}", gpu.called, gpu.unreadable.as_ref()?));
    match headroom.gpus.get(id) {
        Some(gpu) => why(gpu),
        None => headroom.gpus.values().find_map(why).map(|why| format!("GPU {id} is not found, and {why}")),
    }
}

/// Returns true if a driver measures the free memory of all these GPUs.
pub(in crate::apply) fn is_measured(headroom: &HostCapacity, gpus: &[GpuId]) -> bool {
    gpus.iter().all(|id| headroom.gpus.get(id).is_some_and(|gpu| gpu.used.is_some()))
}

fn shortfall_on(
    id: &GpuId,
    gpu: &GpuCapacity,
    need: &Need<'_>,
    reservations: &BTreeMap<ServiceName, StartReservation>,
) -> Option<Shortfall> {
    let itself = Some(&need.service.name);
    let others = || reservations.iter().filter(|(name, _)| Some(*name) != itself);
    let elsewhere: Vec<_> =
        others().filter(|(_, reservation)| !reservation.gpus.contains(id)).map(|(name, _)| name).collect();
    let others: Vec<_> = others().filter(|(_, reservation)| reservation.gpus.contains(id)).collect();
    let gpu = &without(gpu, &elsewhere);
    let others: Vec<Reserved<'_>> =
        others.into_iter().map(|(name, reservation)| (name, reservation.on(id), reservation.state)).collect();
    let counted = with_reservations(gpu, &others);
    let whole = if gpu.told { None } else { as_a_whole(gpu, &others) };
    let needs = need.on(id, gpu.holders.iter().find(|holder| holder.is(&need.service.name)));
    let both = [Some((&counted, needs)), whole.as_ref().map(|whole| (whole, needs - need.held))];
    let (short, needs) = both.into_iter().flatten().find(|(gpu, needs)| !has_capacity(gpu, itself, *needs))?;
    let line = format!("it needs {needs}; {}", short.arithmetic(itself));
    Some(Shortfall::Short { line, passes: whole.is_some() && passes(&counted, &others, (itself, needs)) })
}

/// Another service's reservation in one memory.
pub(super) type Reserved<'a> = (&'a ServiceName, Mebibytes, ReservationState);

pub(super) fn has_capacity(memory: &GpuCapacity, itself: Option<&ServiceName>, needs: Mebibytes) -> bool {
    u64::try_from(memory.free(itself)).is_ok_and(|free| free >= needs.0)
}

/// Returns true if the memory would suffice once the loading services are done. Until then, memory that they have taken
/// already counts several times: as theirs, as used, and as foreign.
fn passes(counted: &GpuCapacity, others: &[Reserved<'_>], (itself, needs): (Option<&ServiceName>, Mebibytes)) -> bool {
    let (loading, rest): (Vec<_>, Vec<_>) =
        others.iter().copied().partition(|(.., state)| *state == ReservationState::Loading);
    let theirs: Mebibytes = loading.iter().map(|(_, amount, _)| *amount).sum();
    let done = GpuCapacity { foreign: counted.foreign - theirs, ..counted.clone() };
    !loading.is_empty()
        && has_capacity(&done, itself, needs)
        && as_a_whole(counted, &rest).is_some_and(|gpu| has_capacity(&gpu, itself, needs))
}

/// Counts a GPU with services that this run has placed on other GPUs: only their measured memory counts here.
fn without(gpu: &GpuCapacity, elsewhere: &[&ServiceName]) -> GpuCapacity {
    let mut gpu = gpu.clone();
    for holder in gpu.holders.iter_mut().filter(|holder| elsewhere.iter().any(|name| holder.is(name))) {
        holder.counts = holder.measured.unwrap_or_default();
    }
    gpu
}

/// Counts a GPU with reservations: each in full until a reading shows its service, and then for the part that is not
/// measured yet.
pub(super) fn with_reservations(gpu: &GpuCapacity, reservations: &[Reserved<'_>]) -> GpuCapacity {
    let mut gpu = gpu.clone();
    for (name, amount, _) in reservations.iter().filter(|(.., state)| *state == ReservationState::Loading) {
        match gpu.holders.iter_mut().find(|holder| holder.is(name)) {
            Some(holder) => holder.counts = holder.counts.max(*amount),
            None => gpu.holders.push(reserved(name, *amount)),
        }
    }
    gpu
}

/// Counts a GPU whose driver measures the used memory, but not by process: the part of a reservation that is taken already
/// is unknown, so that the whole reservation counts beside the used memory. `None`: no driver measures.
fn as_a_whole(gpu: &GpuCapacity, reservations: &[Reserved<'_>]) -> Option<GpuCapacity> {
    let used = MemoryHolder {
        service: None,
        label: "used (the driver does not name the processes)".to_owned(),
        counts: gpu.used?,
        measured: None,
    };
    let reservations = reservations.iter().filter(|(.., state)| *state != ReservationState::Settled);
    let reservations = reservations.map(|(name, amount, _)| reserved(name, *amount));
    let holders = [used].into_iter().chain(reservations).collect();
    Some(GpuCapacity { foreign: Mebibytes::ZERO, foreign_holders: Vec::new(), holders, ..gpu.clone() })
}

fn reserved(name: &ServiceName, amount: Mebibytes) -> MemoryHolder {
    let label = format!("reserved for {name}");
    MemoryHolder { service: Some(name.clone()), label, counts: amount, measured: None }
}
