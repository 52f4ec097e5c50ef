//! What depends on where lcm runs, and on where the engine does: processes can't be started from a container that ends with
//! its job, and the GPUs of a remote engine's containers are not this host's.

use std::borrow::Cow;

use crate::model::desired::Service;
use crate::model::facts::Facts;
use crate::model::observed::{Barred, ObservedService};

/// The facts with nothing of another machine's in them: containers of a remote engine hold no GPU of this host.
pub(super) fn of_this_machine(facts: &Facts) -> Cow<'_, Facts> {
    if facts.engine_elsewhere.is_none() {
        return Cow::Borrowed(facts);
    }
    let mut facts = facts.clone();
    for container in facts.containers.known_mut().into_iter().flatten() {
        container.devices = None;
        if let Some(marks) = &mut container.marks {
            (marks.gpus, marks.vram_mib) = (String::new(), 0);
        }
    }
    Cow::Owned(facts)
}

/// Notes why a service can't be started from here, and that one can't be observed from here.
pub(super) fn bar(facts: &Facts, service: &Service, seen: &mut ObservedService) {
    match (service.object(), &facts.enclosure, &facts.engine_elsewhere) {
        (None, Some(enclosure), _) => {
            let mut message = "it is a process, and lcm runs in a container, with which it would end: start it by lcm \
                               on the host"
                .to_owned();
            if !enclosure.lacks.is_empty() {
                message = format!(
                    "{message}; to see and stop it from here, `docker run` needs {}",
                    enclosure.lacks.join(" ")
                );
                // Something else may stand in its place, which is seen.
                if seen.instance.is_none() && seen.unknown.is_none() {
                    seen.unknown = Some(message.clone());
                }
            }
            seen.barred = Some(Box::new(Barred::InContainer(message)));
        }
        (Some(_), _, Some(why)) if service.needs_gpu_memory() => {
            let message = format!(
                "it needs a GPU, and its engine is another machine's ({why}), whose GPUs can't be read from here: run lcm \
                 on that machine"
            );
            seen.barred = Some(Box::new(Barred::RemoteEngine(message)));
        }
        (None | Some(_), ..) => {}
    }
}

/// A store that ends with the container.
pub(super) fn own_store(facts: &Facts) -> Option<String> {
    let option = facts.enclosure.as_ref()?.own_store.as_ref()?;
    Some(format!(
        "lcm's store is inside the container that lcm runs in: holds, attempts and history of the host are not known here, \
         and this run's are lost with the container; `docker run {option}` mounts the host's"
    ))
}
