//! Observer of this runtime: containers as services. Pure.
//!
//! In: facts of containers, and the manifest. Out: the observed state of each service, drift, claims and orphans.
//! Not here: decisions.

mod claims;
pub(crate) mod container;
mod drift;
mod gpus;
mod networks;
mod orphans;

use std::collections::{BTreeMap, BTreeSet};

use crate::model::claim::{ClaimFact, bounded};
use crate::model::desired::Service;
use crate::model::endpoint::Endpoint;
use crate::model::facts::{Facts, Marks};
use crate::model::names::{GpuId, ObjectName, ProjectName, RuntimeName, ServiceName};
use crate::model::network::ObservedNetwork;
use crate::model::observed::{Barred, ObservedGpus, ObservedService, Orphan, PortHolder};
use crate::model::workload::Origin;
use crate::observe::blank::unknown;
use crate::observe::contract::{Observer, ObserverInput, OtherHost, RunningInstance};
use crate::runtime::docker;
use crate::runtime::docker::facts::{ContainerFact, ContainerState, DockerReading as _, known_containers};
use crate::runtime::docker::intent::{DockerSpec, spec_of};
use crate::runtime::docker::ownership::{self, OwnershipProof, ProjectIdentity};

/// Containers of another host that a message names at most.
const OTHERS_NAMED_MAX: usize = 6;
/// Digits of a container's id that the engine shows.
const SHORT_ID: usize = 12;

/// Observer of containers.
#[derive(Clone, Copy, Debug)]
pub struct DockerObserver;

impl Observer for DockerObserver {
    fn runtime(&self) -> RuntimeName {
        docker::NAME
    }

    fn service(&self, ObserverInput { facts, desired }: ObserverInput<'_>, service: &Service) -> ObservedService {
        match spec_of(service) {
            Some(DockerSpec::Created(_)) => container::own(facts, desired, service),
            Some(DockerSpec::Existing(existing)) => container::existing(facts, desired, service, &existing.container),
            None => unknown("its definition is not a container's"),
        }
    }

    fn stray(&self, ObserverInput { facts, desired }: ObserverInput<'_>, service: &Service) -> Option<ObservedService> {
        container::running_of(facts, desired, service)
    }

    fn renamed(
        &self,
        ObserverInput { facts, desired }: ObserverInput<'_>,
        service: &Service,
    ) -> Option<ObservedService> {
        container::renamed(facts, desired, service)
    }

    fn running(&self, view: ObserverInput<'_>, service: &Service) -> Option<RunningInstance> {
        let identity = ProjectIdentity::of(view.desired, view.facts);
        let names = identity.names(&service.name, service.object().map_or("", ObjectName::as_str));
        let found = names.iter().find_map(|name| {
            let mut named = known_containers(view.facts).filter(|container| container.name == *name);
            named.next().filter(|found| carries(found, view, service))
        })?;
        let runs = found.state == ContainerState::Running;
        runs.then(|| RunningInstance { instance: container::instance(found), started_at: found.started_at })
    }

    /// Bars a service with a GPU from a remote engine, where it would get GPUs of another machine; and one whose network
    /// has the name of a foreign one.
    fn bar(&self, view: ObserverInput<'_>, service: &Service, seen: &mut ObservedService) {
        if let Some(message) = networks::foreign(view.facts, view.desired, service) {
            seen.barred = Some(Box::new(Barred::ForeignNetwork(message)));
        }
        let Some(why) = view.facts.docker().elsewhere.as_ref().filter(|_| service.needs_gpu_memory()) else { return };
        let message = format!(
            "it needs a GPU, but its engine is another machine's ({why}), whose GPUs can't be read from here: run lcm \
             on that machine"
        );
        seen.barred = Some(Box::new(Barred::RemoteEngine(message)));
    }

    fn bind(
        &self,
        view: ObserverInput<'_>,
        service: &Service,
        seen: &mut ObservedService,
        gpus: &ObservedGpus,
        holding: &[GpuId],
    ) {
        gpus::bind(view, service, seen, gpus, holding);
    }

    fn orphans(&self, view: ObserverInput<'_>) -> Vec<Orphan> {
        orphans::orphans(view)
    }

    fn claims(&self, view: ObserverInput<'_>, services: &BTreeMap<ServiceName, ObservedService>) -> Vec<ClaimFact> {
        claims::claims(view, services)
    }

