//! Pause of a whole tree, including the processes that it forks meanwhile, and unpause.

use std::fs;
use std::time::Duration;

use crate::support::{Bench, wait_for};
use lcm::model::desired::Service;
use lcm::model::instance::Instance;
use lcm::runtime::{DriverError, Pause, RunState};

/// Returns the state letter of a process; `None`: it is gone.
fn state(pid: i32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

impl Bench {
    async fn pause(&self, service: &Service, instance: &Instance) -> Result<(), DriverError> {
        self.processes.pause(&Pause { project: &self.project, service: &service.name, instance }).await
    }

    async fn unpause(&self, service: &Service, instance: &Instance) -> Result<(), DriverError> {
        self.processes.unpause(&Pause { project: &self.project, service: &service.name, instance }).await
    }
}

#[tokio::test]
async fn double_forks_are_frozen_and_go_on() {
    let bench = Bench::new();
    let line = "setsid sh -c '(sleep 600 & echo $! > grandchild; sleep 600) & exec sleep 600' &
        env -i sleep 600 &
        while :; do echo >> beats; sleep 0.01; done";
    let service = bench.service("web", line);
    let instance = bench.start(&service).await;
    let grandchild: i32 = bench.line_of("grandchild").await.parse().expect("a pid");
    bench.pause(&service, &instance).await.expect("frozen");
    bench.pause(&service, &instance).await.expect("a frozen tree stays frozen");
    assert_eq!(bench.inspect_service(&service).await.run_state, RunState::Suspended);
    assert_eq!(state(grandchild), Some('T'));
    let members = bench.tree(&service).await.members;
    assert!(members.len() >= 5 && members.iter().all(|member| state(member.pid) == Some('T')), "{members:?}");

    let beats = || fs::read_to_string(bench.path("beats")).unwrap_or_default().len();
    let before = beats();
    bench.unpause(&service, &instance).await.expect("it goes on");
    assert_eq!(bench.inspect_service(&service).await.run_state, RunState::Running);
    wait_for("a beat", || (beats() > before).then_some(())).await;
    bench.pause(&service, &instance).await.expect("frozen");
    bench.stop(&service, &instance).await;
    bench.assert_empty();
}

#[tokio::test]
async fn processes_forked_during_the_pause_are_frozen_as_well() {
    let bench = Bench::new();
    // Each process lives for a moment, longer than a scan takes on a busy machine, and forks a successor.
    let line = "echo 'sleep 0.4; setsid sh ./fork & sleep 0.4; exit' > fork
        for each in 1 2 3 4 5 6; do sh ./fork & done; echo > ready; while :; do sleep 600; done";
    let mut service = bench.service("forking", line);
    // A process that forks while it is signalled outruns the signal.
    service.stop.grace = Duration::from_secs(1);
    let instance = bench.start(&service).await;
    bench.line_of("ready").await;
    bench.pause(&service, &instance).await.expect("frozen");
    let frozen = bench.marked();
    assert!(frozen.len() > 2, "{frozen:?}");
    assert_eq!(bench.inspect_service(&service).await.run_state, RunState::Suspended);
    // A process that was missed would be gone after one of these inspections, or have forked.
    for _ in 0..20 {
        assert_eq!(bench.inspect_service(&service).await.run_state, RunState::Suspended);
        assert_eq!(bench.marked(), frozen);
    }
    bench.unpause(&service, &instance).await.expect("it goes on");
    wait_for("others than before", || (bench.marked() != frozen).then_some(())).await;
    bench.stop(&service, &instance).await;
    bench.assert_empty();
}

#[tokio::test]
async fn a_parent_that_waits_for_its_childs_exec_does_not_keep_the_tree_from_freezing() {
    let bench = Bench::new();
    // dash starts each program by vfork: until the child executes it, the kernel holds the parent.
    let line = "for each in 1 2 3 4; do (while :; do /bin/true; done) & done; echo > ready; wait";
    let service = bench.service("forking", line);
    let instance = bench.start(&service).await;
    bench.line_of("ready").await;
    for _ in 0..20 {
        bench.pause(&service, &instance).await.expect("frozen");
        assert_eq!(bench.inspect_service(&service).await.run_state, RunState::Suspended);
        bench.unpause(&service, &instance).await.expect("it goes on");
    }
    bench.stop(&service, &instance).await;
    bench.assert_empty();
}

#[tokio::test]
async fn a_restarted_service_is_left_alone() {
    let bench = Bench::new();
    let service = bench.service("web", "sleep 600");
    let first = bench.start(&service).await;
    bench.stop(&service, &first).await;
    bench.pause(&service, &first).await.expect_err("it is gone");
    bench.unpause(&service, &first).await.expect("nothing is left to go on");
    let second = bench.start(&service).await;
    let refused = bench.pause(&service, &first).await.expect_err("another one").to_string();
    assert!(refused.contains("was restarted"), "{refused}");
    assert_eq!(bench.inspect_service(&service).await.run_state, RunState::Running);
    bench.stop(&service, &second).await;
}
