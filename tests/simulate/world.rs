//! Snapshot of a draft, as a driver would have read it.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use lcm::model::desired::{Desired, Service};
use lcm::model::facts::{
    ExitFact, Facts, HostMemoryFact, ListenerFact, Marks, ProbeFacts, ProbeReading, ProcessFact, ProcessOwner, Reading,
};
use lcm::model::observed::ASIDE_SUFFIX;
use lcm::model::size::Mebibytes;
use lcm::runtime::docker::facts::DockerReading as _;
use lcm::runtime::docker::facts::{ContainerFact, ContainerState};
use lcm::runtime::docker::ownership::base_name;
use lcm::runtime::process::facts::ProcessReading as _;
use lcm::runtime::process::facts::TreeFact;
use serde_json::json;

use crate::draft::{Draft, ForeignDraft, Found, Kind, PORT_BASE, ServiceDraft};
use crate::manifest::{PROJECT, name};

pub(crate) fn world(draft: &Draft, desired: &Desired) -> Facts {
    let now: Timestamp = "2026-01-02T03:04:05Z".parse().expect("a time");
    let mut world = World { now, gpus: draft.gpus.len(), ..World::default() };
    for (index, service) in draft.services.iter().enumerate() {
        world.add_service(&desired.services[&name(index)], index, service);
    }
    for (number, foreign) in draft.foreign.iter().enumerate() {
        world.add_foreign(draft, number, *foreign);
    }
    let mut facts = Facts::empty("host", now);
    facts.docker_mut().containers = Reading::Known(world.containers);
    facts.processes_mut().trees = Reading::Known(world.trees);
    facts.listeners = Reading::Known(world.listeners);
    facts.probes = world.probes;
    facts.memory = draft.host.map_or(Reading::NotAsked, |total| {
        Reading::Known(HostMemoryFact {
            total: Mebibytes(total),
            available: Some(Mebibytes(total)),
            holders: Vec::new(),
        })
    });
    facts
}

#[derive(Default)]
struct World {
    now: Timestamp,
    gpus: usize,
    containers: Vec<ContainerFact>,
    trees: Vec<TreeFact>,
    listeners: Vec<ListenerFact>,
    taken: BTreeSet<u16>,
    probes: std::collections::BTreeMap<lcm::model::names::ServiceName, ProbeFacts>,
    pids: i32,
}

/// Spec that an instance is made from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Made {
    Now,
    Before,
    WithOtherSecret,
}

impl World {
    fn add_service(&mut self, service: &Service, index: usize, draft: &ServiceDraft) {
        match draft.kind {
            Kind::Process => self.add_process(service, index, draft),
            Kind::Container => self.add_container(service, index, draft),
            Kind::Existing => self.add_existing(service, index, draft),
        }
        // A service that has run for long answers, regardless of the loading time of its next start.
        let health = if matches!(draft.found, Found::Unhealthy | Found::Starting) {
            ProbeReading::Failed { failures: 3, detail: "connection refused".to_owned() }
        } else {
            ProbeReading::Passed
        };
        if draft.probed && self.runs(service) {
            self.probes.insert(service.name.clone(), ProbeFacts { health: Some(health), busy: None });
        }
    }

    fn runs(&self, service: &Service) -> bool {
        let ours = |marks: &Marks| marks.service == service.name.as_str() && marks.project == PROJECT;
        let up = self.containers.iter().filter(|found| found.state == ContainerState::Running);
        self.trees.iter().any(|tree| ours(&tree.marks) && !tree.members.is_empty())
            || up.into_iter().any(|found| {
                found.marks.as_ref().is_some_and(ours) || service.object().is_some_and(|own| own.as_str() == found.name)
            })
    }

    fn add_process(&mut self, service: &Service, index: usize, draft: &ServiceDraft) {
        let made = made(draft.found);
        let marks = self.marks(service, index, draft, made);
        let mut tree = self.tree(marks, draft.found == Found::Starting);
        match draft.found {
            Found::Nothing | Found::Created | Found::Aside | Found::HalfMade => return,
            Found::Running
            | Found::Stale
            | Found::OtherSecret
            | Found::Unhealthy
            | Found::Starting
            | Found::Unsettled
            | Found::Renamed => {}
            Found::Ended(code) => {
                tree.members.clear();
                tree.shim = None;
                tree.exit = Some(ExitFact { code: Some(code), signal: None, at: None });
            }
            Found::Suspended => tree.suspended = true,
            Found::Degraded => tree.exit = Some(ExitFact { code: Some(1), signal: None, at: None }),
            Found::OtherRuntime => {
                let container = self.container("earlier", index, ContainerState::Running, Some(tree.marks), false);
                self.listen(service, &ProcessOwner::Container(container.id.clone()));
                self.containers.push(container);
                return;
            }
        }
        if !tree.members.is_empty() {
            self.listen(service, &ProcessOwner::Service { project: PROJECT.into(), service: service.name.clone() });
        }
        self.trees.push(tree);
    }