    /// Returns marks of running containers of other projects. Marks under another name are a copy, and count for
    /// nothing.
    fn other_projects<'a>(&self, view: ObserverInput<'a>) -> Vec<&'a Marks> {
        let running = known_containers(view.facts).filter(|found| container::holds_capacity(found.state));
        let is_named = |found: &ContainerFact, marks: &Marks| {
            marks.name.is_empty() || marks.name == ownership::base_name(&found.name)
        };
        let others = running.filter(|found| standing(found, view) == OwnershipProof::OtherProject);
        others.filter_map(|found| found.marks.as_ref().filter(|marks| is_named(found, marks))).collect()
    }

    fn former_names<'a>(&self, view: ObserverInput<'a>) -> Vec<&'a Marks> {
        let ours = known_containers(view.facts).filter(|found| standing(found, view) == OwnershipProof::Ours);
        let is_former = |marks: &&Marks| view.desired.aliases.contains(&ProjectName::from(marks.project.as_str()));
        ours.filter_map(|found| found.marks.as_ref()).filter(is_former).collect()
    }

    fn networks(&self, view: ObserverInput<'_>) -> Vec<ObservedNetwork> {
        networks::networks(view)
    }

    fn warnings(&self, view: ObserverInput<'_>) -> Vec<String> {
        networks::warnings(view)
    }

    fn published<'a>(&self, view: ObserverInput<'a>) -> Vec<(Endpoint, &'a str)> {
        let running = known_containers(view.facts).filter(|found| container::holds_capacity(found.state));
        running.flat_map(|found| found.ports.iter().map(|port| (*port, found.id.as_str()))).collect()
    }

    fn holder(&self, view: ObserverInput<'_>, id: &str) -> Option<PortHolder> {
        let ObserverInput { facts, desired } = view;
        let found = find(facts, id)?;
        let standing = standing(found, view);
        let unmarked = matches!(standing, OwnershipProof::Unmarked | OwnershipProof::Inherited);
        let ours = desired.services.values().find(|service| {
            container::is_of(found, facts, desired, service)
                || (unmarked && service.object().is_some_and(|own| own.as_str() == found.name))
        });
        Some(match (ours, &found.marks) {
            (Some(service), _) => PortHolder::Service(service.name.clone()),
            (None, Some(marks)) if standing == OwnershipProof::Ours => {
                PortHolder::Orphan(ServiceName::from(marks.service.as_str()))
            }
            (None, _) => PortHolder::Foreign(container::whose(found, facts, desired)),
        })
    }

    fn other_project<'a>(&self, view: ObserverInput<'a>, id: &str) -> Option<&'a Marks> {
        let found = find(view.facts, id).filter(|found| standing(found, view) == OwnershipProof::OtherProject)?;
        found.marks.as_ref()
    }

    fn owner_uids(&self, view: ObserverInput<'_>) -> BTreeSet<u32> {
        ownership::owner_uids(view.facts, view.desired)
    }

    fn on_other_host(&self, view: ObserverInput<'_>) -> Option<OtherHost> {
        let found = ownership::on_other_hosts(view.facts, view.desired);
        let first = found.first()?.marks.as_ref();
        let host = bounded(first.map(|marks| ownership::hostname(&marks.host_id)).unwrap_or_default());
        let named =
            |found: &&ContainerFact| format!("{} ({})", found.name, found.id.get(..SHORT_ID).unwrap_or(&found.id));
        Some(OtherHost { host, instances: found.iter().take(OTHERS_NAMED_MAX).map(named).collect() })
    }
}

fn standing(found: &ContainerFact, ObserverInput { facts, desired }: ObserverInput<'_>) -> OwnershipProof {
    ownership::standing(found, facts, desired)
}

fn find<'a>(facts: &'a Facts, id: &str) -> Option<&'a ContainerFact> {
    known_containers(facts).find(|found| found.id == id)
}

/// Returns true if a container of a service's name may be probed for it.
fn carries(found: &ContainerFact, view: ObserverInput<'_>, service: &Service) -> bool {
    let ObserverInput { facts, desired } = view;
    let of_service =
        || found.marks.as_ref().is_some_and(|marks| ProjectIdentity::of(desired, facts).are_of(marks, &service.name));
    match (service.workload.origin, standing(found, view)) {
        (Origin::Created, OwnershipProof::Ours) => of_service(),
        (Origin::Created, _) | (_, OwnershipProof::OtherProject | OwnershipProof::OtherHost) => false,
        (Origin::Existing, _) => true,
    }
}
