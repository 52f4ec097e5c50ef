//! Observation of a service that is a container: one that lcm created, or an existing one.

use jiff::{SignedDuration, Timestamp};

use crate::model::claim::bounded;
use crate::model::desired::{Desired, Service};
use crate::model::facts::{ExitFact, Facts};
use crate::model::instance::Instance;
use crate::model::lifecycle::State;
use crate::model::names::ObjectName;
use crate::model::observed::{ASIDE_SUFFIX, ObservedService, Ownership};
use crate::observe::blank::{nothing, unknown};
use crate::observe::judge::{self, Assessment};
use crate::runtime::docker::facts::{ContainerFact, ContainerState, DockerReading as _, known_containers};
use crate::runtime::docker::intent::accepts_auto_remove;
use crate::runtime::docker::observe::drift;
use crate::runtime::docker::ownership::{self, OwnershipProof, ProjectIdentity};

/// Observes a service whose container lcm creates.
pub(super) fn own(facts: &Facts, desired: &Desired, service: &Service) -> ObservedService {
    if let Some(reason) = facts.docker().containers.unknown() {
        return unknown(&format!("its container can't be read: {reason}"));
    }
    let name = service.object().map_or("", ObjectName::as_str);
    match find(facts, name) {
        Some(container) if is_of(container, facts, desired, service) => in_place(facts, desired, service, container),
        Some(foreign) => {
            let holder = whose(foreign, facts, desired);
            nothing(State::Registered, "its name is taken", Ownership::Foreign { holder })
        }
        None => match (former(facts, desired, service), under_another_name(facts, desired, service)) {
            (Some(container), _) => ObservedService { is_former: true, ..in_place(facts, desired, service, container) },
            (None, Some(container)) => misplaced(facts, desired, service, container),
            (None, None) => renamed(facts, desired, service)
                .unwrap_or_else(|| nothing(State::Registered, "there is no container yet", Ownership::Absent)),
        },
    }
}

fn in_place(facts: &Facts, desired: &Desired, service: &Service, container: &ContainerFact) -> ObservedService {
    let mut seen = picture(facts, service, container, Ownership::Ours);
    let compared = drift::of_container(facts, desired, service, container);
    seen.changed = compared.changed;
    seen.warnings.extend(compared.warning);
    seen.previous =
        aside(facts, desired, service).filter(|other| !holds_capacity(other.state)).map(instance).map(Box::new);
    seen.taken_over_from = taken_over_from(facts, desired, container);
    seen
}

fn taken_over_from(facts: &Facts, desired: &Desired, container: &ContainerFact) -> Option<Box<str>> {
    let marks = container.marks.as_ref().filter(|marks| ProjectIdentity::of(desired, facts).is_taken_over(marks))?;
    Some(format!("on host {}", ownership::hostname(&marks.host_id)).into())
}

/// Observes a container of this service that was renamed by hand. lcm no longer touches it, and a second one beside it
/// would be a copy.
pub(super) fn renamed(facts: &Facts, desired: &Desired, service: &Service) -> Option<ObservedService> {
    let all = known_containers(facts);
    let identity = ProjectIdentity::of(desired, facts);
    let is_it = |found: &&ContainerFact| {
        found.marks.as_ref().is_some_and(|marks| identity.are_of(marks, &service.name))
            && ownership::standing(found, facts, desired) == OwnershipProof::Renamed
    };
    let found = all.filter(is_it).min_by_key(|found| (!holds_capacity(found.state), &found.name))?;
    let to = found.marks.as_ref().map(|marks| marks.name.clone()).filter(|name| !name.is_empty());
    let to = to.or_else(|| Some(service.object()?.to_string()))?;
    let ownership = Ownership::Renamed { container: found.name.clone(), id: found.id.clone(), to };
    Some(ObservedService {
        holds_capacity: holds_capacity(found.state),
        ..nothing(plain_state(found.state), &format!("its container was renamed to {}", found.name), ownership)
    })
}

/// Observes a service whose container the manifest names as an existing one.
pub(super) fn existing(facts: &Facts, desired: &Desired, service: &Service, name: &ObjectName) -> ObservedService {
    if let Some(reason) = facts.docker().containers.unknown() {
        return unknown(&format!("its container can't be read: {reason}"));
    }
    let Some(container) = find(facts, name.as_str()) else {
        let missing = Ownership::Missing { container: name.to_string() };
        return nothing(State::Registered, "its container does not exist", missing);
    };
    // Marks of an image prove nothing about the container.
    match ownership::standing(container, facts, desired) {
        OwnershipProof::OtherProject | OwnershipProof::OtherHost => {
            let holder = whose(container, facts, desired);
            let detail = "its container is another project's or another machine's";
            return nothing(State::Registered, detail, Ownership::Foreign { holder });
        }
        OwnershipProof::Unmarked
        | OwnershipProof::Inherited
        | OwnershipProof::Ours
        | OwnershipProof::Renamed
        | OwnershipProof::Copied => {}
    }
    let mut seen = picture(facts, service, container, Ownership::Adopted);
    // It was not created from this manifest, so there is nothing to compare.
    seen.marks = None;
    seen.image_moved = false;
    if let Some(policy) = container.restart_policy.as_deref().filter(|policy| !matches!(*policy, "" | "no")) {
        seen.warnings.push(format!(
            "{}: container {name} has a restart policy of its own ({policy}), so the engine may start it without lcm; \
             `docker update --restart=no {name}` turns that off",
            service.name
        ));
    }
    seen
}

