//! Case of a placement in plain numbers: services by their position in a list, sets of GPUs and of services as bits.
//!
//! Wants and priorities are derived here independently of the planner.

use crate::draft::{ABSENT, Amounts, Draft, Found, ServiceDraft, Wish};

#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) services: Vec<Service>,
    /// GPUs, and after them the host's memory where services draw on it. Bits of sets are positions here.
    pub(crate) gpus: Vec<Gpu>,
    /// Position of the host's memory.
    pub(crate) host: Option<usize>,
    pub(crate) reserve: i64,
    pub(crate) goal: Option<(u8, i64)>,
    pub(crate) repack: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Gpu {
    pub(crate) capacity: i64,
    pub(crate) foreign: i64,
    /// Negative where foreign processes hold more than the capacity.
    pub(crate) usable: i64,
}

#[derive(Clone, Debug)]
pub(crate) struct Service {
    pub(crate) named: bool,
    pub(crate) own_priority: i64,
    /// Effective priority.
    pub(crate) priority: i64,
    /// True for a wanted service; others are kept.
    pub(crate) wanted: bool,
    pub(crate) found: Found,
    pub(crate) vram: i64,
    pub(crate) amounts: Amounts,
    pub(crate) ram: i64,
    pub(crate) marked: i64,
    /// MiB that it counts for now, by position.
    pub(crate) held: Vec<i64>,
    pub(crate) seat: u8,
    pub(crate) wish: Wish,
    /// Sets of GPUs that its request allows.
    pub(crate) sets: Vec<u8>,
    pub(crate) needs: u8,
    pub(crate) port: Option<u16>,
}

impl Service {
    pub(crate) fn runs(&self) -> bool {
        self.found != Found::Off
    }
}

impl Case {
    pub(crate) fn new(draft: &Draft) -> Self {
        let (reserve, count) = (signed(draft.reserve), draft.gpus.len());
        let gpus = draft.gpus.iter().map(gpu_of(reserve));
        let gpus: Vec<Gpu> = gpus.chain(draft.host.iter().map(gpu_of(reserve))).collect();
        let host = draft.host.as_ref().map(|_| count);
        let goal = draft.goal.map(|(services, priority)| (services & ones(draft.services.len()), priority));
        let mut case = Self {
            services: draft.services.iter().enumerate().map(|(index, one)| service(index, one, count, host)).collect(),
            gpus,
            host,
            reserve,
            goal: goal.filter(|(services, _)| *services != 0),
            repack: draft.repack,
        };
        case.settle_wants();
        case.settle_priorities();
        case.share_no_port();
        case.sit_as_wished();
        case
    }

    /// Wants the services of the mode and of the goal, with their dependencies.
    fn settle_wants(&mut self) {
        let needed = self.goal.map_or(0, |(services, _)| services);
        for (index, service) in self.services.iter_mut().enumerate() {
            service.wanted = service.named || holds(needed, index);
        }
        // Dependencies come before their dependents in the list.
        for index in (0..self.services.len()).rev().filter(|index| self.services[*index].wanted).collect::<Vec<_>>() {
            self.want_with_needs(index);
        }
    }

    fn want_with_needs(&mut self, index: usize) {
        self.services[index].wanted = true;
        for need in members(self.services[index].needs) {
            self.want_with_needs(need);
        }
    }

    /// Sets each priority to the highest of its own, its goal's and its dependents': all are wanted or kept.
    fn settle_priorities(&mut self) {
        for (index, service) in self.services.iter_mut().enumerate() {
            let by_goal = self.goal.filter(|(services, _)| holds(*services, index)).map(|(_, priority)| priority);
            service.priority = by_goal.unwrap_or(0).max(service.own_priority);
        }
        for index in (0..self.services.len()).rev() {
            let height = self.services[index].priority;
            for need in members(self.services[index].needs) {
                self.services[need].priority = self.services[need].priority.max(height);
            }
        }
    }

    /// Removes shared ports: the loader refuses two services of one mode with one port, and a running one holds its
    /// alone.
    fn share_no_port(&mut self) {
        let (mut claimed, mut held) = (Vec::new(), Vec::new());
        for service in &mut self.services {
            let Some(port) = service.port else { continue };
            if (service.wanted && claimed.contains(&port)) || (service.runs() && held.contains(&port)) {
                service.port = None;
                continue;
            }
            claimed.extend(service.wanted.then_some(port));
            held.extend(service.runs().then_some(port));
        }
    }

    /// Moves wanted services that match the manifest to GPUs that their request allows.
    fn sit_as_wished(&mut self) {
        let (everywhere, host) = (ones(self.gpu_count()), self.host);
        for service in &mut self.services {
            let chosen = service.seat;
            let with_host = host.filter(|_| service.ram > 0).map_or(0, |host| 1 << host);
            service.seat = match service.found {
                Found::Off => 0,
                Found::Running if service.wanted && service.sets.is_empty() => {
                    service.found = Found::Off;
                    0
                }
                Found::Drifted => (chosen & everywhere) | with_host,
                Found::Running | Found::Suspended if service.sets.is_empty() => (chosen & everywhere) | with_host,
                Found::Running | Found::Suspended => service.sets[usize::from(chosen) % service.sets.len()],
            };
        }
        for index in 0..self.services.len() {
            self.services[index].held =
                (0..self.gpus.len()).map(|slot| self.counts(&self.services[index], slot)).collect();
        }
    }
}

