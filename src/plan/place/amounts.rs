//! Memory of services in the numbers of a placement problem: usable memory, seats, and the need on each set of GPUs.

use std::collections::BTreeSet;
use std::rc::Rc;

use super::need::ItemNeed;
use super::problem::{Few, GpuSlot, ItemKind, Resident, Sets};
use crate::model::names::GpuId;
use crate::model::observed::ObservedGpu;
use crate::model::size::Mebibytes;
use crate::plan::decision::Decision;
use crate::plan::gpu_capacity::taken_by_others;
use crate::plan::judge::context::PlanContext;
use crate::plan::judge::copies;
use crate::plan::numbers::Number;

/// Sets of GPUs, and the same sets with the host's memory: services with one request share both.
type WithHost = (Rc<Sets>, Rc<Sets>);

/// Memory of the services of one plan.
pub(super) struct Amounts<'a> {
    context: &'a PlanContext<'a>,
    /// Slot of the host's memory, where it is counted.
    pub(super) host: Option<GpuSlot>,
    /// True if some GPU uses the host's memory.
    has_unified: bool,
    with_host: Vec<WithHost>,
}

impl<'a> Amounts<'a> {
    pub(super) fn new(context: &'a PlanContext<'a>) -> Self {
        let input = &context.input;
        let host = input.memory().map(|_| input.host_slot());
        let has_unified = host.is_some() && input.observed.gpus.values().any(|gpu| gpu.is_unified);
        Self { context, host, has_unified, with_host: Vec::new() }
    }

    /// Memory of each slot without all that no placement changes; `fixed`: services that keep running in any case.
    pub(super) fn usable(&self, fixed: impl Iterator<Item = Number>) -> Vec<i64> {
        let input = &self.context.input;
        let free = |(id, gpu): (&GpuId, &ObservedGpu)| signed(gpu.capacity) - signed(taken_by_others(input, id));
        let mut usable: Vec<i64> = input.observed.gpus.iter().map(free).collect();
        let host = input.memory();
        usable
            .extend(host.map(|host| signed(host.capacity) - signed(input.desired.host_reserve) - signed(host.foreign)));
        for number in fixed {
            for (gpu, amount) in self.context.seat(number) {
                usable[*gpu] -= signed(*amount);
            }
            if let Some(host) = self.host {
                usable[host] -= signed(self.context.host_memory(number));
            }
        }
        usable
    }

    /// Memory that a running service counts for in each slot, after a scale-down if one is decided.
    pub(super) fn seat(&self, number: Number, decision: &Decision) -> Few<(GpuSlot, i64)> {
        let on_gpus = copies::seat(self.context, number, decision).map(|(gpu, amount)| (gpu, signed(amount)));
        let on_host = copies::host_seat(self.context, number, decision);
        on_gpus.chain(self.host.filter(|_| on_host > Mebibytes::ZERO).map(|host| (host, signed(on_host)))).collect()
    }

    /// Position of the set of GPUs that a seat is on.
    pub(super) fn home(&self, sets: &Sets, seat: &[(GpuSlot, i64)]) -> Option<usize> {
        let seated = || seat.iter().map(|(slot, _)| *slot).filter(|slot| Some(*slot) != self.host);
        sets.sets.iter().position(|set| set.iter().copied().eq(seated()))
    }

    /// Memory that an eviction leaves of a seat.
    pub(super) fn resident(&self, seat: &[(GpuSlot, i64)], resident: Mebibytes) -> Resident {
        let on_gpu = signed(resident);
        let freed = |(slot, amount): &(GpuSlot, i64)| {
            if self.is_unified(*slot) { (amount - on_gpu).max(0) } else { 0 }
        };
        let held = seat.iter().find(|(slot, _)| Some(*slot) == self.host).map_or(0, |(_, amount)| *amount);
        Resident { on_gpu, on_host: held - seat.iter().map(freed).sum::<i64>() }
    }

    fn is_unified(&self, slot: GpuSlot) -> bool {
        self.has_unified
            && Some(slot) != self.host
            && self.context.input.observed.gpus.values().nth(slot).is_some_and(|gpu| gpu.is_unified)
    }

    /// Sets of GPUs, with the host's memory where the service takes some, and the memory that it takes on each.
    pub(super) fn need(
        &mut self,
        (number, kind): (Number, ItemKind),
        decision: &Decision,
        seat: &[(GpuSlot, i64)],
        sets: &Rc<Sets>,
    ) -> (Rc<Sets>, ItemNeed) {
        let service = self.context.input.service(number);
        let Some(on_gpu) = service.vram_by_gpu.is_none().then(|| self.on_each(number, kind, decision, seat)) else {
            return self.by_set((number, kind), decision, seat, sets);
        };
        if self.has_unified {
            return self.by_set((number, kind), decision, seat, sets);
        }
        let on_host = if self.host.is_some() { self.own_ram((number, kind), decision, seat) } else { 0 };
        if on_host == 0 {
            (sets.clone(), ItemNeed::even(on_gpu))
        } else {
            (self.with_host(sets), ItemNeed::Even { on_gpu, on_host })
        }
    }

