//! Case of a placement in plain numbers: services by their position in a list, sets of GPUs and of services as bits.
//!
//! Wants and priorities are derived here independently of the planner.

use crate::draft::{ABSENT, Draft, Found, ServiceDraft, Wish};

#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) services: Vec<Service>,
    pub(crate) gpus: Vec<Gpu>,
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
    pub(crate) marked: i64,
    /// MiB that it counts for on its GPUs now.
    pub(crate) held: i64,
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
        let gpus = draft.gpus.iter().map(|gpu| {
            let (capacity, foreign) = (signed(gpu.capacity), signed(gpu.foreign));
            Gpu { capacity, foreign, usable: capacity - reserve - foreign }
        });
        let goal = draft.goal.map(|(services, priority)| (services & ones(draft.services.len()), priority));
        let mut case = Self {
            services: draft.services.iter().enumerate().map(|(index, one)| service(index, one, count)).collect(),
            gpus: gpus.collect(),
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
        let everywhere = ones(self.gpus.len());
        for service in &mut self.services {
            let chosen = service.seat;
            service.seat = match service.found {
                Found::Off => 0,
                Found::Running if service.wanted && service.sets.is_empty() => {
                    service.found = Found::Off;
                    0
                }
                Found::Drifted => chosen & everywhere,
                Found::Running | Found::Suspended if service.sets.is_empty() => chosen & everywhere,
                Found::Running | Found::Suspended => service.sets[usize::from(chosen) % service.sets.len()],
            };
            service.held = if service.seat == 0 { 0 } else { service.vram.max(service.marked) };
        }
    }
}

fn service(index: usize, draft: &ServiceDraft, gpus: usize) -> Service {
    let needs = draft.needs.iter().filter(|distance| **distance <= index).map(|distance| 1 << (index - distance));
    let wish = there(draft.wish, gpus);
    let vram = if draft.wish == Wish::None { 0 } else { signed(draft.vram) };
    Service {
        named: draft.named,
        own_priority: draft.priority,
        priority: draft.priority,
        wanted: draft.named,
        found: draft.found,
        vram,
        marked: signed(draft.marked),
        held: 0,
        seat: draft.seat,
        wish,
        sets: sets(wish, gpus),
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
