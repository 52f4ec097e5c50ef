//! Manifest of a draft, as the loader would resolve it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use lcm::model::call::Call;
use lcm::model::desired::{
    Busy, BusyProbe, Condition, DeclaredGpu, Dependency, Desired, Goal, GpuRef, GpuRequest, Health, Mode, OrphanPolicy,
    Others, Probe, Service, VramAmount, VramShare, Wake,
};
use lcm::model::endpoint::{Protocol, PublishedPort};
use lcm::model::job::Job;
use lcm::model::names::{GoalName, ModeName, ObjectName, ProjectName, ServiceName};
use lcm::model::secret::Secret;
use lcm::model::size::Mebibytes;
use lcm::model::spec::Spec;
use lcm::model::workload::Workload;
use lcm::runtime::docker::intent::{ContainerSpec, DockerSpec, ExistingContainer, GpuAccess, PullPolicy};
use lcm::runtime::process::intent::{CommandSpec, LogPolicy, ProcessLimits, ProcessSpec};
use serde_json::json;

use crate::draft::{Draft, GpuDraft, Kind, PORT_BASE, ServiceDraft};

pub(crate) const PROJECT: &str = "studio";

/// Longer than any loading time.
pub(crate) const HEALTH_TIMEOUT: Duration = Duration::from_secs(30);

pub(crate) fn name(index: usize) -> ServiceName {
    ServiceName::new(format!("s{index}"))
}

pub(crate) fn desired(draft: &Draft) -> Desired {
    let services =
        draft.services.iter().enumerate().map(|(index, service)| (name(index), resolve(draft, index, service)));
    let bits = |mask: u8| (0..draft.services.len()).filter(move |index| mask & (1 << index) != 0).map(name);
    let mode_name = ModeName::from("now");
    let goal_name = GoalName::from("goal");
    let mode = draft.mode.as_ref().map(|mode| Mode {
        description: None,
        services: bits(mode.wanted).collect(),
        goals: mode.goal.iter().map(|_| goal_name.clone()).collect(),
        stop: BTreeSet::new(),
        others: if mode.keep { Others::Keep } else { Others::Stop },
    });
    let goal = draft.mode.as_ref().and_then(|mode| mode.goal).map(|(phase, priority)| Goal {
        description: None,
        services: BTreeSet::new(),
        phases: BTreeSet::from([phase]),
        priority,
    });
    let mut desired = Desired {
        mode: mode.as_ref().map(|_| mode_name.clone().into()),
        orphans: if draft.orphans_go { OrphanPolicy::Stop } else { OrphanPolicy::Report },
        reserve: Mebibytes(draft.reserve),
        host_reserve: Mebibytes(draft.reserve),
        declared_gpus: (0_u32..)
            .zip(&draft.gpus)
            .map(|(index, capacity)| DeclaredGpu { index, uuid: None, unified: false, capacity: Mebibytes(*capacity) })
            .collect(),
        modes: mode.into_iter().map(|mode| (mode_name.clone(), mode)).collect(),
        goals: goal.into_iter().map(|goal| (goal_name.clone(), goal)).collect(),
        ..Desired::plain(ProjectName::from(PROJECT), services.map(|(_, service)| service))
    };
    let wanted = wanted(draft, &desired);
    stop_unneeded(draft, &mut desired, &wanted);
    share_no_port(&mut desired, &wanted);
    desired
}

/// Removes ports that two services of one mode share, which the loader refuses.
fn share_no_port(desired: &mut Desired, wanted: &BTreeSet<ServiceName>) {
    let mut taken = BTreeSet::new();
    for service in desired.services.values_mut().filter(|service| wanted.contains(&service.name)) {
        service.ports.retain(|port| taken.insert(*port));
        if let Some(DockerSpec::Created(container)) = service.workload.spec_mut::<DockerSpec>() {
            container.ports.retain(|port| port.host.is_some_and(|port| service.ports.contains(&port.into())));
        }
    }
}

pub(crate) fn wanted(draft: &Draft, desired: &Desired) -> BTreeSet<ServiceName> {
    let Some(mode) = &draft.mode else { return desired.services.keys().cloned().collect() };
    let phase = mode.goal.map(|(phase, _)| phase);
    let by_goal = desired.services.values().filter(|one| phase.is_some_and(|phase| one.phases.contains(&phase)));
    let by_mode = desired.modes.values().flat_map(|mode| mode.services.iter().cloned());
    let mut wanted: BTreeSet<ServiceName> = by_goal.map(|one| one.name.clone()).chain(by_mode).collect();
    // Dependencies have lower numbers than their dependents.
    for index in (0..draft.services.len()).rev() {
        if wanted.contains(&name(index)) {
            wanted.extend(desired.services[&name(index)].depends_on.keys().cloned());
        }
    }
    wanted
}

