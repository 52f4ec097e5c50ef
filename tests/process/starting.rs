//! Starts of services: environment, files and logs, and starts that must be refused.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use lcm::model::facts::ExitFact;
use lcm::model::names::GpuId;
use lcm::model::size::Mebibytes;
use lcm::model::spec::Spec;
use lcm::runtime::process::drive::Processes;
use lcm::runtime::process::intent::{ProcessLimits, ProcessUlimit};
use lcm::runtime::{DriverError, RunState, Start};
use rustix::fs::{Mode, OFlags};
use rustix::process::Signal;

use crate::support::{Bench, kill, lives, pids, process_of, salt, set, set_secret, wait_for, write};

#[tokio::test]
async fn a_service_starts_runs_and_stops() {
    let bench = Bench::new();
    let service = bench.service("web", "echo one; echo two >&2; echo > said; exec sleep 600");
    assert_eq!(bench.inspect_service(&service).await.run_state, RunState::Absent);
    bench.processes.prepare(&service).await.expect("all it needs is there");
    let instance = bench.start(&service).await;
    let inspection = bench.inspect_service(&service).await;
    assert_eq!((inspection.run_state, inspection.instance.as_ref()), (RunState::Running, Some(&instance)));
    assert_eq!(inspection.spec.as_deref(), Some(service.spec.hash()));
    bench.line_of("said").await;
    bench.stop(&service, &instance).await;
    bench.assert_empty();
    let inspection = bench.inspect_service(&service).await;
    let RunState::Ended(Some(ExitFact { code: None, signal: Some(15), at: Some(_) })) = inspection.run_state else {
        panic!("TERM ended it, not {:?}", inspection.run_state);
    };
    let log = bench.processes.log_since_start(&bench.project, &service.name, 1000).await.expect("a log");
    assert_eq!(log, "one\ntwo\n");
    assert_eq!(bench.processes.log_tail(&bench.project, &service.name, 1).await, ["two"]);
}

#[tokio::test]
async fn the_environment_is_the_same_from_everywhere() {
    let bench = Bench::new();
    let mut service = bench.exec("web", &["env", "-0"]);
    set(&mut service, "MODE", "two\nlines");
    set_secret(&mut service, "TOKEN", "hf_s3cret");
    process_of(&mut service).inherit = BTreeSet::from(["TAKEN_OVER".to_owned(), "NOT_SET".to_owned()]);
    service.vram = Mebibytes(7);
    let gpus = [GpuId::new("gpu-1")];
    let start = Start { project: &bench.project, service: &service, gpus: &gpus, indices: &[] };
    let instance = bench.processes.start(&start).await.expect("it starts");
    bench.until(&service, |life| matches!(life, RunState::Ended(_))).await;

    let output = bench.processes.log_since_start(&bench.project, &service.name, 100_000).await.expect("a log");
    let mut environment: BTreeMap<&str, &str> =
        output.split_terminator('\0').map(|entry| entry.split_once('=').expect("a variable")).collect();
    for machine in ["HOME", "USER", "LOGNAME", "SHELL", "TZ", "LCM_STARTED_AT"] {
        assert!(environment.remove(machine).is_some_and(|value| !value.is_empty()), "{machine}");
    }
    let config = environment.remove("LCM_CONFIG").expect("its config");
    let config: serde_json::Value = serde_json::from_str(config).expect("JSON");
    assert_eq!(config["spec"], *service.spec.config());
    assert_eq!(config["stop"]["grace_ms"], 60_000);
    let (spec, salt) = (service.spec.hash(), salt(&instance));
    let digest = service.spec.secret_digest(salt);
    let expected = BTreeMap::from([
        ("LANG", "C.UTF-8"),
        ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
        ("MODE", "two\nlines"),
        ("TOKEN", "hf_s3cret"),
        ("TAKEN_OVER", "on purpose"),
        ("CUDA_VISIBLE_DEVICES", "1"),
        ("CUDA_DEVICE_ORDER", "PCI_BUS_ID"),
        ("HIP_VISIBLE_DEVICES", "1"),
        ("LCM_PROJECT", bench.project.as_str()),
        ("LCM_SERVICE", "web"),
        ("LCM_SPEC", spec),
        ("LCM_SECRETS", &digest),
        ("LCM_SALT", salt),
        ("LCM_GPUS", "gpu-1"),
        ("LCM_VRAM_MIB", "7"),
    ]);
    assert_eq!(environment, expected);
}

