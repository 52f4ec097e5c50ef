//! Real settings of containers: read back as lcm created them, and any change by another client of the engine detected.

use std::fs;
use std::os::unix::fs::symlink;

use crate::bench::{Bench, docker, id, inspected, own};
use lcm::model::desired::{Desired, Service};
use lcm::model::endpoint::{Protocol, PublishedPort};
use lcm::model::facts::{Facts, Reading};
use lcm::model::names::RuntimeName;
use lcm::runtime::docker::facts::ContainerFact;
use lcm::runtime::docker::facts::DockerReading as _;
use lcm::runtime::docker::intent::GpuAccess;
use lcm::runtime::docker::settings::{ContainerSettings, Difference};

/// Returns the settings of a running service that differ from the manifest, by the engine.
pub(crate) async fn differences(bench: &Bench, service: &Service) -> Vec<Difference> {
    let desired = Desired::plain(bench.project.clone(), [service.clone()]);
    let fact: ContainerFact = bench.fact(service).await;
    let mut facts = Facts::empty("box", jiff::Timestamp::UNIX_EPOCH);
    facts.docker_mut().networks = bench.engine.networks(&desired).await;
    facts.paths = lcm::host::paths::of_runtime(&desired, &RuntimeName::known("docker"));
    facts.docker_mut().containers = Reading::Known(bench.facts(&[service]).await);
    let marks = fact.marks.as_ref().expect("marks");
    let expected = ContainerSettings::expected(service, marks, &facts).expect("a container of lcm's own");
    fact.settings.as_ref().expect("it was inspected").differences(&expected)
}

async fn names(bench: &Bench, service: &Service) -> Vec<String> {
    differences(bench, service).await.iter().map(|one| one.setting.to_string()).collect()
}

/// All that a manifest may state of a container.
fn everything(bench: &Bench, folder: &str, network: &str) -> Service {
    let port = |address: Option<&str>, protocol| PublishedPort {
        address: address.map(str::to_owned),
        host: None,
        container: 8000,
        protocol,
    };
    let mut container = bench.container("web", &[]);
    container.environment = [("MODE".to_owned(), lcm::model::environment::EnvValue::Plain("fast".to_owned()))].into();
    container.ports = vec![port(Some("127.0.0.1"), Protocol::Tcp), port(None, Protocol::Udp)];
    container.volumes = vec![format!("{folder}:/conf/:ro"), format!("{}-data:/data", bench.project)];
    container.networks = vec![network.to_owned(), "bridge".to_owned()];
    container.user = Some("0:0".to_owned());
    container.shm_size_bytes = Some(32 << 20);
    container.ipc = Some("shareable".to_owned());
    container.devices = vec!["/dev/null:/dev/nothing".to_owned(), "/dev/zero".to_owned()];
    container.ulimits = [("nofile".to_owned(), lcm::runtime::docker::intent::Ulimit { soft: 512, hard: 1024 })].into();
    container.labels = [("team".to_owned(), "audio".to_owned())].into();
    container.healthcheck = Some(lcm::runtime::docker::intent::ImageHealthcheck {
        test: vec!["NONE".to_owned()],
        interval: None,
        timeout: None,
        retries: None,
        start_period: None,
    });
    container.gpu_access = GpuAccess::None;
    own("web", container)
}

fn network(bench: &Bench, name: &str) -> String {
    let name = format!("{}-{name}", bench.project);
    docker(&["network", "create", &name]).expect("a network");
    bench.at_the_end(&["network", "rm", &name]);
    name
}

pub(crate) async fn a_created_container_reads_back_as_it_was_created() {
    let bench = Bench::new();
    let folder = tempfile::tempdir().expect("a folder");
    let service = everything(&bench, folder.path().to_str().expect("a path"), &network(&bench, "inside"));
    bench.at_the_end(&["volume", "rm", &format!("{}-data", bench.project)]);
    let instance = bench.start(&service).await.expect("started");
    assert_eq!(differences(&bench, &service).await, []);
    bench.stop(&service, &instance).await.expect("stopped");
    assert_eq!(differences(&bench, &service).await, [], "stopped, it is the same");
    // The plainest one too.
    let plain = bench.serving("plain", &[]);
    bench.start(&plain).await.expect("started");
    assert_eq!(differences(&bench, &plain).await, []);
}

pub(crate) async fn settings_that_the_engine_rewrites_are_not_compared() {
    let bench = Bench::new();
    let mut container = bench.container("web", &[]);
    // The engine keeps the plain path.
    container.volumes = vec![format!("{}-data:/one/../data", bench.project)];
    bench.at_the_end(&["volume", "rm", &format!("{}-data", bench.project)]);
    let service = own("web", container);
    let instance = bench.start(&service).await.expect("started");
    let labels = inspected(id(&instance), ".Config.Labels");
    assert!(labels.contains("\"lcm.compared\":\"0\""), "{labels}");
    bench.stop(&service, &instance).await.expect("stopped");
    assert_eq!(bench.start(&service).await.expect("started"), instance, "it is not recreated for that");
}

