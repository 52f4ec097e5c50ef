//! What makes a running thing of ours another than the manifest asks for: what it is made from, where it runs, and on
//! which GPUs.
//!
//! Not what it holds there: a program that picks its own GPU would do so again.

use std::collections::BTreeSet;

use smallvec::SmallVec;

use crate::model::desired::Service;
use crate::model::lifecycle::State;
use crate::model::names::GpuId;
use crate::model::observed::{ObservedService, called, known_as, told_by_a_driver, unreadable};
use crate::model::plan::{Reason, ReasonCode};
use crate::plan::decide::Scene;
use crate::plan::judge::reason;
use crate::plan::numbers::Number;

/// What makes a thing of ours another than the manifest asks for.
pub(super) fn drift(scene: &Scene<'_>, number: Number) -> Option<Reason> {
    let (service, seen) = (scene.service(number), scene.seen(number));
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
    gpu_lost(scene, number).or_else(|| wrong_gpu(scene, number))
}

/// What differs can be changed while the service runs, and was not tried in vain.
pub(super) fn is_mendable(scene: &Scene<'_>, number: Number) -> bool {
    let is_settings = |change: &Reason| change.code == ReasonCode::SettingsChanged;
    scene.drift(number).is_some_and(is_settings)
        && scene.seen(number).changed.as_ref().is_some_and(|changed| changed.is_mendable)
        && !scene.request.unmended.contains(scene.name(number))
}

/// A GPU that it was placed on is lost: the driver reports that, or lists it no more while the service fails too. Memory
/// that merely went down was given back, and a list that is merely shorter proves nothing against a service that answers.
pub(super) fn gpu_lost(scene: &Scene<'_>, number: Number) -> Option<Reason> {
    let (seen, gpus) = (scene.seen(number), &scene.observed.gpus);
    let marks = seen.marks.as_ref().filter(|_| seen.holds_room && told_by_a_driver(gpus))?;
    if scene.observed.gpus_unknown.is_some() {
        return None;
    }
    let lost = marks.placed_on().find_map(|marked| {
        let id = known_as(gpus, marked)?;
        gpus[id].lost.as_ref().map(|why| format!("{}, which it runs on, is lost: {why}", called(gpus, id)))
    });
    let fails = matches!(seen.state, State::Error | State::Timeout) && seen.unknown.is_none();
    let gone = || {
        let missing = missing_gpu(scene, number).filter(|_| fails)?;
        Some(format!("{missing}, which it runs on, is not there any more"))
    };
    Some(reason(ReasonCode::GpuLost, lost.or_else(gone)?, None))
}

/// A GPU that it was placed on, and that no driver lists. A shorter list in the manifest does not take a GPU out of a
/// machine, and one that is not found may be one that can't be read.
fn missing_gpu(scene: &Scene<'_>, number: Number) -> Option<String> {
    let (seen, gpus) = (scene.seen(number), &scene.observed.gpus);
    let marks = seen.marks.as_ref().filter(|_| seen.holds_room && told_by_a_driver(gpus))?;
    if scene.observed.gpus_unknown.is_some() || unreadable(gpus).next().is_some() {
        return None;
    }
    let missing = marks.placed_on().find(|marked| known_as(gpus, marked).is_none())?;
    Some(called(gpus, &GpuId::from(missing)))
}

/// Services that answer though a GPU that they were placed on is not listed.
pub(super) fn warnings<'s>(scene: &'s Scene<'_>) -> impl Iterator<Item = String> + 's {
    let answering = scene.all().filter(|number| scene.glance(*number).is_known);
    let answering = answering.filter(|number| scene.glance(*number).state.is_operational());
    answering.filter_map(|number| {
        let (name, missing) = (scene.name(number), missing_gpu(scene, number)?);
        Some(format!(
            "{name} answers, but the driver does not list {missing}, which {name} was placed on; it is left as it is, \
             and `lcm restart {name}` places it anew"
        ))
    })
}

/// It was placed where the manifest does not allow it by now.
fn wrong_gpu(scene: &Scene<'_>, number: Number) -> Option<Reason> {
    let (seen, gpus) = (scene.seen(number), &scene.observed.gpus);
    let marks = seen.marks.as_ref().filter(|_| seen.holds_room)?;
    if scene.observed.gpus_unknown.is_some() || gpus.is_empty() {
        return None;
    }
    // With a GPU that nobody knows by its name there is nothing to compare.
    let mut placed: SmallVec<[&GpuId; 2]> = marks.placed_on().map(|id| known_as(gpus, id)).collect::<Option<_>>()?;
    // Of one that can't be read there is nothing to say either.
    if placed.iter().any(|id| gpus[*id].unreadable.is_some()) {
        return None;
    }
    placed.sort_unstable();
    placed.dedup();
    let is_there = |set: &BTreeSet<GpuId>| set.iter().eq(placed.iter().copied());
    if scene.places(number).is_ok_and(|places| places.sets.iter().any(is_there)) {
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
