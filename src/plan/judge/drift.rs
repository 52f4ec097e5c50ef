//! Drift of a running service from the manifest: in its spec, its runtime and name, or its GPUs.
//!
//! Not what it holds there: a program that picks its own GPU would do so again.

use std::collections::BTreeSet;

use smallvec::SmallVec;

use crate::model::desired::Service;
use crate::model::lifecycle::State;
use crate::model::names::GpuId;
use crate::model::observed::{
    ASIDE_SUFFIX, ObservedService, Ownership, called, known_as, told_by_a_driver, unreadable,
};
use crate::model::plan::{Reason, ReasonCode};
use crate::plan::input::PlanInput;
use crate::plan::numbers::Number;
use crate::plan::places::Places;
use crate::plan::reason::reason;

/// Difference between an instance of ours and the manifest.
pub(super) fn drift(input: &PlanInput<'_>, number: Number, places: Option<&Places>) -> Option<Reason> {
    let (service, seen) = (input.service(number), input.seen(number));
    let marks = seen.marks.as_ref()?;
    if let Some(other) = &seen.taken_over_from {
        let message = format!("lcm {other} made it, and this lcm takes it over");
        return Some(reason(ReasonCode::SpecChanged, message, None));
    }
    if let Some(message) = misplaced(service, seen).filter(|_| !seen.is_former) {
        return Some(reason(ReasonCode::SpecChanged, message, None));
    }
    if !service.spec.has_hash(&marks.spec) {
        let message = "what it is made from has changed in the manifest".to_owned();
        return Some(reason(ReasonCode::SpecChanged, message, None));
    }
    // With a secret missing there is nothing to compare; that alone is no reason to touch what runs.
    let comparable = service.missing_secrets.is_empty();
    if comparable && !service.spec.has_secrets(&marks.secrets, &marks.salt) {
        let message = "a secret that it was started with has changed".to_owned();
        return Some(reason(ReasonCode::SecretChanged, message, None));
    }
    if seen.image_moved {
        let message = "its image's name means another image by now".to_owned();
        return Some(reason(ReasonCode::ImageChanged, message, None));
    }
    if let Some(changed) = &seen.changed {
        return Some(reason(ReasonCode::SettingsChanged, changed.message.clone(), None));
    }
    gpu_lost(input, number).or_else(|| wrong_gpu(input, number, places))
}

/// A GPU that it was placed on is lost: the driver reports that, or lists it no more while the service fails too. Memory
/// that merely went down was given back, and a list that is merely shorter proves nothing against a service that answers.
pub(super) fn gpu_lost(input: &PlanInput<'_>, number: Number) -> Option<Reason> {
    let (seen, gpus) = (input.seen(number), &input.observed.gpus);
    let marks = seen.marks.as_ref().filter(|_| seen.holds_capacity && told_by_a_driver(gpus))?;
    if input.observed.gpus_unknown.is_some() {
        return None;
    }
    let lost = marks.placed_on().find_map(|marked| {
        let id = known_as(gpus, marked)?;
        gpus[id].lost.as_ref().map(|why| format!("{}, which it runs on, is lost: {why}", called(gpus, id)))
    });
    let fails = matches!(seen.state, State::Error | State::Timeout) && seen.unknown.is_none();
    let gone = || {
        let missing = missing_gpu(input, number).filter(|_| fails)?;
        Some(format!("{missing}, which it runs on, is not there any more"))
    };
    Some(reason(ReasonCode::GpuLost, lost.or_else(gone)?, None))
}

/// A GPU that it was placed on, and that no driver lists. A shorter list in the manifest does not take a GPU out of a
/// machine, and one that is not found may be one that can't be read.
fn missing_gpu(input: &PlanInput<'_>, number: Number) -> Option<String> {
    let (seen, gpus) = (input.seen(number), &input.observed.gpus);
    let marks = seen.marks.as_ref().filter(|_| seen.holds_capacity && told_by_a_driver(gpus))?;
    if input.observed.gpus_unknown.is_some() || unreadable(gpus).next().is_some() {
        return None;
    }
    let missing = marks.placed_on().find(|marked| known_as(gpus, marked).is_none())?;
    Some(called(gpus, &GpuId::from(missing)))
}

/// Services that answer though a GPU that they were placed on is not listed.
pub(crate) fn warnings<'s>(input: &'s PlanInput<'_>) -> impl Iterator<Item = String> + 's {
    let answering = input.all().filter(|number| input.summary(*number).is_known);
    let answering = answering.filter(|number| input.summary(*number).state.is_operational());
    answering.filter_map(|number| {
        let (name, missing) = (input.name(number), missing_gpu(input, number)?);
        Some(format!(
            "{name} answers, but the driver does not list {missing}, which {name} was placed on; it is left as it is, \
             and `lcm restart {name}` places it anew"
        ))
    })
}

/// It was placed where the manifest does not allow it by now.
fn wrong_gpu(input: &PlanInput<'_>, number: Number, places: Option<&Places>) -> Option<Reason> {
    let (seen, gpus) = (input.seen(number), &input.observed.gpus);
    let marks = seen.marks.as_ref().filter(|_| seen.holds_capacity)?;
    if input.observed.gpus_unknown.is_some() || gpus.is_empty() {
        return None;
    }
    // A GPU that is not known by its name can't be compared.
    let mut placed: SmallVec<[&GpuId; 2]> = marks.placed_on().map(|id| known_as(gpus, id)).collect::<Option<_>>()?;
    // Of one that can't be read there is nothing to say either.
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
        "it was given no GPU, and the manifest gives it one by now".to_owned()
    } else {
        format!("it was placed on {}, and the manifest puts it elsewhere by now", on.join(" and "))
    };
    Some(reason(ReasonCode::WrongGpu, message, None))
}

/// Ours, but in another runtime or under another name than the manifest has by now.
fn misplaced(service: &Service, seen: &ObservedService) -> Option<String> {
    match (seen.instance.as_ref()?.name.as_ref(), service.object()) {
        (Some(name), Some(own)) if name != own => {
            Some(format!("its container is called {name}, and should be called {own}"))
        }
        (Some(name), None) => Some(format!("it runs in container {name}, and is a process in the manifest")),
        (None, Some(own)) => Some(format!("it runs as a process, and is container {own} in the manifest")),
        (Some(_), Some(_)) | (None, None) => None,
    }
}

/// Its container carries neither its name nor the name of one that was put aside.
pub(crate) fn is_renamed(input: &PlanInput<'_>, number: Number) -> bool {
    if !input.summary(number).is_container {
        return false;
    }
    let seen = input.seen(number);
    let Some(found) = seen.instance.as_ref().and_then(|instance| instance.name.as_ref()) else { return false };
    // Under a former project name it has the name that it was given.
    if seen.is_former {
        return false;
    }
    match (&seen.ownership, input.service(number).object()) {
        (Ownership::Ours, Some(own)) => found != own && found.as_str().strip_suffix(ASIDE_SUFFIX) != Some(own.as_str()),
        // It is a process by now.
        (Ownership::Ours, None) => true,
        (_, _) => false,
    }
}