#[tokio::test]
async fn a_program_that_parses_integers_gets_its_gpus_by_index() {
    let bench = Bench::new();
    let service = bench.exec("web", &["sh", "-c", "echo $CUDA_VISIBLE_DEVICES $CUDA_DEVICE_ORDER"]);
    let gpus = [GpuId::new("GPU-8f1e4f6a-0b1c-4a5e-9d7f-2c3b4a5d6e7f"), GpuId::new("GPU-3b1f")];
    let start = Start { project: &bench.project, service: &service, gpus: &gpus, indices: &[3, 1] };
    bench.processes.start(&start).await.expect("it starts");
    bench.until(&service, |life| matches!(life, RunState::Ended(_))).await;
    let log = bench.processes.log_since_start(&bench.project, &service.name, 1000).await.expect("a log");
    assert_eq!(log, "3,1 PCI_BUS_ID\n");
}

#[tokio::test]
async fn secrets_are_on_no_command_line_and_nothing_of_the_callers_on_the_shim() {
    let bench = Bench::new();
    let mut service = bench.service("web", "umask > umask; exec sleep 600");
    set_secret(&mut service, "TOKEN", "hf_never_to_be_seen");
    bench.start(&service).await;
    let shim = bench.tree(&service).await.shim.expect("a shim").pid;
    for pid in pids() {
        let arguments = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        assert!(!String::from_utf8_lossy(&arguments).contains("hf_never_to_be_seen"), "process {pid}");
    }
    let environ = fs::read(format!("/proc/{shim}/environ")).expect("the shim's");
    let environ = String::from_utf8_lossy(&environ).replace('\0', "\n");
    assert!(environ.contains("LCM_ROLE=shim\n"), "{environ}");
    assert!(!environ.contains("hf_never_to_be_seen") && !environ.contains("RUNNER_TRACKING_ID"), "{environ}");
    let arguments = fs::read(format!("/proc/{shim}/cmdline")).expect("the shim's");
    let shown = String::from_utf8_lossy(&arguments).replace('\0', " ");
    assert!(shown.contains(&format!("__shim --project {} --service web", bench.project)), "{shown}");
    assert_eq!(bench.line_of("umask").await, "0022");
    let notes = fs::read_dir(bench.path(&format!("state/projects/{}/web", bench.project))).expect("its folder");
    for note in notes.flatten() {
        let text = fs::read(note.path()).unwrap_or_default();
        assert!(!String::from_utf8_lossy(&text).contains("hf_never_to_be_seen"), "{:?}", note.path());
    }
}

#[tokio::test]
async fn open_files_of_the_caller_are_not_inherited() {
    let bench = Bench::new();
    let path = bench.path("held");
    let held = rustix::fs::open(&path, OFlags::RDWR | OFlags::CREATE, Mode::RUSR | Mode::WUSR).expect("a file");
    let service = bench.service("web", "exec sleep 600");
    bench.start(&service).await;
    let tree = bench.tree(&service).await;
    drop(held);
    for process in tree.members.iter().chain(&tree.shim) {
        for descriptor in fs::read_dir(format!("/proc/{}/fd", process.pid)).expect("its files").flatten() {
            assert_ne!(fs::read_link(descriptor.path()).unwrap_or_default(), path, "{process:?}");
        }
    }
}

#[tokio::test]
async fn the_exit_of_a_service_is_known() {
    let bench = Bench::new();
    let failing = bench.service("failing", "exit 3");
    bench.start(&failing).await;
    let inspection = bench.until(&failing, |life| matches!(life, RunState::Ended(_))).await;
    assert!(
        matches!(inspection.run_state, RunState::Ended(Some(ExitFact { code: Some(3), signal: None, .. }))),
        "{inspection:?}"
    );

    let killed = bench.service("killed", "exec sleep 600");
    bench.start(&killed).await;
    kill(bench.tree(&killed).await.members[0].pid, Signal::KILL);
    let inspection = bench.until(&killed, |life| matches!(life, RunState::Ended(_))).await;
    assert!(
        matches!(inspection.run_state, RunState::Ended(Some(ExitFact { code: None, signal: Some(9), .. }))),
        "{inspection:?}"
    );

    // A new start has not ended as the last one did.
    let instance = bench.start(&killed).await;
    let inspection = bench.inspect_service(&killed).await;
    assert_eq!((inspection.run_state, inspection.instance), (RunState::Running, Some(instance)));
}

#[tokio::test]
async fn a_tree_that_lost_its_first_process_is_degraded_unless_that_exited_with_0() {
    let bench = Bench::new();
    let daemon = bench.service("daemon", "sleep 600 & exit 0");
    bench.start(&daemon).await;
    let degraded = bench.service("degraded", "sleep 600 & exit 7");
    let instance = bench.start(&degraded).await;
    let inspection = bench.until(&degraded, |life| !matches!(life, RunState::Running)).await;
    assert!(matches!(inspection.run_state, RunState::Degraded(ExitFact { code: Some(7), .. })), "{inspection:?}");
    let start = Start { project: &bench.project, service: &degraded, gpus: &[], indices: &[] };
    let error = bench.processes.start(&start).await.expect_err("not beside what is left");
    assert!(matches!(&error, DriverError::Refused(text) if text.contains("sleep (pid ")), "{error}");
    bench.stop(&degraded, &instance).await;
    assert_eq!(bench.inspect_service(&daemon).await.run_state, RunState::Running);
}

