//! The output of a service: it comes into its log in order and whole, however the service opens it, with its shim or
//! its standby killed, and in any amount.

use std::fs;
use std::time::Duration;

use lcm::model::desired::Probe;
use lcm::model::facts::ProbeReading;
use lcm::runtime::{Driver as _, RunState};
use rustix::process::Signal;

use crate::probing::machine;
use crate::support::{Bench, kill, lives, pids, process_of, wait_for, write};

/// Lists the processes that relay, or stand by to relay, into a log of this bench.
fn relays(bench: &Bench) -> Vec<i32> {
    let holds_a_log = |pid: i32| {
        let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        let mut targets = descriptors.filter_map(|entry| fs::read_link(entry.path()).ok());
        targets.any(|target| target.starts_with(bench.folder.path()) && target.ends_with("log"))
    };
    let is_relay = |pid: i32| {
        let arguments = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        arguments.split(|byte| *byte == 0).any(|word| word == b"__relay")
    };
    pids().filter(|pid| lives(*pid) && is_relay(*pid) && holds_a_log(*pid)).collect()
}

fn log_of(bench: &Bench, service: &str) -> String {
    fs::read_to_string(bench.path(&format!("state/projects/{}/{service}/log", bench.project))).unwrap_or_default()
}

async fn until_logged(bench: &Bench, service: &str, text: &str) {
    wait_for(&format!("`{text}` in the log"), || log_of(bench, service).contains(text).then_some(())).await;
}

#[tokio::test]
async fn output_is_appended_in_order_however_the_service_opens_it() {
    let bench = Bench::new();
    let line = "echo one; echo two > /dev/stderr; echo three > /dev/stdout; echo four >> /dev/stderr; \
                echo five | tee /dev/stderr > /dev/null; echo six > /proc/self/fd/1; echo seven > /dev/fd/2; \
                echo eight | dd of=/dev/stdout 2> /dev/null; sh -c 'exec 2>/dev/stderr; echo nine >&2'; \
                : > /dev/stdout; echo ten";
    let service = bench.service("web", line);
    bench.start(&service).await;
    bench.until(&service, |life| matches!(life, RunState::Ended(_))).await;
    assert_eq!(log_of(&bench, "web"), "one\ntwo\nthree\nfour\nfive\nsix\nseven\neight\nnine\nten\n");
}

#[tokio::test]
async fn all_output_is_in_the_log_once_the_exit_is_known() {
    let bench = Bench::new();
    // Another process of the service holds the pipe open after the end of the first one.
    let service = bench.service("web", "sleep 600 & head -c 900000 /dev/zero | tr '\\0' x; echo end; exit 3");
    let instance = bench.start(&service).await;
    bench.until(&service, |life| !matches!(life, RunState::Running)).await;
    let log = log_of(&bench, "web");
    assert!(log.len() == 900_004 && log.ends_with("xend\n"), "{} bytes", log.len());
    bench.stop(&service, &instance).await;
    bench.assert_empty();
    assert_eq!(relays(&bench), [0; 0], "a standby ends with its shim");
}

#[tokio::test]
async fn a_killed_shim_loses_no_output_and_its_standby_is_not_a_member() {
    let bench = Bench::new();
    let service = bench.service("web", "echo before; while [ ! -e go ]; do sleep 0.01; done; echo after; sleep 600");
    let instance = bench.start(&service).await;
    until_logged(&bench, "web", "before").await;
    let tree = bench.tree(&service).await;
    let standby = wait_for("a standby", || relays(&bench).first().copied()).await;
    assert!(tree.members.iter().all(|member| member.pid != standby), "{tree:?}");
    for signal in [Signal::TERM, Signal::HUP, Signal::INT] {
        kill(standby, signal);
    }
    let shim = tree.shim.expect("a shim").pid;
    kill(shim, Signal::KILL);
    wait_for("the shim's end", || (!lives(shim)).then_some(())).await;
    write(&bench.path("go"), "");
    until_logged(&bench, "web", "before\nafter\n").await;
    assert_eq!(relays(&bench), [standby], "an inspection starts no other standby");
    bench.stop(&service, &instance).await;
    bench.assert_empty();
    wait_for("the standby's end", || relays(&bench).is_empty().then_some(())).await;
}

