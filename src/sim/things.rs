//! Containers, trees, listeners and GPU holders of the simulated world: found, made, begun and ended.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::json;
use tokio::time::Instant;

use super::world::{End, Life, World, gpus_of, is_up, salt_of};
use crate::model::desired::Service;
use crate::model::endpoint::{Endpoint, Protocol};
use crate::model::facts::{EngineHealth, ExitFact, GpuFact, ListenerFact, Marks, Owner, ProcessFact};
use crate::model::names::{GpuId, ProjectName, ServiceName};
use crate::model::observed::ASIDE_SUFFIX;
use crate::model::spec::Spec;
use crate::runtime::docker::facts::DockerReading as _;
use crate::runtime::docker::facts::{ContainerFact, ContainerState, Devices};
use crate::runtime::docker::intent::{ContainerSpec, DockerSpec};
use crate::runtime::docker::ownership::{self, Identity, Standing};
use crate::runtime::docker::settings::{self, Settings};
use crate::runtime::process::facts::ProcessReading as _;
use crate::runtime::process::facts::TreeFact;
use crate::runtime::{DriverError, Start};
use crate::sim::keys::{key_of_tree, program};

/// What a shell says of a program that failed.
const EXIT_OF_DEATH: i32 = 1;

const TERM: i32 = 15;
const KILL: i32 = 9;

impl World {
    pub(super) fn container(&self, name: &str) -> Option<&ContainerFact> {
        self.facts.docker().containers.known()?.iter().find(|container| container.name == name)
    }

    pub(super) fn container_mut(&mut self, id: &str) -> Option<&mut ContainerFact> {
        self.facts.docker_mut().containers.known_mut()?.iter_mut().find(|container| container.id == id)
    }

    /// The tree of a service, a living one first.
    pub(super) fn tree(&self, project: &ProjectName, service: &ServiceName) -> Option<&TreeFact> {
        let trees = || {
            let all = self.facts.processes().trees.known().into_iter().flatten();
            all.filter(|tree| tree.marks.are_of(project, service))
        };
        trees().find(|tree| !tree.members.is_empty()).or_else(|| trees().next_back())
    }

    pub(super) fn tree_mut(&mut self, key: &str) -> Option<&mut TreeFact> {
        self.facts.processes_mut().trees.known_mut()?.iter_mut().find(|tree| key_of_tree(tree) == key)
    }

    pub(super) fn is_alive(&self, key: &str) -> bool {
        let trees = self.facts.processes().trees.known().into_iter().flatten();
        let containers = self.facts.docker().containers.known().into_iter().flatten();
        trees.into_iter().any(|tree| key_of_tree(tree) == key && !tree.members.is_empty())
            || containers.into_iter().any(|container| container.id == key && is_up(container.state))
    }

    /// A new container under the service's name, not yet running.
    pub(super) fn create(&mut self, start: &Start<'_>, container: &ContainerSpec) -> String {
        let salt = salt_of(self.count());
        let marks = Marks {
            name: container.name.to_string(),
            host_id: self.facts.host_id.clone().unwrap_or_default(),
            compared: settings::COMPARED,
            ..marks(start, &salt)
        };
        let fact = ContainerFact {
            image: container.image.clone(),
            settings: Settings::expected(start.service, &marks, &self.facts).map(Box::new),
            marks: Some(marks),
            ports: container.ports.iter().filter_map(Endpoint::of_published).collect(),
            ..ContainerFact::plain(salt.clone(), container.name.to_string(), ContainerState::Created)
        };
        self.facts.docker_mut().containers.known_mut().into_iter().for_each(|all| all.push(fact.clone()));
        salt
    }

    /// A new tree, running; what ended before under its name is forgotten.
    pub(super) fn spawn(&mut self, start: &Start<'_>, at: Timestamp) -> String {
        let count = self.count();
        let (salt, program) = (salt_of(count), program(start.service));
        let marks = marks(start, &salt);
        let pid = 100_000 + i32::try_from(count % 1_000_000).unwrap_or(0) * 2;
        let process = |pid, program: &str| ProcessFact { pid, start_ticks: count, program: program.to_owned() };
        let (project, service) = (marks.project.clone(), marks.service.clone());
        let fact = TreeFact {
            marks,
            adopted: false,
            shim: Some(process(pid, "lcm")),
            members: vec![process(pid + 1, &program)],
            started_at: Some(at),
            exit: None,
            suspended: false,
            uid: None,
            lost_shim: None,
            held: None,
            former_project: None,
        };
        if let Some(trees) = self.facts.processes_mut().trees.known_mut() {
            trees.retain(|tree| tree.marks.project != project || tree.marks.service != service);
            trees.push(fact);
        }
        salt
    }