#[tokio::test]
async fn two_concurrent_starts_run_one_copy() {
    let bench = Bench::new();
    let service = bench.service("web", "exec sleep 600");
    let start = Start { project: &bench.project, service: &service, gpus: &[], indices: &[] };
    let (first, second) = tokio::join!(bench.processes.start(&start), bench.processes.start(&start));
    let started: Vec<_> = [first, second].into_iter().filter_map(Result::ok).collect();
    assert!(!started.is_empty(), "one of the two must win");
    assert_eq!(bench.tree(&service).await.members.len(), 1);
    let instance = bench.start(&service).await;
    assert!(started.contains(&instance), "the running instance is returned");

    let mut other = service.clone();
    other.spec = Spec::plain(serde_json::json!({ "command": ["another"] }));
    let start = Start { project: &bench.project, service: &other, gpus: &[], indices: &[] };
    let error = bench.processes.start(&start).await.expect_err("another version runs");
    assert!(matches!(error, DriverError::Refused(_)), "{error}");
    let mut other = service.clone();
    set_secret(&mut other, "TOKEN", "another");
    let start = Start { project: &bench.project, service: &other, gpus: &[], indices: &[] };
    assert!(matches!(bench.processes.start(&start).await, Err(DriverError::Refused(_))), "its secret changed");
}

#[tokio::test]
async fn a_missing_program_or_folder_is_named_before_the_start() {
    let bench = Bench::new();
    let refusal = async |service| {
        let prepared = bench.processes.prepare(&service).await.expect_err("it can't run").to_string();
        let start = Start { project: &bench.project, service: &service, gpus: &[], indices: &[] };
        let started = bench.processes.start(&start).await.expect_err("it can't run").to_string();
        assert_eq!(prepared, started);
        prepared
    };
    let error = refusal(bench.exec("web", &["./no-such-program"])).await;
    assert!(error.contains("`web` can't run: its program ./no-such-program does not exist"), "{error}");
    let error = refusal(bench.exec("web", &["no-such-program"])).await;
    assert!(error.contains("no-such-program is not on its PATH"), "{error}");
    crate::support::write(&bench.path("plain"), "#!/bin/sh\n");
    let error = refusal(bench.exec("web", &["./plain"])).await;
    assert!(error.contains("./plain is not executable"), "{error}");
    let mut service = bench.exec("web", &["true"]);
    process_of(&mut service).cwd = PathBuf::from("/no/such/folder");
    let error = refusal(service).await;
    assert!(error.contains("/no/such/folder does not exist"), "{error}");
    bench.assert_empty();
}

#[tokio::test]
async fn a_program_is_found_below_its_folder_and_on_its_own_path() {
    let bench = Bench::new();
    let script = bench.path("serve");
    crate::support::write(&script, "#!/bin/sh\necho \"$0\" > \"$OUT\"\n");
    fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("executable");
    let mut below = bench.exec("below", &["./serve"]);
    set(&mut below, "OUT", "below");
    bench.start(&below).await;
    assert!(bench.line_of("below").await.ends_with("/serve"));
    let mut named = bench.exec("named", &["serve"]);
    set(&mut named, "OUT", "named");
    set(&mut named, "PATH", &format!("/no/such:{}", bench.folder.path().display()));
    bench.start(&named).await;
    assert!(bench.line_of("named").await.ends_with("/serve"));
}

#[tokio::test]
async fn a_state_folder_that_can_not_be_written_is_named() {
    let bench = Bench::new();
    let file = bench.path("file");
    crate::support::write(&file, "");
    let environment = BTreeMap::from([("LCM_STATE_DIR".to_owned(), file.join("state").display().to_string())]);
    let processes = Processes::new(environment, PathBuf::from(env!("CARGO_BIN_EXE_lcm")));
    let service = bench.exec("web", &["true"]);
    let error = processes.prepare(&service).await.expect_err("it can't be written to").to_string();
    assert!(
        error.contains(&file.display().to_string()) && error.contains("is a regular file, not a folder"),
        "{error}"
    );
    let start = Start { project: &bench.project, service: &service, gpus: &[], indices: &[] };
    let error = processes.start(&start).await.expect_err("it can't be written to").to_string();
    assert!(error.contains(&file.display().to_string()), "{error}");
}

#[tokio::test]
async fn the_state_folder_is_readable_by_its_owner_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let bench = Bench::new();
    let service = bench.service("web", "exec sleep 600");
    bench.start(&service).await;
    let mode = fs::metadata(bench.path("state")).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}

