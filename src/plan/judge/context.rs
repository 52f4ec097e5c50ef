//! Input of the planner with the derived facts that most decisions use, each derived once.

use std::collections::BTreeSet;

use crate::model::names::GpuId;
use crate::model::plan::Reason;
use crate::model::size::Mebibytes;
use crate::model::vram::{in_visible_order, vram_on_each};
use crate::plan::input::{GpuIndex, PlanInput};
use crate::plan::judge::drift::drift;
use crate::plan::judge::memory::{self, Lowered, Seats};
use crate::plan::judge::protected::Protected;
use crate::plan::numbers::{Number, Rows};
use crate::plan::places::{self, Places};

#[derive(Debug)]
pub(crate) struct PlanContext<'a> {
    pub(crate) input: PlanInput<'a>,
    /// By distinct GPU request.
    places: Vec<Result<Places, String>>,
    /// By service; mostly `None`.
    drifts: Vec<Option<Box<Reason>>>,
    seats: Seats,
    /// By service.
    lowered: Vec<Lowered>,
    /// Host memory by service; empty where plans do not count it.
    host: Vec<Mebibytes>,
    /// Services that a rule keeps from being stopped.
    pub(crate) protected: Protected,
}

impl<'a> PlanContext<'a> {
    /// Derives these facts from the input.
    pub(crate) fn new(input: PlanInput<'a>) -> Self {
        let requests = input.gpu_requests().iter();
        let places: Vec<_> = requests.map(|request| places::places(&input.observed.gpus, request)).collect();
        let (mut drifts, mut seats) = (Vec::with_capacity(input.all().len()), Rows::default());
        // A service is large: it is read once for both.
        for number in input.all() {
            seats.push(memory::seat(&input, number).into_iter());
            drifts.push(drift(&input, number, places[input.gpu_request_index(number)].as_ref().ok()).map(Box::new));
        }
        let lowered = memory::lower(&input, &mut seats);
        let protected = Protected::of(&input);
        let mut context = Self { input, places, drifts, seats, lowered, host: Vec::new(), protected };
        if context.input.counts_host_memory() {
            context.host =
                context.input.all().map(|number| memory::on_host(&context.input, number, &context.seats)).collect();
        }
        context
    }

    /// Places where a service may run; `Err` is the reason for which there is none.
    pub(crate) fn places(&self, number: Number) -> Result<&Places, &String> {
        self.places[self.input.gpu_request_index(number)].as_ref()
    }

    /// Drift of a running service from the manifest.
    pub(crate) fn drift(&self, number: Number) -> Option<&Reason> {
        self.drifts[number].as_deref()
    }

    /// Known GPUs of a service, in their order, with the memory that it counts for on each; see
    /// [`PlanContext::memory_on`].
    pub(crate) fn seat(&self, number: Number) -> &[(GpuIndex, Mebibytes)] {
        self.seats.of(number)
    }

    /// Seats of a service that count as measured, because other programs have taken the memory that it gave back.
    pub(super) fn lowered(&self, number: Number) -> &[Lowered] {
        let first = self.lowered.partition_point(|lowered| lowered.number < number);
        let own = self.lowered[first..].partition_point(|lowered| lowered.number == number);
        &self.lowered[first..first + own]
    }

    pub(super) fn all_lowered(&self) -> &[Lowered] {
        &self.lowered
    }

    /// GPU memory that a service counts for on `gpu` while it runs.
    pub(crate) fn memory_on(&self, number: Number, gpu: &GpuId) -> Mebibytes {
        let mut lowered = self.lowered(number).iter();
        let lowered = lowered.find(|lowered| self.input.gpu_id(lowered.gpu) == gpu);
        lowered.map_or_else(|| memory::full_on(&self.input, number, gpu), |lowered| lowered.measured)
    }

    /// Largest amount that a service takes on any of its GPUs.
    pub(crate) fn memory_max(&self, number: Number) -> Mebibytes {
        let gpus = self.input.seen(number).gpus.iter();
        gpus.map(|gpu| self.memory_on(number, gpu)).max().unwrap_or_default()
    }

    /// Host memory that a service counts for while it runs: its own, and that on GPUs without memory of their own.
    pub(crate) fn host_memory(&self, number: Number) -> Mebibytes {
        self.host.get(number).copied().unwrap_or_default()
    }

    /// Host memory that services of this project hold now.
    pub(crate) fn host_taken(&self) -> Mebibytes {
        self.host.iter().copied().sum()
    }

    /// GPUs of a start in the order in which the program sees them, with the memory of all wanted copies on each.
    pub(crate) fn amounts(&self, number: Number, set: &BTreeSet<GpuId>) -> Vec<(GpuId, Mebibytes)> {
        let (service, gpus) = (self.input.service(number), &self.input.observed.gpus);
        let set = set.iter().cloned().collect();
        let visible = in_visible_order(service, self.input.seen(number).gpu_request(service), set, gpus);
        let each = vram_on_each(service, &visible, gpus);
        let copies = u64::from(service.copies);
        visible.into_iter().zip(each.into_iter().map(|one| Mebibytes(one.0.saturating_mul(copies)))).collect()
    }

    /// Host memory of a start with these amounts on its GPUs.
    pub(crate) fn host_need(&self, number: Number, amounts: &[(GpuId, Mebibytes)]) -> Mebibytes {
        let service = self.input.service(number);
        service.ram_of(service.copies) + self.on_unified(amounts)
    }

    /// Part of the amounts that is taken from the host's memory.
    pub(crate) fn on_unified(&self, amounts: &[(GpuId, Mebibytes)]) -> Mebibytes {
        let is_unified = |id: &GpuId| self.input.observed.gpus.get(id).is_some_and(|gpu| gpu.is_unified);
        amounts.iter().filter(|(id, _)| is_unified(id)).map(|(_, amount)| *amount).sum()
    }

    /// Returns true if a service needs no more than it counts for now, where it runs.
    pub(crate) fn fits_where_it_is(&self, number: Number) -> bool {
        let amounts = self.amounts(number, &self.input.seen(number).gpus.iter().cloned().collect());
        amounts.iter().all(|(gpu, amount)| *amount <= self.memory_on(number, gpu))
    }

    /// GPU memory that services and orphans of this project hold on each GPU now.
    pub(crate) fn taken(&self) -> Vec<Mebibytes> {
        memory::taken(&self.input, &self.seats)
    }
}
