//! Holders of GPU memory: each process that a driver names belongs to a service or an orphan of this project, to
//! another lcm project, or is foreign.
//!
//! Adds up shares only. `gpu` derives the free memory of a GPU from them.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::facts::{Attribution, GpuHolder, ProcessOwner, RuntimeFacts};
use crate::model::instance::Instance;
use crate::model::names::{GpuId, ServiceName};
use crate::model::observed::{ObservedService, Orphan, PortHolder};
use crate::model::size::Mebibytes;
use crate::observe::contract::{ObserverInput, Observers};
use crate::observe::ports;

/// Holder of memory on a GPU.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Party {
    Service(ServiceName),
    Orphan(Instance),
    /// A service of another lcm project.
    Other {
        project: String,
        service: String,
    },
    /// Foreign process by its name for messages: `Xorg`.
    Foreign(String),
}

/// Memory of one party.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Share {
    pub(super) on: BTreeMap<GpuId, Mebibytes>,
    /// GPUs on which the driver does not report the amount.
    pub(super) unreported: BTreeSet<GpuId>,
    /// Number of processes, by GPU.
    pub(super) processes: BTreeMap<GpuId, usize>,
}

/// Services and orphans of this project, which can hold memory.
#[derive(Clone, Copy, Debug)]
pub(super) struct ProjectHolders<'a> {
    pub(super) services: &'a BTreeMap<ServiceName, ObservedService>,
    pub(super) orphans: &'a [Orphan],
}

/// Returns the share of each party, as far as the driver reports it.
pub(super) fn shares(
    view: ObserverInput<'_>,
    observers: Observers<'_>,
    own: ProjectHolders<'_>,
) -> BTreeMap<Party, Share> {
    let register = Register::of(view, observers, own);
    let mut shares: BTreeMap<Party, Share> = BTreeMap::new();
    for gpu in view.facts.gpus.known().into_iter().flatten() {
        for holder in &gpu.holders {
            let share = shares.entry(register.party(holder)).or_default();
            *share.processes.entry(gpu.id.clone()).or_default() += 1;
            match holder.memory {
                Some(memory) => *share.on.entry(gpu.id.clone()).or_default() += memory,
                None => {
                    share.unreported.insert(gpu.id.clone());
                }
            }
        }
        // Part of the unattributed memory may be theirs.
        if gpu.holders.iter().any(GpuHolder::is_unidentified) {
            for share in shares.values_mut().filter(|share| share.processes.contains_key(&gpu.id)) {
                share.unreported.insert(gpu.id.clone());
            }
        }
    }
    shares
}

/// Index of the known holders, built once.
struct Register<'a> {
    view: ObserverInput<'a>,
    observers: Observers<'a>,
    own: ProjectHolders<'a>,
    owned: Vec<Attribution>,
    containers: BTreeMap<String, Party>,
}

impl<'a> Register<'a> {
    fn of(view: ObserverInput<'a>, observers: Observers<'a>, own: ProjectHolders<'a>) -> Self {
        let mut containers = BTreeMap::new();
        for orphan in own.orphans.iter().filter(|orphan| orphan.holds_capacity()) {
            if orphan.instance.name.is_some() {
                containers.insert(orphan.instance.id.clone(), Party::Orphan(orphan.instance.clone()));
            }
        }
        for (name, seen) in own.services.iter().filter(|(_, seen)| seen.holds_capacity) {
            let party = Party::Service(name.clone());
            for instance in seen.instance.iter().chain(seen.previous.as_deref()) {
                if instance.name.is_some() {
                    containers.insert(instance.id.clone(), party.clone());
                }
            }
        }
        let owned = view.facts.instances.all().flat_map(RuntimeFacts::owned).collect();
        Self { view, observers, own, owned, containers }
    }

    fn party(&self, holder: &GpuHolder) -> Party {
        match &holder.owner {
            ProcessOwner::Service { project, service } if *project == self.view.desired.project => {
                self.of_tree(service, holder).unwrap_or_else(|| foreign(holder))
            }
            ProcessOwner::Service { project, service } => {
                Party::Other { project: project.to_string(), service: service.to_string() }
            }
            ProcessOwner::Container(id) => self.of_container(id).unwrap_or_else(|| foreign(holder)),
            ProcessOwner::Foreign => foreign(holder),
        }
    }

    /// Returns the running service, else the orphan that the process belongs to.
    fn of_tree(&self, service: &ServiceName, holder: &GpuHolder) -> Option<Party> {
        if let Some(seen) = self.own.services.get(service) {
            // A service that holds no capacity is not counted, so its memory would count nowhere.
            return seen.holds_capacity.then(|| Party::Service(service.clone()));
        }
        let is_its = |one: &&Attribution| one.owner == holder.owner && one.pids.contains(&holder.pid);
        let own = self.owned.iter().find(is_its).and_then(|one| one.instance.as_ref());
        let mut orphans =
            self.own.orphans.iter().filter(|orphan| orphan.service == *service && orphan.holds_capacity());
        let found = orphans.clone().find(|orphan| Some(&orphan.instance) == own).or_else(|| orphans.next());
        found.map(|orphan| Party::Orphan(orphan.instance.clone()))
    }

    fn of_container(&self, id: &str) -> Option<Party> {
        if let Some(party) = self.containers.get(id) {
            return Some(party.clone());
        }
        let other = self.observers.iter().find_map(|observer| observer.other_project(self.view, id));
        if let Some(marks) = other {
            return Some(Party::Other { project: marks.project.clone(), service: marks.service.clone() });
        }
        match ports::of_object(id, self.view, self.observers) {
            PortHolder::Service(name) => self.own.services[&name].holds_capacity.then_some(Party::Service(name)),
            PortHolder::Orphan(_) | PortHolder::Foreign(_) => None,
        }
    }
}

/// Returns the foreign party of a process, by program name alone: arguments may contain secrets. An ended process has
/// no name.
fn foreign(holder: &GpuHolder) -> Party {
    let nameless = holder.program.is_empty() || holder.program == GpuHolder::ENDED;
    let ended = || format!("{} (pid {})", GpuHolder::ENDED, holder.pid);
    Party::Foreign(if nameless { ended() } else { holder.program.clone() })
}
