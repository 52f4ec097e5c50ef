//! lcm in a container that ends with its job, and an engine of another machine: services that can't be started from
//! there are blocked by name, and all others proceed.

use lcm::model::enclosure::EnclosureFact;
use lcm::model::facts::{ListenerFact, ProcessOwner, Reading};
use lcm::model::plan::Request;
use lcm::runtime::docker::facts::DockerReading as _;

use crate::house::{House, assert_lines, text};

const MIXED: &str = r#"
version: 1
name: mixed
gpus: { devices: [{ index: 0, vram: 24GiB }] }
services:
  box: { docker: { image: "box:1", ports: ["9000:9000"] } }
  gpu: { docker: { image: "gpu:1" }, vram: 8GiB }
  job: { process: { command: [job] }, vram: 8GiB }
  tail: { process: { command: [tail] }, depends_on: [job] }
modes:
  boxes: { services: [box] }
  all: { services: [box, gpu, job, tail] }
"#;

fn enclose(house: &House, lacks: &[&str]) {
    let lacks = lacks.iter().map(|option| (*option).to_owned()).collect();
    house.sim.inject(|facts| facts.enclosure = Some(EnclosureFact { lacks, ..EnclosureFact::default() }));
}

const LACKS: [&str; 2] = ["--pid=host", "-v /run/lock:/run/lock"];
const BARRED: &str = "[in_container] lcm runs in a container, and a process started here would end with it; start the \
                      service from the host";
const UNSEEN: &str = "; to see and stop it from here, `docker run` needs --pid=host -v /run/lock:/run/lock";

#[test]
fn a_process_is_never_started_from_a_container_and_containers_are() {
    let house = House::new(MIXED);
    enclose(&house, &LACKS);
    assert_lines(
        &house.plan("all"),
        &format!(
            "start:box [wanted_by_mode]
             start:gpu [wanted_by_mode] 8192 on gpu-0
             blocked job {BARRED}{UNSEEN}
             blocked tail {BARRED}{UNSEEN}"
        ),
    );
    house.apply("all");
    // The state on the host of a process that should be off is unknown.
    let lines = house.plan("boxes");
    assert!(lines.contains("blocked job [in_container] not part of mode boxes, but its state is unknown"), "{lines}");
}

#[test]
fn with_the_hosts_pids_store_and_lock_a_process_is_kept_and_stopped_but_not_restarted() {
    let house = House::new(MIXED);
    house.apply("all");
    enclose(&house, &[]);
    assert_lines(&house.plan("all"), "");
    house.rewrite(&MIXED.replace("command: [job]", "command: [job, new]"));
    assert_lines(&house.plan("all"), &format!("blocked job {BARRED}"));
    house.rewrite(MIXED);
    let lines = house.plan("boxes");
    assert!(lines.contains("stop:job [not_in_mode]") && !lines.contains("blocked"), "{lines}");
    house.apply("boxes");
}

#[test]
fn a_store_that_ends_with_the_container_is_a_warning() {
    let house = House::new(MIXED);
    let own_store = Some("-v /var/lib/lcm:/var/lib/lcm".to_owned());
    house.sim.inject(|facts| facts.enclosure = Some(EnclosureFact { own_store, ..EnclosureFact::default() }));
    let plan = house.plan_for(&house.desired(Some("boxes")), &Request::default());
    let warned = plan.warnings.iter().any(|warning| warning.contains("docker run -v /var/lib/lcm:/var/lib/lcm"));
    assert!(warned, "{:?}", plan.warnings);
}

#[test]
fn the_gpus_and_ports_of_another_machines_engine_are_not_this_hosts() {
    let house = House::new(MIXED);
    house.sim.inject(|facts| {
        facts.docker_mut().elsewhere = Some("it is reached over the network".to_owned());
        let (program, owner) = (Some("python3".to_owned()), ProcessOwner::Foreign);
        facts.listeners =
            Reading::Known(vec![ListenerFact { port: 9000, address: None, pid: Some(4711), program, owner }]);
    });
    let lines = house.plan("all");
    assert!(lines.contains("start:box") && lines.contains("start:job [wanted_by_mode] 8192"), "{lines}");
    let blocked = "blocked gpu [remote_engine] it needs a GPU, but its engine is another machine's (it is reached over the \
                   network)";
    assert!(lines.contains(blocked), "{lines}");
}

#[test]
fn a_container_at_another_machines_engine_takes_no_gpu_of_this_host_and_is_left() {
    let house = House::new(MIXED);
    house.apply("all");
    house.sim.inject(|facts| facts.docker_mut().elsewhere = Some("its socket is held by ssh (pid 7)".to_owned()));
    let plan = house.plan_for(&house.desired(Some("all")), &Request::default());
    assert!(plan.steps.is_empty() && text(&plan).starts_with("blocked gpu [remote_engine]"), "{}", text(&plan));
    assert_eq!(plan.gpus[0].before_mib.0, 8192, "the process's alone");
}