    fn add_container(&mut self, service: &Service, index: usize, draft: &ServiceDraft) {
        let marks = self.marks(service, index, draft, made(draft.found));
        let own = service.object().expect("a container").as_str();
        let mut previous_marks = self.marks(service, index, draft, Made::Before);
        previous_marks.salt.push_str("-previous");
        let previous = |state| {
            let mut found = self.container(&format!("{own}{ASIDE_SUFFIX}"), index, state, Some(previous_marks), false);
            found.id.push_str("-previous");
            found
        };
        let of =
            |state, name: &str| self.container(name, index, state, Some(marks.clone()), draft.found == Found::Starting);
        let all = match draft.found {
            Found::Nothing => Vec::new(),
            Found::Running | Found::Stale | Found::OtherSecret | Found::Unhealthy | Found::Starting => {
                vec![of(ContainerState::Running, own)]
            }
            Found::Ended(code) => {
                vec![ContainerFact { exit_code: Some(code.into()), ..of(ContainerState::Exited, own) }]
            }
            Found::Suspended => vec![of(ContainerState::Paused, own)],
            Found::Degraded => vec![of(ContainerState::Dead, own)],
            Found::Created => vec![of(ContainerState::Created, own)],
            Found::Aside => vec![previous(ContainerState::Exited)],
            Found::HalfMade => vec![of(ContainerState::Created, own), previous(ContainerState::Exited)],
            Found::Unsettled => vec![of(ContainerState::Running, own), previous(ContainerState::Exited)],
            Found::Renamed => vec![of(ContainerState::Running, &format!("{own}-earlier"))],
            Found::OtherRuntime => {
                let tree = self.tree(marks.clone(), false);
                self.trees.push(tree);
                self.listen(service, &ProcessOwner::Service { project: PROJECT.into(), service: service.name.clone() });
                return;
            }
        };
        for mut container in all {
            if holds_ports(container.state) {
                self.listen(service, &ProcessOwner::Container(container.id.clone()));
                container.ports =
                    service.ports.iter().copied().filter(|port| self.owns(port.port, &container.id)).collect();
            }
            self.containers.push(container);
        }
    }

    fn add_existing(&mut self, service: &Service, index: usize, draft: &ServiceDraft) {
        let state = match draft.found {
            Found::Nothing => return,
            Found::Ended(_) | Found::Aside | Found::HalfMade | Found::OtherRuntime => ContainerState::Exited,
            Found::Created => ContainerState::Created,
            Found::Suspended => ContainerState::Paused,
            Found::Degraded => ContainerState::Dead,
            Found::Running
            | Found::Stale
            | Found::OtherSecret
            | Found::Unhealthy
            | Found::Starting
            | Found::Unsettled
            | Found::Renamed => ContainerState::Running,
        };
        let own = service.object().expect("a container").as_str();
        let container = self.container(own, index, state, None, draft.found == Found::Starting);
        if holds_ports(state) {
            self.listen(service, &ProcessOwner::Container(container.id.clone()));
        }
        self.containers.push(container);
    }

    fn add_foreign(&mut self, draft: &Draft, number: usize, foreign: ForeignDraft) {
        let index = 100 + number;
        match foreign {
            ForeignDraft::Orphan { container, runs, gpu, vram, port } => {
                self.add_marked(PROJECT, container, runs, (index, gpu, vram, port));
            }
            ForeignDraft::Other { container, gpu, vram, port } => {
                self.add_marked("other", container, true, (index, gpu, vram, port));
            }
            ForeignDraft::NameTaken { service } => {
                let service = service % draft.services.len();
                let own = format!("{PROJECT}-s{service}");
                let elsewhere = matches!(draft.services[service].found, Found::Renamed | Found::OtherRuntime);
                if !elsewhere
                    && draft.services[service].kind == Kind::Container
                    && self.containers.iter().all(|one| one.name != own)
                {
                    let container = self.container(&own, index, ContainerState::Running, None, false);
                    self.containers.push(container);
                }
            }
            ForeignDraft::Listener { port } => {
                let port = PORT_BASE + port;
                if self.taken.insert(port) {
                    let program = Some("python3".to_owned());
                    self.listeners.push(ListenerFact {
                        port,
                        address: None,
                        pid: Some(4711),
                        program,
                        owner: ProcessOwner::Foreign,
                    });
                }
            }
        }
    }