impl Case {
    /// Number of GPUs, without the host's memory.
    pub(crate) fn gpu_count(&self) -> usize {
        self.gpus.len() - usize::from(self.host.is_some())
    }

    /// MiB that a service takes in one of the memories of a set.
    pub(crate) fn takes(&self, service: &Service, set: u8, slot: usize) -> i64 {
        if self.host == Some(slot) {
            return service.ram;
        }
        match service.amounts {
            Amounts::Even => service.vram,
            Amounts::Share(percent) => {
                (self.gpus[slot].capacity * i64::from(percent)).div_euclid(100)
                    + i64::from(self.gpus[slot].capacity * i64::from(percent) % 100 > 0)
            }
            Amounts::Pair(second) => {
                let second = signed(second);
                let mut on: Vec<usize> = members(set).filter(|gpu| Some(*gpu) != self.host).collect();
                if on.len() != 2 {
                    return service.vram.max(second);
                }
                if matches!(service.wish, Wish::All(_)) {
                    return if on[0] == slot { service.vram } else { second };
                }
                // The largest amount goes to the GPU with the most memory, the lower index first among equals.
                on.sort_by_key(|gpu| (-self.gpus[*gpu].capacity, *gpu));
                let (large, small) = (service.vram.max(second), service.vram.min(second));
                if on[0] == slot { large } else { small }
            }
        }
    }

    /// MiB that a running service counts for: the larger of what it declares, and what it declared at its start.
    fn counts(&self, service: &Service, slot: usize) -> i64 {
        if !holds(service.seat, slot) {
            return 0;
        }
        let declared = self.takes(service, service.seat, slot);
        if self.host == Some(slot) {
            return declared;
        }
        let on_gpus = members(service.seat).filter(|gpu| Some(*gpu) != self.host);
        let most = on_gpus.map(|gpu| self.takes(service, service.seat, gpu)).max().unwrap_or(0);
        // A mark has the largest amount alone.
        if service.amounts != Amounts::Even && service.marked <= most { declared } else { declared.max(service.marked) }
    }
}

fn gpu_of(reserve: i64) -> impl Fn(&crate::draft::GpuDraft) -> Gpu {
    move |gpu| {
        let (capacity, foreign) = (signed(gpu.capacity), signed(gpu.foreign));
        Gpu { capacity, foreign, usable: capacity - reserve - foreign }
    }
}

fn service(index: usize, draft: &ServiceDraft, gpus: usize, host: Option<usize>) -> Service {
    let needs = draft.needs.iter().filter(|distance| **distance <= index).map(|distance| 1 << (index - distance));
    let wish = there(draft.wish, gpus);
    let vram = if draft.wish == Wish::None { 0 } else { signed(draft.vram) };
    let is_pair = match wish {
        Wish::Count(count) => count == 2,
        Wish::All(bits) => bits.count_ones() == 2,
        Wish::Auto | Wish::None | Wish::Index(_) | Wish::Any(_) => false,
    };
    let amounts = match draft.amounts {
        Amounts::Pair(_) if !is_pair => Amounts::Even,
        Amounts::Share(_) if draft.wish == Wish::None => Amounts::Even,
        amounts => amounts,
    };
    let ram = host.map_or(0, |_| signed(draft.ram));
    let with_host = host.filter(|_| ram > 0).map_or(0, |host| 1 << host);
    Service {
        named: draft.named,
        own_priority: draft.priority,
        priority: draft.priority,
        wanted: draft.named,
        found: draft.found,
        vram,
        amounts,
        ram,
        marked: signed(draft.marked),
        held: Vec::new(),
        seat: draft.seat,
        wish,
        sets: sets(wish, gpus).into_iter().map(|set| set | with_host).collect(),
        needs: needs.fold(0, |all, one: u8| all | one),
        port: draft.port,
    }
}

/// Returns a request for existing GPUs, unless the draft requests otherwise.
fn there(wish: Wish, gpus: usize) -> Wish {
    let count = u8::try_from(gpus).expect("few");
    match wish {
        Wish::Index(index) if index != ABSENT => Wish::Index(index % count),
        Wish::All(bits) if bits & ones(gpus) != 0 => Wish::All(bits & ones(gpus)),
        Wish::Any(bits) if bits & ones(gpus) == 0 => Wish::Any(1),
        Wish::Count(wanted) => Wish::Count(wanted.min(count)),
        Wish::Index(_) | Wish::All(_) | Wish::Auto | Wish::None | Wish::Any(_) => wish,
    }
}

fn sets(wish: Wish, gpus: usize) -> Vec<u8> {
    let there = ones(gpus);
    let single = |bits: u8| members(bits & there).map(|gpu| 1 << gpu).collect();
    match wish {
        Wish::None => vec![0],
        Wish::Auto => single(there),
        Wish::Index(index) => single(1 << index),
        Wish::Any(bits) => single(bits),
        Wish::Count(count) => (0..=there).filter(|set| set.count_ones() == u32::from(count)).collect(),
        Wish::All(bits) if bits & !there == 0 => vec![bits],
        Wish::All(_) => Vec::new(),
    }
}

pub(crate) fn holds(bits: u8, index: usize) -> bool {
    bits & (1 << index) != 0
}

/// Positions of the bits that are set.
pub(crate) fn members(bits: u8) -> impl Iterator<Item = usize> {
    (0..8).filter(move |index| holds(bits, *index))
}

fn ones(count: usize) -> u8 {
    (1 << count) - 1
}

fn signed(amount: u64) -> i64 {
    i64::try_from(amount).expect("drafts are small")
}
