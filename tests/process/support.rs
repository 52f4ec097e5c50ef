//! Test bench for real services: a project and a state folder of its own, and no process left afterwards.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use lcm::model::desired::{Desired, Health, Probe, Service, StopPolicy};
use lcm::model::environment::EnvValue;
use lcm::model::instance::Instance;
use lcm::model::names::{ProjectName, ServiceName};
use lcm::model::secret::Secret;
use lcm::model::spec::Spec;
use lcm::runtime::process::drive::Processes;
use lcm::runtime::process::facts::TreeFact;
use lcm::runtime::process::intent::{CommandSpec, LogPolicy, ProcessLimits, ProcessSpec};
use lcm::runtime::{Inspection, RunState, Start, StopRequest};
use rustix::process::{Pid, Signal, kill_process};

/// Timeout of all waits, long enough for any working machine; no test passes by waiting for it.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

pub(crate) struct Bench {
    pub(crate) project: ProjectName,
    pub(crate) processes: Processes,
    pub(crate) folder: tempfile::TempDir,
}

impl Bench {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let folder = tempfile::tempdir().expect("a folder");
        let state = folder.path().join("state");
        let environment = BTreeMap::from([
            ("LCM_STATE_DIR".to_owned(), state.display().to_string()),
            // No GPU of this machine is visible.
            ("LCM_NVML_LIB".to_owned(), String::new()),
            ("RUNNER_TRACKING_ID".to_owned(), "from the caller".to_owned()),
            ("TAKEN_OVER".to_owned(), "on purpose".to_owned()),
        ]);
        let project = ProjectName::new(format!("test-{}-{count}", std::process::id()));
        let processes = Processes::new(environment, PathBuf::from(env!("CARGO_BIN_EXE_lcm")));
        Self { project, processes, folder }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Creates a service that runs a line of shell in the bench's folder.
    pub(crate) fn service(&self, name: &str, line: &str) -> Service {
        self.exec(name, &["sh", "-c", line])
    }

    pub(crate) fn exec(&self, name: &str, argv: &[&str]) -> Service {
        let command = CommandSpec::Exec(argv.iter().map(|word| (*word).to_owned()).collect());
        let config = serde_json::json!({ "command": argv });
        let runtime = ProcessSpec {
            command,
            cwd: self.folder.path().to_owned(),
            environment: BTreeMap::new(),
            inherit: BTreeSet::new(),
            log: LogPolicy { max_size_bytes: 20 << 20, files: 3 },
            pid_file: None,
            writes_pid: None,
            limits: ProcessLimits::default(),
        };
        Service {
            stop: StopPolicy { grace: PATIENCE, ..StopPolicy::default() },
            health: Box::new(health(None)),
            spec: Spec::plain(config),
            ..Service::plain(ServiceName::new(name), runtime)
        }
    }

    pub(crate) fn desired(&self, services: &[&Service]) -> Desired {
        Desired::plain(self.project.clone(), services.iter().map(|service| (*service).clone()))
    }

    pub(crate) async fn start(&self, service: &Service) -> Instance {
        let start = Start { project: &self.project, service, gpus: &[], indices: &[] };
        self.processes.start(&start).await.expect("it starts")
    }

    pub(crate) async fn inspect_service(&self, service: &Service) -> Inspection {
        self.processes.inspect_service(&self.project, service).await.expect("it can be inspected")
    }

    pub(crate) async fn tree(&self, service: &Service) -> TreeFact {
        let tree = self.processes.tree(&self.project, service).await.expect("it can be inspected");
        tree.expect("there is something")
    }

    pub(crate) async fn stop(&self, service: &Service, instance: &Instance) {
        self.try_stop(service, instance).await.expect("it stops");
    }

    pub(crate) async fn try_stop(
        &self,
        service: &Service,
        instance: &Instance,
    ) -> Result<(), lcm::runtime::DriverError> {
        let stop = StopRequest {
            project: &self.project,
            service: &service.name,
            instance,
            policy: &service.stop,
            definition: Some(service),
        };
        self.processes.stop(&stop).await
    }

