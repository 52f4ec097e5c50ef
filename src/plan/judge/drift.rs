//! Drift of a running service from the manifest: in its spec, its runtime and name, or its GPUs.
//!
//! Not here: the memory that it holds on other GPUs, since a program that picks its own GPU would do so again.

use std::collections::BTreeSet;

use smallvec::SmallVec;

use crate::model::desired::Service;
use crate::model::lifecycle::State;
use crate::model::names::GpuId;
use crate::model::observed::{
    ASIDE_SUFFIX, ObservedService, Ownership, called, has_driver, resolve_marked, unreadable,
};
use crate::model::plan::{Reason, ReasonCode};
use crate::plan::input::PlanInput;
use crate::plan::numbers::Number;
use crate::plan::places::Places;
use crate::plan::reason::reason;

/// Drift of an instance that lcm created from the manifest.
pub(super) fn drift(input: &PlanInput<'_>, number: Number, places: Option<&Places>) -> Option<Reason> {
    let (service, seen) = (input.service(number), input.seen(number));
    let marks = seen.marks.as_ref()?;
    if let Some(other) = &seen.taken_over_from {
        let message = format!("created by lcm {other}; this lcm takes it over");
        return Some(reason(ReasonCode::SpecChanged, message, None));
    }
    if let Some(message) = misplaced(service, seen).filter(|_| !seen.is_former) {
        return Some(reason(ReasonCode::SpecChanged, message, None));
    }
    if !service.spec.has_hash(&marks.spec) {
        let message = "its spec has changed in the manifest".to_owned();
        return Some(reason(ReasonCode::SpecChanged, message, None));
    }
    // A missing secret can't be compared; that alone is no reason to recreate a running service.
    let comparable = service.missing_secrets.is_empty();
    if comparable && !service.spec.has_secrets(&marks.secrets, &marks.salt) {
        let message = "a secret that it was started with has changed".to_owned();
        return Some(reason(ReasonCode::SecretChanged, message, None));
    }
    if seen.image_moved {
        let message = "its image name now refers to another image".to_owned();
        return Some(reason(ReasonCode::ImageChanged, message, None));
    }
    if let Some(changed) = &seen.changed {
        return Some(reason(ReasonCode::SettingsChanged, changed.message.clone(), None));
    }
    gpu_lost(input, number).or_else(|| wrong_gpu(input, number, places))
}

/// Loss of a GPU that the service was placed on: the driver reports it, or no longer lists the GPU while the service
/// fails too. A mere decrease in memory is memory given back, and a shorter list proves nothing against a service that
/// answers.
pub(super) fn gpu_lost(input: &PlanInput<'_>, number: Number) -> Option<Reason> {
    let (seen, gpus) = (input.seen(number), &input.observed.gpus);
    let marks = seen.marks.as_ref().filter(|_| seen.holds_capacity && has_driver(gpus))?;
    if input.observed.gpus_unknown.is_some() {
        return None;
    }
    let lost = marks.placed_on().find_map(|marked| {
        let id = resolve_marked(gpus, marked)?;
        gpus[id].lost.as_ref().map(|why| format!("{}, which it runs on, is lost: {why}", called(gpus, id)))
    });
    let fails = matches!(seen.state, State::Error | State::Timeout) && seen.unknown.is_none();
    let gone = || {
        let missing = missing_gpu(input, number).filter(|_| fails)?;
        Some(format!("{missing}, which it runs on, is gone"))
    };
    Some(reason(ReasonCode::GpuLost, lost.or_else(gone)?, None))
}

/// GPU that the service was placed on and that no driver lists. A shorter list in the manifest does not remove a GPU
/// from a machine, and a GPU that is not found may be one that can't be read.
fn missing_gpu(input: &PlanInput<'_>, number: Number) -> Option<String> {
    let (seen, gpus) = (input.seen(number), &input.observed.gpus);
    let marks = seen.marks.as_ref().filter(|_| seen.holds_capacity && has_driver(gpus))?;
    if input.observed.gpus_unknown.is_some() || unreadable(gpus).next().is_some() {
        return None;
    }
    let missing = marks.placed_on().find(|marked| resolve_marked(gpus, marked).is_none())?;
    Some(called(gpus, &GpuId::from(missing)))
}

/// Warnings about services that answer though a GPU that they were placed on is not listed.
pub(crate) fn warnings<'s>(input: &'s PlanInput<'_>) -> impl Iterator<Item = String> + 's {
    let answering = input.all().filter(|number| input.summary(*number).is_known);
    let answering = answering.filter(|number| input.summary(*number).state.is_operational());
    answering.filter_map(|number| {
        let (name, missing) = (input.name(number), missing_gpu(input, number)?);
        Some(format!(
            "{name} answers, but the driver does not list {missing}, which {name} was placed on; it is left as it is; \
             `lcm restart {name}` places it again"
        ))
    })
}

/// Drift of a service that was placed on GPUs that the manifest no longer allows.
fn wrong_gpu(input: &PlanInput<'_>, number: Number, places: Option<&Places>) -> Option<Reason> {
    let (seen, gpus) = (input.seen(number), &input.observed.gpus);
    let marks = seen.marks.as_ref().filter(|_| seen.holds_capacity)?;
    if input.observed.gpus_unknown.is_some() || gpus.is_empty() {
        return None;
    }
    // An unknown GPU can't be compared.
    let mut placed: SmallVec<[&GpuId; 2]> =
        marks.placed_on().map(|id| resolve_marked(gpus, id)).collect::<Option<_>>()?;
    // Neither can one that can't be read.
    if placed.iter().any(|id| gpus[*id].unreadable.is_some()) {
        return None;
    }
    placed.sort_unstable();
    placed.dedup();
    let is_there = |set: &BTreeSet<GpuId>| set.iter().eq(placed.iter().copied());
    if places.is_some_and(|places| places.sets.iter().any(is_there)) {
        return None;
    }
    let on: Vec<String> = placed.into_iter().map(|id| called(gpus, id)).collect();
    let message = if on.is_empty() {
        "it was started without a GPU, and the manifest now gives it one".to_owned()
    } else {
        format!("it was placed on {}, and the manifest now places it elsewhere", on.join(" and "))
    };
    Some(reason(ReasonCode::WrongGpu, message, None))
}

/// Drift of an instance of ours whose runtime or container name differs from the manifest.
fn misplaced(service: &Service, seen: &ObservedService) -> Option<String> {
    match (seen.instance.as_ref()?.name.as_ref(), service.object()) {
        (Some(name), Some(own)) if name != own => {
            Some(format!("its container is named {name}, and should be named {own}"))
        }
        (Some(name), None) => Some(format!("it is running in container {name}, but the manifest declares a process")),
        (None, Some(own)) => Some(format!("it is running as a process, but the manifest declares container {own}")),
        (Some(_), Some(_)) | (None, None) => None,
    }
}

/// Returns true if the container has neither the name in the manifest nor that of a container put aside.
pub(crate) fn is_renamed(input: &PlanInput<'_>, number: Number) -> bool {
    if !input.summary(number).is_container {
        return false;
    }
    let seen = input.seen(number);
    let Some(found) = seen.instance.as_ref().and_then(|instance| instance.name.as_ref()) else { return false };
    // Under a former project name the container keeps the name that it was given.
    if seen.is_former {
        return false;
    }
    match (&seen.ownership, input.service(number).object()) {
        (Ownership::Ours, Some(own)) => found != own && found.as_str().strip_suffix(ASIDE_SUFFIX) != Some(own.as_str()),
        // The manifest now declares a process.
        (Ownership::Ours, None) => true,
        (_, _) => false,
    }
}