/// Observes a running container of a service that is a process by now.
pub(super) fn running_of(facts: &Facts, desired: &Desired, service: &Service) -> Option<ObservedService> {
    running(facts, desired, service).map(|container| misplaced(facts, desired, service, container))
}

/// Returns a container of this service that holds capacity.
pub(super) fn running<'a>(facts: &'a Facts, desired: &Desired, service: &Service) -> Option<&'a ContainerFact> {
    elsewhere(facts, desired, service).filter(|container| holds_capacity(container.state))
}

/// Returns the container of a service under a name that differs from the manifest's: the one put aside, or one with an
/// earlier name.
pub(super) fn under_another_name<'a>(
    facts: &'a Facts,
    desired: &Desired,
    service: &Service,
) -> Option<&'a ContainerFact> {
    aside(facts, desired, service).or_else(|| elsewhere(facts, desired, service))
}

fn aside<'a>(facts: &'a Facts, desired: &Desired, service: &Service) -> Option<&'a ContainerFact> {
    let names = ProjectIdentity::of(desired, facts).names(&service.name, service.object()?.as_str());
    let mut asides = names.iter().filter_map(|name| find(facts, &format!("{name}{ASIDE_SUFFIX}")));
    asides.find(|other| is_of(other, facts, desired, service))
}

/// Returns the container under the name that a former project name gives.
fn former<'a>(facts: &'a Facts, desired: &Desired, service: &Service) -> Option<&'a ContainerFact> {
    let names = ProjectIdentity::of(desired, facts).names(&service.name, service.object()?.as_str());
    let mut formers = names.iter().skip(1).filter_map(|name| find(facts, name));
    formers.find(|other| is_of(other, facts, desired, service))
}

/// Returns the container that counts as the instance of a service that lcm creates.
pub(super) fn standing_for<'a>(facts: &'a Facts, desired: &Desired, service: &Service) -> Option<&'a ContainerFact> {
    match find(facts, service.object()?.as_str()) {
        Some(container) => Some(container).filter(|container| is_of(container, facts, desired, service)),
        None => former(facts, desired, service).or_else(|| under_another_name(facts, desired, service)),
    }
}

/// Observes a container of ours that is not where the manifest has the service by now. It is removed or recreated in
/// any case, so that it is not probed: the manifest's probes are for its successor.
fn misplaced(facts: &Facts, desired: &Desired, service: &Service, container: &ContainerFact) -> ObservedService {
    let judgement = match container.state {
        ContainerState::Running => Assessment {
            state: State::Online,
            detail: format!("it is running in container {}", container.name),
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
    let taken_over_from = taken_over_from(facts, desired, container);
    ObservedService { taken_over_from, ..judged(facts, service, container, Ownership::Ours, judgement) }
}

pub(super) fn find<'a>(facts: &'a Facts, name: &str) -> Option<&'a ContainerFact> {
    known_containers(facts).find(|container| container.name == name)
}

/// Returns a container of ours under another name, as an earlier `container_name` left it; a running one before a
/// stopped one.
fn elsewhere<'a>(facts: &'a Facts, desired: &Desired, service: &Service) -> Option<&'a ContainerFact> {
    let all = known_containers(facts);
    all.filter(|container| is_of(container, facts, desired, service)).min_by_key(|container| {
        (container.state != ContainerState::Running, !holds_capacity(container.state), &container.name)
    })
}

/// Returns true if the container is proven to be this service's.
pub(super) fn is_of(container: &ContainerFact, facts: &Facts, desired: &Desired, service: &Service) -> bool {
    let identity = ProjectIdentity::of(desired, facts);
    container.marks.as_ref().is_some_and(|marks| identity.are_of(marks, &service.name))
        && ownership::standing(container, facts, desired) == OwnershipProof::Ours
}

pub(super) fn instance(container: &ContainerFact) -> Instance {
    crate::runtime::docker::instance(container.id.clone(), container.name.as_str())
}

