//! GPUs of an existing container: it uses those that it was created with, no matter which lcm would give it.

use std::collections::BTreeSet;

use crate::model::desired::{GpuRef, GpuRequest, Service};
use crate::model::names::GpuId;
use crate::model::observed::{ObservedGpus, ObservedService, Ownership, called};
use crate::observe::contract::ObserverInput;
use crate::observe::gpu_refs::{resolve_all, usable};
use crate::runtime::docker::facts::VisibleGpus;
use crate::runtime::docker::intent::DockerSpec;
use crate::runtime::docker::observe::container;

type Set = BTreeSet<GpuId>;

/// Binds a service to the GPUs of its existing container. Its memory counts on each GPU that it may use; the manifest's
/// `gpu` narrows that as far as the container's own GPUs allow. With one GPU there is nothing to bind.
pub(super) fn bind(
    view: ObserverInput<'_>,
    service: &Service,
    seen: &mut ObservedService,
    gpus: &ObservedGpus,
    holding: &[GpuId],
) {
    let Some(DockerSpec::Existing(existing)) = service.workload.spec::<DockerSpec>() else { return };
    let name = existing.container.as_str();
    let Some(found) = container::find(view.facts, name).filter(|_| gpus.len() > 1) else { return };
    let Some(GpuBinding { may, fault }) = bound(service, found.gpus.as_ref(), gpus) else { return };
    if seen.ownership == Ownership::Adopted && service.declares_vram() {
        let warning = fault.map(|fault| match fault {
            GpuWarning::Contradicts => contradiction(service, gpus, &may),
            GpuWarning::Leaves(count) => {
                let held: Set = holding.iter().filter(|id| may.contains(*id)).cloned().collect();
                let example = if held.len() == count { held } else { may.iter().take(count).cloned().collect() };
                several(found.gpus.as_ref(), gpus, &may, &example)
            }
        });
        seen.warnings.extend(warning.map(|warning| format!("{}: container {name} {warning}", service.name)));
    }
    let refs = may.into_iter().map(|id| GpuRef::Uuid(id.to_string()));
    seen.bound = Some(Box::new(GpuRequest::All(refs.collect())));
}

/// GPUs that a container may take memory on.
struct GpuBinding {
    may: Set,
    fault: Option<GpuWarning>,
}

/// Reason for a warning about a binding.
enum GpuWarning {
    /// The manifest and the container contradict each other: the container's GPUs count, since it runs there.
    Contradicts,
    /// The container uses this number of them, and neither it nor the manifest names which.
    Leaves(usize),
}

/// Returns the binding; `None`: the manifest's `gpu` requests none, or a missing one, which the placement reports.
fn bound(service: &Service, visible: Option<&VisibleGpus>, gpus: &ObservedGpus) -> Option<GpuBinding> {
    let given = given(visible, gpus);
    let (wanted, count) = match &service.gpu {
        GpuRequest::None => return None,
        GpuRequest::Auto => (given.clone().unwrap_or_else(|| usable(gpus)), 1),
        GpuRequest::Count(count) => (given.clone().unwrap_or_else(|| usable(gpus)), *count as usize),
        GpuRequest::All(refs) => (Some(resolve_all(refs, gpus)).filter(|named| named.len() == refs.len())?, refs.len()),
        GpuRequest::Any(refs) => {
            let named = resolve_all(refs, gpus);
            let alive: Set = named.iter().filter(|id| gpus[*id].unusable().is_none()).cloned().collect();
            (if alive.is_empty() { named } else { alive }, 1)
        }
    };
    if wanted.is_empty() {
        return None;
    }
    let may = given.as_ref().map_or_else(|| wanted.clone(), |given| given & &wanted);
    if may.len() < count {
        return given.map(|given| GpuBinding { may: given, fault: Some(GpuWarning::Contradicts) });
    }
    let fault = (may.len() > count).then_some(GpuWarning::Leaves(count));
    Some(GpuBinding { may, fault })
}

/// Returns the GPUs that a container was created with. `None`: unknown, or it may use any.
fn given(visible: Option<&VisibleGpus>, gpus: &ObservedGpus) -> Option<Set> {
    let Some(VisibleGpus::These(names)) = visible else { return None };
    let mut given = Set::new();
    for name in names {
        let index = name.parse().ok();
        // The instances of one GPU share its index.
        let mut meant = gpus.iter().filter(|(id, gpu)| id.as_str() == name || Some(gpu.index) == index).peekable();
        meant.peek()?;
        given.extend(meant.map(|(id, _)| id.clone()));
    }
    Some(given).filter(|given| !given.is_empty())
}

fn contradiction(service: &Service, gpus: &ObservedGpus, own: &Set) -> String {
    let wanted = match &service.gpu {
        GpuRequest::All(refs) => format!("puts it on {}", list(&resolve_all(refs, gpus), gpus, "and")),
        GpuRequest::Any(refs) => format!("puts it on {}", list(&resolve_all(refs, gpus), gpus, "or")),
        GpuRequest::None | GpuRequest::Auto | GpuRequest::Count(_) => "gives it more".to_owned(),
    };
    let (made_with, write) = (list(own, gpus, "and"), written(own, gpus));
    format!(
        "was made with {made_with}, and the manifest {wanted}: it counts on {made_with}; write gpu: {write}, or \
         recreate the container"
    )
}

fn several(visible: Option<&VisibleGpus>, gpus: &ObservedGpus, may: &Set, example: &Set) -> String {
    let (why, none) = match visible {
        Some(VisibleGpus::All | VisibleGpus::These(_)) => ("may use several GPUs", ""),
        Some(VisibleGpus::None) => ("was made without a GPU, as far as is known", "gpu: none, or "),
        None => ("does not show which GPU it uses", ""),
    };
    let on = list(may, gpus, "and");
    format!("{why}: its start counts on {on}; write {none}which it uses, as gpu: {}", written(example, gpus))
}

/// Returns `GPU 0 and GPU 1`, by index.
fn list(set: &Set, gpus: &ObservedGpus, link: &str) -> String {
    let mut names: Vec<(u32, String)> = set.iter().map(|id| (gpus[id].index, called(gpus, id))).collect();
    names.sort();
    let names: Vec<String> = names.into_iter().map(|(_, name)| name).collect();
    names.join(&format!(" {link} "))
}

/// Returns GPUs in the manifest's form: by id, or by index where only the manifest names GPUs.
fn written(set: &Set, gpus: &ObservedGpus) -> String {
    let word = |id: &GpuId| if gpus[id].used.is_some() { id.to_string() } else { gpus[id].index.to_string() };
    let words: Vec<String> = set.iter().map(word).collect();
    if let [word] = &*words { word.clone() } else { format!("[{}]", words.join(", ")) }
}
