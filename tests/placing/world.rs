//! Input of the planner for a case: desired and observed state.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use jiff::Timestamp;
use lcm::model::desired::{
    Condition, Dependency, Desired, Goal, GpuRef, GpuRequest, Mode, Others, Service, VramAmount, VramShare,
};
use lcm::model::facts::{Marks, Reading};
use lcm::model::lifecycle::State;
use lcm::model::names::{GoalName, GpuId, ModeName, ProjectName, ServiceName};
use lcm::model::observed::{Observed, ObservedGpu, ObservedMemory, ObservedService, Ownership, PortHolder};
use lcm::model::plan::Request;
use lcm::model::size::Mebibytes;
use lcm::model::spec::Spec;
use lcm::runtime::process::intent::{CommandSpec, LogPolicy, ProcessLimits, ProcessSpec};
use serde_json::json;

use crate::case::{self, Case, holds, members};
use crate::draft::{Amounts, Found, Wish};

pub(crate) struct World {
    pub(crate) desired: Desired,
    pub(crate) observed: Observed,
    pub(crate) request: Request,
}

pub(crate) fn name(index: usize) -> ServiceName {
    ServiceName::new(format!("s{index}"))
}

pub(crate) fn gpu_id(gpu: usize) -> GpuId {
    GpuId::new(format!("gpu-{gpu}"))
}

impl World {
    pub(crate) fn new(case: &Case) -> Self {
        let desired = desired(case);
        let observed = observed(case, &desired);
        Self { desired, observed, request: Request { repack: case.repack, ..Request::default() } }
    }
}

fn desired(case: &Case) -> Desired {
    let (mode, goal) = (ModeName::from("now"), GoalName::from("goal"));
    let services = case.services.iter().enumerate().map(|(index, service)| wanted(index, service));
    let named = (0..case.services.len()).filter(|index| case.services[*index].named).map(name);
    let goals = case.goal.map(|(services, priority)| Goal {
        description: None,
        services: members(services).map(name).collect(),
        phases: BTreeSet::new(),
        priority,
    });
    Desired {
        mode: Some(mode.clone().into()),
        modes: BTreeMap::from([(
            mode,
            Mode {
                description: None,
                services: named.collect(),
                goals: goals.iter().map(|_| goal.clone()).collect(),
                stop: BTreeSet::new(),
                others: Others::Keep,
            },
        )]),
        goals: goals.into_iter().map(|one| (goal.clone(), one)).collect(),
        reserve: mebibytes(case.reserve),
        host_reserve: mebibytes(case.reserve),
        ..Desired::plain(ProjectName::from("placing"), services)
    }
}

fn wanted(index: usize, service: &case::Service) -> Service {
    let process = ProcessSpec {
        command: CommandSpec::Exec(vec![format!("./s{index}")]),
        cwd: PathBuf::from("/"),
        environment: BTreeMap::new(),
        inherit: BTreeSet::new(),
        log: LogPolicy { max_size_bytes: 1 << 20, files: 1 },
        pid_file: None,
        writes_pid: None,
        limits: ProcessLimits::default(),
    };
    let need = |need| (name(need), Dependency { condition: Condition::Healthy, restart: false });
    let fixed = |amount: u64| VramAmount::Fixed(Mebibytes(amount));
    let (vram, vram_by_gpu) = match service.amounts {
        Amounts::Even => (mebibytes(service.vram), None),
        Amounts::Pair(second) => {
            let first = mebibytes(service.vram);
            (first.max(Mebibytes(second)), Some(Box::from([fixed(first.0), fixed(second)])))
        }
        Amounts::Share(percent) => (Mebibytes::ZERO, Some(Box::from([VramAmount::Share(VramShare(percent * 100))]))),
    };
    Service {
        vram,
        vram_by_gpu,
        ram: mebibytes(service.ram),
        gpu: wish(service.wish),
        priority: service.own_priority,
        depends_on: members(service.needs).map(need).collect(),
        ports: service.port.into_iter().map(|port| (8000 + port).into()).collect(),
        spec: Spec::plain(json!({ "command": index })),
        ..Service::plain(name(index), process)
    }
}