#[tokio::test]
async fn without_shim_and_standby_a_service_runs_on_and_the_next_inspection_relays_its_output() {
    let bench = Bench::new();
    let line = "while [ ! -e go ]; do sleep 0.01; done; head -c 3000000 /dev/zero | tr '\\0' x; echo; echo done; \
                echo > written; sleep 600";
    let service = bench.service("web", line);
    let instance = bench.start(&service).await;
    let shim = bench.tree(&service).await.shim.expect("a shim").pid;
    let standby = wait_for("a standby", || relays(&bench).first().copied()).await;
    for pid in [standby, shim] {
        kill(pid, Signal::KILL);
        wait_for("its end", || (!lives(pid)).then_some(())).await;
    }
    write(&bench.path("go"), "");
    let inspection = bench.inspect_service(&service).await;
    assert_eq!(
        (inspection.run_state, inspection.instance.as_ref()),
        (RunState::Running, Some(&instance)),
        "no SIGPIPE ended it"
    );
    bench.line_of("written").await;
    until_logged(&bench, "web", "x\ndone\n").await;
    assert_eq!(log_of(&bench, "web").len(), 3_000_006, "nothing of it is lost");
    bench.stop(&service, &instance).await;
    wait_for("the relay's end", || relays(&bench).is_empty().then_some(())).await;
}

#[tokio::test]
async fn a_line_that_a_flood_has_rotated_away_is_found() {
    let bench = Bench::new();
    let mut service = bench.service("web", "echo server is ready; exec yes another line");
    service.health.probe = Some(Probe::Log("server is ready".to_owned()));
    process_of(&mut service).log.max_size_bytes = 64 << 10;
    process_of(&mut service).log.files = 1;
    let instance = bench.start(&service).await;
    let folder = bench.path(&format!("state/projects/{}/web", bench.project));
    wait_for("a rotation after the first", || {
        fs::read_to_string(folder.join("log.1")).ok().filter(|text| !text.contains("ready"))
    })
    .await;
    let answer = machine(&bench, &[&service]).probe(&bench.project, &service, &instance).await;
    assert_eq!(answer, ProbeReading::Passed);
    bench.stop(&service, &instance).await;
}

#[tokio::test]
async fn a_flood_without_the_line_never_passes() {
    let bench = Bench::new();
    let mut service = bench.exec("web", &["yes", "another line"]);
    service.health.probe = Some(Probe::Log("server is ready".to_owned()));
    process_of(&mut service).log.max_size_bytes = 64 << 10;
    process_of(&mut service).log.files = 1;
    let instance = bench.start(&service).await;
    let folder = bench.path(&format!("state/projects/{}/web", bench.project));
    wait_for("a rotation", || folder.join("log.1").exists().then_some(())).await;
    for timeout in [Duration::from_mins(1), Duration::ZERO] {
        service.health.timeout = timeout;
        let answer = machine(&bench, &[&service]).probe(&bench.project, &service, &instance).await;
        let ProbeReading::Failed { detail, .. } = &answer else { panic!("{answer:?}") };
        assert!(detail.contains("does not show `server is ready` yet"), "{detail}");
    }
    // Rotated output was not searched for a pattern that was added to the manifest later.
    service.health.probe = Some(Probe::Log("server is up".to_owned()));
    let answer = machine(&bench, &[&service]).probe(&bench.project, &service, &instance).await;
    let ProbeReading::Unknown(detail) = &answer else { panic!("{answer:?}") };
    assert!(detail.contains("bytes of it were rotated away before they could be searched"), "{detail}");
    bench.stop(&service, &instance).await;
}