    /// Memory on each GPU of a service that takes the same on all.
    fn on_each(&self, number: Number, kind: ItemKind, decision: &Decision, seat: &[(GpuSlot, i64)]) -> i64 {
        let vram = signed(self.context.input.summary(number).vram);
        let on_gpus = seat.iter().filter(|(slot, _)| Some(*slot) != self.host);
        let most = on_gpus.map(|(_, amount)| *amount).max().unwrap_or_default();
        // On a GPU where it holds more than it declares, it keeps that amount.
        let need = if kind == ItemKind::Waking { vram.max(most) } else { vram };
        copies::need(self.context, number, decision).map_or(need, signed)
    }

    /// Host memory that a service takes for itself, beside that on GPUs.
    fn own_ram(&self, (number, kind): (Number, ItemKind), decision: &Decision, seat: &[(GpuSlot, i64)]) -> i64 {
        let service = self.context.input.service(number);
        if kind != ItemKind::Waking {
            return signed(service.ram_of(service.copies));
        }
        let unified = seat.iter().filter(|(slot, _)| self.is_unified(*slot)).map(|(_, amount)| *amount);
        let held = seat.iter().find(|(slot, _)| Some(*slot) == self.host).map_or(0, |(_, amount)| *amount);
        held - unified.sum::<i64>() + signed(copies::added_ram(self.context, number, decision))
    }

    fn with_host(&mut self, sets: &Rc<Sets>) -> Rc<Sets> {
        if let Some((_, known)) = self.with_host.iter().find(|(gpus, _)| Rc::ptr_eq(gpus, sets)) {
            return known.clone();
        }
        let with = |set: &Vec<GpuSlot>| set.iter().copied().chain(self.host).collect();
        let made = Rc::new(Sets { sets: sets.sets.iter().map(with).collect(), named: sets.named });
        self.with_host.push((sets.clone(), made.clone()));
        made
    }

    /// Sets and amounts of a service whose memory differs from one set to another.
    fn by_set(
        &self,
        (number, kind): (Number, ItemKind),
        decision: &Decision,
        seat: &[(GpuSlot, i64)],
        sets: &Rc<Sets>,
    ) -> (Rc<Sets>, ItemNeed) {
        let own_ram = if self.host.is_some() { self.own_ram((number, kind), decision, seat) } else { 0 };
        let home = self.home(sets, seat).filter(|_| kind == ItemKind::Waking);
        let (mut with_host, mut amounts) = (Vec::with_capacity(sets.sets.len()), Vec::with_capacity(sets.sets.len()));
        for (position, set) in sets.sets.iter().enumerate() {
            let mut on_set = self.on_set(number, set);
            if home == Some(position) {
                for (slot, amount) in set.iter().zip(&mut on_set) {
                    let held = seat.iter().find(|(other, _)| other == slot).map_or(0, |(_, held)| *held);
                    let id = self.context.input.gpu_id(*slot);
                    let added = signed(copies::added_on(self.context, number, decision, id));
                    *amount = if decision.adds_copies() { held + added } else { held.max(*amount) };
                }
            }
            let unified = set.iter().zip(&on_set).filter(|(slot, _)| self.is_unified(**slot));
            let on_host = own_ram + unified.map(|(_, amount)| *amount).sum::<i64>();
            let host = self.host.filter(|_| on_host > 0);
            on_set.extend(host.map(|_| on_host));
            with_host.push(set.iter().copied().chain(host).collect());
            amounts.push(on_set);
        }
        (Rc::new(Sets { sets: with_host, named: sets.named }), ItemNeed::BySet(amounts.into()))
    }

    /// Memory of a start on each GPU of a set.
    fn on_set(&self, number: Number, set: &[GpuSlot]) -> Vec<i64> {
        let ids: BTreeSet<GpuId> = set.iter().map(|slot| self.context.input.gpu_id(*slot).clone()).collect();
        let amounts = self.context.amounts(number, &ids);
        let on = |slot: &GpuSlot| {
            let id = self.context.input.gpu_id(*slot);
            amounts.iter().find(|(other, _)| other == id).map_or(0, |(_, amount)| signed(*amount))
        };
        set.iter().map(on).collect()
    }
}

pub(super) fn signed(amount: Mebibytes) -> i64 {
    i64::try_from(amount.0).unwrap_or(i64::MAX / 4)
}
