//! Whether GPU memory for a start is there: what the driver measures now, less what this run has promised to others and
//! no measurement shows for certain yet. Who waits for it, and how long, is `room`'s business.

use std::collections::BTreeMap;

use futures_util::future::join_all;

use crate::apply::run::{Context, ReservationState, Run, StartReservation};
use crate::model::desired::Service;
use crate::model::facts::{ProbeFacts, ProbeReading};
use crate::model::names::{GpuId, ServiceName};
use crate::model::plan::{Plan, Request};
use crate::model::room::{GpuRoom, Holder, Room};
use crate::model::size::Mebibytes;
use crate::model::snapshot::Snapshot;

/// Memory that one start is to take, on each of these GPUs.
#[derive(Clone, Copy, Debug)]
pub(in crate::apply) struct Need<'a> {
    pub(in crate::apply) service: &'a Service,
    pub(in crate::apply) gpus: &'a [GpuId],
    pub(in crate::apply) amount: Mebibytes,
}

/// Why a start can't have its memory now.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::apply) enum Lack {
    /// A GPU can't be used any more.
    Lost(String),
    Unknown(String),
    /// `it needs 20 000 MiB; GPU 0 has 24 564 − …`.
    Short {
        line: String,
        /// Only services that load hide what is free, and they will be done.
        passes: bool,
    },
}

/// What each GPU has at this moment. What may be evicted counts in full: nobody was asked whether it still loads.
pub(in crate::apply) async fn room_now(run: &Run<'_>) -> Room {
    let Context { driver, planner, desired, request, .. } = run.context;
    planner.capacity(&planner.observe(driver.survey(desired).await), request)
}

/// As [`room_now`], for a step of this plan: what the plan does not reserve any more, is not reserved here either. Where
/// that is too little, after asking what looks evicted or asleep.
pub(in crate::apply) async fn room_for(run: &Run<'_>, plan: &Plan, is_enough: impl Fn(&Room) -> bool) -> Room {
    let given_back = plan.given_back.iter().map(|given| (given.service.clone(), given.gpu.clone())).collect();
    let request = Request { given_back, ..run.context.request.clone() };
    let planner = run.context.planner;
    let mut snapshot = planner.observe(run.context.driver.survey(run.context.desired).await);
    let room = planner.capacity(&snapshot, &request);
    if is_enough(&room) {
        return room;
    }
    let answered = ask_the_evicted(run, &snapshot).await;
    if answered.is_empty() {
        return room;
    }
    snapshot.facts.probes.extend(answered);
    planner.capacity(&planner.observe(snapshot.facts), &request)
}

/// A survey asks no service anything, and one that still loads holds as little as one that is evicted: for which of
/// them a little counts, is for the plan to judge by what they answer. Returns the answers of those that did.
async fn ask_the_evicted(run: &Run<'_>, snapshot: &Snapshot) -> BTreeMap<ServiceName, ProbeFacts> {
    let (driver, desired) = (run.context.driver, run.context.desired);
    // What this run has let in counts by its reservation.
    let promised = |name: &ServiceName| run.ledger().reservations.contains_key(name);
    let others = desired.services.values().filter(|service| service.vram > Mebibytes::ZERO && !promised(&service.name));
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
    // One that does not answer now may be starting again: it stays unknown, and is asked again with the next survey.
    let answered = join_all(asked).await.into_iter().filter(|(_, reading)| *reading == ProbeReading::Passed);
    answered.map(|(service, health)| (service.name.clone(), ProbeFacts { health: Some(health), busy: None })).collect()
}

/// What is in the way, if anything is.
pub(in crate::apply) fn lack(
    room: &Room,
    need: &Need<'_>,
    reservations: &BTreeMap<ServiceName, StartReservation>,
) -> Option<Lack> {
    if let Some(reason) = &room.unknown {
        return Some(Lack::Unknown(format!("whether its memory is free can't be told: {reason}")));
    }
    let mut short = None;
    for id in need.gpus {
        if let Some(why) = unreadable(room, id) {
            return Some(Lack::Unknown(why));
        }
        let Some(gpu) = room.gpus.get(id) else { return Some(Lack::Lost(format!("GPU {id} is not there any more"))) };
        if let Some(reason) = &gpu.lost {
            return Some(Lack::Lost(format!("{} can't be used any more: {reason}", gpu.called)));
        }
        short = short.or_else(|| shortage(id, gpu, need, reservations));
    }
    short
}

/// Why nothing can be said of a GPU that may well be there.
pub(in crate::apply) fn unreadable(room: &Room, id: &GpuId) -> Option<String> {
    let why = |gpu: &GpuRoom| Some(format!("{} can't be used for now: {}", gpu.called, gpu.unreadable.as_ref()?));
    match room.gpus.get(id) {
        Some(gpu) => why(gpu),
        None => room.gpus.values().find_map(why).map(|why| format!("GPU {id} is not found, and {why}")),
    }
}

