//! Objects as services: the observer of this runtime. Pure.

use crate::model::claim::Claimant;
use crate::model::desired::Service;
use crate::model::facts::Marks;
use crate::model::lifecycle::State;
use crate::model::names::{RuntimeName, ServiceName};
use crate::model::observed::{ObservedService, Orphan, Ownership, PortHolder};
use crate::observe::blank::{nothing, unknown};
use crate::observe::contract::{Observer, ObserverInput, RunningInstance};
use crate::observe::judge;
use crate::observe::orphan::orphan;
use crate::runtime::skeleton::NAME;
use crate::runtime::skeleton::facts::{SkeletonFact, SkeletonFacts, known_objects};

/// Observer of objects.
#[derive(Clone, Copy, Debug)]
pub(super) struct SkeletonObserver;

impl Observer for SkeletonObserver {
    fn runtime(&self) -> RuntimeName {
        NAME
    }

    fn service(&self, view: ObserverInput<'_>, service: &Service) -> ObservedService {
        let unread = view.facts.instances.get::<SkeletonFacts>().and_then(|read| read.objects.unknown());
        if let Some(reason) = unread {
            return unknown(&format!("its object can't be read: {reason}"));
        }
        let named = known_objects(view.facts).find(|found| is_named(found, service));
        match (of_service(view, service), named) {
            (Some(object), _) => observed(view, service, object),
            (None, Some(other)) => {
                let holder = format!("object {}, which lcm did not make", other.name);
                nothing(State::Registered, "its name is taken", Ownership::Foreign { holder })
            }
            (None, None) => nothing(State::Registered, "there is no object yet", Ownership::Absent),
        }
    }

    fn stray(&self, view: ObserverInput<'_>, service: &Service) -> Option<ObservedService> {
        let object = of_service(view, service).filter(|object| object.runs)?;
        Some(observed(view, service, object))
    }

    fn running(&self, view: ObserverInput<'_>, service: &Service) -> Option<RunningInstance> {
        let object = of_service(view, service).filter(|object| object.runs)?;
        Some(RunningInstance { instance: object.instance(), started_at: None })
    }

    fn orphans(&self, view: ObserverInput<'_>) -> Vec<Orphan> {
        let ours = known_objects(view.facts).filter_map(|found| Some((found, found.marks.as_ref()?)));
        let ours = ours.filter(|(_, marks)| view.desired.is_own_project(&marks.project));
        let unclaimed = ours.filter_map(|(found, marks)| {
            let name = ServiceName::from(marks.service.as_str());
            let state = if found.runs { State::Online } else { State::Offline };
            let carrier = Claimant::Container { id: found.id.clone(), name: found.name.clone() };
            let is_wanted = view.desired.services.contains_key(&name);
            (!is_wanted).then(|| orphan((name, found.instance(), state), Some(carrier), marks))
        });
        unclaimed.collect()
    }

    fn other_projects<'a>(&self, view: ObserverInput<'a>) -> Vec<&'a Marks> {
        let running = known_objects(view.facts).filter(|object| object.runs);
        let marks = running.filter_map(|object| object.marks.as_ref());
        marks.filter(|marks| !view.desired.is_own_project(&marks.project)).collect()
    }

    fn former_names<'a>(&self, view: ObserverInput<'a>) -> Vec<&'a Marks> {
        let marks = known_objects(view.facts).filter_map(|object| object.marks.as_ref());
        marks.filter(|marks| view.desired.aliases.iter().any(|alias| alias.as_str() == marks.project)).collect()
    }

    fn holder(&self, view: ObserverInput<'_>, id: &str) -> Option<PortHolder> {
        let object = known_objects(view.facts).find(|object| object.id == id)?;
        let service = view
            .desired
            .services
            .values()
            .find(|service| of_service(view, service).is_some_and(|own| own.id == object.id));
        let foreign = || PortHolder::Foreign(format!("object {}", object.name));
        Some(service.map_or_else(foreign, |service| PortHolder::Service(service.name.clone())))
    }
}

fn is_named(object: &SkeletonFact, service: &Service) -> bool {
    service.object().is_some_and(|own| own.as_str() == object.name)
}

/// Returns the object of a service, by this project's marks.
fn of_service<'a>(view: ObserverInput<'a>, service: &Service) -> Option<&'a SkeletonFact> {
    known_objects(view.facts).find(|object| {
        let marks = object.marks.as_ref();
        marks.is_some_and(|marks| view.desired.is_own_project(&marks.project) && marks.service == service.name.as_str())
    })
}

fn observed(view: ObserverInput<'_>, service: &Service, object: &SkeletonFact) -> ObservedService {
    let common = |seen: ObservedService| ObservedService {
        instance: Some(object.instance()),
        holds_capacity: object.runs,
        marks: object.marks.clone().map(Box::new),
        ..seen
    };
    if !object.runs {
        return common(nothing(State::Offline, "its object has ended", Ownership::Ours));
    }
    let judgement = judge::running(view.facts, service, None, None);
    let seen = nothing(judgement.state, &judgement.detail, Ownership::Ours);
    let warnings = judgement.warning.into_iter().collect();
    common(ObservedService { unknown: judgement.unknown, warnings, ..seen })
}