fn wish(wish: Wish) -> GpuRequest {
    let refs = |bits| members(bits).map(|gpu| GpuRef::Index(u32::try_from(gpu).expect("few"))).collect();
    match wish {
        Wish::Auto => GpuRequest::Auto,
        Wish::None => GpuRequest::None,
        Wish::Index(index) => GpuRequest::Any(refs(1 << index)),
        Wish::Any(bits) => GpuRequest::Any(refs(bits)),
        Wish::Count(count) => GpuRequest::Count(u32::from(count)),
        Wish::All(bits) => GpuRequest::All(refs(bits)),
    }
}

fn observed(case: &Case, desired: &Desired) -> Observed {
    let services = || case.services.iter().enumerate();
    let held = services().filter(|(_, service)| service.runs());
    let ports =
        held.filter_map(|(index, service)| Some(((8000 + service.port?).into(), PortHolder::Service(name(index)))));
    let gpus = case.gpus.iter().enumerate().take(case.gpu_count());
    let gpus = gpus.map(|(index, gpu)| (gpu_id(index), seen_gpu(index, gpu)));
    let memory = case.host.map(|host| {
        let (capacity, foreign) = (mebibytes(case.gpus[host].capacity), mebibytes(case.gpus[host].foreign));
        Reading::Known(ObservedMemory { capacity, used: None, foreign })
    });
    Observed {
        host: "host".to_owned(),
        host_identity: None,
        engine: None,
        observed_at: Timestamp::UNIX_EPOCH,
        services: services()
            .map(|(index, _)| (name(index), seen(case, index, &desired.services[&name(index)])))
            .collect(),
        orphans: Vec::new(),
        networks: Vec::new(),
        claimed: Vec::new(),
        gpus: gpus.collect(),
        gpus_unknown: None,
        memory: memory.unwrap_or_default(),
        ports: ports.collect(),
        ports_unknown: None,
        holds_unknown: None,
        pending: Vec::new(),
        warnings: Vec::new(),
    }
}

fn seen_gpu(index: usize, gpu: &case::Gpu) -> ObservedGpu {
    ObservedGpu {
        index: u32::try_from(index).expect("few"),
        name: "some GPU".to_owned(),
        capacity: mebibytes(gpu.capacity),
        foreign: mebibytes(gpu.foreign),
        foreign_holders: Vec::new(),
        used: None,
        told: false,
        lost: None,
        unreadable: None,
        is_unified: false,
    }
}

fn seen(case: &Case, index: usize, wanted: &Service) -> ObservedService {
    let service = &case.services[index];
    let state = match service.found {
        Found::Off => State::Registered,
        Found::Running | Found::Drifted => State::Online,
        Found::Suspended => State::Suspended,
    };
    let spec = if service.found == Found::Drifted { "v1:of-before".to_owned() } else { wanted.spec.hash().to_owned() };
    let on = (0..case.gpu_count()).filter(|gpu| holds(service.seat, *gpu));
    let seat: BTreeSet<GpuId> = on.clone().map(gpu_id).collect();
    let by_gpu = on.map(|gpu| (gpu_id(gpu), mebibytes(case.takes(service, service.seat, gpu))));
    let by_gpu = (service.runs() && service.amounts != Amounts::Even).then(|| by_gpu.collect());
    let marks = Marks {
        project: "placing".to_owned(),
        service: wanted.name.to_string(),
        spec,
        gpus: seat.iter().map(GpuId::as_str).collect::<Vec<_>>().join(","),
        vram_mib: mebibytes(service.marked).0,
        ..Marks::default()
    };
    ObservedService {
        instance: service.runs().then(|| lcm::runtime::process::instance(index.to_string())),
        holds_capacity: service.runs(),
        marks: service.runs().then(|| Box::new(marks)),
        gpus: seat.into_iter().collect(),
        declared_by_gpu: by_gpu,
        ..ObservedService::plain(
            state,
            format!("it is {state}"),
            if service.runs() { Ownership::Ours } else { Ownership::Absent },
        )
    }
}

fn mebibytes(amount: i64) -> Mebibytes {
    Mebibytes(u64::try_from(amount).expect("not negative"))
}