    /// Waits until the service is in an expected run state.
    pub(crate) async fn until(&self, service: &Service, life: impl Fn(&RunState) -> bool) -> Inspection {
        let begun = Instant::now();
        loop {
            let inspection = self.inspect_service(service).await;
            if life(&inspection.run_state) {
                return inspection;
            }
            assert!(begun.elapsed() < PATIENCE, "`{}` is still {:?}", service.name, inspection.run_state);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Waits for a file that a service writes, and for a whole line in it.
    pub(crate) async fn line_of(&self, name: &str) -> String {
        let path = self.path(name);
        wait_for(&format!("a line in {}", path.display()), || {
            fs::read_to_string(&path).ok().filter(|text| text.ends_with('\n')).map(|text| text.trim().to_owned())
        })
        .await
    }

    /// Lists the living processes that carry this bench's marks.
    pub(crate) fn marked(&self) -> Vec<i32> {
        let mark = format!("LCM_PROJECT={}", self.project);
        pids()
            .filter(|pid| {
                let environ = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
                environ.split(|byte| *byte == 0).any(|entry| entry == mark.as_bytes())
            })
            .collect()
    }
}

impl Bench {
    /// Asserts that no process of this bench lives, nor any shim.
    #[track_caller]
    pub(crate) fn assert_empty(&self) {
        let left = self.marked();
        assert!(left.is_empty(), "{left:?}");
    }
}

/// Returns the processes and all their descendants.
fn with_children(mut pids: Vec<i32>) -> Vec<i32> {
    let mut next = 0;
    while let Some(pid) = pids.get(next).copied() {
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        pids.extend(children.split_whitespace().filter_map(|child| child.parse::<i32>().ok()));
        next += 1;
    }
    pids
}

impl Drop for Bench {
    /// By the marks of this bench and what descends from them; what forks while it is killed is found at the next
    /// round.
    fn drop(&mut self) {
        for _ in 0..100 {
            let left = with_children(self.marked());
            if left.is_empty() {
                return;
            }
            for pid in left {
                kill(pid, Signal::KILL);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

pub(crate) fn health(probe: Option<Probe>) -> Health {
    Health {
        any_listener: false,
        probe,
        probe_timeout: Duration::from_secs(5),
        interval: None,
        warm_time: Duration::ZERO,
        timeout: PATIENCE,
        failures: 3,
        successes: 1,
        stable_for: Duration::ZERO,
    }
}

pub(crate) fn process_of(service: &mut Service) -> &mut ProcessSpec {
    match service.workload.spec_mut::<ProcessSpec>() {
        Some(process) => process,
        None => panic!("it is a process"),
    }
}

pub(crate) fn set(service: &mut Service, name: &str, value: &str) {
    process_of(service).environment.insert(name.to_owned(), EnvValue::Plain(value.to_owned()));
}

pub(crate) fn set_secret(service: &mut Service, name: &str, value: &str) {
    let secret = Secret::new(value);
    service.spec.secrets.insert(name.to_owned(), secret.clone());
    process_of(service).environment.insert(name.to_owned(), EnvValue::Secret(Some(secret)));
}

pub(crate) fn salt(instance: &Instance) -> &str {
    match instance {
        Instance { id, name: None, .. } => id,
        Instance { .. } => panic!("it is a process"),
    }
}

pub(crate) fn pids() -> impl Iterator<Item = i32> {
    fs::read_dir("/proc").expect("/proc").flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

pub(crate) fn kill(pid: i32, signal: Signal) {
    let _ = kill_process(Pid::from_raw(pid).expect("a pid"), signal);
}

/// Returns true if a process exists and is not a zombie.
pub(crate) fn lives(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z') && !rest.starts_with('X'))
}

pub(crate) async fn wait_for<T>(what: &str, mut inspection: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = inspection() {
            return found;
        }
        assert!(begun.elapsed() < PATIENCE, "still waiting for {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Foreign process, which lcm did not start; it is killed when this is dropped.
pub(crate) struct Foreign(pub(crate) std::process::Child);

impl Foreign {
    pub(crate) fn sleep(by: impl FnOnce(&mut std::process::Command)) -> Self {
        let mut command = std::process::Command::new("sleep");
        command.arg("600");
        by(&mut command);
        Self(command.spawn().expect("sleep runs"))
    }

    pub(crate) fn pid(&self) -> i32 {
        i32::try_from(self.0.id()).expect("a pid")
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(crate) fn write(path: &Path, text: &str) {
    fs::write(path, text).expect("written");
}