    /// It runs from now on: its ports, its memory and its fate.
    pub(super) fn begin(&mut self, key: &str, start: &Start<'_>, at: Timestamp) {
        let behaviour = self.behaviour(&start.service.name);
        let now = Instant::now();
        let own = self.made_with(key, start.service);
        let start = &Start { gpus: own.as_deref().unwrap_or(start.gpus), ..*start };
        let death = behaviour.dies_while_loading.then_some(behaviour.loading / 2).or(behaviour.dies_after);
        let exit = ExitFact { code: Some(EXIT_OF_DEATH), signal: None, at: None };
        let end = death.map(|after| End { at: now + after, exit, leaves_children: behaviour.leaves_children });
        let (gpus, vram) = (start.gpus.to_vec(), start.service.vram);
        self.lives.insert(
            key.to_owned(),
            Life { service: start.service.name.clone(), since: now, gpus: gpus.clone(), vram, well: false, end },
        );
        self.facts.probes.remove(&start.service.name);
        let healthy = self.answers(key, &start.service.name);
        let mut owner = Owner::Service { project: start.project.clone(), service: start.service.name.clone() };
        if let Some(container) = self.container_mut(key) {
            owner = Owner::Container(container.id.clone());
            container.state = ContainerState::Running;
            container.exit_code = None;
            container.oom_killed = false;
            container.started_at = Some(at);
            if checks_itself(start.service) || container.health.is_some() {
                container.health = Some(if healthy { EngineHealth::Healthy } else { EngineHealth::Starting });
            }
        }
        self.listen(start.service, &owner);
        let pid = self.pid_of(key);
        self.claim(key, start, owner, pid);
    }

    /// Somebody else's container uses the GPUs that it was made with, whatever it is given.
    fn made_with(&self, id: &str, service: &Service) -> Option<Vec<GpuId>> {
        let Some(DockerSpec::Existing(existing)) = service.workload.spec::<DockerSpec>() else { return None };
        let found = self.container(existing.container.as_str()).filter(|found| found.id == id)?;
        let Some(Devices::These(names)) = &found.devices else { return None };
        let is_its =
            |gpu: &&GpuFact| names.iter().any(|name| gpu.id.as_str() == name || gpu.index.to_string() == *name);
        Some(self.facts.gpus.known()?.iter().filter(is_its).map(|gpu| gpu.id.clone()).collect())
    }

    fn listen(&mut self, service: &Service, owner: &Owner) {
        let Some(listeners) = self.facts.listeners.known_mut() else { return };
        // Listeners are told of TCP alone.
        for port in service.ports.iter().filter(|port| port.protocol == Protocol::Tcp) {
            let program = Some(program(service));
            let (port, address) = (port.port, port.address);
            listeners.push(ListenerFact { port, address, pid: None, program, owner: owner.clone() });
        }
    }

    /// The first of its processes; the engine does not show those of a container.
    fn pid_of(&mut self, key: &str) -> i32 {
        let member = self.tree_mut(key).and_then(|tree| tree.members.first().map(|first| first.pid));
        member.unwrap_or_else(|| self.memory.new_pid())
    }

    /// Ends now: nothing of it is left but the note of its end.
    pub(super) fn end(&mut self, key: &str, exit: &ExitFact, leaves_children: bool) {
        if !leaves_children {
            self.give_back(key);
        }
        let owner = if let Some(container) = self.container_mut(key) {
            let code = exit.code.or(exit.signal.map(|signal| signal.saturating_add(128))).unwrap_or_default();
            container.state = ContainerState::Exited;
            container.exit_code = Some(i64::from(code));
            container.health = container.health.map(|_| EngineHealth::Unhealthy);
            Owner::Container(container.id.clone())
        } else if let Some(tree) = self.tree_mut(key) {
            tree.exit = Some(exit.clone());
            if leaves_children {
                return;
            }
            tree.members.clear();
            tree.shim = None;
            tree.suspended = false;
            let (project, service) = (ProjectName::new(&*tree.marks.project), ServiceName::new(&*tree.marks.service));
            Owner::Service { project, service }
        } else {
            return;
        };
        if let Some(listeners) = self.facts.listeners.known_mut() {
            listeners.retain(|listener| listener.owner != owner);
        }
    }

    fn identity<'a>(&'a self, project: &'a ProjectName) -> Identity<'a> {
        let host_id = self.facts.host_id.as_deref();
        Identity { project, aliases: &self.aliases, host_id, take_over: self.take_over }
    }