pub(crate) async fn settings_that_the_engine_can_change_are_changed_while_it_runs() {
    let bench = Bench::new();
    let (inside, other) = (network(&bench, "inside"), network(&bench, "other"));
    let mut container = bench.container("web", &[]);
    container.networks = vec![inside.clone()];
    let service = own("web", container);
    let instance = bench.start(&service).await.expect("started");
    let container = id(&instance);
    for change in [
        vec!["update", "--restart", "always", container],
        vec!["update", "--pids-limit", "50", container],
        vec!["network", "disconnect", &inside, container],
        vec!["network", "connect", &other, container],
    ] {
        docker(&change).expect("changed");
        assert_eq!(names(&bench, &service).await.len(), 1, "{change:?}");
        assert!(differences(&bench, &service).await.iter().all(Difference::can_update_in_place), "{change:?}");
        bench.engine.update(&bench.project, &service, &instance).await.expect("updated");
        assert_eq!(differences(&bench, &service).await, [], "{change:?}");
    }
    assert_eq!(bench.inspect_service(&service).await.instance, Some(instance), "it is still the same container");
}

pub(crate) async fn settings_that_it_cannot_change_recreate_it_at_the_next_start() {
    let bench = Bench::new();
    let service = bench.serving("web", &[]);
    let old = bench.start(&service).await.expect("started");
    docker(&["update", "--memory", "100m", "--memory-swap", "200m", id(&old)]).expect("changed");
    assert_eq!(names(&bench, &service).await, ["limit Memory", "limit MemorySwap"]);
    bench.stop(&service, &old).await.expect("stopped");
    let new = bench.start(&service).await.expect("started");
    assert_ne!(new, old);
    assert_eq!(differences(&bench, &service).await, []);
}

pub(crate) async fn a_recreated_network_no_longer_keeps_it_from_starting() {
    let bench = Bench::new();
    let inside = network(&bench, "inside");
    let mut container = bench.container("web", &[]);
    container.networks = vec![inside.clone()];
    let service = own("web", container);
    let instance = bench.start(&service).await.expect("started");
    bench.stop(&service, &instance).await.expect("stopped");
    docker(&["network", "rm", &inside]).expect("removed");
    docker(&["network", "create", &inside]).expect("recreated");
    assert_eq!(names(&bench, &service).await, [format!("network {inside}")]);
    bench.start(&service).await.expect("it starts");
    assert_eq!(differences(&bench, &service).await, []);
}

pub(crate) async fn a_link_that_leads_elsewhere_by_now_is_another_folder() {
    let bench = Bench::new();
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    for release in ["r1", "r2"] {
        fs::create_dir_all(path(release).join("conf")).expect("a release");
    }
    symlink("r1", path("current")).expect("a link");
    let mut container = bench.container("web", &[]);
    container.volumes = vec![format!("{}:/conf", path("current/conf").display())];
    let service = own("web", container);
    bench.start(&service).await.expect("started");
    assert_eq!(differences(&bench, &service).await, []);
    fs::remove_file(path("current")).expect("gone");
    symlink("r2", path("current")).expect("a link");
    let found = differences(&bench, &service).await;
    let real = |release: &str| path(release).join("conf").canonicalize().expect("there").display().to_string();
    assert_eq!(found[0].lines(), [format!("-mount /conf: {}", real("r1")), format!("+mount /conf: {}", real("r2"))]);
}

pub(crate) async fn a_container_whose_network_it_shares_is_known_by_its_id() {
    let bench = Bench::new();
    let base = bench.serving("base", &[]);
    let old = bench.start(&base).await.expect("started");
    let mut container = bench.container("guest", &[]);
    container.command = Some(["--host", "0.0.0.0", "--port", "8001"].map(str::to_owned).to_vec());
    container.networks = vec![format!("container:{}", base.object().expect("a container"))];
    let guest = own("guest", container);
    bench.start(&guest).await.expect("started");
    assert_eq!(differences(&bench, &guest).await, []);
    docker(&["rm", "--force", id(&old)]).expect("removed");
    bench.start(&base).await.expect("recreated");
    assert_eq!(names(&bench, &guest).await, ["network of container"]);
}

pub(crate) async fn another_container_under_its_name_and_with_its_labels_is_detected() {
    let bench = Bench::new();
    let folder = tempfile::tempdir().expect("a folder");
    let service = bench.serving("web", &[]);
    let old = bench.start(&service).await.expect("started");
    let labels = docker(&["inspect", "--format", "{{range $k, $v := .Config.Labels}}{{$k}}={{$v}}\n{{end}}", id(&old)]);
    let name = service.object().expect("a container").to_string();
    docker(&["rm", "--force", id(&old)]).expect("removed");
    let labels = labels.expect("labels");
    let mount = format!("{}:/more", folder.path().display());
    let mut words = vec!["run", "--detach", "--name", &name, "--volume", &mount, "--env", "MODE=other"];
    words.extend(labels.lines().filter(|line| !line.is_empty()).flat_map(|line| ["--label", line]));
    words.push(crate::image::model_server());
    words.extend(crate::bench::SERVE);
    let made = docker(&words).expect("a copy");
    bench.at_the_end(&["rm", "--force", &made]);
    assert_eq!(names(&bench, &service).await, ["mount /more"]);
}
