//! Networks that lcm makes on a real engine, its proof of ownership, and the names of containers there.

use lcm::model::desired::{Desired, Service};
use lcm::model::facts::Facts;
use lcm::model::names::RuntimeName;
use lcm::runtime::contract::Runtime as _;
use lcm::runtime::docker::drive::Docker;
use lcm::runtime::docker::facts::{DockerReading as _, NetworkFact};
use lcm::runtime::docker::network::{AddressRange, NetworkEndpoint, NetworkSettings, NetworkSpec};
use lcm::runtime::docker::settings::{ContainerSettings, Difference};
use lcm::runtime::registration::DriverContext;

use crate::bench::{Bench, docker, id, inspected, own};

/// Service that joins a network of its project, with these aliases.
fn joining(bench: &Bench, network: &str, settings: NetworkSettings, aliases: &[&str]) -> Service {
    let mut container = bench.container("web", &[]);
    container.networks = vec![network.to_owned()];
    let spec = NetworkSpec { key: "front".to_owned(), settings };
    container.attachments.defined.insert(network.to_owned(), spec);
    if !aliases.is_empty() {
        let aliases = aliases.iter().map(|alias| (*alias).to_owned()).collect();
        let endpoint = NetworkEndpoint { aliases, ipv4_address: None };
        container.attachments.endpoints.insert(network.to_owned(), endpoint);
    }
    own("web", container)
}

fn name(bench: &Bench) -> String {
    let name = format!("{}_front", bench.project);
    bench.at_the_end(&["network", "rm", &name]);
    name
}

fn ids(name: &str) -> Vec<String> {
    let filter = format!("name=^{name}$");
    let listed = docker(&["network", "ls", "--quiet", "--no-trunc", "--filter", &filter]).expect("a list");
    listed.lines().map(str::to_owned).collect()
}

/// Reads the facts as an observation does.
async fn facts(bench: &Bench, service: &Service) -> Facts {
    let desired = Desired::plain(bench.project.clone(), [service.clone()]);
    let environment = std::env::vars().collect();
    let context = DriverContext {
        desired: &desired,
        environment: &environment,
        shim_program: std::path::Path::new(env!("CARGO_BIN_EXE_lcm")),
        discovers: false,
    };
    let mut facts = Facts::empty("box", jiff::Timestamp::UNIX_EPOCH);
    facts.instances.insert(Docker::new(&context).read(&desired).await.facts);
    facts.paths = lcm::host::paths::of_runtime(&desired, &RuntimeName::known("docker"));
    facts
}

async fn differences(bench: &Bench, service: &Service) -> Vec<Difference> {
    let facts = facts(bench, service).await;
    let fact = bench.fact(service).await;
    let expected = ContainerSettings::expected(service, fact.marks.as_ref().expect("marks"), &facts);
    fact.settings.as_ref().expect("settings").differences(&expected.expect("a container of lcm's own"))
}

pub(crate) async fn a_defined_network_is_made_once_and_removed_when_unused() {
    let bench = Bench::new();
    let network = name(&bench);
    let settings = NetworkSettings {
        internal: true,
        labels: [("team".to_owned(), "audio".to_owned())].into(),
        ..NetworkSettings::default()
    };
    let web = joining(&bench, &network, settings.clone(), &[]);
    bench.engine.prepare(&bench.project, &web).await.expect("prepared");
    let made = ids(&network);
    assert_eq!(made.len(), 1);
    bench.engine.prepare(&bench.project, &web).await.expect("prepared again, as after a crash");
    assert_eq!(ids(&network), made, "it is not made twice");

    let instance = bench.start(&web).await.expect("started");
    let read = facts(&bench, &web).await;
    let fact: &NetworkFact = &read.docker().network_details[&network];
    assert!(settings.differences(&fact.settings).is_empty(), "{fact:?}");
    let marks = fact.marks.as_ref().expect("marks");
    assert_eq!((marks.project.as_str(), marks.name.as_str()), (bench.project.as_str(), network.as_str()));
    assert_eq!(fact.users.keys().map(String::as_str).collect::<Vec<_>>(), [id(&instance)]);
    assert_eq!(differences(&bench, &web).await, []);

    bench.stop(&web, &instance).await.expect("stopped");
    let refused = bench.engine.remove_network(&bench.project, &network).await.expect_err("it is used").to_string();
    assert!(refused.contains(&network) && refused.contains("is used by container"), "{refused}");
    bench.engine.remove(&bench.project, &instance).await.expect("removed");
    bench.engine.remove_network(&bench.project, &network).await.expect("removed");
    assert!(ids(&network).is_empty());
    bench.engine.remove_network(&bench.project, &network).await.expect("one that is gone is fine");
}

