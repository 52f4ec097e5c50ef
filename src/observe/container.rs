//! The picture of a service that is a container: one of lcm's own, or one that somebody else made.

use crate::model::desired::{Desired, Service};
use crate::model::facts::{ContainerFact, ContainerState, ExitFact, Facts};
use crate::model::lifecycle::State;
use crate::model::names::ContainerName;
use crate::model::observed::{ASIDE_SUFFIX, Instance, ObservedService, Ownership};
use crate::observe::judge::{self, Verdict};
use crate::observe::{nothing, unknown};

/// A container that lcm creates.
pub(super) fn own(facts: &Facts, desired: &Desired, service: &Service) -> ObservedService {
    if let Some(reason) = facts.containers.unknown() {
        return unknown(&format!("its container can't be read: {reason}"));
    }
    let name = service.container_name().map_or("", ContainerName::as_str);
    match find(facts, name) {
        Some(container) if is_of(container, desired, service) => {
            let mut seen = picture(facts, service, container, Ownership::Ours);
            seen.previous =
                aside(facts, desired, service).filter(|other| !holds_room(other.state)).map(instance).map(Box::new);
            seen
        }
        Some(stranger) => {
            nothing(State::Registered, "its name is taken", Ownership::Foreign { holder: whose(stranger, desired) })
        }
        None => match under_another_name(facts, desired, service) {
            Some(container) => misplaced(facts, service, container),
            None => nothing(State::Registered, "there is no container yet", Ownership::Absent),
        },
    }
}

/// A container that the manifest names.
pub(super) fn existing(facts: &Facts, desired: &Desired, service: &Service, name: &ContainerName) -> ObservedService {
    if let Some(reason) = facts.containers.unknown() {
        return unknown(&format!("its container can't be read: {reason}"));
    }
    let Some(container) = find(facts, name.as_str()) else {
        let missing = Ownership::Missing { container: name.to_string() };
        return nothing(State::Registered, "its container is not there", missing);
    };
    let other = container.marks.as_ref().is_some_and(|marks| marks.project != desired.project.as_str());
    if other {
        let holder = whose(container, desired);
        return nothing(State::Registered, "its container is another project's", Ownership::Foreign { holder });
    }
    let mut seen = picture(facts, service, container, Ownership::Adopted);
    // It was not made from this manifest, so there is nothing to compare.
    seen.marks = None;
    seen.image_moved = false;
    if let Some(policy) = container.restart_policy.as_deref().filter(|policy| !matches!(*policy, "" | "no")) {
        seen.warnings.push(format!(
            "{}: container {name} has a restart policy of its own ({policy}), so the engine may bring it up behind lcm's back; `docker update --restart=no {name}` ends that",
            service.name
        ));
    }
    seen
}

/// A running container of a service that is a process by now.
pub(super) fn running_of(facts: &Facts, desired: &Desired, service: &Service) -> Option<ObservedService> {
    running(facts, desired, service).map(|container| misplaced(facts, service, container))
}

/// One of ours that holds its room.
pub(super) fn running<'a>(facts: &'a Facts, desired: &Desired, service: &Service) -> Option<&'a ContainerFact> {
    elsewhere(facts, desired, service).filter(|container| holds_room(container.state))
}

/// The container that stands for a service without being called as the manifest says: the one put aside, or one with
/// an earlier name.
pub(super) fn under_another_name<'a>(
    facts: &'a Facts,
    desired: &Desired,
    service: &Service,
) -> Option<&'a ContainerFact> {
    aside(facts, desired, service).or_else(|| elsewhere(facts, desired, service))
}

fn aside<'a>(facts: &'a Facts, desired: &Desired, service: &Service) -> Option<&'a ContainerFact> {
    let name = format!("{}{ASIDE_SUFFIX}", service.container_name()?);
    find(facts, &name).filter(|other| is_of(other, desired, service))
}

/// Ours, but not where the manifest has the service by now. It goes or is made anew in any case, so that its health
/// is not asked for: the manifest's probes are for what it will be.
fn misplaced(facts: &Facts, service: &Service, container: &ContainerFact) -> ObservedService {
    let verdict = match container.state {
        ContainerState::Running => Verdict {
            state: State::Online,
            detail: format!("it runs in container {}", container.name),
            unknown: None,
            warning: None,
        },
        ContainerState::Created
        | ContainerState::Paused
        | ContainerState::Restarting
        | ContainerState::Removing
        | ContainerState::Exited
        | ContainerState::Dead => judge_container(facts, service, container),
    };
    judged(facts, service, container, Ownership::Ours, verdict)
}