    /// Proven to be this service's, as the real engine proves it.
    pub(super) fn is_ours(&self, project: &ProjectName, service: &ServiceName, found: &ContainerFact) -> bool {
        let identity = self.identity(project);
        let expected = Some(ownership::base_name(&found.name));
        found.marks.as_ref().is_some_and(|marks| identity.are_of(marks, service))
            && identity.standing(found.evidence(), expected) == Standing::Ours
    }

    pub(super) fn is_anothers(&self, project: &ProjectName, found: &ContainerFact) -> bool {
        let standing = self.identity(project).standing(found.evidence(), None);
        matches!(standing, Standing::OtherProject | Standing::OtherHost)
    }

    /// Made by another machine's lcm, so that a start makes it anew.
    pub(super) fn is_taken_over(&self, project: &ProjectName, found: &ContainerFact) -> bool {
        found.marks.as_ref().is_some_and(|marks| self.identity(project).is_taken_over(marks))
    }

    /// The container of a service and the one put aside for it, where they are proven to be its.
    pub(super) fn pair(
        &self,
        project: &ProjectName,
        service: &Service,
    ) -> (Option<&ContainerFact>, Option<&ContainerFact>) {
        let Some(own) = service.object() else { return (None, None) };
        let names = self.identity(project).names(&service.name, own.as_str());
        let ours = |found: &&ContainerFact| self.is_ours(project, &service.name, found);
        let find = |name: &str| self.container(name).filter(ours);
        let current = names.iter().find_map(|name| find(name));
        let aside = names.iter().find_map(|name| find(&put_aside_name(name)));
        let salt = |found: Option<&ContainerFact>| Some(found?.marks.as_ref()?.salt.clone());
        // No two containers get the same salt: the one under the whole name is the original.
        (current, aside.filter(|aside| current.is_none() || salt(Some(aside)) != salt(current)))
    }

    /// What may be done to a container: `Err` is a violation.
    pub(super) fn may_touch(
        &mut self,
        project: &ProjectName,
        service: &ServiceName,
        container: &ContainerFact,
        what: &str,
    ) -> Result<(), DriverError> {
        let is_adopted = !self.is_anothers(project, container) && self.named.get(&container.name) == Some(service);
        if is_adopted || self.is_ours(project, service, container) {
            return Ok(());
        }
        Err(self.violate(format!("{what} container {}, which is not {project}'s {service}", container.name)))
    }
}

/// How a stop ends it: by its own signal, or killed.
pub(super) fn exit_of_stop(is_container: bool, killed: bool) -> ExitFact {
    match (is_container, killed) {
        (true, false) => ExitFact { code: Some(0), signal: None, at: None },
        (_, true) => ExitFact { code: None, signal: Some(KILL), at: None },
        (false, false) => ExitFact { code: None, signal: Some(TERM), at: None },
    }
}

/// Whether it was made from just this, and its marks say the truth of where it would run and what it would take.
pub(super) fn is_made_from(marks: &Marks, start: &Start<'_>) -> bool {
    let spec = &start.service.spec;
    let as_marked = gpus_of(marks) == start.gpus && marks.vram_mib == start.service.vram.0;
    is_as_wanted(marks, spec) && as_marked
}

pub(super) fn is_as_wanted(marks: &Marks, spec: &Spec) -> bool {
    spec.has_hash(&marks.spec) && spec.has_secrets(&marks.secrets, &marks.salt)
}

pub(super) fn put_aside_name(name: &str) -> String {
    format!("{name}{ASIDE_SUFFIX}")
}

fn marks(start: &Start<'_>, salt: &str) -> Marks {
    let service = start.service;
    let stop = BTreeMap::from([
        ("signal", json!(service.stop.signal)),
        ("grace_ms", json!(service.stop.grace.as_millis())),
        ("exec", json!(service.stop.exec)),
    ]);
    let stop = service.spec.masked(json!(stop));
    let config = json!({ "spec": service.spec.config(), "stop": stop, "ports": service.ports });
    Marks {
        project: start.project.to_string(),
        service: service.name.to_string(),
        spec: service.spec.hash().to_owned(),
        secrets: service.spec.secret_digest(salt),
        salt: salt.to_owned(),
        config: config.to_string(),
        gpus: start.gpus.iter().map(GpuId::as_str).collect::<Vec<_>>().join(","),
        vram_mib: service.vram.0,
        ..Marks::default()
    }
}

/// Its image, or the manifest, gives the engine a health check to run.
pub(super) fn checks_itself(service: &Service) -> bool {
    match service.workload.spec::<DockerSpec>() {
        Some(DockerSpec::Created(container)) => {
            container.healthcheck.as_ref().is_some_and(|check| check.test.first().is_some_and(|word| word != "NONE"))
        }
        None | Some(DockerSpec::Existing(_)) => false,
    }
}