    fn add_marked(&mut self, project: &str, container: bool, runs: bool, what: (usize, usize, u64, Option<u16>)) {
        let (index, gpu, vram, port) = what;
        let marks = Marks {
            project: project.to_owned(),
            service: format!("x{index}"),
            salt: format!("salt-{index}"),
            config: json!({ "stop": { "grace_ms": 5000 }, "ports": port.map(|port| PORT_BASE + port) }).to_string(),
            gpus: self.gpu(gpu),
            vram_mib: vram,
            ..Marks::default()
        };
        let free = port.map(|port| PORT_BASE + port).filter(|port| runs && self.taken.insert(*port));
        let owner = if container {
            let state = if runs { ContainerState::Running } else { ContainerState::Exited };
            let mut fact = self.container(&format!("x{index}"), index, state, Some(marks), false);
            fact.ports = free.into_iter().map(Into::into).collect();
            self.containers.push(fact.clone());
            ProcessOwner::Container(fact.id)
        } else {
            let (project, service) = (project.into(), marks.service.as_str().into());
            let mut tree = self.tree(marks, false);
            if !runs {
                tree.members.clear();
            }
            self.trees.push(tree);
            ProcessOwner::Service { project, service }
        };
        if let Some(port) = free {
            self.listeners.push(ListenerFact { port, address: None, pid: None, program: None, owner });
        }
    }

    fn marks(&self, service: &Service, index: usize, draft: &ServiceDraft, made: Made) -> Marks {
        let salt = format!("salt-{index}");
        let spec = if made == Made::Before { "v1:before".to_owned() } else { service.spec.hash().to_owned() };
        let secrets =
            if made == Made::WithOtherSecret { "v1:other".to_owned() } else { service.spec.secret_digest(&salt) };
        let spread = self.spread(draft.found_on);
        let gpus = match draft.gpu {
            crate::draft::GpuDraft::None => String::new(),
            crate::draft::GpuDraft::Auto | crate::draft::GpuDraft::Index(_) => self.gpu(draft.found_on),
            crate::draft::GpuDraft::Count(_) | crate::draft::GpuDraft::All => spread,
        };
        Marks {
            project: PROJECT.to_owned(),
            service: service.name.to_string(),
            spec,
            secrets,
            salt,
            config: json!({ "spec": { "command": "before" }, "stop": {}, "ports": service.ports }).to_string(),
            gpus,
            vram_mib: draft.found_vram,
            ..Marks::default()
        }
    }

    fn gpu(&self, index: usize) -> String {
        if self.gpus == 0 { String::new() } else { format!("gpu-{}", index % self.gpus) }
    }

    /// Returns the first `count` + 1 GPUs.
    fn spread(&self, count: usize) -> String {
        (0..=count).take(self.gpus).map(|index| format!("gpu-{index}")).collect::<Vec<_>>().join(",")
    }

    fn began(&self, young: bool) -> Timestamp {
        let age = SignedDuration::from_secs(if young { 1 } else { 86_400 });
        self.now.checked_sub(age).expect("a time")
    }

    fn tree(&mut self, marks: Marks, young: bool) -> TreeFact {
        self.pids += 1;
        let member = ProcessFact { pid: self.pids, start_ticks: 1, program: "s".to_owned() };
        TreeFact {
            marks,
            adopted: false,
            shim: None,
            members: vec![member],
            started_at: Some(self.began(young)),
            exit: None,
            suspended: false,
            uid: None,
            lost_shim: None,
            held: None,
            former_project: None,
        }
    }

    fn container(
        &self,
        name: &str,
        index: usize,
        state: ContainerState,
        marks: Option<Marks>,
        young: bool,
    ) -> ContainerFact {
        ContainerFact {
            image: "image".to_owned(),
            started_at: Some(self.began(young)),
            marks: marks.map(|marks| Marks { name: base_name(name).to_owned(), ..marks }),
            ..ContainerFact::plain(format!("id-{index}"), name, state)
        }
    }

    /// Adds listeners for the service's ports that have none yet.
    fn listen(&mut self, service: &Service, owner: &ProcessOwner) {
        for port in &service.ports {
            if self.taken.insert(port.port) {
                let (port, address, owner) = (port.port, port.address, owner.clone());
                self.listeners.push(ListenerFact { port, address, pid: None, program: None, owner });
            }
        }
    }

    fn owns(&self, port: u16, id: &str) -> bool {
        self.listeners.iter().any(|one| one.port == port && one.owner == ProcessOwner::Container(id.to_owned()))
    }
}

fn made(found: Found) -> Made {
    match found {
        Found::Stale => Made::Before,
        Found::OtherSecret => Made::WithOtherSecret,
        Found::Nothing
        | Found::Running
        | Found::Unhealthy
        | Found::Starting
        | Found::Ended(_)
        | Found::Suspended
        | Found::Degraded
        | Found::Created
        | Found::Aside
        | Found::HalfMade
        | Found::Unsettled
        | Found::Renamed
        | Found::OtherRuntime => Made::Now,
    }
}

/// Returns true if a container in this state holds its ports; a paused one does.
fn holds_ports(state: ContainerState) -> bool {
    matches!(state, ContainerState::Running | ContainerState::Paused)
}