pub(super) fn find<'a>(facts: &'a Facts, name: &str) -> Option<&'a ContainerFact> {
    facts.containers.known()?.iter().find(|container| container.name == name)
}

pub(super) fn exists(facts: &Facts, name: &ContainerName) -> bool {
    find(facts, name.as_str()).is_some()
}

/// One of ours under another name, as an earlier `container_name` left it; a running one before a stopped one.
fn elsewhere<'a>(facts: &'a Facts, desired: &Desired, service: &Service) -> Option<&'a ContainerFact> {
    let all = facts.containers.known()?.iter();
    all.filter(|container| is_of(container, desired, service)).min_by_key(|container| {
        (container.state != ContainerState::Running, !holds_room(container.state), &container.name)
    })
}

pub(super) fn is_of(container: &ContainerFact, desired: &Desired, service: &Service) -> bool {
    container.marks.as_ref().is_some_and(|marks| marks.are_of(&desired.project, &service.name))
}

pub(super) fn instance(container: &ContainerFact) -> Instance {
    Instance::Container { id: container.id.clone(), name: container.name.as_str().into() }
}

/// Whose a container is that is not this service's.
pub(super) fn whose(container: &ContainerFact, desired: &Desired) -> String {
    let name = &container.name;
    match (&container.marks, &container.compose_project) {
        (Some(marks), _) if marks.project == desired.project.as_str() => {
            format!("container {name}, which is service {} of this project", marks.service)
        }
        (Some(marks), _) => format!("container {name} of lcm project {}", marks.project),
        (None, Some(project)) => format!("container {name} of Compose project {project}"),
        (None, None) => format!("container {name}, which lcm did not make"),
    }
}

fn picture(facts: &Facts, service: &Service, container: &ContainerFact, ownership: Ownership) -> ObservedService {
    judged(facts, service, container, ownership, judge_container(facts, service, container))
}

fn judged(
    facts: &Facts,
    service: &Service,
    container: &ContainerFact,
    ownership: Ownership,
    verdict: Verdict,
) -> ObservedService {
    let exit = container
        .exit_code
        .filter(|_| matches!(container.state, ContainerState::Exited | ContainerState::Dead))
        .map(|code| ExitFact { code: i32::try_from(code).ok(), signal: None, at: None });
    let ended = verdict.state.is_not_running() && verdict.state != State::Deployed;
    ObservedService {
        unknown: verdict.unknown,
        instance: Some(instance(container)),
        holds_room: holds_room(container.state),
        marks: container.marks.clone().map(Box::new),
        image_moved: container.image_moved,
        exit: exit.map(Box::new),
        ended_by_itself: ended && judge::ended_by_itself(facts, service, verdict.state),
        since: container.started_at,
        warnings: verdict.warning.into_iter().collect(),
        ..nothing(verdict.state, &verdict.detail, ownership)
    }
}

pub(super) fn holds_room(state: ContainerState) -> bool {
    match state {
        ContainerState::Running | ContainerState::Paused | ContainerState::Restarting | ContainerState::Removing => {
            true
        }
        ContainerState::Created | ContainerState::Exited | ContainerState::Dead => false,
    }
}

fn judge_container(facts: &Facts, service: &Service, container: &ContainerFact) -> Verdict {
    let of = |state, detail: String| Verdict { state, detail, unknown: None, warning: None };
    match container.state {
        ContainerState::Running => judge::running(facts, service, container.started_at, container.health),
        ContainerState::Created => of(State::Deployed, "its container was created and never run".to_owned()),
        ContainerState::Paused => of(State::Suspended, "its container is paused".to_owned()),
        ContainerState::Restarting => of(State::Starting, "the engine is restarting its container".to_owned()),
        ContainerState::Removing => of(State::Stopping, "the engine is removing its container".to_owned()),
        ContainerState::Dead => of(State::Failed, "its container is dead".to_owned()),
        ContainerState::Exited if container.oom_killed => {
            of(State::Failed, "it was killed for want of memory (OOM)".to_owned())
        }
        ContainerState::Exited => {
            let code = container.exit_code.and_then(|code| i32::try_from(code).ok());
            let exit = ExitFact { code, signal: None, at: None };
            let (state, detail) = judge::ended(&exit, service.stop.signal.as_deref());
            of(state, detail)
        }
    }
}

/// What a container with marks but without a service in the manifest is doing.
pub(super) fn plain_state(state: ContainerState) -> State {
    match state {
        ContainerState::Created => State::Deployed,
        ContainerState::Running | ContainerState::Restarting => State::Online,
        ContainerState::Paused => State::Suspended,
        ContainerState::Removing => State::Stopping,
        ContainerState::Exited => State::Offline,
        ContainerState::Dead => State::Failed,
    }
}