#[tokio::test]
async fn a_pid_file_exists_while_the_first_process_runs() {
    let bench = Bench::new();
    let file = bench.path("web.pid");
    let mut service = bench.exec("web", &["sleep", "600"]);
    process_of(&mut service).writes_pid = Some(file.clone());
    let instance = bench.start(&service).await;
    let first = bench.tree(&service).await.members[0].pid;
    assert_eq!(fs::read_to_string(&file).expect("written"), format!("{first}\n"));
    // Without its shim, lcm itself removes it.
    let shim = bench.tree(&service).await.shim.expect("a shim").pid;
    kill(shim, Signal::KILL);
    wait_for("the end of the shim", || (!lives(shim)).then_some(())).await;
    bench.stop(&service, &instance).await;
    assert!(!file.exists());

    // The file is removed when the process ends by itself, and left alone if another program has written it.
    let instance = bench.start(&service).await;
    let first = bench.tree(&service).await.members[0].pid;
    kill(first, Signal::KILL);
    wait_for("the end of the file", || (!file.exists()).then_some(())).await;
    bench.until(&service, |life| !matches!(life, RunState::Running)).await;
    drop(instance);
    let instance = bench.start(&service).await;
    write(&file, "1\n");
    bench.stop(&service, &instance).await;
    assert_eq!(fs::read_to_string(&file).expect("left"), "1\n");
}

#[tokio::test]
async fn a_pid_file_that_can_not_be_written_fails_the_start() {
    let bench = Bench::new();
    let mut service = bench.exec("web", &["sleep", "600"]);
    write(&bench.path("victim"), "1\n");
    std::os::unix::fs::symlink("victim", bench.path("web.pid")).expect("linked");
    process_of(&mut service).writes_pid = Some(bench.path("web.pid"));
    let start = Start { project: &bench.project, service: &service, gpus: &[], indices: &[] };
    let error = bench.processes.start(&start).await.expect_err("refused").to_string();
    assert!(error.contains("its pid file can't be written") && error.contains("is a link"), "{error}");
    // The shim ends a moment after its reply.
    wait_for("the end of the shim", || bench.marked().is_empty().then_some(())).await;
    assert_eq!(fs::read_to_string(bench.path("victim")).expect("read"), "1\n");
}

#[tokio::test]
async fn limits_hold_for_the_service_and_not_for_its_shim() {
    let bench = Bench::new();
    let mut service =
        bench.service("web", "cat /proc/self/limits > limits; nice > nice; ulimit -n > done; exec sleep 600");
    let ulimit = |soft, hard| ProcessUlimit { soft: Some(soft), hard: Some(hard) };
    process_of(&mut service).limits = ProcessLimits {
        ulimits: [("nofile".to_owned(), ulimit(60, 70)), ("core".to_owned(), ulimit(0, 0))].into(),
        nice: Some(7),
    };
    bench.processes.prepare(&service).await.expect("lower limits need no privilege");
    let own = fs::read_to_string("/proc/self/limits").expect("this test's own");
    let instance = bench.start(&service).await;
    assert_eq!(bench.line_of("done").await, "60");
    assert_eq!(bench.line_of("nice").await, "7");
    let files = |text: &str| -> Vec<String> {
        let line = text.lines().find(|line| line.starts_with("Max open files")).expect("its limit of files");
        line.split_whitespace().skip(3).take(2).map(str::to_owned).collect()
    };
    assert_eq!(files(&fs::read_to_string(bench.path("limits")).expect("limits")), ["60", "70"]);
    let tree = bench.tree(&service).await;
    let shim = tree.shim.as_ref().expect("a shim").pid;
    assert_eq!(files(&fs::read_to_string(format!("/proc/{shim}/limits")).expect("the shim's")), files(&own));
    // The process became its program: lcm is not in between.
    assert!(tree.members.iter().all(|member| member.program != "lcm"), "{:?}", tree.members);
    bench.stop(&service, &instance).await;
    bench.assert_empty();
}

#[tokio::test]
async fn a_program_that_can_not_begin_under_its_limits_fails_the_start() {
    let bench = Bench::new();
    fs::write(bench.path("odd"), "#!/no/such/interpreter\n").expect("a file");
    fs::set_permissions(bench.path("odd"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("its mode");
    let mut service = bench.exec("web", &["./odd"]);
    process_of(&mut service).limits.nice = Some(19);
    let start = Start { project: &bench.project, service: &service, gpus: &[], indices: &[] };
    let error = bench.processes.start(&start).await.expect_err("its interpreter is missing").to_string();
    assert!(error.contains("can't run") && error.contains("odd"), "{error}");
    bench.assert_empty();
}