/// Stops only unwanted services, since the loader refuses a service that is both wanted and stopped.
fn stop_unneeded(draft: &Draft, desired: &mut Desired, wanted: &BTreeSet<ServiceName>) {
    let Some(mode) = &draft.mode else { return };
    let off = (0..draft.services.len()).filter(|index| mode.stopped & (1 << index) != 0).map(name);
    let off: BTreeSet<ServiceName> = off.filter(|name| !wanted.contains(name)).collect();
    desired.modes.values_mut().for_each(|mode| mode.stop.clone_from(&off));
}

fn resolve(draft: &Draft, index: usize, service: &ServiceDraft) -> Service {
    let port = service.port.map(|port| PORT_BASE + port);
    let needs = service.needs.iter().filter(|(distance, ..)| *distance <= index).map(|(distance, started, restart)| {
        let is_job = draft.is_job(index - distance);
        let condition = match (*started, is_job) {
            (true, _) => Condition::Started,
            (false, true) => Condition::Completed,
            (false, false) => Condition::Healthy,
        };
        (name(index - distance), Dependency { condition, restart: *restart && !is_job })
    });
    // A driver would measure sizes of the draft.
    let is_open = draft.memory.is_none() && !matches!(service.gpu, GpuDraft::None);
    let share = service.share.filter(|_| is_open);
    let is_job = draft.is_job(index);
    let secrets = service.secret.then(|| ("TOKEN".to_owned(), Secret::new("of today")));
    Service {
        job: is_job.then(Job::default),
        vram: Mebibytes(if share.is_some() || matches!(service.gpu, GpuDraft::None) { 0 } else { service.vram }),
        vram_by_gpu: share.map(|percent| Box::from([VramAmount::Share(VramShare(percent * 100))])),
        ram: Mebibytes(service.ram),
        exclusive_start: service.loads_alone,
        gpu: gpu(draft, service.gpu),
        priority: service.priority,
        phases: BTreeSet::from([service.phase]),
        depends_on: needs.collect(),
        health: Box::new(health(service.probed && !is_job)),
        busy: service
            .busy_ms
            .filter(|_| !is_job)
            .map(|_| Busy { probe: BusyProbe::Exec(vec!["busy".to_owned()]), probe_timeout: Duration::from_secs(5) })
            .map(Box::new),
        wake: draft
            .memory
            .as_ref()
            .filter(|memory| memory.wakes & (1 << index) != 0)
            .map(|_| Box::new(Wake { calls: vec![Call::Exec(vec!["wake".to_owned()])], timeout: HEALTH_TIMEOUT })),
        ports: port.into_iter().map(Into::into).collect(),
        spec: match service.kind {
            Kind::Existing => Spec::plain(json!(null)),
            Kind::Process | Kind::Container => Spec::new(json!({ "command": index }), secrets.into_iter().collect()),
        },
        ..Service::plain(name(index), workload(index, service.kind, port))
    }
}

fn gpu(draft: &Draft, gpu: GpuDraft) -> GpuRequest {
    match gpu {
        GpuDraft::None => GpuRequest::None,
        GpuDraft::Auto => GpuRequest::Auto,
        GpuDraft::Index(index) => GpuRequest::Any(vec![GpuRef::Index(u32::try_from(index).unwrap_or(0))]),
        GpuDraft::Count(count) => GpuRequest::Count(u32::try_from(count).unwrap_or(1)),
        GpuDraft::All => GpuRequest::All((0_u32..).zip(&draft.gpus).map(|(index, _)| GpuRef::Index(index)).collect()),
    }
}

fn health(probed: bool) -> Health {
    Health {
        probe: probed.then(|| Probe::Tcp { host: "localhost".to_owned(), port: 1 }),
        timeout: HEALTH_TIMEOUT,
        ..Health::default()
    }
}

fn workload(index: usize, kind: Kind, port: Option<u16>) -> Workload {
    match kind {
        Kind::Process => ProcessSpec {
            command: CommandSpec::Exec(vec![format!("./s{index}")]),
            cwd: PathBuf::from("/"),
            environment: BTreeMap::new(),
            inherit: BTreeSet::new(),
            log: LogPolicy { max_size_bytes: 1 << 20, files: 1 },
            pid_file: None,
            writes_pid: None,
            limits: ProcessLimits::default(),
        }
        .into(),
        Kind::Container => ContainerSpec {
            pull: PullPolicy::Never,
            ports: port
                .map(|port| PublishedPort { address: None, host: Some(port), container: 80, protocol: Protocol::Tcp })
                .into_iter()
                .collect(),
            gpu_access: GpuAccess::None,
            ..ContainerSpec::plain(format!("{PROJECT}-s{index}"), "image")
        }
        .into(),
        Kind::Existing => {
            ExistingContainer { container: ObjectName::new(format!("their-s{index}")), accepts_auto_remove: false }
                .into()
        }
    }
}
