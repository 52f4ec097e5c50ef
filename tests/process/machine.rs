//! The machine as a whole: one snapshot of all facts, and the holders of ports.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::time::Duration;

use crate::probing::{get, machine};
use crate::server;
use crate::support::{Bench, PATIENCE};
use lcm::model::desired::{Busy, BusyProbe, DeclaredGpu, Probe, Service};
use lcm::model::facts::{BusyReading, ProbeReading, ProcessOwner, Reading};
use lcm::model::size::Mebibytes;
use lcm::runtime::Driver as _;
use lcm::runtime::docker::facts::DockerReading as _;
use lcm::runtime::machine::Machine;
use lcm::runtime::process::facts::ProcessReading as _;

#[tokio::test]
async fn one_snapshot_holds_all_requested_facts() {
    let bench = Bench::new();
    let mut web = server::service(&bench, "web", "port");
    bench.start(&web).await;
    let port: u16 = bench.line_of("port").await.parse().expect("a port");
    web.health.probe = Some(Probe::Http(get(port, "/ok")));
    web.busy = Some(Box::new(Busy {
        probe: BusyProbe::Http { url: format!("http://localhost:{port}/working"), pointer: "/jobs".to_owned() },
        probe_timeout: Duration::from_secs(5),
    }));
    web.ports = BTreeSet::from([port.into()]);
    let mut sick = bench.service("sick", "exec sleep 600");
    bench.start(&sick).await;
    sick.health.probe = Some(Probe::Exec(vec!["false".to_owned()]));
    sick.health.timeout = Duration::ZERO;
    let mut young = bench.service("young", "exec sleep 600");
    bench.start(&young).await;
    young.health.probe = Some(Probe::Exec(vec!["false".to_owned()]));
    let ended = {
        let mut service = bench.service("ended", "exit 0");
        service.health.probe = Some(Probe::Exec(vec!["true".to_owned()]));
        bench.start(&service).await;
        bench.until(&service, |life| matches!(life, lcm::runtime::RunState::Ended(_))).await;
        service
    };
    let mut desired = bench.desired(&[&web, &sick, &young, &ended]);
    desired.declared_gpus = vec![DeclaredGpu { index: 1, uuid: None, unified: false, capacity: Mebibytes(24_576) }];

    let machine = machine(&bench, &[&web]);
    let facts = machine.observe(&desired).await;
    assert!(!facts.host.is_empty() && facts.history.is_empty());
    assert_eq!(
        (facts.docker().engine.clone(), facts.docker().containers.clone()),
        (None, Reading::NotAsked),
        "no engine is used"
    );
    let Reading::Known(gpus) = facts.gpus.clone() else { panic!("they are declared") };
    assert_eq!((gpus[0].id.as_str(), gpus[0].index, gpus[0].used), ("gpu-1", 1, None));
    let Reading::Known(listeners) = facts.listeners.clone() else { panic!("they can be read") };
    assert_eq!(listeners.len(), 1);
    assert_eq!((listeners[0].port, listeners[0].pid.is_some()), (port, true));
    let owner = ProcessOwner::Service { project: bench.project.clone(), service: web.name.clone() };
    assert_eq!(listeners[0].owner, owner);
    let Reading::Known(trees) = &facts.processes().trees else { panic!("they can be read") };
    let ours = trees.iter().filter(|tree| tree.marks.project == bench.project.as_str());
    let alive: Vec<(&str, bool)> = ours.map(|tree| (tree.marks.service.as_str(), !tree.members.is_empty())).collect();
    assert_eq!(alive, [("ended", false), ("sick", true), ("web", true), ("young", true)]);

    let failures = |name: &str| match &facts.probes[&lcm::model::names::ServiceName::new(name)].health {
        Some(ProbeReading::Failed { failures, .. }) => *failures,
        other => panic!("{name}: {other:?}"),
    };
    assert_eq!(facts.probes[&web.name].health, Some(ProbeReading::Passed));
    assert_eq!(facts.probes[&web.name].busy, Some(BusyReading::Busy("/jobs is 3".to_owned())));
    assert_eq!(
        (failures("sick"), failures("young")),
        (3, 1),
        "a service that may still be starting is probed only once"
    );
    assert!(!facts.probes.contains_key(&ended.name), "a service that does not run is not probed");
}

#[tokio::test]
async fn the_holder_of_a_needed_port_is_named() {
    let bench = Bench::new();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let mut service = bench.service("web", "exec sleep 600");
    service.ports = BTreeSet::from([port.into()]);
    let machine = machine(&bench, &[&service]);
    // Other tests start programs: between fork and exec each of them holds the files of this process.
    let ours = format!("(pid {})", std::process::id());
    let found = holder_until(&machine, &bench, &service, |holder| holder.is_some_and(|holder| holder.ends_with(&ours)));
    let holder = found.await.expect("this process holds it");
    assert!(holder.starts_with(&format!("{port} by ")), "{holder}");
    drop(listener);
    holder_until(&machine, &bench, &service, |holder| holder.is_none()).await;
}

/// Returns the holder of the service's port, once it meets `is_expected`.
async fn holder_until(
    machine: &Machine,
    bench: &Bench,
    service: &Service,
    is_expected: impl Fn(Option<&str>) -> bool,
) -> Option<String> {
    let begun = std::time::Instant::now();
    loop {
        let holder = machine.port_holder(&bench.project, service).await.expect("it can be read");
        if is_expected(holder.as_deref()) {
            return holder;
        }
        assert!(begun.elapsed() < PATIENCE, "{holder:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_port_of_the_service_itself_blocks_only_other_services() {
    let bench = Bench::new();
    let mut service = server::service(&bench, "web", "port");
    bench.start(&service).await;
    let port: u16 = bench.line_of("port").await.parse().expect("a port");
    service.ports = BTreeSet::from([port.into()]);
    let mut other = bench.service("other", "exec sleep 600");
    other.ports = BTreeSet::from([port.into()]);
    let machine = machine(&bench, &[&service, &other]);
    assert_eq!(machine.port_holder(&bench.project, &service).await.expect("it can be read"), None);
    let holder = machine.port_holder(&bench.project, &other).await.expect("it can be read").expect("it is held");
    assert!(holder.contains(&format!("{port} by `web` of project {}", bench.project)), "{holder}");
}

#[tokio::test]
async fn a_process_has_no_previous_revision_to_settle_or_restore() {
    let bench = Bench::new();
    let service = bench.service("web", "exec sleep 600");
    let machine = machine(&bench, &[&service]);
    machine.settle(&bench.project, &service).await.expect("there is nothing to settle");
    assert!(!machine.restore(&bench.project, &service).await.expect("there is nothing to restore"));
    let instance = lcm::runtime::process::instance("none".to_owned());
    machine.remove(&bench.project, &instance).await.expect("there is nothing to remove");
}

#[tokio::test]
async fn a_service_that_does_not_run_is_not_probed_though_its_port_is_held() {
    let bench = Bench::new();
    let port = server::foreign(&bench.path("notes"));
    let mut service = bench.service("web", "exec sleep 600");
    service.health.probe = Some(Probe::Http(get(port, "/ok")));
    service.ports = BTreeSet::from([port.into()]);
    let facts = machine(&bench, &[&service]).observe(&bench.desired(&[&service])).await;
    assert!(facts.probes.is_empty(), "{:?}", facts.probes);
    let listeners = facts.listeners.known().expect("listeners");
    assert!(listeners.iter().any(|listener| listener.port == port && listener.owner == ProcessOwner::Foreign));
}