/// Describes a container that is not this service's by its owner, for messages.
pub(super) fn whose(container: &ContainerFact, facts: &Facts, desired: &Desired) -> String {
    let named = format!("container {}", container.name);
    let marks = container.marks.as_ref();
    match (ownership::standing(container, facts, desired), marks, &container.compose_project) {
        (OwnershipProof::Ours, Some(marks), _) => {
            format!("{named}, which is service {} of this project", bounded(&marks.service))
        }
        (OwnershipProof::OtherProject, Some(marks), _) => format!("{named} of lcm project {}", bounded(&marks.project)),
        (OwnershipProof::OtherHost, Some(marks), _) => format!(
            "{named}, which lcm on host {} made for project {} at this shared engine",
            bounded(ownership::hostname(&marks.host_id)),
            bounded(&marks.project)
        ),
        (OwnershipProof::Inherited, _, _) => format!("{named}, whose lcm marks came with its image"),
        (OwnershipProof::Renamed | OwnershipProof::Copied, _, _) => {
            format!("{named}, whose lcm marks are another container's")
        }
        (_, _, Some(project)) => format!("{named} of Compose project {project}"),
        (_, _, None) => format!("{named}, which lcm did not make"),
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
    judgement: Assessment,
) -> ObservedService {
    let exit = container
        .exit_code
        .filter(|_| matches!(container.state, ContainerState::Exited | ContainerState::Dead))
        .map(|code| ExitFact { code: i32::try_from(code).ok(), signal: None, at: container.finished_at });
    let ended = judgement.state.is_not_running() && judgement.state != State::Deployed;
    let is_auto_removed = container.auto_remove && container.marks.is_none();
    ObservedService {
        unknown: judgement.unknown,
        instance: Some(instance(container)),
        holds_capacity: holds_capacity(container.state),
        marks: container.marks.clone().map(Box::new),
        image_moved: container.image_moved,
        exit: exit.map(Box::new),
        ended_by_itself: ended && judge::ended_by_itself(facts, service, judgement.state),
        since: since(container),
        is_removed_by_stop: is_auto_removed && !accepts_auto_remove(service),
        is_auto_removed,
        warnings: judgement.warning.into_iter().collect(),
        ..nothing(judgement.state, &judgement.detail, ownership)
    }
}

pub(super) fn holds_capacity(state: ContainerState) -> bool {
    match state {
        ContainerState::Running | ContainerState::Paused | ContainerState::Restarting | ContainerState::Removing => {
            true
        }
        ContainerState::Created | ContainerState::Exited | ContainerState::Dead => false,
    }
}

fn judge_container(facts: &Facts, service: &Service, container: &ContainerFact) -> Assessment {
    let of = |state, detail: String| Assessment { state, detail, unknown: None, warning: None };
    match container.state {
        ContainerState::Running => running_container(facts, service, container),
        ContainerState::Created => of(State::Deployed, "its container was created and never run".to_owned()),
        ContainerState::Paused => of(State::Suspended, "its container is paused".to_owned()),
        ContainerState::Restarting if container.restart_count >= CRASHES => of(State::Error, crash_loop(container)),
        ContainerState::Restarting => of(State::Starting, "the engine is restarting its container".to_owned()),
        ContainerState::Removing => of(State::Stopping, "the engine is removing its container".to_owned()),
        ContainerState::Dead => of(State::Failed, "its container is dead".to_owned()),
        ContainerState::Exited if container.oom_killed => {
            of(State::Failed, "it was killed: out of memory (OOM)".to_owned())
        }
        ContainerState::Exited => {
            let code = container.exit_code.and_then(|code| i32::try_from(code).ok());
            let exit = ExitFact { code, signal: None, at: None };
            let (state, detail) = judge::ended(&exit, service.stop.signal.as_deref());
            of(state, detail)
        }
    }
}

/// Restarts by the engine that count as a crash loop: one or two may be a hiccup.
const CRASHES: u32 = 3;

/// Longest pause of an engine between two restarts. A container that has run for longer is not in a loop.
const LOOP_PAUSE_MAX: SignedDuration = SignedDuration::from_secs(60);

/// Judges a running container. One that its restart policy keeps restarting is not healthy just because it runs now.
fn running_container(facts: &Facts, service: &Service, container: &ContainerFact) -> Assessment {
    let judgement = judge::running(facts, service, container.started_at, container.health);
    let up = container.started_at.map(|started| facts.observed_at.duration_since(started));
    let loops = container.restart_policy.is_some()
        && container.restart_count >= CRASHES
        && up.is_some_and(|up| up < LOOP_PAUSE_MAX);
    let answers = service.health.probe.is_some() && judgement.state.is_operational() && judgement.unknown.is_none();
    if loops && !answers {
        return Assessment { state: State::Error, detail: crash_loop(container), unknown: None, warning: None };
    }
    judgement
}

fn crash_loop(container: &ContainerFact) -> String {
    let policy = container.restart_policy.as_deref().unwrap_or("of the engine");
    format!("it keeps exiting; its restart policy ({policy}) has restarted it {} times", container.restart_count)
}

/// Returns the time of the last change of state; `None`: the engine does not report it.
fn since(container: &ContainerFact) -> Option<Timestamp> {
    match container.state {
        ContainerState::Running | ContainerState::Removing => container.started_at,
        ContainerState::Created => container.created_at,
        ContainerState::Exited | ContainerState::Dead | ContainerState::Restarting => container.finished_at,
        // No engine reports the time of a pause.
        ContainerState::Paused => None,
    }
}

/// Returns the state of a container with marks but without a service in the manifest.
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