/// Whether a driver proves what is free on all of them.
pub(in crate::apply) fn is_measured(room: &Room, gpus: &[GpuId]) -> bool {
    gpus.iter().all(|id| room.gpus.get(id).is_some_and(|gpu| gpu.used.is_some()))
}

fn shortage(
    id: &GpuId,
    gpu: &GpuRoom,
    need: &Need<'_>,
    reservations: &BTreeMap<ServiceName, StartReservation>,
) -> Option<Lack> {
    let itself = Some(&need.service.name);
    let others = || reservations.iter().filter(|(name, _)| Some(*name) != itself);
    let elsewhere: Vec<_> =
        others().filter(|(_, reservation)| !reservation.gpus.contains(id)).map(|(name, _)| name).collect();
    let others: Vec<_> = others().filter(|(_, reservation)| reservation.gpus.contains(id)).collect();
    let gpu = &without(gpu, &elsewhere);
    let counted = with_promises(gpu, &others);
    let whole = if gpu.told { None } else { as_a_whole(gpu, &others) };
    let short = [Some(&counted), whole.as_ref()].into_iter().flatten().find(|gpu| !has_room(gpu, need))?;
    let line = format!("it needs {}; {}", need.amount, short.arithmetic(itself));
    Some(Lack::Short { line, passes: whole.is_some() && passes(&counted, &others, need) })
}

fn has_room(gpu: &GpuRoom, need: &Need<'_>) -> bool {
    u64::try_from(gpu.left(Some(&need.service.name))).is_ok_and(|left| left >= need.amount.0)
}

/// Whether there would be room if those that load were done. What they have taken already counts as theirs, as used, and
/// as foreign too, until then.
fn passes(counted: &GpuRoom, others: &[(&ServiceName, &StartReservation)], need: &Need<'_>) -> bool {
    let (loading, rest): (Vec<_>, Vec<_>) =
        others.iter().copied().partition(|(_, reservation)| reservation.state == ReservationState::Loading);
    let theirs: Mebibytes = loading.iter().map(|(_, reservation)| reservation.amount).sum();
    let done = GpuRoom { foreign: counted.foreign - theirs, ..counted.clone() };
    !loading.is_empty() && has_room(&done, need) && as_a_whole(counted, &rest).is_some_and(|gpu| has_room(&gpu, need))
}

/// What bears no marks is counted wherever it may be; of what this run has put elsewhere, only what is measured here.
fn without(gpu: &GpuRoom, elsewhere: &[&ServiceName]) -> GpuRoom {
    let mut gpu = gpu.clone();
    for holder in gpu.holders.iter_mut().filter(|holder| elsewhere.iter().any(|name| holder.is(name))) {
        holder.counts = holder.measured.unwrap_or_default();
    }
    gpu
}

/// Each reservation counts in full until a reading shows its service there, and then for the rest of it.
fn with_promises(gpu: &GpuRoom, reservations: &[(&ServiceName, &StartReservation)]) -> GpuRoom {
    let mut gpu = gpu.clone();
    for (name, reservation) in
        reservations.iter().filter(|(_, reservation)| reservation.state == ReservationState::Loading)
    {
        match gpu.holders.iter_mut().find(|holder| holder.is(name)) {
            Some(holder) => holder.counts = holder.counts.max(reservation.amount),
            None => gpu.holders.push(promised(name, reservation)),
        }
    }
    gpu
}

/// Where the driver says how much is used, and not by whom: how much of a reservation is taken already, nobody knows, so
/// all of it counts beside what is used. `None`: nobody measures.
fn as_a_whole(gpu: &GpuRoom, reservations: &[(&ServiceName, &StartReservation)]) -> Option<GpuRoom> {
    let used = Holder {
        service: None,
        label: "used (the driver does not say by whom)".to_owned(),
        counts: gpu.used?,
        measured: None,
    };
    let reservations = reservations.iter().filter(|(_, reservation)| reservation.state != ReservationState::Settled);
    let reservations = reservations.map(|(name, reservation)| promised(name, reservation));
    let holders = [used].into_iter().chain(reservations).collect();
    Some(GpuRoom { foreign: Mebibytes::ZERO, foreign_holders: Vec::new(), holders, ..gpu.clone() })
}

fn promised(name: &ServiceName, reservation: &StartReservation) -> Holder {
    let label = format!("promised to {name}");
    Holder { service: Some(name.clone()), label, counts: reservation.amount, measured: None }
}
