//! Process services from a job container, in which they would end with the job.

use crate::runner::{Given, Runner};

const MIXED: &str = "\
version: 1
name: \"@NAME@\"
services:
  web: { docker: { image: \"@IMAGE@\", command: [--port, \"8000\"], pull_policy: never } }
  job: { process: { command: [\"@SERVER@\", --port, \"0\"] } }
modes:
  both: { services: [web, job] }
  web: { services: [web] }
mode: both
";

pub(crate) fn a_process_is_not_started_and_containers_go_on() {
    let runner = Runner::new(MIXED);
    let plan = runner.lcm(Given::StoreAndLock, &["plan", "--format", "json"]).exits(4).json();
    assert_eq!(plan["blocked"][0]["service"], "job");
    assert_eq!(plan["blocked"][0]["reason"]["code"], "in_container");
    assert_eq!(plan["steps"][0]["id"], "start:web");
    let ran = runner.lcm(Given::StoreAndLock, &["apply", "--yes"]).exits(4);
    ran.says("start the service from the host").says("docker run` needs --pid=host").says("1 started");
    assert_eq!(runner.inspect("web", "{{.State.Running}}"), "true");
    assert!(runner.sandbox.servers().is_empty(), "a process was started");
    // The host's own lcm starts the rest.
    runner.on_host(&["apply", "--yes"]).exits(0).says("1 started");
}

pub(crate) fn a_process_of_the_host_is_seen_and_stopped_with_the_hosts_pids_store_and_lock() {
    let runner = Runner::new(MIXED);
    runner.on_host(&["apply", "--yes"]).exits(0);
    assert_eq!(runner.sandbox.servers().len(), 1);
    let given = Given::Options(&["--pid=host", "--cap-add=SYS_PTRACE"]);
    runner.lcm(given, &["plan"]).exits(0).says("Nothing to do");
    runner.lcm(given, &["apply", "--yes", "--mode", "web"]).exits(0).says("1 stopped");
    assert!(runner.sandbox.servers().is_empty(), "it was not stopped");
    runner.lcm(given, &["apply", "--yes"]).exits(4).says("start the service from the host");
    assert!(runner.sandbox.servers().is_empty(), "a process was started");
}
