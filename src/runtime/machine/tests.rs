//! Containers that a machine reads though its manifest does not name them, from an engine of a few canned answers.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::thread;

use serde_json::json;

use super::Machine;
use crate::model::desired::{Desired, Service};
use crate::model::facts::Facts;
use crate::model::names::{ProjectName, RuntimeName, ServiceName};
use crate::runtime::Driver as _;
use crate::runtime::docker::facts::DockerReading as _;
use crate::runtime::docker::intent::ExistingContainer;

/// Serves these containers, and an image without labels, as long as the test runs.
fn engine(listener: UnixListener, containers: &serde_json::Value) {
    let body = containers.to_string();
    thread::spawn(move || {
        for call in listener.incoming() {
            let Ok(mut call) = call else { return };
            let mut request = [0; 4096];
            let length = call.read(&mut request).unwrap_or(0);
            let is_image = String::from_utf8_lossy(&request[..length]).starts_with("GET /images/");
            let body = if is_image { "{}" } else { &body };
            let head = format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}", body.len());
            let _ = write!(call, "{head}\r\nContent-Type: application/json\r\n\r\n{body}");
        }
    });
}

/// Reads a machine whose manifest has one container, at the engine of this test, which runs no containers here.
async fn machine_at(host: Option<String>, docker_host: String, folder: &std::path::Path) -> Facts {
    let existing = ExistingContainer { container: "one".into(), accepts_auto_remove: false };
    let service = Service::plain(ServiceName::new("one"), existing);
    let mut desired = Desired::plain(ProjectName::new("paint"), [service]);
    desired.endpoints = host.map(|host| (RuntimeName::known("docker"), host)).into_iter().collect();
    let state = folder.join("state").display().to_string();
    let environment = BTreeMap::from([("LCM_STATE_DIR".to_owned(), state), ("DOCKER_HOST".to_owned(), docker_host)]);
    Machine::new(&desired, &environment, Path::new("/proc/self/exe")).survey(&desired).await
}

#[tokio::test]
async fn a_forwarded_socket_is_another_machines_and_must_be_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("docker.sock");
    engine(UnixListener::bind(&socket).expect("a socket"), &json!([]));
    let host = format!("unix://{}", socket.display());

    let facts = machine_at(None, host.clone(), folder.path()).await;
    let reason = facts.docker().containers.unknown().expect("it is refused");
    let holder = format!("(pid {}), which runs no containers here", std::process::id());
    assert!(
        reason.contains("is not proven to be this machine's: its socket is held by") && reason.contains(&holder),
        "{reason}"
    );
    assert!(reason.contains(&format!("docker: {{ host: \"{host}\" }}")), "{reason}");

    let facts = machine_at(Some(host), String::new(), folder.path()).await;
    assert_eq!(facts.docker().containers.known().map(Vec::len), Some(0), "it is meant");
    assert!(facts.docker().elsewhere.as_ref().is_some_and(|reason| reason.contains(&holder)));
    assert!(facts.host_identity.is_some_and(|host| host.boot.is_some()) && facts.enclosure.is_none());
}

#[tokio::test]
async fn a_manifest_without_containers_sees_those_of_every_lcm_project() {
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("docker.sock");
    let running = |name: &str, labels: serde_json::Value| {
        let names = [format!("/{name}")];
        json!({ "Id": name, "Names": names, "ImageID": "sha256:0", "State": "running", "Status": "Up 2 minutes", "Labels": labels })
    };
    let containers = json!([
        running("foreign", json!({})),
        running("old", json!({ "lcm.project": "paint", "lcm.service": "old" })),
        running("ollama", json!({ "lcm.project": "write", "lcm.service": "ollama", "lcm.vram_mib": "18000" })),
    ]);
    engine(UnixListener::bind(&socket).expect("a socket"), &containers);
    let mut desired = Desired::plain(ProjectName::new("paint"), []);
    desired.endpoints.insert(RuntimeName::known("docker"), format!("unix://{}", socket.display()));
    let state = folder.path().join("state").display().to_string();
    let environment = BTreeMap::from([("LCM_STATE_DIR".to_owned(), state)]);
    let machine = Machine::new(&desired, &environment, Path::new("/proc/self/exe"));
    let facts = machine.survey(&desired).await;
    let found = facts.docker().containers.known().expect("they are marked");
    let seen: Vec<(&str, u64)> =
        found.iter().filter_map(|found| Some((found.name.as_str(), found.marks.as_ref()?.vram_mib))).collect();
    assert_eq!(seen, [("old", 0), ("ollama", 18_000)], "the declared memory counts, also before they hold it");
    assert_eq!(found.len(), 2, "a container without marks concerns only users of the engine");
}
