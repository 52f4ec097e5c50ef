//! Bench for tests on a real engine: a unique project name, services to start, and removal of all containers that the
//! test created, by id.

use std::future::Future;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use lcm::model::desired::{Desired, Health, Service, StopPolicy};
use lcm::model::facts::Reading;
use lcm::model::instance::Instance;
use lcm::model::names::{GpuId, ProjectName, ServiceName};
use lcm::model::size::Mebibytes;
use lcm::model::spec::Spec;
use lcm::model::workload::Workload;
use lcm::runtime::docker::drive::{Engine, connect};
use lcm::runtime::docker::facts::ContainerFact;
use lcm::runtime::docker::intent::{ContainerSpec, GpuAccess};
use lcm::runtime::{Inspection, RunState, Start, StopRequest};
use serde_json::json;

use crate::image;

/// Longer than any step takes on a loaded machine; only a failing test waits this long.
const PATIENCE: Duration = Duration::from_mins(1);

/// Arguments of the server in every container.
pub(crate) const SERVE: [&str; 4] = ["--host", "0.0.0.0", "--port", "8000"];

pub(crate) struct Bench {
    pub(crate) engine: Engine,
    pub(crate) project: ProjectName,
    undo: Mutex<Vec<Vec<String>>>,
}

impl Bench {
    pub(crate) fn new() -> Self {
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let project = ProjectName::new(format!("lcm-test-{}-{number}", std::process::id()));
        let engine = connect(None, &std::env::vars().collect()).expect("an engine");
        Self { engine, project, undo: Mutex::default() }
    }

    /// Spec of a created container that serves.
    pub(crate) fn container(&self, service: &str, words: &[&str]) -> ContainerSpec {
        ContainerSpec {
            command: Some(SERVE.iter().chain(words).map(|word| (*word).to_owned()).collect()),
            gpu_access: GpuAccess::None,
            ..ContainerSpec::plain(format!("{}-{service}", self.project), image::model_server())
        }
    }

    /// Service with a created container that serves, with additional arguments.
    pub(crate) fn serving(&self, service: &str, words: &[&str]) -> Service {
        own(service, self.container(service, words))
    }

    /// Reads all containers of the engine, with these services in the manifest.
    pub(crate) async fn facts(&self, services: &[&Service]) -> Vec<ContainerFact> {
        let desired = Desired::plain(self.project.clone(), services.iter().map(|service| (*service).clone()));
        match self.engine.containers(&desired).await {
            Reading::Known(facts) => facts,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn fact(&self, service: &Service) -> ContainerFact {
        let name = service.object().expect("a container");
        let found = self.facts(&[service]).await.into_iter().find(|fact| fact.name == name.as_str());
        found.unwrap_or_else(|| panic!("no container {name}"))
    }

    pub(crate) async fn start(&self, service: &Service) -> Result<Instance, String> {
        self.start_on(service, &[]).await
    }

    pub(crate) async fn start_on(&self, service: &Service, gpus: &[GpuId]) -> Result<Instance, String> {
        let start = Start { project: &self.project, service, gpus, indices: &[] };
        self.engine.start(&start).await.map_err(|error| error.to_string())
    }

    /// Stops a service once it listens: the first process of a container ignores every signal without a handler.
    pub(crate) async fn stop(&self, service: &Service, instance: &Instance) -> Result<(), String> {
        until("it listens or has ended", || async {
            let log = self.engine.log_since_start(id(instance), 64 << 10).await;
            log.map_or(true, |text| text.contains("listening on"))
        })
        .await;
        let stop = StopRequest {
            project: &self.project,
            service: &service.name,
            instance,
            policy: &service.stop,
            definition: Some(service),
        };
        self.engine.stop(&stop).await.map_err(|error| error.to_string())
    }

    pub(crate) async fn inspect_service(&self, service: &Service) -> Inspection {
        self.engine.inspect_service(&self.project, service).await.expect("an inspection")
    }

    pub(crate) async fn life(&self, service: &Service) -> RunState {
        self.inspect_service(service).await.run_state
    }

    /// Creates a foreign container, without starting it. `options` are the engine's, `words` the server's.
    pub(crate) fn foreign(&self, name: &str, options: &[&str], words: &[&str]) -> String {
        let mut all = vec!["create", "--name", name];
        all.extend(options);
        all.push(image::model_server());
        all.extend(SERVE.iter().chain(words));
        let id = docker(&all).expect("a container");
        self.at_the_end(&["rm", "--force", &id]);
        id
    }

    /// Adds a docker command that undoes an action of the test.
    pub(crate) fn at_the_end(&self, command: &[&str]) {
        let command = command.iter().map(|word| (*word).to_owned()).collect();
        self.undo.lock().expect("no test thread panics here").push(command);
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let label = format!("label=lcm.project={}", self.project);
        let ours = docker(&["ps", "--all", "--quiet", "--no-trunc", "--filter", &label]).unwrap_or_default();
        for id in ours.lines() {
            let _ = docker(&["rm", "--force", id]);
        }
        for command in self.undo.lock().map(|commands| commands.clone()).unwrap_or_default() {
            let _ = docker(&command.iter().map(String::as_str).collect::<Vec<_>>());
        }
    }
}

/// Service with a created container.
pub(crate) fn own(name: &str, container: ContainerSpec) -> Service {
    let config = json!({
        "image": container.image,
        "command": container.command,
        "entrypoint": container.entrypoint,
    });
    let spec = Spec::plain(config);
    Service { spec, ..service(name, container) }
}

/// Service with defaults.
pub(crate) fn service(name: &str, workload: impl Into<Workload>) -> Service {
    Service {
        stop: StopPolicy { grace: PATIENCE, ..StopPolicy::default() },
        vram: Mebibytes(512),
        health: Box::new(Health { timeout: PATIENCE, ..Health::default() }),
        ..Service::plain(ServiceName::new(name), workload)
    }
}

/// Runs a docker command; returns its output without the last line end.
pub(crate) fn docker(words: &[&str]) -> Result<String, String> {
    let output = Command::new("docker").args(words).output().map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned());
    }
    Err(format!("docker {words:?}: {}", String::from_utf8_lossy(&output.stderr).trim()))
}

/// Returns one field of a container's inspection as JSON.
pub(crate) fn inspected(id: &str, field: &str) -> String {
    docker(&["inspect", "--type", "container", "--format", &format!("{{{{json {field}}}}}"), id]).expect("a container")
}

pub(crate) fn id(instance: &Instance) -> &str {
    match instance {
        Instance { id, name: Some(_), .. } => id,
        Instance { id, .. } => panic!("{id} is no container"),
    }
}

/// Waits until `holds` returns true.
pub(crate) async fn until<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let begin = Instant::now();
    while !holds().await {
        assert!(begin.elapsed() < PATIENCE, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