pub(crate) async fn a_defined_network_that_was_removed_by_hand_is_made_again() {
    let bench = Bench::new();
    let network = name(&bench);
    let web = joining(&bench, &network, NetworkSettings::default(), &[]);
    bench.engine.prepare(&bench.project, &web).await.expect("prepared");
    let instance = bench.start(&web).await.expect("started");
    bench.stop(&web, &instance).await.expect("stopped");
    docker(&["network", "rm", &network]).expect("removed");
    bench.engine.prepare(&bench.project, &web).await.expect("prepared");
    assert_eq!(bench.start(&web).await.expect("it starts"), instance);
    assert_eq!(differences(&bench, &web).await, []);
}

pub(crate) async fn a_foreign_network_under_its_name_is_neither_used_nor_removed() {
    let bench = Bench::new();
    let network = name(&bench);
    docker(&["network", "create", "--label", "lcm.project=other", &network]).expect("a network");
    let web = joining(&bench, &network, NetworkSettings::default(), &[]);
    let refused = bench.engine.prepare(&bench.project, &web).await.expect_err("foreign").to_string();
    assert!(refused.contains(&network) && refused.contains("external: true"), "{refused}");
    let refused = bench.engine.remove_network(&bench.project, &network).await.expect_err("foreign").to_string();
    assert!(refused.contains("was not made by lcm"), "{refused}");
    assert_eq!(ids(&network).len(), 1);
}

pub(crate) async fn aliases_and_a_fixed_address_are_set_and_changed_in_place() {
    let bench = Bench::new();
    let network = name(&bench);
    let subnet = free_subnet();
    let pool = AddressRange { subnet: format!("{subnet}.0/24"), ip_range: None, gateway: None };
    let settings = NetworkSettings { pools: [pool].into(), ..NetworkSettings::default() };
    let mut web = joining(&bench, &network, settings.clone(), &["api"]);
    let address = format!("{subnet}.77");
    fix(&mut web, &network, &address);
    bench.engine.prepare(&bench.project, &web).await.expect("prepared");
    let instance = bench.start(&web).await.expect("started");
    let labels = inspected(id(&instance), ".Config.Labels");
    assert!(labels.contains("\"lcm.compared\":\"1\""), "its names are compared: {labels}");
    let networks = inspected(id(&instance), ".NetworkSettings.Networks");
    assert!(networks.contains("\"api\"") && networks.contains(&address), "{networks}");
    assert_eq!(differences(&bench, &web).await, []);

    let mut changed = joining(&bench, &network, settings, &["api", "edge"]);
    fix(&mut changed, &network, &address);
    let found = differences(&bench, &changed).await;
    let names: Vec<String> = found.iter().map(|one| one.setting.to_string()).collect();
    assert_eq!(names, [format!("names on network {network}")]);
    assert!(found.iter().all(Difference::can_update_in_place));
    bench.engine.update(&bench.project, &changed, &instance).await.expect("updated");
    assert_eq!(differences(&bench, &changed).await, []);
    assert!(inspected(id(&instance), ".NetworkSettings.Networks").contains("\"edge\""));
    assert_eq!(bench.inspect_service(&changed).await.instance, Some(instance), "it is still the same container");
}

fn fix(service: &mut Service, network: &str, address: &str) {
    let lcm::runtime::docker::intent::DockerSpec::Created(container) =
        service.workload.spec::<lcm::runtime::docker::intent::DockerSpec>().expect("a container").clone()
    else {
        panic!("it is created");
    };
    let mut container = *container;
    container.attachments.endpoints.entry(network.to_owned()).or_default().ipv4_address = Some(address.to_owned());
    service.workload = container.into();
}

/// Returns the first three numbers of a subnet that no network of the engine has.
fn free_subnet() -> String {
    let networks = docker(&["network", "ls", "--quiet"]).expect("networks");
    let mut words = vec!["network", "inspect", "--format", "{{range .IPAM.Config}}{{.Subnet}} {{end}}"];
    words.extend(networks.lines());
    let taken = docker(&words).expect("subnets");
    // Of the range for tests of devices, which no network of a real host has; the process spreads parallel runs.
    let first = std::process::id() % 256;
    let mut free = (0..256).map(|step| format!("198.18.{}", (first + step) % 256));
    free.find(|subnet| !taken.contains(&format!("{subnet}."))).expect("a free subnet")
}
