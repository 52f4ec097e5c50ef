//! Stops of a tree: all of its processes, and no others.

use std::fs;
use std::time::Duration;

use lcm::model::facts::ExitFact;
use lcm::runtime::{DriverError, RunState};
use rustix::process::Signal;

use crate::support::{Bench, Foreign, PATIENCE, kill, lives, set, wait_for};

#[tokio::test]
async fn a_stop_ends_double_forks_that_ignore_term() {
    let bench = Bench::new();
    let line = "trap '' TERM
        setsid sh -c 'trap \"\" TERM; (sleep 600 & echo $! > grandchild; sleep 600) & exec sleep 600' &
        env -i sleep 600 &
        echo $! > unmarked
        while :; do sleep 600; done";
    let mut service = bench.service("web", line);
    service.stop.grace = Duration::from_millis(100);
    let instance = bench.start(&service).await;
    let grandchild: i32 = bench.line_of("grandchild").await.parse().expect("a pid");
    let unmarked: i32 = bench.line_of("unmarked").await.parse().expect("a pid");
    wait_for("a process without an environment", || {
        fs::read(format!("/proc/{unmarked}/environ")).is_ok_and(|environ| environ.is_empty()).then_some(())
    })
    .await;
    let members: Vec<i32> = bench.tree(&service).await.members.iter().map(|member| member.pid).collect();
    assert!(members.contains(&grandchild) && members.contains(&unmarked), "{members:?}");
    bench.stop(&service, &instance).await;
    assert!(!members.into_iter().any(lives));
    bench.assert_empty();
    let inspection = bench.inspect_service(&service).await;
    assert!(matches!(inspection.run_state, RunState::Ended(Some(ExitFact { signal: Some(9), .. }))), "{inspection:?}");
}

#[tokio::test]
async fn processes_forked_during_the_kill_are_killed_as_well() {
    let bench = Bench::new();
    let line = "trap '' TERM; echo 'trap \"\" TERM; while :; do sleep 0.01; setsid sh ./fork & sleep 0.01; exit; done' \
                > fork; sh ./fork & sh ./fork & while :; do sleep 600; done";
    let mut service = bench.service("forking", line);
    service.stop.grace = Duration::ZERO;
    let instance = bench.start(&service).await;
    bench.stop(&service, &instance).await;
    bench.assert_empty();
}

#[tokio::test]
async fn the_signal_of_the_manifest_reaches_every_process() {
    let bench = Bench::new();
    let line = "trap 'echo parent >> got; exit 0' USR1
        sh -c 'trap \"echo child >> got; exit 0\" USR1; echo > ready; while :; do sleep 0.01; done' &
        while :; do sleep 0.01; done";
    let mut service = bench.service("web", line);
    service.stop.signal = Some("SIGUSR1".to_owned());
    let instance = bench.start(&service).await;
    bench.line_of("ready").await;
    bench.stop(&service, &instance).await;
    let got = fs::read_to_string(bench.path("got")).expect("they were signalled");
    assert!(got.contains("parent\n") && got.contains("child\n"), "{got}");

    service.stop.signal = Some("FETCH".to_owned());
    let instance = bench.start(&service).await;
    let error = bench.try_stop(&service, &instance).await.expect_err("there is no such signal");
    assert!(error.to_string().contains("FETCH"), "{error}");
    assert_eq!(bench.inspect_service(&service).await.run_state, RunState::Running);
}

#[tokio::test]
async fn a_suspended_tree_ends_by_its_signal() {
    let bench = Bench::new();
    let service = bench.service("web", "sleep 600 & exec sleep 600");
    let instance = bench.start(&service).await;
    wait_for("two processes", || (bench.marked().len() == 3).then_some(())).await;
    let members = bench.tree(&service).await.members;
    for member in &members {
        kill(member.pid, Signal::STOP);
    }
    bench.until(&service, |life| *life == RunState::Suspended).await;
    bench.stop(&service, &instance).await;
    let inspection = bench.inspect_service(&service).await;
    assert!(matches!(inspection.run_state, RunState::Ended(Some(ExitFact { signal: Some(15), .. }))), "{inspection:?}");
}

#[tokio::test]
async fn a_service_may_have_its_own_stop_command() {
    let bench = Bench::new();
    let mut service = bench.service("web", "trap '' TERM; echo $$ > pid; while [ ! -e over ]; do sleep 0.01; done");
    set(&mut service, "MODE", "fast");
    let exec = "env > seen; echo $MODE > over";
    service.stop.exec = Some(["sh", "-c", exec].map(str::to_owned).to_vec());
    let instance = bench.start(&service).await;
    bench.line_of("pid").await;
    bench.stop(&service, &instance).await;
    assert_eq!(bench.line_of("over").await, "fast", "in the service's own environment and folder");
    let seen = fs::read_to_string(bench.path("seen")).expect("its environment");
    assert!(!seen.contains("LCM_"), "it is not a member of the service: {seen}");
    let inspection = bench.inspect_service(&service).await;
    assert!(matches!(inspection.run_state, RunState::Ended(Some(ExitFact { code: Some(0), .. }))), "{inspection:?}");
}

#[tokio::test]
async fn a_stop_command_that_fails_falls_back_to_the_signal() {
    let bench = Bench::new();
    let mut service = bench.service("web", "exec sleep 600");
    service.stop.exec = Some(["./no-such-program"].map(str::to_owned).to_vec());
    service.stop.grace = PATIENCE;
    let instance = bench.start(&service).await;
    bench.stop(&service, &instance).await;
    let inspection = bench.inspect_service(&service).await;
    assert!(matches!(inspection.run_state, RunState::Ended(Some(ExitFact { signal: Some(15), .. }))), "{inspection:?}");
}

#[tokio::test]
async fn other_instances_and_reused_pids_are_left_alone() {
    let bench = Bench::new();
    let service = bench.service("web", "exec sleep 600");
    let instance = bench.start(&service).await;
    let earlier = lcm::runtime::process::instance("0123456789abcdef0123456789abcdef".to_owned());
    let error = bench.try_stop(&service, &earlier).await.expect_err("that instance is gone");
    assert!(matches!(error, DriverError::Refused(_)), "{error}");
    assert_eq!(bench.inspect_service(&service).await.run_state, RunState::Running);

    // A pid that was reused by another process.
    let foreign = Foreign::sleep(|_| {});
    let adopted = lcm::runtime::process::instance(format!("{}:1", foreign.pid()));
    bench.stop(&service, &adopted).await;
    assert!(lives(foreign.pid()));
    assert_eq!(bench.inspect_service(&service).await.run_state, RunState::Running);
    bench.stop(&service, &instance).await;
    bench.stop(&service, &instance).await;
}
