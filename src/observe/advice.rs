//! Warnings about GPUs, each with the change of the manifest that resolves it.

use std::collections::BTreeMap;

use crate::model::desired::{Desired, GpuRef, GpuRequest, Service};
use crate::model::facts::GpuFact;
use crate::model::names::{GpuId, ServiceName};
use crate::model::observed::{
    ObservedGpus, ObservedService, Ownership, called, has_driver, resolve_marked, unreadable,
};
use crate::model::size::Mebibytes;
use crate::observe::gpu_refs::resolve;

/// Returns the warnings, each once.
pub(super) fn advice(
    (desired, read): (&Desired, &[GpuFact]),
    services: &BTreeMap<ServiceName, ObservedService>,
    gpus: &ObservedGpus,
) -> Vec<String> {
    let unusable = gpus.iter().filter_map(|(id, gpu)| Some((id, gpu.unusable()?)));
    let mut warnings: Vec<String> =
        unusable.map(|(id, why)| format!("{} can't be used: {why}", called(gpus, id))).collect();
    if gpus.values().any(|gpu| gpu.used.is_some() && !gpu.told) {
        warnings
            .push("the driver does not report the memory of each process; using the sizes in the manifest".to_owned());
    }
    // A GPU that is not found may be one that can't be read.
    if has_driver(gpus) && unreadable(gpus).next().is_none() {
        warnings.extend(unknown_devices(desired, gpus));
    }
    warnings.extend(read.iter().filter_map(|fact| overruled(fact, desired, gpus)));
    for service in desired.services.values() {
        warnings.extend(by_index(service, gpus));
        let seen = &services[&service.name];
        warnings.extend(over_its_declaration(service, seen, gpus));
        warnings.extend(elsewhere(service, seen, gpus));
    }
    warnings
}

/// Warning with both capacities, where that of the driver differs from that of the manifest.
fn overruled(fact: &GpuFact, desired: &Desired, gpus: &ObservedGpus) -> Option<String> {
    let one = desired.declared_gpus.iter().find(|one| one.is(&fact.id, fact.index))?;
    let name = called(gpus, &fact.id);
    let (declared, reported) = (one.capacity, fact.capacity);
    // Where no driver measures, the figure is a declaration too.
    let reports = fact.used.is_some() && fact.unreadable.is_none() && fact.lost.is_none();
    if declared == reported || !reports {
        return None;
    }
    Some(if one.unified {
        format!("gpus.devices declares {declared} for {name}, but the host has {reported}; using the host's")
    } else {
        format!(
            "gpus.devices declares {declared} for {name}, but the driver reports {reported}; using the declared size: \
             remove it to use the driver's, or add `unified: true` where {name} uses the host's memory"
        )
    })
}

/// Warnings about declared devices that the driver does not list, which are not GPUs of this host.
fn unknown_devices(desired: &Desired, gpus: &ObservedGpus) -> Vec<String> {
    let declared = desired.declared_gpus.iter().map(|gpu| match &gpu.uuid {
        Some(uuid) => (GpuRef::Uuid(uuid.clone()), uuid.clone()),
        None => (GpuRef::Index(gpu.index), gpu.index.to_string()),
    });
    let absent = declared.filter(|(wanted, _)| resolve(wanted, gpus).is_none());
    absent
        .map(|(_, name)| format!("gpus.devices declares GPU {name}, but the driver does not list it: it is ignored"))
        .collect()
}

/// Warning about a GPU named by index: indexes follow the driver's order, which may change at the next boot.
fn by_index(service: &Service, gpus: &ObservedGpus) -> Option<String> {
    let refs = match &service.gpu {
        GpuRequest::All(refs) | GpuRequest::Any(refs) => refs,
        GpuRequest::None | GpuRequest::Auto | GpuRequest::Count(_) => return None,
    };
    // Where only the manifest declares GPUs, they have no other name.
    let read = |id: &GpuId| gpus.len() > 1 && gpus[id].used.is_some();
    let better: Vec<String> = refs
        .iter()
        .filter_map(|one| match one {
            GpuRef::Index(index) => Some(format!("{} instead of {index}", resolve(one, gpus).filter(read)?)),
            GpuRef::Uuid(_) => None,
        })
        .collect();
    (!better.is_empty())
        .then(|| format!("{}: GPU indexes may change at a reboot; write {}", service.name, better.join(" and ")))
}

/// Warning about a service that holds over a tenth more than it declares: that is no rounding, and services placed
/// beside it may lack memory.
fn over_its_declaration(service: &Service, seen: &ObservedService, gpus: &ObservedGpus) -> Option<String> {
    let ours = match seen.ownership {
        Ownership::Ours | Ownership::Adopted => true,
        Ownership::Absent | Ownership::Missing { .. } | Ownership::Foreign { .. } | Ownership::Renamed { .. } => false,
    };
    // A service that is still loading may briefly hold more, or less.
    let settled = ours && seen.state.is_operational() && seen.unknown.is_none();
    let (id, held) = seen.measured.as_ref().filter(|_| settled)?.iter().max_by_key(|(id, held)| (**held, *id))?;
    let declared = seen.one_copy_on(service, id);
    let tenth = Mebibytes(declared.0 / 10);
    // For amounts by GPU, the figure alone would be no `vram` to write.
    let is_even = service.vram_by_gpu.is_none();
    (is_even && *held > declared + tenth).then(|| {
        let declared = declared.to_string();
        let declared = declared.trim_end_matches(" MiB");
        format!(
            "{} holds {held} on {}, but declares {declared}: write vram: {}MiB",
            service.name,
            called(gpus, id),
            held.0
        )
    })
}

/// Warning about a service that holds memory on other GPUs than its own. A program that picks its GPU itself would do
/// so again after a restart.
fn elsewhere(service: &Service, seen: &ObservedService, gpus: &ObservedGpus) -> Option<String> {
    let marks = seen.marks.as_ref().filter(|_| seen.state.is_operational())?;
    let placed: Vec<&GpuId> = marks.placed_on().filter_map(|id| resolve_marked(gpus, id)).collect();
    let all = seen.measured.as_ref()?.iter();
    let strayed: Vec<String> = all
        .filter(|(id, held)| **held > Mebibytes::ZERO && !placed.contains(id))
        .map(|(id, held)| format!("{held} on {}", called(gpus, id)))
        .collect();
    let given: Vec<String> = placed.iter().map(|id| called(gpus, id)).collect();
    // A service that was given no GPU gets the warning about its declaration.
    (!strayed.is_empty() && !given.is_empty()).then(|| {
        format!(
            "{} holds {}, but was given {}: it picks its GPU itself, and counts where it is",
            service.name,
            strayed.join(" and "),
            given.join(" and ")
        )
    })
}
